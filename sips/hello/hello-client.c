/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hello-client.c - imports HelloContract: greets, logs what comes back, says bye.
 *
 * Written with the typed calls: what may be sent or received next is in the type of `server`.
 * Configuration: name (default "world"), count (default 1).
 * Exit code: 0 all greeted; 1 the channel or memory failed.
 */
#include "HelloContract_typed.h"
#include "sip.h"

static int failed(uint32_t server, const char *what, int32_t result)
{
    sip_log("%s: %s, %s", what, sip_status_text(result), sip_cause_text(nk_cause(server)));
    return 1;
}

/* On 0, *server is the endpoint for the next greeting. */
static int32_t greet(struct HelloContract_Imp_Start *server, const char *name)
{
    const uint32_t bytes = strlen(name);
    struct HelloContract_Imp_Start_Hello asked;
    struct HelloContract_Imp_Start_Hello_msg msg;
    uint8_t *block = nk_block_alloc(bytes > 0 ? bytes : 1);
    int32_t result;

    if (block == NULL) {
        return -SF_NOMEM;
    }
    memcpy(block, name, bytes);
    result = HelloContract_Imp_Start_send_Hello(*server, block, bytes, &asked);
    if (result < 0) {
        (void)nk_block_free(block);
        return result;
    }
    result = HelloContract_Imp_Start_Hello_recv(asked, &msg, SIP_FOREVER);
    if (result < 0) {
        return result;
    }
    sip_log("%.*s", (int)msg.Greeting.text_bytes, (const char *)msg.Greeting.text);
    *server = msg.Greeting.next_;
    HelloContract_Imp_Start_Hello_drop(&msg);
    return 0;
}

int sip_main(void)
{
    struct HelloContract_Imp_Start server;
    struct HelloContract_Imp_Done done;
    char name[64];
    const uint32_t count = sip_config_u32("count", 1);
    int32_t result = HelloContract_Imp_Start_take("hello", &server);

    if (result < 0) {
        sip_log("no channel hello: %s", sip_status_text(result));
        return 1;
    }
    (void)sip_config("name", name, sizeof(name), "world");
    for (uint32_t i = 0; i < count; i++) {
        result = greet(&server, name);
        if (result < 0) {
            return failed(server.h, "not greeted", result);
        }
    }
    result = HelloContract_Imp_Start_send_Bye(server, &done);
    return result < 0 ? failed(server.h, "could not say bye", result) : 0;
}
