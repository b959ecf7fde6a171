/* SPDX-License-Identifier: Apache-2.0 */
/*
 * talker.c - says something `count` times, `pause_us` apart (0: as fast as it can), then bye, or
 * with `fault` an instruction that is none. With `give` it gives an endpoint away first. Exit code:
 * 1 if something is wrong.
 */
#include "TalkContract.h"
#include "sip.h"

#define TEXT "all that is said is heard, and nothing is heard that was not said; so it goes on"

static int32_t heard(struct TalkContract_Imp listener)
{
    struct TalkContract_Imp_msg msg;
    int32_t result = TalkContract_Imp_recv(listener, &msg, SIP_FOREVER);

    if (result == 0) {
        TalkContract_Imp_drop(&msg);
    }
    return result;
}

static int32_t say(struct TalkContract_Imp listener, uint32_t number)
{
    const uint32_t bytes = number % 2 == 0 ? 5 : sizeof(TEXT) - 1;
    uint8_t *text = nk_block_alloc(bytes);
    int32_t result;

    if (text == NULL) {
        return -SF_NOMEM;
    }
    memcpy(text, number % 2 == 0 ? "hello" : TEXT, bytes);
    result = TalkContract_Imp_send_Say(listener, number, -1000000000000 - (int64_t)number,
                                       number % 2 == 0, text, bytes);
    if (result < 0) {
        (void)nk_block_free(text);
        return result;
    }
    return heard(listener);
}

static int32_t give(struct TalkContract_Imp listener)
{
    struct TalkContract_Imp imp;
    struct TalkContract_Exp exp;
    int32_t result = TalkContract_new(&imp, &exp);

    if (result == 0) {
        result = TalkContract_Imp_send_Give(listener, imp);
    }
    return result < 0 ? result : heard(listener);
}

int sip_main(void)
{
    const uint32_t count = sip_config_u32("count", 1000000000);
    const uint32_t pause_us = sip_config_u32("pause_us", 5000);
    const int32_t handle = sip_endpoint_wait("listener", SIP_MS(20000));
    const struct TalkContract_Imp listener = {.h = (uint32_t)handle};
    int32_t result = handle < 0 ? handle : 0;

    if (result == 0 && sip_config_u32("give", 0) != 0) {
        sip_sleep_ns(SIP_MS(1500)); /* for a trace to begin */
        result = give(listener);
    }
    for (uint32_t i = 0; result == 0 && i < count; i++) {
        result = say(listener, i);
        if (pause_us != 0) {
            sip_sleep_ns((int64_t)pause_us * 1000);
        }
    }
    if (result == 0 && sip_config_u32("fault", 0) != 0) {
        __builtin_trap();
    }
    if (result == 0) {
        result = TalkContract_Imp_send_Bye(listener);
    }
    if (result < 0) {
        sip_log("gave up: %s", sip_status_text(result));
    }
    return result < 0;
}
