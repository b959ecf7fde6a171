/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "compat.h"

#define STRUCT_DEPTH_MAX 8u

static const char *const kinds[] = {
    [CT_ARG_BOOL] = "bool",       [CT_ARG_INT8] = "int8",       [CT_ARG_UINT8] = "uint8",
    [CT_ARG_INT16] = "int16",     [CT_ARG_UINT16] = "uint16",   [CT_ARG_INT32] = "int32",
    [CT_ARG_UINT32] = "uint32",   [CT_ARG_INT64] = "int64",     [CT_ARG_UINT64] = "uint64",
    [CT_ARG_FLOAT32] = "float32", [CT_ARG_FLOAT64] = "float64",
};

static void put_type(struct ctc__text *out, const struct ctc__type *type)
{
    const char *mark = type->optional ? "?" : "";

    if (type->kind == CT_ARG_ENDPOINT) {
        ctc__put(out, "%s.%s:%s%s", type->contract->name.text, type->side == CT_IMP ? "Imp" : "Exp",
                 type->state->name.text, mark);
    } else if (type->kind == CT_ARG_BLOCK) {
        ctc__put(out, "block %s%s",
                 type->structure != NULL         ? type->structure->name.text
                 : type->enumeration != NULL     ? type->enumeration->name.text
                 : type->element == CT_ARG_UINT8 ? "bytes"
                                                 : kinds[type->element],
                 mark);
    } else {
        ctc__put(out, "%s",
                 type->enumeration != NULL ? type->enumeration->name.text : kinds[type->kind]);
    }
}

/* The first value that the receiver does not know by this name and number; NULL: none. */
static const struct ctc__value *unknown_value(const struct ctc__enum *sender,
                                              const struct ctc__enum *receiver)
{
    for (const struct ctc__value *v = sender->values; v != NULL; v = v->next) {
        const struct ctc__value *r = receiver->values;
        while (r != NULL && (strcmp(r->name.text, v->name.text) != 0 || r->number != v->number)) {
            r = r->next;
        }
        if (r == NULL) {
            return v;
        }
    }
    return NULL;
}

static bool enums_fit(const struct ctc__type *sender, const struct ctc__type *receiver,
                      struct ctc__text *why)
{
    const struct ctc__value *unknown = NULL;

    if (receiver->enumeration == NULL || sender->enumeration == NULL) {
        return receiver->enumeration == NULL;
    }
    unknown = unknown_value(sender->enumeration, receiver->enumeration);
    if (unknown != NULL) {
        ctc__put(why, "its enum '%s' has no value %s = %u", receiver->enumeration->name.text,
                 unknown->name.text, unknown->number);
    }
    return unknown == NULL;
}

/* The receiver will hold the endpoint; its peer is taken to be of the sender's version. */
static bool endpoints_fit(struct compat_pairs *pairs, const struct ctc__type *sender,
                          const struct ctc__type *receiver, struct ctc__text *why)
{
    const struct ctc_contract *sides[2];

    if (sender->side != receiver->side ||
        strcmp(sender->contract->name.text, receiver->contract->name.text) != 0 ||
        strcmp(sender->state->name.text, receiver->state->name.text) != 0) {
        return false;
    }
    sides[receiver->side] = receiver->contract;
    sides[!receiver->side] = sender->contract;
    if (compat__from_state(pairs, sides[CT_IMP], sides[CT_EXP], sender->state->name.text)) {
        return true;
    }
    ctc__put(why, "the versions of contract '%s' at the two ends of that endpoint do not fit",
             sender->contract->name.text);
    return false;
}

/* Structs lie in memory as they are: the same fields in their places, whatever their names. */
static bool structs_fit(const struct ctc__struct *sender, const struct ctc__struct *receiver,
                        struct ctc__text *why, unsigned depth)
{
    const struct ctc__arg *r = receiver->fields;

    if (depth == STRUCT_DEPTH_MAX) { /* a list, or as good as one */
        return strcmp(sender->name.text, receiver->name.text) == 0;
    }
    for (const struct ctc__arg *s = sender->fields; s != NULL || r != NULL;
         s = s->next, r = r->next) {
        if (s == NULL || r == NULL || s->type.kind != r->type.kind ||
            s->type.element != r->type.element || (s->type.optional && !r->type.optional) ||
            (s->type.structure == NULL) != (r->type.structure == NULL) ||
            (s->type.structure != NULL &&
             !structs_fit(s->type.structure, r->type.structure, why, depth + 1)) ||
            !enums_fit(&s->type, &r->type, why)) {
            if (why->length == 0) {
                ctc__put(why, "struct '%s' has other fields there", receiver->name.text);
            }
            return false;
        }
    }
    return true;
}

static bool arg_fits(struct compat_pairs *pairs, const struct ctc__type *sender,
                     const struct ctc__type *receiver, struct ctc__text *why)
{
    if (sender->kind != receiver->kind || sender->element != receiver->element ||
        (sender->optional && !receiver->optional)) {
        return false;
    }
    if (sender->kind == CT_ARG_ENDPOINT) {
        return endpoints_fit(pairs, sender, receiver, why);
    }
    if (sender->structure != NULL || receiver->structure != NULL) {
        return sender->structure != NULL && receiver->structure != NULL &&
               structs_fit(sender->structure, receiver->structure, why, 0);
    }
    return enums_fit(sender, receiver, why);
}

bool compat__message_fits(struct compat_pairs *pairs, const struct ctc__message *sender,
                          const struct ctc__message *receiver, struct ctc__text *why)
{
    const struct ctc__arg *r = receiver->args;
    struct ctc__text detail = {0};

    if (sender->arg_count != receiver->arg_count) {
        ctc__put(why, "it has %u arguments there, not %u", receiver->arg_count, sender->arg_count);
        return false;
    }
    for (const struct ctc__arg *s = sender->args; s != NULL; s = s->next, r = r->next) {
        if (arg_fits(pairs, &s->type, &r->type, &detail)) {
            continue;
        }
        if (detail.length > 0) {
            ctc__put(why, "%s", detail.bytes);
        } else {
            ctc__put(why, "argument '%s' is '", r->name.text);
            put_type(why, &r->type);
            ctc__put(why, "' there, not '");
            put_type(why, &s->type);
            ctc__put(why, "'");
        }
        free(detail.bytes);
        return false;
    }
    free(detail.bytes);
    return true;
}
