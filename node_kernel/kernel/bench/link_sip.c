/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SIP that bench_link.c runs on both nodes. Configuration: mode ("serve", or what a client
 * measures: "rtt64", "echo", "msgs64", "bulk"), channels (of the client, 1..16), count (round
 * trips, windows of 64 messages, or blocks; of more than SAMPLES_MAX round trips, the last ones
 * count), bytes (of a block), seconds (bulk: ends after so many, and count does not matter; 0: by
 * count). A client says one line: "rtt_ns ..." or "rate ...".
 */
#include "LinkBenchContract.h"
#include "sip.h"

#define COUNT_MAX 100000000u
#define SAMPLES_MAX 200000u
#define CHANNELS_MAX 16u
#define WARMUP 2000u
#define WINDOW 64u

static uint32_t samples[SAMPLES_MAX];
static uint32_t handles[CHANNELS_MAX];
static uint32_t handle_count;

/* --- server -------------------------------------------------------------------------------------
 */

static uint64_t block_sum(const uint8_t *data, uint32_t bytes)
{
    uint64_t first = 0, last = 0;

    memcpy(&first, data, 8);
    memcpy(&last, data + bytes - 8, 8);
    return first + last;
}

/* One message of a client; false: it has left. */
static bool serve_one(uint32_t handle, struct nk_msg *msg, uint32_t *items)
{
    switch (msg->tag) {
    case LinkBenchContract_tag_Ask:
        msg->tag = LinkBenchContract_tag_Answer;
        return nk_send(handle, msg) == 0;
    case LinkBenchContract_tag_Echo:
        msg->tag = LinkBenchContract_tag_Echoed;
        return nk_send(handle, msg) == 0;
    case LinkBenchContract_tag_Item:
        if (++*items % WINDOW == 0) {
            *msg = (struct nk_msg){.tag = LinkBenchContract_tag_Credit};
            return nk_send(handle, msg) == 0;
        }
        return true;
    case LinkBenchContract_tag_Give: {
        uint8_t *data = sip_arg_block(msg->args[0]);
        uint64_t sum = block_sum(data, sip_arg_bytes(msg->args[0]));
        (void)nk_block_free(data);
        *msg = (struct nk_msg){.tag = LinkBenchContract_tag_Took, .arg_count = 1, .args = {sum}};
        return nk_send(handle, msg) == 0;
    }
    default:
        return false;
    }
}

static int serve(void)
{
    static uint32_t items[CHANNELS_MAX];
    uint32_t wanted = sip_config_u32("channels", 1);

    for (;;) {
        uint32_t left = wanted;
        for (uint32_t i = 0; i < wanted; i++) {
            int32_t handle = sip_accept("bench", SIP_FOREVER);
            if (handle < 0) {
                return -handle;
            }
            handles[i] = (uint32_t)handle;
            items[i] = 0;
        }
        while (left > 0) {
            struct nk_msg msg;
            int32_t index = nk_recv_any(handles, wanted, &msg, SIP_FOREVER);
            if (index < 0) {
                return -index;
            }
            if (!serve_one(handles[index], &msg, &items[index])) {
                left--;
            }
        }
        for (uint32_t i = 0; i < wanted; i++) {
            (void)nk_close(handles[i]);
        }
    }
}

/* --- clients ------------------------------------------------------------------------------------
 */

static void sift(uint32_t root, uint32_t count)
{
    uint32_t value = samples[root];

    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= count) {
            break;
        }
        child += child + 1 < count && samples[child + 1] > samples[child];
        if (samples[child] <= value) {
            break;
        }
        samples[root] = samples[child];
        root = child;
    }
    samples[root] = value;
}

static void rtt_tell(uint32_t count)
{
    uint64_t sum = 0;

    count = count < SAMPLES_MAX ? count : SAMPLES_MAX;
    for (uint32_t i = 0; i < count; i++) {
        sum += samples[i];
    }
    for (uint32_t i = count / 2; i-- > 0;) {
        sift(i, count);
    }
    for (uint32_t end = count; end-- > 1;) {
        uint32_t largest = samples[0];
        samples[0] = samples[end];
        samples[end] = largest;
        sift(0, end);
    }
    sip_log("rtt_ns n %u min %u p50 %u p99 %u average %u", count, samples[0], samples[count / 2],
            samples[(uint64_t)count * 99 / 100], (uint32_t)(sum / count));
}

static int rtt64(uint32_t count)
{
    struct nk_msg msg = {.tag = LinkBenchContract_tag_Ask, .arg_count = 8};
    int64_t before = nk_clock_ns();

    for (uint32_t i = 0; i < count + WARMUP; i++) {
        int64_t now;
        msg.tag = LinkBenchContract_tag_Ask;
        msg.args[7] = i;
        if (nk_send(handles[0], &msg) != 0 || nk_recv(handles[0], &msg, SIP_FOREVER) != 0 ||
            msg.args[7] != i) {
            return 1;
        }
        now = nk_clock_ns();
        if (i >= WARMUP) {
            samples[(i - WARMUP) % SAMPLES_MAX] = (uint32_t)(now - before);
        }
        before = now;
    }
    rtt_tell(count);
    return 0;
}

static int echo(uint32_t count, uint32_t bytes)
{
    uint8_t *data = nk_block_alloc(bytes);
    int64_t before = nk_clock_ns();
    uint32_t warmup = count / 10;

    if (data == NULL) {
        return 1;
    }
    for (uint32_t i = 0; i < count + warmup; i++) {
        struct nk_msg msg = {.tag = LinkBenchContract_tag_Echo, .arg_count = 1};
        int64_t now;
        data[0] = data[bytes - 1] = (uint8_t)i;
        msg.args[0] = sip_block_arg(data, bytes);
        if (nk_send(handles[0], &msg) != 0 || nk_recv(handles[0], &msg, SIP_FOREVER) != 0) {
            return 2;
        }
        data = sip_arg_block(msg.args[0]);
        if (data[0] != (uint8_t)i || data[bytes - 1] != (uint8_t)i) {
            return 3;
        }
        now = nk_clock_ns();
        if (i >= warmup) {
            samples[(i - warmup) % SAMPLES_MAX] = (uint32_t)(now - before);
        }
        before = now;
    }
    rtt_tell(count);
    return 0;
}

static bool window_send(uint32_t handle)
{
    struct nk_msg msg = {.tag = LinkBenchContract_tag_Item, .arg_count = 8};

    for (uint32_t i = 0; i < WINDOW; i++) {
        msg.args[0] = i;
        if (nk_send(handle, &msg) != 0) {
            return false;
        }
    }
    return true;
}

/* count windows, over all channels in turn. */
static int msgs64(uint32_t count)
{
    uint32_t under_way = 0, sent = 0;
    int64_t began = 0;

    for (; sent < handle_count && sent < count; sent++, under_way++) {
        if (!window_send(handles[sent])) {
            return 1;
        }
    }
    while (under_way > 0) {
        struct nk_msg msg;
        int32_t index = nk_recv_any(handles, handle_count, &msg, SIP_FOREVER);
        if (index < 0) {
            return 2;
        }
        if (sent == count / 10) {
            began = nk_clock_ns(); /* the first tenth is warm-up */
        }
        if (sent < count) {
            sent++;
            if (!window_send(handles[index])) {
                return 3;
            }
        } else {
            under_way--;
        }
    }
    sip_log("rate n %llu ns %lld", (unsigned long long)(count - count / 10) * WINDOW,
            (long long)(nk_clock_ns() - began));
    return 0;
}

static bool block_send(uint32_t handle, uint32_t bytes, uint32_t mark)
{
    struct nk_msg msg = {.tag = LinkBenchContract_tag_Give, .arg_count = 1};
    uint64_t word = mark;
    uint8_t *data = nk_block_alloc(bytes);

    if (data == NULL) {
        return false;
    }
    memcpy(data, &word, 8);
    memcpy(data + bytes - 8, &word, 8);
    msg.args[0] = sip_block_arg(data, bytes);
    return nk_send(handle, &msg) == 0;
}

/* count blocks, of which a tenth is warm-up. */
static int bulk(uint32_t count, uint32_t bytes)
{
    static uint32_t marks[CHANNELS_MAX];
    uint32_t under_way = 0, sent = 0;
    int64_t began = 0;

    for (; sent < handle_count && sent < count; sent++, under_way++) {
        marks[sent] = sent;
        if (!block_send(handles[sent], bytes, sent)) {
            return 1;
        }
    }
    while (under_way > 0) {
        struct nk_msg msg;
        int32_t index = nk_recv_any(handles, handle_count, &msg, SIP_FOREVER);
        if (index < 0 || msg.args[0] != 2ull * marks[index]) {
            return 2;
        }
        if (began == 0 && sent >= count / 10) {
            began = nk_clock_ns();
        }
        if (sent < count) {
            marks[index] = sent;
            if (!block_send(handles[index], bytes, sent)) {
                return 3;
            }
            sent++;
        } else {
            under_way--;
        }
    }
    sip_log("rate n %llu ns %lld", (unsigned long long)(count - count / 10) * bytes,
            (long long)(nk_clock_ns() - began));
    return 0;
}

/* Blocks for so long; what arrives in the first tenth of it, and after it, is not counted. */
static int bulk_timed(uint32_t seconds, uint32_t bytes)
{
    int64_t began = nk_clock_ns() + SIP_MS(100) * seconds;
    int64_t end = began + SIP_MS(900) * seconds;
    uint32_t counted = 0;

    for (uint32_t i = 0; i < handle_count; i++) {
        if (!block_send(handles[i], bytes, i)) {
            return 1;
        }
    }
    for (uint32_t under_way = handle_count; under_way > 0;) {
        struct nk_msg msg;
        int32_t index = nk_recv_any(handles, handle_count, &msg, SIP_FOREVER);
        int64_t now = nk_clock_ns();
        if (index < 0 || msg.args[0] != 2ull * (uint32_t)index) {
            return 2;
        }
        counted += now >= began && now < end;
        if (now >= end) {
            under_way--;
        } else if (!block_send(handles[index], bytes, (uint32_t)index)) {
            return 3;
        }
    }
    sip_log("rate n %llu ns %lld", (unsigned long long)counted * bytes, (long long)(end - began));
    return 0;
}

static int client(const char *mode)
{
    uint32_t count = sip_config_u32("count", 1000);
    uint32_t bytes = sip_config_u32("bytes", 1u << 20);
    uint32_t seconds = sip_config_u32("seconds", 0);

    handle_count = sip_config_u32("channels", 1);
    if (count < 10 || count > COUNT_MAX || handle_count < 1 || handle_count > CHANNELS_MAX) {
        return 20;
    }
    for (uint32_t i = 0; i < handle_count; i++) {
        const char name[3] = {'c', "0123456789abcdef"[i], 0};
        int32_t handle = sip_endpoint_wait(name, SIP_MS(10000));
        if (handle < 0) {
            return -handle;
        }
        handles[i] = (uint32_t)handle;
    }
    if (strcmp(mode, "rtt64") == 0) {
        return rtt64(count);
    }
    if (strcmp(mode, "echo") == 0) {
        return echo(count, bytes);
    }
    if (strcmp(mode, "msgs64") == 0) {
        return msgs64(count);
    }
    return seconds == 0 ? bulk(count, bytes) : bulk_timed(seconds, bytes);
}

int sip_main(void)
{
    char mode[16];
    int answer;

    sip_config("mode", mode, sizeof(mode), "serve");
    if (strcmp(mode, "serve") == 0) {
        return serve();
    }
    answer = client(mode);
    for (uint32_t i = 0; i < handle_count; i++) {
        struct nk_msg msg = {.tag = LinkBenchContract_tag_Done};
        (void)nk_send(handles[i], &msg);
    }
    return answer;
}
