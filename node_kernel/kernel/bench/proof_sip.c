/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SIP that bench_link.c runs on both nodes to prove that nothing was lost, doubled, reordered
 * or altered, whatever the link did. Configuration: mode ("serve" or "proof"), channels (1..8),
 * seconds (of the client).
 *
 * Model: on each channel the client says ROUND messages, every third of them with a block, and then
 * the server does; on as many channels as there are both directions are busy at once. Who receives
 * knows what has to come: the next number, and for a block its length and each of its words. At
 * the end both tell each other how many they sent and took, and both say one line:
 * "proof sent N received N bytes_sent N bytes_received N ns N". What does not fit is said in a
 * line, too, and ends the SIP with exit code WRONG.
 */
#include "ProofContract.h"
#include "sip.h"

#define CHANNELS_MAX 8u
#define ROUND 12u
#define BLOCK_EVERY 3u
#define BLOCK_BYTES_MAX 32768u
#define WRONG 9

struct channel {
    uint32_t handle;
    uint64_t number;         /* as the client names it */
    uint64_t sent, received; /* messages: the next numbers */
    uint32_t in_round;       /* received of this round */
    bool done;               /* totals are exchanged */
};

static struct channel channels[CHANNELS_MAX];
static uint32_t handles[CHANNELS_MAX];
static uint32_t channel_count;
static uint64_t bytes_sent, bytes_received;
static bool serving;

/* --- contents -----------------------------------------------------------------------------------
 */

/* Start of what a message says. down: from server to client. */
static uint64_t seed_of(const struct channel *channel, bool down, uint64_t number)
{
    uint64_t x = (channel->number << 1 | down) * 0x9e3779b97f4a7c15u + number;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* One in four is short, as small messages are. */
static uint32_t length_of(uint64_t seed)
{
    uint32_t limit = (seed & 3u) == 0 ? 256u : BLOCK_BYTES_MAX;

    return 1u + (uint32_t)(seed >> 8) % limit;
}

static uint64_t next_word(uint64_t word)
{
    return word * 6364136223846793005u + 1442695040888963407u;
}

static void fill(uint8_t *data, uint32_t bytes, uint64_t seed)
{
    uint64_t word = seed;
    uint32_t i = 0;

    for (; i + 8 <= bytes; i += 8) {
        word = next_word(word);
        memcpy(data + i, &word, 8);
    }
    word = next_word(word);
    memcpy(data + i, &word, bytes - i);
}

/* Answers the offset of the first word that is wrong, or bytes. */
static uint32_t compare(const uint8_t *data, uint32_t bytes, uint64_t seed)
{
    uint64_t word = seed;
    uint32_t i = 0;

    for (; i + 8 <= bytes; i += 8) {
        uint64_t is;
        word = next_word(word);
        memcpy(&is, data + i, 8);
        if (is != word) {
            return i;
        }
    }
    word = next_word(word);
    return memcmp(data + i, &word, bytes - i) == 0 ? bytes : i;
}

/* --- one message --------------------------------------------------------------------------------
 */

static bool has_block(uint32_t in_round)
{
    return in_round % BLOCK_EVERY == BLOCK_EVERY - 1;
}

static bool message_send(struct channel *channel, uint32_t in_round)
{
    uint64_t seed = seed_of(channel, serving, channel->sent);
    struct nk_msg msg = {.arg_count = 2, .args = {channel->sent, seed}};

    if (has_block(in_round)) {
        uint32_t bytes = length_of(seed);
        uint8_t *data = nk_block_alloc(bytes);
        if (data == NULL) {
            return false;
        }
        fill(data, bytes, seed);
        msg.tag = serving ? ProofContract_tag_GiveBack : ProofContract_tag_Give;
        msg.args[1] = sip_block_arg(data, bytes);
        bytes_sent += bytes;
    } else {
        msg.tag = serving ? ProofContract_tag_SayBack : ProofContract_tag_Say;
        bytes_sent += 16;
    }
    channel->sent++;
    return nk_send(channel->handle, &msg) == 0;
}

static bool round_send(struct channel *channel)
{
    for (uint32_t i = 0; i < ROUND; i++) {
        if (!message_send(channel, i)) {
            sip_log("channel %llu: cannot send", (unsigned long long)channel->number);
            return false;
        }
    }
    return true;
}

/* The message is the next of the channel, and whole. */
static bool message_check(struct channel *channel, struct nk_msg *msg)
{
    bool down = !serving;
    uint64_t number = channel->received++;
    uint64_t seed = seed_of(channel, down, number);
    uint32_t bytes = 16, wrong = 0;

    if (has_block(channel->in_round)) {
        uint8_t *data = sip_arg_block(msg->args[1]);
        bytes = sip_arg_bytes(msg->args[1]);
        wrong = bytes == length_of(seed) ? compare(data, bytes, seed) : 0;
        (void)nk_block_free(data);
    } else {
        wrong = msg->args[1] == seed ? bytes : 0;
    }
    if (msg->args[0] != number || wrong != bytes) {
        sip_log("channel %llu: message %llu came as %llu, wrong from byte %u of %u",
                (unsigned long long)channel->number, (unsigned long long)number,
                (unsigned long long)msg->args[0], wrong, bytes);
        return false;
    }
    bytes_received += bytes;
    channel->in_round = (channel->in_round + 1) % ROUND;
    return true;
}

/* What the other side says it sent and took. */
static bool totals_check(const struct channel *channel, const struct nk_msg *msg)
{
    if (msg->args[0] == channel->received && msg->args[1] == channel->sent) {
        return true;
    }
    sip_log("channel %llu: %llu of %llu came, %llu of %llu arrived",
            (unsigned long long)channel->number, (unsigned long long)channel->received,
            (unsigned long long)msg->args[0], (unsigned long long)msg->args[1],
            (unsigned long long)channel->sent);
    return false;
}

static bool totals_send(const struct channel *channel)
{
    struct nk_msg msg = {.tag = serving ? ProofContract_tag_Total : ProofContract_tag_Done,
                         .arg_count = 2,
                         .args = {channel->sent, channel->received}};

    return nk_send(channel->handle, &msg) == 0;
}

/* --- both sides ---------------------------------------------------------------------------------
 */

static bool closed_tell(const struct channel *channel)
{
    struct nk_msg msg;
    int32_t status = nk_recv(channel->handle, &msg, 0);

    sip_log("channel %llu: nothing to receive, status %d, cause %d",
            (unsigned long long)channel->number, -status, (int)nk_cause(channel->handle));
    return false;
}

/* false: something is wrong, and was said. */
static bool take(struct channel *channel, struct nk_msg *msg, int64_t end_ns)
{
    switch (msg->tag) {
    case ProofContract_tag_Begin:
        channel->number = msg->args[0];
        return true;
    case ProofContract_tag_Done:
        channel->done = true;
        return totals_check(channel, msg) && totals_send(channel);
    case ProofContract_tag_Total:
        channel->done = true;
        return totals_check(channel, msg);
    case NK_TAG_NONE:
        return closed_tell(channel);
    default:
        if (!message_check(channel, msg)) {
            return false;
        }
        if (channel->in_round != 0) {
            return true;
        }
        return serving || nk_clock_ns() < end_ns ? round_send(channel) : totals_send(channel);
    }
}

static int run(int64_t end_ns)
{
    int64_t began_ns = nk_clock_ns();
    uint64_t sent = 0, received = 0;

    while (channel_count > 0) {
        struct nk_msg msg;
        int32_t index = nk_recv_any(handles, channel_count, &msg, SIP_FOREVER);
        if (index < 0) {
            return -index;
        }
        if (!take(&channels[index], &msg, end_ns)) {
            return WRONG;
        }
        if (channels[index].done) {
            sent += channels[index].sent;
            received += channels[index].received;
            channels[index] = channels[--channel_count];
            handles[index] = handles[channel_count];
        }
    }
    sip_log("proof sent %llu received %llu bytes_sent %llu bytes_received %llu ns %lld",
            (unsigned long long)sent, (unsigned long long)received, (unsigned long long)bytes_sent,
            (unsigned long long)bytes_received, (long long)(nk_clock_ns() - began_ns));
    return 0;
}

static int serve(void)
{
    serving = true;
    for (uint32_t i = 0; i < channel_count; i++) {
        int32_t handle = sip_accept("bench", SIP_FOREVER);
        if (handle < 0) {
            return -handle;
        }
        channels[i].handle = handles[i] = (uint32_t)handle;
    }
    return run(0);
}

static int client(void)
{
    int64_t end_ns = nk_clock_ns() + SIP_MS(1000) * sip_config_u32("seconds", 10);

    for (uint32_t i = 0; i < channel_count; i++) {
        char name[3] = {'c', (char)('0' + i), 0};
        int32_t handle = sip_endpoint_wait(name, SIP_MS(10000));
        struct nk_msg msg = {.tag = ProofContract_tag_Begin, .arg_count = 1, .args = {i}};
        if (handle < 0) {
            return -handle;
        }
        channels[i] = (struct channel){.handle = (uint32_t)handle, .number = i};
        handles[i] = (uint32_t)handle;
        if (nk_send((uint32_t)handle, &msg) != 0 || !round_send(&channels[i])) {
            return WRONG;
        }
    }
    return run(end_ns);
}

int sip_main(void)
{
    char mode[16];

    channel_count = sip_config_u32("channels", 1);
    if (channel_count < 1 || channel_count > CHANNELS_MAX) {
        return 20;
    }
    sip_config("mode", mode, sizeof(mode), "serve");
    return strcmp(mode, "serve") == 0 ? serve() : client();
}
