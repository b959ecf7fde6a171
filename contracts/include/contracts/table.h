/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - a compiled contract: what the monitor runs on.
 *
 * Why: kernels on both sides of every channel check every message. They get the contract as a
 * "table": a blob that contractc writes, that travels inside images, and that is decoded here
 * with every bound checked, because images are untrusted.
 *
 * Model: a contract is a list of messages (tag = index), a list of states (index; named and
 * implicit ones), and next[sender][state][tag] = following state, or CT_ILLEGAL. Directions are
 * written from the exporter's side: an `in` message is sent by the importer. All states of a
 * contract that passed contractc are positional: in one state only one side may send. A state
 * with no successor is final.
 *
 * Structs: a struct by value travels flattened: each of its fields is an argument of its own, named
 * `argument_field`, so that it needs no more than any arguments do (CT_ARGS_MAX words in all). A
 * block of structs (`block S`, `S[] in ExHeap`, `S* in ExHeap`) has a layout: fields at their
 * natural alignment in their order, little endian, no other padding; a field that is itself a
 * block is 8 bytes, as an argument of that kind (length << 32 | address). A layout with such a
 * field, its own or an inner struct's, is `nested`: blocks that refer to blocks. Contracts with
 * them are checked and compiled; sending such a block answers SF_UNSUPPORTED today. A vector of
 * vectors (`T[][]`) is a block of a struct `block_T` with the one field `items`.
 *
 * Identity: BLAKE2b-256 of the canonical form of the contract and of all contracts its endpoint
 * arguments reach. Messages and states are numbered in canonical order (start state is 0, then by
 * name; messages by name), so comments and order of declaration do not change the identity.
 *
 * Threads: a decoded contract is immutable; the monitor functions are pure.
 * Ownership: ct_decode allocates one block; ct_destroy frees it. Names point into it.
 * Limits: below. A contract over a limit is refused by contractc and by ct_decode.
 */
#ifndef CONTRACTS_TABLE_H
#define CONTRACTS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define CT_ID_BYTES 32u
#define CT_NAME_BYTES_MAX 63u /* without the terminating zero; [A-Za-z_][A-Za-z0-9_]* */
#define CT_MESSAGES_MAX 250u
#define CT_STATES_MAX 250u
#define CT_ARGS_MAX 8u
#define CT_QUEUE_SLOTS_MAX 64u /* bound of one direction's queue */
#define CT_BLOB_BYTES_MAX (256u << 10)
#define CT_LAYOUTS_MAX 100u
#define CT_FIELDS_MAX 100u        /* of one layout */
#define CT_LAYOUT_BYTES_MAX 4096u /* of one struct */
#define CT_ILLEGAL 0xffu

enum ct_side { CT_IMP = 0, CT_EXP = 1 };
static inline enum ct_side ct_other(enum ct_side side)
{
    return side == CT_IMP ? CT_EXP : CT_IMP;
}

enum ct_direction { CT_DIR_IN = 0, CT_DIR_OUT = 1, CT_DIR_BOTH = 2 };

enum ct_arg_kind {
    CT_ARG_BOOL = 0,
    CT_ARG_INT8,
    CT_ARG_UINT8,
    CT_ARG_INT16,
    CT_ARG_UINT16,
    CT_ARG_INT32,
    CT_ARG_UINT32,
    CT_ARG_INT64,
    CT_ARG_UINT64,
    CT_ARG_FLOAT32,
    CT_ARG_FLOAT64,
    CT_ARG_BLOCK,    /* a block of the exchange heap: `block T name` (T = element type) */
    CT_ARG_ENDPOINT, /* an endpoint: `C.Imp:S name` or `C.Exp:S name` */
    CT_ARG_STRUCT,   /* a field of a layout, or the elements of a field: never an argument's kind */
};

struct ct_arg {
    char name[CT_NAME_BYTES_MAX + 1];
    uint8_t kind;     /* enum ct_arg_kind */
    uint8_t element;  /* BLOCK: kind of its elements, a scalar kind (bytes and structs = UINT8) */
    uint8_t optional; /* BLOCK, ENDPOINT: may be absent */
    uint8_t side;     /* ENDPOINT: enum ct_side of the endpoint that travels */
    uint8_t state;    /* ENDPOINT: state index (in the other contract) it travels in */
    uint8_t nested;   /* BLOCK: 1: of structs that refer to blocks */
    uint16_t ref;     /* ENDPOINT: index into refs, or CT_REF_SELF */
    uint16_t layout;  /* BLOCK: 0, or of structs: 1 + index into layouts */
    uint16_t bytes;   /* BLOCK: size of one struct; 0: that of the element kind */
};
#define CT_REF_SELF 0xffffu

struct ct_ref {
    char name[CT_NAME_BYTES_MAX + 1];
    uint8_t id[CT_ID_BYTES];
};

struct ct_field {
    char name[CT_NAME_BYTES_MAX + 1];
    uint8_t kind;     /* enum ct_arg_kind: a scalar kind, BLOCK or STRUCT */
    uint8_t element;  /* BLOCK: kind of its elements, a scalar kind or STRUCT */
    uint8_t optional; /* BLOCK: may be absent */
    uint16_t layout;  /* STRUCT, BLOCK of STRUCT: 1 + index into layouts */
    uint16_t offset;  /* in the struct, in bytes */
};

/* A struct as it lies in a block. */
struct ct_layout {
    char name[CT_NAME_BYTES_MAX + 1];
    uint16_t bytes; /* size, a multiple of align */
    uint8_t align;  /* 1, 2, 4 or 8 */
    uint8_t nested; /* 1: it refers to blocks */
    uint8_t field_count;
    const struct ct_field *fields;
};

struct ct_message {
    char name[CT_NAME_BYTES_MAX + 1];
    uint8_t direction; /* enum ct_direction */
    uint8_t arg_count; /* 0..CT_ARGS_MAX */
    struct ct_arg args[CT_ARGS_MAX];
};

struct ct_state {
    char name[CT_NAME_BYTES_MAX + 1]; /* implicit states: "<State>.<n>", e.g. "Connected.2" */
    uint8_t final;                    /* 1: nothing may be sent any more */
    uint8_t sender;                   /* enum ct_side that may send here; CT_IMP in final states */
};

struct ct_contract {
    char name[CT_NAME_BYTES_MAX + 1];
    uint8_t id[CT_ID_BYTES];
    uint64_t short_id; /* first 8 bytes of id, little endian: how SIPs name a contract */
    uint16_t message_count;
    uint16_t state_count;
    uint16_t ref_count;
    uint16_t layout_count;
    uint8_t slots[2]; /* queue slots needed at the importer's and at the exporter's end */
    const struct ct_message *messages;
    const struct ct_state *states;
    const struct ct_ref *refs;
    const struct ct_layout *layouts; /* of blocks of structs and all that is in them; by name */
    const uint8_t *next[2];          /* [sender][state * message_count + tag] */
};

/*
 * Decodes a blob. FORMAT: malformed; TRUST: *out_text says what. NOMEM. out_text may be NULL; it
 * gets a static sentence on any error. The blob is not referenced after return.
 */
SF_MUST_CHECK sf_status ct_decode(const uint8_t *blob, size_t blob_bytes,
                                  struct ct_contract **out_contract, const char **out_text);
void ct_destroy(struct ct_contract *contract); /* takes NULL */

/*
 * Checks that each contract's id is the hash of its canonical form and of what it refers to, and
 * that every reference is among the given contracts. blobs[i] is what contracts[i] was decoded
 * from. TRUST with *out_text otherwise.
 */
SF_MUST_CHECK sf_status ct_verify_ids(const uint8_t *const blobs[], const size_t blob_bytes[],
                                      struct ct_contract *const contracts[], size_t count,
                                      const char **out_text);

/*
 * The monitor: may `sender` send message `tag` in `state`? Answers the next state, or CT_ILLEGAL.
 * One table look-up. tag may be any number; state must be below state_count.
 */
static inline uint8_t ct_step(const struct ct_contract *contract, uint8_t state,
                              enum ct_side sender, uint32_t tag)
{
    if (tag >= contract->message_count) {
        return CT_ILLEGAL;
    }
    return contract->next[sender][(size_t)state * contract->message_count + tag];
}

/* Index by name, or -1. */
int ct_state_find(const struct ct_contract *contract, const char *name);
int ct_message_find(const struct ct_contract *contract, const char *name);

#endif
