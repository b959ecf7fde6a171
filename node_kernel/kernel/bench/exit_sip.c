/* SPDX-License-Identifier: Apache-2.0 */
/* As hello.c, as a SIP. */
#include "sip.h"

int sip_main(void)
{
    return 7;
}
