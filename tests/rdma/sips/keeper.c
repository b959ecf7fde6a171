/* SPDX-License-Identifier: Apache-2.0 */
/* keeper.c - exports SwapContract to one client: checks each block that comes, answers with one of
 * its own. Exit code: 0 if all were right and the client said bye. */
#include "swap.h"

#include "SwapContract.h"

static int32_t answer(struct SwapContract_Exp client, uint32_t number)
{
    uint32_t bytes = 0;
    uint64_t sum = 0;
    uint8_t *data = swap_make(number, SWAP_BACK, &bytes, &sum);

    return data == NULL ? -SF_NOMEM : SwapContract_Exp_send_Got(client, number, sum, data, bytes);
}

int sip_main(void)
{
    struct SwapContract_Exp client;
    int32_t result = SwapContract_Exp_accept("swap", &client, SIP_FOREVER);
    const char *wrong = NULL;
    uint32_t count = 0;

    while (result == 0 && wrong == NULL) {
        struct SwapContract_Exp_msg msg;

        result = SwapContract_Exp_recv(client, &msg, SIP_FOREVER);
        if (result != 0) {
            break;
        }
        if (msg.tag == SwapContract_tag_Bye) {
            sip_log("kept %u, client says %u", count, msg.Bye.count);
            return msg.Bye.count == count ? 0 : 1;
        }
        wrong = swap_wrong(msg.Put.number, count, SWAP_THERE, msg.Put.sum, msg.Put.data,
                           msg.Put.data_bytes);
        SwapContract_Exp_drop(&msg);
        result = wrong == NULL ? answer(client, count) : result;
        count++;
    }
    sip_log("block %u: %s, %s, %s", count, wrong != NULL ? wrong : "right", sip_status_text(result),
            sip_cause_text(nk_cause(client.h)));
    return 1;
}
