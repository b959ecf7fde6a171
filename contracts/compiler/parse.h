/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.h - what the parser's files share: parse.c (files and contracts), parse_states.c (states
 * and steps), parse_types.c (types, enums, structs, constants), parse_basics.c (tokens, names,
 * recovery, text of other languages).
 *
 * Recovery: the first syntax error of a declaration is reported and sets `failed`; nothing more is
 * taken or reported until whoever parses the declaration skips to its end.
 */
#ifndef CONTRACTS_COMPILER_PARSE_H
#define CONTRACTS_COMPILER_PARSE_H

#include "ctc.h"

struct parser {
    struct ctc *ctc;
    struct ctc__lexer lexer;
    struct ctc__token token;
    bool failed;
    uint32_t namespaces; /* open ones */
};

void ctc__advance(struct parser *parser);
bool ctc__at_punct(const struct parser *parser, char c);
bool ctc__at_word(const struct parser *parser, const char *word);
void ctc__syntax(struct parser *parser, const char *expected);
bool ctc__take_punct(struct parser *parser, char c);
void ctc__expect_punct(struct parser *parser, char c, const char *expected);
bool ctc__take_word(struct parser *parser, const char *word);
struct ctc__name ctc__expect_name(struct parser *parser, const char *expected);
/* The name of something declared here. */
struct ctc__name ctc__declare_name(struct parser *parser, const char *expected);
/* Skips to after the end of a declaration: ';' or '}' outside inner braces. */
void ctc__skip_declaration(struct parser *parser);
/* Reads past attributes and access words; a doc comment before them counts for what follows. */
void ctc__skip_decoration(struct parser *parser, const char **doc);
/* At a token: reads past what follows, up to and with `end`, as ctc__lex_past. */
void ctc__skip_past(struct parser *parser, char end);

struct ctc__type ctc__parse_type(struct parser *parser);
/* After the keyword. `contract` NULL: outside of contracts. */
void ctc__parse_enum(struct parser *parser, struct ctc_contract *contract, const char *doc);
void ctc__parse_struct(struct parser *parser, struct ctc_contract *contract, const char *doc);
void ctc__parse_const(struct parser *parser, struct ctc_contract *contract, const char *doc);
void ctc__parse_state(struct parser *parser, struct ctc_contract *contract, const char *doc,
                      bool overrides);

#endif
