/* SPDX-License-Identifier: Apache-2.0 */
#include "tax.h"

int sip_main(void)
{
    const uint64_t sum = tax_work(sip_config_u32("rounds", 1));

    sip_log("result %016llx", (unsigned long long)sum);
    return (int)(sum & 0x7fffffff);
}
