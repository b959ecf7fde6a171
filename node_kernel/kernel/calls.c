/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel calls that need no channel: ending, yielding, log, clock, entropy, configuration, blocks.
 *
 * Everything a SIP passes is hostile until checked: a pointer goes through nk__memory, which
 * answers NULL unless the SIP itself could touch every byte.
 */
#include "internal.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

#define ENTROPY_BYTES_MAX 256u

static _Noreturn int64_t call_trap(struct nk_sip *sip, uint32_t kind)
{
    nk__fault_from_call(sip,
                        kind == 0 || kind > SF_FAULT_BAD_CALL ? SF_FAULT_BAD_CALL : (uint8_t)kind);
}

static _Noreturn int64_t call_unknown(struct nk_sip *sip)
{
    nk__fault_from_call(sip, SF_FAULT_BAD_CALL);
}

static _Noreturn int64_t call_exit(struct nk_sip *sip, int32_t code)
{
    sip->end_how = NK_END_EXITED;
    sip->exit_code = code;
    nk__leave_dead(sip);
}

static int64_t call_yield(struct nk_sip *sip)
{
    const struct nk_worker *worker = sip->worker;

    if (nk__run_empty(worker) && nk__cpu.budget > 0 &&
        __atomic_load_n(&worker->attention, __ATOMIC_RELAXED) == 0) {
        nk__cpu.budget--; /* nobody else wants to run, but a loop of yields must end */
        return 0;
    }
    nk__requeue(sip, 0);
}

static int64_t call_resched(struct nk_sip *sip, uint64_t result)
{
    nk__cpu.resched = 0;
    if (nk__quota_cpu_over(sip)) {
        nk__fault_from_call(sip, SF_FAULT_QUOTA);
    }
    nk__turn_over(sip, result);
}

/* ASCII's control characters, and in UTF-8 those of ISO 6429 (c2 80..9f), one of which is CSI. */
static int is_control(const uint8_t *text, uint32_t at, uint32_t bytes)
{
    if (text[at] == 0xc2) {
        return at + 1 < bytes && text[at + 1] >= 0x80 && text[at + 1] <= 0x9f;
    }
    return text[at] < 0x20 || text[at] == 0x7f ||
           (text[at] >= 0x80 && text[at] <= 0x9f && at > 0 && text[at - 1] == 0xc2);
}

static int64_t call_log(struct nk_sip *sip, uint32_t address, uint32_t bytes)
{
    const uint8_t *from;
    char text[NK_LOG_BYTES_MAX];

    if (bytes == 0 || bytes > NK_LOG_BYTES_MAX) {
        return -SF_BADARG;
    }
    from = nk__memory(sip, address, bytes);
    if (from == NULL) {
        return -SF_BADARG;
    }
    for (uint32_t i = 0; i < bytes; i++) { /* one line, and no tricks with the terminal */
        text[i] = is_control(from, i, bytes) ? ' ' : (char)from[i];
    }
    nk__note_log(sip, text, bytes);
    return SF_OK;
}

static int64_t call_clock_ns(struct nk_sip *sip)
{
    return (int64_t)(nk__now() + sip->clock_ahead_ns);
}

static int64_t call_entropy(struct nk_sip *sip, uint32_t address, uint32_t bytes)
{
    uint8_t *to;

    if (bytes == 0 || bytes > ENTROPY_BYTES_MAX) {
        return -SF_BADARG;
    }
    to = nk__memory(sip, address, bytes);
    if (to == NULL) {
        return -SF_BADARG;
    }
    /* Up to 256 bytes come whole and without interruption. */
    return getrandom(to, bytes, 0) == (ssize_t)bytes ? SF_OK : -SF_IO;
}

/* Copies as much of text as fits, without a terminator; answers its whole length. */
static int64_t answer_text(struct nk_sip *sip, const char *text, uint32_t address,
                           uint32_t capacity)
{
    size_t length = strlen(text);
    uint8_t *to = nk__memory(sip, address, capacity);

    if (to == NULL) {
        return -SF_BADARG;
    }
    memcpy(to, text, length < capacity ? length : capacity);
    return (int64_t)length;
}

static int64_t call_config(struct nk_sip *sip, uint32_t key, uint32_t key_bytes, uint32_t address,
                           uint32_t capacity)
{
    const char *name = (const char *)nk__memory(sip, key, key_bytes);

    if (name == NULL) {
        return -SF_BADARG;
    }
    for (uint32_t i = 0; i < sip->config_count; i++) {
        if (strlen(sip->config[i].key) == key_bytes &&
            memcmp(sip->config[i].key, name, key_bytes) == 0) {
            return answer_text(sip, sip->config[i].value, address, capacity);
        }
    }
    return -SF_NOTFOUND;
}

static int64_t call_identity(struct nk_sip *sip, uint32_t which, uint32_t address,
                             uint32_t capacity)
{
    if (which > 1) {
        return -SF_BADARG;
    }
    return answer_text(sip, which == 0 ? sip->name : sip->kernel->node_name, address, capacity);
}

static int64_t call_block_alloc(struct nk_sip *sip, uint32_t bytes)
{
    struct xh_heap *heap = sip->kernel->heap;
    struct xh_block *block;
    enum xh_pages pages;
    uint32_t address;

    if (bytes == 0 || bytes > sip->window.span_count << NK_SPAN_SHIFT ||
        !nk__blocks_fit(sip, bytes) ||
        xh_alloc_for(heap, bytes, sip->owner, sip->window.number, &pages, &block) != SF_OK) {
        return 0;
    }
    address = nk__blocks_fit(sip, block->capacity) ? nk__handover_alloc(sip, block, pages) : 0;
    if (address == 0) {
        (void)xh_free(heap, block, sip->owner);
        return 0;
    }
    sip->block_bytes += block->capacity;
    sip->block_count++;
    return address;
}

static int64_t call_block_free(struct nk_sip *sip, uint32_t address)
{
    struct xh_block *block = nk__window_find(sip, address);
    uint32_t capacity;
    sf_status st;

    if (block == NULL) {
        return -SF_NOTOWNER;
    }
    capacity = block->capacity;
    nk__handover_free(sip, block, address);
    nk__window_remove(sip, address);
    st = xh_free(sip->kernel->heap, block, sip->owner);
    assert(st == SF_OK);
    (void)st;
    sip->block_bytes -= capacity;
    sip->block_count--;
    return SF_OK;
}

static int64_t call_block_bytes(struct nk_sip *sip, uint32_t address)
{
    const struct xh_block *block = nk__window_find(sip, address);

    return block == NULL ? -SF_NOTOWNER : (int64_t)block->bytes;
}

/* By number; see nk_calls.def. The last two are the gate's own. */
#define call_endpoint nk__call_endpoint
#define call_accept nk__call_accept
#define call_listen nk__call_listen
#define call_recv_any nk__call_recv_any
#define call_channel nk__call_channel
#define call_send nk__call_send
#define call_recv nk__call_recv
#define call_select nk__call_select
#define call_close nk__call_close
#define call_state nk__call_state
#define call_cause nk__call_cause
const void *const nk__call_table[NK_GATE_CALL_COUNT + 2] = {
#define NK_CALL(number, name, signature, doc) [number] = (const void *)call_##name,
#include "abi/nk_calls.def"
#undef NK_CALL
    [NK_GATE_CALL_COUNT] = (const void *)call_unknown,
    [NK_GATE_CALL_COUNT + 1] = (const void *)call_resched,
};

/* A call added to the table above without room for it in the gate does not compile. */
enum {
#define NK_CALL(number, name, signature, doc) CALL_##name,
#include "abi/nk_calls.def"
#undef NK_CALL
    CALL_COUNT
};
_Static_assert(CALL_COUNT == NK_GATE_CALL_COUNT, "NK_GATE_CALL_COUNT in gate.h");
