/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target for fab_rx. Built when the compiler has -fsanitize=fuzzer:
 *
 *     CC=clang meson setup build-fuzz -Db_sanitize=address,undefined -Db_lundef=false
 *     ninja -C build-fuzz fabric/rx_fuzz && build-fuzz/fabric/rx_fuzz -max_total_time=60
 *
 * The first byte says which sessions are sealed. Then the input is a list of steps for one victim
 * among two hostile nodes: a byte that chooses (bit 0 the hostile node) and what that step takes,
 * below; from 96 on, mostly a lie of test_liar.h, whose choices are the next bytes. After each step
 * all audits must hold, and at the end nothing may be left.
 */
#include "test_liar.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static struct victim victim;

struct input {
    const uint8_t *bytes;
    size_t length;
    size_t at;
};

static struct input *lies; /* what they are chosen by */

/* The next bytes as a number; zeros after the end. */
static uint64_t take(struct input *in, uint32_t count)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < count && in->at < in->length; i++) {
        value |= (uint64_t)in->bytes[in->at++] << 8 * i;
    }
    return value;
}

static uint32_t lies_below(uint32_t bound)
{
    return (uint32_t)(take(lies, bound <= 256 ? 1 : 4) % bound);
}

/* A byte of length, and then so many bytes; answers how many there are. */
static uint32_t take_bytes(struct input *in, uint8_t out[UINT8_MAX])
{
    uint32_t count = (uint32_t)take(in, 1);

    count = count < in->length - in->at ? count : (uint32_t)(in->length - in->at);
    memcpy(out, in->bytes + in->at, count);
    in->at += count;
    return count;
}

/* A number near `base`, or any. */
static uint32_t take_near(struct input *in, uint32_t base)
{
    int16_t apart = (int16_t)take(in, 2);

    return apart == INT16_MIN ? (uint32_t)take(in, 4) : base + (uint32_t)apart;
}

/* Numbers that the victim's sessions with that node have or had. */
static uint32_t take_target(struct input *in, uint16_t from)
{
    const struct fab__session *session = victim.fab->sessions[from];
    uint32_t choice = (uint32_t)take(in, 1) % 5;

    if (choice == 4 || session == NULL) {
        return (uint32_t)take(in, 4);
    }
    if (choice == 1 && session->successor != NULL) {
        return session->successor->number;
    }
    return choice == 3 ? 0 : session->number - (choice == 2);
}

/* --- steps ---------------------------------------------------------------------------------- */

static void records(struct input *in, uint16_t from)
{
    uint8_t bytes[UINT8_MAX];

    victim_records(&victim, from, bytes, take_bytes(in, bytes));
}

/* A record of any type and flags about an endpoint of the victim, with any body. */
static void record(struct input *in, uint16_t from)
{
    uint8_t bytes[UINT8_MAX + 12];
    struct fab__writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    uint8_t type = (uint8_t)take(in, 1);
    uint32_t begin = fab__record_begin(&writer, (enum fab__record_type)type, (uint8_t)take(in, 1));
    uint32_t which = (uint32_t)take(in, 1);
    const struct fab_ep *ep = &victim.fab->eps[which / 2 % victim.fab->ep_used];
    uint8_t body[UINT8_MAX];

    fab__write_u64(&writer, which % 2 == 0 ? ep->id : ep->peer_id);
    fab__write_bytes(&writer, body, take_bytes(in, body));
    (void)fab__record_end(&writer, begin);
    victim_records(&victim, from, bytes, writer.length);
}

static void any_bytes(struct input *in, uint16_t from)
{
    uint8_t bytes[UINT8_MAX];

    victim_bytes(&victim, from, bytes, take_bytes(in, bytes));
}

static void hello(struct input *in, uint16_t from)
{
    struct fab__hello said = victim_hello_of(&victim, from);
    uint32_t flags = (uint32_t)take(in, 1);
    uint32_t epochs = (uint32_t)take(in, 1);
    uint32_t mtu = (uint32_t)take(in, 2);

    victim.session[from]--;
    said.flags ^= (flags & 3u) | (flags & 0x20u) >> 3;
    said.source_epoch = (uint16_t)(said.source_epoch + (epochs & 7u));
    said.target_epoch = (uint16_t)(said.target_epoch + (epochs >> 3 & 7u));
    if ((flags & 0x80u) != 0) {
        said.source_node = (uint16_t)(epochs >> 6);
    }
    if (mtu != 0) {
        said.mtu_bytes = (uint16_t)mtu;
    }
    said.source_session = take_near(in, victim.session[from]);
    said.target_session = take_target(in, from);
    if ((flags & 0x40u) != 0) {
        said.ciphers = (uint8_t)take(in, 1);
    }
    victim_hello(&victim, from, &said, (enum victim_message)((flags >> 2) % 3));
}

static void frame(struct input *in, uint16_t from)
{
    const struct fab__session *session = victim.fab->sessions[from];
    uint32_t what = (uint32_t)take(in, 1);
    struct fab__header header = {
        .kind = what & 1u,
        .sack_words = (uint8_t)(what >> 1 & 7u) % (FAB__SACK_WORDS_MAX + 1u),
        .hold_us = (uint16_t)((what & 0x10u) != 0 ? take(in, 2) : 0),
        .target_session = take_target(in, from),
        .number = victim.number[from] + 1,
    };
    uint8_t bytes[UINT8_MAX];

    if ((what & 0x20u) != 0) {
        header.number += take(in, 8);
    }
    header.sequence = take_near(in, session == NULL ? 1 : session->rx_next);
    header.ack = take_near(in, session == NULL ? 1 : session->tx_acked);
    for (uint32_t i = 0; i < header.sack_words; i++) {
        header.sack[i] = take(in, 8);
    }
    victim_frame(&victim, from, &header, bytes, take_bytes(in, bytes), (what & 0x40u) == 0);
}

/* The links end, or the orchestrator says something new of a peer. */
static void peer(struct input *in, uint16_t from)
{
    uint32_t what = (uint32_t)take(in, 2);
    struct fab_peer added = {.node_id = from,
                             .epoch = 1,
                             .mtu_bytes = FAB_MTU_BYTES_MIN + (what >> 2) % VICTIM_MTU,
                             .steady = (what & 2u) != 0};

    if ((what & 1u) != 0) {
        fab_peer_remove(victim.fab, from, SF_CAUSE_OF(LINK_LOST));
    } else if (!victim.sealed[from] && added.mtu_bytes <= VICTIM_MTU) {
        (void)!fab_peer_add(victim.fab, &added, victim.now_ns);
    }
}

static void holders(struct input *in)
{
    uint32_t what = (uint32_t)take(in, 2);
    uint32_t count = (uint32_t)take(in, 1) % 16;

    for (uint32_t i = 0; i <= count; i++) {
        holders_act(victim.fab, what + i * 16);
    }
}

/* As rx_test has it: most inputs get on. */
static void lie(struct input *in, uint32_t choice)
{
    switch (choice % 16) {
    case 0:
        liar_noise();
        break;
    case 1:
        liar_damaged();
        break;
    case 2:
        liar_hello();
        break;
    case 3:
    case 4:
    case 5:
        liar_frame();
        break;
    case 6:
    case 7:
    case 8:
    case 9:
        victim_live(&victim, (uint32_t)take(in, 3));
        break;
    default:
        liar_records();
        break;
    }
}

static void step(struct input *in)
{
    uint32_t choice = (uint32_t)take(in, 1);
    uint16_t from = (choice & 1u) != 0 ? 1 : 3;
    uint32_t frames;

    if (choice >= 96) {
        lie(in, choice);
        return;
    }
    switch (choice >> 1 & 15u) {
    case 0:
    case 1:
        victim_live(&victim, (uint32_t)take(in, 3));
        break;
    case 2:
    case 3:
        records(in, from);
        break;
    case 4:
    case 5:
        record(in, from);
        break;
    case 6:
        if ((choice & 32u) != 0) {
            any_bytes(in, from);
        } else {
            holders_send_large(victim.fab, (uint32_t)take(in, 2));
        }
        break;
    case 7:
    case 8:
        hello(in, from);
        break;
    case 9:
    case 10:
    case 11:
        frame(in, from);
        break;
    case 12:
        victim.now_ns += 1ull << take(in, 1) % 34; /* up to 17 s */
        break;
    case 13:
        frames = (uint32_t)take(in, 1);
        victim.lag = (uint32_t)take(in, 1);
        victim_drain(&victim, (choice & 32u) != 0 ? VICTIM_LOSE : VICTIM_ACKNOWLEDGE, frames);
        break;
    case 14:
        peer(in, from);
        break;
    default:
        holders(in);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct input in = {.bytes = bytes, .length = length};

    lies = &in;
    victim_make(&victim, (uint32_t)take(&in, 1));
    liar_begin(&victim, lies_below);
    while (in.at < in.length) {
        step(&in);
        victim_audit(&victim);
    }
    victim_end(&victim);
    return 0;
}
