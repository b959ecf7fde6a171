/* SPDX-License-Identifier: Apache-2.0 */
#include "attack.h"

volatile uint32_t attack_zero;

int sip_main(void)
{
    static const struct attack *const lists[] = {attack_memory,    attack_calls,    attack_blocks,
                                                 attack_endpoints, attack_contract, attack_sched,
                                                 attack_roles};
    char mode[64];

    (void)sip_config("mode", mode, sizeof(mode), "");
    for (uint32_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (const struct attack *attack = lists[i]; attack->mode != NULL; attack++) {
            if (strcmp(attack->mode, mode) == 0) {
                return attack->run();
            }
        }
    }
    sip_log("no mode %s", mode);
    return 1;
}
