/* SPDX-License-Identifier: Apache-2.0 */
/* swapper.c - imports SwapContract: sends `count` blocks (1000), and checks what comes back for
 * each. Exit code: 0 if all were right. */
#include "swap.h"

#include "SwapContract.h"

static int32_t swap_once(struct SwapContract_Imp keeper, uint32_t number, uint64_t *total,
                         const char **wrong)
{
    struct SwapContract_Imp_msg msg;
    uint32_t bytes = 0;
    uint64_t sum = 0;
    uint8_t *data = swap_make(number, SWAP_THERE, &bytes, &sum);
    int32_t result;

    if (data == NULL) {
        return -SF_NOMEM;
    }
    *total += bytes;
    result = SwapContract_Imp_send_Put(keeper, number, sum, data, bytes);
    if (result < 0) {
        (void)nk_block_free(data);
        return result;
    }
    result = SwapContract_Imp_recv(keeper, &msg, SIP_FOREVER);
    if (result < 0) {
        return result;
    }
    *wrong = swap_wrong(msg.Got.number, number, SWAP_BACK, msg.Got.sum, msg.Got.data,
                        msg.Got.data_bytes);
    *total += msg.Got.data_bytes;
    SwapContract_Imp_drop(&msg);
    return 0;
}

int sip_main(void)
{
    const uint32_t count = sip_config_u32("count", 1000);
    const int32_t handle = sip_endpoint_wait("keeper", SIP_MS(30000));
    const struct SwapContract_Imp keeper = {.h = (uint32_t)handle};
    int32_t result = handle < 0 ? handle : 0;
    const char *wrong = NULL;
    uint64_t total = 0;
    uint32_t i;

    for (i = 0; i < count && result == 0 && wrong == NULL; i++) {
        result = swap_once(keeper, i, &total, &wrong);
    }
    if (result == 0 && wrong == NULL) {
        sip_log("swapped %u blocks each way, %u KiB", count, (uint32_t)(total >> 10));
        return SwapContract_Imp_send_Bye(keeper, count) == 0 ? 0 : 1;
    }
    sip_log("block %u: %s, %s", i, wrong != NULL ? wrong : "right", sip_status_text(result));
    return 1;
}
