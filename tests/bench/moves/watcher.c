/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watcher.c - asks a roamer again and again, and says "moved N", nanoseconds, of an answer that came
 * from another place than the one before, and "gap N" of any other that took more than `least_us`.
 */
#include "GapContract.h"
#include "sip.h"

int sip_main(void)
{
    int64_t least_ns = 1000ll * sip_config_u32("least_us", 100);
    uint32_t roamer = (uint32_t)sip_endpoint_wait("roamer", SIP_MS(10000));
    uint64_t place = 0;

    for (uint64_t number = 0;; number++) {
        struct nk_msg msg = {.tag = GapContract_tag_Ask, .arg_count = 1, .args = {number}};
        int64_t asked_ns = nk_clock_ns();
        int64_t gap_ns;
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
        gap_ns = nk_clock_ns() - asked_ns;
        if (msg.args[1] != place && number != 0) {
            sip_log("moved %lld", (long long)gap_ns);
        } else if (gap_ns >= least_ns) {
            sip_log("gap %lld", (long long)gap_ns);
        }
        place = msg.args[1];
    }
}
