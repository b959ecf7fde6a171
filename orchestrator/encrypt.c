/* SPDX-License-Identifier: Apache-2.0 */
#include "encrypt.h"

#include <stddef.h>
#include <string.h>

static const char *const names[] = {
    [ORCH_ENCRYPT_ETHERNET] = "ethernet",
    [ORCH_ENCRYPT_ALL] = "all",
    [ORCH_ENCRYPT_NONE] = "none",
};

/* Drivers whose frames never leave the machine. */
static const char *const inside[] = {"loop", "memif"};

bool orch_encrypt_parse(const char *text, enum orch_encrypt *out_encrypt)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out_encrypt = (enum orch_encrypt)i;
            return true;
        }
    }
    return false;
}

const char *orch_encrypt_name(enum orch_encrypt encrypt)
{
    return names[encrypt];
}

bool orch_encrypt_link(enum orch_encrypt encrypt, const char *driver)
{
    if (encrypt != ORCH_ENCRYPT_ETHERNET) {
        return encrypt == ORCH_ENCRYPT_ALL;
    }
    for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
        if (strcmp(driver, inside[i]) == 0) {
            return false;
        }
    }
    return true;
}
