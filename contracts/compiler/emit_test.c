/* SPDX-License-Identifier: Apache-2.0 */
#include "ctc.h"

static const char *kind_name(uint8_t kind)
{
    static const char *const names[] = {
        [CT_ARG_BOOL] = "BOOL",         [CT_ARG_INT8] = "INT8",       [CT_ARG_UINT8] = "UINT8",
        [CT_ARG_INT16] = "INT16",       [CT_ARG_UINT16] = "UINT16",   [CT_ARG_INT32] = "INT32",
        [CT_ARG_UINT32] = "UINT32",     [CT_ARG_INT64] = "INT64",     [CT_ARG_UINT64] = "UINT64",
        [CT_ARG_FLOAT32] = "FLOAT32",   [CT_ARG_FLOAT64] = "FLOAT64", [CT_ARG_BLOCK] = "BLOCK",
        [CT_ARG_ENDPOINT] = "ENDPOINT",
    };
    return names[kind];
}

static void put_args(const struct ctc_contract *contract, const struct ctc__message *message,
                     struct ctc__text *text)
{
    if (message->args == NULL) {
        return;
    }
    ctc__put(text, "static const struct walk_arg args_%s[] = {\n", message->name.text);
    for (const struct ctc__arg *a = message->args; a != NULL; a = a->next) {
        ctc__put(text, "    {.name = \"%s\", .kind = WALK_ARG_%s", a->name.text,
                 kind_name(a->type.kind));
        if (a->type.kind == CT_ARG_ENDPOINT) {
            ctc__put(text, ", .contract = 0x%016llxULL, .side = %u, .state = %u",
                     (unsigned long long)a->type.contract->table->short_id, a->type.side,
                     a->type.state->node->index);
        }
        ctc__put(text, "},\n");
    }
    ctc__put(text, "};\n");
    (void)contract;
}

static void put_messages(const struct ctc_contract *contract, struct ctc__text *text)
{
    static const char *const directions[] = {"IN", "OUT", "BOTH"};

    for (uint32_t t = 0; t < contract->message_count; t++) {
        put_args(contract, contract->by_tag[t], text);
    }
    ctc__put(text, "\nstatic const struct walk_message messages[] = {\n");
    for (uint32_t t = 0; t < contract->message_count; t++) {
        const struct ctc__message *m = contract->by_tag[t];
        ctc__put(text, "    {.name = \"%s\", .direction = WALK_%s", m->name.text,
                 directions[m->direction]);
        if (m->args != NULL) {
            ctc__put(text, ", .arg_count = %u, .args = args_%s", m->arg_count, m->name.text);
        }
        ctc__put(text, "},\n");
    }
    ctc__put(text, "};\n");
}

static void put_next(const struct ct_contract *table, struct ctc__text *text)
{
    ctc__put(text, "\n/* Following state by [state * messages + tag]; 255: not allowed. */\n"
                   "static const uint8_t next[] = {\n");
    for (uint16_t s = 0; s < table->state_count; s++) {
        enum ct_side sender = (enum ct_side)table->states[s].sender;
        ctc__put(text, "    /* %s */\n   ", table->states[s].name);
        for (uint16_t tag = 0; tag < table->message_count; tag++) {
            ctc__put(text, " %u,", ct_step(table, (uint8_t)s, sender, tag));
        }
        ctc__put(text, "\n");
    }
    ctc__put(text, "};\n");
}

void ctc__emit_test(const struct ctc_contract *contract, struct ctc__text *text)
{
    const struct ct_contract *table = contract->table;
    const char *c = contract->name.text;

    ctc__put(
        text,
        "/* SPDX-License-Identifier: Apache-2.0 */\n"
        "/* clang-format off */\n"
        "/* Contract %s for the walk (sips/walk/walk.h). Written by contractc; do not change. */\n"
        "#include \"walk.h\"\n\n",
        c);
    put_messages(contract, text);
    ctc__put(text, "\nstatic const struct walk_state states[] = {\n");
    for (uint16_t s = 0; s < table->state_count; s++) {
        const struct ct_state *state = &table->states[s];
        ctc__put(text, "    {.name = \"%s\", .sender = %u, .final = %u},\n", state->name,
                 state->sender, state->final);
    }
    ctc__put(text, "};\n");
    put_next(table, text);
    ctc__put(text,
             "\nconst struct walk_contract walk_contract = {\n"
             "    .name = \"%s\",\n    .id = 0x%016llxULL,\n    .message_count = %u,\n"
             "    .state_count = %u,\n    .messages = messages,\n    .states = states,\n"
             "    .next = next,\n};\n",
             c, (unsigned long long)table->short_id, table->message_count, table->state_count);
}
