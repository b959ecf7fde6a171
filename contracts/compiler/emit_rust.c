/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>

#include "ctc.h"
#include "describe.h"

/* What a name of a contract is called in Rust: some are Rust's own. */
static void put_name(const char *name, struct ctc__text *text)
{
    static const char *const raw[] = {
        "abstract", "as",      "async",  "await",   "become",   "box",    "break", "const",
        "continue", "do",      "dyn",    "else",    "enum",     "extern", "false", "final",
        "fn",       "for",     "if",     "impl",    "in",       "let",    "loop",  "macro",
        "match",    "mod",     "move",   "mut",     "override", "priv",   "pub",   "ref",
        "return",   "static",  "struct", "trait",   "true",     "try",    "type",  "typeof",
        "unsafe",   "unsized", "use",    "virtual", "where",    "while",  "yield",
    };
    static const char *const never[] = {"Self", "crate", "self", "super"};

    for (size_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++) {
        if (strcmp(raw[i], name) == 0) {
            ctc__put(text, "r#%s", name);
            return;
        }
    }
    ctc__put(text, "%s", name);
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        if (strcmp(never[i], name) == 0) {
            ctc__put(text, "_");
        }
    }
}

static void put_lines(const char *indent, const char *doc, struct ctc__text *text)
{
    while (*doc != '\0') {
        const char *end = strchr(doc, '\n');
        const size_t length = end == NULL ? strlen(doc) : (size_t)(end - doc);
        ctc__put(text, length == 0 ? "%s///" : "%s/// ", indent);
        ctc__put_bytes(text, doc, length);
        ctc__put(text, "\n");
        doc += length + (end != NULL);
    }
}

static void put_bytes_of(const char *string, struct ctc__text *text)
{
    ctc__put(text, "b\"");
    for (const unsigned char *c = (const unsigned char *)string; *c != 0; c++) {
        if (*c < 128 && isprint(*c) && *c != '"' && *c != '\\') {
            ctc__put(text, "%c", *c);
        } else {
            ctc__put(text, "\\x%02x", *c);
        }
    }
    ctc__put(text, "\"");
}

static void put_constants(const struct ctc_contract *contract, struct ctc__text *text)
{
    static const char *const types[] = {
        [CT_ARG_BOOL] = "bool",   [CT_ARG_INT8] = "i8",     [CT_ARG_UINT8] = "u8",
        [CT_ARG_INT16] = "i16",   [CT_ARG_UINT16] = "u16",  [CT_ARG_INT32] = "i32",
        [CT_ARG_UINT32] = "u32",  [CT_ARG_INT64] = "i64",   [CT_ARG_UINT64] = "u64",
        [CT_ARG_FLOAT32] = "f32", [CT_ARG_FLOAT64] = "f64",
    };

    if (contract->consts != NULL) {
        ctc__put(text, "\npub mod constant {\n");
    }
    for (const struct ctc__const *k = contract->consts; k != NULL; k = k->next) {
        put_lines("    ", k->doc, text);
        ctc__put(text, "    pub const ");
        put_name(k->name.text, text);
        ctc__put(text, ": %s = ", k->text != NULL ? "&[u8]" : types[k->kind]);
        if (k->text != NULL) {
            put_bytes_of(k->text, text);
        } else if (k->kind == CT_ARG_BOOL) {
            ctc__put(text, "%s", k->number == 0 ? "false" : "true");
        } else {
            ctc__put_number(k, text);
        }
        ctc__put(text, ";\n");
    }
    ctc__put(text, contract->consts != NULL ? "}\n" : "");
}

static void put_enums(const struct ctc_contract *contract, struct ctc__text *text)
{
    for (const struct ctc__enum *e = contract->enums; e != NULL; e = e->next) {
        ctc__put(text, "\n");
        put_lines("", e->doc, text);
        ctc__put(text, "pub mod %s_values {\n", e->name.text);
        for (const struct ctc__value *v = e->values; v != NULL; v = v->next) {
            put_lines("    ", v->doc, text);
            ctc__put(text, "    pub const ");
            put_name(v->name.text, text);
            ctc__put(text, ": u32 = %u;\n", v->number);
        }
        ctc__put(text, "}\n");
    }
}

static void put_tags(const struct ctc_contract *contract, struct ctc__text *text)
{
    static const char *const from[] = {"the importer", "the exporter", "either side"};

    ctc__put(text, "\n/// Message tags. Arguments are in `args` of the message, in this order.\n"
                   "pub mod tag {\n");
    for (uint32_t t = 0; t < contract->message_count; t++) {
        const struct ctc__message *m = contract->by_tag[t];
        put_lines("    ", m->doc, text);
        ctc__put(text, "    /// Sent by %s: `%s(", from[m->direction], m->name.text);
        for (const struct ctc__arg *a = m->args; a != NULL; a = a->next) {
            ctc__put(text, a == m->args ? "" : ", ");
            ctc__put_type(&a->type, text);
            ctc__put(text, " %s", a->name.text);
        }
        ctc__put(text, ")`\n    pub const ");
        put_name(m->name.text, text);
        ctc__put(text, ": u32 = %u;\n", t);
    }
    ctc__put(text, "}\n");
}

void ctc__emit_rust(const struct ctc_contract *contract, struct ctc__text *text)
{
    const struct ct_contract *table = contract->table;

    ctc__put(text,
             "// SPDX-License-Identifier: Apache-2.0\n"
             "//! Contract %s in numbers, for SIPs in Rust. Written by contractc; do not change.\n"
             "//! Use it as a module of its own: `mod %s;` beside this file.\n"
             "#![allow(dead_code, non_snake_case, non_upper_case_globals)]\n\n",
             contract->name.text, contract->name.text);
    put_lines("", contract->doc, text);
    ctc__put(text, "pub const NAME: &str = \"%s\";\n", contract->name.text);
    ctc__put(text,
             "/// Short identity of the contract: how it is named at run time.\n"
             "pub const ID: u64 = 0x%016llx;\n",
             (unsigned long long)table->short_id);
    put_constants(contract, text);
    put_enums(contract, text);
    put_tags(contract, text);
    ctc__put(text,
             "\n/// States inside a step (\"%s.1\" and so on) have no name here.\n"
             "pub mod state {\n",
             table->states[0].name);
    for (uint16_t s = 0; s < table->state_count; s++) {
        if (strchr(table->states[s].name, '.') == NULL) {
            ctc__put(text, "    pub const ");
            put_name(table->states[s].name, text);
            ctc__put(text, ": u32 = %u;\n", s);
        }
    }
    ctc__put(text, "}\n");
}
