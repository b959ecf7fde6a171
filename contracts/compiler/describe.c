/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ctc.h"
#include "describe.h"

const char *const ctc__side_names[] = {"Imp", "Exp"};
const char *const ctc__side_words[] = {"importer", "exporter"};
const char *const ctc__direction_names[] = {"in", "out", "both"};

const char *ctc__kind_name(uint8_t kind)
{
    static const char *const names[] = {
        [CT_ARG_BOOL] = "bool",         [CT_ARG_INT8] = "int8",       [CT_ARG_UINT8] = "uint8",
        [CT_ARG_INT16] = "int16",       [CT_ARG_UINT16] = "uint16",   [CT_ARG_INT32] = "int32",
        [CT_ARG_UINT32] = "uint32",     [CT_ARG_INT64] = "int64",     [CT_ARG_UINT64] = "uint64",
        [CT_ARG_FLOAT32] = "float32",   [CT_ARG_FLOAT64] = "float64", [CT_ARG_BLOCK] = "block",
        [CT_ARG_ENDPOINT] = "endpoint", [CT_ARG_STRUCT] = "struct",
    };
    return names[kind];
}

void ctc__put_type(const struct ctc__type *type, struct ctc__text *text)
{
    const char *mark = type->optional ? "?" : "";

    if (type->kind == CT_ARG_ENDPOINT) {
        ctc__put(text, "%s.%s:%s%s", type->contract->name.text, ctc__side_names[type->side],
                 type->state->name.text, mark);
        return;
    }
    if (type->kind == CT_ARG_BLOCK) {
        ctc__put(text, "block ");
    }
    if (type->structure != NULL) {
        ctc__put(text, "%s%s", type->structure->name.text, mark);
    } else if (type->enumeration != NULL) {
        ctc__put(text, "%s%s", type->enumeration->name.text, mark);
    } else if (type->kind == CT_ARG_BLOCK) {
        ctc__put(text, "%s%s",
                 type->element == CT_ARG_UINT8 ? "bytes" : ctc__kind_name(type->element), mark);
    } else {
        ctc__put(text, "%s", ctc__kind_name(type->kind));
    }
}

bool ctc__const_is_signed(const struct ctc__const *constant)
{
    return constant->kind == CT_ARG_INT8 || constant->kind == CT_ARG_INT16 ||
           constant->kind == CT_ARG_INT32 || constant->kind == CT_ARG_INT64;
}

void ctc__put_number(const struct ctc__const *constant, struct ctc__text *text)
{
    if (ctc__const_is_signed(constant)) {
        ctc__put(text, "%lld", (long long)constant->number);
    } else {
        ctc__put(text, "%llu", (unsigned long long)constant->number);
    }
}

void ctc__put_hex(const uint8_t *bytes, size_t count, struct ctc__text *text)
{
    for (size_t i = 0; i < count; i++) {
        ctc__put(text, "%02x", bytes[i]);
    }
}

bool ctc__inside_step(const struct ct_state *state)
{
    return strchr(state->name, '.') != NULL;
}
