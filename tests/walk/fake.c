/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sip.h"

enum fake_fault fake_fault;
int64_t fake_now_ns;
struct fake_channel fake_channels[FAKE_CHANNELS_MAX];
char fake_log[1 << 20];

static struct ct_contract *const *known;
char sip__memory[1]; /* address 0: all blocks are less than 2 GiB away */
static bool import_taken;
static uint32_t entropy;

#define BLOCK_BYTES 4096u
#define BLOCKS_MAX 256u
static uint8_t *blocks; /* below 2 GiB, as this program is */
static uint32_t block_bytes[BLOCKS_MAX];

void fake_reset(enum fake_fault fault, struct ct_contract *const contracts[2])
{
    fake_fault = fault;
    fake_now_ns = 0;
    memset(fake_channels, 0, sizeof(fake_channels));
    memset(block_bytes, 0, sizeof(block_bytes));
    memset(fake_log, 0, sizeof(fake_log));
    known = contracts;
    import_taken = false;
    entropy = 7;
    if (blocks == NULL) {
        blocks = mmap(NULL, BLOCK_BYTES * BLOCKS_MAX, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        assert(blocks != MAP_FAILED);
    }
    model_reset();
}

/* --- blocks
 * ------------------------------------------------------------------------------------------- */

uint32_t fake_blocks_held(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < BLOCKS_MAX; i++) {
        count += block_bytes[i] != 0;
    }
    return count;
}

void *nk_block_alloc(uint32_t bytes)
{
    for (uint32_t i = 0; i < BLOCKS_MAX; i++) {
        if (block_bytes[i] == 0 && bytes > 0 && bytes <= BLOCK_BYTES) {
            block_bytes[i] = bytes;
            return blocks + (size_t)i * BLOCK_BYTES;
        }
    }
    return NULL;
}

int32_t nk_block_free(void *block)
{
    size_t index = (size_t)((uint8_t *)block - blocks) / BLOCK_BYTES;

    assert((uint8_t *)block >= blocks && index < BLOCKS_MAX);
    assert(block_bytes[index] != 0);
    block_bytes[index] = 0;
    return 0;
}

uint64_t fake_block(uint32_t bytes)
{
    void *block = nk_block_alloc(bytes);

    assert(block != NULL);
    return sip_block_arg(block, bytes);
}

void fake_block_drop(uint64_t value)
{
    (void)nk_block_free(sip_arg_block(value));
}

/* --- channels
 * ----------------------------------------------------------------------------------------- */

struct fake_channel *fake_channel_of(uint32_t handle)
{
    assert(handle >= 1);
    assert((handle - 1) / 2 < FAKE_CHANNELS_MAX);
    assert(fake_channels[(handle - 1) / 2].contract != NULL);
    return &fake_channels[(handle - 1) / 2];
}

static enum ct_side side_of(uint32_t handle)
{
    return (handle - 1) % 2 == 0 ? CT_IMP : CT_EXP;
}

int32_t nk_channel(int64_t contract, uint32_t state, uint32_t handles[2])
{
    for (uint32_t i = 0; i < FAKE_CHANNELS_MAX; i++) {
        struct fake_channel *channel = &fake_channels[i];
        if (channel->contract != NULL) {
            continue;
        }
        for (int k = 0; k < 2; k++) {
            if (known[k]->short_id == (uint64_t)contract) {
                memset(channel, 0, sizeof(*channel));
                channel->contract = known[k];
                channel->state[CT_IMP] = channel->state[CT_EXP] = (uint8_t)state;
                handles[CT_IMP] = i * 2 + 1;
                handles[CT_EXP] = i * 2 + 2;
                return 0;
            }
        }
        return -SF_NOTFOUND;
    }
    return -SF_LIMIT;
}

int32_t nk_endpoint(const char *name, uint32_t bytes)
{
    uint32_t handles[2];

    if (import_taken || fake_fault == FAULT_NO_IMPORT || bytes != 8 ||
        memcmp(name, "exporter", 8) != 0) {
        return -SF_NOTFOUND;
    }
    import_taken = true;
    int32_t answer = nk_channel((int64_t)known[0]->short_id, 0, handles);
    assert(answer == 0);
    model_serve(fake_channel_of(handles[CT_IMP]));
    return (int32_t)handles[CT_IMP];
}

int32_t nk_accept(const char *name, uint32_t bytes, int64_t timeout_ns)
{
    (void)name;
    (void)bytes;
    (void)timeout_ns;
    return -SF_NOTFOUND;
}

int32_t nk_listen(const char *name, uint32_t bytes)
{
    (void)name;
    (void)bytes;
    return -SF_NOTFOUND;
}

static bool in_state(const struct fake_channel *channel, const char *state)
{
    return strcmp(channel->contract->states[channel->state[CT_IMP]].name, state) == 0;
}

/* The status with which a message is refused although, or because, it is what it is. */
static int32_t fault_answer(struct fake_channel *channel, uint32_t tag, bool illegal)
{
    const char *name = channel->contract->messages[tag].name;

    if (illegal && fake_fault == FAULT_ACCEPTS_ILLEGAL && in_state(channel, "Listening") &&
        strcmp(name, "Write") == 0) {
        return 0;
    }
    if (illegal && fake_fault == FAULT_REFUSAL_MOVES && in_state(channel, "Bound")) {
        channel->state[CT_IMP] = (uint8_t)ct_state_find(channel->contract, "Zombie");
    }
    if (illegal && fake_fault == FAULT_WRONG_STATUS && in_state(channel, "Zombie")) {
        return -SF_CLOSED;
    }
    if (!illegal && fake_fault == FAULT_REFUSES_LEGAL && in_state(channel, "Connected") &&
        strcmp(name, "IsDataAvailable") == 0) {
        return -SF_CONTRACT;
    }
    return illegal ? -SF_CONTRACT : 0;
}

/* Arguments as the real kernel checks them: all there, and of the right type. */
static bool good_args(const struct ct_contract *contract, const struct ct_message *message,
                      const struct nk_msg *msg)
{
    if (msg->arg_count != message->arg_count) {
        return false;
    }
    for (uint8_t i = 0; i < message->arg_count; i++) {
        const struct ct_arg *arg = &message->args[i];
        if (arg->kind == CT_ARG_BLOCK && msg->args[i] == 0) {
            return false;
        }
        if (arg->kind == CT_ARG_UINT16 && msg->args[i] > UINT16_MAX) {
            return false;
        }
        if (arg->kind == CT_ARG_ENDPOINT) {
            struct fake_channel *given = fake_channel_of((uint32_t)msg->args[i]);
            const uint8_t *id =
                arg->ref == CT_REF_SELF ? contract->id : contract->refs[arg->ref].id;
            if (memcmp(given->contract->id, id, CT_ID_BYTES) != 0 ||
                side_of((uint32_t)msg->args[i]) != arg->side ||
                given->state[arg->side] != arg->state || given->served) {
                return false;
            }
        }
    }
    return true;
}

int32_t nk_send(uint32_t handle, const struct nk_msg *msg)
{
    struct fake_channel *channel = fake_channel_of(handle);
    enum ct_side side = side_of(handle);
    uint8_t next = ct_step(channel->contract, channel->state[side], side, msg->tag);

    assert(side == CT_IMP && !channel->closed[side]);
    if (!good_args(channel->contract, &channel->contract->messages[msg->tag], msg)) {
        return -SF_BADARG;
    }
    int32_t answer = fault_answer(channel, msg->tag, next == CT_ILLEGAL);
    if (next == CT_ILLEGAL || answer != 0) {
        return answer;
    }
    channel->state[side] = next;
    assert(channel->count[CT_EXP] < channel->contract->slots[CT_EXP]);
    channel->queue[CT_EXP][channel->count[CT_EXP]++] = *msg;
    return 0;
}

static void take_first(struct fake_channel *channel, enum ct_side side, struct nk_msg *out_msg)
{
    *out_msg = channel->queue[side][0];
    channel->count[side]--;
    memmove(&channel->queue[side][0], &channel->queue[side][1],
            channel->count[side] * sizeof(struct nk_msg));
    channel->state[side] =
        ct_step(channel->contract, channel->state[side], ct_other(side), out_msg->tag);
    assert(channel->state[side] != CT_ILLEGAL);
}

int32_t nk_recv(uint32_t handle, struct nk_msg *msg, int64_t timeout_ns)
{
    struct fake_channel *channel = fake_channel_of(handle);
    int64_t end = fake_now_ns + timeout_ns;

    assert(timeout_ns >= 0);
    fake_now_ns += FAKE_TRANSIT_NS;
    for (;;) {
        int64_t due = model_run();
        if (channel->count[CT_IMP] > 0) {
            take_first(channel, CT_IMP, msg);
            return 0;
        }
        if (channel->closed[CT_EXP]) {
            return -SF_CLOSED;
        }
        if (due >= end) {
            fake_now_ns = end > fake_now_ns ? end : fake_now_ns;
            return -SF_TIMEOUT;
        }
        fake_now_ns = due > fake_now_ns ? due : fake_now_ns;
    }
}

bool fake_take(struct fake_channel *channel, struct nk_msg *out_msg)
{
    if (channel->count[CT_EXP] == 0) {
        return false;
    }
    take_first(channel, CT_EXP, out_msg);
    return true;
}

void fake_give(struct fake_channel *channel, const char *message, uint64_t arg)
{
    const struct ct_contract *contract = channel->contract;
    int tag = ct_message_find(contract, message);

    assert(tag >= 0);
    uint8_t next = ct_step(contract, channel->state[CT_EXP], CT_EXP, (uint32_t)tag);
    assert(next != CT_ILLEGAL);
    channel->state[CT_EXP] = next;
    if (channel->closed[CT_IMP]) {
        if (contract->messages[tag].arg_count > 0 &&
            contract->messages[tag].args[0].kind == CT_ARG_BLOCK) {
            fake_block_drop(arg);
        }
        return;
    }
    assert(channel->count[CT_IMP] < contract->slots[CT_IMP]);
    channel->queue[CT_IMP][channel->count[CT_IMP]++] = (struct nk_msg){
        .tag = (uint32_t)tag,
        .arg_count = contract->messages[tag].arg_count,
        .args = {arg},
    };
}

void fake_close(struct fake_channel *channel)
{
    channel->closed[CT_EXP] = true;
}

int32_t nk_close(uint32_t handle)
{
    struct fake_channel *channel = fake_channel_of(handle);
    enum ct_side side = side_of(handle);

    assert(!channel->closed[side]);
    channel->closed[side] = true;
    for (uint32_t i = 0; i < channel->count[side]; i++) {
        const struct ct_message *m = &channel->contract->messages[channel->queue[side][i].tag];
        if (m->arg_count > 0 && m->args[0].kind == CT_ARG_BLOCK) {
            fake_block_drop(channel->queue[side][i].args[0]);
        }
    }
    channel->count[side] = 0;
    return 0;
}

int32_t nk_state(uint32_t handle)
{
    return fake_channel_of(handle)->state[side_of(handle)];
}

int32_t nk_cause(uint32_t handle)
{
    return fake_channel_of(handle)->closed[CT_EXP] ? SF_CAUSE_CLOSED_BY_PEER : 0;
}

/* --- the rest
 * ----------------------------------------------------------------------------------------- */

int32_t nk_select(const uint32_t *handles, uint32_t count, int64_t timeout_ns)
{
    (void)handles;
    assert(count == 0 && timeout_ns >= 0);
    (void)model_run();
    fake_now_ns += timeout_ns;
    (void)model_run();
    return -SF_TIMEOUT;
}

int32_t nk_log(const char *text, uint32_t bytes)
{
    size_t length = strlen(fake_log);

    assert(length + bytes + 2 < sizeof(fake_log));
    snprintf(fake_log + length, sizeof(fake_log) - length, "%.*s\n", (int)bytes, text);
    return 0;
}

int64_t nk_clock_ns(void)
{
    return fake_now_ns;
}

int32_t nk_entropy(void *buffer, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        entropy = entropy * 1103515245u + 12345u;
        ((uint8_t *)buffer)[i] = (uint8_t)(entropy >> 16);
    }
    return 0;
}

int32_t nk_config(const char *key, uint32_t key_bytes, char *buffer, uint32_t capacity)
{
    (void)key;
    (void)key_bytes;
    (void)buffer;
    (void)capacity;
    return -SF_NOTFOUND;
}

int32_t nk_identity(uint32_t which, char *buffer, uint32_t capacity)
{
    (void)which;
    (void)buffer;
    (void)capacity;
    return 0;
}

void nk_exit(int32_t code)
{
    exit(code);
}

void nk_yield(void)
{
}

int32_t nk_block_bytes(const void *block)
{
    (void)block;
    return -SF_NOTOWNER;
}
