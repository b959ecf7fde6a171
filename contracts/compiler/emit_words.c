/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>

#include "ctc.h"

static void put_string(struct ctc__text *text, const char *string)
{
    ctc__put(text, "\"");
    for (const unsigned char *c = (const unsigned char *)string; *c != 0; c++) {
        if (*c == '"' || *c == '\\') {
            ctc__put(text, "\\%c", *c);
        } else if (*c < 128 && isprint(*c) && *c != '?') {
            ctc__put(text, "%c", *c);
        } else {
            ctc__put(text, "\\%03o", *c);
        }
    }
    ctc__put(text, "\"");
}

static void put_const(const struct ctc_contract *contract, const struct ctc__const *constant,
                      struct ctc__text *text)
{
    ctc__put_doc(text, "", constant->doc);
    ctc__put(text, "#define %s_%s ", contract->name.text, constant->name.text);
    if (constant->text != NULL) {
        put_string(text, constant->text);
    } else if (constant->kind == CT_ARG_BOOL) {
        ctc__put(text, "%s", constant->number == 0 ? "false" : "true");
    } else if ((int64_t)constant->number < 0 &&
               (constant->kind == CT_ARG_INT8 || constant->kind == CT_ARG_INT16 ||
                constant->kind == CT_ARG_INT32 || constant->kind == CT_ARG_INT64)) {
        ctc__put(text, "(-%lluLL)", (unsigned long long)(0 - constant->number));
    } else if (constant->kind == CT_ARG_UINT64 || constant->number > UINT32_MAX) {
        ctc__put(text, "%lluULL", (unsigned long long)constant->number);
    } else if (constant->number > INT32_MAX) {
        ctc__put(text, "%lluU", (unsigned long long)constant->number);
    } else {
        ctc__put(text, "%llu", (unsigned long long)constant->number);
    }
    ctc__put(text, "\n");
}

static void put_enum(const struct ctc_contract *contract, const struct ctc__enum *enumeration,
                     struct ctc__text *text)
{
    const char *c = contract->name.text;
    const char *e = enumeration->name.text;

    ctc__put(text, "\n");
    ctc__put_doc(text, "", enumeration->doc);
    ctc__put(text, "enum %s_%s {\n", c, e);
    for (const struct ctc__value *v = enumeration->values; v != NULL; v = v->next) {
        ctc__put_doc(text, "    ", v->doc);
        ctc__put(text, "    %s_%s_%s = %uu,\n", c, e, v->name.text, v->number);
    }
    ctc__put(text, "};\n");
}

const char *ctc__c_type(uint8_t kind)
{
    static const char *const types[] = {
        [CT_ARG_BOOL] = "bool",       [CT_ARG_INT8] = "int8_t",     [CT_ARG_UINT8] = "uint8_t",
        [CT_ARG_INT16] = "int16_t",   [CT_ARG_UINT16] = "uint16_t", [CT_ARG_INT32] = "int32_t",
        [CT_ARG_UINT32] = "uint32_t", [CT_ARG_INT64] = "int64_t",   [CT_ARG_UINT64] = "uint64_t",
        [CT_ARG_FLOAT32] = "float",   [CT_ARG_FLOAT64] = "double",
    };
    return types[kind];
}

static void put_struct_field(const struct ctc_contract *contract, const struct ctc__arg *field,
                             struct ctc__text *text)
{
    const struct ctc__type *type = &field->type;
    const char *name = field->name.text;

    if (type->kind == CT_ARG_STRUCT) {
        ctc__put(text, "    struct %s_%s %s;\n", contract->name.text, type->structure->name.text,
                 name);
    } else if (type->kind == CT_ARG_BLOCK) {
        ctc__put(text, "    uint32_t %s; /* a block's address%s */\n", name,
                 type->optional ? "; 0: absent" : "");
        ctc__put(text, "    uint32_t %s_bytes;\n", name);
    } else {
        ctc__put(text, "    %s %s;", ctc__c_type(type->kind), name);
        if (type->enumeration != NULL) {
            ctc__put(text, " /* enum %s */", type->enumeration->name.text);
        }
        ctc__put(text, "\n");
    }
}

/* A struct after those that lie in it; recursion is bounded by CT_LAYOUTS_MAX. */
static void put_struct(const struct ctc_contract *contract, const struct ctc__struct *structure,
                       bool done[CT_LAYOUTS_MAX + 1], struct ctc__text *text)
{
    const struct ct_layout *layout = &contract->table->layouts[structure->index - 1];
    const char *c = contract->name.text;
    const char *s = structure->name.text;

    if (done[structure->index]) {
        return;
    }
    done[structure->index] = true;
    for (const struct ctc__arg *f = structure->fields; f != NULL; f = f->next) {
        if (f->type.kind == CT_ARG_STRUCT) {
            put_struct(contract, f->type.structure, done, text);
        }
    }
    ctc__put(text, "\n");
    ctc__put_doc(text, "", structure->doc);
    ctc__put(text, "struct %s_%s {\n", c, s);
    for (const struct ctc__arg *f = structure->fields; f != NULL; f = f->next) {
        put_struct_field(contract, f, text);
    }
    ctc__put(text, "} __attribute__((aligned(%u)));\n", layout->align);
    ctc__put(text, "_Static_assert(sizeof(struct %s_%s) == %u, \"as contractc lays it out\");\n", c,
             s, layout->bytes);
}

void ctc__emit_words(const struct ctc_contract *contract, struct ctc__text *text)
{
    const struct ct_contract *table = contract->table;
    const char *c = contract->name.text;

    ctc__put(text, "#ifndef %s_WORDS\n#define %s_WORDS\n", c, c);
    ctc__put(text, "/* Short identity of the contract: how it is named at run time. */\n");
    ctc__put(text, "#define %s_ID 0x%016llxULL\n", c, (unsigned long long)table->short_id);
    for (const struct ctc__const *k = contract->consts; k != NULL; k = k->next) {
        put_const(contract, k, text);
    }
    for (const struct ctc__enum *e = contract->enums; e != NULL; e = e->next) {
        put_enum(contract, e, text);
    }
    bool done[CT_LAYOUTS_MAX + 1] = {false};
    for (const struct ctc__struct *s = contract->structs; s != NULL; s = s->next) {
        if (s->travels) {
            put_struct(contract, s, done, text);
        }
    }
    if (table->message_count > 0) {
        ctc__put(text, "\nenum %s_tag {\n", c);
        for (uint16_t m = 0; m < table->message_count; m++) {
            ctc__put(text, "    %s_tag_%s = %u,\n", c, table->messages[m].name, m);
        }
        ctc__put(text, "};\n");
    }
    ctc__put(text, "\n/* States inside a step (\"%s.1\" and so on) have no name here. */\n",
             table->states[0].name);
    ctc__put(text, "enum %s_state {\n", c);
    for (uint16_t s = 0; s < table->state_count; s++) {
        if (strchr(table->states[s].name, '.') == NULL) {
            ctc__put(text, "    %s_state_%s = %u,\n", c, table->states[s].name, s);
        }
    }
    ctc__put(text, "};\n#endif\n");
}
