/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steady.c - an importer that outlives its exporter: it asks for `answers` answers, and whenever
 * the channel closes it says why, waits for the import to be wired again, and goes on. It pauses 5
 * ms after each. Then it says so, and stays. Exit code: 1 if the import does not come back in time,
 * or something else is wrong.
 */
#include "EchoContract.h"
#include "sip.h"

#define PATIENCE SIP_MS(20000)

static int32_t ask(struct EchoContract_Imp echo)
{
    struct EchoContract_Imp_msg msg;
    uint8_t *block = nk_block_alloc(64);
    int32_t result;

    if (block == NULL) {
        return -SF_NOMEM;
    }
    memset(block, 7, 64);
    result = EchoContract_Imp_send_Ask(echo, block, 64);
    if (result < 0) {
        (void)nk_block_free(block);
        return result;
    }
    result = EchoContract_Imp_recv(echo, &msg, SIP_FOREVER);
    if (result == 0) {
        EchoContract_Imp_drop(&msg);
    }
    return result;
}

/* 0, or the status with which it did not come. */
static int32_t take_again(struct EchoContract_Imp *echo)
{
    const int32_t handle = sip_endpoint_wait("echo", PATIENCE);

    echo->h = (uint32_t)handle;
    return handle < 0 ? handle : 0;
}

int sip_main(void)
{
    const uint32_t answers = sip_config_u32("answers", 10);
    struct EchoContract_Imp echo;
    int32_t result = take_again(&echo);
    uint32_t answered = 0;

    while (result == 0 && answered < answers) {
        result = ask(echo);
        if (result == 0) {
            answered++;
            sip_sleep_ns(SIP_MS(5));
        } else if (result == -SF_CLOSED) {
            sip_log("lost: %s", sip_cause_text(nk_cause(echo.h)));
            (void)EchoContract_Imp_close(echo);
            result = take_again(&echo);
            sip_log("again after %u answers", answered);
        }
    }
    if (result < 0) {
        sip_log("gave up after %u answers: %s", answered, sip_status_text(result));
        return 1;
    }
    sip_log("all %u answered", answered);
    sip_sleep_ns(SIP_FOREVER);
    return 0;
}
