/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for ever on a channel to itself, as a server without work does. */
#include "ProbeContract.h"
#include "sip.h"

int sip_main(void)
{
    uint32_t ends[2];
    struct nk_msg msg;

    if (nk_channel((int64_t)ProbeContract_ID, 0, ends) != 0) {
        return 1;
    }
    return nk_recv(ends[1], &msg, SIP_FOREVER) == 0 ? 2 : 3;
}
