/* SPDX-License-Identifier: Apache-2.0 */
/* agent_private.h - shared by agent.c (the connection) and agent_commands.c (what fabricd asks). */
#ifndef KERNEL_AGENT_PRIVATE_H
#define KERNEL_AGENT_PRIVATE_H

#include "agent.h"
#include "agent_notes.h"
#include "carrier.h"
#include "control/stream.h"
#include "mover.h"
#include "trace.h"

#define AGENT_TEXT_BYTES 512u
#define AGENT_SERVICES_MAX 64u
#define AGENT_KEY_BYTES 32u /* X25519 */
#define AGENT_MACHINE_BYTES 40u
#define AGENT_ENDPOINT_MS 20u /* how often links with endpoints are asked for them */

struct agent_trace {
    uint64_t number; /* 0: free */
    const struct ct_contract *contract;
    uint8_t last_kind; /* enum nk_trace_kind, of its last event */
};

struct agent {
    struct agent_options options;
    struct nk_kernel *kernel; /* NULL before the first welcome */
    struct mover *mover;      /* of that kernel */
    uint16_t node_id, epoch;
    char name[AGENT_NAME_BYTES_MAX + 1]; /* given by the controller */
    char machine[AGENT_MACHINE_BYTES];
    struct image_trust trust;      /* of the last welcome */
    struct control_stream *stream; /* NULL while waiting to try again */
    bool welcome;                  /* on this stream */
    bool joined_before;
    bool ending; /* SIPs that end now are not reported */
    uv_timer_t retry, heartbeat, trace_timer, endpoint_timer, move_timer;
    uint32_t backoff_ms, handles_open;
    struct agent_notes notes;
    uint64_t services[AGENT_SERVICES_MAX]; /* numbers of kernel services; 0: free */
    struct carrier_watch carriers;         /* as of the last heart-beat */
    struct agent_trace traces[NK_TRACES_MAX];
    uint32_t trace_count;
    char last_error[AGENT_TEXT_BYTES];
    struct link_endpoint told[FAB_NODES_MAX]; /* what the controller was told last, for that peer */
    bool on_spare[FAB_NODES_MAX];             /* as was said last */
    /* Of this process, and nowhere else: a node that starts again is another one. */
    uint8_t key[AGENT_KEY_BYTES]; /* public */
    uint8_t key_secret[AGENT_KEY_BYTES];
};

/* What PeerAdd asks for, checked. */
struct agent_peer {
    struct pump_way ways[PUMP_WAYS_MAX];
    uint32_t way_count;
    uint16_t epoch;
    bool encrypt;
    uint8_t key[AGENT_KEY_BYTES]; /* its public key; with encrypt only */
};

/* Sends, or keeps it for later if there is no controller now. */
void agent__send(struct agent *agent, const Sf__Control__Envelope *envelope);
/* A line of the node kernel, to stderr and to the controller. */
void agent__say(struct agent *agent, const char *format, ...) __attribute__((format(printf, 2, 3)));
void agent__report(struct agent *agent, uint64_t sip, Sf__Control__SipState state);
/* Does one command. False: it is none; the connection must end. */
bool agent__command(struct agent *agent, const Sf__Control__Envelope *envelope);
/* --- agent_links.c --- */
struct agent_link_row {
    Sf__Control__LinkInfo info;
    uint8_t mac[6];
};
/* Opens those of the options. On anything but OK, text says which and why. */
sf_status agent__links_open(struct agent *agent, char *text, size_t text_capacity);
/* Blocks are read over one of them: the kernel must leave the heap's pages where they are. */
bool agent__links_read(const struct agent *agent);
void agent__links_say(struct agent *agent);
/* For NodeHello: the node's own, number = index + 1. */
void agent__hello_links(struct agent *agent, struct agent_link_row rows[LINKS_MAX],
                        Sf__Control__LinkInfo *pointers[LINKS_MAX]);
void agent__link_fill(const struct pump_link_info *info, struct agent_link_row *out_row);
/* Says a change of the carrier since the heart-beat before; after carrier_begin. */
void agent__link_look(struct agent *agent, const struct pump_link_info *info);
/* Tells the controller what peers have to be told of our ends of links, where it has changed. */
void agent__endpoints_look(struct agent *agent);
/* Looks again and again from now on, if a link of the node's own has endpoints. All is new. */
void agent__endpoints_begin(struct agent *agent);
/* --- agent_moves.c --- */
/* With the kernel, before links are the kernel's; and before it stops or goes. */
sf_status agent__mover_begin(struct agent *agent, char *text, size_t text_capacity);
void agent__mover_end(struct agent *agent);
sf_status agent__sip_move(struct agent *agent, const Sf__Control__Envelope *envelope, char *text);
sf_status agent__mover_message(struct agent *agent, const Sf__Control__Envelope *envelope,
                               char *text);
void agent__move_ask(struct agent *agent, uint64_t request, uint64_t sip);

/* --- agent_channels.c --- */
void agent__channels_get(struct agent *agent, uint64_t request, bool audit);
void agent__answer(struct agent *agent, const Sf__Control__Envelope *envelope);

/* --- agent_trace.c --- */
/* Answers the request itself on OK; else text says why not. */
sf_status agent__trace_start(struct agent *agent, uint64_t request,
                             const Sf__Control__TraceStart *start, char *text);
void agent__trace_stop(struct agent *agent, uint64_t number);
/* All of them: the connection or the kernel ends. */
void agent__traces_end(struct agent *agent);
/* Name of a node, SIP, ...: [a-z][a-z0-9-]{0,30}. */
bool agent__name_ok(const char *name);

#endif
