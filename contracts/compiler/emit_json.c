/* SPDX-License-Identifier: Apache-2.0 */
#include "contracts/bounds.h"
#include "ctc.h"
#include "describe.h"

/* JSON is UTF-8; a byte that cannot be part of it becomes U+FFFD. Answers the bytes taken. */
static size_t put_utf8(struct ctc__text *text, const unsigned char *c)
{
    size_t length = c[0] >= 0xf0 && c[0] < 0xf5   ? 4
                    : c[0] >= 0xe0                ? 3
                    : c[0] >= 0xc2 && c[0] < 0xe0 ? 2
                                                  : 0;
    bool right = length != 0 && c[0] < 0xf5;

    for (size_t i = 1; right && i < length; i++) {
        right = (c[i] & 0xc0) == 0x80;
    }
    /* Too long forms, surrogates, and what lies beyond the last code point. */
    right = right && !(c[0] == 0xe0 && c[1] < 0xa0) && !(c[0] == 0xed && c[1] > 0x9f) &&
            !(c[0] == 0xf0 && c[1] < 0x90) && !(c[0] == 0xf4 && c[1] > 0x8f);
    if (!right) {
        ctc__put(text, "\\ufffd");
        return 1;
    }
    ctc__put_bytes(text, c, length);
    return length;
}

static void put_string(struct ctc__text *text, const char *string)
{
    const unsigned char *c = (const unsigned char *)string;

    ctc__put(text, "\"");
    while (*c != 0) {
        if (*c >= 0x80) {
            c += put_utf8(text, c);
            continue;
        }
        if (*c == '"' || *c == '\\') {
            ctc__put(text, "\\%c", *c);
        } else if (*c == '\n') {
            ctc__put(text, "\\n");
        } else {
            ctc__put(text, *c < 0x20 ? "\\u%04x" : "%c", *c);
        }
        c++;
    }
    ctc__put(text, "\"");
}

static void put_doc(struct ctc__text *text, const char *doc)
{
    ctc__put(text, ", \"doc\": ");
    put_string(text, doc);
}

static void put_const(const struct ctc__const *constant, struct ctc__text *text)
{
    bool wide = constant->kind == CT_ARG_INT64 || constant->kind == CT_ARG_UINT64;

    ctc__put(text, "\n    {\"name\": \"%s\", \"type\": \"%s\", \"value\": ", constant->name.text,
             constant->text != NULL ? "string" : ctc__kind_name(constant->kind));
    if (constant->text != NULL) {
        put_string(text, constant->text);
    } else if (constant->kind == CT_ARG_BOOL) {
        ctc__put(text, "%s", constant->number == 0 ? "false" : "true");
    } else {
        ctc__put(text, "%s", wide ? "\"" : "");
        ctc__put_number(constant, text);
        ctc__put(text, "%s", wide ? "\"" : "");
    }
    put_doc(text, constant->doc);
    ctc__put(text, "}%s", constant->next != NULL ? "," : "\n  ");
}

static void put_enum(const struct ctc__enum *enumeration, struct ctc__text *text)
{
    ctc__put(text, "\n    {\"name\": \"%s\"", enumeration->name.text);
    put_doc(text, enumeration->doc);
    ctc__put(text, ", \"values\": [");
    for (const struct ctc__value *v = enumeration->values; v != NULL; v = v->next) {
        ctc__put(text, "\n      {\"name\": \"%s\", \"number\": %u", v->name.text, v->number);
        put_doc(text, v->doc);
        ctc__put(text, "}%s", v->next != NULL ? "," : "\n    ");
    }
    ctc__put(text, "]}%s", enumeration->next != NULL ? "," : "\n  ");
}

static void put_arg(const struct ctc__arg *arg, struct ctc__text *text)
{
    const struct ctc__type *type = &arg->type;

    ctc__put(text, "\n      {\"name\": \"%s\", \"type\": \"", arg->name.text);
    ctc__put_type(type, text);
    ctc__put(text, "\", \"kind\": \"%s\"", ctc__kind_name(type->kind));
    if (type->kind == CT_ARG_BLOCK) {
        ctc__put(text, ", \"element\": \"%s\"", ctc__kind_name(type->element));
    }
    if (type->structure != NULL) {
        ctc__put(text, ", \"struct\": \"%s\"", type->structure->name.text);
    }
    if (type->enumeration != NULL) {
        ctc__put(text, ", \"enum\": \"%s\"", type->enumeration->name.text);
    }
    if (type->kind == CT_ARG_ENDPOINT) {
        ctc__put(text, ", \"contract\": \"%s\", \"side\": \"%s\", \"state\": \"%s\"",
                 type->contract->name.text, ctc__side_words[type->side], type->state->name.text);
    }
    ctc__put(text, ", \"optional\": %s}%s", type->optional ? "true" : "false",
             arg->next != NULL ? "," : "\n    ");
}

static void put_fields(const struct ct_contract *table, const struct ct_layout *layout,
                       struct ctc__text *text)
{
    for (uint8_t f = 0; f < layout->field_count; f++) {
        const struct ct_field *field = &layout->fields[f];
        ctc__put(text, "\n      {\"name\": \"%s\", \"offset\": %u, \"kind\": \"%s\"", field->name,
                 field->offset, ctc__kind_name(field->kind));
        if (field->kind == CT_ARG_BLOCK) {
            ctc__put(text, ", \"element\": \"%s\"", ctc__kind_name(field->element));
        }
        if (field->layout != 0) {
            ctc__put(text, ", \"struct\": \"%s\"", table->layouts[field->layout - 1].name);
        }
        ctc__put(text, ", \"optional\": %s}%s", field->optional ? "true" : "false",
                 f + 1 < layout->field_count ? "," : "\n    ");
    }
}

static void put_structs(const struct ct_contract *table, struct ctc__text *text)
{
    ctc__put(text, "  \"structs\": [");
    for (uint16_t i = 0; i < table->layout_count; i++) {
        const struct ct_layout *layout = &table->layouts[i];
        ctc__put(text,
                 "\n    {\"name\": \"%s\", \"bytes\": %u, \"align\": %u, \"refers_to_blocks\": %s, "
                 "\"fields\": [",
                 layout->name, layout->bytes, layout->align, layout->nested ? "true" : "false");
        put_fields(table, layout, text);
        ctc__put(text, "]}%s", i + 1 < table->layout_count ? "," : "\n  ");
    }
    ctc__put(text, "],\n");
}

static void put_messages(const struct ctc_contract *contract, struct ctc__text *text)
{
    ctc__put(text, "  \"messages\": [");
    for (uint32_t t = 0; t < contract->message_count; t++) {
        const struct ctc__message *m = contract->by_tag[t];
        ctc__put(text, "\n    {\"name\": \"%s\", \"tag\": %u, \"direction\": \"%s\"", m->name.text,
                 t, ctc__direction_names[m->direction]);
        put_doc(text, m->doc);
        ctc__put(text, ", \"args\": [");
        for (const struct ctc__arg *a = m->args; a != NULL; a = a->next) {
            put_arg(a, text);
        }
        ctc__put(text, "]}%s", t + 1 < contract->message_count ? "," : "\n  ");
    }
    ctc__put(text, "],\n");
}

static void put_transitions(const struct ct_contract *table, uint8_t state, struct ctc__text *text)
{
    const char *separator = "";

    for (int side = CT_IMP; side <= CT_EXP; side++) {
        for (uint16_t tag = 0; tag < table->message_count; tag++) {
            uint8_t next = ct_step(table, state, (enum ct_side)side, tag);
            if (next != CT_ILLEGAL) {
                ctc__put(text,
                         "%s\n      {\"sender\": \"%s\", \"message\": \"%s\", \"to\": \"%s\"}",
                         separator, ctc__side_words[side], table->messages[tag].name,
                         table->states[next].name);
                separator = ",";
            }
        }
    }
    if (separator[0] != 0) {
        ctc__put(text, "\n    ");
    }
}

static void put_states(const struct ctc_contract *contract, struct ctc__text *text)
{
    const struct ct_contract *table = contract->table;

    ctc__put(text, "  \"states\": [");
    for (uint16_t s = 0; s < table->state_count; s++) {
        const struct ct_state *state = &table->states[s];
        bool inside = ctc__inside_step(state);
        ctc__put(text, "\n    {\"name\": \"%s\", \"index\": %u, \"inside_step\": %s, \"final\": %s",
                 state->name, s, inside ? "true" : "false", state->final ? "true" : "false");
        if (!state->final) {
            ctc__put(text, ", \"sender\": \"%s\"", ctc__side_words[state->sender]);
        }
        put_doc(text, inside ? "" : contract->by_index[s]->state->doc);
        ctc__put(text, ", \"transitions\": [");
        put_transitions(table, (uint8_t)s, text);
        ctc__put(text, "]}%s", s + 1 < table->state_count ? "," : "\n  ");
    }
    ctc__put(text, "],\n");
}

static void put_refs(const struct ct_contract *table, struct ctc__text *text)
{
    ctc__put(text, "  \"contracts\": [");
    for (uint16_t r = 0; r < table->ref_count; r++) {
        ctc__put(text, "\n    {\"name\": \"%s\", \"identity\": \"", table->refs[r].name);
        ctc__put_hex(table->refs[r].id, CT_ID_BYTES, text);
        ctc__put(text, "\"}%s", r + 1 < table->ref_count ? "," : "\n  ");
    }
    ctc__put(text, "]\n");
}

void ctc__emit_json(const struct ctc_contract *contract, struct ctc__text *text)
{
    const struct ct_contract *table = contract->table;

    ctc__put(text, "{\n  \"format\": 1,\n  \"contract\": \"%s\",\n  \"identity\": \"", table->name);
    ctc__put_hex(table->id, CT_ID_BYTES, text);
    ctc__put(text,
             "\",\n  \"short_id\": \"%016llx\",\n  \"doc\": ", (unsigned long long)table->short_id);
    put_string(text, contract->doc);
    ctc__put(text, ",\n  \"queues\": {");
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        struct ct_bound bound = ct_queue_bound(table, (enum ct_side)side);
        ctc__put(text,
                 "%s\n    \"%s\": {\"slots\": %u, \"bytes\": %u, \"blocks\": %u, "
                 "\"endpoints\": %u}",
                 side == CT_IMP ? "" : ",", ctc__side_words[side], bound.slots, bound.bytes,
                 bound.blocks, bound.endpoints);
    }
    ctc__put(text, "\n  },\n");
    ctc__put(text, "  \"constants\": [");
    for (const struct ctc__const *k = contract->consts; k != NULL; k = k->next) {
        put_const(k, text);
    }
    ctc__put(text, "],\n  \"enums\": [");
    for (const struct ctc__enum *e = contract->enums; e != NULL; e = e->next) {
        put_enum(e, text);
    }
    ctc__put(text, "],\n");
    put_structs(table, text);
    put_messages(contract, text);
    put_states(contract, text);
    put_refs(table, text);
    ctc__put(text, "}\n");
}
