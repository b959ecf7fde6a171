/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pump.h - the worker's main loop: links <-> fabric <-> SIPs <-> sockets.
 *
 * Why: the fabric and the drivers do no I/O by themselves and know nothing of each other; one loop
 * on one thread moves frames between them, lets SIPs run, and runs libuv for all sockets.
 *
 * Model: one turn = receive bursts from every link into the fabric, run ready SIPs and services,
 * fill the drivers' own frames from the fabric (no copy on our side), send them, and, every
 * PUMP_LOOP_INTERVAL_NS or when nothing else happened, one pass of the libuv loop. While turns
 * find work the loop spins, and for PUMP_SPIN_NS more; then it yields the core each turn, at once
 * if a yield has shown lately that others want it, and POLL_WINDOW_NS after the last work (at once
 * where polling is in vain: poll_window.h) it sleeps in ppoll on libuv's descriptor, longer each
 * time. The longest sleep is PUMP_SLEEP_SESSION_NS while there are peers, PUMP_SLEEP_QUIET_NS once
 * no SIP or service has run for PUMP_QUIET_NS, PUMP_SLEEP_STILL_NS after PUMP_STILL_NS of that, and
 * PUMP_SLEEP_IDLE_NS without peers. Heart-beats and acknowledgements count as no work on a quiet
 * node, so that each costs one waking (0.05 ms; 0.2 ms under emulation). Never past a deadline of a
 * SIP, the fabric or libuv. A socket that becomes readable ends a sleep, and so does a frame on a
 * link whose driver has a descriptor for it (link_ops.wait_fd); with such links alone, the sleep is
 * as long as nothing is due, and ends by a timer that is seldom set (alarm.h). A frame on another
 * link is seen at the next waking.
 *
 * With a kernel of several workers, queues of links that were opened shared are theirs as well
 * (queues.h); a link without a queue of ours is left alone here but for its control side.
 *
 * Threads: one; the one that created it.
 * Ownership: the pump owns its links. The kernel belongs to the caller, who must take it away
 * (pump_set_kernel NULL) before destroying it.
 * Errors: `text` buffers get a sentence for people.
 * Limits: PUMP_LINKS_MAX links; link numbers are the caller's, 1..65535.
 */
#ifndef KERNEL_PUMP_H
#define KERNEL_PUMP_H

#include <uv.h>

#include "link/link.h"
#include "nk.h"

#define PUMP_LINKS_MAX 1023u
#define PUMP_DEVICE_BYTES_MAX 127u
#define PUMP_LOOP_INTERVAL_NS 20000u
#define PUMP_SPIN_NS 20000u
#define PUMP_YIELD_NS 3000u /* a yield that takes longer let somebody else run */
#define PUMP_SHARED_NS 20000000u
#define PUMP_SLEEP_SESSION_NS 1000000u
#define PUMP_QUIET_NS 1000000000u
#define PUMP_SLEEP_QUIET_NS 5000000u
#define PUMP_STILL_NS 10000000000u
#define PUMP_SLEEP_STILL_NS 8000000u /* shorter than the fabric waits for an acknowledgement */
#define PUMP_SLEEP_IDLE_NS 100000000u

struct pump;

/* NOMEM, IO (no descriptor). */
SF_MUST_CHECK sf_status pump_create(uv_loop_t *loop, struct pump **out_pump);
/* Closes all links. Takes NULL. */
void pump_destroy(struct pump *pump);

/* NULL takes the kernel away: its peers are forgotten (its fabric is not told) and
 * point-to-point links are closed. */
void pump_set_kernel(struct pump *pump, struct nk_kernel *kernel);

/*
 * Calls `turn` each turn from now on, after SIPs have run and before frames are sent; true: it did
 * something. Not from inside nk_run. NULL: no more.
 */
void pump_each_turn(struct pump *pump, bool (*turn)(void *arg, uint64_t now_ns), void *arg);

/* No sleep until then: only yields. Something is to come that must not wait for a waking. */
void pump_stay_awake(struct pump *pump, uint64_t until_ns);

/* Turns until pump_stop. */
void pump_run(struct pump *pump);
/* One turn, and a sleep if there is nothing to do. For tests. */
void pump_turn(struct pump *pump);
void pump_stop(struct pump *pump);
/*
 * Moves frames, and nothing else (no SIP runs, no callback of libuv), until each peer that was ever
 * heard and whose link is up has acknowledged everything, at most ms. Only before the end.
 */
void pump_flush(struct pump *pump, uint32_t ms);

/*
 * Opens a link. If one of that number is open with the same driver, device and side: OK, nothing
 * changes; with another: it is closed first. UNSUPPORTED: no such driver, or one with frames too
 * small for the fabric. LIMIT.
 */
SF_MUST_CHECK sf_status pump_link_open(struct pump *pump, uint32_t number, const char *driver,
                                       const struct link_config *config, char *text,
                                       size_t text_capacity);

/* Where a node is reached by a link of ours. */
struct pump_way {
    uint32_t link; /* its number */
    struct link_peer peer;
};
#define PUMP_WAYS_MAX 2u
#define PUMP_WAYS_NS 1000000u

/*
 * Lets the fabric talk to a node over a link, or over two of which the second is the spare (way.h):
 * ways say where it is, `session` who it is (its mtu_bytes is what fits both links, whatever it
 * says). OK also if there is a session with that epoch already; it then moves to these links.
 * NOTFOUND: no link of that number, or no kernel. BADARG: a link is its own spare, or its queues
 * are other workers'.
 */
SF_MUST_CHECK sf_status pump_peer_add(struct pump *pump, const struct pump_way ways[],
                                      uint32_t way_count, const struct fab_peer *session,
                                      char *text, size_t text_capacity);
/*
 * Blocks from that size on (not 0) are read over the link rather than sent, in sessions that are
 * not sealed, if the other node wants it, too. Before it has a peer. The kernel must copy blocks
 * (nk_options). NOTFOUND: no such link. UNSUPPORTED: its driver cannot. LIMIT.
 */
SF_MUST_CHECK sf_status pump_link_reads(struct pump *pump, uint32_t number, uint32_t bytes_min);
/* The link on which that node is a peer; NULL: none. Valid until links are opened or closed. */
struct link *pump_peer_link(struct pump *pump, uint16_t node_id);
/* As link_ops.endpoint_get and endpoint_set. NOTFOUND: no peer. UNSUPPORTED: its link has none. */
SF_MUST_CHECK sf_status pump_peer_endpoint_get(struct pump *pump, uint16_t node_id,
                                               struct link_endpoint *out_endpoint);
SF_MUST_CHECK sf_status pump_peer_endpoint_set(struct pump *pump, uint16_t node_id,
                                               const struct link_endpoint *its);
/* Ends the session. A point-to-point link that served that peer alone is closed. */
void pump_peer_remove(struct pump *pump, uint16_t node_id, struct sf_cause cause);

struct pump_link_info {
    uint32_t number;
    const char *driver;
    const char *device;
    uint8_t mac[6]; /* the device's; zeros: it has none */
    uint32_t ipv4;
    uint32_t mtu_bytes;
    bool up;
    bool many_peers;
    uint16_t queues;
    uint16_t peer;                   /* point to point: the node on the other side; 0: none */
    uint64_t up_events, down_events; /* of the carrier, since it was opened */
    const char *about;               /* link_ops.about, or "" */
};
/* Calls visit for each open link. */
void pump_link_walk(struct pump *pump, void (*visit)(void *arg, const struct pump_link_info *info),
                    void *arg);
/* Whether it is sent to over the spare at the moment. */
bool pump_peer_on_spare(const struct pump *pump, uint16_t node_id);
/* Driver a peer is reached by at the moment, or "" if it is no peer. Static or valid until the link
 * closes. */
const char *pump_peer_driver(const struct pump *pump, uint16_t node_id);
/* Next peer after node_id (0: the first); 0: no more. */
uint16_t pump_peer_next(const struct pump *pump, uint16_t node_id);

struct pump_stats {
    uint64_t turns, sleeps, rx_frames, tx_frames;
    uint64_t rx_dropped;                         /* from a node that is no peer on that link */
    uint64_t tx_dropped;                         /* for a peer without a link */
    uint64_t others_rx_frames, others_tx_frames; /* of these, by other workers */
};
void pump_query(const struct pump *pump, struct pump_stats *out_stats);

#endif
