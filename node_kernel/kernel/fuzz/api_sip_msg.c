/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the API fuzzer's SIP: mostly what the contract allows, with hostile arguments. */
#include "api_sip.h"

/* Kind of each argument: b block, i importer's end, x exporter's end, n number. */
static const char *const kinds[] = {
    [FuzzContract_tag_Back] = "b",           [FuzzContract_tag_BackImp] = "i",
    [FuzzContract_tag_BackPair] = "xb",      [FuzzContract_tag_Bye] = "",
    [FuzzContract_tag_Data] = "b",           [FuzzContract_tag_Done] = "",
    [FuzzContract_tag_Farewell] = "b",       [FuzzContract_tag_GiveExp] = "x",
    [FuzzContract_tag_GiveImp] = "i",        [FuzzContract_tag_Many] = "bbbbn",
    [FuzzContract_tag_Numbers] = "nnnnnnnn", [FuzzContract_tag_Pair] = "ibx",
    [FuzzContract_tag_Two] = "bnb",
};
#define TAGS (sizeof(kinds) / sizeof(kinds[0]))

static uint32_t tag_for(uint32_t handle)
{
    /* By state: what may be sent there, by whoever has the turn; canonical order of states. */
    static const uint8_t legal[][6] = {
        {FuzzContract_tag_Data, FuzzContract_tag_Pair, FuzzContract_tag_GiveImp,
         FuzzContract_tag_GiveExp, FuzzContract_tag_Numbers, FuzzContract_tag_Many},
        {FuzzContract_tag_Back, FuzzContract_tag_BackImp, FuzzContract_tag_BackPair,
         FuzzContract_tag_Done, FuzzContract_tag_Back, FuzzContract_tag_Farewell},
        {FuzzContract_tag_Back, FuzzContract_tag_Back, FuzzContract_tag_Back, FuzzContract_tag_Back,
         FuzzContract_tag_Back, FuzzContract_tag_Back},
        {FuzzContract_tag_Done, FuzzContract_tag_Done, FuzzContract_tag_Done, FuzzContract_tag_Done,
         FuzzContract_tag_Done, FuzzContract_tag_Done},
        {FuzzContract_tag_Bye, FuzzContract_tag_Bye, FuzzContract_tag_Bye, FuzzContract_tag_Bye,
         FuzzContract_tag_Bye, FuzzContract_tag_Bye},
        {FuzzContract_tag_Done, FuzzContract_tag_Done, FuzzContract_tag_Farewell,
         FuzzContract_tag_Farewell, FuzzContract_tag_Done, FuzzContract_tag_Done},
        {FuzzContract_tag_Data, FuzzContract_tag_Data, FuzzContract_tag_Data, FuzzContract_tag_Data,
         FuzzContract_tag_Data, FuzzContract_tag_Data},
        {FuzzContract_tag_Two, FuzzContract_tag_Two, FuzzContract_tag_Two, FuzzContract_tag_Two,
         FuzzContract_tag_Two, FuzzContract_tag_Two},
        {FuzzContract_tag_Pair, FuzzContract_tag_Pair, FuzzContract_tag_Pair, FuzzContract_tag_Pair,
         FuzzContract_tag_Pair, FuzzContract_tag_Pair},
    };
    const int32_t state = nk_state(handle);

    if (state < 0 || state >= (int32_t)(sizeof(legal) / sizeof(legal[0])) || fuzz_any(16) == 0) {
        return fuzz_any(8) == 0 ? (uint32_t)fuzz_any64() : fuzz_any(TAGS + 2);
    }
    return state == 0 && fuzz_any(30) == 0 ? FuzzContract_tag_Bye : legal[state][fuzz_any(6)];
}

static uint64_t block_argument(void)
{
    const struct fuzz_block *block = fuzz_block_any();

    if (block == NULL || fuzz_any(20) == 0) {
        const uint64_t length = fuzz_length(0, 100);
        return fuzz_any(3) == 0 ? 0 : length << 32 | fuzz_pointer();
    }
    switch (fuzz_any(12)) {
    case 0:
        return (uint64_t)(block->bytes + 1) << 32 | block->address;
    case 1:
        return block->address;
    case 2:
        return (uint64_t)block->bytes << 32 | (block->address + 1 + fuzz_any(block->bytes));
    case 3: /* trimmed */
        return (uint64_t)(1 + fuzz_any(block->bytes)) << 32 | block->address;
    default:
        return (uint64_t)block->bytes << 32 | block->address;
    }
}

static uint64_t endpoint_argument(char kind)
{
    uint32_t ends[2];

    if (fuzz_any(3) == 0) {
        return fuzz_any(10) == 0 ? fuzz_any64() : fuzz_handle();
    }
    if (fuzz_answer(10, nk_channel((int64_t)FuzzContract_ID, kind == 'i' ? 0 : 1, ends)) != 0) {
        return 0;
    }
    fuzz_handle_add(ends[0], FUZZ_IMP);
    fuzz_handle_add(ends[1], FUZZ_EXP);
    return kind == 'i' ? ends[0] : ends[1];
}

static void message_fill(struct nk_msg *msg, uint32_t handle)
{
    msg->tag = tag_for(handle);
    msg->arg_count = msg->tag < TAGS ? strlen(kinds[msg->tag]) : fuzz_any(9);
    for (uint32_t i = 0; i < NK_ARGS_MAX; i++) {
        const char kind = msg->tag < TAGS && i < msg->arg_count ? kinds[msg->tag][i] : 'n';
        msg->args[i] = kind == 'b'   ? block_argument()
                       : kind == 'n' ? fuzz_any64()
                                     : endpoint_argument(kind);
    }
    if (fuzz_any(24) == 0) {
        msg->arg_count = fuzz_any(2) == 0 ? (uint32_t)fuzz_any64() : fuzz_any(12);
    }
}

/* What was sent is gone: both from here and from the kernel's tables. */
static void message_gone(const struct nk_msg *msg)
{
    FUZZ_CHECK(msg->tag < TAGS && msg->arg_count == strlen(kinds[msg->tag]), msg->tag,
               msg->arg_count, 0);
    for (uint32_t i = 0; kinds[msg->tag][i] != 0; i++) {
        if (msg->args[i] == 0 || kinds[msg->tag][i] == 'n') {
            continue;
        }
        if (kinds[msg->tag][i] == 'b') {
            fuzz_block_gone((uint32_t)msg->args[i]);
        } else {
            fuzz_handle_gone((uint32_t)msg->args[i]);
        }
    }
}

/* What was refused is still there; a block may have been trimmed, as the message said. */
static void message_kept(void)
{
    for (uint32_t i = 0; i < BLOCKS; i++) {
        struct fuzz_block *block = &fuzz_blocks[i];
        int32_t bytes;

        if (block->live) {
            bytes = nk_block_bytes((void *)(uintptr_t)block->address);
            FUZZ_CHECK(bytes > 0 && (uint32_t)bytes <= block->bytes, block->address, bytes,
                       block->bytes);
            block->bytes = (uint32_t)bytes;
        }
    }
}

/* Where the message lies: in free memory, or in *block, which it may well send itself. */
static uint32_t message_put(const struct nk_msg *msg, const struct fuzz_block *block)
{
    uint32_t at = SCRATCH + fuzz_any(MEMORY_END - SCRATCH - sizeof(*msg) + 1);

    if (block != NULL && block->bytes > sizeof(*msg) && fuzz_any(3) == 0) {
        at = block->address + 1 + fuzz_any(block->bytes - sizeof(*msg));
        *(volatile uint8_t *)(uintptr_t)block->address = FUZZ_DIRTY;
    }
    memcpy((void *)(uintptr_t)at, msg, sizeof(*msg));
    return at;
}

void fuzz_send(void)
{
    struct nk_msg msg;
    const uint32_t handle = fuzz_handle_to_send();
    uint32_t at = fuzz_pointer();
    const bool put = fuzz_any(20) != 0;
    const struct fuzz_block *block = fuzz_block_any();
    int32_t result;

    if (put) {
        message_fill(&msg, handle);
        at = message_put(&msg, block);
    }
    result = fuzz_answer(11, nk_send(handle, (const struct nk_msg *)(uintptr_t)at));
    if (result != 0) {
        message_kept();
    } else {
        if (!put) { /* the bytes that were there are a message: one of before, probably */
            FUZZ_CHECK(at + sizeof(msg) <= MEMORY_END || at >= WINDOW, at, 0, 0);
            memcpy(&msg, (const void *)(uintptr_t)at, sizeof(msg));
        }
        message_gone(&msg);
    }
    if (block != NULL && block->live) {
        fuzz_pattern_put(block);
    }
}

static void message_take(const struct nk_msg *msg)
{
    FUZZ_CHECK(msg->tag < TAGS, msg->tag, msg->arg_count, 0);
    FUZZ_CHECK(msg->arg_count == strlen(kinds[msg->tag]), msg->tag, msg->arg_count, 0);
    for (uint32_t i = 0; i < msg->arg_count; i++) {
        const char kind = kinds[msg->tag][i];
        const struct fuzz_block block = {(uint32_t)msg->args[i], (uint32_t)(msg->args[i] >> 32),
                                         true};
        if (msg->args[i] == 0 || kind == 'n') {
            continue;
        }
        if (kind != 'b') {
            FUZZ_CHECK(msg->args[i] <= INT32_MAX, msg->tag, i, (int64_t)msg->args[i]);
            fuzz_handle_add((uint32_t)msg->args[i], kind == 'i' ? FUZZ_IMP : FUZZ_EXP);
            continue;
        }
        if (*(volatile uint8_t *)(uintptr_t)block.address == FUZZ_DIRTY) {
            fuzz_pattern_put(&block); /* the sender's message was in it */
        }
        fuzz_pattern_check(&block);
        fuzz_block_add(block.address, block.bytes);
    }
}

/* The message that did not fit is still in the endpoint, which therefore cannot be sent. */
static void stashed_check(uint32_t handle)
{
    struct nk_msg msg = {.tag = FuzzContract_tag_GiveExp, .arg_count = 1, .args = {handle}};
    uint32_t ends[2];
    int32_t result;

    if (fuzz_any(2) == 0) { /* of its blocks none may have stayed */
        fuzz_window_check();
        return;
    }
    if (nk_channel((int64_t)FuzzContract_ID, 0, ends) != 0) {
        return;
    }
    result = nk_send(ends[0], &msg);
    FUZZ_CHECK(result < 0, handle, result, nk_state(handle));
    FUZZ_CHECK(nk_close(ends[0]) == 0 && nk_close(ends[1]) == 0, handle, ends[0], ends[1]);
}

void fuzz_recv(void)
{
    const uint32_t handle = fuzz_handle_to_recv();
    const int64_t timeout_ns = fuzz_timeout();
    uint32_t at = fuzz_target(sizeof(struct nk_msg));
    struct nk_msg msg;
    int32_t result;

    if (fuzz_any(8) != 0) {
        at = SCRATCH + fuzz_any(MEMORY_END - SCRATCH - sizeof(msg) + 1);
    }
    result = fuzz_answer(12, nk_recv(handle, (struct nk_msg *)(uintptr_t)at, timeout_ns));
    FUZZ_CHECK(timeout_ns >= -1 || result == -SF_BADARG || result == -SF_BADHANDLE, result,
               timeout_ns, at);
    if (result == -SF_NOMEM && nk_state(handle) < 0) {
        fuzz_handle_gone(handle); /* the kernel itself had no memory: the channel has ended */
    }
    if ((result == -SF_NOMEM || result == -SF_LIMIT) && nk_state(handle) >= 0) {
        stashed_check(handle);
    }
    if (result == -SF_CLOSED && fuzz_any(4) != 0) {
        FUZZ_CHECK(nk_cause(handle) != 0, handle, 0, 0);
        FUZZ_CHECK(fuzz_answer(14, nk_close(handle)) == 0, handle, 0, 0);
        fuzz_handle_gone(handle);
    }
    if (result != 0) {
        return;
    }
    memcpy(&msg, (const void *)(uintptr_t)at, sizeof(msg));
    fuzz_written(at, sizeof(msg));
    message_take(&msg);
}

void fuzz_channel(void)
{
    uint32_t ends[2];
    const uint32_t at = fuzz_target(sizeof(ends));
    const int64_t id = fuzz_any(12) == 0 ? (int64_t)fuzz_any64() : (int64_t)FuzzContract_ID;
    const uint32_t state =
        fuzz_any(8) == 0 ? (uint32_t)fuzz_any64() : fuzz_any(fuzz_any(3) == 0 ? 12 : 3);

    if (fuzz_answer(10, nk_channel(id, state, (uint32_t *)(uintptr_t)at)) == 0) {
        memcpy(ends, (const void *)(uintptr_t)at, sizeof(ends));
        fuzz_written(at, sizeof(ends));
        fuzz_handle_add(ends[0], FUZZ_IMP);
        fuzz_handle_add(ends[1], FUZZ_EXP);
    }
}
