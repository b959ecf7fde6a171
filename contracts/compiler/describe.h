/* SPDX-License-Identifier: Apache-2.0 */
/* describe.h - words for the parts of a contract, for emitters that people and programs read. */
#ifndef CONTRACTS_COMPILER_DESCRIBE_H
#define CONTRACTS_COMPILER_DESCRIBE_H

#include "ctc.h"

extern const char *const ctc__side_names[];      /* Imp, Exp */
extern const char *const ctc__side_words[];      /* importer, exporter */
extern const char *const ctc__direction_names[]; /* in, out, both; by enum ct_direction */

/* dissector_lua.c */
extern const char ctc__dissector_lua[];

/* The language's name of an argument kind; "block" and "endpoint" for those. */
const char *ctc__kind_name(uint8_t kind);
/* A type as it is written in the language. */
void ctc__put_type(const struct ctc__type *type, struct ctc__text *text);
bool ctc__const_is_signed(const struct ctc__const *constant);
void ctc__put_number(const struct ctc__const *constant, struct ctc__text *text);
void ctc__put_hex(const uint8_t *bytes, size_t count, struct ctc__text *text);
/* An implicit state. */
bool ctc__inside_step(const struct ct_state *state);

#endif
