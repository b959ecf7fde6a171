/* SPDX-License-Identifier: Apache-2.0 */
#include "test_victim.h"

#include "cargo.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWNER 5u
#define SPLIT_BYTES 120u /* from here on in a tail, or a little earlier */
#define MS 1000000ull

static void require(bool condition, const char *text)
{
    if (!condition) {
        (void)fprintf(stderr, "victim: %s\n", text);
        abort();
    }
}

static void on_session_lost(void *arg, uint16_t peer_id, struct sf_cause cause)
{
    struct victim *victim = arg;

    (void)peer_id;
    (void)cause;
    victim->lost_count++;
}

static void on_random(void *arg, uint8_t *bytes, uint32_t length)
{
    struct victim *victim = arg;

    for (uint32_t i = 0; i < length; i++) {
        victim->random = victim->random * 6364136223846793005ull + 1442695040888963407ull;
        bytes[i] = (uint8_t)(victim->random >> 56);
    }
}

/* --- keys ----------------------------------------------------------------------------------- */

static const struct {
    uint8_t secret[FAB_KEY_BYTES];
} nodes[4] = {{{0}}, {{0x11}}, {{0x22}}, {{0x33}}};

static void public_key(uint16_t id, uint8_t key[FAB_KEY_BYTES])
{
    require(crypto_scalarmult_base(key, nodes[id].secret) == 0, "a key");
}

/* What a hostile node and the victim have in common, as the hostile one computes it. */
static const struct fab__pair *pair_of(uint16_t id)
{
    static struct fab__pair pairs[4];
    static bool made[4];
    uint8_t key[FAB_KEY_BYTES];

    if (!made[id]) {
        public_key(VICTIM_ID, key);
        require(fab__pair_init(&pairs[id], nodes[id].secret, key) == SF_OK, "a pair");
        made[id] = true;
    }
    return &pairs[id];
}

/* --- hellos --------------------------------------------------------------------------------- */

/* The session, or successor, that a hostile node would talk to by that number. */
static struct fab__session *session_by_number(const struct victim *victim, uint16_t id,
                                              uint32_t number)
{
    struct fab__session *session = victim->fab->sessions[id];

    if (session != NULL && session->number != number && session->successor != NULL &&
        session->successor->number == number) {
        return session->successor;
    }
    return session;
}

struct fab__hello victim_hello_of(struct victim *victim, uint16_t from)
{
    const struct fab__session *session = victim->fab->sessions[from];
    struct fab__hello hello = {
        .flags = victim->sealed[from] ? FAB__HELLO_SEALED
                 : victim->reads      ? FAB__HELLO_READS
                                      : 0,
        .mtu_bytes = VICTIM_MTU,
        .source_node = from,
        .target_node = VICTIM_ID,
        .source_epoch = 1,
        .target_epoch = 1,
        .source_session = ++victim->session[from],
        .target_session = from > VICTIM_ID && session != NULL ? session->number : 0,
        .ciphers = victim->sealed[from] ? fab__ciphers_here() : 0,
    };

    if (victim->sealed[from] && from > VICTIM_ID) {
        hello.flags |= FAB__HELLO_ANSWER;
    }
    return hello;
}

/* Message 1 of node 1, or node 3's answer to the victim's. False: there is nothing to answer. */
static bool message_make(struct victim *victim, uint16_t from, const struct fab__hello *hello,
                         uint8_t *bytes)
{
    const struct fab__session *session = session_by_number(victim, from, hello->target_session);
    struct fab__handshake handshake;
    uint8_t ephemeral[FAB_KEY_BYTES];

    fab__handshake_begin(&handshake, pair_of(from), from < VICTIM_ID);
    if (from > VICTIM_ID) {
        if (session == NULL || session->secure == NULL || session->secure->hello_bytes == 0 ||
            fab__handshake_read(&handshake, session->secure->hello, FAB__HELLO_BYTES,
                                session->secure->hello + FAB__HELLO_BYTES) != SF_OK) {
            return false;
        }
    }
    on_random(victim, ephemeral, sizeof(ephemeral));
    require(fab__handshake_write(&handshake, bytes, FAB__HELLO_BYTES, ephemeral,
                                 bytes + FAB__HELLO_BYTES) == SF_OK,
            "a message");
    return true;
}

void victim_hello(struct victim *victim, uint16_t from, const struct fab__hello *hello,
                  enum victim_message message)
{
    uint8_t bytes[FAB__HELLO_BYTES + FAB__HANDSHAKE_BYTES] = {0};
    bool with = message != VICTIM_NO_MESSAGE;

    if (hello->source_session >> FAB__SESSION_EPOCH_SHIFT == 1 &&
        hello->source_session > victim->session[from]) {
        victim->session[from] = hello->source_session; /* the next one is higher */
    }
    fab__hello_write(bytes, hello);
    if (message == VICTIM_TRUE_MESSAGE && !message_make(victim, from, hello, bytes)) {
        return;
    }
    victim->said[from].length = with ? sizeof(bytes) : FAB__HELLO_BYTES;
    memcpy(victim->said[from].bytes, bytes, sizeof(bytes));
    victim_hello_again(victim, from);
}

void victim_hello_again(struct victim *victim, uint16_t from)
{
    uint8_t bytes[sizeof(victim->said[0].bytes)];

    memcpy(bytes, victim->said[from].bytes, sizeof(bytes));
    victim_bytes(victim, from, bytes, victim->said[from].length);
}

/* --- frames --------------------------------------------------------------------------------- */

struct fab__header victim_header(const struct victim *victim, uint16_t from, uint8_t kind)
{
    const struct fab__session *session = victim->fab->sessions[from];
    uint32_t in_flight = session == NULL ? 0 : fab__in_flight(session);
    uint32_t lag = victim->lag < in_flight ? victim->lag : in_flight;

    return (struct fab__header){
        .kind = kind,
        .target_session = session == NULL ? 1 : session->number,
        .number = victim->number[from] + 1,
        .sequence = victim->sequence[from],
        .ack = session == NULL ? 1 : session->tx_next - lag,
    };
}

/* The key of a session's other side is the one that this side opens frames with. */
static void frame_seal(const struct fab__session *session, const struct fab__header *header,
                       uint8_t *frame, uint32_t length)
{
    const struct fab__unsealer *unsealer = &session->secure->unsealer;
    uint32_t header_bytes = fab__header_bytes(header);
    uint8_t *text = frame + header_bytes;
    static struct fab__sealer sealer;

    sealer = (struct fab__sealer){
        .key = unsealer->keys[unsealer->phase % 3],
        .phase = unsealer->phase,
        .number = header->number - 1,
        .cipher = unsealer->cipher,
    };
    (void)!fab__seal(&sealer, header->number, frame, header_bytes, text, length, text);
}

void victim_frame(struct victim *victim, uint16_t from, const struct fab__header *header,
                  const uint8_t *bytes, uint32_t length, bool seal)
{
    static uint8_t frame[FAB__HEADER_BYTES_MAX + FAB_MTU_BYTES_MAX + FAB__TAG_BYTES];
    const struct fab__session *session = session_by_number(victim, from, header->target_session);
    uint32_t header_bytes = fab__header_bytes(header);

    require(length <= FAB_MTU_BYTES_MAX && header->sack_words <= FAB__SACK_WORDS_MAX, "a frame");
    fab__header_write(frame, header);
    if (length > 0) {
        memcpy(frame + header_bytes, bytes, length);
    }
    memset(frame + header_bytes + length, 0, FAB__TAG_BYTES);
    if (session != NULL && session->secure != NULL) {
        if (seal && session->secure->keyed) {
            frame_seal(session, header, frame, length);
        }
        length += FAB__TAG_BYTES;
    }
    victim->number[from] = header->number;
    victim_bytes(victim, from, frame, header_bytes + length);
}

/* As an honest node would make it. */
static void frame_give(struct victim *victim, uint16_t from, uint8_t kind, const uint8_t *bytes,
                       uint32_t length)
{
    struct fab__header header = victim_header(victim, from, kind);

    victim->sequence[from] += kind == FAB__FRAME_RECORDS;
    victim_frame(victim, from, &header, bytes, length, true);
}

/* --- sessions ------------------------------------------------------------------------------- */

static void peer_add(struct victim *victim, uint16_t id)
{
    struct fab_peer peer = {
        .node_id = id, .epoch = 1, .mtu_bytes = VICTIM_MTU, .sealed = victim->sealed[id]};

    peer.reads = victim->reads && !peer.sealed;
    peer.read_bytes_min = 64;

    if (peer.sealed) {
        public_key(id, peer.key);
    }
    require(fab_peer_add(victim->fab, &peer, victim->now_ns) == SF_OK,
            "a peer cannot be added again");
}

/* The hostile node says hello as an honest one would, and then that it has been heard. */
static void peer_greet(struct victim *victim, uint16_t id)
{
    struct fab__hello hello;
    uint8_t bytes[VICTIM_MTU];

    victim->sequence[id] = 1;
    victim->number[id] = 0;
    victim->now_ns += 11 * MS; /* messages are read in turn */
    if (victim->sealed[id] && id > VICTIM_ID) {
        /* cppcheck-suppress arrayIndexOutOfBoundsCond ; ids are 1 to 3 */
        victim->fab->sessions[id]->hello_due = true;
        (void)fab_tx(victim->fab, id, bytes, sizeof(bytes), victim->now_ns); /* message 1 */
    }
    hello = victim_hello_of(victim, id);
    victim_hello(victim, id, &hello, victim->sealed[id] ? VICTIM_TRUE_MESSAGE : VICTIM_NO_MESSAGE);
    frame_give(victim, id, FAB__FRAME_CONTROL, NULL, 0);
}

void victim_begin(struct victim *victim, uint16_t id)
{
    if (victim->fab->sessions[id] == NULL) {
        peer_add(victim, id);
    }
    if (victim->fab->sessions[id]->open) {
        return;
    }
    peer_greet(victim, id);
    if (victim->fab->sessions[id] == NULL || !victim->fab->sessions[id]->open) {
        /* It has used numbers that leave none above. */
        fab_peer_remove(victim->fab, id, SF_CAUSE_OF(LINK_LOST));
        victim->session[id] = 1u << FAB__SESSION_EPOCH_SHIFT;
        peer_add(victim, id);
        peer_greet(victim, id);
    }
    require(victim->fab->sessions[id]->open, "a hello opens no session");
}

void victim_forget(struct victim *victim, uint16_t id)
{
    fab_peer_remove(victim->fab, id, SF_CAUSE_OF(LINK_LOST));
    peer_add(victim, id);
}

static bool on_read(void *arg, uint16_t peer_id, uint64_t address, void *to, uint32_t bytes,
                    uint64_t cookie)
{
    struct victim *victim = arg;

    (void)peer_id;
    if (victim->read_count == VICTIM_READS_MAX || address % 8 == 7) {
        return false;
    }
    victim->reads_begun++;
    victim->reads_open[victim->read_count].cookie = cookie;
    victim->reads_open[victim->read_count].to = to;
    victim->reads_open[victim->read_count++].bytes = bytes;
    return true;
}

static void on_revoke(void *arg, uint16_t peer_id)
{
    (void)arg;
    (void)peer_id;
}

static void read_end(struct victim *victim, uint32_t at, bool ok)
{
    uint64_t cookie = victim->reads_open[at].cookie;

    memset(victim->reads_open[at].to, 0, victim->reads_open[at].bytes); /* it is still there */
    victim->reads_open[at] = victim->reads_open[--victim->read_count];
    fab_read_done(victim->fab, cookie, ok, victim->now_ns);
}

void victim_reads_end(struct victim *victim, uint32_t what)
{
    if (victim->read_count > 0) {
        read_end(victim, what / 2 % victim->read_count, what % 2 == 0);
    }
}

void victim_make(struct victim *victim, uint32_t sealed)
{
    struct xh_options heap_options = {.range_bytes = 4u << 20};
    struct fab_options options = {
        .node_id = VICTIM_ID,
        .epoch = 1,
        .events = {.session_lost = on_session_lost, .read = on_read, .revoke = on_revoke},
        .events_arg = victim,
        .endpoint_count_max = 128,
        .secret_key = nodes[VICTIM_ID].secret,
        .random = on_random,
    };
    struct fab_ep *imp;
    struct fab_ep *exp;

    *victim = (struct victim){.now_ns = 1000000000ull, .random = 1};
    victim->sealed[1] = (sealed & 1u) != 0;
    victim->sealed[3] = (sealed & 2u) != 0;
    victim->reads = (sealed & 4u) != 0;
    victim->session[1] = victim->session[3] = 1u << FAB__SESSION_EPOCH_SHIFT;
    require(xh_heap_create(&heap_options, &victim->heap) == SF_OK, "heap");
    options.heap = victim->heap;
    require(fab_node_create(&options, &victim->fab) == SF_OK, "node");
    require(fab_export_add(victim->fab, "work", test_work(), OWNER) == SF_OK, "export");
    require(fab_export_add(victim->fab, "carry", test_carry(), OWNER) == SF_OK, "export");
    victim_begin(victim, 1);
    victim_begin(victim, 3);
    for (uint16_t id = 1; id <= 3; id++) {
        require(fab_open(victim->fab, id, "work", test_work(), &imp) == SF_OK, "open");
        require(fab_open(victim->fab, id, "carry", test_carry(), &imp) == SF_OK, "open");
    }
    require(fab_chan_create(victim->fab, test_work(), 0, &imp, &exp) == SF_OK, "channel");
}

void victim_audit(struct victim *victim)
{
    const char *text = "";

    require(fab_audit(victim->fab, &text) == SF_OK, text);
    require(xh_audit(victim->heap, &text) == SF_OK, text);
}

void victim_bytes(struct victim *victim, uint16_t from, uint8_t *bytes, uint32_t length)
{
    uint32_t head = length < SPLIT_BYTES ? length : SPLIT_BYTES - length % 64;
    uint8_t *whole = malloc(length + 1u);
    uint8_t *tail = malloc(length - head + 1u);

    /* As long as they are, so that a sanitizer sees a byte too much. */
    require(whole != NULL && tail != NULL, "memory");
    memcpy(whole, bytes, head);
    memcpy(tail, bytes + head, length - head);
    fab_rx_tailed(victim->fab, from, whole, head, tail, length - head, victim->now_ns);
    free(tail);
    free(whole);
}

void victim_records(struct victim *victim, uint16_t from, const uint8_t *bytes, uint32_t length)
{
    victim_begin(victim, from);
    if (length > 0 && length <= fab__payload_bytes_max(victim->fab->sessions[from])) {
        /* The next one in order, whatever other frames have done. */
        victim->sequence[from] = victim->fab->sessions[from]->rx_next;
        frame_give(victim, from, FAB__FRAME_RECORDS, bytes, length);
        victim_begin(victim, from);
    }
}

/* --- holders -------------------------------------------------------------------------------- */

static void hold_receive(struct fab_ep *ep)
{
    struct fab_msg msg;
    sf_status st = fab_ep_recv(ep, &msg, OWNER);

    if (st == SF_OK) {
        /* Arrived endpoints stay, as somebody's. */
        for (uint32_t i = 0; i < msg.arg_count; i++) {
            if (ep->plans[msg.tag].blocks >> i & 1u) {
                require(xh_free(ep->node->heap, msg.args[i].block, OWNER) == SF_OK, "block");
            }
        }
    } else if (st == SF_CLOSED) {
        fab_ep_close(ep, SF_CAUSE_OF(CLOSED_BY_PEER));
    }
}

static struct fab_ep *traveller_find(struct fab_node *fab, uint8_t side, uint8_t state,
                                     uint32_t from)
{
    for (uint32_t i = 0; i < fab->ep_used; i++) {
        struct fab_ep *ep = &fab->eps[(from + i) % fab->ep_used];
        if (ep->life == FAB__LIVE && !ep->in_message && ep->in.count == 0 && !ep->assembling &&
            ep->cargo == NULL && ep->side == side && ep->state == state &&
            ep->contract->table == test_work()) {
            return ep;
        }
    }
    return NULL;
}

/* Sends what the state allows; the fabric refuses the rest, which is part of the test. */
static void hold_send(struct fab_ep *ep, uint32_t what)
{
    struct xh_heap *heap = ep->node->heap;
    struct fab_msg msg = {.tag = (uint8_t)(what % ep->message_count)};

    msg.arg_count = ep->plans[msg.tag].arg_count;
    for (uint32_t i = 0; i < msg.arg_count; i++) {
        if (ep->plans[msg.tag].blocks >> i & 1u) {
            uint32_t bytes = 4 + what % 4000 / 4 * 4;
            bytes *= what / 8 % 4 == 0 ? 64 : 1; /* more than a window, or less than a frame */
            if (xh_alloc(heap, bytes, OWNER, &msg.args[i].block) != SF_OK) {
                msg.args[i].block = NULL;
            }
        } else if (ep->plans[msg.tag].eps >> i & 1u) {
            const struct ct_arg *arg = &ep->contract->table->messages[msg.tag].args[i];
            msg.args[i].ep = traveller_find(ep->node, arg->side, arg->state, what / 8);
        }
    }
    if (fab_ep_send(ep, &msg, OWNER) != SF_OK) {
        (void)xh_free_all(heap, OWNER);
    }
}

void holders_send_large(struct fab_node *fab, uint32_t what)
{
    struct fab_msg msg = {.arg_count = 2};
    uint32_t bytes = 4 + what % 64 * 4096;
    struct xh_block *block;

    for (uint32_t i = 0; i < fab->ep_used; i++) {
        struct fab_ep *ep = &fab->eps[(what + i) % fab->ep_used];
        bool imp = ep->side == CT_IMP;
        if (ep->life != FAB__LIVE || ep->in_message || ep->place != FAB__REMOTE ||
            ep->cargo != NULL || ep->contract->table != test_work() ||
            ep->state != (imp ? WORK_START : WORK_ASKED) || fab_ep_readable(ep)) {
            continue;
        }
        if (xh_alloc(fab->heap, bytes, OWNER, &block) != SF_OK) {
            return;
        }
        msg.tag = imp ? WORK_BYTES : WORK_GIVE;
        msg.args[imp ? 0 : 1].block = block;
        require(fab_ep_send(ep, &msg, OWNER) == SF_OK, "a message is legal");
        return;
    }
}

/* --- moves ---------------------------------------------------------------------------------- */

/* As if node `from` had a SIP with one end of a Work channel to node `peer`. */
static void cargo_read(struct fab_node *fab, uint16_t from, uint16_t peer, uint32_t number)
{
    uint64_t move = fab_move_id(from, 1, 1 + number % 64);
    uint8_t bytes[128];
    struct fab__writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    struct fab_cargo *cargo;

    fab__write_u32(&writer, 0x31474346u);
    fab__write_u64(&writer, move);
    fab__write_u32(&writer, 1);
    fab__write_u64(&writer, fab_move_id(from, 1, 1000 + number % 256));
    fab__write_u64(&writer, number % 3 == 0 && fab->ep_used > 0 ? fab->eps[0].id
                                                                : fab_move_id(from, 1, 2000));
    fab__write_u64(&writer, test_work()->short_id);
    fab__write_bytes(&writer, test_work()->id, CT_ID_BYTES);
    fab__write_u16(&writer, peer);
    fab__write_u8(&writer, CT_IMP);
    fab__write_u8(&writer, WORK_START);
    fab__write_u8(&writer, 0);
    fab__write_cause(&writer, SF_CAUSE_OF(NONE));
    fab__write_u64(&writer, 0);
    fab__write_u64(&writer, 0);
    fab__write_u8(&writer, 0);
    require(!writer.failed, "an image");
    if (fab_cargo_read(fab, move, bytes, writer.length, &cargo) != SF_OK) {
        return; /* there is one with that id */
    }
    require(fab_cargo_count(cargo) == 1, "a cargo has what was written");
}

/* By node: ids of moves are never used again. */
static uint64_t moves_begun[4];

/* Some cargo goes on, or a new one begins with that endpoint. */
static void hold_move(struct fab_node *fab, struct fab_ep *ep, uint32_t what)
{
    struct fab_cargo *cargo = fab->cargos;
    uint16_t others[2] = {(uint16_t)(1 + (fab->node_id == 1)), (uint16_t)(3 - (fab->node_id == 3))};

    if (cargo == NULL && what % 4 == 0) {
        cargo_read(fab, others[what / 4 % 2], others[what / 8 % 2], what / 16);
    } else if (cargo == NULL) {
        uint64_t move = fab_move_id(fab->node_id, fab->epoch, ++moves_begun[fab->node_id]);
        require(fab_cargo_begin(fab, move, others[what / 4 % 2], &cargo) == SF_OK, "a cargo");
        if (ep->cargo == NULL) {
            (void)!fab_cargo_add(cargo, ep);
        }
    } else if (cargo->imported) {
        if (what % 4 == 0) {
            fab_cargo_resume(cargo);
        } else if (what % 4 == 1) {
            fab_cargo_drop(cargo);
        }
    } else if (fab_cargo_check(cargo) == FAB_CARGO_HELD && what % 4 == 0) {
        fab_cargo_release(cargo);
    } else if (cargo->state >= FAB_CARGO_CLASH || what % 4 == 1) {
        fab_cargo_return(cargo);
    } else {
        (void)fab_move_seen(fab, fab_move_id(others[0], 1, 1 + what % 64));
    }
}

void holders_moves_end(struct fab_node *fab)
{
    moves_begun[fab->node_id] = 0; /* it is the node's end, too */
    while (fab->cargos != NULL) {
        if (fab->cargos->imported) {
            fab_cargo_drop(fab->cargos);
        } else {
            fab_cargo_return(fab->cargos);
        }
    }
}

/* A channel to one of the others, or between its own. */
static void hold_open(struct fab_node *fab, uint32_t what)
{
    uint16_t to = (uint16_t)(1 + what % 3);
    bool carry = what / 3 % 2 == 0;
    struct fab_ep *imp;

    if (fab_open(fab, to, carry ? "carry" : "work", carry ? test_carry() : test_work(), &imp) !=
        SF_OK) {
        return; /* no session, or no record left */
    }
}

void holders_act(struct fab_node *fab, uint32_t what)
{
    struct fab_ep *ep = fab->ep_used == 0 ? NULL : &fab->eps[what / 16 % fab->ep_used];

    if (what % 16 == 7) {
        hold_open(fab, what / 16);
    } else if (ep != NULL && ep->life == FAB__LIVE && !ep->in_message && what % 16 == 8) {
        hold_move(fab, ep, what / 16);
    } else if (ep != NULL && ep->life == FAB__LIVE && !ep->in_message && ep->cargo == NULL) {
        if (what % 16 == 0 && what % 64 == 0) {
            fab_ep_close(ep, SF_CAUSE_OF(PEER_EXITED));
        } else if (what % 16 < 6 && !fab_ep_readable(ep)) {
            hold_send(ep, what / 16);
        } else {
            hold_receive(ep);
        }
    }
}

/*
 * With nothing left to send it must not ask to be called at once. A limit, because a hostile node
 * that acknowledges could be told something new for ever.
 */
void victim_drain(struct victim *victim, enum victim_drain what, uint32_t frames)
{
    static uint8_t frame[VICTIM_MTU];
    uint16_t to = 0;

    (void)fab_tick(victim->fab, victim->now_ns);
    while (frames-- > 0 && (to = fab_tx_pending(victim->fab)) != 0) {
        uint32_t length = fab_tx(victim->fab, to, frame, sizeof(frame), victim->now_ns);

        require(length > 0, "a frame was promised");
        require(length <= victim->fab->sessions[to]->frame_bytes, "a frame is too long");
        if (what == VICTIM_ACKNOWLEDGE && victim->fab->sessions[to]->open) {
            frame_give(victim, to, FAB__FRAME_CONTROL, NULL, 0);
        }
    }
    if (fab_tx_pending(victim->fab) == 0) {
        require(fab_tick(victim->fab, victim->now_ns) > victim->now_ns ||
                    fab_tx_pending(victim->fab) != 0,
                "a node with nothing to do asks for time");
    }
}

void victim_live(struct victim *victim, uint32_t what)
{
    victim_begin(victim, 1);
    victim_begin(victim, 3);
    if (what % 16 == 0) {
        holders_send_large(victim->fab, what / 16);
    } else {
        holders_act(victim->fab, what / 6);
    }
    switch (what % 6) {
    case 0:
    case 1:
        victim_drain(victim, VICTIM_ACKNOWLEDGE, 1000);
        break;
    case 2:
        victim_drain(victim, VICTIM_LOSE, 1000);
        break;
    case 3:
        victim_drain(victim, VICTIM_LOSE, 1 + what / 6 % 8);
        break;
    default:
        victim_reads_end(victim, what / 6);
        break;
    }
    victim->now_ns += 100000;
}

void victim_end(struct victim *victim)
{
    struct xh_stats stats;

    victim_audit(victim);
    holders_moves_end(victim->fab);
    victim_audit(victim);
    fab_peer_remove(victim->fab, 1, SF_CAUSE_OF(NODE_LOST));
    fab_peer_remove(victim->fab, 3, SF_CAUSE_OF(NODE_LOST));
    victim_audit(victim);
    /* Closing drops messages, which frees endpoints in them: the list changes meanwhile. */
    for (uint32_t i = 0; i < victim->fab->ep_used; i++) {
        struct fab_ep *ep = &victim->fab->eps[i];
        if (ep->life == FAB__LIVE && !ep->in_message) {
            fab_ep_close(ep, SF_CAUSE_OF(SHUTDOWN));
        }
    }
    for (uint32_t i = 0; i < victim->fab->ep_used; i++) {
        require(victim->fab->eps[i].life == FAB__FREE, "a record is left");
    }
    xh_query(victim->heap, &stats);
    require(stats.block_count <= victim->read_count, "a block is left");
    while (victim->read_count > 0) {
        read_end(victim, 0, false);
    }
    xh_query(victim->heap, &stats);
    require(stats.block_count == 0, "a block is left that is not read any more");
    fab_node_destroy(victim->fab);
    xh_heap_destroy(victim->heap);
}
