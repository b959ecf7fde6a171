/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.h - the node's side of the control protocol: joins the cell and does what fabricd says.
 *
 * Model: connect -> NodeHello -> NodeWelcome -> commands and heart-beats, until the connection
 * ends; then again, after a back-off of AGENT_BACKOFF_MS_MIN.._MAX. The kernel core is made at the
 * first welcome, and kept while the controller is away: SIPs run on, and their log lines meanwhile
 * and all their reports are kept (agent_notes.h) and sent after the next welcome. A welcome
 * with another node id or epoch means that the controller knows nothing of us any more: all SIPs
 * end and the core is made anew.
 *
 * Links: those of the options are opened before the first connection, because NodeHello has what
 * their devices say (MAC, MTU). fabricd has point-to-point ones opened. Each heart-beat looks at
 * the carrier of all, and says a change once.
 *
 * Commands run to completion inside their message callback and are answered by one Result.
 * Key: an X25519 key pair is made when the agent is, and its secret half never leaves memory; the
 * other half goes into NodeHello, for the nodes that will have sessions with this one.
 *
 * Threads: the pump's.
 * Untrusted: the controller's bytes are checked here (numbers, names, lengths) before they reach
 * the core; a bad command gets a Result that says what, never an assert.
 */
#ifndef KERNEL_AGENT_H
#define KERNEL_AGENT_H

#include <netinet/in.h>
#include <uv.h>

#include "links.h"
#include "pump.h"

#define AGENT_BACKOFF_MS_MIN 100u
#define AGENT_BACKOFF_MS_MAX 2000u
#define AGENT_CONNECT_MS 5000u /* until a welcome; then the connection is given up */
#define AGENT_FLUSH_MS 200u
#define AGENT_NAME_BYTES_MAX 31u

struct agent;

struct agent_events {
    /* A welcome was taken; `first`: the first of this process. */
    void (*joined)(void *arg, const char *name, uint16_t node_id, bool first);
    /* fabricd will never take this node as it is (wrong token or protocol). */
    void (*refused)(void *arg, const char *text);
    void (*shutdown)(void *arg, bool power_off);
};

/* All pointers must outlive the agent. */
struct agent_options {
    uv_loop_t *loop;
    struct pump *pump;
    struct sockaddr_in controller;
    const char *controller_text;
    const char *token;
    const char *name;
    const char *uuid;    /* "" if unknown */
    const char *address; /* of nic0, text; "" if unknown */
    uint8_t mac[6];      /* of nic0; zeros if unknown */
    bool booted;
    uint32_t worker_count;         /* of the kernel */
    uint32_t slot_count_max;       /* uses at most that many of the leased slots; 0: all */
    const struct node_link *links; /* the node brings itself, each with an address */
    uint32_t link_count;           /* at most LINKS_MAX; link number = index + 1 */
    struct agent_events events;
    void *events_arg;
};

/*
 * Opens the links the node brings itself; they stay open until the pump ends. Text says what
 * failed: a link, IO (no random numbers), NOMEM.
 */
SF_MUST_CHECK sf_status agent_create(const struct agent_options *options, struct agent **out_agent,
                                     char *text, size_t text_capacity);
/*
 * Stops all SIPs and closes the connection. Channels of other nodes to this one close with
 * SHUTDOWN; for that, frames are sent for at most AGENT_FLUSH_MS. What a peer did not hear by then
 * closes with NODE_LOST when fabricd tells it. The loop must run once more before it is closed.
 * Takes NULL.
 */
void agent_destroy(struct agent *agent);
/* Why the last attempt to join failed; "" if none has. */
const char *agent_last_error(const struct agent *agent);

#endif
