/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rewire.c - exporter and importers for rewire_test.c; the config value "mode" chooses:
 *   serve     answers additions, one client after the other; 0 as the first number makes it fault
 *   lasting   an importer that adds, loses its exporter, and waits for the import to come again,
 *             `rounds` times; exit code: the lines that did not hold, or 0
 *   late      takes its import only after 50 ms; exit code: kind of its cause, 0 if it works
 *   impatient waits 20 ms for an import that is taken; 0 if that ends in time
 */
#include "ProbeContract.h"
#include "sip.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            sip_log("%s:%d: %s", __FILE__, __LINE__, #condition);                                  \
            nk_exit(__LINE__);                                                                     \
        }                                                                                          \
    } while (0)

static int serve(void)
{
    struct ProbeContract_Exp client;
    struct ProbeContract_Exp_msg msg;

    for (;;) {
        CHECK(ProbeContract_Exp_accept("test", &client, SIP_FOREVER) == 0);
        while (ProbeContract_Exp_recv(client, &msg, SIP_FOREVER) == 0) {
            CHECK(msg.tag == ProbeContract_tag_Add);
            if (msg.Add.a == 0) {
                __builtin_trap();
            }
            CHECK(ProbeContract_Exp_send_Sum(client, msg.Add.a + msg.Add.c, msg.Add.d) == 0);
        }
        CHECK(ProbeContract_Exp_close(client) == 0);
    }
}

/* 0, or the status that ended the channel. */
static int32_t add(struct ProbeContract_Imp peer, int32_t a)
{
    struct ProbeContract_Imp_msg msg;
    int32_t result = ProbeContract_Imp_send_Add(peer, a, 1, 2, 0.5);

    if (result == 0) {
        result = ProbeContract_Imp_recv(peer, &msg, SIP_FOREVER);
    }
    if (result == 0) {
        CHECK(msg.tag == ProbeContract_tag_Sum && msg.Sum.sum == a + 2);
    }
    return result;
}

static int lasting(uint32_t rounds)
{
    for (uint32_t round = 0; round < rounds; round++) {
        struct ProbeContract_Imp peer;
        const int32_t handle = sip_endpoint_wait("peer", SIP_MS(5000));

        CHECK(handle > 0);
        CHECK(sip_endpoint("peer") == -SF_NOTFOUND);
        peer.h = (uint32_t)handle;
        CHECK(add(peer, 40) == 0);
        sip_log("round %u", round);
        CHECK(add(peer, 0) == -SF_CLOSED);
        CHECK((nk_cause(peer.h) & 0xffff) == (SF_CAUSE_PEER_FAULTED | SF_FAULT_UNREACHABLE << 8));
        if (round % 2 == 0) { /* a SIP may also keep the old end for a while */
            CHECK(ProbeContract_Imp_close(peer) == 0);
        }
    }
    return 0;
}

static int late(void)
{
    struct ProbeContract_Imp peer;

    sip_sleep_ns(SIP_MS(50));
    peer.h = (uint32_t)sip_endpoint("peer");
    CHECK((int32_t)peer.h > 0);
    CHECK(sip_endpoint("peer") == -SF_NOTFOUND);
    return add(peer, 1) == 0 ? 0 : nk_cause(peer.h) & 0xff;
}

static int impatient(void)
{
    const int64_t start_ns = nk_clock_ns();

    CHECK(sip_endpoint("peer") > 0);
    CHECK(sip_endpoint_wait("peer", SIP_MS(20)) == -SF_TIMEOUT);
    CHECK(nk_clock_ns() - start_ns >= SIP_MS(20));
    CHECK(sip_endpoint_wait("peer", 0) == -SF_TIMEOUT);
    return 0;
}

int sip_main(void)
{
    char mode[16];

    (void)sip_config("mode", mode, sizeof(mode), "");
    if (strcmp(mode, "serve") == 0) {
        return serve();
    }
    if (strcmp(mode, "late") == 0) {
        return late();
    }
    if (strcmp(mode, "impatient") == 0) {
        return impatient();
    }
    return lasting(sip_config_u32("rounds", 3));
}
