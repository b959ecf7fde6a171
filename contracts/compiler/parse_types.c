/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "parse.h"

/* --- types
 * --------------------------------------------------------------------------------------- */

static void parse_mark(struct parser *parser, struct ctc__type *type)
{
    struct ctc__pos pos = parser->token.pos;
    bool required = ctc__take_punct(parser, '!');
    bool optional = !required && ctc__take_punct(parser, '?');

    if (!required && !optional) {
        return;
    }
    type->marked = true;
    type->optional = optional;
    if (type->kind < CT_ARG_BLOCK && type->type_name.text == NULL) {
        ctc__error(parser->ctc, pos, "syntax",
                   "a scalar is always there, expected '!' or '?' after blocks and endpoints only");
    }
}

static void parse_endpoint(struct parser *parser, struct ctc__type *type, struct ctc__name name)
{
    type->kind = CT_ARG_ENDPOINT;
    type->contract_name = name;
    if (ctc__take_word(parser, "Imp")) {
        type->side = CT_IMP;
    } else if (ctc__take_word(parser, "Exp")) {
        type->side = CT_EXP;
    }
    if (ctc__take_punct(parser, ':')) {
        type->state_name = ctc__expect_name(parser, "the state in which the endpoint travels");
    }
    parse_mark(parser, type);
}

/* Sets a scalar kind, or leaves the name of an enum or a struct to be resolved. */
static void scalar_type(struct ctc__type *type, struct ctc__name name, uint8_t *kind)
{
    if (!ctc__scalar(name.text, kind)) {
        *kind = CT_ARG_UINT32;
        type->type_name = name;
    }
}

/* Puts a block into a struct of its own: `T[][]` is a block of structs that hold a `block T`. */
static void wrap(struct parser *parser, struct ctc__type *type, const char *element)
{
    struct ctc__struct *inner = ctc__alloc(parser->ctc, sizeof(*inner));
    struct ctc__arg *field = ctc__alloc(parser->ctc, sizeof(*field));
    struct ctc__text name = {0};

    ctc__put(&name, "block_%s", element);
    field->name = (struct ctc__name){.text = "items", .pos = type->pos};
    field->type = *type;
    inner->name = (struct ctc__name){.text = ctc__copy(parser->ctc, name.bytes, name.length),
                                     .pos = type->pos};
    free(name.bytes);
    inner->doc = "";
    inner->fields = field;
    inner->field_count = 1;
    inner->tracked = true;
    inner->synthetic = true;
    if (strlen(inner->name.text) > CT_NAME_BYTES_MAX) {
        ctc__error(parser->ctc, type->pos, "limit",
                   "vectors lie too deep in vectors, expected at most two or three");
        parser->failed = true;
    }
    *type = (struct ctc__type){.pos = type->pos, .structure = inner};
}

/* `in ExHeap`, with an optional mark behind it. */
static bool take_heap(struct parser *parser, struct ctc__type *type)
{
    if (!ctc__take_word(parser, "in")) {
        return false;
    }
    if (!ctc__take_word(parser, "ExHeap")) {
        ctc__syntax(parser, "'ExHeap'");
    }
    if (!type->marked) {
        parse_mark(parser, type);
    }
    return true;
}

/* The `[]` and `*` behind a type. */
static void parse_vectors(struct parser *parser, struct ctc__type *type, struct ctc__name name)
{
    const char *element = name.text;
    bool in_heap = false;
    bool outer = false;

    while (!parser->failed && (ctc__at_punct(parser, '[') || ctc__at_punct(parser, '*'))) {
        if (outer) {
            wrap(parser, type, element);
            element = type->structure->name.text;
            type->element = CT_ARG_UINT8;
        } else {
            scalar_type(type, name, &type->element);
        }
        if (ctc__take_punct(parser, '[')) {
            ctc__expect_punct(parser, ']', "']'");
        } else {
            ctc__advance(parser);
        }
        type->kind = CT_ARG_BLOCK;
        parse_mark(parser, type);
        in_heap = take_heap(parser, type);
        outer = true;
    }
    if (!parser->failed && !in_heap) {
        ctc__error(parser->ctc, type->pos, "not-exchangeable",
                   "a vector outside the exchange heap cannot travel, expected "
                   "'%s[] in ExHeap' or 'block %s'",
                   name.text, name.text);
        type->broken = true;
    }
}

struct ctc__type ctc__parse_type(struct parser *parser)
{
    struct ctc__type type = {.pos = parser->token.pos};
    struct ctc__name name = ctc__expect_name(parser, "a type");

    if (parser->failed) {
        return type;
    }
    if (strcmp(name.text, "block") == 0 && parser->token.kind == TOKEN_NAME) {
        struct ctc__name element = ctc__expect_name(parser, "the type of the block's elements");
        type.kind = CT_ARG_BLOCK;
        if (strcmp(element.text, "bytes") == 0) {
            type.element = CT_ARG_UINT8;
        } else {
            scalar_type(&type, element, &type.element);
        }
        parse_mark(parser, &type);
        return type;
    }
    while (ctc__take_punct(parser, '.')) {
        if (ctc__at_word(parser, "Imp") || ctc__at_word(parser, "Exp")) {
            parse_endpoint(parser, &type, name);
            return type;
        }
        type.qualifier = name;
        name = ctc__expect_name(parser, "'Imp' or 'Exp' after the contract's name, or a type");
    }
    if (ctc__at_punct(parser, '[') || ctc__at_punct(parser, '*')) {
        parse_vectors(parser, &type, name);
    } else {
        scalar_type(&type, name, &type.kind);
        parse_mark(parser, &type);
    }
    return type;
}

/* --- numbers
 * ------------------------------------------------------------------------------------- */

/* Names that a number may be made of: values before it, or constants before it. */
struct known {
    const struct ctc__value *values;
    const struct ctc__const *consts;
};

static uint64_t parse_term(struct parser *parser, const struct known *known, const char *expected)
{
    uint64_t number = parser->token.number;

    if (parser->failed) {
        return 0;
    }
    if (parser->token.kind == TOKEN_NUMBER) {
        ctc__advance(parser);
        return number;
    }
    for (const struct ctc__value *v = known->values; v != NULL; v = v->next) {
        if (ctc__take_word(parser, v->name.text)) {
            return v->number;
        }
    }
    for (const struct ctc__const *c = known->consts; c != NULL; c = c->next) {
        if (c->text == NULL && ctc__take_word(parser, c->name.text)) {
            return c->number;
        }
    }
    ctc__syntax(parser, expected);
    return 0;
}

/* `1`, `1 << 3`, `A | B`, from left to right. */
static uint64_t parse_number(struct parser *parser, const struct known *known, const char *expected)
{
    uint64_t number = parse_term(parser, known, expected);

    while (!parser->failed) {
        if (ctc__take_punct(parser, '|')) {
            number |= parse_term(parser, known, expected);
        } else if (ctc__take_punct(parser, '+')) {
            number += parse_term(parser, known, expected);
        } else if (ctc__take_punct(parser, '<')) {
            ctc__expect_punct(parser, '<', "'<<'");
            uint64_t by = parse_term(parser, known, expected);
            number = by > 63 ? 0 : number << by;
        } else {
            break;
        }
    }
    return number;
}

/* --- enums
 * --------------------------------------------------------------------------------------- */

static void parse_values(struct parser *parser, struct ctc__enum *enumeration)
{
    uint64_t number = 0;

    while (!parser->failed && !ctc__at_punct(parser, '}')) {
        struct ctc__value *value = ctc__alloc(parser->ctc, sizeof(*value));
        const struct known known = {.values = enumeration->values};
        value->doc = parser->token.doc;
        ctc__skip_decoration(parser, &value->doc);
        value->name = ctc__declare_name(parser, "a value's name or '}'");
        if (ctc__take_punct(parser, '=')) {
            number =
                parse_number(parser, &known, "a number from 0 to 4294967295 or a value before it");
        }
        if (number > UINT32_MAX) {
            ctc__error(parser->ctc, value->name.pos, "limit",
                       "value '%s' is too large, expected at most 4294967295", value->name.text);
            number = 0;
        }
        value->number = (uint32_t)number++;
        if (!parser->failed) {
            CTC__APPEND(enumeration->values, value);
            enumeration->value_count++;
        }
        if (!ctc__take_punct(parser, ',')) {
            break;
        }
    }
}

/* Types outside of contracts: one name, one type in a file. */
#define CHECK_FILE_TWICE(parser, list, declared)                                                   \
    for (__typeof__(list) t_ = (list); t_ != NULL; t_ = t_->next) {                                \
        if (t_->name.pos.file == (declared)->pos.file &&                                           \
            strcmp(t_->name.text, (declared)->text) == 0 && strcmp(t_->name.text, "?") != 0) {     \
            ctc__error((parser)->ctc, (declared)->pos, "duplicate-name",                           \
                       "type '%s' was declared before, at line %u, expected another name",         \
                       (declared)->text, t_->name.pos.line);                                       \
            break;                                                                                 \
        }                                                                                          \
    }

static void check_file_twice(struct parser *parser, const struct ctc__name *declared)
{
    CHECK_FILE_TWICE(parser, parser->ctc->enums, declared)
    CHECK_FILE_TWICE(parser, parser->ctc->structs, declared)
}

void ctc__parse_enum(struct parser *parser, struct ctc_contract *contract, const char *doc)
{
    struct ctc__enum *enumeration = ctc__alloc(parser->ctc, sizeof(*enumeration));

    enumeration->doc = doc;
    enumeration->owner = contract;
    enumeration->name = ctc__declare_name(parser, "the enum's name");
    if (ctc__at_punct(parser, ':')) { /* enum E : byte; all travel as uint32 */
        ctc__read_past(parser->ctc, parser->token.pos, PAST_BASE);
        ctc__advance(parser);
        (void)ctc__expect_name(parser, "the type of the enum's values");
    }
    ctc__expect_punct(parser, '{', "'{' and the enum's values");
    parse_values(parser, enumeration);
    ctc__expect_punct(parser, '}', "',' or '}'");
    if (parser->failed) {
        ctc__skip_declaration(parser);
    } else {
        (void)ctc__take_punct(parser, ';');
    }
    if (contract != NULL) {
        CTC__APPEND(contract->enums, enumeration);
    } else {
        check_file_twice(parser, &enumeration->name);
        CTC__APPEND(parser->ctc->enums, enumeration);
    }
}

/* --- structs
 * ------------------------------------------------------------------------------------- */

static void parse_bases(struct parser *parser, struct ctc__struct *structure)
{
    do {
        struct ctc__name base = ctc__expect_name(parser, "'ITracked'");
        while (ctc__take_punct(parser, '.')) {
            base = ctc__expect_name(parser, "a name");
        }
        if (strcmp(base.text, "ITracked") == 0) {
            structure->tracked = true;
        } else if (!parser->failed) {
            ctc__read_past(parser->ctc, base.pos, PAST_BASE);
        }
    } while (ctc__take_punct(parser, ','));
}

/* Methods and the like, from where it shows that they are no fields. */
static void skip_method(struct parser *parser)
{
    ctc__read_past(parser->ctc, parser->token.pos, PAST_METHOD);
    if (ctc__at_punct(parser, '{')) {
        ctc__skip_past(parser, '}');
    } else if (ctc__at_punct(parser, ';')) {
        ctc__advance(parser);
    } else {
        if (ctc__at_punct(parser, '(')) {
            ctc__skip_past(parser, ')');
        }
        if (ctc__at_punct(parser, '{')) {
            ctc__skip_past(parser, '}');
        } else {
            ctc__skip_past(parser, ';');
        }
    }
}

static bool at_method_word(const struct parser *parser)
{
    static const char *const words[] = {"const",    "explicit", "extern",  "fixed", "implicit",
                                        "operator", "override", "virtual", "void"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (ctc__at_word(parser, words[i])) {
            return true;
        }
    }
    return false;
}

static void parse_field(struct parser *parser, struct ctc__struct *structure)
{
    const char *doc = parser->token.doc;

    ctc__skip_decoration(parser, &doc);
    if (at_method_word(parser)) {
        skip_method(parser);
        return;
    }
    struct ctc__type type = ctc__parse_type(parser);
    if (!parser->failed && ctc__at_punct(parser, '(')) {
        skip_method(parser); /* a constructor */
        return;
    }
    do {
        struct ctc__arg *field = ctc__alloc(parser->ctc, sizeof(*field));
        field->type = type;
        field->name = ctc__declare_name(parser, "the field's name");
        if (!parser->failed && (ctc__at_punct(parser, '(') || ctc__at_punct(parser, '{') ||
                                ctc__at_punct(parser, '.'))) {
            skip_method(parser);
            return;
        }
        if (!parser->failed) {
            CTC__APPEND(structure->fields, field);
            structure->field_count++;
        }
    } while (ctc__take_punct(parser, ','));
    ctc__expect_punct(parser, ';', "';' after the field");
}

void ctc__parse_struct(struct parser *parser, struct ctc_contract *contract, const char *doc)
{
    struct ctc__struct *structure = ctc__alloc(parser->ctc, sizeof(*structure));

    structure->doc = doc;
    structure->owner = contract;
    structure->name = ctc__declare_name(parser, "the struct's name");
    if (ctc__take_punct(parser, ':')) {
        parse_bases(parser, structure);
    }
    ctc__expect_punct(parser, '{', "'{' and the struct's fields");
    bool begun = !parser->failed;
    while (begun && !ctc__at_punct(parser, '}') && parser->token.kind != TOKEN_END) {
        parse_field(parser, structure);
        if (parser->failed) {
            ctc__skip_declaration(parser);
        }
    }
    ctc__expect_punct(parser, '}', "a field or '}'");
    if (parser->failed) {
        ctc__skip_declaration(parser);
    } else {
        (void)ctc__take_punct(parser, ';');
    }
    if (contract != NULL) {
        CTC__APPEND(contract->structs, structure);
    } else {
        check_file_twice(parser, &structure->name);
        CTC__APPEND(parser->ctc->structs, structure);
    }
}

/* --- constants
 * ------------------------------------------------------------------------------------- */

static void parse_const_value(struct parser *parser, struct ctc__const *constant,
                              struct ctc__name type, const struct known *known)
{
    bool negative = ctc__take_punct(parser, '-');

    if (strcmp(type.text, "string") == 0) {
        if (negative || parser->token.kind != TOKEN_STRING) {
            ctc__syntax(parser, "a string in double quotes");
            return;
        }
        constant->text = parser->token.text;
    } else if (ctc__at_word(parser, "true") || ctc__at_word(parser, "false")) {
        constant->number = ctc__at_word(parser, "true");
    } else {
        uint64_t number = parse_number(parser, known, "a number");
        constant->number = negative ? 0 - number : number;
        return;
    }
    ctc__advance(parser);
}

void ctc__parse_const(struct parser *parser, struct ctc_contract *contract, const char *doc)
{
    struct ctc__const *constant = ctc__alloc(parser->ctc, sizeof(*constant));
    struct ctc__name type = ctc__expect_name(parser, "the constant's type");

    constant->doc = doc;
    if (!parser->failed && strcmp(type.text, "string") != 0 &&
        (!ctc__scalar(type.text, &constant->kind) || constant->kind >= CT_ARG_FLOAT32)) {
        ctc__error(parser->ctc, type.pos, "unknown-type",
                   "'%s' cannot be a constant's type, expected an integer type, bool or string",
                   type.text);
    }
    constant->name = ctc__declare_name(parser, "the constant's name");
    ctc__expect_punct(parser, '=', "'=' and the constant's value");
    if (!parser->failed) {
        const struct known known = {.consts = contract->consts};
        parse_const_value(parser, constant, type, &known);
    }
    ctc__expect_punct(parser, ';', "';' after the constant");
    CTC__APPEND(contract->consts, constant);
}
