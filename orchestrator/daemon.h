/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon.h - the parts of fabricd and how they meet. Private to fabricd.
 *
 *   fabricd.c  options, listeners, the tick, the end
 *   session.c  one connection of a node: hello, heart-beats, requests to it
 *   pairs.c    links and peers: every two joined nodes are made to talk to each other
 *   apply.c    carries plans out, one at a time
 *   restart.c  what becomes of SIPs that have ended, by their restart policies
 *   moves.c    SIPs that change nodes
 *   drain.c    nodes that take nothing new, and nodes that are emptied
 *   console.c  one connection of fabricctl: its requests
 *   edges.c    collects channels from the nodes and joins their two ends
 *   verify.c   whether each endpoint and block has one owner
 *   trace.c    passes on what nodes see of a channel to the fabricctl that asked
 *
 * Model: one thread, one libuv loop; every step runs to completion in an event. Whatever waits for
 * a node waits as a pending request of its session, which ends in exactly one callback: the answer,
 * a time-out, or the end of the connection. Callbacks find their objects by id or number again,
 * because nodes, SIPs, graphs and consoles may be gone by then.
 *
 * Untrusted: nodes until their token was checked (small frames, HELLO_MS); what they and fabricctl
 * send is checked at all times, and never trips an assert.
 */
#ifndef ORCH_DAEMON_H
#define ORCH_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "allow.h"
#include "control/stream.h"
#include "encrypt.h"
#include "image/trust.h"
#include "plan.h"
#include "state.h"
#include "world.h"

#define DAEMON_TICK_MS 50u
#define DAEMON_PROTOCOL 1u
#define DAEMON_DEVICE_BYTES_MAX 107u /* a Unix socket's path */
#define SESSION_HELLO_MS 10000u
#define SESSION_HEARTBEAT_BOOTED_MS 2000u
#define SESSION_HEARTBEAT_HOSTED_MS 1000u
#define SESSION_HEARTBEATS_MISSED_MAX 3u
#define SESSION_UNJOINED_MAX 256u
#define CONSOLES_MAX 128u
#define REQUEST_MS 20000u
#define REQUEST_IMAGE_MS 60000u
#define REQUEST_LOOK_MS 3000u

struct session;
struct console;
struct operation;
struct pair_work;
struct trace;
struct move;
struct drain;

struct daemon {
    uv_loop_t loop;
    struct world world;
    struct state state;
    char state_dir[256];
    char token[128];
    enum orch_encrypt encrypt; /* which sessions between nodes; never changes */
    bool no_memif;             /* hosted nodes talk over links they bring, too; never changes */
    struct orch_allow rdma;    /* on which links RDMA may be used; never changes */
    struct image_trust trust;  /* whose images are taken, here and on nodes; never changes */
    uv_tcp_t node_listener;
    uv_pipe_t console_listener;
    uv_timer_t tick;
    uv_signal_t signals[2];
    struct session *sessions;
    struct console *consoles;
    struct operation *operations; /* the first is under way */
    struct pair_work *pairs;
    uint64_t pairs_look_ms; /* when pairs.c looks next at who hears whom */
    struct trace *traces;
    struct move *moves; /* oldest first; those that have ended too */
    uint64_t last_move; /* number */
    struct drain *drains;
    uint32_t restart_next; /* where in world.sips restart_look goes on; may be past the end */
    uint64_t started_ms;
    uint64_t ticked_ms;    /* session_tick */
    uint32_t heartbeat_ms; /* of all nodes; 0: as their mode is */
    uint64_t stop_at_ms;   /* 0: not stopping */
};

/* Monotonic milliseconds, as the loop sees them. */
static inline uint64_t daemon_now(const struct daemon *daemon)
{
    return uv_now(&daemon->loop);
}
/* Milliseconds since 1970. */
uint64_t daemon_wall(void);
/* One line to stderr (fabricd.log). */
void daemon_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Tells nodes to shut down, and ends once they are gone, or after a short time. */
void daemon_stop(struct daemon *daemon);

/* --- session.c ----------------------------------------------------------------------------------
 */

/* A node has connected; answers false if it cannot be taken. */
void session_accept(struct daemon *daemon, uv_stream_t *listener);
void session_tick(struct daemon *daemon);
/* A node of that name, which is not there yet, as the state knows it. NULL: no id or memory is
 * left, or the state cannot be written (errno). */
struct world_node *session_node_add(struct daemon *daemon, const char *name);
void session_close_all(struct daemon *daemon);

/*
 * Sends `body` to a node; `done` comes once, later: with the Result's status and text, OK and the
 * reply if it was of another kind, TIMEOUT, or CLOSED. CLOSED, NOMEM, LIMIT: not sent, no callback.
 */
typedef void (*session_done)(void *arg, sf_status status, const char *text,
                             const Sf__Control__Envelope *reply);
SF_MUST_CHECK sf_status session_request(struct daemon *daemon, struct world_node *node,
                                        Sf__Control__Envelope *body, uint32_t timeout_ms,
                                        session_done done, void *arg);
/* Sends without an answer; drops it if the node has no connection. */
void session_tell(struct daemon *daemon, struct world_node *node, Sf__Control__Envelope *body);
/* Adds a line to the node's own log. */
void session_note(struct world_node *node, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* --- pairs.c ------------------------------------------------------------------------------------
 */

void pairs_node_joined(struct daemon *daemon, struct world_node *node);
/* The node is lost: others are told, links to it forgotten. */
void pairs_node_lost(struct daemon *daemon, struct world_node *node);
/* What that node says another has to be told of its end of their link: passed on. */
void pairs_endpoint(struct daemon *daemon, struct world_node *node,
                    const Sf__Control__PeerEndpoint *message);
void pairs_tick(struct daemon *daemon);
/* True while some two joined nodes are still being linked. */
bool pairs_pending(const struct daemon *daemon);
void pairs_fini(struct daemon *daemon);

/* --- apply.c ------------------------------------------------------------------------------------
 */

/* Queues an Apply or Delete of a console; it is answered with Progress and one Result. */
void apply_begin(struct daemon *daemon, struct console *console, uint64_t request,
                 const Sf__Control__Apply *apply);
void apply_delete(struct daemon *daemon, struct console *console, uint64_t request,
                  const Sf__Control__Delete *body);
void apply_tick(struct daemon *daemon);
/* The console is gone: nobody listens to its operations any more; they go on. */
void apply_forget(struct daemon *daemon, const struct console *console);
void apply_fini(struct daemon *daemon);

/* Carries out a plan of plan_restart or plan_again; nothing else may be under way. Takes the plan.
 * restart_done is called at its end, maybe before this returns. False: there was no memory left. */
bool apply_restart(struct daemon *daemon, struct world_graph *graph, struct plan *plan);

/* --- restart.c ----------------------------------------------------------------------------------
 */

/* A SIP has ended without having been told to. What becomes of it is decided in restart_look. */
void restart_sip_ended(struct daemon *daemon, struct world_sip *sip);
/* Decides, and begins one restart that is due, if nothing else is under way. */
void restart_look(struct daemon *daemon);
/* The restart of SIPs of a graph is over: those from sip_first on were made by it. failure: why the
 * others were not, and what was made is stopped; NULL: all were. */
void restart_done(struct daemon *daemon, struct world_graph *graph, uint64_t sip_first,
                  const char *failure);
/* An apply has failed and was undone: what it took over from a restart gets its restart. */
void restart_owed(struct daemon *daemon, struct world_graph *graph, uint64_t sip_first);
/* True unless nothing more will come of a SIP. */
bool restart_pending(const struct world_sip *sip);

/* --- moves.c ------------------------------------------------------------------------------------
 */

/* Queues a Move; it is answered with Progress and one Result. */
void moves_begin(struct console *console, uint64_t request, const Sf__Control__Move *body);
/* Answers GetMoves. */
void moves_get(struct console *console, uint64_t request);
/* True while nodes are moving a SIP: nothing may be planned that says where SIPs are. */
bool moves_under_way(const struct daemon *daemon);
/* What sources and targets say. */
void moves_report(struct daemon *daemon, const struct world_node *node,
                  const Sf__Control__MoveReport *report);
void moves_arrived(struct daemon *daemon, const struct world_node *node,
                   const Sf__Control__MoveArrived *body);
/* A message of the move protocol, for another node. */
void moves_relay(struct daemon *daemon, const struct world_node *node,
                 const Sf__Control__MoverMessage *body);
/* Its connection was away for a while. */
void moves_node_back(struct daemon *daemon, const struct world_node *node);
/* The SIP's node is lost, but the target of its move may have it. */
bool moves_keep(const struct daemon *daemon, const struct world_sip *sip);
/* After those of its SIPs that moves_keep does not keep were counted as lost. */
void moves_node_lost(struct daemon *daemon, const struct world_node *node);
void moves_tick(struct daemon *daemon);
void moves_forget(struct daemon *daemon, const struct console *console);
void moves_fini(struct daemon *daemon);

/* --- drain.c ------------------------------------------------------------------------------------
 */

/* Cordons the node and moves its SIPs away; answered with Progress and one Result. */
void drain_begin(struct console *console, uint64_t request, const Sf__Control__Drain *body);
/* Answers Cordon. */
void drain_cordon(struct console *console, uint64_t request, const Sf__Control__Cordon *body);
void drain_tick(struct daemon *daemon);
void drain_forget(struct daemon *daemon, const struct console *console);
void drain_fini(struct daemon *daemon);

/* --- console.c ----------------------------------------------------------------------------------
 */

void console_accept(struct daemon *daemon, uv_stream_t *listener);
void console_close_all(struct daemon *daemon);
struct daemon *console_daemon(struct console *console);
/* Known by number, because it may be gone when an answer is there. 0 is none. */
uint64_t console_number(const struct console *console);
struct console *console_by_number(struct daemon *daemon, uint64_t number);
void console_send(struct console *console, uint64_t request, Sf__Control__Envelope *body);
/* Bytes it has not taken yet. */
uint64_t console_queued(const struct console *console);
void console_result(struct console *console, uint64_t request, sf_status status, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));

/* --- edges.c ------------------------------------------------------------------------------------
 */

/* Answers GetChannels once all nodes have answered. */
void edges_get(struct console *console, uint64_t request);

#define EDGE_NAME_BYTES (2 * ORCH_NAME_BYTES_MAX + 2)
/* The two ends of a channel; the one that was asked for first. */
struct edge_ends {
    uint64_t ids[2];                /* 0: not there */
    uint16_t nodes[2];              /* that have them */
    char importer[EDGE_NAME_BYTES]; /* "web2.tcp" */
    char exporter[EDGE_NAME_BYTES];
};
/* Finds the channel of that importer, or with an end of that id, and calls `found` once, maybe
 * before it returns. ends: NULL unless OK; text says why. */
typedef void (*edges_found)(struct daemon *daemon, uint64_t key, sf_status status, const char *text,
                            const struct edge_ends *ends);
void edges_find(struct daemon *daemon, const char *wanted, edges_found found, uint64_t key);

/* --- verify.c -----------------------------------------------------------------------------------
 */

/* Answers Verify with a Result, at most some seconds later. */
void verify_begin(struct console *console, uint64_t request);

/* --- trace.c ------------------------------------------------------------------------------------
 */

/* Answers Trace, and then tells what the nodes see until the console goes. */
void trace_begin(struct console *console, uint64_t request, const Sf__Control__Trace *asked);
void trace_events(struct daemon *daemon, const struct world_node *node,
                  const Sf__Control__TraceEvents *events);
/* Its connection is gone, and its traces with it. */
void trace_node_gone(struct daemon *daemon, const struct world_node *node);
void trace_forget(struct daemon *daemon, uint64_t console);

#endif
