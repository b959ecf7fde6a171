/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hello.c - exports HelloContract: a name comes in, a greeting goes out.
 *
 * Serves one client after the other; those who come meanwhile wait in their channels.
 */
#include "HelloContract.h"
#include "sip.h"

#define GREETING_BYTES_MAX 256u

/* Answers 0, or the negative status with which the channel ended. */
static int32_t answer(struct HelloContract_Exp client, const struct HelloContract_Exp_msg *msg)
{
    char name[128];
    uint32_t bytes = msg->Hello.name_bytes;
    char *text;
    int length;

    if (bytes > sizeof(name) - 1) {
        bytes = sizeof(name) - 1;
    }
    if (bytes > 0) {
        memcpy(name, msg->Hello.name, bytes);
    }
    name[bytes] = '\0';
    text = nk_block_alloc(GREETING_BYTES_MAX);
    if (text == NULL) {
        return -SF_NOMEM;
    }
    length = sip_format(text, GREETING_BYTES_MAX, "hello, %s", name);
    return HelloContract_Exp_send_Greeting(client, (uint8_t *)text, (uint32_t)length);
}

static void serve(struct HelloContract_Exp client)
{
    struct HelloContract_Exp_msg msg;
    int32_t result;
    uint32_t greeted = 0;

    for (;;) {
        result = HelloContract_Exp_recv(client, &msg, SIP_FOREVER);
        if (result < 0 || msg.tag == HelloContract_tag_Bye) {
            break;
        }
        result = answer(client, &msg);
        HelloContract_Exp_drop(&msg);
        if (result < 0) {
            break;
        }
        greeted++;
    }
    if (result < 0) {
        sip_log("client left after %u greetings: %s, %s", greeted, sip_status_text(result),
                sip_cause_text(nk_cause(client.h)));
    } else {
        sip_log("client said bye after %u greetings", greeted);
    }
    (void)HelloContract_Exp_close(client);
}

int sip_main(void)
{
    for (;;) {
        struct HelloContract_Exp client;
        const int32_t result = HelloContract_Exp_accept("hello", &client, SIP_FOREVER);
        if (result < 0) {
            sip_log("no more clients: %s", sip_status_text(result));
            return 1;
        }
        serve(client);
    }
}
