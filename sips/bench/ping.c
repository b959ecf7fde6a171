/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ping.c - importer of EchoContract: measures round trips of one block.
 *
 * Configuration: count (round trips measured, 1..PING_COUNT_MAX, default 10000), warmup (before
 * them, default 1000), bytes (of the block, 1..1048576, default 64).
 * Says one line: `rtt_ns count N bytes B min A p50 B p99 C`. Every answer's length and first and
 * last byte are checked. Exit code 0 only if all came back right.
 */
#include "sip.h"

#include "EchoContract.h"

#define PING_COUNT_MAX 100000u
#define PING_BYTES_MAX (1u << 20)

static uint32_t ping_ns[PING_COUNT_MAX];

static void ping_sift(uint32_t root, uint32_t count)
{
    uint32_t value = ping_ns[root];

    for (;;) {
        uint32_t child = 2 * root + 1;

        if (child >= count) {
            break;
        }
        if (child + 1 < count && ping_ns[child + 1] > ping_ns[child]) {
            child++;
        }
        if (ping_ns[child] <= value) {
            break;
        }
        ping_ns[root] = ping_ns[child];
        root = child;
    }
    ping_ns[root] = value;
}

static void ping_sort(uint32_t count)
{
    for (uint32_t i = count / 2; i-- > 0;) {
        ping_sift(i, count);
    }
    for (uint32_t end = count; end-- > 1;) {
        uint32_t largest = ping_ns[0];

        ping_ns[0] = ping_ns[end];
        ping_ns[end] = largest;
        ping_sift(0, end);
    }
}

/* One round trip; 0, or -(sf_status). The block that came back is in *data again. */
static int32_t ping_once(struct EchoContract_Imp echo, uint8_t **data, uint32_t bytes, uint8_t mark)
{
    struct EchoContract_Imp_msg msg;
    int32_t answer;

    (*data)[0] = mark;
    (*data)[bytes - 1] = mark;
    answer = EchoContract_Imp_send_Ask(echo, *data, bytes);
    if (answer < 0) {
        return answer;
    }
    answer = EchoContract_Imp_recv(echo, &msg, SIP_FOREVER);
    if (answer < 0) {
        return answer;
    }
    *data = msg.Answer.data;
    if (msg.Answer.data_bytes != bytes || (*data)[0] != mark || (*data)[bytes - 1] != mark) {
        return -SF_FORMAT;
    }
    return 0;
}

int sip_main(void)
{
    struct EchoContract_Imp echo;
    uint32_t count = sip_config_u32("count", 10000);
    uint32_t warmup = sip_config_u32("warmup", 1000);
    uint32_t bytes = sip_config_u32("bytes", 64);
    uint8_t *data;

    if (count < 1 || count > PING_COUNT_MAX || bytes < 1 || bytes > PING_BYTES_MAX) {
        sip_log("ping: count must be 1..%u and bytes 1..%u", PING_COUNT_MAX, PING_BYTES_MAX);
        return SF_BADARG;
    }
    data = nk_block_alloc(bytes);
    if (data == NULL || EchoContract_Imp_take("echo", &echo) < 0) {
        sip_log("ping: no block of %u bytes, or the graph has no channel for 'echo'", bytes);
        return SF_NOTFOUND;
    }
    for (uint32_t i = 0; i < warmup + count; i++) {
        int64_t start = nk_clock_ns();
        int32_t answer = ping_once(echo, &data, bytes, (uint8_t)i);

        if (answer < 0) {
            sip_log("ping: round trip %u failed, status %d", i, answer);
            return 1;
        }
        if (i >= warmup) {
            ping_ns[i - warmup] = (uint32_t)(nk_clock_ns() - start);
        }
    }
    EchoContract_Imp_send_Done(echo);
    ping_sort(count);
    sip_log("rtt_ns count %u bytes %u min %u p50 %u p99 %u", count, bytes, ping_ns[0],
            ping_ns[count / 2], ping_ns[(uint64_t)count * 99 / 100]);
    return 0;
}
