/* SPDX-License-Identifier: Apache-2.0 */
#include "test_liar.h"

#include "cargo.h"

static struct victim *victim;
static struct fab_node *deceived;
static uint32_t (*below)(uint32_t bound);
static uint16_t only; /* 0: any of the hostile nodes */

static uint16_t hostile(void)
{
    return only != 0 ? only : below(2) == 0 ? 1 : 3;
}

/* --- records that lie ----------------------------------------------------------------------- */

/* Most lies are told about one endpoint of the victim, by the node that it talks to. */
static struct fab_ep *topic;
static uint16_t liar;

static void topic_choose(void)
{
    liar = hostile();
    topic = &deceived->eps[below(deceived->ep_used)];
    for (uint32_t i = 0; i < 8 && topic->life == FAB__FREE; i++) {
        topic = &deceived->eps[below(deceived->ep_used)];
    }
    if (below(20) != 0 && topic->life != FAB__FREE) {
        uint16_t node = topic->hold != NULL && below(2) == 0            ? topic->hold->target
                        : topic->place == FAB__PENDING && below(2) == 0 ? topic->via_node
                        : topic->life == FAB__MOVED && below(2) == 0    ? topic->target_node
                                                                        : topic->peer_node;
        liar = node == 1 || node == 3 ? node : liar;
    }
    liar = only != 0 ? only : liar;
}

static uint64_t fresh_id(uint16_t node)
{
    return (uint64_t)node << FAB__ID_NODE_SHIFT | 1ull << FAB__ID_EPOCH_SHIFT |
           (1u + below(1u << 20));
}

static uint64_t target_id(void)
{
    return below(20) == 0 ? fresh_id(hostile()) : topic->id;
}

static uint64_t other_id(void)
{
    return below(20) == 0 ? fresh_id(hostile()) : topic->peer_id;
}

/* For endpoints that arrive: new ones, or ones that come back. */
static uint64_t some_id(void)
{
    const struct fab_ep *ep = &deceived->eps[below(deceived->ep_used)];

    switch (below(8)) {
    case 0:
        return ep->life == FAB__MOVED ? ep->id : ep->peer_id;
    case 1:
        return ep->peer_id;
    case 2:
        return ep->id;
    default:
        return fresh_id(hostile());
    }
}

static struct sf_cause some_cause(void)
{
    return (struct sf_cause){.kind = (uint8_t)below(14), .fault = (uint8_t)below(14)};
}

static const struct ct_contract *topic_table(void)
{
    return topic->life == FAB__FREE ? test_carry() : topic->contract->table;
}

/* Mostly a legal one. */
static uint8_t tag_choose(void)
{
    const struct ct_contract *table = topic_table();
    uint8_t tag = 0;

    for (uint32_t i = 0; i < 20; i++) {
        tag = (uint8_t)below(table->message_count);
        if (topic->life != FAB__FREE &&
            ct_step(table, topic->arrival_state, ct_other(topic->side), tag) != CT_ILLEGAL) {
            break;
        }
    }
    return tag;
}

/* The first block of the last message. */
static uint32_t announced;

static void lie_msg(struct fab__writer *writer)
{
    const struct ct_contract *table = topic_table();
    struct fab__wire_msg msg = {.target = target_id(), .tag = tag_choose()};

    msg.arg_count = table->messages[msg.tag].arg_count;
    for (uint32_t i = 0; i < msg.arg_count; i++) {
        const struct ct_arg *arg = &table->messages[msg.tag].args[i];
        msg.kinds[i] = below(40) == 0 ? (uint8_t)below(CT_ARG_ENDPOINT + 1) : arg->kind;
        if (msg.kinds[i] == CT_ARG_BLOCK) {
            msg.args[i].block_bytes = below(10) == 0 ? below(1u << 30) : below(2000) / 4 * 4;
            announced = announced == 0 ? msg.args[i].block_bytes : announced;
        } else if (msg.kinds[i] == CT_ARG_ENDPOINT) {
            msg.args[i].ep = (struct fab__wire_ep){
                .id = below(10) == 0 ? 0 : some_id(),
                .peer_id = some_id(),
                .contract_short_id = test_work()->short_id,
                .peer_node = (uint16_t)(1 + below(4)),
                .side = below(10) == 0 ? (uint8_t)below(2) : arg->side,
                .state = below(10) == 0 ? (uint8_t)below(8) : arg->state,
                .attached = (uint8_t)below(2),
                .cause = below(5) == 0 ? some_cause() : (struct sf_cause){0},
            };
        } else {
            msg.args[i].scalar = below(100);
        }
    }
    fab__wire_msg_write(writer, &msg);
}

/* Scalars in their own widths, as the contract says; now and then too short or too long. */
static void lie_compact(struct fab__writer *writer)
{
    uint8_t tag = tag_choose();
    const struct ct_contract *table = topic_table();

    fab__write_u64(writer, target_id());
    fab__write_u8(writer, below(50) == 0 ? (uint8_t)below(256) : tag);
    for (uint32_t i = 0; i < table->messages[tag].arg_count; i++) {
        const struct ct_arg *arg = &table->messages[tag].args[i];
        uint32_t bytes = fab__kind_bytes(arg->kind);
        if (bytes == 0) {
            bytes = 8; /* a block or an endpoint, as if it were a number */
        }
        if (below(30) == 0) {
            bytes = below(9);
        }
        fab__write_le(writer, below(4) == 0 ? UINT64_MAX : below(2), bytes);
    }
}

static void lie_open(struct fab__writer *writer)
{
    bool carry = below(2) == 0;

    fab__write_u64(writer, fresh_id(liar));
    fab__write_u64(writer, below(20) == 0 ? some_id() : fresh_id(liar));
    fab__write_bytes(writer, carry ? test_carry()->id : test_work()->id, CT_ID_BYTES);
    fab__write_bytes(writer, carry ? "carry" : "work", carry ? 5 : 4);
}

/* One that is under way, or some other. */
static uint64_t move_id(void)
{
    uint16_t source = below(4) == 0 ? (uint16_t)(1 + below(3)) : liar;

    if (below(8) != 0 && topic->life != FAB__FREE && topic->hold != NULL) {
        return topic->hold->move;
    }
    if (below(8) != 0 && topic->life != FAB__FREE && topic->cargo != NULL) {
        return topic->cargo->move;
    }
    return fab_move_id(source, 1, 1 + below(64));
}

static void lie_move(struct fab__writer *writer, uint32_t type)
{
    fab__write_u64(writer, other_id());
    fab__write_u64(writer, move_id());
    if (type == FAB__RECORD_HOLD) {
        fab__write_u16(writer, (uint16_t)below(5));
    } else if (type == FAB__RECORD_HELD) {
        fab__write_u8(writer, below(5) == 0 ? (uint8_t)below(5) : 0);
    }
}

static void lie_body(struct fab__writer *writer, uint32_t type, uint8_t flags)
{
    static const uint8_t zeros[600];

    switch (type) {
    case FAB__RECORD_OPEN:
        lie_open(writer);
        break;
    case FAB__RECORD_MSG:
        if ((flags & FAB__MSG_COMPACT) != 0) {
            lie_compact(writer);
        } else {
            lie_msg(writer);
        }
        break;
    case FAB__RECORD_DATA:
        fab__write_u64(writer, target_id());
        fab__write_bytes(writer, zeros, 1 + below(sizeof(zeros)));
        break;
    case FAB__RECORD_REFER:
        fab__write_u64(writer, target_id());
        fab__write_u64(writer, below(UINT32_MAX));
        fab__write_u32(writer, below(10) != 0 ? announced : below(2000));
        break;
    case FAB__RECORD_CLOSE:
    case FAB__RECORD_ARRIVED:
        fab__write_u64(writer, target_id());
        fab__write_cause(writer, below(3) == 0 ? SF_CAUSE_OF(NONE) : some_cause());
        break;
    case FAB__RECORD_PEER_MOVED:
    case FAB__RECORD_PEER_HERE:
        fab__write_u64(writer, target_id());
        fab__write_u64(writer, other_id());
        if (type == FAB__RECORD_PEER_MOVED) {
            fab__write_u16(writer, (uint16_t)below(5));
        }
        break;
    case FAB__RECORD_MOVE_OVER:
        fab__write_u64(writer, move_id());
        break;
    default:
        fab__write_u64(writer, target_id());
        if (type >= FAB__RECORD_HOLD) {
            lie_move(writer, type);
        }
        break;
    }
}

static void records_write(struct fab__writer *writer)
{
    uint32_t count = 1 + below(3);

    announced = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t type = announced != 0 && below(2) == 0 ? FAB__RECORD_REFER
                        : below(50) == 0                ? below(256)
                                                        : 1 + below(FAB__RECORD_LAST);
        bool may = type == FAB__RECORD_CLOSE || type == FAB__RECORD_MSG;
        uint8_t flags = may ? (uint8_t)below(2) : below(100) == 0 ? (uint8_t)below(256) : 0;
        uint32_t begin = fab__record_begin(writer, (enum fab__record_type)type, flags);
        lie_body(writer, type, flags);
        (void)fab__record_end(writer, begin);
    }
}

/* A new channel, and a message on it with a block that is to be read, as an honest node does. */
static void block_write(struct fab__writer *writer)
{
    uint64_t imp_id = fresh_id(liar), exp_id = fresh_id(liar);
    struct fab__wire_msg msg = {
        .target = exp_id, .tag = WORK_BYTES, .arg_count = 2, .kinds = {CT_ARG_BLOCK, CT_ARG_BLOCK}};
    uint32_t begin = fab__record_begin(writer, FAB__RECORD_OPEN, 0);

    fab__write_u64(writer, imp_id);
    fab__write_u64(writer, exp_id);
    fab__write_bytes(writer, test_work()->id, CT_ID_BYTES);
    fab__write_bytes(writer, "work", 4);
    (void)fab__record_end(writer, begin);
    msg.args[0].block_bytes = 1 + below(3000);
    begin = fab__record_begin(writer, FAB__RECORD_MSG, 0);
    fab__wire_msg_write(writer, &msg);
    (void)fab__record_end(writer, begin);
    begin = fab__record_begin(writer, FAB__RECORD_REFER, 0);
    fab__write_u64(writer, exp_id);
    fab__write_u64(writer, below(UINT32_MAX));
    fab__write_u32(writer, msg.args[0].block_bytes);
    (void)fab__record_end(writer, begin);
}

void liar_records(void)
{
    uint8_t bytes[2048];
    struct fab__writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};

    topic_choose();
    if (below(20) == 0) {
        block_write(&writer);
    }
    records_write(&writer);
    victim_records(victim, liar, bytes, writer.length);
}

/* --- frames that lie ------------------------------------------------------------------------ */

/* One that is right in most of its fields; its records are what an honest one might say, or not. */
void liar_frame(void)
{
    uint16_t from = hostile();
    const struct fab__session *session = victim->fab->sessions[from];
    struct fab__header header;
    uint8_t bytes[2048];
    struct fab__writer writer = {.bytes = bytes,
                                 .capacity = VICTIM_MTU - FAB__HEADER_BYTES_MAX - FAB__TAG_BYTES};

    victim_begin(victim, from);
    session = victim->fab->sessions[from];
    header = victim_header(victim, from, below(3) == 0 ? FAB__FRAME_CONTROL : FAB__FRAME_RECORDS);
    header.sequence = session->rx_next;
    header.ack = session->tx_acked;
    header.hold_us = (uint16_t)below(FAB__HOLD_US_MAX + 1);
    switch (below(12)) {
    case 0: /* of the future, or the past */
        header.ack = session->tx_next + 1 + below(10);
        break;
    case 1:
        header.ack = session->tx_acked - below(300);
        break;
    case 2:
        header.ack = below(UINT32_MAX);
        break;
    case 3:
        header.sequence = session->rx_next + below(300);
        break;
    case 4:
        header.sequence = session->rx_next - below(300);
        break;
    case 5:
        header.sequence = below(UINT32_MAX);
        break;
    case 6:
        header.number = below(2) == 0 ? below(1000) + 1 : header.number + below(3000);
        break;
    case 7:
        header.target_session += below(3) - 1;
        break;
    default: /* what is in flight, bit by bit */
        header.ack += below(session->tx_next - session->tx_acked + 1);
        header.sequence += below(3);
        break;
    }
    header.sack_words = (uint8_t)below(FAB__SACK_WORDS_MAX + 1);
    for (uint32_t i = 0; i < header.sack_words; i++) {
        header.sack[i] = (uint64_t)below(UINT32_MAX) << 32 | below(UINT32_MAX);
        header.sack[i] &= below(2) == 0 ? UINT64_MAX : header.sack[i] >> below(64);
    }
    if (below(30) == 0) { /* too long, maybe; else what it says means nothing */
        writer.length = below(sizeof(bytes));
        memset(bytes, 0, writer.length);
    } else if (header.kind == FAB__FRAME_RECORDS) {
        topic_choose();
        records_write(&writer);
    }
    victim_frame(victim, from, &header, bytes, writer.length, below(20) != 0);
}

/* One thing that is not as an honest node would have it. */
static void hello_change(uint16_t from, struct fab__hello *hello)
{
    const struct fab__session *session = victim->fab->sessions[from];

    switch (below(10)) {
    case 0:
        hello->flags = (uint8_t)below(6);
        break;
    case 1:
        hello->mtu_bytes = (uint16_t)below(UINT16_MAX);
        break;
    case 2:
        hello->source_epoch = (uint16_t)below(4);
        hello->source_session = (uint32_t)hello->source_epoch << FAB__SESSION_EPOCH_SHIFT | 1u;
        break;
    case 3:
        hello->target_epoch = (uint16_t)below(3);
        break;
    case 4:
        hello->source_session += below(1000);
        break;
    case 5:
        hello->source_session -= below(10);
        break;
    case 6:
        hello->ciphers = (uint8_t)below(256);
        break;
    case 7:
        hello->source_node = (uint16_t)below(5);
        break;
    default:
        break;
    }
    if (session != NULL && below(2) == 0) {
        hello->target_session = session->successor != NULL && below(2) == 0
                                    ? session->successor->number
                                    : session->number;
    } else if (below(3) == 0) {
        hello->target_session = 0;
    }
}

/* The first frame of a session that may have begun with that. */
static void frame_first(uint16_t from)
{
    const struct fab__session *session = victim->fab->sessions[from];
    struct fab__header header = victim_header(victim, from, FAB__FRAME_CONTROL);

    if (session == NULL) {
        return;
    }
    if (session->successor != NULL) {
        header.target_session = session->successor->number;
        header.ack = 1;
    }
    victim_frame(victim, from, &header, NULL, 0, true);
}

/* Sessions end and begin at its word, as far as the victim lets them. */
void liar_hello(void)
{
    uint16_t from = hostile();
    enum victim_message message = (enum victim_message)below(3);
    struct fab__hello hello;

    if (below(8) == 0) {
        victim_forget(victim, from);
        if (below(2) == 0) {
            victim_drain(victim, VICTIM_LOSE, 10);
        }
    }
    if (below(2) == 0) {
        victim->now_ns += 11000000; /* so that a message is read */
    }
    hello = victim_hello_of(victim, from);
    hello_change(from, &hello);
    if (!victim->sealed[from] && below(10) != 0) {
        message = VICTIM_NO_MESSAGE;
    }
    if (victim->sealed[from] && from > VICTIM_ID && below(3) == 0) {
        hello.flags = FAB__HELLO_SEALED; /* wants to be called */
        message = VICTIM_NO_MESSAGE;
    }
    victim_hello(victim, from, &hello, message);
    if (below(4) == 0) {
        victim_hello_again(victim, from);
    }
    if (below(2) == 0) {
        frame_first(from);
    }
}

/* --- noise ---------------------------------------------------------------------------------- */

void liar_noise(void)
{
    uint8_t bytes[200];
    uint32_t length = below(sizeof(bytes) + 1);

    for (uint32_t i = 0; i < length; i++) {
        bytes[i] = (uint8_t)below(256);
    }
    if (below(2) == 0) {
        victim_bytes(victim, hostile(), bytes, length);
    } else {
        victim_records(victim, hostile(), bytes, length);
    }
}

/* A frame of the victim itself, turned round and damaged. */
void liar_damaged(void)
{
    uint8_t bytes[VICTIM_MTU];
    struct fab__header header = {0};
    uint16_t from = hostile();
    uint32_t length = fab_tx(victim->fab, from, bytes, sizeof(bytes), victim->now_ns);
    uint32_t header_bytes;

    if (length == 0 || !fab__header_read(bytes, length, &header)) {
        return; /* nothing to say, or a hello */
    }
    header_bytes = fab__header_bytes(&header);
    header.target_session = victim->fab->sessions[from]->number;
    header.number = ++victim->number[from];
    header.sequence = victim->sequence[from] + below(3);
    header.ack = victim->fab->sessions[from]->tx_next - below(2);
    fab__header_write(bytes, &header);
    for (uint32_t i = below(4); i > 0; i--) {
        bytes[below(length)] ^= (uint8_t)(1u << below(8));
    }
    victim_bytes(victim, from, bytes, below(10) == 0 ? below(length + 1) : length);
    victim_records(victim, from, bytes + header_bytes, length - header_bytes);
}

/* --- who is lied to --------------------------------------------------------------------------- */

void liar_begin(struct victim *to, uint32_t (*random_below)(uint32_t bound))
{
    victim = to;
    deceived = to->fab;
    below = random_below;
    only = 0;
}

void liar_append(struct fab_node *to, uint16_t from, struct fab__writer *writer,
                 uint32_t (*random_below)(uint32_t bound))
{
    deceived = to;
    below = random_below;
    only = from;
    topic_choose();
    records_write(writer);
}
