/* SPDX-License-Identifier: Apache-2.0 */
/*
 * use.c - endpoints in types that say their state are good for one operation (sip.h).
 */
#include "sip.h"

/* By index of the handle; two handles of one index are never open at once. */
static uint32_t uses[NK_HANDLES_MAX];

bool sip_use_is(uint32_t handle, uint32_t use)
{
    return handle != 0 && use != 0 && uses[handle % NK_HANDLES_MAX] == use;
}

uint32_t sip_use_next(uint32_t handle)
{
    uint32_t *use = &uses[handle % NK_HANDLES_MAX];

    *use += *use == UINT32_MAX ? 2 : 1; /* 0 is none */
    return *use;
}
