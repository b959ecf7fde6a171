/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ctc.h"

/* --- numbers
 * --------------------------------------------------------------------------------------- */

static int message_order(const void *a, const void *b)
{
    const struct ctc__message *const *one = a;
    const struct ctc__message *const *two = b;
    return strcmp((*one)->name.text, (*two)->name.text);
}

static int node_order(const void *a, const void *b)
{
    const struct ctc__node *const *one = a;
    const struct ctc__node *const *two = b;
    return strcmp((*one)->name, (*two)->name);
}

static void number_messages(struct ctc_contract *contract)
{
    contract->message_count = 0;
    for (struct ctc__message *m = contract->messages; m != NULL; m = m->next) {
        contract->by_tag[contract->message_count++] = m;
    }
    qsort(contract->by_tag, contract->message_count, sizeof(contract->by_tag[0]), message_order);
    for (uint32_t i = 0; i < contract->message_count; i++) {
        contract->by_tag[i]->tag = (uint8_t)i;
    }
}

/*
 * Implicit states are numbered by what they mean, not by the order of writing: as they are met on
 * a walk from their named state that takes messages in the order of their tags. Recursion is
 * bounded by CT_STATES_MAX.
 */
static void number_implicit(struct ctc__node *node, uint32_t *number)
{
    const struct ctc__edge *by_tag[CT_MESSAGES_MAX] = {0};
    uint32_t tag_count = 0;

    for (const struct ctc__edge *e = node->edges; e != NULL; e = e->next) {
        uint32_t tag = e->action->message->tag;
        by_tag[tag] = e;
        tag_count = tag >= tag_count ? tag + 1 : tag_count;
    }
    for (uint32_t tag = 0; tag < tag_count; tag++) {
        struct ctc__node *to = by_tag[tag] == NULL ? NULL : by_tag[tag]->to;
        if (to == NULL || !to->implicit || to->numbered) {
            continue;
        }
        to->numbered = true;
        snprintf(to->name, sizeof(to->name), "%.*s.%u", (int)(CT_NAME_BYTES_MAX - 4),
                 node->state->name.text, ++*number);
        number_implicit(to, number);
    }
}

static void number_states(struct ctc_contract *contract)
{
    uint32_t count = 0;

    for (struct ctc__node *n = contract->nodes; n != NULL; n = n->next) {
        uint32_t number = 0;
        if (n->implicit) {
            continue;
        }
        snprintf(n->name, sizeof(n->name), "%s", n->state->name.text);
        number_implicit(n, &number);
        if (number > 0 && strlen(n->state->name.text) > CT_NAME_BYTES_MAX - 4) {
            ctc__error(contract->ctc, n->state->name.pos, "limit",
                       "name '%s' leaves no room for the names of states inside its steps, "
                       "expected at most %u characters",
                       n->state->name.text, CT_NAME_BYTES_MAX - 4);
        }
    }
    for (struct ctc__node *n = contract->nodes; n != NULL; n = n->next) {
        assert(n->name[0] != 0); /* every implicit state lies behind its named one */
        contract->by_index[count++] = n;
    }
    assert(count == contract->state_count);
    /* The start state is the first in the list and stays 0. */
    qsort(contract->by_index + 1, count - 1, sizeof(contract->by_index[0]), node_order);
    for (uint32_t i = 0; i < count; i++) {
        contract->by_index[i]->index = (uint16_t)i;
    }
}

static int ref_order(const void *a, const void *b)
{
    const struct ctc_contract *const *one = a;
    const struct ctc_contract *const *two = b;
    return strcmp((*one)->name.text, (*two)->name.text);
}

static void collect_refs(struct ctc_contract *contract)
{
    for (const struct ctc__message *m = contract->messages; m != NULL; m = m->next) {
        for (const struct ctc__arg *a = m->args; a != NULL; a = a->next) {
            bool known = a->type.kind != CT_ARG_ENDPOINT || a->type.contract == contract;
            for (uint32_t r = 0; r < contract->ref_count; r++) {
                known = known || contract->refs[r] == a->type.contract;
            }
            if (!known && contract->ref_count == CT_BLOB_REFS_MAX) {
                ctc__error(contract->ctc, a->type.pos, "limit",
                           "too many contracts are named here, expected at most %u",
                           CT_BLOB_REFS_MAX);
                return;
            }
            if (!known) {
                contract->refs[contract->ref_count++] = a->type.contract;
            }
        }
    }
    qsort(contract->refs, contract->ref_count, sizeof(contract->refs[0]), ref_order);
}

/* --- the body, see blob.h
 * -------------------------------------------------------------------------- */

static void put_u8(struct ctc__text *out, uint32_t value)
{
    uint8_t byte = (uint8_t)value;
    assert(value <= UINT8_MAX);
    ctc__put_bytes(out, &byte, 1);
}

static void put_u16(struct ctc__text *out, uint32_t value)
{
    assert(value <= UINT16_MAX);
    put_u8(out, value & 0xff);
    put_u8(out, value >> 8);
}

static void put_u32(struct ctc__text *out, uint32_t value)
{
    put_u16(out, value & 0xffff);
    put_u16(out, value >> 16);
}

static void put_name(struct ctc__text *out, const char *name)
{
    put_u8(out, (uint32_t)strlen(name));
    ctc__put_bytes(out, name, strlen(name));
}

static int enum_order(const void *a, const void *b)
{
    const struct ctc__enum *const *one = a;
    const struct ctc__enum *const *two = b;
    return strcmp((*one)->name.text, (*two)->name.text);
}

static int value_order(const void *a, const void *b)
{
    const struct ctc__value *const *one = a;
    const struct ctc__value *const *two = b;
    return strcmp((*one)->name.text, (*two)->name.text);
}

static int struct_order(const void *a, const void *b)
{
    const struct ctc__struct *const *one = a;
    const struct ctc__struct *const *two = b;
    return strcmp((*one)->name.text, (*two)->name.text);
}

/* Numbers structs of which blocks travel; by name. Answers how many. */
static uint32_t collect_layouts(const struct ctc_contract *contract,
                                struct ctc__struct *layouts[CT_LAYOUTS_MAX])
{
    uint32_t count = 0;

    for (struct ctc__struct *s = contract->structs; s != NULL; s = s->next) {
        if (s->travels && count < CT_LAYOUTS_MAX) {
            layouts[count++] = s;
        } else if (s->travels) {
            ctc__error(contract->ctc, s->name.pos, "limit", "too many structs, expected at most %u",
                       CT_LAYOUTS_MAX);
        }
    }
    qsort(layouts, count, sizeof(layouts[0]), struct_order);
    for (uint32_t i = 0; i < count; i++) {
        layouts[i]->index = (uint16_t)(i + 1);
    }
    return count;
}

/* Sizes, with the very function that kernels compute them with. */
static void check_sizes(const struct ctc_contract *contract,
                        struct ctc__struct *const structs[CT_LAYOUTS_MAX], uint32_t count)
{
    struct ct_layout *layouts = ctc__alloc(contract->ctc, sizeof(*layouts) * CT_LAYOUTS_MAX);
    uint32_t field_count = 0;

    for (uint32_t i = 0; i < count; i++) {
        field_count += structs[i]->field_count;
        layouts[i].field_count = (uint8_t)structs[i]->field_count;
    }
    struct ct_field *fields = ctc__alloc(contract->ctc, sizeof(*fields) * (field_count + 1));
    struct ct_field *at = fields;
    for (uint32_t i = 0; i < count; i++) {
        layouts[i].fields = at;
        for (const struct ctc__arg *f = structs[i]->fields; f != NULL; f = f->next, at++) {
            at->kind = f->type.kind;
            at->layout = f->type.structure == NULL ? 0 : f->type.structure->index;
        }
    }
    ct__size_layouts(layouts, count, fields);
    for (uint32_t i = 0; i < count; i++) {
        if (layouts[i].bytes == 0) {
            ctc__error(contract->ctc, structs[i]->name.pos, "limit",
                       "struct '%s' is too large, expected at most %u bytes", structs[i]->name.text,
                       CT_LAYOUT_BYTES_MAX);
        }
    }
}

static void put_layouts(struct ctc__struct *const structs[CT_LAYOUTS_MAX], uint32_t count,
                        struct ctc__text *out)
{
    for (uint32_t i = 0; i < count; i++) {
        put_name(out, structs[i]->name.text);
        put_u8(out, structs[i]->field_count);
        for (const struct ctc__arg *f = structs[i]->fields; f != NULL; f = f->next) {
            const struct ctc__type *type = &f->type;
            bool block = type->kind == CT_ARG_BLOCK;
            put_name(out, f->name.text);
            put_u8(out, type->kind);
            put_u8(out, block && type->structure != NULL ? CT_ARG_STRUCT : type->element);
            put_u8(out, type->optional);
            put_u16(out, type->structure == NULL ? 0u : type->structure->index);
            put_u16(out, type->enumeration == NULL ? CT_BLOB_NO_ENUM : type->enumeration->index);
        }
    }
}

/* Only enums that travel are a part of the protocol. Answers how many. */
static uint32_t put_enums(const struct ctc_contract *contract, struct ctc__text *out)
{
    struct ctc__enum *enums[CT_BLOB_ENUMS_MAX] = {0};
    uint32_t count = 0;

    for (struct ctc__enum *e = contract->enums; e != NULL; e = e->next) {
        if (!e->travels) {
            continue;
        }
        if (count == CT_BLOB_ENUMS_MAX) {
            ctc__error(contract->ctc, e->name.pos, "limit", "too many enums, expected at most %u",
                       CT_BLOB_ENUMS_MAX);
            return count;
        }
        enums[count++] = e;
    }
    qsort(enums, count, sizeof(enums[0]), enum_order);
    for (uint32_t i = 0; i < count; i++) {
        const struct ctc__value *values[CT_BLOB_ENUM_VALUES_MAX] = {0};
        uint32_t value_count = 0;
        enums[i]->index = (uint16_t)i;
        for (const struct ctc__value *v = enums[i]->values; v != NULL; v = v->next) {
            values[value_count++] = v;
        }
        qsort(values, value_count, sizeof(values[0]), value_order);
        put_name(out, enums[i]->name.text);
        put_u16(out, value_count);
        for (uint32_t v = 0; v < value_count; v++) {
            put_name(out, values[v]->name.text);
            put_u32(out, values[v]->number);
        }
    }
    return count;
}

static uint32_t ref_index(const struct ctc_contract *contract, const struct ctc_contract *other)
{
    for (uint32_t r = 0; r < contract->ref_count; r++) {
        if (contract->refs[r] == other) {
            return r;
        }
    }
    return CT_REF_SELF;
}

static void put_message(const struct ctc_contract *contract, const struct ctc__message *message,
                        struct ctc__text *out)
{
    put_name(out, message->name.text);
    put_u8(out, message->direction);
    put_u8(out, message->arg_count);
    for (const struct ctc__arg *a = message->args; a != NULL; a = a->next) {
        const struct ctc__type *type = &a->type;
        bool endpoint = type->kind == CT_ARG_ENDPOINT;
        put_name(out, a->name.text);
        put_u8(out, type->kind);
        put_u8(out, type->element);
        put_u8(out, type->optional);
        put_u8(out, type->side);
        put_u8(out, endpoint ? type->state->node->index : 0u);
        put_u16(out, endpoint ? ref_index(contract, type->contract) : 0u);
        put_u16(out, type->enumeration == NULL ? CT_BLOB_NO_ENUM : type->enumeration->index);
        put_u16(out, type->structure == NULL ? 0u : type->structure->index);
    }
}

static void put_state(const struct ctc_contract *contract, const struct ctc__node *node,
                      struct ctc__text *out)
{
    const struct ctc__edge *by_tag[CT_MESSAGES_MAX] = {0};
    uint32_t count = 0;

    for (const struct ctc__edge *e = node->edges; e != NULL; e = e->next) {
        by_tag[e->action->message->tag] = e;
        count++;
    }
    put_name(out, node->name);
    put_u8(out, count == 0 ? CT_IMP : node->sender);
    put_u8(out, count);
    for (uint32_t tag = 0; tag < contract->message_count; tag++) {
        if (by_tag[tag] != NULL) {
            put_u8(out, tag);
            put_u8(out, by_tag[tag]->to->index);
        }
    }
}

/* Queue bounds, with the very function that kernels check them with. */
static void bounds(const struct ctc_contract *contract, uint8_t slots[2])
{
    size_t cells = (size_t)contract->message_count * contract->state_count;
    uint8_t *next[2] = {ctc__alloc(contract->ctc, cells), ctc__alloc(contract->ctc, cells)};
    struct ct_contract table = {
        .message_count = (uint16_t)contract->message_count,
        .state_count = (uint16_t)contract->state_count,
        .next = {next[CT_IMP], next[CT_EXP]},
    };

    memset(next[CT_IMP], CT_ILLEGAL, cells);
    memset(next[CT_EXP], CT_ILLEGAL, cells);
    for (uint32_t s = 0; s < contract->state_count; s++) {
        for (const struct ctc__edge *e = contract->by_index[s]->edges; e != NULL; e = e->next) {
            next[e->action->sender][s * contract->message_count + e->action->message->tag] =
                (uint8_t)e->to->index;
        }
    }
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        int run = ct__run_length(&table, ct_other((enum ct_side)side));
        assert(run >= 0); /* the rule about cycles held */
        if (run > (int)CT_QUEUE_SLOTS_MAX) {
            ctc__error(contract->ctc, contract->name.pos, "limit",
                       "the %s may send %d messages in a row, expected at most %u before the "
                       "other side answers",
                       side == CT_IMP ? "exporter" : "importer", run, CT_QUEUE_SLOTS_MAX);
            run = 0;
        }
        slots[side] = ct__slots(run);
    }
}

/* Endpoint arguments need the state numbers of other contracts: all are numbered first. */
static void number_all(struct ctc *ctc)
{
    for (struct ctc_contract *c = ctc->contracts; c != NULL; c = c->next) {
        number_messages(c);
        number_states(c);
        collect_refs(c);
    }
}

void ctc__canon_bodies(struct ctc_contract *contract)
{
    struct ctc__text out = {0};
    struct ctc__text enums = {0};
    struct ctc__struct *structs[CT_LAYOUTS_MAX] = {0};
    uint8_t slots[2];

    if (contract == contract->ctc->contracts) {
        number_all(contract->ctc);
    }
    if (contract->ctc->error_count > 0) {
        return;
    }
    bounds(contract, slots);
    uint32_t enum_count = put_enums(contract, &enums);
    uint32_t layout_count = collect_layouts(contract, structs);
    check_sizes(contract, structs, layout_count);
    put_name(&out, contract->name.text);
    put_u8(&out, contract->message_count);
    put_u8(&out, contract->state_count);
    put_u16(&out, contract->ref_count);
    put_u16(&out, enum_count);
    put_u16(&out, layout_count);
    put_u8(&out, slots[CT_IMP]);
    put_u8(&out, slots[CT_EXP]);
    ctc__put_bytes(&out, enum_count == 0 ? "" : enums.bytes, enums.length);
    put_layouts(structs, layout_count, &out);
    for (uint32_t r = 0; r < contract->ref_count; r++) {
        put_name(&out, contract->refs[r]->name.text);
    }
    for (uint32_t m = 0; m < contract->message_count; m++) {
        put_message(contract, contract->by_tag[m], &out);
    }
    for (uint32_t s = 0; s < contract->state_count; s++) {
        put_state(contract, contract->by_index[s], &out);
    }
    if (out.length + CT_BLOB_HEADER_BYTES + contract->ref_count * CT_ID_BYTES > CT_BLOB_BYTES_MAX) {
        ctc__error(contract->ctc, contract->name.pos, "limit",
                   "contract '%s' is %zu bytes long when compiled, expected at most %u",
                   contract->name.text, out.length, CT_BLOB_BYTES_MAX);
    }
    contract->body = (uint8_t *)ctc__copy(contract->ctc, out.bytes, out.length);
    contract->body_bytes = (uint32_t)out.length;
    free(out.bytes);
    free(enums.bytes);
}

static void identify(struct ctc_contract *contract)
{
    const struct ctc_contract *reached[CT_BLOB_CLOSURE_MAX];
    struct ct__body bodies[CT_BLOB_CLOSURE_MAX];
    size_t count = ctc__reach(contract, reached, CT_BLOB_CLOSURE_MAX);

    if (count == CT_BLOB_CLOSURE_MAX) {
        ctc__error(contract->ctc, contract->name.pos, "limit",
                   "contract '%s' reaches too many others, expected fewer than %u",
                   contract->name.text, CT_BLOB_CLOSURE_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        bodies[i] = (struct ct__body){
            .name = reached[i]->name.text,
            .bytes = reached[i]->body,
            .length = reached[i]->body_bytes,
        };
    }
    ct__id(bodies, count, contract->id);
}

void ctc__canon_blob(struct ctc_contract *contract)
{
    struct ctc__text out = {0};
    const char *text = NULL;

    if (contract == contract->ctc->contracts) {
        for (struct ctc_contract *c = contract; c != NULL; c = c->next) {
            identify(c);
        }
    }
    ctc__put_bytes(&out, CT_BLOB_MAGIC, CT_BLOB_MAGIC_BYTES);
    ctc__put_bytes(&out, contract->id, CT_ID_BYTES);
    put_u32(&out, contract->body_bytes);
    ctc__put_bytes(&out, contract->body, contract->body_bytes);
    for (uint32_t r = 0; r < contract->ref_count; r++) {
        ctc__put_bytes(&out, contract->refs[r]->id, CT_ID_BYTES);
    }
    contract->blob = (uint8_t *)ctc__copy(contract->ctc, out.bytes, out.length);
    contract->blob_bytes = out.length;
    free(out.bytes);

    sf_status st = ct_decode(contract->blob, contract->blob_bytes, &contract->table, &text);
    if (st == SF_NOMEM) {
        fprintf(stderr, "contract compiler: no memory left\n");
        exit(2);
    }
    assert(st == SF_OK); /* what we write is what we read */
}
