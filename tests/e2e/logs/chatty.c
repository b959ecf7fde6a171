/* SPDX-License-Identifier: Apache-2.0 */
/* chatty.c - logs as fast as it can, `lines` lines (0: without end), and leaves with exit code 3.
 */
#include "sip.h"

int sip_main(void)
{
    const uint32_t lines = sip_config_u32("lines", 0);

    for (uint32_t i = 1; lines == 0 || i <= lines; i++) {
        sip_log("line %u of a SIP that has a lot to say, and says it again and again", i);
    }
    return 3;
}
