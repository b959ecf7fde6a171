/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "parse.h"

void ctc__advance(struct parser *parser)
{
    ctc__lex(&parser->lexer, &parser->token);
}

bool ctc__at_punct(const struct parser *parser, char c)
{
    return parser->token.kind == TOKEN_PUNCT && parser->token.text[0] == c;
}

bool ctc__at_word(const struct parser *parser, const char *word)
{
    return parser->token.kind == TOKEN_NAME && strcmp(parser->token.text, word) == 0;
}

void ctc__syntax(struct parser *parser, const char *expected)
{
    const struct ctc__token *token = &parser->token;

    if (parser->failed) {
        return;
    }
    parser->failed = true;
    if (token->kind == TOKEN_END) {
        ctc__error(parser->ctc, token->pos, "syntax", "the file ends here, expected %s", expected);
    } else if (token->kind == TOKEN_STRING) {
        ctc__error(parser->ctc, token->pos, "syntax", "found a string, expected %s", expected);
    } else {
        ctc__error(parser->ctc, token->pos, "syntax", "found '%s', expected %s", token->text,
                   expected);
    }
}

bool ctc__take_punct(struct parser *parser, char c)
{
    if (!parser->failed && ctc__at_punct(parser, c)) {
        ctc__advance(parser);
        return true;
    }
    return false;
}

void ctc__expect_punct(struct parser *parser, char c, const char *expected)
{
    if (!ctc__take_punct(parser, c)) {
        ctc__syntax(parser, expected);
    }
}

bool ctc__take_word(struct parser *parser, const char *word)
{
    if (!parser->failed && ctc__at_word(parser, word)) {
        ctc__advance(parser);
        return true;
    }
    return false;
}

struct ctc__name ctc__expect_name(struct parser *parser, const char *expected)
{
    struct ctc__name name = {.text = "?", .pos = parser->token.pos};

    if (parser->failed || parser->token.kind != TOKEN_NAME) {
        ctc__syntax(parser, expected);
        return name;
    }
    name.text = parser->token.text;
    ctc__advance(parser);
    return name;
}

struct ctc__name ctc__declare_name(struct parser *parser, const char *expected)
{
    struct ctc__name name = ctc__expect_name(parser, expected);
    size_t length = strlen(name.text);

    if (parser->failed) {
        return name;
    }
    if (length > CT_NAME_BYTES_MAX) {
        ctc__error(parser->ctc, name.pos, "limit",
                   "name is %zu characters long, expected at most %u", length, CT_NAME_BYTES_MAX);
    } else if (ctc__reserved(name.text)) {
        ctc__error(parser->ctc, name.pos, "reserved-name",
                   "'%s' is a word of C or ends in '_' and cannot be used in generated code, "
                   "expected another name",
                   name.text);
    }
    return name;
}

void ctc__skip_declaration(struct parser *parser)
{
    int depth = 0;

    parser->failed = false;
    while (parser->token.kind != TOKEN_END) {
        if (ctc__at_punct(parser, '{')) {
            depth++;
        } else if (ctc__at_punct(parser, '}')) {
            if (depth == 0) {
                return; /* the contract's own */
            }
            depth--;
            if (depth == 0) {
                ctc__advance(parser);
                (void)ctc__take_punct(parser, ';');
                return;
            }
        } else if (ctc__at_punct(parser, ';') && depth == 0) {
            ctc__advance(parser);
            return;
        }
        ctc__advance(parser);
    }
}

/* --- text of other languages
 * ------------------------------------------------------------------------ */

void ctc__skip_past(struct parser *parser, char end)
{
    struct ctc__pos pos = parser->token.pos;

    if (!ctc__lex_past(&parser->lexer, end)) {
        parser->failed = true;
        ctc__error(parser->ctc, pos, "syntax", "what begins here does not end, expected '%c'", end);
    }
    ctc__advance(parser);
}

static bool at_access(const struct parser *parser)
{
    static const char *const words[] = {"abstract",  "internal", "new",    "partial", "private",
                                        "protected", "readonly", "sealed", "static",  "unsafe"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (ctc__at_word(parser, words[i])) {
            return true;
        }
    }
    return false;
}

void ctc__skip_decoration(struct parser *parser, const char **doc)
{
    for (;;) {
        if (**doc == 0) {
            *doc = parser->token.doc;
        }
        if (ctc__at_punct(parser, '[')) {
            ctc__read_past(parser->ctc, parser->token.pos, PAST_ATTRIBUTE);
            ctc__skip_past(parser, ']');
        } else if (at_access(parser)) {
            ctc__read_past(parser->ctc, parser->token.pos, PAST_ACCESS);
            ctc__advance(parser);
        } else if (!ctc__take_word(parser, "public")) {
            return;
        }
    }
}
