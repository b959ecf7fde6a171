/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - one connection of a node. */
#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "daemon.h"
#include "trust.h"

#define STALL_MS 1000u /* between two ticks that are DAEMON_TICK_MS apart */

struct pending {
    struct pending *next;
    uint64_t request;
    uint64_t deadline_ms;
    session_done done;
    void *arg;
};

struct session {
    struct session *next;
    struct daemon *daemon;
    struct control_stream *stream;
    struct world_node *node; /* NULL before NodeHello */
    char peer[64];
    uint64_t since_ms;
    uint64_t heard_ms;
    uint32_t heartbeat_ms;
    uint64_t last_request;
    struct pending *pending;
    bool closing; /* being taken down: no new request */
    bool told;    /* the last message still has to go out */
};

void session_note(struct world_node *node, const char *format, ...)
{
    char text[600];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    world_log_add(&node->log, daemon_wall(), text);
    daemon_log("%s: %s", node->name, text);
}

/* --- requests -----------------------------------------------------------------------------------
 */

sf_status session_request(struct daemon *daemon, struct world_node *node,
                          Sf__Control__Envelope *body, uint32_t timeout_ms, session_done done,
                          void *arg)
{
    struct session *session = node->session;
    struct pending *pending;
    sf_status status;

    if (session == NULL || session->closing) {
        return SF_CLOSED;
    }
    pending = calloc(1, sizeof(*pending));
    if (pending == NULL) {
        return SF_NOMEM;
    }
    pending->request = ++session->last_request;
    pending->deadline_ms = daemon_now(daemon) + timeout_ms;
    pending->done = done;
    pending->arg = arg;
    body->request = pending->request;
    status = control_stream_send(session->stream, body);
    if (status != SF_OK) {
        free(pending);
        return status;
    }
    pending->next = session->pending;
    session->pending = pending;
    return SF_OK;
}

void session_tell(struct daemon *daemon, struct world_node *node, Sf__Control__Envelope *body)
{
    struct session *session = node->session;
    sf_status status;

    (void)daemon;
    if (session == NULL || session->closing) {
        return;
    }
    body->request = 0;
    status = control_stream_send(session->stream, body);
    if (status != SF_OK) {
        session_note(node, "a message to the node was not sent: %s", sf_status_text(status));
    }
}

static struct pending *take_pending(struct session *session, uint64_t request)
{
    struct pending **link;

    for (link = &session->pending; *link != NULL; link = &(*link)->next) {
        if ((*link)->request == request) {
            struct pending *found = *link;
            *link = found->next;
            return found;
        }
    }
    return NULL;
}

static void finish_request(struct session *session, const Sf__Control__Envelope *reply)
{
    struct pending *pending = take_pending(session, reply->request);

    if (pending == NULL) {
        return; /* it timed out before */
    }
    if (reply->body_case == SF__CONTROL__ENVELOPE__BODY_RESULT) {
        pending->done(pending->arg, (sf_status)reply->result->status, reply->result->text, reply);
    } else {
        pending->done(pending->arg, SF_OK, "", reply);
    }
    free(pending);
}

/* One request at a time, because a callback may make new ones. */
static void expire_requests(struct session *session, uint64_t now_ms)
{
    bool found = true;

    while (found) {
        struct pending *pending;
        found = false;
        for (pending = session->pending; pending != NULL; pending = pending->next) {
            if (pending->deadline_ms <= now_ms) {
                found = true;
                break;
            }
        }
        if (found) {
            take_pending(session, pending->request);
            pending->done(pending->arg, SF_TIMEOUT, "the node did not answer in time", NULL);
            free(pending);
        }
    }
}

/* --- the end of a session, of a node ------------------------------------------------------------
 */

static void session_end(struct session *session)
{
    struct daemon *daemon = session->daemon;
    struct session **link;

    session->closing = true;
    for (link = &daemon->sessions; *link != session; link = &(*link)->next) {
        assert(*link != NULL);
    }
    *link = session->next;
    if (session->node != NULL && session->node->session == session) {
        session->node->session = NULL;
    }
    while (session->pending != NULL) {
        struct pending *pending = session->pending;
        session->pending = pending->next;
        pending->done(pending->arg, SF_CLOSED, "the node's connection ended", NULL);
        free(pending);
    }
    if (session->node != NULL) {
        trace_node_gone(daemon, session->node);
    }
    if (session->told) {
        control_stream_finish(session->stream);
    } else {
        control_stream_close(session->stream);
    }
    free(session);
}

/* Its SIPs are lost with it; the others are told. The session must have ended. */
static void node_lose(struct daemon *daemon, struct world_node *node, const char *why)
{
    struct sf_cause cause = SF_CAUSE_OF(NODE_LOST);
    char text[160];
    uint32_t index;

    assert(node->session == NULL);
    node->stage = WORLD_LOST;
    node->stage_since_ms = daemon_now(daemon);
    node->image_count = 0;
    node->peer_alive_count = 0;
    memset(node->hears, 0, sizeof(node->hears));
    snprintf(node->lost_why, sizeof(node->lost_why), "%s", why);
    session_note(node, "lost: %s", why);
    snprintf(text, sizeof(text), "node lost: %s, %s", node->name, why);
    for (index = 0; index < daemon->world.sip_count; index++) {
        struct world_sip *sip = daemon->world.sips[index];
        if (sip->node == node && world_sip_live(sip) && !moves_keep(daemon, sip)) {
            world_sip_end(sip, SF__CONTROL__SIP_STATE__LOST, 0, cause, text);
            world_log_add(&sip->log, daemon_wall(), text);
            restart_sip_ended(daemon, sip);
        }
    }
    moves_node_lost(daemon, node);
    pairs_node_lost(daemon, node);
}

static void on_ended(void *arg, struct control_stream *stream, sf_status status, const char *text)
{
    struct session *session = arg;
    struct world_node *node = session->node;

    (void)stream;
    if (node == NULL) {
        daemon_log("a connection from %s ended before it joined: %s", session->peer,
                   status == SF_CLOSED ? "closed" : text);
    } else {
        /* It may come back within the grace of its heart-beats (session_tick). */
        session_note(node, "control connection ended: %s",
                     status == SF_CLOSED ? "closed by the node" : text);
        snprintf(node->lost_why, sizeof(node->lost_why), "control connection %s",
                 status == SF_CLOSED ? "closed by the node" : "failed");
        node->heard_ms = session->heard_ms;
    }
    session_end(session);
}

/* --- joining ------------------------------------------------------------------------------------
 */

static void refuse(struct session *session, uint64_t request, sf_status status, const char *text)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Result result = SF__CONTROL__RESULT__INIT;
    sf_status sent;

    result.status = status;
    result.text = (char *)text;
    envelope.request = request;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_RESULT;
    envelope.result = &result;
    sent = control_stream_send(session->stream, &envelope);
    session->told = sent == SF_OK;
    daemon_log("node at %s refused: %s%s", session->peer, text,
               sent == SF_OK ? "" : " (it could not be told)");
    session_end(session);
}

static void copy_link(struct world_link *to, const Sf__Control__LinkInfo *from)
{
    memset(to, 0, sizeof(*to));
    snprintf(to->driver, sizeof(to->driver), "%s", from->driver);
    snprintf(to->device, sizeof(to->device), "%s", from->device);
    if (from->mac.len == sizeof(to->mac)) {
        memcpy(to->mac, from->mac.data, sizeof(to->mac));
    }
    to->ipv4 = from->ipv4;
    to->mtu_bytes = from->mtu_bytes;
    to->peer_node = (uint16_t)from->peer_node;
    to->up = from->up;
    to->queues = (uint16_t)from->queues;
    snprintf(to->about, sizeof(to->about), "%s", from->about);
}

static uint32_t copy_links(struct world_link to[WORLD_NODE_LINKS_MAX],
                           Sf__Control__LinkInfo *const *links, size_t count)
{
    uint32_t index;

    for (index = 0; index < count && index < WORLD_NODE_LINKS_MAX; index++) {
        copy_link(&to[index], links[index]);
    }
    return index;
}

static sf_status welcome(struct session *session, uint64_t request)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__NodeWelcome body = SF__CONTROL__NODE_WELCOME__INIT;
    const struct world_node *node = session->node;
    struct trust_list trusted;

    trust_list_fill(&trusted, &session->daemon->trust);
    body.trusted_keys = trusted.pointers;
    body.n_trusted_keys = trusted.count;
    body.allow_unsigned = session->daemon->trust.allow_unsigned;
    body.node_id = node->id;
    body.epoch = node->epoch;
    body.name = (char *)node->name;
    body.slot_first = world_slot_first(node->id);
    body.slot_count = world_slot_count(node->id);
    body.heartbeat_ms = session->heartbeat_ms;
    body.allow_native = session->daemon->world.allow_native;
    envelope.request = request;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_NODE_WELCOME;
    envelope.node_welcome = &body;
    return control_stream_send(session->stream, &envelope);
}

/* What a node says of itself is kept as it is, cut to length. */
static void describe(struct session *session, const Sf__Control__NodeHello *hello)
{
    struct world_node *node = session->node;

    snprintf(node->uuid, sizeof(node->uuid), "%s", hello->uuid);
    snprintf(node->address, sizeof(node->address), "%s",
             hello->address[0] != '\0' ? hello->address : session->peer);
    snprintf(node->version, sizeof(node->version), "%s", hello->version);
    snprintf(node->mode, sizeof(node->mode), "%s",
             strcmp(hello->mode, "booted") == 0 ? "booted" : "hosted");
    snprintf(node->machine, sizeof(node->machine), "%s", hello->machine);
    node->cpu_count = hello->cpu_count;
    node->memory_bytes = hello->memory_bytes;
    node->heartbeat_ms = session->heartbeat_ms;
    node->has_key = hello->key.len == sizeof(node->key);
    if (node->has_key) {
        memcpy(node->key, hello->key.data, sizeof(node->key));
    }
}

struct world_node *session_node_add(struct daemon *daemon, const char *name)
{
    struct world_node *node;
    uint16_t id;

    if (state_node_id(&daemon->state, name, &id) != SF_OK) {
        return NULL;
    }
    node = world_node_add(&daemon->world, name, id);
    if (node != NULL) {
        node->cordoned = state_cordoned(&daemon->state, id);
    }
    return node;
}

/* The record for that name; NULL after the node was refused. */
static struct world_node *find_or_add(struct session *session, uint64_t request, const char *name)
{
    struct daemon *daemon = session->daemon;
    struct world_node *node = world_node_find(&daemon->world, name);

    if (node == NULL) {
        node = session_node_add(daemon, name);
    }
    if (node == NULL) {
        refuse(session, request, SF_LIMIT, "no node id is left, or the state cannot be written");
    }
    return node;
}

/* Checks what does not depend on other nodes. False: refused. */
static bool hello_ok(struct session *session, uint64_t request, const Sf__Control__NodeHello *hello)
{
    const char *token = session->daemon->token;
    size_t bytes = strlen(token);

    if (hello->protocol != DAEMON_PROTOCOL) {
        refuse(session, request, SF_UNSUPPORTED, "fabricd speaks control protocol 1 only");
        return false;
    }
    if (strlen(hello->token) != bytes || sodium_memcmp(hello->token, token, bytes) != 0) {
        refuse(session, request, SF_TRUST, "the join token is not that of this cluster");
        return false;
    }
    if (!orch_name_ok(hello->name)) {
        refuse(session, request, SF_BADARG, "the node's name is not usable: " ORCH_NAME_RULE);
        return false;
    }
    if (hello->key.len != 0 && hello->key.len != WORLD_KEY_BYTES) {
        refuse(session, request, SF_BADARG, "the node's key is not one of 32 bytes");
        return false;
    }
    return true;
}

/* True if this hello is of the very kernel that fabricd still counts as joined. */
static bool still_runs(const struct world_node *node, const Sf__Control__NodeHello *hello)
{
    return node->stage == WORLD_JOINED && hello->epoch == node->epoch &&
           hello->node_id == node->id && strcmp(hello->uuid, node->uuid) == 0;
}

/* Makes room for a node that comes (back) while fabricd still counts it as joined. */
static bool replace_old(struct session *session, uint64_t request, struct world_node *node,
                        const Sf__Control__NodeHello *hello)
{
    struct session *old = node->session;

    if (old != NULL && (hello->uuid[0] == '\0' || strcmp(hello->uuid, node->uuid) != 0)) {
        refuse(session, request, SF_EXISTS, "a node of that name has joined already");
        return false;
    }
    if (old != NULL) {
        session_end(old);
    }
    if (node->stage == WORLD_JOINED && !still_runs(node, hello)) {
        node_lose(session->daemon, node, "it started again");
    }
    return true;
}

static void on_hello(struct session *session, uint64_t request, const Sf__Control__NodeHello *hello)
{
    struct daemon *daemon = session->daemon;
    struct world_node *node;
    bool kept;

    if (!hello_ok(session, request, hello)) {
        return;
    }
    node = find_or_add(session, request, hello->name);
    if (node == NULL || !replace_old(session, request, node, hello)) {
        return;
    }
    kept = still_runs(node, hello);
    if (!kept && state_epoch_next(&daemon->state, node->id, &node->epoch) != SF_OK) {
        refuse(session, request, SF_LIMIT, "no epoch is left, or the state cannot be written");
        return;
    }
    session->heartbeat_ms = daemon->heartbeat_ms != 0            ? daemon->heartbeat_ms
                            : strcmp(hello->mode, "booted") == 0 ? SESSION_HEARTBEAT_BOOTED_MS
                                                                 : SESSION_HEARTBEAT_HOSTED_MS;
    session->node = node;
    node->session = session;
    describe(session, hello);
    control_stream_set_limit(session->stream, CONTROL_FRAME_BYTES_MAX);
    if (welcome(session, request) != SF_OK) {
        return; /* the stream tells of its end itself */
    }
    if (kept) {
        session_note(node, "control connection is back, epoch %u", node->epoch);
        moves_node_back(daemon, node);
        return;
    }
    node->own_link_count = copy_links(node->own_links, hello->links, hello->n_links);
    node->link_count = copy_links(node->links, hello->links, hello->n_links);
    node->link_next = node->own_link_count + 1;
    node->image_count = 0;
    node->stage = WORLD_JOINED;
    node->stage_since_ms = daemon_now(daemon);
    node->joined_ms = node->stage_since_ms;
    node->lost_why[0] = '\0';
    session_note(node, "joined as node %u, epoch %u, %s, from %s", node->id, node->epoch,
                 node->mode, session->peer);
    pairs_node_joined(daemon, node);
}

/* --- what nodes tell ----------------------------------------------------------------------------
 */

static void on_heartbeat(struct session *session, const Sf__Control__NodeHeartbeat *beat)
{
    struct world_node *node = session->node;
    uint32_t count =
        beat->n_peers_alive < WORLD_NODES_MAX ? (uint32_t)beat->n_peers_alive : WORLD_NODES_MAX;
    uint16_t *peers = realloc(node->peers_alive, (count + 1) * sizeof(*peers));
    uint32_t index;

    memset(node->hears, 0, sizeof(node->hears));
    for (index = 0; index < count; index++) {
        uint32_t id = beat->peers_alive[index];
        if (id <= WORLD_NODES_MAX) {
            node->hears[id / 64] |= 1ull << (id % 64);
        }
    }
    if (peers != NULL) {
        node->peers_alive = peers;
        node->peer_alive_count = count;
        for (index = 0; index < count; index++) {
            peers[index] = (uint16_t)beat->peers_alive[index];
        }
    }
    node->link_count = copy_links(node->links, beat->links, beat->n_links);
}

static void read_cause(const Sf__Control__Cause *from, struct sf_cause *out_cause, char *text,
                       size_t capacity)
{
    *out_cause = SF_CAUSE_OF(NONE);
    text[0] = '\0';
    if (from != NULL) {
        out_cause->kind = (uint8_t)from->kind;
        out_cause->fault = (uint8_t)from->fault;
        out_cause->state = (uint8_t)from->state;
        out_cause->tag = (uint8_t)from->tag;
        snprintf(text, capacity, "%s", from->text);
    }
}

static void on_report(struct session *session, const Sf__Control__SipReport *report)
{
    struct world_sip *sip = world_sip_by_number(&session->daemon->world, report->sip);
    struct sf_cause cause;
    char text[160];
    char line[220];

    if (sip == NULL || sip->node != session->node || !world_sip_live(sip)) {
        return;
    }
    switch (report->state) {
    case SF__CONTROL__SIP_STATE__CREATED:
    case SF__CONTROL__SIP_STATE__RUNNING:
        return; /* apply knows from its answers */
    case SF__CONTROL__SIP_STATE__EXITED:
    case SF__CONTROL__SIP_STATE__FAULTED:
    case SF__CONTROL__SIP_STATE__KILLED:
        break;
    default:
        session_note(session->node, "SIP %" PRIu64 " reported a state that does not exist",
                     report->sip);
        return;
    }
    read_cause(report->cause, &cause, text, sizeof(text));
    world_sip_end(sip, report->state, report->exit_code, cause, text);
    if (report->fault_report[0] != '\0') {
        world_log_add(&sip->log, daemon_wall(), report->fault_report);
    }
    if (report->state == SF__CONTROL__SIP_STATE__EXITED) {
        snprintf(line, sizeof(line), "ended: exit code %d", report->exit_code);
    } else {
        snprintf(line, sizeof(line), "ended: %s", text[0] != '\0' ? text : "killed");
    }
    world_log_add(&sip->log, daemon_wall(), line);
    if (report->state != SF__CONTROL__SIP_STATE__KILLED) {
        restart_sip_ended(session->daemon, sip);
    }
    daemon_log("SIP %s (%" PRIu64 ") on %s %s", sip->name, sip->number, session->node->name, line);
}

static void on_log_line(struct session *session, const Sf__Control__LogLine *line)
{
    uint64_t time_ms = line->time_ms != 0 ? line->time_ms : daemon_wall();
    struct world_sip *sip;

    if (line->sip == 0) {
        world_log_add(&session->node->log, time_ms, line->text);
        return;
    }
    sip = world_sip_by_number(&session->daemon->world, line->sip);
    if (sip != NULL && sip->node == session->node) {
        world_log_add(&sip->log, time_ms, line->text);
    }
}

static void on_message(void *arg, struct control_stream *stream,
                       const Sf__Control__Envelope *envelope)
{
    struct session *session = arg;

    (void)stream;
    session->heard_ms = daemon_now(session->daemon);
    if (session->node == NULL) {
        if (envelope->body_case == SF__CONTROL__ENVELOPE__BODY_NODE_HELLO) {
            on_hello(session, envelope->request, envelope->node_hello);
        } else {
            refuse(session, envelope->request, SF_BADARG, "a node says NodeHello first");
        }
        return;
    }
    switch (envelope->body_case) {
    case SF__CONTROL__ENVELOPE__BODY_NODE_HEARTBEAT:
        on_heartbeat(session, envelope->node_heartbeat);
        break;
    case SF__CONTROL__ENVELOPE__BODY_SIP_REPORT:
        on_report(session, envelope->sip_report);
        break;
    case SF__CONTROL__ENVELOPE__BODY_LOG_LINE:
        on_log_line(session, envelope->log_line);
        break;
    case SF__CONTROL__ENVELOPE__BODY_PEER_ENDPOINT:
        pairs_endpoint(session->daemon, session->node, envelope->peer_endpoint);
        break;
    case SF__CONTROL__ENVELOPE__BODY_TRACE_EVENTS:
        trace_events(session->daemon, session->node, envelope->trace_events);
        break;
    case SF__CONTROL__ENVELOPE__BODY_MOVE_REPORT:
        moves_report(session->daemon, session->node, envelope->move_report);
        break;
    case SF__CONTROL__ENVELOPE__BODY_MOVE_ARRIVED:
        moves_arrived(session->daemon, session->node, envelope->move_arrived);
        break;
    case SF__CONTROL__ENVELOPE__BODY_MOVER_MESSAGE:
        moves_relay(session->daemon, session->node, envelope->mover_message);
        break;
    case SF__CONTROL__ENVELOPE__BODY_RESULT:
    case SF__CONTROL__ENVELOPE__BODY_CHANNEL_LIST:
    case SF__CONTROL__ENVELOPE__BODY_MOVE_TOLD:
    case SF__CONTROL__ENVELOPE__BODY_TRACE_STARTED:
        finish_request(session, envelope);
        break;
    default:
        session_note(session->node, "sent a message of kind %d, which nodes do not send",
                     (int)envelope->body_case);
        break;
    }
}

/* --- accepting, time ----------------------------------------------------------------------------
 */

static void name_peer(struct session *session)
{
    struct sockaddr_in address;
    int length = sizeof(address);
    char text[32] = "?";

    if (uv_tcp_getpeername((const uv_tcp_t *)control_stream_handle(session->stream),
                           (struct sockaddr *)&address, &length) == 0 &&
        address.sin_family == AF_INET) {
        uv_ip4_name(&address, text, sizeof(text));
    }
    snprintf(session->peer, sizeof(session->peer), "%s", text);
}

void session_accept(struct daemon *daemon, uv_stream_t *listener)
{
    static const struct control_stream_events events = {NULL, on_message, on_ended};
    struct session *session = calloc(1, sizeof(*session));
    const struct session *other;
    uint32_t unjoined = 0;

    for (other = daemon->sessions; other != NULL; other = other->next) {
        unjoined += other->node == NULL;
    }
    if (session == NULL || control_stream_create(&daemon->loop, CONTROL_STREAM_TCP, &events,
                                                 session, &session->stream) != SF_OK) {
        free(session);
        daemon_log("no memory for a new connection");
        return;
    }
    if (uv_accept(listener, control_stream_handle(session->stream)) != 0 ||
        unjoined >= SESSION_UNJOINED_MAX || daemon->stop_at_ms != 0) {
        control_stream_close(session->stream);
        free(session);
        return;
    }
    control_stream_set_limit(session->stream, CONTROL_HELLO_BYTES_MAX);
    session->daemon = daemon;
    session->since_ms = daemon_now(daemon);
    session->heard_ms = session->since_ms;
    name_peer(session);
    if (control_stream_start(session->stream) != SF_OK) {
        control_stream_close(session->stream);
        free(session);
        return;
    }
    session->next = daemon->sessions;
    daemon->sessions = session;
}

/* Ends what has been silent for too long. False if nothing was ended. */
static bool end_one_silent(struct daemon *daemon, uint64_t now_ms)
{
    struct session *session;

    for (session = daemon->sessions; session != NULL; session = session->next) {
        if (session->node == NULL) {
            if (now_ms - session->since_ms > SESSION_HELLO_MS) {
                daemon_log("connection from %s said no NodeHello within %u s", session->peer,
                           SESSION_HELLO_MS / 1000);
                session_end(session);
                return true;
            }
        } else if (now_ms - session->heard_ms >
                   (uint64_t)SESSION_HEARTBEATS_MISSED_MAX * session->heartbeat_ms) {
            struct world_node *node = session->node;
            char why[80];
            snprintf(why, sizeof(why), "%u heart-beats missing", SESSION_HEARTBEATS_MISSED_MAX);
            session_end(session);
            node_lose(daemon, node, why);
            return true;
        }
    }
    return false;
}

static uint64_t later(uint64_t at_ms, uint64_t by_ms, uint64_t now_ms)
{
    return now_ms - at_ms > by_ms ? at_ms + by_ms : now_ms;
}

/* If we did not run for a while (stopped, or the machine was), what nodes said meanwhile is yet to
 * be read, and they may have stood still, too: that while is not their silence. */
static void stall_forgive(struct daemon *daemon, uint64_t now_ms)
{
    uint64_t stall_ms = now_ms - daemon->ticked_ms;
    struct session *session;
    uint32_t index;

    daemon->ticked_ms = now_ms;
    if (stall_ms < STALL_MS) {
        return;
    }
    daemon_log("this fabricd did not run for %" PRIu64 " ms, which nobody is blamed for", stall_ms);
    for (session = daemon->sessions; session != NULL; session = session->next) {
        struct pending *pending;

        session->heard_ms = later(session->heard_ms, stall_ms, now_ms);
        session->since_ms = later(session->since_ms, stall_ms, now_ms);
        for (pending = session->pending; pending != NULL; pending = pending->next) {
            pending->deadline_ms += stall_ms;
        }
    }
    for (index = 0; index < daemon->world.node_count; index++) {
        struct world_node *node = daemon->world.nodes[index];

        node->heard_ms = later(node->heard_ms, stall_ms, now_ms);
    }
}

void session_tick(struct daemon *daemon)
{
    uint64_t now_ms = daemon_now(daemon);
    struct session *session = daemon->sessions;
    uint32_t index;

    stall_forgive(daemon, now_ms);
    while (session != NULL) {
        struct session *next = session->next; /* expiring does not end sessions */
        expire_requests(session, now_ms);
        session = next;
    }
    while (end_one_silent(daemon, now_ms)) {
    }
    for (index = 0; index < daemon->world.node_count; index++) {
        struct world_node *node = daemon->world.nodes[index];
        if (node->stage == WORLD_JOINED && node->session == NULL &&
            now_ms - node->heard_ms >
                (uint64_t)SESSION_HEARTBEATS_MISSED_MAX * node->heartbeat_ms) {
            char why[100];
            snprintf(why, sizeof(why), "%s", node->lost_why);
            node_lose(daemon, node, why);
        }
    }
}

void session_close_all(struct daemon *daemon)
{
    while (daemon->sessions != NULL) {
        session_end(daemon->sessions);
    }
}
