/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has come of a capture becomes a SIP. All that can be wrong is found before anything is
 * changed that others see.
 */
#include "restore.h"

#include "image.pb-c.h"

#include <assert.h>
#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define WORD_START_INSTANCE 3u /* of the frame of one that has not run: sip.c */
#define WORD_START 4u
#define WORD_RETURN 6u
#define WORD_VECTORS 7u /* of one that was pre-empted: preempt.c */
#define WORD_WIDE 8u
#define WORD_FLAGS 18u
#define WORD_RIP 19u
#define FLAGS_KEPT 0xcd5u   /* of arithmetic, and the direction */
#define FLAGS_ALWAYS 0x202u /* interrupts, and one that is always set */
#define VECTORS_MXCSR 24u
#define VECTORS_HEADER 512u /* what is there; compaction; 48 bytes of zeros */
#define VECTORS_LOADED 0xe7u
#define MXCSR_RESERVED 0xffff0000u

sf_status nk_restore_create(struct nk_kernel *kernel, const struct nk_restore_options *options,
                            struct nk_restore **out_restore)
{
    struct nk_restore *restore = calloc(1, sizeof(*restore));

    if (restore == NULL) {
        return SF_NOMEM;
    }
    restore->kernel = kernel;
    if (options != NULL && options->image_name != NULL) {
        (void)snprintf(restore->image_name, sizeof(restore->image_name), "%s", options->image_name);
    }
    *out_restore = restore;
    return SF_OK;
}

bool nk_restore_complete(const struct nk_restore *restore)
{
    return restore->complete && !restore->broken;
}

void nk_restore_query(const struct nk_restore *restore, struct nk_restore_info *out_info)
{
    const struct nk_sip *sip = restore->sip;

    *out_info = (struct nk_restore_info){.name = ""};
    if (sip == NULL) {
        return;
    }
    out_info->sip = sip->number;
    out_info->name = sip->name;
    out_info->image_digest = sip->image->image->digest;
    out_info->slot_class = nk__slot_class(sip->slot_index);
    out_info->slot = nk__slot_number(sip->kernel, sip->slot_index);
    if (nk_restore_complete(restore)) {
        out_info->eps = restore->eps;
        out_info->ep_count = restore->ep_count;
        out_info->about =
            (struct nk_about){restore->state.restart_count, restore->state.log_position};
    }
}

/* --- where it is resumed ------------------------------------------------------------------------
 */

/* Which vector registers this machine has and the system saves. */
static uint64_t vectors_here(void)
{
    uint32_t eax, ebx, ecx, edx, low, high;

    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & bit_OSXSAVE) == 0) {
        return 0;
    }
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static sf_status vectors_check(const struct nk_restore *restore, uint64_t wide)
{
    static const uint8_t zeros[48];
    uint8_t *area = restore->sip->memory - NK_MEMORY + NK_VECTORS;
    uint64_t header[2];
    uint32_t mxcsr;

    memcpy(&mxcsr, area + VECTORS_MXCSR, sizeof(mxcsr));
    memcpy(header, area + VECTORS_HEADER, sizeof(header));
    if (wide > 1 || (mxcsr & MXCSR_RESERVED) != 0 ||
        (wide && (header[1] != 0 ||
                  memcmp(area + VECTORS_HEADER + sizeof(header), zeros, sizeof(zeros)) != 0))) {
        return nk__restore_fail(restore, SF_FORMAT, "damaged capture of %s: its registers",
                                restore->sip->name);
    }
    if (wide && (header[0] & VECTORS_LOADED & ~vectors_here()) != 0) {
        return nk__restore_fail(restore, SF_UNSUPPORTED,
                                "sip %s was stopped with registers that this machine does not have",
                                restore->sip->name);
    }
    header[0] &= VECTORS_LOADED;
    if (wide) {
        memcpy(area + VECTORS_HEADER, header, sizeof(header));
    }
    return SF_OK;
}

static int is_code(const struct nk_restore *restore, uint64_t rip)
{
    return rip >= restore->sip->image->code_first && rip < restore->sip->image->code_end;
}

/* The kernel's own addresses in it are this kernel's from now on. */
static sf_status frame_check(const struct nk_restore *restore)
{
    const struct nk_sip *sip = restore->sip;
    const uint64_t slot = (uint64_t)sip->memory - NK_MEMORY;
    const uint64_t base = slot + NK_FORM_BASE_OFFSET, rsp = sip->head->rsp;
    const enum nk_form_resume resume = (enum nk_form_resume)restore->state.resume;
    const uint64_t room = resume == NK_FORM_PREEMPTED
                              ? NK_FORM_PREEMPTED_WORDS * 8 + NK_FORM_RED_ZONE_BYTES
                              : NK_FORM_FRAME_WORDS * 8;
    uint64_t *frame = (uint64_t *)rsp;
    sf_status st = SF_OK;
    int good = rsp % 8 == 0 && rsp >= slot + NK_STACK_LOW && rsp <= base + 8 - room;

    if (good && resume == NK_FORM_NEW) {
        good = rsp == base + 8 - room && frame[WORD_START_INSTANCE] == slot + NK_INSTANCE &&
               frame[WORD_START] == nk__start_address(sip);
        frame[WORD_RETURN] = nk__gate_start_address();
    } else if (good && rsp > base - room) {
        good = 0; /* over what its first function returns to */
    } else if (good) {
        *(uint64_t *)base = nk__gate_started_address();
    }
    if (good && resume == NK_FORM_CALL) {
        good = is_code(restore, frame[WORD_RETURN]);
    } else if (good && resume == NK_FORM_PREEMPTED) {
        good = is_code(restore, frame[WORD_RIP]);
        frame[WORD_RETURN] = nk__gate_restore_address();
        frame[WORD_VECTORS] = slot + NK_VECTORS;
        frame[WORD_FLAGS] = (frame[WORD_FLAGS] & FLAGS_KEPT) | FLAGS_ALWAYS;
        st = good ? vectors_check(restore, frame[WORD_WIDE]) : SF_OK;
    }
    sip->head->memory_bytes = sip->image->memory_bytes;
    return good ? st
                : nk__restore_fail(restore, SF_FORMAT, "damaged capture of %s: its stack",
                                   sip->name);
}

/* --- is all of it right? ------------------------------------------------------------------------
 */

static sf_status wait_check(const struct nk_restore *restore)
{
    const struct nk_form_state *state = &restore->state;
    struct nk_sip *sip = restore->sip;
    int good = 1;

    switch ((enum nk_wait)state->wait) {
    case NK_WAIT_RECV:
        good = state->wait_index != 0 && state->wait_index < nk__port_end(sip) &&
               restore->ports[state->wait_index].state == NK_PORT_OPEN;
        break;
    case NK_WAIT_RECV_ANY:
        good = restore->select_count > 0;
        break;
    case NK_WAIT_ACCEPT:
        good = state->wait_index < sip->image->image->manifest->n_exports;
        break;
    case NK_WAIT_SELECT:
    case NK_WAIT_NONE:
        break;
    }
    if (good && (state->wait == NK_WAIT_RECV || state->wait == NK_WAIT_RECV_ANY)) {
        good = nk__memory(sip, state->wait_offset, sizeof(struct nk_msg)) != NULL;
    }
    return good ? SF_OK
                : nk__restore_fail(restore, SF_FORMAT, "damaged capture of %s: what it waits for",
                                   sip->name);
}

static sf_status eps_check(const struct nk_restore *restore, struct fab_ep *const eps[],
                           uint32_t ep_count)
{
    uint32_t wanted = restore->pending_count;

    for (uint32_t i = 1; i < nk__port_end(restore->sip); i++) {
        wanted += restore->ports[i].state != NK_PORT_FREE;
    }
    for (uint32_t i = 0; i < restore->stash_count; i++) {
        wanted += (uint32_t)__builtin_popcount(restore->stashes[i].eps);
    }
    if (wanted != restore->ep_count) {
        return nk__restore_fail(restore, SF_FORMAT, "damaged capture of %s: its endpoints",
                                restore->sip->name);
    }
    if (ep_count != wanted) {
        return nk__restore_fail(restore, SF_BADARG, "sip %s has %u endpoints, not %u",
                                restore->sip->name, wanted, ep_count);
    }
    for (uint32_t i = 0; i < ep_count; i++) {
        struct fab_ep_info info;

        fab_ep_query(eps[i], &info);
        if (info.contract->short_id != restore->eps[i].contract ||
            info.side != restore->eps[i].side || info.holder != NULL) {
            return nk__restore_fail(restore, SF_CONTRACT,
                                    "sip %s: its endpoint %u is not of that contract and side",
                                    restore->sip->name, i);
        }
    }
    return SF_OK;
}

/* Is it a message of that endpoint's contract? */
static int stash_is_good(const struct nk_restore_stash *stash, const struct fab_ep *ep)
{
    const struct fab_msg *msg = stash->msg;
    const struct fab_plan *plan;

    if (msg->tag >= fab_ep_contract(ep)->message_count) {
        return 0;
    }
    plan = &fab_ep_plans(ep)[msg->tag];
    if (msg->arg_count != plan->arg_count || (stash->blocks & ~plan->blocks) != 0 ||
        (stash->eps & ~plan->eps) != 0 ||
        (((stash->blocks | stash->eps) ^ (plan->blocks | plan->eps)) & ~plan->optional) != 0) {
        return 0;
    }
    for (uint32_t left = stash->blocks & plan->plain; left != 0; left &= left - 1) {
        const uint32_t i = (uint32_t)__builtin_ctz(left);

        if ((msg->args[i].block->bytes & plan->grains[i]) != 0) {
            return 0;
        }
    }
    return 1;
}

static sf_status stashes_check(const struct nk_restore *restore, struct fab_ep *const eps[])
{
    uint32_t ep = 0, stash = 0;

    for (uint32_t i = 1; i < nk__port_end(restore->sip); i++) {
        if (restore->ports[i].state == NK_PORT_FREE) {
            continue;
        }
        if (stash < restore->stash_count && restore->stashes[stash].port == i &&
            !stash_is_good(&restore->stashes[stash++], eps[ep])) {
            return nk__restore_fail(restore, SF_FORMAT, "damaged capture of %s: a message",
                                    restore->sip->name);
        }
        ep++;
    }
    return SF_OK;
}

/* --- it becomes one of this kernel --------------------------------------------------------------
 */

static void stash_join(struct nk_restore *restore, uint32_t index, struct fab_ep *const eps[],
                       uint32_t *next)
{
    struct nk_restore_stash *stash = &restore->stashes[index];

    for (uint32_t left = stash->blocks; left != 0; left &= left - 1) {
        sf_status st = xh_give(stash->msg->args[__builtin_ctz(left)].block,
                               NK_RESTORE_OWNER(restore->sip), restore->sip->owner);

        assert(st == SF_OK);
        (void)st;
    }
    for (uint32_t left = stash->eps; left != 0; left &= left - 1) {
        stash->msg->args[__builtin_ctz(left)].ep = eps[(*next)++];
    }
    nk__port_at(restore->sip, stash->port)->stash = stash->msg;
    stash->msg = NULL;
}

/* Locked. */
static void ports_join(struct nk_restore *restore, struct fab_ep *const eps[])
{
    struct nk_sip *sip = restore->sip;
    uint32_t next = 0;

    for (uint32_t i = 1; i < nk__port_end(sip); i++) {
        const struct nk_form_port *form = &restore->ports[i];
        struct nk_port *port = nk__port_at(sip, i);

        if (form->state != NK_PORT_FREE) {
            nk__port_put(port, sip, eps[next++], (enum nk_port_state)form->state,
                         nk__restore_name(sip, form));
            port->notes.word = form->notes;
        }
    }
    for (uint32_t i = 0; i < restore->pending_count; i++) {
        struct nk_export *export = &sip->exports[restore->pending_exports[i]];

        nk__port_pend(restore->pending[i], sip, export, eps[next++]);
        restore->pending[i] = NULL;
    }
    for (uint32_t i = 0; i < restore->stash_count; i++) {
        stash_join(restore, i, eps, &next);
    }
}

static void state_join(const struct nk_restore *restore)
{
    const struct nk_form_state *state = &restore->state;
    const struct nk_kernel *kernel = restore->kernel;
    const uint64_t now_ns = nk__now();
    struct nk_sip *sip = restore->sip;

    sip->clock_ahead_ns = state->clock_ns - now_ns;
    sip->result = state->result;
    sip->cpu_ns = state->cpu_ns;
    sip->slice_ns = state->slice_ns;
    sip->share_from_ns = state->share_age_ns >= now_ns ? 0 : now_ns - state->share_age_ns;
    sip->share_used_ns = state->share_used_ns;
    sip->cpu_percent = state->cpu_percent;
    sip->timed_out = (uint8_t)state->timed_out;
    sip->preempted = (uint8_t)state->preempted;
    sip->wait = (uint8_t)state->wait;
    if (state->remaining_ns != NK_FORM_NONE) {
        sip->deadline = state->remaining_ns < INT64_MAX - now_ns ? now_ns + state->remaining_ns
                                                                 : (uint64_t)INT64_MAX;
    }
    if (state->wait == NK_WAIT_RECV) {
        sip->wait_port = nk__port_at(sip, state->wait_index);
    } else if (state->wait == NK_WAIT_ACCEPT) {
        sip->wait_export = &sip->exports[state->wait_index];
    }
    sip->wait_out = sip->memory + state->wait_offset;
    sip->pinned = state->worker != 0;
    sip->frozen_on =
        sip->pinned ? kernel->workers[(state->worker - 1) % kernel->worker_count] : NULL;
    sip->state = NK_SIP_FROZEN;
}

/* Exports, and room for its timer: what can still fail. */
static sf_status register_all(const struct nk_restore *restore)
{
    struct nk_kernel *kernel = restore->kernel;
    struct nk_sip *sip = restore->sip;
    sf_status st = nk__restore_number(restore, sip->number, sip->name);

    if (st != SF_OK) {
        return st;
    }
    nk_pause(kernel);
    st = nk__workers_reserve(kernel, kernel->slot_count +
                                         __atomic_load_n(&kernel->guest_count, __ATOMIC_RELAXED));
    nk_resume(kernel);
    if (st == SF_OK) {
        st = nk__sip_export(sip, restore->text, restore->text_capacity);
    }
    return st;
}

static void unregister(const struct nk_restore *restore)
{
    struct nk_sip *sip = restore->sip;

    nk__lock(restore->kernel);
    nk__sip_unexport(sip);
    nk__unlock(restore->kernel);
    free(sip->exports);
    sip->exports = NULL;
    sip->export_count = 0;
    free(sip->select_handles);
    sip->select_handles = NULL;
}

/* All that can be found wrong. */
static sf_status check(const struct nk_restore *restore, struct fab_ep *const eps[],
                       uint32_t ep_count)
{
    sf_status st = SF_OK;

    if (!nk_restore_complete(restore)) {
        return nk__restore_fail(restore, SF_FORMAT, "the capture is not complete");
    }
    st = eps_check(restore, eps, ep_count);
    if (st == SF_OK) {
        st = stashes_check(restore, eps);
    }
    if (st == SF_OK) {
        st = wait_check(restore);
    }
    return st == SF_OK ? frame_check(restore) : st;
}

sf_status nk_restore_finish(struct nk_restore *restore, struct fab_ep *const eps[],
                            uint32_t ep_count, char *text, size_t text_capacity)
{
    struct nk_kernel *kernel = restore->kernel;
    sf_status st;

    restore->text = text;
    restore->text_capacity = text_capacity;
    nk__say(text, text_capacity, "no memory left");
    st = check(restore, eps, ep_count);
    if (st != SF_OK) {
        return st;
    }
    nk__window_give(restore->sip, XH_OWNER(XH_OWNER_SIP, restore->sip->number));
    st = register_all(restore);
    if (st == SF_OK && restore->select_count > 0) {
        /* Room for the set; the handles are armed when the ports are there. */
        restore->sip->select_handles = malloc(NK_SELECT_MAX * sizeof(uint32_t));
        st = restore->sip->select_handles == NULL ? SF_NOMEM : SF_OK;
    }
    if (st != SF_OK) {
        unregister(restore);
        nk__window_give(restore->sip, NK_RESTORE_OWNER(restore->sip));
        return st;
    }
    nk__lock(kernel);
    ports_join(restore, eps);
    state_join(restore);
    nk__sip_hash(restore->sip);
    nk__unlock(kernel);
    st = restore->select_count == 0
             ? SF_OK
             : nk__select_arm(restore->sip, (const uint8_t *)restore->select_handles,
                              restore->select_count);
    assert(st == SF_OK); /* select_take has looked at them */
    if (restore->huge) { /* what it has not touched yet comes page by page again */
        (void)madvise(restore->sip->memory, restore->sip->memory_bytes, MADV_NOHUGEPAGE);
    }
    restore->sip = NULL;
    nk_restore_destroy(restore);
    nk__say(text, text_capacity, "%s", "");
    return st;
}

/* --- the end ------------------------------------------------------------------------------------
 */

static void stashes_free(struct nk_restore *restore)
{
    for (uint32_t i = 0; i < restore->stash_count; i++) {
        const struct nk_restore_stash *stash = &restore->stashes[i];

        for (uint32_t left = stash->msg == NULL ? 0 : stash->blocks; left != 0; left &= left - 1) {
            sf_status st =
                xh_free(restore->kernel->heap, stash->msg->args[__builtin_ctz(left)].block,
                        NK_RESTORE_OWNER(restore->sip));

            assert(st == SF_OK);
            (void)st;
        }
        free(stash->msg);
    }
    free(restore->stashes);
}

void nk_restore_destroy(struct nk_restore *restore)
{
    if (restore == NULL) {
        return;
    }
    stashes_free(restore);
    for (uint32_t i = 0; i < restore->pending_count; i++) {
        free(restore->pending[i]);
    }
    free(restore->pending);
    free(restore->pending_exports);
    free(restore->ports);
    free(restore->eps);
    free(restore->kept);
    if (restore->sip != NULL) {
        nk__window_fini(restore->sip);
        nk__slot_leave(restore->kernel, restore->sip->slot_index, restore->sip->slot);
        nk__sip_free(restore->sip);
    }
    free(restore);
}
