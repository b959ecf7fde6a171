/* SPDX-License-Identifier: Apache-2.0 */
/*
 * echo.c - exporter of EchoContract: gives every block back. Serves one client after the other,
 * for ever. The link benchmarks measure round trips through it.
 */
#include "sip.h"

#include "EchoContract.h"

static void echo_serve(struct EchoContract_Exp client)
{
    struct EchoContract_Exp_msg msg;

    while (EchoContract_Exp_recv(client, &msg, SIP_FOREVER) == 0 &&
           msg.tag == EchoContract_tag_Ask) {
        if (EchoContract_Exp_send_Answer(client, msg.Ask.data, msg.Ask.data_bytes) < 0) {
            break;
        }
    }
    EchoContract_Exp_close(client);
}

int sip_main(void)
{
    for (;;) {
        int32_t handle = sip_accept("echo", SIP_FOREVER);

        if (handle < 0) {
            return -handle;
        }
        echo_serve((struct EchoContract_Exp){.h = (uint32_t)handle});
    }
}
