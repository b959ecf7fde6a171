/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctc.h - what the compiler's stages share. Private to contracts/compiler.
 *
 * Stages: lex.c (text to tokens), parse.c (tokens to declarations), check.c (names, types,
 * directions), machine.c (steps to a graph of states, and the rules of the graph), canon.c
 * (numbers, body, identity), emit_*.c (text). unit.c holds a compilation together.
 *
 * Memory: one arena a compilation; nothing is freed before it. Lists are linked, in source order.
 */
#ifndef CONTRACTS_COMPILER_CTC_H
#define CONTRACTS_COMPILER_CTC_H

#include "../blob.h"
#include "contracts/compiler.h"

struct ctc__pos {
    const struct ctc__file *file;
    uint32_t line, column;
};

/* --- declarations ----------------------------------------------------------------------------- */

struct ctc__name {
    const char *text; /* NULL: absent */
    struct ctc__pos pos;
};

struct ctc__type {
    struct ctc__pos pos;
    uint8_t kind; /* enum ct_arg_kind */
    uint8_t element;
    bool optional;
    uint8_t side;
    struct ctc__name enum_name; /* of a scalar or of elements; resolved by check */
    struct ctc__enum *enumeration;
    struct ctc__name contract_name; /* ENDPOINT */
    struct ctc__name state_name;    /* ENDPOINT; absent: the start state */
    struct ctc_contract *contract;
    struct ctc__state *state;
    bool broken; /* an error was reported */
};

struct ctc__arg {
    struct ctc__arg *next;
    struct ctc__name name;
    struct ctc__type type;
};

struct ctc__message {
    struct ctc__message *next;
    struct ctc__name name;
    const char *doc; /* "" if none; lines end in \n */
    uint8_t direction;
    struct ctc__arg *args;
    uint32_t arg_count;
    bool used;
    uint8_t tag; /* canon.c */
};

struct ctc__value {
    struct ctc__value *next;
    struct ctc__name name;
    const char *doc;
    uint32_t number;
};

struct ctc__enum {
    struct ctc__enum *next;
    struct ctc__name name;
    const char *doc;
    struct ctc__value *values;
    uint32_t value_count;
    bool travels; /* some argument has this type */
    uint16_t index;
};

struct ctc__const {
    struct ctc__const *next;
    struct ctc__name name;
    const char *doc;
    const char *text; /* a string constant, unescaped; else NULL */
    uint64_t number;  /* two's complement */
    uint8_t kind;     /* enum ct_arg_kind of a number */
};

/* `M?`, one alternative of an item of a step. */
struct ctc__action {
    struct ctc__action *next;
    struct ctc__name name;
    enum ct_side sender;
    struct ctc__message *message; /* NULL: unknown, reported */
};

struct ctc__item {
    struct ctc__item *next;
    struct ctc__action *actions; /* one, or the alternatives of (A! or B!) */
};

struct ctc__step {
    struct ctc__step *next;
    struct ctc__item *items;
    struct ctc__name target;
};

struct ctc__state {
    struct ctc__state *next;
    struct ctc__name name;
    const char *doc;
    struct ctc__step *steps;
    struct ctc__node *node;
    bool entered; /* start state, or an endpoint travels in it */
};

/* --- the machine ------------------------------------------------------------------------------ */

struct ctc__edge {
    struct ctc__edge *next;
    const struct ctc__action *action;
    struct ctc__node *to; /* NULL: unknown, reported */
};

struct ctc__node {
    struct ctc__node *next;
    const struct ctc__state *state; /* the named state, or the one an implicit state lies in */
    const struct ctc__step *step;   /* implicit states: the step; NULL: named */
    uint32_t item;                  /* implicit states: number in the step, from 1 */
    struct ctc__pos pos;
    struct ctc__edge *edges;
    enum ct_side sender;
    bool reached, ends;
    char name[CT_NAME_BYTES_MAX + 1]; /* canon.c */
    uint16_t index;
};

struct ctc_contract {
    struct ctc_contract *next;
    struct ctc *ctc;
    struct ctc__name name;
    const char *doc;
    bool given;
    bool broken; /* parts of it are missing: rules about the whole would say nonsense */
    struct ctc__const *consts;
    struct ctc__enum *enums;
    struct ctc__message *messages;
    struct ctc__state *states;
    struct ctc__node *nodes;
    /* canon.c */
    struct ctc__message *by_tag[CT_MESSAGES_MAX];
    struct ctc__node *by_index[CT_STATES_MAX];
    uint32_t message_count, state_count;
    struct ctc_contract *refs[CT_BLOB_REFS_MAX];
    uint32_t ref_count;
    const uint8_t *body;
    uint32_t body_bytes;
    uint8_t id[CT_ID_BYTES];
    const uint8_t *blob;
    size_t blob_bytes;
    struct ct_contract *table;
};

struct ctc__file {
    struct ctc__file *next;
    const char *path;
    const char *text;
    size_t text_bytes;
    uint32_t order;
    bool given;
};

struct ctc__chunk;
struct ctc__diagnostic;

struct ctc {
    struct ctc__chunk *chunks;
    struct ctc__file *files;
    struct ctc_contract *contracts;
    struct ctc__folder {
        struct ctc__folder *next;
        const char *path;
    } * folders;
    struct ctc__diagnostic {
        struct ctc_diagnostic public;
        uint32_t file_order, order;
    } * diagnostics;
    size_t diagnostic_count, diagnostic_capacity;
    size_t error_count;
    bool checked;
};

/* --- unit.c ----------------------------------------------------------------------------------- */

void *ctc__alloc(struct ctc *ctc, size_t bytes); /* zeroed */
char *ctc__copy(struct ctc *ctc, const char *text, size_t bytes);
void ctc__error(struct ctc *ctc, struct ctc__pos pos, const char *rule, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void ctc__warn(struct ctc *ctc, struct ctc__pos pos, const char *rule, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Adds whole lines to what was reported last. */
void ctc__explain(struct ctc *ctc, const char *lines);
/* Contract by name, read from the folder of `from` (may be NULL) or a search folder if need be. */
struct ctc_contract *ctc__contract(struct ctc *ctc, const char *name, const struct ctc__file *from);

#define CTC__APPEND(list, item)                                                                    \
    do {                                                                                           \
        __typeof__(&(list)) at_ = &(list);                                                         \
        while (*at_ != NULL) {                                                                     \
            at_ = &(*at_)->next;                                                                   \
        }                                                                                          \
        *at_ = (item);                                                                             \
    } while (0)

/* --- lex.c ------------------------------------------------------------------------------------ */

enum ctc__token_kind {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_NUMBER,
    TOKEN_STRING,
    TOKEN_ARROW, /* -> */
    TOKEN_PUNCT, /* one character */
    TOKEN_BAD,   /* reported already */
};

struct ctc__token {
    enum ctc__token_kind kind;
    struct ctc__pos pos;
    const char *text; /* NAME, STRING (unescaped), NUMBER, and PUNCT: as a string */
    uint64_t number;
    const char *doc; /* doc comment before it, or "" */
};

struct ctc__lexer {
    struct ctc *ctc;
    const struct ctc__file *file;
    size_t at;
    uint32_t line, column;
};

void ctc__lex(struct ctc__lexer *lexer, struct ctc__token *out_token);

/* --- the other stages: each reports what it finds -----------------------------------------------
 */

void ctc__parse(struct ctc *ctc, const struct ctc__file *file);
/* Resolves names; loads contracts that are named but not given. */
void ctc__check_names(struct ctc_contract *contract);
void ctc__check_machine(struct ctc_contract *contract);
/* After all contracts were checked without error. */
void ctc__check_after(struct ctc_contract *contract);
void ctc__canon_bodies(struct ctc_contract *contract);
void ctc__canon_blob(struct ctc_contract *contract);
/* Contracts that `from` reaches, itself first, then by name. Answers the count. */
size_t ctc__reach(const struct ctc_contract *from, const struct ctc_contract **out,
                  size_t capacity);

/* Scalar type by name; false if there is none. */
bool ctc__scalar(const char *name, uint8_t *out_kind);
/* A name that C or the generated code needs for itself. */
bool ctc__reserved(const char *name);

/* --- text.c: a growing string -------------------------------------------------------------------
 */

struct ctc__text {
    char *bytes;
    size_t length, capacity;
};
void ctc__put(struct ctc__text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void ctc__put_bytes(struct ctc__text *text, const void *bytes, size_t length);
/* Each line of doc after `prefix`; nothing for an empty doc. */
void ctc__put_doc(struct ctc__text *text, const char *indent, const char *doc);

/* --- emit_*.c ------------------------------------------------------------------------------------
 */

void ctc__emit_sip_c(const struct ctc_contract *contract, struct ctc__text *text);
void ctc__emit_monitor_h(const struct ctc_contract *contract, struct ctc__text *text);
void ctc__emit_monitor_c(const struct ctc_contract *contract, struct ctc__text *text);
void ctc__emit_dot(const struct ctc_contract *contract, struct ctc__text *text);
void ctc__emit_test(const struct ctc_contract *contract, struct ctc__text *text);
void ctc__emit_md(const struct ctc_contract *contract, struct ctc__text *text);
void ctc__emit_json(const struct ctc_contract *contract, struct ctc__text *text);
/* False: Graphviz could not be run, or failed. */
bool ctc__emit_svg(const struct ctc_contract *contract, struct ctc__text *text);
/* What both headers have: constants, enums, tags, states. */
void ctc__emit_words(const struct ctc_contract *contract, struct ctc__text *text);

#endif
