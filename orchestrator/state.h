/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - the little that must outlive fabricd: node ids by name, the last epoch of each node and
 * whether it is cordoned, and the SIP numbers already given out.
 *
 * Why: endpoint ids are made of node id and boot epoch, and SIP numbers name owners of blocks; none
 * of them may ever mean two things in one cluster, also when fabricd was killed in between.
 *
 * Model: one small text file, written whole to a new file, synced, and renamed, before a number is
 * used. SIP numbers are taken in lots of STATE_SIP_LOT, so most of them cost no write.
 *
 * Threads: one. Ownership: plain struct, nothing to free.
 * Errors: FORMAT: the file is not ours or damaged (text says where): fabricd must not start on it.
 * IO: text says what the system answered. LIMIT: no id, epoch or number is left.
 */
#ifndef ORCH_STATE_H
#define ORCH_STATE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "names.h"

#define STATE_NODES_MAX 1023u
#define STATE_EPOCH_MAX 16383u
#define STATE_SIP_LOT 1000u

struct state_node {
    char name[ORCH_NAME_BYTES_MAX + 1];
    uint16_t id;
    uint16_t epoch; /* the last one given out */
    bool cordoned;
};

struct state {
    char path[PATH_MAX];
    struct state_node nodes[STATE_NODES_MAX];
    uint32_t node_count;
    uint64_t sip_next;     /* next number to give out */
    uint64_t sip_reserved; /* all below this are on disk as used */
};

/* Reads the file, or begins an empty state if there is none. */
SF_MUST_CHECK sf_status state_open(struct state *state, const char *path, char *text,
                                   size_t text_capacity);
/* The node's id; a new name gets the lowest free id. */
SF_MUST_CHECK sf_status state_node_id(struct state *state, const char *name, uint16_t *out_id);
SF_MUST_CHECK sf_status state_epoch_next(struct state *state, uint16_t id, uint16_t *out_epoch);
/* Of an id that was given out. On an error it is as before. */
SF_MUST_CHECK sf_status state_cordon(struct state *state, uint16_t id, bool cordoned);
bool state_cordoned(struct state *state, uint16_t id);
SF_MUST_CHECK sf_status state_sip_next(struct state *state, uint64_t *out_number);

/* Writes text to path as a whole: new file, sync, rename. Mode 0600. */
SF_MUST_CHECK sf_status state_write_file(const char *path, const char *content, size_t bytes);

#endif
