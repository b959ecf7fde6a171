/* SPDX-License-Identifier: Apache-2.0 */
/* The API fuzzer's SIP: api_sip.h is the manual. Here: all calls but those with messages. */
#include "api_sip.h"

static uint32_t allowed[64]; /* by number of the call: bit of each status it may answer */

void fuzz_broken(int line, const char *what, int64_t a, int64_t b, int64_t c)
{
    sip_log("broken, line %d: %s (%lld, %lld, %lld)", line, what, (long long)a, (long long)b,
            (long long)c);
    nk_exit(FUZZ_BROKEN);
}

static uint32_t status_bit(const char *name, size_t length)
{
#define SF_STATUS(status, number, text)                                                            \
    if (strlen(#status) == length && memcmp(#status, name, length) == 0) {                         \
        return 1u << (number);                                                                     \
    }
#include "base/status.def"
#undef SF_STATUS
    return 0;
}

static uint32_t status_bits(const char *names)
{
    uint32_t bits = 0;

    while (*names != 0) {
        size_t length = 0;
        while (names[length] != 0 && names[length] != ' ') {
            length++;
        }
        bits |= status_bit(names, length);
        names += length + (names[length] == ' ');
    }
    return bits;
}

static void read_table(void)
{
#define NK_CALL(number, name, signature, doc)
#define NK_API(number, name, signature, result, arguments, blocks, answers, doc)                   \
    allowed[number] = status_bits(answers);
#include "abi/nk_calls.def"
#undef NK_API
#undef NK_CALL
}

int32_t fuzz_answer(uint32_t call, int32_t result)
{
    FUZZ_CHECK(result >= 0 || (result > -32 && (allowed[call] & 1u << -result) != 0), call, result,
               0);
    FUZZ_CHECK(result <= 0 || (allowed[call] & 1u << SF_OK) == 0, call, result, 0);
    return result;
}

/* --- calls that write text or bytes: into a guarded buffer, or anywhere ------------------------
 */

#define GUARD 0xa5
#define BUFFER 2048u
static uint8_t buffer[BUFFER + 128];

static uint32_t guarded(uint32_t *bytes)
{
    memset(buffer, GUARD, sizeof(buffer));
    *bytes = *bytes > BUFFER ? BUFFER : *bytes;
    return (uint32_t)(uintptr_t)buffer + 64 + fuzz_any(BUFFER - *bytes + 1);
}

static void guard_check(uint32_t at, uint32_t bytes)
{
    const uint32_t first = at - (uint32_t)(uintptr_t)buffer;

    for (uint32_t i = 0; i < sizeof(buffer); i++) {
        FUZZ_CHECK(buffer[i] == GUARD || (i >= first && i < first + bytes), at, bytes, i);
    }
}

static void call_entropy(bool guard)
{
    uint32_t bytes = fuzz_any(260);
    uint32_t at = guard ? guarded(&bytes) : fuzz_target(300);
    int32_t result;

    bytes = guard ? bytes : fuzz_length(at, 256);
    result = fuzz_answer(5, nk_entropy((void *)(uintptr_t)at, bytes));
    FUZZ_CHECK(result != 0 || (bytes >= 1 && bytes <= 256), at, bytes, result);
    if (guard) {
        guard_check(at, bytes);
    } else {
        fuzz_written(at, result == 0 ? bytes : 0);
    }
}

static void call_text(bool guard, bool config)
{
    uint32_t bytes = fuzz_any(300), name_bytes;
    uint32_t at = guard ? guarded(&bytes) : fuzz_target(1100);
    const char *name = fuzz_name(&name_bytes);
    int32_t result;

    bytes = guard ? bytes : fuzz_length(at, 1024);
    result =
        config
            ? fuzz_answer(6, nk_config(name, name_bytes, (char *)(uintptr_t)at, bytes))
            : fuzz_answer(7, nk_identity(fuzz_any(20) == 0 ? (uint32_t)fuzz_any64() : fuzz_any(2),
                                         (char *)(uintptr_t)at, bytes));
    FUZZ_CHECK(result < 1100, result, at, bytes);
    if (guard) {
        guard_check(at, result < 0 ? 0 : (uint32_t)result < bytes ? (uint32_t)result : bytes);
    } else if (result >= 0) {
        fuzz_written(at, (uint32_t)result < bytes ? (uint32_t)result : bytes);
    }
}

/* --- the others --------------------------------------------------------------------------------
 */

static void call_log(void)
{
    static const char tricks[] = "\x9b[2J \xc2\x9b[2J \x1b[2J \x7f\xc2\xc2\x80\xc2";
    const bool trick = fuzz_any(4) == 0;
    const uint32_t at = trick ? (uint32_t)(uintptr_t)tricks : fuzz_pointer();
    const uint32_t bytes =
        trick ? 1 + fuzz_any(sizeof(tricks) - 1) : fuzz_length(at, NK_LOG_BYTES_MAX);
    const int32_t result = fuzz_answer(3, nk_log((const char *)(uintptr_t)at, bytes));

    FUZZ_CHECK(result != 0 || (bytes >= 1 && bytes <= NK_LOG_BYTES_MAX), at, bytes, result);
}

static void call_named(bool accept)
{
    uint32_t bytes;
    const char *name = fuzz_name(&bytes);
    const int64_t timeout_ns = fuzz_timeout();
    const int32_t result = accept ? fuzz_answer(9, nk_accept(name, bytes, timeout_ns))
                                  : fuzz_answer(8, nk_endpoint(name, bytes));

    FUZZ_CHECK(!accept || timeout_ns >= -1 || result == -SF_BADARG, result, timeout_ns, bytes);

    if (result >= 0) {
        fuzz_handle_add((uint32_t)result, accept ? FUZZ_EXP : FUZZ_IMP);
    }
}

static void call_select(void)
{
    uint32_t list[NK_SELECT_MAX];
    const uint32_t wild = fuzz_pointer();
    const uint32_t count = fuzz_any(20) == 0 ? fuzz_length(wild, 70) : fuzz_any(65);
    const bool own = count <= NK_SELECT_MAX && fuzz_any(10) != 0;
    const bool clean = fuzz_any(4) != 0;
    const int64_t timeout_ns = fuzz_timeout();
    uint32_t at = wild;
    bool bad = false;
    int32_t result;

    if (own) {
        for (uint32_t i = 0; i < count; i++) {
            list[i] = fuzz_handle();
            for (uint32_t tries = 0; clean && tries < 20 && nk_state(list[i]) < 0; tries++) {
                list[i] = fuzz_handle();
            }
            bad = bad || !fuzz_handle_live(list[i]);
        }
        at = fuzz_any(2) == 0 ? (uint32_t)(uintptr_t)list : SCRATCH + fuzz_any(1000);
        memcpy((void *)(uintptr_t)at, list, count * sizeof(list[0]));
    }
    result = fuzz_answer(13, nk_select((const uint32_t *)(uintptr_t)at, count, timeout_ns));
    FUZZ_CHECK(timeout_ns >= -1 || result == -SF_BADARG, result, timeout_ns, count);
    /* A wrong one is told even if another is ready. */
    FUZZ_CHECK(!bad || timeout_ns < -1 || result == -SF_BADHANDLE, result, count, 0);
    FUZZ_CHECK(result < 0 || (uint32_t)result < count, result, count, at);
}

static void call_close(void)
{
    const uint32_t handle = fuzz_handle();

    if (fuzz_answer(14, nk_close(handle)) == 0) {
        fuzz_handle_gone(handle);
    }
}

static void call_look(void)
{
    const uint32_t handle =
        fuzz_any(2) == 0 ? fuzz_handle() : (1 + fuzz_any(2)) * NK_HANDLES_MAX + fuzz_any(40);
    const int32_t state = fuzz_answer(15, nk_state(handle));
    const int32_t cause = nk_cause(handle);

    FUZZ_CHECK(state == -SF_BADHANDLE || (state >= 0 && state < 9), handle, state, cause);
    FUZZ_CHECK((state < 0) == (cause == -SF_BADHANDLE), handle, state, cause);
    /* What was not yet taken with endpoint or accept is not there. */
    FUZZ_CHECK((state >= 0) == fuzz_handle_live(handle), handle, state, cause);
}

static uint32_t block_size(void)
{
    switch (fuzz_any(40)) {
    case 0:
        return (uint32_t)fuzz_any64();
    case 1:
        return 0;
    case 2:
        return (32u << 20) + fuzz_any(2);
    case 3:
        return fuzz_any(QUOTA);
    case 4:
    case 5:
    case 6:
        return fuzz_any(QUOTA / 4);
    default:
        return 1u << fuzz_any(13) | fuzz_any(70);
    }
}

static bool block_make(void)
{
    const uint32_t bytes = block_size();
    void *block = nk_block_alloc(bytes);
    struct fuzz_block made = {(uint32_t)(uintptr_t)block, bytes, true};

    if (block == NULL) {
        return false;
    }
    FUZZ_CHECK(bytes > 0 && bytes <= QUOTA, bytes, made.address, 0);
    fuzz_pattern_put(&made);
    fuzz_block_add(made.address, bytes);
    return true;
}

static void call_block_free(void)
{
    const struct fuzz_block *block = fuzz_block_any();
    uint32_t at = fuzz_any(4) == 0 || block == NULL ? fuzz_pointer() : block->address;

    if (fuzz_answer(18, nk_block_free((void *)(uintptr_t)at)) == 0) {
        fuzz_block_gone(at);
    }
}

static void call_block_bytes(void)
{
    const uint32_t at = fuzz_pointer();
    const int32_t bytes = fuzz_answer(19, nk_block_bytes((const void *)(uintptr_t)at));
    const struct fuzz_block *block = fuzz_block_find(at);

    FUZZ_CHECK(bytes == (block == NULL ? -SF_NOTOWNER : (int32_t)block->bytes), at, bytes, 0);
}

/* All that there is of something, and back again. */
static void exhaust(void)
{
    static uint32_t all[NK_HANDLES_MAX + 2];
    uint32_t made = 0;

    if (fuzz_any(4) != 0) {
        for (uint32_t i = 0; i < BLOCKS * 2 && block_make(); i++) {
        }
        return;
    }
    while (fuzz_answer(10, nk_channel((int64_t)FuzzContract_ID, 0, &all[made])) == 0) {
        made += 2;
        FUZZ_CHECK(made < NK_HANDLES_MAX, made, 0, 0);
    }
    for (uint32_t i = fuzz_any(20); i > 0; i--) { /* no handle is left for what comes in */
        fuzz_recv();
    }
    while (made > 0) {
        const int32_t result = nk_close(all[--made]);
        FUZZ_CHECK(result == 0 || result == -SF_BADHANDLE, made, all[made], result);
    }
}

static void fault(void)
{
    static volatile int zero;
    const struct fuzz_block *block = &fuzz_blocks[fuzz_any(BLOCKS)];

    if (fuzz_any(2) == 0 && !block->live && block->address != 0) {
        sip_log(FUZZ_FAULT_SOON ": block");
        *(volatile uint8_t *)(uintptr_t)block->address = 1; /* only large ones vanish */
        fuzz_written(block->address, 1);                    /* another may be there now */
        return;
    }
    sip_log(FUZZ_FAULT_SOON);
    switch (fuzz_any(4)) {
    case 0:
        *(volatile uint8_t *)(uintptr_t)(MEMORY_END + fuzz_any(1u << 20)) = 1;
        return;
    case 1:
        zero = 1 / zero;
        return;
    case 2:
        __builtin_trap();
    default:
        nk_exit((int32_t)fuzz_any(50));
    }
}

static void compute(void)
{
    for (volatile uint32_t i = 0, end = fuzz_any(200000); i < end; i++) {
    }
}

static void step(void)
{
    const uint32_t draw = fuzz_any(1000);

    if (draw < 330) {
        fuzz_send();
    } else if (draw < 560) {
        fuzz_recv();
    } else if (draw < 620) {
        fuzz_channel();
    } else if (draw < 740) {
        (void)block_make();
    } else if (draw < 780) {
        call_block_free();
    } else if (draw < 800) {
        call_block_bytes();
    } else if (draw < 840) {
        call_select();
    } else if (draw < 880) {
        call_close();
    } else if (draw < 905) {
        call_look();
    } else if (draw < 930) {
        call_named(draw < 918);
    } else if (draw < 960) {
        call_text(fuzz_any(2) == 0, draw < 945);
    } else if (draw < 975) {
        call_entropy(fuzz_any(2) == 0);
    } else if (draw < 985) {
        call_log();
    } else if (draw < 992) {
        FUZZ_CHECK(nk_clock_ns() > 0, 0, 0, 0);
        nk_yield();
    } else if (draw < 996) {
        compute();
    } else if (draw < 998) {
        fuzz_own_check();
    } else if (fuzz_any(6) == 0) {
        exhaust();
    } else if (fuzz_any(3) == 0) {
        fault();
    }
}

int sip_main(void)
{
    uint32_t steps = sip_config_u32("steps", 100);

    read_table();
    fuzz_seed(sip_config_u32("seed", 1));
    FUZZ_CHECK(allowed[11] > 0 && allowed[5] != 0, allowed[11], allowed[5], 0);
    while (steps-- > 0) {
        step();
    }
    fuzz_own_check();
    return (int)fuzz_any(3);
}
