/* SPDX-License-Identifier: Apache-2.0 */
/* listener.c - takes one channel and answers all that is said; keeps what it is given. Exit code: 1
 * if something is wrong. */
#include "TalkContract.h"
#include "sip.h"

int sip_main(void)
{
    struct TalkContract_Exp talker;
    int32_t result = TalkContract_Exp_accept("talk", &talker, SIP_FOREVER);
    uint16_t count = 0;

    while (result == 0) {
        struct TalkContract_Exp_msg msg;

        result = TalkContract_Exp_recv(talker, &msg, SIP_FOREVER);
        if (result == -SF_CLOSED || (result == 0 && msg.tag == TalkContract_tag_Bye)) {
            return 0;
        }
        if (result == 0 && msg.tag == TalkContract_tag_Give) {
            result = TalkContract_Exp_send_Took(talker);
        } else if (result == 0) {
            count++;
            TalkContract_Exp_drop(&msg);
            result = TalkContract_Exp_send_Heard(talker, 0.5, count);
        }
    }
    sip_log("gave up: %s", sip_status_text(result));
    return 1;
}
