/* SPDX-License-Identifier: Apache-2.0 */
#include "contracts/table.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "blob.h"

_Static_assert(CT_ID_BYTES == crypto_generichash_BYTES, "identities are BLAKE2b-256");

/* Reads forward; after the first error every read answers 0 and changes nothing. */
struct reader {
    const uint8_t *at;
    const uint8_t *end;
    const char *error; /* first one */
};

static void fail(struct reader *reader, const char *text)
{
    if (reader->error == NULL) {
        reader->error = text;
        reader->at = reader->end;
    }
}

static void require(struct reader *reader, bool holds, const char *text)
{
    if (!holds) {
        fail(reader, text);
    }
}

static const uint8_t *take(struct reader *reader, size_t bytes)
{
    const uint8_t *at = reader->at;

    if (reader->error != NULL || (size_t)(reader->end - at) < bytes) {
        fail(reader, "contract table ends too early");
        return NULL;
    }
    reader->at += bytes;
    return at;
}

static uint8_t take_u8(struct reader *reader)
{
    const uint8_t *at = take(reader, 1);
    return at == NULL ? 0 : at[0];
}

static uint16_t take_u16(struct reader *reader)
{
    const uint8_t *at = take(reader, 2);
    return at == NULL ? 0 : (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t take_u32(struct reader *reader)
{
    const uint8_t *at = take(reader, 4);
    return at == NULL
               ? 0
               : at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static bool name_char(uint8_t c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

/* `implicit`: a state's name, which may end in ".<number>". */
static void take_name(struct reader *reader, char name[CT_NAME_BYTES_MAX + 1], bool implicit)
{
    uint8_t length = take_u8(reader);
    const uint8_t *at = take(reader, length);
    uint8_t i = 0;

    name[0] = 0;
    if (at == NULL || length == 0 || length > CT_NAME_BYTES_MAX) {
        fail(reader, "contract table has a name of a wrong length");
        return;
    }
    while (i < length && name_char(at[i], i == 0)) {
        i++;
    }
    if (implicit && i > 0 && i + 1 < length && at[i] == '.') {
        i++;
        while (i < length && at[i] >= '0' && at[i] <= '9') {
            i++;
        }
    }
    require(reader, i == length, "contract table has a name with a forbidden character");
    memcpy(name, at, length);
    name[length] = 0;
}

static void require_order(struct reader *reader, const char *before, const char *after)
{
    if (reader->error == NULL && strcmp(before, after) >= 0) {
        fail(reader, "contract table has names out of order or twice");
    }
}

/* Everything that is known before the arrays are allocated. */
struct counts {
    uint8_t messages, states;
    uint16_t refs, enums, layouts;
    uint32_t fields; /* of all layouts */
};

static void skip_enums(struct reader *reader, const struct counts *counts)
{
    char previous[CT_NAME_BYTES_MAX + 1];
    char name[CT_NAME_BYTES_MAX + 1];

    for (uint16_t i = 0; i < counts->enums && reader->error == NULL; i++) {
        char value_previous[CT_NAME_BYTES_MAX + 1];
        take_name(reader, name, false);
        if (i > 0) {
            require_order(reader, previous, name);
        }
        memcpy(previous, name, sizeof(previous));
        uint16_t values = take_u16(reader);
        require(reader, values >= 1 && values <= CT_BLOB_ENUM_VALUES_MAX,
                "contract table has an enum with too few or too many values");
        for (uint16_t v = 0; v < values && reader->error == NULL; v++) {
            take_name(reader, name, false);
            if (v > 0) {
                require_order(reader, value_previous, name);
            }
            memcpy(value_previous, name, sizeof(value_previous));
            (void)take_u32(reader);
        }
    }
}

/* --- layouts
 * ------------------------------------------------------------------------------------- */

static void require_enum(struct reader *reader, const struct counts *counts, uint16_t enumeration,
                         uint8_t kind, uint8_t element)
{
    require(reader,
            enumeration == CT_BLOB_NO_ENUM ||
                (enumeration < counts->enums &&
                 (kind == CT_ARG_UINT32 || (kind == CT_ARG_BLOCK && element == CT_ARG_UINT32))),
            "contract table has an argument of an unknown enum");
}

static void take_field(struct reader *reader, struct ct_field *field, const struct counts *counts)
{
    take_name(reader, field->name, false);
    field->kind = take_u8(reader);
    field->element = take_u8(reader);
    field->optional = take_u8(reader);
    field->layout = take_u16(reader);
    uint16_t enumeration = take_u16(reader);

    bool block = field->kind == CT_ARG_BLOCK;
    uint8_t what = block ? field->element : field->kind;
    require(reader, field->optional <= block, "contract table has a flag that is not 0 or 1");
    require(reader, block || field->element == 0,
            "contract table has a field set that means nothing");
    require(reader, what < CT_ARG_BLOCK || what == CT_ARG_STRUCT,
            "contract table has a struct with a field of an unknown kind");
    require(reader,
            what == CT_ARG_STRUCT ? field->layout >= 1 && field->layout <= counts->layouts
                                  : field->layout == 0,
            "contract table has a field of an unknown struct");
    require_enum(reader, counts, enumeration, field->kind, field->element);
}

/* Without `layouts` only counts the fields. */
static void take_layouts(struct reader *reader, struct counts *counts, struct ct_layout *layouts,
                         struct ct_field *fields)
{
    char previous[CT_NAME_BYTES_MAX + 1] = "";

    for (uint16_t i = 0; i < counts->layouts && reader->error == NULL; i++) {
        struct ct_layout layout = {0};
        take_name(reader, layout.name, false);
        if (i > 0) {
            require_order(reader, previous, layout.name);
        }
        memcpy(previous, layout.name, sizeof(previous));
        layout.field_count = take_u8(reader);
        require(reader, layout.field_count >= 1 && layout.field_count <= CT_FIELDS_MAX,
                "contract table has a struct with too few or too many fields");
        layout.fields = fields;
        for (uint8_t f = 0; f < layout.field_count && reader->error == NULL; f++) {
            struct ct_field field;
            take_field(reader, fields == NULL ? &field : &fields[f], counts);
            for (uint8_t b = 0; fields != NULL && b < f; b++) {
                require(reader, strcmp(fields[b].name, fields[f].name) != 0,
                        "contract table has two fields of one name");
            }
        }
        if (layouts != NULL) {
            layouts[i] = layout;
            fields += layout.field_count;
        } else {
            counts->fields += layout.field_count;
        }
    }
}

static uint8_t kind_bytes(uint8_t kind)
{
    static const uint8_t bytes[] = {
        [CT_ARG_BOOL] = 1,   [CT_ARG_INT8] = 1,    [CT_ARG_UINT8] = 1,   [CT_ARG_INT16] = 2,
        [CT_ARG_UINT16] = 2, [CT_ARG_INT32] = 4,   [CT_ARG_UINT32] = 4,  [CT_ARG_INT64] = 8,
        [CT_ARG_UINT64] = 8, [CT_ARG_FLOAT32] = 4, [CT_ARG_FLOAT64] = 8, [CT_ARG_BLOCK] = 8,
    };
    return bytes[kind];
}

/* False: a struct inside it has no size yet, or it is too large. */
static bool size_layout(struct ct_layout *layout, struct ct_field *fields,
                        const struct ct_layout *layouts)
{
    uint32_t at = 0;
    uint8_t align = 1;

    layout->nested = 0;
    for (uint8_t f = 0; f < layout->field_count; f++) {
        const struct ct_layout *inner =
            fields[f].kind == CT_ARG_STRUCT ? &layouts[fields[f].layout - 1] : NULL;
        if (inner != NULL && inner->bytes == 0) {
            return false;
        }
        uint32_t bytes = inner == NULL ? kind_bytes(fields[f].kind) : inner->bytes;
        uint8_t field_align = inner == NULL ? (uint8_t)bytes : inner->align;
        at = (at + field_align - 1u) & ~(field_align - 1u);
        fields[f].offset = (uint16_t)at;
        at += bytes;
        if (at > CT_LAYOUT_BYTES_MAX) {
            return false;
        }
        align = field_align > align ? field_align : align;
        layout->nested |= inner == NULL ? fields[f].kind == CT_ARG_BLOCK : inner->nested;
    }
    at = (at + align - 1u) & ~(align - 1u);
    if (at > CT_LAYOUT_BYTES_MAX) {
        return false;
    }
    layout->align = align;
    layout->bytes = (uint16_t)at;
    return true;
}

void ct__size_layouts(struct ct_layout *layouts, uint32_t count, struct ct_field *fields)
{
    bool changed = true;

    while (changed) { /* at most once for each layout */
        struct ct_field *at = fields;
        changed = false;
        for (uint32_t i = 0; i < count; at += layouts[i].field_count, i++) {
            changed |= layouts[i].bytes == 0 && size_layout(&layouts[i], at, layouts);
        }
    }
}

/* Sizes of all, and that none lies inside itself. */
static void check_layouts(struct reader *reader, struct ct_layout *layouts, struct ct_field *fields,
                          const struct counts *counts)
{
    if (reader->error != NULL) {
        return;
    }
    ct__size_layouts(layouts, counts->layouts, fields);
    for (uint16_t i = 0; i < counts->layouts; i++) {
        require(reader, layouts[i].bytes > 0,
                "contract table has a struct that is too large or lies inside itself");
    }
}

/* --- messages and states
 * ------------------------------------------------------------------------- */

static void check_endpoint(struct reader *reader, const struct ct_arg *arg,
                           const struct counts *counts)
{
    require(reader, arg->side <= CT_EXP, "contract table has an endpoint of no side");
    require(reader, arg->ref == CT_REF_SELF || arg->ref < counts->refs,
            "contract table has an endpoint of an unknown contract");
    require(reader,
            arg->ref == CT_REF_SELF ? arg->state < counts->states : arg->state < CT_STATES_MAX,
            "contract table has an endpoint in an unknown state");
    require(reader, arg->element == 0, "contract table has a field set that means nothing");
}

static void take_arg(struct reader *reader, struct ct_arg *arg, const struct ct_layout *layouts,
                     const struct counts *counts)
{
    take_name(reader, arg->name, false);
    arg->kind = take_u8(reader);
    arg->element = take_u8(reader);
    arg->optional = take_u8(reader);
    arg->side = take_u8(reader);
    arg->state = take_u8(reader);
    arg->ref = take_u16(reader);
    uint16_t enumeration = take_u16(reader);

    require(reader, arg->kind <= CT_ARG_ENDPOINT, "contract table has an unknown argument kind");
    require(reader, arg->optional <= 1, "contract table has a flag that is not 0 or 1");
    require_enum(reader, counts, enumeration, arg->kind, arg->element);
    arg->layout = take_u16(reader);
    require(reader, arg->layout <= counts->layouts,
            "contract table has an argument of an unknown struct");
    require(reader, arg->layout == 0 || (arg->kind == CT_ARG_BLOCK && arg->element == CT_ARG_UINT8),
            "contract table has a field set that means nothing");
    if (arg->kind == CT_ARG_ENDPOINT) {
        check_endpoint(reader, arg, counts);
        return;
    }
    require(reader, arg->side == 0 && arg->state == 0 && arg->ref == 0,
            "contract table has a field set that means nothing");
    if (arg->kind == CT_ARG_BLOCK) {
        require(reader, arg->element < CT_ARG_BLOCK, "contract table has a block of non-scalars");
        if (reader->error == NULL && arg->layout > 0) {
            arg->bytes = layouts[arg->layout - 1].bytes;
            arg->nested = layouts[arg->layout - 1].nested;
        }
    } else {
        require(reader, arg->element == 0 && arg->optional == 0,
                "contract table has a field set that means nothing");
    }
}

static void take_messages(struct reader *reader, struct ct_message *messages,
                          const struct ct_layout *layouts, const struct counts *counts)
{
    for (uint16_t i = 0; i < counts->messages && reader->error == NULL; i++) {
        struct ct_message *message = &messages[i];
        take_name(reader, message->name, false);
        if (i > 0) {
            require_order(reader, messages[i - 1].name, message->name);
        }
        message->direction = take_u8(reader);
        require(reader, message->direction <= CT_DIR_BOTH,
                "contract table has a message of no direction");
        message->arg_count = take_u8(reader);
        require(reader, message->arg_count <= CT_ARGS_MAX,
                "contract table has a message with too many arguments");
        for (uint8_t a = 0; a < message->arg_count && reader->error == NULL; a++) {
            take_arg(reader, &message->args[a], layouts, counts);
            for (uint8_t b = 0; b < a; b++) {
                require(reader, strcmp(message->args[a].name, message->args[b].name) != 0,
                        "contract table has two arguments of one name");
            }
        }
    }
}

static void take_actions(struct reader *reader, const struct ct_message *messages,
                         const struct counts *counts, uint8_t sender, uint8_t action_count,
                         uint8_t *row)
{
    int previous = -1;

    for (uint8_t i = 0; i < action_count && reader->error == NULL; i++) {
        uint8_t tag = take_u8(reader);
        uint8_t next = take_u8(reader);
        require(reader, tag < counts->messages, "contract table has an action of no message");
        require(reader, next < counts->states, "contract table has an action to no state");
        require(reader, (int)tag > previous, "contract table has actions out of order or twice");
        if (reader->error != NULL) {
            return;
        }
        require(reader,
                messages[tag].direction == CT_DIR_BOTH ||
                    messages[tag].direction == (sender == CT_IMP ? CT_DIR_IN : CT_DIR_OUT),
                "contract table has an action against its message's direction");
        row[tag] = next;
        previous = tag;
    }
}

static void take_states(struct reader *reader, struct ct_state *states,
                        const struct ct_message *messages, const struct counts *counts,
                        uint8_t *next[2])
{
    for (uint16_t i = 0; i < counts->states && reader->error == NULL; i++) {
        struct ct_state *state = &states[i];
        take_name(reader, state->name, true);
        if (i > 1) {
            require_order(reader, states[i - 1].name, state->name);
        }
        if (i > 0) {
            require(reader, strcmp(states[0].name, state->name) != 0,
                    "contract table has two states of one name");
        }
        state->sender = take_u8(reader);
        uint8_t action_count = take_u8(reader);
        state->final = action_count == 0;
        require(reader, state->sender <= CT_EXP && !(state->final && state->sender != CT_IMP),
                "contract table has a state of no side");
        if (reader->error == NULL) {
            take_actions(reader, messages, counts, state->sender, action_count,
                         next[state->sender] + (size_t)i * counts->messages);
        }
    }
}

/* An endpoint travels only in a state in which its holder sends next (table.h, fabric.h). */
static bool may_travel(const struct ct_arg *arg, const struct ct_contract *contract)
{
    return arg->state < contract->state_count && !contract->states[arg->state].final &&
           contract->states[arg->state].sender == arg->side;
}

static void check_whole(struct reader *reader, const struct ct_contract *contract)
{
    for (uint16_t m = 0; m < contract->message_count; m++) {
        for (uint8_t a = 0; a < contract->messages[m].arg_count; a++) {
            const struct ct_arg *arg = &contract->messages[m].args[a];
            if (arg->kind == CT_ARG_ENDPOINT && arg->ref == CT_REF_SELF) {
                require(reader, may_travel(arg, contract),
                        "contract table sends an endpoint in a state where it receives");
            }
        }
    }
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        int run = ct__run_length(contract, ct_other((enum ct_side)side));
        require(reader, run >= 0, "contract table has a cycle in one direction only");
        require(reader, run <= (int)CT_QUEUE_SLOTS_MAX, "contract table needs too long a queue");
        require(reader, run < 0 || contract->slots[side] == ct__slots(run),
                "contract table gives wrong queue bounds");
    }
}

static uint64_t short_id(const uint8_t id[CT_ID_BYTES])
{
    uint64_t value = 0;

    for (int i = 7; i >= 0; i--) {
        value = value << 8 | id[i];
    }
    return value;
}

static sf_status answer_error(const char *error, const char **out_text)
{
    if (out_text != NULL) {
        *out_text = error;
    }
    return SF_FORMAT;
}

/* The arrays of a contract while it is built: they lie behind it in one allocation. */
struct arrays {
    struct ct_message *messages;
    struct ct_layout *layouts;
    struct ct_field *fields;
    struct ct_ref *refs;
    struct ct_state *states;
    uint8_t *next[2];
};

static struct ct_contract *allocate(const struct counts *counts, struct arrays *arrays)
{
    size_t cells = (size_t)counts->messages * counts->states;
    size_t bytes = sizeof(struct ct_contract) + sizeof(struct ct_layout) * counts->layouts +
                   sizeof(struct ct_message) * counts->messages +
                   sizeof(struct ct_field) * counts->fields + sizeof(struct ct_ref) * counts->refs +
                   sizeof(struct ct_state) * counts->states + 2 * cells;
    struct ct_contract *contract = calloc(1, bytes);

    if (contract == NULL) {
        return NULL;
    }
    arrays->layouts = (struct ct_layout *)(contract + 1);
    arrays->messages = (struct ct_message *)(arrays->layouts + counts->layouts);
    arrays->fields = (struct ct_field *)(arrays->messages + counts->messages);
    arrays->refs = (struct ct_ref *)(arrays->fields + counts->fields);
    arrays->states = (struct ct_state *)(arrays->refs + counts->refs);
    arrays->next[CT_IMP] = (uint8_t *)(arrays->states + counts->states);
    arrays->next[CT_EXP] = arrays->next[CT_IMP] + cells;
    memset(arrays->next[CT_IMP], CT_ILLEGAL, 2 * cells);
    contract->messages = arrays->messages;
    contract->layouts = arrays->layouts;
    contract->refs = arrays->refs;
    contract->states = arrays->states;
    contract->next[CT_IMP] = arrays->next[CT_IMP];
    contract->next[CT_EXP] = arrays->next[CT_EXP];
    contract->message_count = counts->messages;
    contract->layout_count = counts->layouts;
    contract->state_count = counts->states;
    contract->ref_count = counts->refs;
    return contract;
}

_Static_assert(_Alignof(struct ct_layout) <= _Alignof(struct ct_contract) &&
                   _Alignof(struct ct_message) <= _Alignof(struct ct_layout) &&
                   sizeof(struct ct_layout) % _Alignof(struct ct_message) == 0 &&
                   _Alignof(struct ct_field) <= _Alignof(struct ct_message) &&
                   sizeof(struct ct_message) % _Alignof(struct ct_field) == 0 &&
                   _Alignof(struct ct_ref) == 1 && _Alignof(struct ct_state) == 1,
               "allocate packs the arrays behind the contract");

/* Splits a blob. FORMAT: *error says why. */
static sf_status split(const uint8_t *blob, size_t blob_bytes, struct reader *body,
                       const uint8_t **ref_ids, size_t *ref_id_bytes, const char **error)
{
    struct reader reader = {.at = blob, .end = blob + blob_bytes};

    if (blob_bytes > CT_BLOB_BYTES_MAX) {
        *error = "contract table is too large";
        return SF_FORMAT;
    }
    const uint8_t *magic = take(&reader, CT_BLOB_MAGIC_BYTES);
    if (magic == NULL || memcmp(magic, CT_BLOB_MAGIC, CT_BLOB_MAGIC_BYTES) != 0) {
        *error = "not a contract table";
        return SF_FORMAT;
    }
    (void)take(&reader, CT_ID_BYTES);
    uint32_t body_bytes = take_u32(&reader);
    const uint8_t *at = take(&reader, body_bytes);
    if (reader.error != NULL) {
        *error = reader.error;
        return SF_FORMAT;
    }
    *body = (struct reader){.at = at, .end = at + body_bytes};
    *ref_ids = reader.at;
    *ref_id_bytes = (size_t)(reader.end - reader.at);
    return SF_OK;
}

static void take_counts(struct reader *reader, struct counts *counts)
{
    counts->messages = take_u8(reader);
    counts->states = take_u8(reader);
    counts->refs = take_u16(reader);
    counts->enums = take_u16(reader);
    counts->layouts = take_u16(reader);
    require(reader, counts->messages <= CT_MESSAGES_MAX, "contract table has too many messages");
    require(reader, counts->states <= CT_STATES_MAX && counts->states > 0,
            "contract table has no state, or too many");
    require(reader, counts->refs <= CT_BLOB_REFS_MAX, "contract table has too many references");
    require(reader, counts->enums <= CT_BLOB_ENUMS_MAX, "contract table has too many enums");
    require(reader, counts->layouts <= CT_LAYOUTS_MAX, "contract table has too many structs");
}

static void take_refs(struct reader *reader, struct ct_ref *refs, const struct counts *counts,
                      const char *own_name, const uint8_t *ref_ids)
{
    for (uint16_t i = 0; i < counts->refs && reader->error == NULL; i++) {
        take_name(reader, refs[i].name, false);
        if (i > 0) {
            require_order(reader, refs[i - 1].name, refs[i].name);
        }
        require(reader, strcmp(refs[i].name, own_name) != 0,
                "contract table refers to itself by name");
        memcpy(refs[i].id, ref_ids + (size_t)i * CT_ID_BYTES, CT_ID_BYTES);
    }
}

sf_status ct_decode(const uint8_t *blob, size_t blob_bytes, struct ct_contract **out_contract,
                    const char **out_text)
{
    struct reader reader = {0};
    struct counts counts = {0};
    struct arrays arrays;
    char name[CT_NAME_BYTES_MAX + 1] = "";
    const uint8_t *ref_ids = NULL;
    size_t ref_id_bytes = 0;
    const char *error = NULL;

    assert(blob != NULL || blob_bytes == 0);
    assert(out_contract != NULL);

    if (split(blob, blob_bytes, &reader, &ref_ids, &ref_id_bytes, &error) != SF_OK) {
        return answer_error(error, out_text);
    }
    take_name(&reader, name, false);
    take_counts(&reader, &counts);
    require(&reader, ref_id_bytes == (size_t)counts.refs * CT_ID_BYTES,
            "contract table has bytes after its end, or too few");
    struct reader start = reader; /* how many fields there are is known after a first pass */
    (void)take(&reader, 2);
    skip_enums(&reader, &counts);
    take_layouts(&reader, &counts, NULL, NULL);
    if (reader.error != NULL) {
        return answer_error(reader.error, out_text);
    }

    struct ct_contract *contract = allocate(&counts, &arrays);
    if (contract == NULL) {
        if (out_text != NULL) {
            *out_text = "no memory left for a contract table";
        }
        return SF_NOMEM;
    }
    memcpy(contract->name, name, sizeof(name));
    memcpy(contract->id, blob + CT_BLOB_MAGIC_BYTES, CT_ID_BYTES);
    contract->short_id = short_id(contract->id);
    reader = start;
    contract->slots[CT_IMP] = take_u8(&reader);
    contract->slots[CT_EXP] = take_u8(&reader);
    skip_enums(&reader, &counts);
    take_layouts(&reader, &counts, arrays.layouts, arrays.fields);
    check_layouts(&reader, arrays.layouts, arrays.fields, &counts);
    take_refs(&reader, arrays.refs, &counts, name, ref_ids);
    take_messages(&reader, arrays.messages, arrays.layouts, &counts);
    take_states(&reader, arrays.states, arrays.messages, &counts, arrays.next);
    require(&reader, reader.at == reader.end, "contract table has bytes after its last state");
    if (reader.error == NULL) {
        check_whole(&reader, contract);
    }
    if (reader.error != NULL) {
        ct_destroy(contract);
        return answer_error(reader.error, out_text);
    }
    *out_contract = contract;
    return SF_OK;
}

void ct_destroy(struct ct_contract *contract)
{
    free(contract);
}

int ct_state_find(const struct ct_contract *contract, const char *name)
{
    for (uint16_t i = 0; i < contract->state_count; i++) {
        if (strcmp(contract->states[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

int ct_message_find(const struct ct_contract *contract, const char *name)
{
    for (uint16_t i = 0; i < contract->message_count; i++) {
        if (strcmp(contract->messages[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}
