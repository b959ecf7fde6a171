/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of ct_decode: any bytes either decode to a table that is safe to run on, or are
 * refused. Build and run: ninja -C build contracts/fuzz/table_fuzz &&
 * build/contracts/fuzz/table_fuzz
 */
#include <stdlib.h>

#include "contracts/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct ct_contract *contract = NULL;
    const char *text = NULL;

    if (ct_decode(bytes, length, &contract, &text) != SF_OK) {
        if (text == NULL) {
            abort();
        }
        return 0;
    }
    for (uint32_t state = 0; state < contract->state_count; state++) {
        for (uint32_t tag = 0; tag <= CT_MESSAGES_MAX; tag++) {
            uint8_t imp = ct_step(contract, (uint8_t)state, CT_IMP, tag);
            uint8_t exp = ct_step(contract, (uint8_t)state, CT_EXP, tag);
            if ((imp != CT_ILLEGAL && imp >= contract->state_count) ||
                (exp != CT_ILLEGAL && exp >= contract->state_count) ||
                (imp != CT_ILLEGAL && exp != CT_ILLEGAL)) {
                abort();
            }
        }
    }
    struct ct_contract *const all[] = {contract};
    (void)!ct_verify_ids(&bytes, &length, all, 1, &text);
    ct_destroy(contract);
    return 0;
}
