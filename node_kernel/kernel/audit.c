/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit of ownership: every block of the heap, and every endpoint, is in exactly one place. The
 * heap and the fabric audit themselves; here the SIPs' sides are compared with what they say.
 */
#include "internal.h"

struct tally {
    const char *text; /* first thing found wrong, or NULL */
    struct nk_kernel *kernel;
    uint64_t sip_blocks; /* owned by SIPs, by the heap */
    uint64_t held;       /* the same, by windows and stashes */
};

static void wrong(struct tally *tally, const char *text)
{
    if (tally->text == NULL) {
        tally->text = text;
    }
}

static void block_check(void *arg, const struct xh_block *block)
{
    struct tally *tally = arg;
    uint64_t number = block->owner & 0xffffffffffffffull;

    if (block->owner >> 56 != XH_OWNER_SIP) {
        return; /* messages: fab_audit */
    }
    tally->sip_blocks++;
    if (nk__sip_find(tally->kernel, number) == NULL) {
        wrong(tally, "a block is owned by a SIP that is no more");
    }
}

static void span_check(const struct nk_sip *sip, const struct nk_span *span, struct tally *tally,
                       uint64_t *bytes)
{
    uint32_t cells = span->kind == NK_SPAN_CELLS ? (1u << NK_SPAN_SHIFT) >> span->shift : 0;
    uint32_t used = 0;

    for (uint32_t i = 0; i < cells; i++) {
        const struct xh_block *block = (const struct xh_block *)span->u.cells[i];

        if ((span->u.cells[i] & 1) != 0) {
            continue;
        }
        used++;
        tally->held++;
        *bytes += block->capacity;
        if (block->owner != sip->owner) {
            wrong(tally, "a window has a block that is another's");
        }
        if (block->account != NULL) {
            wrong(tally, "a block that a SIP holds is charged to whoever sent it");
        }
    }
    if (span->kind == NK_SPAN_CELLS && used != span->used) {
        wrong(tally, "a span of a window does not know how many cells it uses");
    }
    if (span->kind == NK_SPAN_RUN) {
        tally->held++;
        *bytes += span->u.block->capacity;
        if (span->u.block->owner != sip->owner) {
            wrong(tally, "a window has a large block that is another's");
        }
    }
}

static void stash_check(const struct nk_port *port, struct tally *tally)
{
    const struct ct_message *message = &port->contract->messages[port->stash->tag];

    for (uint32_t i = 0; i < port->stash->arg_count; i++) {
        if (message->args[i].kind == CT_ARG_BLOCK && port->stash->args[i].block != NULL) {
            tally->held++;
            if (port->stash->args[i].block->owner != port->sip->owner) {
                wrong(tally, "a message kept for a SIP has a block that is another's");
            }
        }
    }
}

static void port_check(const struct nk_sip *sip, const struct nk_port *port, struct tally *tally)
{
    const struct fab_ep *peer = fab_ep_local_peer(port->ep);
    const struct nk_port *other = peer == NULL ? NULL : fab_ep_holder(peer);

    if (port->sip != sip || fab_ep_holder(port->ep) != port) {
        wrong(tally, "an endpoint is not held by whose table it is in");
    }
    if (port->local && peer != NULL &&
        (other == NULL || other->sip == NULL || other->sip->worker != sip->worker ||
         !other->local)) {
        wrong(tally, "a channel is local for one end only, or between workers");
    }
    if (port->stash != NULL) {
        stash_check(port, tally);
    }
}

static void sip_check(const struct nk_sip *sip, struct tally *tally)
{
    uint64_t bytes = 0;
    uint32_t ports = 0;

    for (uint32_t i = 0; i < sip->window.span_high; i++) {
        span_check(sip, &sip->window.spans[i], tally, &bytes);
    }
    if (sip->block_bytes + xh_account_bytes(sip->account) > sip->block_bytes_max) {
        wrong(tally, "a SIP has more blocks than its quota allows");
    }
    if (bytes != sip->block_bytes) {
        wrong(tally, "a SIP's blocks and its quota do not add up");
    }
    for (uint32_t i = 1; i < nk__port_end(sip); i++) {
        const struct nk_port *port = nk__port_at(sip, i);

        if (port->state != NK_PORT_FREE) {
            ports++;
            port_check(sip, port, tally);
        }
    }
    if (ports != sip->port_count) {
        wrong(tally, "a SIP does not know how many endpoints it holds");
    }
}

sf_status nk_audit(struct nk_kernel *kernel, const char **out_text)
{
    struct tally tally = {.kernel = kernel};
    uint32_t sips = 0;
    sf_status st = fab_audit(kernel->fabric, out_text);

    if (st == SF_OK) {
        st = xh_audit(kernel->heap, out_text);
    }
    if (st != SF_OK) {
        return st;
    }
    xh_walk(kernel->heap, block_check, &tally);
    for (uint32_t i = 0; i < NK_SIP_BUCKETS; i++) {
        for (const struct nk_sip *sip = kernel->sips[i]; sip != NULL; sip = sip->hash_next) {
            sips++;
            sip_check(sip, &tally);
        }
    }
    if (tally.held != tally.sip_blocks) {
        wrong(&tally, "a SIP's block is in no window, or in two");
    }
    if (sips != kernel->sip_count) {
        wrong(&tally, "the count of SIPs is wrong");
    }
    if (tally.text != NULL) {
        *out_text = tally.text;
    }
    return tally.text == NULL ? SF_OK : SF_FORMAT;
}
