/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob.h - the bytes of a compiled contract. Private to contracts/.
 *
 * Why: one format serves three ends. It is what travels in images, what identities are hashes of
 * (the "body"), and what the monitor's tables are built from.
 *
 * Layout, little endian, nothing padded; a name is one length byte (1..63) and its characters:
 *
 *   magic     8 bytes "SFCTBL\0\2"
 *   id        32 bytes
 *   u32       bytes of the body
 *   body      below
 *   ref ids   32 bytes for each reference, in the body's order, up to the very end
 *
 *   body:
 *     name      of the contract
 *     u8 u8 u16 u16 u16   counts: messages, states, references, enums, layouts
 *     u8 u8     queue slots needed at the importer's end, at the exporter's end
 *     enums     name, u16 value count (1..), then per value: name, u32. Sorted by name; values
 *               sorted by name
 *     layouts   name, u8 field count (1..), then per field:
 *                 name, u8 kind, u8 element, u8 optional, u16 layout, u16 enum
 *               Sorted by name; fields in the order of writing, which is that of memory
 *     refs      name. Sorted; the contract itself is never listed
 *     messages  name, u8 direction, u8 argument count, then per argument:
 *                 name, u8 kind, u8 element, u8 optional, u8 side, u8 state, u16 ref, u16 enum,
 *                 u16 layout
 *               (fields that mean nothing for a kind are 0; enum is CT_BLOB_NO_ENUM if none).
 *               Sorted by name
 *     states    name, u8 sender, u8 action count, then per action: u8 tag, u8 next state. Actions
 *               sorted by tag. State 0 is the start state, the others are sorted by name. A state
 *               without an action is final
 *
 * A body can be written in one way only (order, zero fields), so equal contracts have equal
 * bodies. identity = BLAKE2b-256 of CT_BLOB_ID_PREFIX, the body, and the bodies of all other
 * contracts that its references reach, those sorted by contract name; each body is preceded by its
 * length as u32.
 */
#ifndef CONTRACTS_BLOB_H
#define CONTRACTS_BLOB_H

#include "contracts/table.h"

#define CT_BLOB_MAGIC "SFCTBL\0\2"
#define CT_BLOB_MAGIC_BYTES 8u
#define CT_BLOB_HEADER_BYTES (CT_BLOB_MAGIC_BYTES + CT_ID_BYTES + 4u)
#define CT_BLOB_NO_ENUM 0xffffu
#define CT_BLOB_REFS_MAX 250u
#define CT_BLOB_ENUMS_MAX 250u
#define CT_BLOB_ENUM_VALUES_MAX 1000u
#define CT_BLOB_ID_PREFIX "sipfabric contract 2\n"
#define CT_BLOB_CLOSURE_MAX 256u /* contracts that one identity may cover */

struct ct__body {
    const char *name; /* of the contract */
    const uint8_t *bytes;
    uint32_t length;
};

/* Hashes bodies[0] and then the others, which must be sorted by name. */
void ct__id(const struct ct__body *bodies, size_t count, uint8_t out_id[CT_ID_BYTES]);

/*
 * Longest run of messages that `sender` may send without an answer, from any state: the slots its
 * peer's queue needs. Answers -1 if there is no bound (a cycle that only sends).
 */
int ct__run_length(const struct ct_contract *contract, enum ct_side sender);

/*
 * Sizes, alignments and offsets; fields[] holds the fields of all layouts in their order. What lies
 * inside itself or is over CT_LAYOUT_BYTES_MAX keeps the size 0. All sizes must be 0 before.
 */
void ct__size_layouts(struct ct_layout *layouts, uint32_t count, struct ct_field *fields);

/* Queue slots from run lengths: at least 1, so that a queue always exists. */
static inline uint8_t ct__slots(int run_length)
{
    return run_length < 1 ? 1 : (uint8_t)run_length;
}

#endif
