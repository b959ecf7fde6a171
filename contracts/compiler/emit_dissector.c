/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ctc.h"
#include "describe.h"

static void put_key(const uint8_t *bytes, size_t count, struct ctc__text *text)
{
    for (size_t i = 0; i < count; i++) {
        ctc__put(text, "%02X", bytes[i]);
    }
}

static void put_values(const struct ctc__enum *enumeration, struct ctc__text *text)
{
    ctc__put(text, ", values = {");
    for (const struct ctc__value *v = enumeration->values; v != NULL; v = v->next) {
        ctc__put(text, " [\"%u\"] = \"%s\"%s", v->number, v->name.text,
                 v->next != NULL ? "," : " ");
    }
    ctc__put(text, "}");
}

static void put_messages(const struct ctc_contract *contract, struct ctc__text *text)
{
    ctc__put(text, "        messages = {\n");
    for (uint32_t t = 0; t < contract->message_count; t++) {
        const struct ctc__message *m = contract->by_tag[t];
        const struct ct_arg *args = contract->table->messages[t].args;
        ctc__put(text, "            [%u] = { name = \"%s\", args = {\n", t, m->name.text);
        for (const struct ctc__arg *a = m->args; a != NULL; a = a->next) {
            ctc__put(text, "                { name = \"%s\", kind = %u", a->name.text,
                     (args++)->kind);
            if (a->type.enumeration != NULL && a->type.kind != CT_ARG_BLOCK) {
                put_values(a->type.enumeration, text);
            }
            ctc__put(text, " },\n");
        }
        ctc__put(text, "            } },\n");
    }
    ctc__put(text, "        },\n");
}

static void put_states(const struct ct_contract *table, struct ctc__text *text)
{
    ctc__put(text, "        states = {\n");
    for (uint16_t s = 0; s < table->state_count; s++) {
        enum ct_side sender = (enum ct_side)table->states[s].sender;
        ctc__put(text, "            [%u] = { name = \"%s\", sender = %u, next = {", s,
                 table->states[s].name, sender);
        for (uint16_t tag = 0; tag < table->message_count; tag++) {
            uint8_t next = ct_step(table, (uint8_t)s, sender, tag);
            if (next != CT_ILLEGAL) {
                ctc__put(text, " [%u] = %u,", tag, next);
            }
        }
        ctc__put(text, " } },\n");
    }
    ctc__put(text, "        },\n");
}

void ctc__emit_dissector(const struct ctc_contract *contract, struct ctc__text *text)
{
    const struct ct_contract *table = contract->table;

    ctc__put(text,
             "-- SPDX-License-Identifier: Apache-2.0\n"
             "-- %s.lua - contract %s for Wireshark. Written by contractc; do not change.\n"
             "-- wireshark -X lua_script:%s.lua; one -X for each contract.\n\n",
             table->name, table->name, table->name);
    ctc__put_bytes(text, ctc__dissector_lua, strlen(ctc__dissector_lua));
    ctc__put(text, "\ndo\n    local contract = {\n        name = \"%s\",\n", table->name);
    put_messages(contract, text);
    put_states(table, text);
    ctc__put(text, "    }\n    _G.sipfabric.by_id[\"");
    put_key(table->id, CT_ID_BYTES, text);
    ctc__put(text, "\"] = contract\n    _G.sipfabric.by_short_id[\"");
    put_key(table->id, 8, text);
    ctc__put(text, "\"] = contract\nend\n");
}
