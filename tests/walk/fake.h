/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake.h - a kernel and a TCP service of pretence, for testing the walk without a node.
 *
 * Why: the walk judges exporters and kernels, so it must itself be right, and must be seen to
 * notice each kind of misbehaviour. Here the kernel calls of a SIP run against real contract
 * tables and a model of TCP in one process, with a clock that only moves when somebody waits.
 *
 * fake.c: handles, channels, the monitor, blocks, time. model_tcp.c: the exporter.
 */
#ifndef TESTS_WALK_FAKE_H
#define TESTS_WALK_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/nk_abi.h"
#include "contracts/table.h"

enum fake_fault {
    FAULT_NONE,
    FAULT_ACCEPTS_ILLEGAL, /* Write in state Listening is let through */
    FAULT_REFUSAL_MOVES,   /* a refused message in state Bound changes the state */
    FAULT_WRONG_STATUS,    /* CLOSED instead of CONTRACT in state Zombie */
    FAULT_REFUSES_LEGAL,   /* IsDataAvailable in state Connected */
    FAULT_SILENT,          /* GetRemotePort is never answered */
    FAULT_CLOSES,          /* the channel closes instead of an answer to GetLocalPort */
    FAULT_NO_IMPORT,       /* the manifest's import is not there */
    FAULT_NEVER_COULD_NOT, /* no fault: CouldNotListen never comes */
};

#define FAKE_CHANNELS_MAX 512u
#define FAKE_QUEUE_MAX 8u
#define FAKE_TRANSIT_NS 1000000 /* what each receive costs */

struct fake_channel {
    const struct ct_contract *contract; /* NULL: free */
    uint8_t state[2];
    bool closed[2];
    bool served;                            /* the exporter's end is the model's */
    struct nk_msg queue[2][FAKE_QUEUE_MAX]; /* to that side */
    uint32_t count[2];
    void *user; /* the model's */
};

extern enum fake_fault fake_fault;
extern int64_t fake_now_ns;
extern struct fake_channel fake_channels[FAKE_CHANNELS_MAX];
extern char fake_log[1 << 20];

void fake_reset(enum fake_fault fault, struct ct_contract *const contracts[2]);
uint32_t fake_blocks_held(void);

/* For the model: next message for the exporter's end, if any; a message from it; close it. */
bool fake_take(struct fake_channel *channel, struct nk_msg *out_msg);
void fake_give(struct fake_channel *channel, const char *message, uint64_t arg);
void fake_close(struct fake_channel *channel);
struct fake_channel *fake_channel_of(uint32_t handle);
/* A block as an argument; address of one of the fake kernel's. */
uint64_t fake_block(uint32_t bytes);
void fake_block_drop(uint64_t value);

/* The model: does what can be done now. Answers when something is due by itself. */
void model_reset(void);
int64_t model_run(void);
void model_serve(struct fake_channel *channel);

#endif
