/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#define BLOCK(address, bytes) sip_block_arg(address, bytes)
#define BLOCK_DATA(arg) ((uint8_t *)sip_arg_block(arg))
#define BLOCK_LENGTH(arg) sip_arg_bytes(arg)

static int basics(void)
{
    char text[32];
    uint8_t random[2][16] = {{0}};
    int64_t before = nk_clock_ns();

    CHECK(nk_config(NAME("answer"), text, sizeof(text)) == 2);
    CHECK(memcmp(text, "42", 2) == 0);
    CHECK(nk_config(NAME("answer"), text, 1) == 2); /* cut, full length told */
    CHECK(nk_config(NAME("question"), text, sizeof(text)) == -SF_NOTFOUND);
    CHECK(nk_identity(0, text, sizeof(text)) == 6 && memcmp(text, "basics", 6) == 0);
    CHECK(nk_identity(1, text, sizeof(text)) == 8 && memcmp(text, "testnode", 8) == 0);
    CHECK(nk_entropy(random[0], 16) == 0 && nk_entropy(random[1], 16) == 0);
    CHECK(memcmp(random[0], random[1], 16) != 0);
    CHECK(nk_select(NULL, 0, SIP_MS(3)) == -SF_TIMEOUT);
    CHECK(nk_clock_ns() - before >= SIP_MS(3));
    nk_yield();
    CHECK(nk_log(NAME("a line\nnot\x1b two")) == 0);
    return 0;
}

/* Answers until the peer says Bye or closes. */
static int serve(uint32_t handle)
{
    struct nk_msg msg;

    for (;;) {
        int32_t got = nk_recv(handle, &msg, SIP_FOREVER);

        if (got == -SF_CLOSED) {
            sip_log("closed %x", (unsigned)nk_cause(handle));
            CHECK(nk_close(handle) == 0);
            return 0;
        }
        CHECK(got == 0);
        if (msg.tag == ProbeContract_tag_Ping) {
            uint8_t *data = BLOCK_DATA(msg.args[0]);

            CHECK(nk_block_bytes(data) == (int32_t)BLOCK_LENGTH(msg.args[0]));
            data[0]++;
            msg.tag = ProbeContract_tag_Pong;
            CHECK(nk_send(handle, &msg) == 0);
            CHECK(nk_block_bytes(data) == -SF_NOTOWNER);
        } else if (msg.tag == ProbeContract_tag_Add) {
            msg.args[0] =
                (uint64_t)((int32_t)msg.args[0] + (int64_t)msg.args[1] + (int64_t)msg.args[2]);
            msg.args[1] = msg.args[3];
            msg.tag = ProbeContract_tag_Sum;
            msg.arg_count = 2;
            CHECK(nk_send(handle, &msg) == 0);
        } else if (msg.tag == ProbeContract_tag_Give) {
            uint32_t given = (uint32_t)msg.args[0];

            msg = (struct nk_msg){.tag = ProbeContract_tag_Add, .arg_count = 4, .args = {1, 2, 3}};
            CHECK(nk_send(given, &msg) == 0);
            CHECK(nk_recv(given, &msg, SIP_FOREVER) == 0);
            CHECK(msg.tag == ProbeContract_tag_Sum && msg.args[0] == 6);
            CHECK(nk_close(given) == 0);
            msg = (struct nk_msg){.tag = ProbeContract_tag_Took};
            CHECK(nk_send(handle, &msg) == 0);
        } else {
            CHECK(msg.tag == ProbeContract_tag_Bye);
            CHECK(nk_close(handle) == 0);
            return 0;
        }
    }
}

static int server(void)
{
    int32_t handle = nk_accept(NAME("test"), SIP_FOREVER);
    uint32_t listening;

    CHECK(handle > 0);
    CHECK(nk_accept(NAME("test"), 0) == -SF_TIMEOUT);
    CHECK(nk_accept(NAME("none"), 0) == -SF_NOTFOUND);
    listening = (uint32_t)nk_listen(NAME("test"));
    CHECK((int32_t)listening > 0 && nk_listen(NAME("none")) == -SF_NOTFOUND);
    CHECK(nk_select(&listening, 1, 0) == -SF_TIMEOUT);
    CHECK(nk_close(listening) == -SF_BADHANDLE && nk_state(listening) == -SF_BADHANDLE);
    listening += 1u << 12; /* one export further: there is none */
    CHECK(nk_select(&listening, 1, 0) == -SF_BADHANDLE);
    return serve((uint32_t)handle);
}

static void ping(uint32_t peer, uint32_t bytes)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Ping, .arg_count = 1};
    uint8_t *data = nk_block_alloc(bytes);

    CHECK(data != NULL);
    CHECK(nk_block_bytes(data) == (int32_t)bytes);
    memset(data, 0x40, bytes);
    msg.args[0] = BLOCK(data, bytes);
    CHECK(nk_send(peer, &msg) == 0);
    CHECK(nk_state(peer) != 0);
    CHECK(nk_block_free(data) == -SF_NOTOWNER);
    CHECK(nk_recv(peer, &msg, SIP_FOREVER) == 0);
    CHECK(msg.tag == ProbeContract_tag_Pong && msg.arg_count == 1);
    CHECK(BLOCK_LENGTH(msg.args[0]) == bytes);
    data = BLOCK_DATA(msg.args[0]);
    CHECK(data[0] == 0x41);
    for (uint32_t i = 1; i < bytes; i++) {
        CHECK(data[i] == 0x40);
    }
    CHECK(nk_block_free(data) == 0);
}

/* Makes a channel, gives its importer's end away, and serves the exporter's end itself. */
static void give(uint32_t peer)
{
    uint32_t ends[2] = {0, 0};
    struct nk_msg msg = {.tag = ProbeContract_tag_Give, .arg_count = 1};

    CHECK(nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0);
    msg.args[0] = ends[0];
    CHECK(nk_send(peer, &msg) == 0);
    CHECK(nk_close(ends[0]) == -SF_BADHANDLE); /* it is gone */
    uint32_t both[2] = {peer, ends[1]};
    CHECK(nk_select(both, 2, SIP_FOREVER) == 1);
    CHECK(serve(ends[1]) == 0); /* the peer adds over it, then closes it */
    CHECK(nk_recv(peer, &msg, SIP_FOREVER) == 0);
    CHECK(msg.tag == ProbeContract_tag_Took);
}

static int client(void)
{
    static const uint32_t sizes[] = {1, 64, 65, 1000, 4096, 4097, 65536, 100000, 1000000};
    struct nk_msg msg = {.tag = ProbeContract_tag_Add, .arg_count = 4};
    int32_t got = nk_endpoint(NAME("peer"));
    uint32_t peer = (uint32_t)got;
    double d = 1.5;

    CHECK(got > 0);
    CHECK(nk_endpoint(NAME("peer")) == -SF_NOTFOUND); /* taken */
    CHECK(nk_recv(peer, &msg, 0) == -SF_TIMEOUT);
    CHECK(nk_recv(peer, &msg, SIP_MS(1)) == -SF_TIMEOUT);
    CHECK(nk_cause(peer) == 0);
    msg.args[0] = (uint64_t)(int64_t)-5;
    msg.args[1] = 65535;
    msg.args[2] = (uint64_t)-1000000000000;
    memcpy(&msg.args[3], &d, sizeof(d));
    CHECK(nk_send(peer, &msg) == 0);
    CHECK(nk_send(peer, &msg) == -SF_CONTRACT); /* it is the peer's turn */
    CHECK(nk_recv(peer, &msg, SIP_FOREVER) == 0);
    CHECK(msg.tag == ProbeContract_tag_Sum && msg.arg_count == 2);
    CHECK((int64_t)msg.args[0] == -5 + 65535 - 1000000000000);
    memcpy(&d, &msg.args[1], sizeof(d));
    CHECK(d == 1.5);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            ping(peer, sizes[i]);
        }
    }
    give(peer);
    msg = (struct nk_msg){.tag = ProbeContract_tag_Bye};
    CHECK(nk_send(peer, &msg) == 0);
    CHECK(nk_recv(peer, &msg, SIP_FOREVER) == -SF_CLOSED);
    CHECK((nk_cause(peer) & 0xff) == SF_CAUSE_CLOSED_BY_PEER);
    return 0;
}

/* Waits on an import until it closes; the exit code is kind and fault of the cause. */
static int watch(void)
{
    struct nk_msg msg;
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer"));

    CHECK((int32_t)peer > 0);
    CHECK(nk_select(&peer, 1, SIP_FOREVER) == 0);
    CHECK(nk_recv(peer, &msg, SIP_FOREVER) == -SF_CLOSED);
    return nk_cause(peer) & 0xffff;
}

/* Sends a block of `bytes` and then waits for ever, or until the reply cannot be taken. */
static int flood(void)
{
    struct nk_msg msg;
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer"));
    void *kept[16];

    CHECK((int32_t)peer > 0);
    msg = (struct nk_msg){.tag = ProbeContract_tag_Ping, .arg_count = 1};
    void *first = nk_block_alloc(1 << 20);
    msg.args[0] = BLOCK(first, 1 << 20);
    CHECK(nk_send(peer, &msg) == 0);
    for (unsigned count = 0; count < 16;) { /* 16 MiB is the quota */
        kept[count] = nk_block_alloc(1 << 20);
        if (kept[count] != NULL) {
            count++;
        } else { /* what was sent counts, too, until it is taken */
            nk_yield();
        }
    }
    CHECK(nk_block_alloc(1) == NULL);
    CHECK(nk_recv(peer, &msg, SIP_FOREVER) == -SF_NOMEM); /* it waits */
    CHECK(nk_select(&peer, 1, 0) == 0);
    CHECK(nk_recv(peer, &msg, SIP_FOREVER) == -SF_NOMEM);
    CHECK(nk_block_free(kept[3]) == 0);
    CHECK(nk_recv(peer, &msg, SIP_FOREVER) == 0);
    CHECK(BLOCK_LENGTH(msg.args[0]) == 1 << 20);
    CHECK(nk_block_free(BLOCK_DATA(msg.args[0])) == 0);
    return 0;
}

/* A block sent with less than its length arrives trimmed. */
static int trim(void)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Ping, .arg_count = 1};
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer"));
    uint8_t *data = nk_block_alloc(1000);

    CHECK((int32_t)peer > 0 && data != NULL);
    memset(data, 7, 1000);
    msg.tag = ProbeContract_tag_Pong; /* not ours to send: nothing may change */
    msg.args[0] = BLOCK(data, 10);
    CHECK(nk_send(peer, &msg) == -SF_CONTRACT);
    CHECK(nk_block_bytes(data) == 1000 && data[0] == 7);
    msg.tag = ProbeContract_tag_Ping;
    CHECK(nk_send(peer, &msg) == 0);
    CHECK(nk_recv(peer, &msg, SIP_FOREVER) == 0);
    CHECK(BLOCK_LENGTH(msg.args[0]) == 10);
    return 0;
}

static int loop(void)
{
    for (;;) {
        nk_yield();
    }
}

static int spin(void)
{
    for (volatile uint32_t i = 0;; i++) {
    }
}

/* As fast as it can. */
static int logger(void)
{
    for (uint32_t i = 0; i < 20000; i++) {
        CHECK(nk_log(NAME("a line")) == 0);
    }
    return 0;
}

static int own_zero(void)
{
    return 0;
}

/* The same sum as in sip_test.c; the seed is the digit in the SIP's name. */
static int compute(void)
{
    char name[8];

    CHECK(nk_identity(0, name, sizeof(name)) == 2);
    uint32_t seed = (uint32_t)(name[1] - '0');
    uint64_t sum = seed;
    double d = 1.0 + seed;

    for (uint32_t i = 0; i < 20000000; i++) {
        sum = (sum ^ i) * 0x9e3779b97f4a7c15ull + (sum >> 29);
        d = d * 1.0000001 + (double)(i & 7) / 3.0;
    }
    return (int)((uint32_t)(sum >> 40) ^ (uint32_t)(int64_t)d);
}

/* Data of its own: initialised, constant, with addresses in it, and zero. */
static uint32_t own_count = 7;
static uint32_t *const own_pointer = &own_count;
static const char *own_texts[] = {"first", "second"};
static uint32_t own_zeros[1000];
static int (*const own_functions[])(void) = {basics, spin, own_zero};

/* Counts in it while others of the same image do the same. */
static int own(void)
{
    for (uint32_t i = 0; i < 1000; i++) {
        CHECK(*own_pointer == 7 + i);
        CHECK(own_zeros[i] == 0 && own_zeros[999 - i] == (i < 500 ? 0 : 1000 - i));
        own_count++;
        own_zeros[i] = i + 1;
        nk_yield();
    }
    CHECK(strcmp(own_texts[own_count % 2], "second") == 0);
    own_texts[1] = own_texts[0];
    CHECK(strcmp(own_texts[1], "first") == 0);
    return own_functions[own_zeros[1]]();
}

static int is(const char *mode, const char *name)
{
    return strcmp(mode, name) == 0;
}

int sip_main(void)
{
    char mode[32];

    (void)sip_config("mode", mode, sizeof(mode), "exit");
    if (is(mode, "exit")) {
        return 7;
    }
    if (is(mode, "basics")) {
        return basics();
    }
    if (is(mode, "server")) {
        return server();
    }
    if (is(mode, "client")) {
        return client();
    }
    if (is(mode, "watch")) {
        return watch();
    }
    if (is(mode, "flood")) {
        return flood();
    }
    if (is(mode, "trim")) {
        return trim();
    }
    if (is(mode, "loop")) {
        return loop(); /* @loop */
    }
    if (is(mode, "spin")) {
        return spin();
    }
    if (is(mode, "logger")) {
        return logger();
    }
    if (is(mode, "compute")) {
        return compute();
    }
    if (is(mode, "own")) {
        return own();
    }
    if (is(mode, "hostile")) {
        return probe_hostile();
    }
    if (is(mode, "fill") || is(mode, "look")) {
        return probe_recycle(mode);
    }
    int result = probe_slots(mode);
    if (result == -1) {
        result = probe_wait(mode);
    }
    return result != -1 ? result : probe_fault(mode); /* @sip_main */
}
