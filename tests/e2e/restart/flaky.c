/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flaky.c - an exporter of EchoContract that faults instead of giving answer number `after`; 0, the
 * default: it never does.
 */
#include "EchoContract.h"
#include "sip.h"

int sip_main(void)
{
    const uint32_t after = sip_config_u32("after", 0);
    struct EchoContract_Exp client;
    struct EchoContract_Exp_msg msg;
    uint32_t asked = 0;

    for (;;) {
        if (EchoContract_Exp_accept("echo", &client, SIP_FOREVER) < 0) {
            return 1;
        }
        while (EchoContract_Exp_recv(client, &msg, SIP_FOREVER) == 0 &&
               msg.tag == EchoContract_tag_Ask) {
            asked++;
            if (asked == after) {
                __builtin_trap();
            }
            if (EchoContract_Exp_send_Answer(client, msg.Ask.data, msg.Ask.data_bytes) < 0) {
                break;
            }
        }
        (void)EchoContract_Exp_close(client);
    }
}
