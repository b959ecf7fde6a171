/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "ctc.h"

static int peek(const struct ctc__lexer *lexer, size_t ahead)
{
    size_t at = lexer->at + ahead;
    return at < lexer->file->text_bytes ? (unsigned char)lexer->file->text[at] : -1;
}

static void step(struct ctc__lexer *lexer)
{
    if (lexer->file->text[lexer->at] == '\n') {
        lexer->line++;
        lexer->column = 1;
    } else {
        lexer->column++;
    }
    lexer->at++;
}

static struct ctc__pos here(const struct ctc__lexer *lexer)
{
    return (struct ctc__pos){.file = lexer->file, .line = lexer->line, .column = lexer->column};
}

/* One line of a doc comment, without the decoration at its start and blanks at its end. */
static void doc_line(struct ctc__text *doc, const char *line, size_t bytes)
{
    while (bytes > 0 && isspace((unsigned char)line[bytes - 1])) {
        bytes--;
    }
    if (bytes > 0 && line[0] == ' ') {
        line++;
        bytes--;
    }
    ctc__put_bytes(doc, line, bytes);
    ctc__put(doc, "\n");
}

static void line_comment(struct ctc__lexer *lexer, struct ctc__text *doc)
{
    bool is_doc = peek(lexer, 2) == '/' && peek(lexer, 3) != '/';
    size_t start = lexer->at + 3;

    while (peek(lexer, 0) >= 0 && peek(lexer, 0) != '\n') {
        step(lexer);
    }
    if (is_doc && lexer->at >= start) {
        doc_line(doc, lexer->file->text + start, lexer->at - start);
    }
}

/* The body of a doc block, `* ` at the start of its lines removed, empty first and last lines too.
 */
static void doc_block(struct ctc__text *doc, const char *text, size_t bytes)
{
    struct ctc__text all = {0};
    size_t at = 0;

    while (at < bytes) {
        size_t end = at;
        while (end < bytes && text[end] != '\n') {
            end++;
        }
        size_t start = at;
        while (start < end && isspace((unsigned char)text[start])) {
            start++;
        }
        if (start < end && text[start] == '*') {
            start++;
        } else if (start > at && start < end) {
            start--; /* doc_line takes one blank away */
        }
        doc_line(&all, text + start, end - start);
        at = end + 1;
    }
    size_t from = 0;
    while (from < all.length && all.bytes[from] == '\n') {
        from++;
    }
    while (all.length > from + 1 && all.bytes[all.length - 2] == '\n') {
        all.length--;
    }
    if (all.length > from) {
        ctc__put_bytes(doc, all.bytes + from, all.length - from);
    }
    free(all.bytes);
}

static void block_comment(struct ctc__lexer *lexer, struct ctc__text *doc)
{
    struct ctc__pos pos = here(lexer);
    bool is_doc = peek(lexer, 2) == '*' && peek(lexer, 3) != '*' && peek(lexer, 3) != '/';
    size_t start = lexer->at + 3;

    step(lexer);
    step(lexer);
    while (peek(lexer, 0) >= 0 && !(peek(lexer, 0) == '*' && peek(lexer, 1) == '/')) {
        step(lexer);
    }
    if (peek(lexer, 0) < 0) {
        ctc__error(lexer->ctc, pos, "syntax", "comment does not end, expected '*/'");
        return;
    }
    if (is_doc) {
        doc_block(doc, lexer->file->text + start, lexer->at - start);
    }
    step(lexer);
    step(lexer);
}

/* Only blanks before it in its line, as in `#if`. */
static bool begins_line(const struct ctc__lexer *lexer)
{
    size_t at = lexer->at;

    while (at > 0 && (lexer->file->text[at - 1] == ' ' || lexer->file->text[at - 1] == '\t')) {
        at--;
    }
    return at == 0 || lexer->file->text[at - 1] == '\n';
}

static void skip_line(struct ctc__lexer *lexer)
{
    while (peek(lexer, 0) >= 0 && peek(lexer, 0) != '\n') {
        step(lexer);
    }
}

static void skip_blank(struct ctc__lexer *lexer, struct ctc__text *doc)
{
    for (;;) {
        int c = peek(lexer, 0);
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            step(lexer);
        } else if (c == '/' && peek(lexer, 1) == '/') {
            line_comment(lexer, doc);
        } else if (c == '/' && peek(lexer, 1) == '*') {
            block_comment(lexer, doc);
        } else if (c == '#' && begins_line(lexer)) {
            ctc__read_past(lexer->ctc, here(lexer), PAST_DIRECTIVE);
            skip_line(lexer);
        } else {
            return;
        }
    }
}

static bool is_name(int c)
{
    return c == '_' || (c < 128 && isalnum(c));
}

static void lex_name(struct ctc__lexer *lexer, struct ctc__token *token)
{
    size_t start = lexer->at;

    while (peek(lexer, 0) >= 0 && is_name(peek(lexer, 0))) {
        step(lexer);
    }
    token->kind = TOKEN_NAME;
    token->text = ctc__copy(lexer->ctc, lexer->file->text + start, lexer->at - start);
}

static void lex_number(struct ctc__lexer *lexer, struct ctc__token *token)
{
    size_t start = lexer->at;
    uint64_t value = 0;
    bool hex = peek(lexer, 0) == '0' && (peek(lexer, 1) == 'x' || peek(lexer, 1) == 'X');
    bool good = true;
    bool suffixed = false;

    while (peek(lexer, 0) >= 0 && is_name(peek(lexer, 0))) {
        int c = tolower(peek(lexer, 0));
        size_t place = lexer->at - start;
        if ((c == 'u' || c == 'l') && place > 0) {
            step(lexer); /* as in 1u, 0x10UL */
            suffixed = true;
            continue;
        }
        good = good && !suffixed;
        if (!hex || place >= 2) {
            uint64_t base = hex ? 16 : 10;
            uint64_t digit = c <= '9' ? (uint64_t)(c - '0') : (uint64_t)(c - 'a' + 10);
            good = good && digit < base && c != '_' && value <= (UINT64_MAX - digit) / base;
            value = good ? value * base + digit : value;
        }
        step(lexer);
    }
    good = good && (!hex || lexer->at - start > 2);
    token->kind = TOKEN_NUMBER;
    token->text = ctc__copy(lexer->ctc, lexer->file->text + start, lexer->at - start);
    token->number = value;
    if (!good) {
        ctc__error(lexer->ctc, token->pos, "syntax",
                   "'%s' is not a number of at most 64 bits, expected digits or 0x and hex digits",
                   token->text);
    }
}

static void lex_string(struct ctc__lexer *lexer, struct ctc__token *token)
{
    struct ctc__text text = {0};

    ctc__put(&text, "%s", "");
    ctc__put_bytes(&text, "", 0);
    step(lexer);
    while (peek(lexer, 0) >= ' ' && peek(lexer, 0) != '"') {
        char c = (char)peek(lexer, 0);
        if (c == '\\') {
            step(lexer);
            c = (char)peek(lexer, 0);
            const char *known = c == 0 ? NULL : strchr("n\nt\tr\r", c);
            if (known != NULL && isalpha((unsigned char)c)) {
                c = known[1];
            } else if (c != '"' && c != '\\') {
                ctc__error(lexer->ctc, here(lexer), "syntax",
                           "unknown escape in a string, expected one of \\\" \\\\ \\n \\t \\r");
                c = '?';
            }
            if (peek(lexer, 0) < ' ') {
                break;
            }
        }
        ctc__put_bytes(&text, &c, 1);
        step(lexer);
    }
    if (peek(lexer, 0) == '"') {
        step(lexer);
    } else {
        ctc__error(lexer->ctc, token->pos, "syntax", "string does not end, expected '\"'");
    }
    token->kind = TOKEN_STRING;
    token->text = ctc__copy(lexer->ctc, text.bytes, text.length);
    free(text.bytes);
}

void ctc__lex(struct ctc__lexer *lexer, struct ctc__token *out_token)
{
    struct ctc__text doc = {0};

    for (;;) {
        skip_blank(lexer, &doc);
        int c = peek(lexer, 0);
        *out_token = (struct ctc__token){.kind = TOKEN_END, .pos = here(lexer), .text = ""};
        if (c < 0) {
            break;
        }
        if (is_name(c) && !isdigit(c)) {
            lex_name(lexer, out_token);
        } else if (c < 128 && isdigit(c)) {
            lex_number(lexer, out_token);
        } else if (c == '"') {
            lex_string(lexer, out_token);
        } else if (c == '-' && peek(lexer, 1) == '>') {
            step(lexer);
            step(lexer);
            out_token->kind = TOKEN_ARROW;
            out_token->text = "->";
        } else if (c < 128 && c > 0 && strchr("{}()[].:;,?!=*-<>|+", c) != NULL) {
            out_token->kind = TOKEN_PUNCT;
            out_token->text = ctc__copy(lexer->ctc, lexer->file->text + lexer->at, 1);
            step(lexer);
        } else {
            ctc__error(lexer->ctc, out_token->pos, "syntax",
                       isprint(c) ? "character '%c' means nothing here"
                                  : "byte 0x%02x means nothing outside comments and strings",
                       (unsigned)c);
            while (peek(lexer, 0) == c || peek(lexer, 0) >= 128) {
                step(lexer);
            }
            continue;
        }
        break;
    }
    out_token->doc = doc.length == 0 ? "" : ctc__copy(lexer->ctc, doc.bytes, doc.length);
    free(doc.bytes);
}

/* --- text of other languages
 * ------------------------------------------------------------------------ */

/* Past a string or character; `verbatim`: doubled quotes instead of escapes, over lines. */
static void past_quotes(struct ctc__lexer *lexer, bool verbatim)
{
    int quote = peek(lexer, 0);

    step(lexer);
    while (peek(lexer, 0) >= 0) {
        int c = peek(lexer, 0);
        if (!verbatim && c == '\n') {
            return; /* not a literal after all */
        }
        step(lexer);
        if (c == quote) {
            if (!verbatim || peek(lexer, 0) != quote) {
                return;
            }
            step(lexer);
        } else if (!verbatim && c == '\\' && peek(lexer, 0) >= 0) {
            step(lexer);
        }
    }
}

/* Past one character, literal, comment or directive. Answers the character, or 0 for the others. */
static int past_one(struct ctc__lexer *lexer)
{
    struct ctc__text ignored = {0};
    int c = peek(lexer, 0);

    if (c == '/' && peek(lexer, 1) == '/') {
        skip_line(lexer);
    } else if (c == '/' && peek(lexer, 1) == '*') {
        block_comment(lexer, &ignored);
        free(ignored.bytes);
    } else if (c == '#' && begins_line(lexer)) {
        skip_line(lexer);
    } else if (c == '@' && peek(lexer, 1) == '"') {
        step(lexer);
        past_quotes(lexer, true);
    } else if (c == '"' || c == '\'') {
        past_quotes(lexer, false);
    } else {
        step(lexer);
        return c;
    }
    return 0;
}

bool ctc__lex_past(struct ctc__lexer *lexer, char end)
{
    uint32_t depth = 0;

    while (peek(lexer, 0) >= 0) {
        int c = peek(lexer, 0);
        if (depth == 0 && c != end && (c == ')' || c == ']' || c == '}')) {
            return false;
        }
        c = past_one(lexer);
        if (depth == 0 && c == end) {
            return true;
        }
        if (c == '(' || c == '[' || c == '{') {
            depth++;
        } else if (c == ')' || c == ']' || c == '}') {
            depth--;
            if (depth == 0 && c == '}' && end == ';') {
                return true;
            }
        }
    }
    return false;
}
