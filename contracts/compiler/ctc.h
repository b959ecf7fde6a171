/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctc.h - what the compiler's stages share. Private to contracts/compiler.
 *
 * Stages: lex.c (text to tokens), parse*.c (tokens to declarations; parse.h), inherit.c (what a
 * contract has from its base), types.c (types, structs), check.c (names, directions),
 * subroutines.c (which states are called), machine.c (steps to a graph of states, and the rules of
 * the graph), canon.c (numbers, body, identity), emit_*.c (text). unit.c holds a compilation
 * together.
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
    uint8_t kind;    /* enum ct_arg_kind; STRUCT: a struct by value, flattened by types.c */
    uint8_t element; /* BLOCK; of structs: UINT8 and `structure` */
    bool optional;
    bool marked; /* has ! or ? */
    uint8_t side;
    struct ctc__name qualifier; /* the Q of `Q.Name`; may be absent */
    struct ctc__name type_name; /* an enum or struct, by value or as elements; see types.c */
    struct ctc__enum *enumeration;
    struct ctc__struct *structure;
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

/* A struct type. Fields are arguments in their order in memory. */
struct ctc__struct {
    struct ctc__struct *next;
    struct ctc__name name;
    const char *doc;
    struct ctc_contract *owner; /* contract it was declared in; NULL: outside of contracts */
    struct ctc__struct *origin; /* what this is a contract's own copy of; NULL: declared as it is */
    struct ctc__arg *fields;
    uint32_t field_count;
    bool tracked;   /* `: ITracked`: may hold blocks */
    bool synthetic; /* made for a vector of vectors */
    bool resolved, nested;
    bool travels; /* blocks of it do */
    uint8_t colour;
    uint16_t index; /* canon.c: 1 + index of its layout, if it travels */
};

struct ctc__message {
    struct ctc__message *next;
    struct ctc__name name;
    const char *doc; /* "" if none; lines end in \n */
    uint8_t direction;
    struct ctc_contract *owner; /* contract it was declared in */
    struct ctc__arg *written;   /* as in the source */
    struct ctc__arg *args;      /* structs by value flattened; before ctc__check_names as written */
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
    struct ctc_contract *owner; /* as in structs */
    struct ctc__enum *origin;
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
    struct ctc__action *actions; /* one, or the alternatives of (A! or B!); NULL: a call */
    struct ctc__name call;       /* the state that is called; never first in a step */
    struct ctc__state *called;   /* NULL: unknown, reported */
};

struct ctc__step {
    struct ctc__step *next;
    struct ctc__item *items;
    struct ctc__name target; /* absent: the step returns to the caller of its state */
    struct ctc__pos end;
    struct ctc__state *to; /* NULL: unknown, reported; or the step returns */
};

struct ctc__state {
    struct ctc__state *next;
    struct ctc__name name;
    const char *doc;
    struct ctc__step *steps;
    struct ctc_contract *owner; /* contract it was declared in */
    bool overrides;
    enum ctc__yield { YIELD_NONE, YIELD_SENDS_FIRST, YIELD_RECEIVES_FIRST } yield;
    bool ordinary, subroutine; /* subroutines.c: entered by a channel; called */
    uint16_t number;           /* subroutines.c: in the list */
    struct ctc__node *node;    /* NULL: a subroutine, copied to where it is called */
    bool entered;              /* start state, or an endpoint travels in it */
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
    bool implicit;
    const struct ctc__node *before;   /* implicit states: the one before in its step */
    const struct ctc__action *said;   /* and how it was left; NULL: */
    const struct ctc__state *copy_of; /* a copy of this called state */
    bool mixed;                       /* both sides send; declared so */
    struct ctc__pos pos;
    struct ctc__edge *edges;
    enum ct_side sender;
    bool reached, ends, numbered;
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
    bool mixed;  /* has a mixed state: checked, but there is no table */
    struct ctc__name base_name; /* absent: none */
    struct ctc_contract *base;
    uint8_t inherited; /* inherit.c: 0 not yet, 1 at it, 2 done */
    struct ctc__const *consts;
    struct ctc__enum *enums;     /* declared here, and copies of those that are used */
    struct ctc__struct *structs; /* likewise */
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

/* What other languages put around contracts; see ctc__read_past. */
enum ctc__past {
    PAST_ATTRIBUTE,
    PAST_USING,
    PAST_NAMESPACE,
    PAST_ACCESS,
    PAST_CODE,
    PAST_DIRECTIVE,
    PAST_REQUIRES,
    PAST_METHOD,
    PAST_BASE,
    CTC__PAST_COUNT
};

struct ctc__file {
    struct ctc__file *next;
    const char *path;
    const char *text;
    size_t text_bytes;
    uint32_t order;
    bool given;
    bool read_past[CTC__PAST_COUNT]; /* said already */
    uint64_t device, inode;          /* 0, 0: not from a file */
};

struct ctc__import {
    struct ctc__import *next;
    const struct ctc__file *from, *to;
};

struct ctc__chunk;
struct ctc__diagnostic;

struct ctc {
    struct ctc__chunk *chunks;
    struct ctc__file *files;
    struct ctc_contract *contracts;
    struct ctc__enum *enums;     /* declared outside of contracts */
    struct ctc__struct *structs; /* likewise */
    struct ctc__import *imports;
    struct ctc__type_note {
        struct ctc__type_note *next;
        struct ctc__name name;
    } * code_types; /* classes and the like that were read past */
    struct ctc__folder {
        struct ctc__folder *next;
        const char *path;
    } * folders;
    struct ctc__diagnostic {
        struct ctc_diagnostic public;
        uint32_t file_order, order;
    } * diagnostics;
    size_t diagnostic_count, diagnostic_capacity;
    size_t last; /* the diagnostic reported last */
    size_t error_count;
    bool checked;
    bool allow_mixed;
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
/* Says once for each file that such a thing is read past. */
void ctc__read_past(struct ctc *ctc, struct ctc__pos pos, enum ctc__past past);
/* Reads the file of `import "path";`, once. */
void ctc__import(struct ctc *ctc, struct ctc__pos pos, const char *path);
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
/*
 * Reads past text of other languages, up to and with `end` outside of brackets, strings and
 * comments; `end` ';' also stops after a block in braces. False: there is no such end.
 */
bool ctc__lex_past(struct ctc__lexer *lexer, char end);

/* --- the other stages: each reports what it finds -----------------------------------------------
 */

void ctc__parse(struct ctc *ctc, const struct ctc__file *file);
/* Adds what a contract has from its base, that one's first. Once. */
void ctc__inherit(struct ctc_contract *contract);
/* Resolves and flattens the arguments of all messages; loads contracts. */
void ctc__check_types(struct ctc_contract *contract);
/* Which states are called, and that calls are finite. False: errors, do not build the machine. */
bool ctc__check_subroutines(struct ctc_contract *contract);
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
void ctc__emit_sip_typed(const struct ctc_contract *contract, struct ctc__text *text);
/* An argument as C declares it: a parameter (separator ", ") or fields of a struct. */
void ctc__put_c_declaration(const struct ctc_contract *contract, const struct ctc__arg *arg,
                            const char *separator, struct ctc__text *text);
void ctc__emit_monitor_h(const struct ctc_contract *contract, struct ctc__text *text);
void ctc__emit_monitor_c(const struct ctc_contract *contract, struct ctc__text *text);
void ctc__emit_dot(const struct ctc_contract *contract, struct ctc__text *text);
void ctc__emit_test(const struct ctc_contract *contract, struct ctc__text *text);
void ctc__emit_md(const struct ctc_contract *contract, struct ctc__text *text);
void ctc__emit_dissector(const struct ctc_contract *contract, struct ctc__text *text);
void ctc__emit_json(const struct ctc_contract *contract, struct ctc__text *text);
void ctc__emit_rust(const struct ctc_contract *contract, struct ctc__text *text);
/* False: Graphviz could not be run, or failed. */
bool ctc__emit_svg(const struct ctc_contract *contract, struct ctc__text *text);
/* What both headers have: constants, enums, tags, states. */
void ctc__emit_words(const struct ctc_contract *contract, struct ctc__text *text);
const char *ctc__c_type(uint8_t kind); /* of a scalar kind */

#endif
