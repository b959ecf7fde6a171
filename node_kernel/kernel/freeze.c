/* SPDX-License-Identifier: Apache-2.0 */
/* SIPs that stand still: how they come to it, what they hold, and how it ends. */
#include "internal.h"

#include "capture.h"
#include "freeze.h"
#include "image.pb-c.h"

#include <assert.h>
#include <stdlib.h>

struct nk_sip *nk__frozen_find(struct nk_kernel *kernel, uint64_t number)
{
    struct nk_sip *sip;

    nk__lock(kernel);
    sip = nk__sip_find(kernel, number);
    nk__unlock(kernel);
    return sip != NULL && sip->state == NK_SIP_FROZEN ? sip : NULL;
}

/* --- freezing -----------------------------------------------------------------------------------
 */

/* Why it cannot be moved, in words; or NULL. */
static const char *reason(const struct nk_sip *sip)
{
    if (sip->state == NK_SIP_CREATED) {
        return "it has not started: make it on the other node instead";
    }
    if (sip->image->native) {
        return "its image is of mode native, which may hold addresses of this node";
    }
    if (sip->image->image->manifest->stays) {
        return "its manifest says `movable: false`";
    }
    return NULL;
}

/* All its channels become shared; it leaves its worker. Locked, paused. */
static void frozen_make(struct nk_sip *sip)
{
    sip->frozen_on = sip->worker;
    nk__sip_reseat(sip, sip->kernel->workers[0]); /* if it is in an inbox, that passes it on */
    sip->state = NK_SIP_FROZEN;
}

/* Locked, paused. */
static sf_status freeze(struct nk_kernel *kernel, uint64_t number, char *text, size_t text_capacity)
{
    struct nk_sip *sip = nk__sip_find(kernel, number);
    const char *why;

    if (sip == NULL || sip->state == NK_SIP_ENDING) {
        nk__say(text, text_capacity, "no sip %llu", (unsigned long long)number);
        return SF_NOTFOUND;
    }
    if (sip->state == NK_SIP_FROZEN) {
        nk__say(text, text_capacity, "sip %s is being moved already", sip->name);
        return SF_EXISTS;
    }
    if (sip == nk__cpu.sip) {
        return SF_AGAIN;
    }
    why = reason(sip);
    if (why != NULL) {
        nk__say(text, text_capacity, "sip %s cannot be moved: %s", sip->name, why);
        return SF_UNSUPPORTED;
    }
    assert(sip->state == NK_SIP_READY || sip->state == NK_SIP_WAITING ||
           sip->state == NK_SIP_ARRIVING);
    frozen_make(sip);
    return SF_OK;
}

sf_status nk_sip_freeze(struct nk_kernel *kernel, uint64_t number, char *text, size_t text_capacity)
{
    sf_status st;

    nk_pause(kernel);
    nk__lock(kernel);
    st = freeze(kernel, number, text, text_capacity);
    nk__unlock(kernel);
    nk_resume(kernel);
    return st;
}

sf_status nk_sip_thaw(struct nk_kernel *kernel, uint64_t number)
{
    struct nk_sip *sip = nk__frozen_find(kernel, number);
    struct nk_worker *to;

    if (sip == NULL) {
        return SF_NOTFOUND;
    }
    nk__lock(kernel);
    to = sip->frozen_on != NULL ? sip->frozen_on : nk__balance_place(sip);
    sip->worker->sip_count--;
    to->sip_count++;
    sip->worker = to;
    sip->frozen_on = NULL;
    sip->state = NK_SIP_ARRIVING;
    if (sip->posted) {
        nk__attend(kernel->workers[0]); /* it is in this worker's inbox, or comes to it */
        nk__attend(to);
    } else {
        nk__post(sip);
    }
    nk__unlock(kernel);
    return SF_OK;
}

/* --- its endpoints, in the order of capture.h ---------------------------------------------------
 */

struct list {
    struct fab_ep **eps;
    uint32_t count, capacity;
};

static void list_add(struct list *list, struct fab_ep *ep)
{
    if (list->count < list->capacity) {
        list->eps[list->count] = ep;
    }
    list->count++;
}

static void stash_list(const struct nk_port *port, struct list *list)
{
    for (uint32_t left = port->plans[port->stash->tag].eps; left != 0; left &= left - 1) {
        struct fab_ep *ep = port->stash->args[__builtin_ctz(left)].ep;

        if (ep != NULL) {
            list_add(list, ep);
        }
    }
}

uint32_t nk__frozen_eps(const struct nk_sip *sip, struct fab_ep *eps[], uint32_t capacity)
{
    struct list list = {.eps = eps, .capacity = capacity};

    for (uint32_t i = 1; i < nk__port_end(sip); i++) {
        if (nk__port_at(sip, i)->state != NK_PORT_FREE) {
            list_add(&list, nk__port_at(sip, i)->ep);
        }
    }
    for (uint32_t i = 0; i < sip->export_count; i++) {
        const struct nk_list *pending = &sip->exports[i].pending;

        for (const struct nk_list *at = pending->next; at != pending; at = at->next) {
            list_add(&list, NK_CONTAINER(at, struct nk_port, link)->ep);
        }
    }
    for (uint32_t i = 1; i < nk__port_end(sip); i++) {
        const struct nk_port *port = nk__port_at(sip, i);

        if (port->state != NK_PORT_FREE && port->stash != NULL) {
            stash_list(port, &list);
        }
    }
    return list.count;
}

sf_status nk_sip_endpoints(struct nk_kernel *kernel, uint64_t number, struct fab_ep *eps[],
                           uint32_t capacity, uint32_t *out_count)
{
    const struct nk_sip *sip = nk__frozen_find(kernel, number);

    if (sip == NULL) {
        return SF_NOTFOUND;
    }
    *out_count = nk__frozen_eps(sip, eps, capacity);
    return *out_count <= capacity ? SF_OK : SF_LIMIT;
}

/* --- it goes on elsewhere -----------------------------------------------------------------------
 */

/* Its blocks have been copied; its endpoints are the caller's. */
static void stash_forget(struct nk_sip *sip, const struct nk_port *port)
{
    for (uint32_t left = port->plans[port->stash->tag].blocks; left != 0; left &= left - 1) {
        sf_status st =
            xh_free(sip->kernel->heap, port->stash->args[__builtin_ctz(left)].block, sip->owner);

        assert(st == SF_OK);
        (void)st;
    }
}

/* Locked. */
static void ports_let_go(struct nk_sip *sip)
{
    for (uint32_t i = 1; i < nk__port_end(sip); i++) {
        struct nk_port *port = nk__port_at(sip, i);

        if (port->state == NK_PORT_FREE) {
            continue;
        }
        if (port->trace != 0) {
            nk__trace_moved(sip->kernel, port);
        }
        if (port->stash != NULL) {
            stash_forget(sip, port);
        }
        fab_ep_hold(port->ep, NULL);
        nk__port_free(port);
    }
    for (uint32_t i = 0; i < sip->export_count; i++) {
        struct nk_list *pending = &sip->exports[i].pending;

        while (!nk_list_empty(pending)) {
            struct nk_port *port = NK_CONTAINER(pending->next, struct nk_port, link);

            nk_list_remove(&port->link);
            fab_ep_hold(port->ep, NULL);
            free(port);
        }
    }
}

sf_status nk_sip_release(struct nk_kernel *kernel, uint64_t number)
{
    struct nk_sip *sip = nk__frozen_find(kernel, number);

    if (sip == NULL) {
        return SF_NOTFOUND;
    }
    nk__note_lines_lost(sip);
    nk__lock(kernel);
    sip->wait = NK_WAIT_NONE; /* there is no port to tell */
    ports_let_go(sip);
    nk__sip_unexport(sip);
    nk__sip_unhash(sip);
    nk__unlock(kernel);
    nk__window_fini(sip);
    if (nk__precopy_leave(sip)) {
        nk__slot_leave(kernel, sip->slot_index, sip->slot);
    }
    nk__lock(kernel);
    if (sip->posted) {
        sip->state = NK_SIP_GONE;
        sip = NULL; /* whose inbox it is in frees it */
    }
    nk__unlock(kernel);
    if (sip != NULL) {
        nk__sip_free(sip);
    }
    return SF_OK;
}
