/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data.c - frames that go and come.
 *
 * wr_id says what a completion is of: serial of the queue pair (32 bits), 1 for a receive, and the
 * slot, or for a send its number. Sends of one queue pair complete in order, so one that is
 * signalled stands for all before it: every RDMA_SIGNAL_EVERY-th, and the last of a burst that has
 * frames under way, which come back by it. Inline ones come back at once.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "port.h"

#define BATCH 32
#define RECEIVE_BIT 0x80000000u
#define NUMBER_MASK 0x00ffffffu
#define POLLS_MAX 4u /* in one burst */
#define ALLOC_POLLS_MAX 32u

_Static_assert(BATCH >= LINK_BURST_MAX, "a burst is one chain");
_Static_assert((RDMA_ARRIVALS_MAX & (RDMA_ARRIVALS_MAX - 1)) == 0, "counters wrap");
_Static_assert((RDMA_TX_DEPTH & (RDMA_TX_DEPTH - 1)) == 0, "counters wrap");

/* --- completions --------------------------------------------------------------------------------
 */

/* Something has reached the other end, or on iWARP has come from it. */
static void prove(struct rdma_port *port, struct rdma_peer *peer)
{
    if (!peer->proven) {
        peer->proven = true;
        rdma__carrier(port);
    }
}

static void on_sent(struct rdma_port *port, struct rdma_peer *peer, uint32_t number)
{
    uint32_t count = ((number - peer->tail) & NUMBER_MASK) + 1;

    if (!port->iwarp) {
        peer->proof_ns = port->verbs->now_ns();
        prove(port, peer);
    }
    if (peer->signalled > 0) {
        peer->signalled--;
    }
    if (count > peer->head - peer->tail) {
        return; /* of a send that we do not know: the device's mistake */
    }
    for (; count > 0; count--, peer->tail++) {
        rdma__read_passed(port, peer, peer->tail, true);
        rdma__frame_give(port, peer->sending[peer->tail % RDMA_TX_DEPTH]);
        peer->sending[peer->tail % RDMA_TX_DEPTH] = NULL;
    }
}

static void on_received(struct rdma_port *port, struct rdma_peer *peer, uint32_t slot,
                        uint32_t length)
{
    struct rdma_frame *frame = slot < RDMA_RX_DEPTH ? peer->posted[slot] : NULL;

    if (frame == NULL || length > port->pool.stride) {
        rdma__peer_lost(port, peer, "the device completed a receive that was not asked for");
        return;
    }
    if (!rdma__trailer_read(port, peer, frame->buffer, &length)) {
        rdma__peer_lost(port, peer, "what it sent is not of this kind of link");
        return;
    }
    rdma__peer_up(port, peer);
    if (port->iwarp) {
        prove(port, peer);
    }
    if (length == 0) {
        if (!rdma__slots_post(port, peer, &slot, 1)) {
            rdma__peer_lost(port, peer, "the device takes no buffer");
        } else {
            rdma__credits_given(port, peer, 1);
        }
        return;
    }
    peer->posted[slot] = NULL;
    frame->place = RDMA_ARRIVED;
    port->arrivals[port->arrival_head++ % RDMA_ARRIVALS_MAX] = (struct rdma_arrival){
        .frame = frame, .serial = peer->serial, .slot = slot, .length = length};
}

static void on_completion(struct rdma_port *port, const struct ibv_wc *wc)
{
    struct rdma_peer *peer = rdma__peer_of_serial(port, (uint32_t)(wc->wr_id >> 32));
    uint32_t what = (uint32_t)wc->wr_id;

    if (peer == NULL) {
        return;
    }
    if (wc->status != IBV_WC_SUCCESS) {
        char text[RDMA_TEXT_BYTES / 2];

        (void)snprintf(text, sizeof(text), "%s failed: %s (device's code 0x%x)",
                       (what & RECEIVE_BIT) != 0 ? "a receive" : "a send",
                       ibv_wc_status_str(wc->status), wc->vendor_err);
        rdma__peer_lost(port, peer, text);
    } else if ((what & RECEIVE_BIT) != 0) {
        on_received(port, peer, what & ~RECEIVE_BIT, wc->byte_len);
    } else {
        on_sent(port, peer, what);
    }
}

bool rdma__poll(struct rdma_port *port)
{
    struct ibv_wc wc[BATCH];
    int count = port->gone || port->cq == NULL ? 0 : port->verbs->poll_cq(port->cq, BATCH, wc);

    if (count < 0) {
        port->gone = true;
        (void)snprintf(port->text, sizeof(port->text), "the completion queue is broken");
        rdma__carrier(port);
    }
    for (int i = 0; i < count; i++) {
        on_completion(port, &wc[i]);
    }
    return count == BATCH;
}

/* --- receiving ----------------------------------------------------------------------------------
 */

bool rdma__slots_post(struct rdma_port *port, struct rdma_peer *peer, const uint32_t slots[],
                      uint32_t count)
{
    struct ibv_recv_wr wr[BATCH];
    struct ibv_sge sge[BATCH];
    struct ibv_recv_wr *bad = NULL;

    for (uint32_t done = 0; done < count;) {
        uint32_t n = count - done < BATCH ? count - done : BATCH;

        for (uint32_t i = 0; i < n; i++) {
            uint32_t slot = slots[done + i];
            const struct rdma_frame *frame = peer->posted[slot];

            sge[i] = (struct ibv_sge){.addr = (uintptr_t)frame->buffer,
                                      .length = port->pool.frame_bytes + rdma__trailer_bytes(port),
                                      .lkey = frame->lkey};
            wr[i] = (struct ibv_recv_wr){.wr_id = (uint64_t)peer->serial << 32 | RECEIVE_BIT | slot,
                                         .next = i + 1 < n ? &wr[i + 1] : NULL,
                                         .sg_list = &sge[i],
                                         .num_sge = 1};
        }
        if (port->verbs->post_recv(peer->qp, wr, &bad) != 0) {
            return false;
        }
        done += n;
    }
    return true;
}

void rdma__refill(struct rdma_port *port)
{
    struct rdma_refill *refill = &port->refill;
    struct rdma_peer *peer = refill->count > 0 ? rdma__peer_of_serial(port, refill->serial) : NULL;
    uint32_t count = refill->count;

    refill->count = 0;
    if (peer == NULL) {
        return; /* they went with the queue pair */
    }
    if (!rdma__slots_post(port, peer, refill->slots, count)) {
        rdma__peer_lost(port, peer, "the device takes no buffer");
    } else {
        rdma__credits_given(port, peer, count);
    }
}

/* False: there is no frame to take its place. */
static bool arrival_lend(struct rdma_port *port, struct link_frame *out)
{
    const struct rdma_arrival *a = &port->arrivals[port->arrival_tail % RDMA_ARRIVALS_MAX];
    struct rdma_peer *peer = rdma__peer_of_serial(port, a->serial);
    struct rdma_refill *refill = &port->refill;
    struct rdma_frame *fresh = rdma__frame_take(port, RDMA_POSTED);

    assert(peer != NULL); /* arrivals go with their queue pair */
    if (fresh == NULL) {
        return false;
    }
    assert(peer->posted[a->slot] == NULL && refill->count < LINK_BURST_MAX);
    peer->posted[a->slot] = fresh;
    refill->serial = a->serial;
    refill->slots[refill->count++] = a->slot;
    a->frame->place = RDMA_LENT;
    *out = (struct link_frame){
        .data = a->frame->buffer,
        .driver = a->frame,
        .length = a->length,
        .capacity = port->pool.frame_bytes,
        .peer = peer->node_id,
    };
    port->arrival_tail++;
    port->stats.rx_frames++;
    port->stats.rx_bytes += a->length;
    return true;
}

/* Is the next to be handed out of the peer whose slots wait, if any do? */
static bool refill_suits(const struct rdma_port *port)
{
    const struct rdma_arrival *a = &port->arrivals[port->arrival_tail % RDMA_ARRIVALS_MAX];

    return port->refill.count == 0 || port->refill.serial == a->serial;
}

/* What was handed out is replaced later, by rdma__refill: an answer may be on its way first. */
uint16_t rdma__rx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                        uint16_t count)
{
    struct rdma_port *port = link->impl;
    bool more = true;
    uint32_t polls = 0;
    uint16_t got = 0;

    (void)queue; /* there is one */
    if (port->closed) {
        return 0;
    }
    rdma__refill(port);
    while (got < count && got < LINK_BURST_MAX) {
        if (port->arrival_tail == port->arrival_head) {
            if (!more || polls++ == POLLS_MAX) {
                break;
            }
            more = rdma__poll(port);
            continue;
        }
        if (!refill_suits(port)) {
            rdma__refill(port); /* may end that peer, and with it what came from it */
            continue;
        }
        if (!arrival_lend(port, &frames[got])) {
            break;
        }
        got++;
    }
    if (got == 0) {
        rdma__look(port);
    }
    return got;
}

/* --- sending ------------------------------------------------------------------------------------
 */

/* Sends to one peer that go to the device together. */
struct chain {
    struct rdma_peer *peer;
    struct ibv_send_wr wr[BATCH];
    struct ibv_sge sge[BATCH];
    struct rdma_frame *inlined[BATCH];
    uint32_t count, inlined_count;
};

static void signal(struct rdma_peer *peer, struct ibv_send_wr *wr)
{
    if ((wr->send_flags & IBV_SEND_SIGNALED) == 0) {
        wr->send_flags |= IBV_SEND_SIGNALED;
        peer->signalled++;
    }
    peer->quiet = 0;
    peer->quiet_frames = 0;
}

static void chain_post(struct rdma_port *port, struct chain *chain)
{
    struct rdma_peer *peer = chain->peer;
    struct ibv_send_wr *bad = NULL;
    uint32_t sent = chain->count;

    if (chain->count == 0) {
        return;
    }
    if (peer->quiet_frames > 0) {
        signal(peer, &chain->wr[chain->count - 1]);
    }
    if (port->verbs->post_send(peer->qp, chain->wr, &bad) != 0) {
        sent = bad >= chain->wr && bad < chain->wr + chain->count ? (uint32_t)(bad - chain->wr) : 0;
        rdma__peer_lost(port, peer, "the device takes no send");
    }
    for (uint32_t i = 0; i < sent; i++) {
        port->stats.tx_bytes += chain->sge[i].length - rdma__trailer_bytes(port);
    }
    port->stats.tx_frames += sent;
    port->stats.tx_dropped += chain->count - sent;
    for (uint32_t i = 0; i < chain->inlined_count; i++) {
        rdma__frame_give(port, chain->inlined[i]);
    }
    chain->count = 0;
    chain->inlined_count = 0;
}

static struct ibv_send_wr *wr_next(struct chain *chain, unsigned int flags)
{
    struct rdma_peer *peer = chain->peer;
    struct ibv_send_wr *wr = &chain->wr[chain->count];

    *wr = (struct ibv_send_wr){
        .wr_id = (uint64_t)peer->serial << 32 | (peer->head & NUMBER_MASK),
        .opcode = IBV_WR_SEND,
        .send_flags = flags,
    };
    if (chain->count > 0) {
        chain->wr[chain->count - 1].next = wr;
    }
    chain->count++;
    peer->head++;
    peer->quiet++;
    return wr;
}

static void chain_add(struct rdma_port *port, struct chain *chain, const struct link_frame *frame,
                      uint32_t length)
{
    struct rdma_frame *own = frame->driver;
    struct rdma_peer *peer = chain->peer;
    uint32_t with_trailer = length + rdma__trailer_bytes(port);
    bool inlined = with_trailer <= peer->inline_bytes;
    uint32_t place = peer->head % RDMA_TX_DEPTH;
    struct ibv_sge *sge = &chain->sge[chain->count];
    uint8_t *data = frame->data;
    struct ibv_send_wr *wr;

    if (with_trailer != frame->length && data + with_trailer > own->buffer + port->pool.stride) {
        data = memmove(own->buffer, data, frame->length);
    }
    if (frame->tail_length != 0) {
        memcpy(data + frame->length, frame->tail, frame->tail_length);
    }
    rdma__trailer_write(port, peer, data + length);
    *sge = (struct ibv_sge){.addr = (uintptr_t)data, .length = with_trailer, .lkey = own->lkey};
    wr = wr_next(chain, IBV_SEND_SOLICITED | (inlined ? IBV_SEND_INLINE : 0u));
    wr->sg_list = sge;
    wr->num_sge = 1;
    own->place = RDMA_SENDING;
    peer->sending[place] = inlined ? NULL : own;
    if (inlined) {
        chain->inlined[chain->inlined_count++] = own;
    } else {
        peer->quiet_frames++;
    }
    /* Soft-iWARP lets TCP send a large frame from where it lies, also after it is complete, unless
     * it is signalled. */
    if (peer->quiet >= RDMA_SIGNAL_EVERY || (port->iwarp && !inlined)) {
        signal(peer, wr);
    }
}

bool rdma__post_alone(struct rdma_port *port, struct rdma_peer *peer, struct ibv_send_wr *wr,
                      bool signalled)
{
    struct ibv_send_wr *bad = NULL;

    peer->sending[peer->head % RDMA_TX_DEPTH] = NULL;
    wr->wr_id = (uint64_t)peer->serial << 32 | (peer->head & NUMBER_MASK);
    peer->head++;
    peer->quiet++;
    if (signalled) {
        signal(peer, wr);
    }
    return port->verbs->post_send(peer->qp, wr, &bad) == 0;
}

void rdma__probe(struct rdma_port *port, struct rdma_peer *peer, bool wakes)
{
    uint8_t trailer[RDMA_TRAILER_BYTES];
    struct ibv_sge sge = {.addr = (uintptr_t)trailer, .length = rdma__trailer_bytes(port)};
    struct ibv_send_wr wr = {.opcode = IBV_WR_SEND, .send_flags = wakes ? IBV_SEND_SOLICITED : 0};

    if (peer->head - peer->tail == RDMA_TX_DEPTH || !rdma__credit_for_probe(port, peer)) {
        return;
    }
    rdma__trailer_write(port, peer, trailer);
    if (sge.length > 0) {
        wr.sg_list = &sge;
        wr.num_sge = 1;
        wr.send_flags |= IBV_SEND_INLINE;
    }
    if (!rdma__post_alone(port, peer, &wr, true)) {
        rdma__peer_lost(port, peer, "the device takes no send");
    }
}

static bool fits(const struct rdma_port *port, const struct link_frame *frame)
{
    return frame->length <= port->pool.frame_bytes &&
           frame->tail_length <= port->pool.frame_bytes - frame->length;
}

static bool has_room(const struct rdma_port *port, const struct rdma_peer *peer)
{
    return peer->head - peer->tail < RDMA_TX_DEPTH && rdma__credits(port, peer) > 0;
}

/* Room for one more send to that peer; may end the peer. */
static bool room_make(struct rdma_port *port, struct rdma_peer *peer, struct chain *chain)
{
    if (has_room(port, peer)) {
        return true;
    }
    chain_post(port, chain);
    (void)rdma__poll(port);
    return peer->state != RDMA_PEER_UP || has_room(port, peer);
}

uint16_t rdma__tx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                        uint16_t count)
{
    struct rdma_port *port = link->impl;
    struct chain chain;
    uint16_t taken;

    (void)queue;
    if (port->closed) {
        return 0;
    }
    chain.peer = NULL;
    chain.count = chain.inlined_count = 0; /* the rest is filled as it grows */
    for (taken = 0; taken < count && taken < LINK_BURST_MAX; taken++) {
        struct link_frame *frame = &frames[taken];
        struct rdma_peer *peer = rdma__peer_find(port, frame->peer);

        if (!fits(port, frame)) {
            break;
        }
        if (peer != NULL && peer->state == RDMA_PEER_UP && !room_make(port, peer, &chain)) {
            break;
        }
        if (peer == NULL || peer->state != RDMA_PEER_UP || !port->up ||
            frame->length + frame->tail_length == 0) {
            rdma__frame_give(port, frame->driver);
            port->stats.tx_dropped++;
        } else {
            if (chain.peer != peer) {
                chain_post(port, &chain);
                chain.peer = peer;
            }
            chain_add(port, &chain, frame, frame->length + frame->tail_length);
        }
        frame->driver = NULL;
        frame->data = NULL;
    }
    chain_post(port, &chain);
    rdma__refill(port); /* what is sent waits for nothing */
    rdma__look(port);
    return taken;
}

/* --- lending ------------------------------------------------------------------------------------
 */

uint16_t rdma__frame_alloc(struct link *link, struct link_frame frames[], uint16_t count)
{
    struct rdma_port *port = link->impl;
    bool polled = false;
    uint16_t i;

    for (i = 0; i < count; i++) {
        struct rdma_frame *frame = rdma__frame_take(port, RDMA_LENT);

        if (frame == NULL && !polled) {
            polled = true;
            for (uint32_t k = 0; k < ALLOC_POLLS_MAX && rdma__poll(port); k++) {
            }
            frame = rdma__frame_take(port, RDMA_LENT);
        }
        if (frame == NULL) {
            break;
        }
        frames[i] = (struct link_frame){
            .data = frame->buffer,
            .driver = frame,
            .capacity = port->pool.frame_bytes,
            .peer = LINK_PEER_UNKNOWN,
        };
    }
    return i;
}

void rdma__frame_free(struct link *link, struct link_frame frames[], uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        rdma__frame_give(link->impl, frames[i].driver);
        frames[i].driver = NULL;
        frames[i].data = NULL;
    }
}
