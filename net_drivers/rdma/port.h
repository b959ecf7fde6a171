/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port.h - one link on an RDMA device: what the files of this folder share.
 *
 * Model: a port (struct rdma_port, link->impl) is one port of one device, with one completion
 * queue. A peer has a reliable connected queue pair and RX_DEPTH receive buffers of its own, so
 * that no peer can take another's, and all that a queue pair held is known when it is destroyed.
 * Frames go by SEND into them. Frames come from one pool, which is registered for local access
 * only. Only memory that was given to be read (memory_share) can be reached from another machine,
 * by peers only, to read only, and as long as the queue pair lives that the key is bound to
 * (reads.c).
 *
 * A peer's life: FRESH (made, buffers posted, not joined), JOINING (rdma_cm is at it), JOINED (its
 * endpoint is known, we can receive), UP (it is known to be able to receive, too), and LOST after
 * an error, until a new queue pair is made REMAKE_NS later. A queue pair is joined once in its life
 * (format.h), by us, or where the link is so configured and on iWARP by rdma_cm (cm.c). Nothing is
 * asked of the queue pair after an error: it is destroyed and its frames go back to the pool;
 * completions of it that still come are known by their serial number and left alone.
 *
 * A peer that has nothing to say is probed every PROBE_NS with a SEND of no bytes, for a
 * connection notices that its other end is gone only when it sends. So a frame of no bytes cannot
 * be sent by the link's user. On iWARP that a send is complete says only that TCP has it: there
 * each end sends something every PROBE_NS, and who is not heard for SILENCE_NS is lost.
 *
 * Threads: one; so one queue. On iWARP each asking of rdma_cm's has one as well, which touches
 * nothing here (connect.c). Errors: whatever the network, the peer or the device says is a state,
 * never an assert. Units: nanoseconds by the table's clock. Limits: below.
 */
#ifndef NET_DRIVERS_RDMA_PORT_H
#define NET_DRIVERS_RDMA_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "format.h"
#include "link/link.h"
#include "verbs.h"

#define RDMA_PEERS_MAX 32u
#define RDMA_NODES_MAX 1024u /* node ids */
/* A session has at most 256 frames on their way. */
#define RDMA_RX_DEPTH 256u
#define RDMA_TX_DEPTH 256u /* power of two */
/* On top of what each peer brings to the pool: frames that are lent. */
#define RDMA_POOL_FRAMES 512u
#define RDMA_SLAB_FRAMES (RDMA_RX_DEPTH + RDMA_TX_DEPTH)
#define RDMA_MTU_BYTES_DEFAULT 9000u
#define RDMA_MTU_BYTES_MIN 64u
#define RDMA_MTU_BYTES_MAX 9216u
#define RDMA_TRAILER_BYTES 4u  /* iWARP; credits.c */
#define RDMA_INLINE_BYTES 256u /* wanted; a device may have less */
#define RDMA_SIGNAL_EVERY 32u  /* sends */
#define RDMA_PROBE_NS 200000000u
#define RDMA_SILENCE_NS 2000000000u
#define RDMA_JOIN_NS 3000000000u /* rdma_cm's patience is a minute */
#define RDMA_LOOK_NS 5000000u
#define RDMA_REMAKE_NS 20000000u
#define RDMA_REMAKE_FAILED_NS 500000000u
#define RDMA_READS_MAX                                                                             \
    256u /* of all peers, also those that are over and not polled; power of 2                      \
          */
#define RDMA_READ_BYTES 1048576u /* a longer one is several requests */
#define RDMA_READS_AT_ONCE                                                                         \
    16 /* requests that a queue pair has on the wire; a device may do less                         \
        */
#define RDMA_TEXT_BYTES 240u

/* One buffer of the pool and where it is. */
enum rdma_place { RDMA_FREE, RDMA_LENT, RDMA_POSTED, RDMA_ARRIVED, RDMA_SENDING };

struct rdma_frame {
    uint8_t *buffer;
    uint32_t lkey;
    uint8_t place; /* enum rdma_place */
};

/* Frames are made and registered by the slab; there are more with each peer, never fewer. */
struct rdma_slab {
    void *memory;
    size_t bytes;
    struct ibv_mr *mr;
    struct rdma_frame *frames;
    uint32_t count;
};

struct rdma_pool {
    struct rdma_slab slabs[RDMA_PEERS_MAX + 1];
    uint32_t slab_count, frame_count;
    struct rdma_frame **free;
    uint32_t free_count;
    uint32_t reserved; /* of the free ones: for the queue pairs of peers that have none now */
    uint32_t frame_bytes, stride; /* usable; from buffer to buffer */
};

/* What was received and not handed over yet: the hand-over wants a free frame to replace it. */
struct rdma_arrival {
    struct rdma_frame *frame;
    uint32_t serial, slot, length;
};
#define RDMA_ARRIVALS_MAX (RDMA_PEERS_MAX * RDMA_RX_DEPTH) /* power of two */

/* Slots of one queue pair that have a new frame and wait to be posted together. */
struct rdma_refill {
    uint32_t serial, count;
    uint32_t slots[LINK_BURST_MAX];
};

/* What a peer reads our memory by (reads.c). */
enum rdma_window_state { RDMA_WINDOW_NONE, RDMA_WINDOW_ASKED, RDMA_WINDOW_BOUND };

enum rdma_peer_state {
    RDMA_PEER_NONE,
    RDMA_PEER_LOST,
    RDMA_PEER_FRESH,
    RDMA_PEER_JOINING,
    RDMA_PEER_JOINED,
    RDMA_PEER_UP
};

struct rdma_peer {
    uint8_t state; /* enum rdma_peer_state */
    uint16_t node_id;
    struct ibv_qp *qp; /* NULL while LOST */
    uint32_t serial;   /* of the queue pair; its low byte is the peer's place in the port */
    uint32_t psn, inline_bytes;
    uint64_t token, mate;
    struct rdma_endpoint its; /* as told last; token 0: not yet */
    uint64_t remake_at_ns;
    uint64_t proof_ns; /* of the last sign that the other end is there */
    uint64_t said_ns;  /* of the last probe; iWARP */
    bool proven;       /* it has acknowledged something on this queue pair */
    /* rdma_cm's: of our asking, or of its, which may wait for the endpoint with that token. */
    struct rdma_cm_id *cm;
    struct rdma_connecting *connecting; /* NULL: the call is over */
    uint64_t cm_asked, join_until_ns;
    /* iWARP, of this queue pair: messages sent, and of their buffers those given anew, as it said;
     * of ours given anew, and what it was told of that. */
    uint32_t used, allowed, given, told;
    struct rdma_frame *posted[RDMA_RX_DEPTH];
    /* Sends, counted since the queue pair was made; a frame is NULL if it was sent inline. */
    struct rdma_frame *sending[RDMA_TX_DEPTH];
    uint32_t head, tail;
    /* Of the same numbers: the last request of a read, and whose it is. */
    bool read_ends[RDMA_TX_DEPTH];
    uint64_t cookies[RDMA_TX_DEPTH];
    struct ibv_mw *window;
    uint8_t window_state; /* enum rdma_window_state */
    uint32_t window_key, window_number;
    uint32_t quiet, quiet_frames; /* sends since the last signalled one; of these with a frame */
    uint32_t signalled;           /* sends that will complete by themselves, under way */
};

struct rdma_port {
    const struct rdma_verbs *verbs;
    struct ibv_context *context;
    struct ibv_pd *pd;
    struct ibv_comp_channel *channel;
    struct ibv_cq *cq;
    uint8_t port_number;
    uint32_t gid_index;
    union ibv_gid gid;
    bool by_gid; /* false: InfiniBand within one subnet, by LID; or iWARP */
    bool by_cm, iwarp;
    struct rdma_event_channel *cm_channel; /* NULL: !by_cm */
    struct rdma_cm_id *cm_listener;
    uint32_t ipv4; /* ours; 0: not told */
    uint16_t cm_port;
    uint16_t lid;
    uint8_t path_mtu; /* enum ibv_mtu */
    uint32_t peers_max;

    uint16_t node_id;
    bool closed, up;
    bool active; /* the port, as the device said last */
    bool gone;   /* the device: for good */
    uint64_t look_next_ns;
    uint32_t serial_count;
    struct rdma_pool pool;
    struct rdma_peer peers[RDMA_PEERS_MAX];
    uint8_t by_node[RDMA_NODES_MAX]; /* place in peers + 1; 0: none */
    struct rdma_arrival arrivals[RDMA_ARRIVALS_MAX];
    uint32_t arrival_head, arrival_tail;
    struct rdma_refill refill;
    /* Memory that peers may read, and reads go into; NULL: none. */
    struct ibv_mr *memory;
    uint8_t *memory_base;
    size_t memory_bytes;
    uint8_t reads_out, reads_in; /* at once, of a queue pair */
    uint32_t reads_open;         /* under way */
    struct link_read_done dones[RDMA_READS_MAX];
    uint32_t done_head, done_tail;
    struct link_stats stats;
    char about[RDMA_TEXT_BYTES];
    char text[RDMA_TEXT_BYTES];
};

/* --- pool.c: frames ----------------------------------------------------------------------------
 */

/* NOMEM, IO: nothing to undo; there are fewer frames than wanted. */
SF_MUST_CHECK sf_status rdma__pool_grow(struct rdma_port *port, uint32_t count);
void rdma__pool_fini(struct rdma_port *port);
/* NULL: none is free but those reserved. It is the caller's, in that place. */
struct rdma_frame *rdma__frame_take(struct rdma_port *port, enum rdma_place place);
/* One of the reserved, to be posted. */
struct rdma_frame *rdma__frame_take_reserved(struct rdma_port *port);
/* Takes NULL. */
void rdma__frame_give(struct rdma_port *port, struct rdma_frame *frame);

/* --- device.c: which device, port and GID -------------------------------------------------------
 */

/* Opens it and fills the port's fields; about says why that one. Else text says what there is. */
SF_MUST_CHECK sf_status rdma__device_open(struct rdma_port *port, const struct link_config *config);
/* How fit that GID is to be ours; 0: not at all. */
uint32_t rdma__gid_rank(enum rdma_gid_kind kind, const union ibv_gid *gid, uint32_t ipv4);

/* --- peer.c: queue pairs ------------------------------------------------------------------------
 */

struct rdma_peer *rdma__peer_find(struct rdma_port *port, uint16_t node_id);
/* NULL: the queue pair with that serial is no more. */
struct rdma_peer *rdma__peer_of_serial(struct rdma_port *port, uint32_t serial);
/* Makes a queue pair for a peer that has none. On an error it has none still. */
SF_MUST_CHECK sf_status rdma__peer_make(struct rdma_port *port, struct rdma_peer *peer);
/* Destroys its queue pair; all its frames are free again. */
void rdma__peer_drop(struct rdma_port *port, struct rdma_peer *peer);
/* The way to it is lost; what says why, and goes to about. */
void rdma__peer_lost(struct rdma_port *port, struct rdma_peer *peer, const char *what);
/* It has been heard, or has said that it can hear. */
void rdma__peer_up(struct rdma_port *port, struct rdma_peer *peer);
/* Joins it with the endpoint it told last, if that is possible now. */
void rdma__peer_join(struct rdma_port *port, struct rdma_peer *peer);
/* Its queue pair is joined with that token's and can send. May end the peer. */
void rdma__peer_joined(struct rdma_port *port, struct rdma_peer *peer);
/* How long a send is repeated, and other things that are the same whoever joins. */
void rdma__peer_rules(const struct rdma_port *port, const struct rdma_peer *peer,
                      struct ibv_qp_attr *attr);
void rdma__peer_endpoint(const struct rdma_port *port, const struct rdma_peer *peer,
                         struct link_endpoint *out_endpoint);
/* Makes due queue pairs, probes silent peers. */
void rdma__peers_look(struct rdma_port *port, uint64_t now_ns);
/* Looks whether the link as a whole is up, and counts a change. */
void rdma__carrier(struct rdma_port *port);

/* --- cm.c: joining by rdma_cm -------------------------------------------------------------------
 */

/* After the device is open. IO, NOTFOUND, BADARG: text says why. */
SF_MUST_CHECK sf_status rdma__cm_open(struct rdma_port *port);
/* After all peers are dropped. */
void rdma__cm_fini(struct rdma_port *port);
/* Of a FRESH peer whose endpoint is known: asks, or answers its asking once that has come. May end
 * the peer. */
void rdma__cm_join(struct rdma_port *port, struct rdma_peer *peer);
/* Before its queue pair is destroyed. */
void rdma__cm_drop(struct rdma_port *port, struct rdma_peer *peer);
/* Takes in what rdma_cm has to say. */
void rdma__cm_look(struct rdma_port *port, uint64_t now_ns);

/* --- data.c: frames that go and come ------------------------------------------------------------
 */

/* Takes completions in, a batch; true: there may be more. */
bool rdma__poll(struct rdma_port *port);
/* Gives the device a buffer for that slot, which must be empty: the frame is the peer's then. */
SF_MUST_CHECK bool rdma__slots_post(struct rdma_port *port, struct rdma_peer *peer,
                                    const uint32_t slots[], uint32_t count);
/* The device gets the new frames for what rx_burst has handed out. May end a peer. */
void rdma__refill(struct rdma_port *port);
/* Posts a request that is no frame; its number and flags are filled in. False: it was not taken,
 * and the peer is to be lost. */
SF_MUST_CHECK bool rdma__post_alone(struct rdma_port *port, struct rdma_peer *peer,
                                    struct ibv_send_wr *wr, bool signalled);
/* Sends a probe if there is room; wakes: the other end, if it sleeps. */
void rdma__probe(struct rdma_port *port, struct rdma_peer *peer, bool wakes);
uint16_t rdma__frame_alloc(struct link *link, struct link_frame frames[], uint16_t count);
void rdma__frame_free(struct link *link, struct link_frame frames[], uint16_t count);
uint16_t rdma__tx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                        uint16_t count);
uint16_t rdma__rx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                        uint16_t count);

/* --- credits.c: who may send how much -----------------------------------------------------------
 */

/* Of each message: RDMA_TRAILER_BYTES or 0. */
static inline uint32_t rdma__trailer_bytes(const struct rdma_port *port)
{
    return port->iwarp ? RDMA_TRAILER_BYTES : 0;
}

/* Of a new queue pair. */
void rdma__credits_reset(struct rdma_peer *peer);
/* Frames that may be sent now. */
uint32_t rdma__credits(const struct rdma_port *port, const struct rdma_peer *peer);
bool rdma__credit_for_probe(const struct rdma_port *port, const struct rdma_peer *peer);
/* Behind a message's payload: rdma__trailer_bytes. It will be sent. */
void rdma__trailer_write(const struct rdma_port *port, struct rdma_peer *peer, uint8_t *at);
/* Takes it off a message of that length. False: the peer is to be lost. */
SF_MUST_CHECK bool rdma__trailer_read(const struct rdma_port *port, struct rdma_peer *peer,
                                      const uint8_t *data, uint32_t *length);
/* So many buffers are posted again; says so when it is time. May end the peer. */
void rdma__credits_given(struct rdma_port *port, struct rdma_peer *peer, uint32_t count);

/* --- reads.c ------------------------------------------------------------------------------------
 */

sf_status rdma__memory_share(struct link *link, void *base, size_t bytes);
void rdma__memory_fini(struct rdma_port *port);
/* For a new queue pair; false: the device gives none. */
SF_MUST_CHECK bool rdma__window_make(struct rdma_port *port, struct rdma_peer *peer);
/* On return nothing can be read by it. Before its queue pair is destroyed: soft-RoCE would wait a
 * minute for the window that still refers to that. */
void rdma__window_drop(struct rdma_port *port, struct rdma_peer *peer);
/* Asks the device to bind it; may end the peer. */
void rdma__window_bind(struct rdma_port *port, struct rdma_peer *peer);
/* That request is done with: if it was a read's last or the window's, that is noted. */
void rdma__read_passed(struct rdma_port *port, struct rdma_peer *peer, uint32_t number, bool ok);
bool rdma__read(struct link *link, uint16_t node_id, uint64_t address, void *to, uint32_t bytes,
                uint64_t cookie);
uint32_t rdma__read_poll(struct link *link, struct link_read_done done[], uint32_t count);
void rdma__read_revoke(struct link *link, uint16_t node_id);

/* --- rdma.c -------------------------------------------------------------------------------------
 */

bool rdma__non_blocking(int fd);
/* For good; what says why. */
void rdma__device_gone(struct rdma_port *port, const char *what);
/* Events of the device and all that is due; cheap if it was called a moment ago. */
void rdma__look(struct rdma_port *port);
/* link_ops.open on that provider. */
sf_status rdma__open(struct link *link, const struct link_config *config,
                     const struct rdma_verbs *verbs, const char **out_text);

#endif
