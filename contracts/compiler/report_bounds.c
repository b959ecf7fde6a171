/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "contracts/bounds.h"
#include "contracts/reports.h"
#include "ctc.h"

static void put_json(struct ctc__text *out, const struct ct_contract *table)
{
    ctc__put(out, "  {\"contract\": \"%s\", \"identity\": \"", table->name);
    for (size_t i = 0; i < CT_ID_BYTES; i++) {
        ctc__put(out, "%02x", table->id[i]);
    }
    ctc__put(out, "\", \"message_bytes\": %u", CT_MESSAGE_BYTES);
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        struct ct_bound bound = ct_queue_bound(table, (enum ct_side)side);
        ctc__put(out,
                 ",\n   \"%s\": {\"slots\": %u, \"bytes\": %u, \"blocks\": %u, \"endpoints\": %u}",
                 side == CT_IMP ? "importer" : "exporter", bound.slots, bound.bytes, bound.blocks,
                 bound.endpoints);
    }
    ctc__put(out, "}");
}

static void put_row(struct ctc__text *out, const struct ct_contract *table, int width)
{
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        struct ct_bound bound = ct_queue_bound(table, (enum ct_side)side);
        ctc__put(out, "%-*s  %-8s  %5u  %5u  %6u  %9u\n", width, side == CT_IMP ? table->name : "",
                 side == CT_IMP ? "importer" : "exporter", bound.slots, bound.bytes, bound.blocks,
                 bound.endpoints);
    }
}

char *ctc_bounds(const struct ctc *ctc, enum ctc_format format)
{
    struct ctc__text out = {0};
    int width = (int)strlen("contract");
    bool first = true;

    for (const struct ctc_contract *c = ctc->contracts; c != NULL; c = c->next) {
        int length = (int)strlen(c->name.text);
        width = c->given && length > width ? length : width;
    }
    if (format == CTC_FORMAT_TEXT) {
        ctc__put(&out, "%-*s  %-8s  %5s  %5s  %6s  %9s\n", width, "contract", "side", "slots",
                 "bytes", "blocks", "endpoints");
    } else {
        ctc__put(&out, "[");
    }
    for (const struct ctc_contract *c = ctc->contracts; c != NULL; c = c->next) {
        if (!c->given) {
            continue;
        }
        if (format == CTC_FORMAT_TEXT) {
            put_row(&out, ctc_table(c), width);
        } else {
            ctc__put(&out, first ? "\n" : ",\n");
            put_json(&out, ctc_table(c));
        }
        first = false;
    }
    ctc__put(&out, format == CTC_FORMAT_TEXT
                       ? "bytes are those of the queue; blocks lie in the exchange heap, any size\n"
                       : "\n]\n");
    return out.bytes;
}
