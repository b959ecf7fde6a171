/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attack.h - what the files of the attacker share. It is one SIP; the config value "mode" names the
 * attack. An attack that all is refused to ends with 0, one that got something it should not have
 * with the number of the line that saw it; others are to be killed (hostile_test.c has the list).
 */
#ifndef ATTACK_H
#define ATTACK_H

#include "AttackContract.h"
#include "ProbeContract.h"
#include "sip.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            sip_log("%s:%d: %s", __FILE__, __LINE__, #condition);                                  \
            nk_exit(__LINE__);                                                                     \
        }                                                                                          \
    } while (0)

#define NAME(text) (text), sizeof(text) - 1
#define BLOCK(address, bytes) ((uint64_t)(bytes) << 32 | (uint32_t)(uintptr_t)(address))
#define BLOCK_DATA(arg) ((uint8_t *)(uintptr_t)(uint32_t)(arg))
#define BLOCK_LENGTH(arg) ((uint32_t)((arg) >> 32))
#define MIB (1u << 20)
#define WINDOW (32u * MIB) /* where blocks are; as long as what is below it */
#define AT(address) ((void *)(uintptr_t)(address))

struct attack {
    const char *mode;
    int (*run)(void);
};
/* Each ends with a mode of NULL. */
extern const struct attack attack_memory[], attack_calls[], attack_blocks[], attack_endpoints[],
    attack_contract[], attack_sched[], attack_roles[];

/* What an attacker has no other way to hide from the compiler. */
extern volatile uint32_t attack_zero;

/* A channel with both ends in one's own hands: [0] the importer's. */
static inline void attack_channel(uint32_t ends[2])
{
    CHECK(nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0);
}

static inline void attack_close(const uint32_t ends[2])
{
    CHECK(nk_close(ends[0]) == 0 && nk_close(ends[1]) == 0);
}

static inline int32_t attack_send_block(uint32_t handle, uint32_t address, uint32_t bytes)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Ping, .arg_count = 1};

    msg.args[0] = (uint64_t)bytes << 32 | address;
    return nk_send(handle, &msg);
}

static inline int32_t attack_give(uint32_t handle, uint64_t end)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Give, .arg_count = 1, .args = {end}};

    return nk_send(handle, &msg);
}

#endif
