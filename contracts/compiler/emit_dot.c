/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ctc.h"

void ctc__emit_dot(const struct ctc_contract *contract, struct ctc__text *text)
{
    const struct ct_contract *table = contract->table;

    ctc__put(text,
             "// Contract %s. Written by contractc; do not change.\n"
             "// M? : the exporter receives M. M! : it sends M.\n"
             "digraph %s {\n"
             "    node [shape=box, style=rounded, fontname=\"sans-serif\"];\n"
             "    edge [fontname=\"sans-serif\", fontsize=10];\n"
             "    start [shape=point];\n"
             "    start -> s0;\n",
             table->name, table->name);
    for (uint16_t s = 0; s < table->state_count; s++) {
        const struct ct_state *state = &table->states[s];
        if (strchr(state->name, '.') != NULL) {
            ctc__put(text, "    s%u [label=\"\", shape=circle, width=0.12];\n", s);
        } else {
            ctc__put(text, "    s%u [label=\"%s\"%s];\n", s, state->name,
                     state->final ? ", peripheries=2" : "");
        }
    }
    for (uint16_t s = 0; s < table->state_count; s++) {
        for (uint16_t tag = 0; tag < table->message_count; tag++) {
            enum ct_side sender = (enum ct_side)table->states[s].sender;
            uint8_t next = ct_step(table, (uint8_t)s, sender, tag);
            if (next != CT_ILLEGAL) {
                ctc__put(text, "    s%u -> s%u [label=\"%s%c\", color=%s];\n", s, next,
                         table->messages[tag].name, sender == CT_IMP ? '?' : '!',
                         sender == CT_IMP ? "blue" : "darkgreen");
            }
        }
    }
    ctc__put(text, "}\n");
}
