/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "parse.h"

/* --- contracts
 * ------------------------------------------------------------------------------------ */

static void parse_message(struct parser *parser, struct ctc_contract *contract, const char *doc,
                          uint8_t direction)
{
    struct ctc__message *message = ctc__alloc(parser->ctc, sizeof(*message));

    message->doc = doc;
    message->direction = direction;
    message->owner = contract;
    message->name = ctc__declare_name(parser, "the message's name");
    ctc__expect_punct(parser, '(', "'(' and the message's arguments");
    if (!parser->failed && !ctc__at_punct(parser, ')')) {
        do {
            struct ctc__arg *arg = ctc__alloc(parser->ctc, sizeof(*arg));
            const char *ignored = "";
            ctc__skip_decoration(parser, &ignored);
            arg->type = ctc__parse_type(parser);
            arg->name = ctc__declare_name(parser, "the argument's name");
            if (!parser->failed) {
                CTC__APPEND(message->args, arg);
                message->arg_count++;
            }
        } while (ctc__take_punct(parser, ','));
    }
    ctc__expect_punct(parser, ')', "',' or ')'");
    if (!parser->failed && ctc__at_word(parser, "requires")) {
        ctc__read_past(parser->ctc, parser->token.pos, PAST_REQUIRES);
        ctc__skip_past(parser, ';');
    } else {
        ctc__expect_punct(parser, ';', "';' after the message");
    }
    /* A message with a broken end still has a name: no unknown-message errors follow from it. */
    if (strcmp(message->name.text, "?") != 0) {
        message->written = message->args;
        CTC__APPEND(contract->messages, message);
    }
}

static void parse_member(struct parser *parser, struct ctc_contract *contract)
{
    const char *doc = parser->token.doc;

    ctc__skip_decoration(parser, &doc);
    if (ctc__take_word(parser, "in")) {
        if (!ctc__take_word(parser, "message")) {
            ctc__syntax(parser, "'message'");
        }
        parse_message(parser, contract, doc, CT_DIR_IN);
    } else if (ctc__take_word(parser, "out")) {
        if (!ctc__take_word(parser, "message")) {
            ctc__syntax(parser, "'message'");
        }
        parse_message(parser, contract, doc, CT_DIR_OUT);
    } else if (ctc__take_word(parser, "message")) {
        parse_message(parser, contract, doc, CT_DIR_BOTH);
    } else if (ctc__take_word(parser, "state")) {
        ctc__parse_state(parser, contract, doc, false);
        return;
    } else if (ctc__take_word(parser, "enum")) {
        ctc__parse_enum(parser, contract, doc);
        return;
    } else if (ctc__take_word(parser, "const")) {
        ctc__parse_const(parser, contract, doc);
    } else if (ctc__take_word(parser, "override")) {
        if (ctc__take_word(parser, "state")) {
            ctc__parse_state(parser, contract, doc, true);
            return;
        }
        ctc__syntax(parser, "'state'");
    } else if (ctc__at_word(parser, "rep") || ctc__at_word(parser, "struct")) {
        (void)ctc__take_word(parser, "rep");
        if (ctc__take_word(parser, "struct")) {
            ctc__parse_struct(parser, contract, doc);
            return;
        }
        ctc__syntax(parser, "'struct'");
    } else {
        ctc__syntax(parser,
                    "'in message', 'out message', 'message', 'state', 'enum', 'struct', 'const' or "
                    "'}'");
    }
    if (parser->failed) {
        ctc__skip_declaration(parser);
    }
}

static void parse_contract(struct parser *parser, const char *doc)
{
    struct ctc_contract *contract = ctc__alloc(parser->ctc, sizeof(*contract));

    size_t errors = parser->ctc->error_count;

    contract->ctc = parser->ctc;
    contract->doc = doc;
    contract->given = parser->lexer.file->given;
    contract->name = ctc__declare_name(parser, "the contract's name");
    if (ctc__take_punct(parser, ':')) {
        contract->base_name = ctc__expect_name(parser, "the base contract's name");
        while (ctc__take_punct(parser, '.')) {
            contract->base_name = ctc__expect_name(parser, "the base contract's name");
        }
    }
    ctc__expect_punct(parser, '{', "'{' after the contract's name");
    if (parser->failed) {
        return;
    }
    for (const struct ctc_contract *c = parser->ctc->contracts; c != NULL; c = c->next) {
        if (strcmp(c->name.text, contract->name.text) == 0) {
            ctc__error(parser->ctc, contract->name.pos, "duplicate-contract",
                       "contract '%s' was declared before, at %s:%u:%u, expected another name",
                       c->name.text, c->name.pos.file->path, c->name.pos.line, c->name.pos.column);
            break;
        }
    }
    CTC__APPEND(parser->ctc->contracts, contract);
    while (parser->token.kind != TOKEN_END && !ctc__at_punct(parser, '}')) {
        parse_member(parser, contract);
    }
    ctc__expect_punct(parser, '}', "'}' after the contract");
    (void)ctc__take_punct(parser, ';');
    contract->broken = parser->ctc->error_count != errors;
}

/* --- files
 * --------------------------------------------------------------------------------------- */

/* Classes and the like: only their names are of interest, to say what they are. */
static void skip_code(struct parser *parser)
{
    struct ctc__pos pos = parser->token.pos;
    bool named = !ctc__at_word(parser, "delegate");

    ctc__read_past(parser->ctc, pos, PAST_CODE);
    ctc__advance(parser);
    if (named && parser->token.kind == TOKEN_NAME) {
        struct ctc__type_note *note = ctc__alloc(parser->ctc, sizeof(*note));
        note->name = (struct ctc__name){.text = parser->token.text, .pos = parser->token.pos};
        CTC__APPEND(parser->ctc->code_types, note);
        ctc__advance(parser);
    }
    if (ctc__at_punct(parser, '{')) {
        ctc__skip_past(parser, '}');
        (void)ctc__take_punct(parser, ';');
    } else if (ctc__at_punct(parser, '(')) {
        ctc__skip_past(parser, ')');
        ctc__skip_past(parser, ';');
    } else {
        ctc__skip_past(parser, ';');
    }
}

static void parse_import(struct parser *parser)
{
    struct ctc__pos pos = parser->token.pos;
    const char *path = parser->token.text;

    if (parser->token.kind != TOKEN_STRING) {
        ctc__syntax(parser, "the file's name in double quotes");
        return;
    }
    ctc__advance(parser);
    ctc__expect_punct(parser, ';', "';' after the import");
    ctc__import(parser->ctc, pos, path);
}

static void parse_namespace(struct parser *parser)
{
    ctc__read_past(parser->ctc, parser->token.pos, PAST_NAMESPACE);
    do {
        (void)ctc__expect_name(parser, "the namespace's name");
    } while (ctc__take_punct(parser, '.'));
    ctc__expect_punct(parser, '{', "'{' after the namespace's name");
    parser->namespaces += !parser->failed;
}

static void parse_top(struct parser *parser)
{
    const char *doc = parser->token.doc;

    ctc__skip_decoration(parser, &doc);
    if (parser->token.kind == TOKEN_END && parser->namespaces == 0) {
        return;
    }
    if (ctc__take_word(parser, "contract")) {
        parse_contract(parser, doc);
    } else if (ctc__take_word(parser, "import")) {
        parse_import(parser);
    } else if (ctc__take_word(parser, "enum")) {
        ctc__parse_enum(parser, NULL, doc);
    } else if (ctc__at_word(parser, "rep") || ctc__at_word(parser, "struct")) {
        (void)ctc__take_word(parser, "rep");
        if (ctc__take_word(parser, "struct")) {
            ctc__parse_struct(parser, NULL, doc);
        } else {
            ctc__syntax(parser, "'struct'");
        }
    } else if (ctc__at_word(parser, "using")) {
        ctc__read_past(parser->ctc, parser->token.pos, PAST_USING);
        ctc__skip_past(parser, ';');
    } else if (ctc__take_word(parser, "namespace")) {
        parse_namespace(parser);
    } else if (ctc__at_word(parser, "class") || ctc__at_word(parser, "interface") ||
               ctc__at_word(parser, "delegate")) {
        skip_code(parser);
    } else if (parser->namespaces > 0 && ctc__take_punct(parser, '}')) {
        parser->namespaces--;
        (void)ctc__take_punct(parser, ';');
    } else {
        ctc__syntax(parser, parser->namespaces > 0 ? "'contract' or '}'"
                                                   : "'public contract' or 'contract'");
    }
}

void ctc__parse(struct ctc *ctc, const struct ctc__file *file)
{
    struct parser parser = {
        .ctc = ctc,
        .lexer = {.ctc = ctc, .file = file, .line = 1, .column = 1},
    };

    if (file->text_bytes >= 3 && memcmp(file->text, "\xef\xbb\xbf", 3) == 0) {
        parser.lexer.at = 3; /* a byte order mark */
    }
    ctc__advance(&parser);
    if (parser.token.kind == TOKEN_END) {
        ctc__syntax(&parser, "a contract");
    }
    while (parser.token.kind != TOKEN_END || (parser.namespaces > 0 && !parser.failed)) {
        parse_top(&parser);
        if (parser.failed && parser.token.kind == TOKEN_END) {
            return;
        }
        if (parser.failed) {
            while (parser.token.kind != TOKEN_END && !ctc__at_word(&parser, "contract") &&
                   !ctc__at_word(&parser, "public")) {
                ctc__advance(&parser);
            }
            parser.failed = false;
        }
    }
}
