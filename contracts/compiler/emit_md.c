/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "contracts/bounds.h"
#include "ctc.h"
#include "describe.h"

/* One line of a table: what would end a cell or begin markup is escaped. */
static void put_cell(struct ctc__text *text, const char *string)
{
    size_t length = strlen(string);

    while (length > 0 && string[length - 1] == '\n') {
        length--;
    }
    for (size_t i = 0; i < length; i++) {
        if (string[i] == '\n') {
            bool blank = i + 1 < length && string[i + 1] == '\n';
            ctc__put(text, "%s", blank ? "<br>" : " ");
            i += blank;
        } else if (string[i] == '<') {
            ctc__put(text, "&lt;");
        } else {
            ctc__put(text, strchr("|\\`*_[]", string[i]) != NULL ? "\\%c" : "%c", string[i]);
        }
    }
}

static void put_args(const struct ctc__message *message, struct ctc__text *text)
{
    for (const struct ctc__arg *a = message->args; a != NULL; a = a->next) {
        ctc__put(text, "%s`", a == message->args ? "" : ", ");
        ctc__put_type(&a->type, text);
        ctc__put(text, " %s`", a->name.text);
    }
}

static void put_messages(const struct ctc_contract *contract, struct ctc__text *text)
{
    static const char *const from[] = {"importer", "exporter", "either side"};

    ctc__put(text, "\n## Messages\n\n| tag | message | sent by | arguments | |\n"
                   "|---|---|---|---|---|\n");
    for (uint32_t t = 0; t < contract->message_count; t++) {
        const struct ctc__message *m = contract->by_tag[t];
        ctc__put(text, "| %u | `%s` | %s | ", t, m->name.text, from[m->direction]);
        put_args(m, text);
        ctc__put(text, " | ");
        put_cell(text, m->doc);
        ctc__put(text, " |\n");
    }
}

static void put_values(const struct ctc_contract *contract, struct ctc__text *text)
{
    if (contract->consts != NULL) {
        ctc__put(text, "\n## Constants\n\n| constant | type | value | |\n|---|---|---|---|\n");
    }
    for (const struct ctc__const *k = contract->consts; k != NULL; k = k->next) {
        bool string = k->text != NULL;
        ctc__put(text, "| `%s` | %s | ", k->name.text, string ? "string" : ctc__kind_name(k->kind));
        if (string) {
            put_cell(text, k->text);
        } else if (k->kind == CT_ARG_BOOL) {
            ctc__put(text, "%s", k->number == 0 ? "false" : "true");
        } else {
            ctc__put_number(k, text);
        }
        ctc__put(text, " | ");
        put_cell(text, k->doc);
        ctc__put(text, " |\n");
    }
    for (const struct ctc__enum *e = contract->enums; e != NULL; e = e->next) {
        ctc__put(text, "\n## Enum %s\n", e->name.text);
        if (e->doc[0] != 0) {
            ctc__put(text, "\n%s", e->doc);
        }
        ctc__put(text, "\n| value | number | |\n|---|---|---|\n");
        for (const struct ctc__value *v = e->values; v != NULL; v = v->next) {
            ctc__put(text, "| `%s` | %u | ", v->name.text, v->number);
            put_cell(text, v->doc);
            ctc__put(text, " |\n");
        }
    }
}

static void put_structs(const struct ct_contract *table, struct ctc__text *text)
{
    for (uint16_t i = 0; i < table->layout_count; i++) {
        const struct ct_layout *layout = &table->layouts[i];
        ctc__put(text,
                 "\n## Struct %s\n\n%u bytes, as it lies in blocks.\n\n"
                 "| offset | field | type |\n|---|---|---|\n",
                 layout->name, layout->bytes);
        for (uint8_t f = 0; f < layout->field_count; f++) {
            const struct ct_field *field = &layout->fields[f];
            bool block = field->kind == CT_ARG_BLOCK;
            ctc__put(text, "| %u | `%s` | %s%s%s |\n", field->offset, field->name,
                     block ? "block " : "",
                     field->layout != 0 ? table->layouts[field->layout - 1].name
                                        : ctc__kind_name(block ? field->element : field->kind),
                     field->optional ? "?" : "");
        }
    }
}

static const char *sender_word(const struct ct_state *state)
{
    return state->final ? "nobody: final" : ctc__side_words[state->sender];
}

static void put_states(const struct ctc_contract *contract, struct ctc__text *text)
{
    const struct ct_contract *table = contract->table;

    ctc__put(text, "\n## States\n\nStates inside a step have a number after the name of the state "
                   "they lie in.\n\n| index | state | who sends | |\n|---|---|---|---|\n");
    for (uint16_t s = 0; s < table->state_count; s++) {
        const struct ct_state *state = &table->states[s];
        ctc__put(text, "| %u | `%s`%s | %s | ", s, state->name, s == 0 ? " (start)" : "",
                 sender_word(state));
        if (!ctc__inside_step(state)) {
            put_cell(text, contract->by_index[s]->state->doc);
        }
        ctc__put(text, " |\n");
    }
    ctc__put(text, "\n## Transitions\n\n| in state | sends | message | then |\n"
                   "|---|---|---|---|\n");
    for (uint16_t s = 0; s < table->state_count; s++) {
        for (int side = CT_IMP; side <= CT_EXP; side++) {
            for (uint16_t tag = 0; tag < table->message_count; tag++) {
                uint8_t next = ct_step(table, (uint8_t)s, (enum ct_side)side, tag);
                if (next != CT_ILLEGAL) {
                    ctc__put(text, "| `%s` | %s | `%s` | `%s` |\n", table->states[s].name,
                             ctc__side_words[side], table->messages[tag].name,
                             table->states[next].name);
                }
            }
        }
    }
}

void ctc__emit_md(const struct ctc_contract *contract, struct ctc__text *text)
{
    const struct ct_contract *table = contract->table;

    ctc__put(text, "<!-- Written by contractc; do not change. -->\n# Contract %s\n",
             contract->name.text);
    if (contract->doc[0] != 0) {
        ctc__put(text, "\n%s", contract->doc);
    }
    ctc__put(text, "\nIdentity `");
    ctc__put_hex(table->id, CT_ID_BYTES, text);
    ctc__put(text, "`.\n\n## Bounds\n\nThe most that can wait at either end.\n\n"
                   "| end | messages | bytes | blocks | endpoints |\n|---|---|---|---|---|\n");
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        struct ct_bound bound = ct_queue_bound(table, (enum ct_side)side);
        ctc__put(text, "| %s | %u | %u | %u | %u |\n", ctc__side_words[side], bound.slots,
                 bound.bytes, bound.blocks, bound.endpoints);
    }
    put_values(contract, text);
    put_structs(table, text);
    put_messages(contract, text);
    put_states(contract, text);
}
