/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watcher.c - asks a roamer again and again, and says "moved N", nanoseconds, of an answer that
 * came from another place than the one before, and every 20 ms "gap N" of the slowest other one, if
 * that took `least_us`: whoever reads lines takes time from the nodes, so there are few of them.
 */
#include "GapContract.h"
#include "sip.h"

#define EVERY_NS 20000000

/* The slowest answers since then. */
struct window {
    int64_t begun_ns, slowest_ns, least_ns;
};

static void window_add(struct window *window, int64_t gap_ns, int64_t now_ns)
{
    if (gap_ns > window->slowest_ns) {
        window->slowest_ns = gap_ns;
    }
    if (now_ns - window->begun_ns >= EVERY_NS) {
        if (window->slowest_ns >= window->least_ns) {
            sip_log("gap %lld", (long long)window->slowest_ns);
        }
        window->slowest_ns = 0;
        window->begun_ns = now_ns;
    }
}

int sip_main(void)
{
    struct window window = {.least_ns = 1000ll * sip_config_u32("least_us", 100)};
    uint32_t roamer = (uint32_t)sip_endpoint_wait("roamer", SIP_MS(10000));
    uint64_t place = 0;

    for (uint64_t number = 0;; number++) {
        struct nk_msg msg = {.tag = GapContract_tag_Ask, .arg_count = 1, .args = {number}};
        int64_t asked_ns = nk_clock_ns();
        int64_t now_ns;
        int32_t st = nk_send(roamer, &msg);

        if (st == 0) {
            st = nk_recv(roamer, &msg, SIP_FOREVER);
        }
        if (st != 0) {
            return -st;
        }
        if (msg.args[0] != number) {
            sip_log("asked %llu, answered %llu", (unsigned long long)number,
                    (unsigned long long)msg.args[0]);
            return 9;
        }
        now_ns = nk_clock_ns();
        if (msg.args[1] != place && number != 0) {
            sip_log("moved %lld", (long long)(now_ns - asked_ns));
        } else {
            window_add(&window, now_ns - asked_ns, now_ns);
        }
        place = msg.args[1];
    }
}
