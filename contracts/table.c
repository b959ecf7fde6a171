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
    uint16_t refs, enums;
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

static void take_arg(struct reader *reader, struct ct_arg *arg, const struct counts *counts)
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
    require(reader,
            enumeration == CT_BLOB_NO_ENUM ||
                (enumeration < counts->enums &&
                 (arg->kind == CT_ARG_UINT32 ||
                  (arg->kind == CT_ARG_BLOCK && arg->element == CT_ARG_UINT32))),
            "contract table has an argument of an unknown enum");
    if (arg->kind == CT_ARG_ENDPOINT) {
        check_endpoint(reader, arg, counts);
        return;
    }
    require(reader, arg->side == 0 && arg->state == 0 && arg->ref == 0,
            "contract table has a field set that means nothing");
    if (arg->kind == CT_ARG_BLOCK) {
        require(reader, arg->element < CT_ARG_BLOCK, "contract table has a block of non-scalars");
    } else {
        require(reader, arg->element == 0 && arg->optional == 0,
                "contract table has a field set that means nothing");
    }
}

static void take_messages(struct reader *reader, struct ct_message *messages,
                          const struct counts *counts)
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
            take_arg(reader, &message->args[a], counts);
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

static struct ct_contract *allocate(const struct counts *counts, struct ct_message **messages,
                                    struct ct_state **states, struct ct_ref **refs,
                                    uint8_t *next[2])
{
    size_t cells = (size_t)counts->messages * counts->states;
    size_t bytes = sizeof(struct ct_contract) + sizeof(struct ct_message) * counts->messages +
                   sizeof(struct ct_ref) * counts->refs + sizeof(struct ct_state) * counts->states +
                   2 * cells;
    struct ct_contract *contract = calloc(1, bytes);

    if (contract == NULL) {
        return NULL;
    }
    *messages = (struct ct_message *)(contract + 1);
    *refs = (struct ct_ref *)(*messages + counts->messages);
    *states = (struct ct_state *)(*refs + counts->refs);
    next[CT_IMP] = (uint8_t *)(*states + counts->states);
    next[CT_EXP] = next[CT_IMP] + cells;
    memset(next[CT_IMP], CT_ILLEGAL, 2 * cells);
    contract->messages = *messages;
    contract->refs = *refs;
    contract->states = *states;
    contract->next[CT_IMP] = next[CT_IMP];
    contract->next[CT_EXP] = next[CT_EXP];
    contract->message_count = counts->messages;
    contract->state_count = counts->states;
    contract->ref_count = counts->refs;
    return contract;
}

_Static_assert(_Alignof(struct ct_message) <= 8 && _Alignof(struct ct_ref) == 1 &&
                   _Alignof(struct ct_state) == 1 &&
                   sizeof(struct ct_contract) % _Alignof(struct ct_message) == 0,
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
    require(reader, counts->messages <= CT_MESSAGES_MAX, "contract table has too many messages");
    require(reader, counts->states <= CT_STATES_MAX && counts->states > 0,
            "contract table has no state, or too many");
    require(reader, counts->refs <= CT_BLOB_REFS_MAX, "contract table has too many references");
    require(reader, counts->enums <= CT_BLOB_ENUMS_MAX, "contract table has too many enums");
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
    struct ct_message *messages;
    struct ct_state *states;
    struct ct_ref *refs;
    uint8_t *next[2];
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
    if (reader.error != NULL) {
        return answer_error(reader.error, out_text);
    }

    struct ct_contract *contract = allocate(&counts, &messages, &states, &refs, next);
    if (contract == NULL) {
        if (out_text != NULL) {
            *out_text = "no memory left for a contract table";
        }
        return SF_NOMEM;
    }
    memcpy(contract->name, name, sizeof(name));
    memcpy(contract->id, blob + CT_BLOB_MAGIC_BYTES, CT_ID_BYTES);
    contract->short_id = short_id(contract->id);
    contract->slots[CT_IMP] = take_u8(&reader);
    contract->slots[CT_EXP] = take_u8(&reader);
    skip_enums(&reader, &counts);
    take_refs(&reader, refs, &counts, name, ref_ids);
    take_messages(&reader, messages, &counts);
    take_states(&reader, states, messages, &counts, next);
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
