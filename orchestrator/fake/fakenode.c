/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fakenode.c - the node side of the control protocol without a kernel, for tests of fabricd.
 *
 * usage: fakenode CONTROLLER TOKEN NAME UUID booted|hosted [KEY-BYTES [MACHINE [LINK...]]]
 *
 * LINK: DRIVER:IPV4:MTU, what it says to have brought. Without any, a booted one has brought
 * virtio. Its key is the letter k followed by its name, filled up to KEY-BYTES (32) with '-'.
 * Joins, beats, answers every command with OK, and prints one line for each to stdout. What it
 * is told on stdin changes that:
 *   refuse KIND WHAT   from now on answers IO, "told to refuse", to e.g. `create web2`
 *   distrust KIND WHAT answers TRUST
 *   silent KIND WHAT   does not answer
 *   drop KIND WHAT     ends the connection instead
 *   accept             forgets all of these
 *   fault NAME / exit NAME CODE / log NAME TEXT / say TEXT
 *   away / back / again   drops the connection; comes back as it was; comes back as after a start
 *   hang / beat        stops and goes on with heart-beats
 *   deaf / hear        says that it hears no peer; those again that it was told of
 *   report TICKET STEP [TEXT]  that step (MoveStep's number) of that move; 0: of the last
 *   arrive TICKET NUMBER NAME  says that this SIP, moved, runs here; so it does from then on
 *   mover HEX                  sends that message of the move protocol
 *   claim HEX [PEER-HEX]       says that it has that endpoint; without a peer its channel is closed
 *   churn                      each time it is asked, claims have other numbers
 *   audit TEXT                 says that this is wrong with it
 *   mute / talk                does not answer MoveAsk; does again: whether that SIP is here
 *   quit
 */
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "control/stream.h"

#define RULES_MAX 16
#define SIPS_MAX 512
#define WIRES_MAX 64
#define LINKS_MAX 20

static uv_loop_t *loop;
static uv_timer_t beat;
static uv_pipe_t input;
static struct control_stream *stream;
static struct sockaddr_in controller;
static const char *token, *name, *uuid, *mode;
static const char *machine = "";
static uint32_t key_bytes = 32;
static uint32_t node_id, epoch;
static bool beating = true;
static bool deaf;
static bool mute;
static struct {
    uint64_t id, peer;
} claims[8];
static int claim_count;
static bool churn;
static char audit[80];
static uint64_t ticket;  /* of the last move */
static bool peers[1024]; /* it was told of */

static struct {
    char verb[16], kind[32], what[80];
} rules[RULES_MAX];
static int rule_count;

static struct {
    uint64_t number;
    char name[64];
} sips[SIPS_MAX];
static int sip_count;

static struct {
    uint64_t sip;
    char import[64];
    char export_name[80];
    uint32_t node;
} wires[WIRES_MAX];
static int wire_count;

static struct {
    char driver[16];
    uint32_t ipv4, mtu_bytes;
    uint8_t mac[6];
} brought[LINKS_MAX];
static uint32_t brought_count;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

static void send_body(Sf__Control__Envelope *envelope)
{
    if (stream != NULL && control_stream_send(stream, envelope) != SF_OK) {
        say("not sent");
    }
}

static const char *sip_name(uint64_t number)
{
    int index;

    for (index = 0; index < sip_count; index++) {
        if (sips[index].number == number) {
            return sips[index].name;
        }
    }
    return "?";
}

static uint64_t sip_number(const char *wanted)
{
    int index;

    for (index = sip_count - 1; index >= 0; index--) {
        if (strcmp(sips[index].name, wanted) == 0) {
            return sips[index].number;
        }
    }
    return 0;
}

/* --- commands of fabricd ------------------------------------------------------------------------
 */

static void result(uint64_t request, uint32_t status, const char *text)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Result body = SF__CONTROL__RESULT__INIT;

    if (request == 0) {
        return;
    }
    body.status = status;
    body.text = (char *)text;
    envelope.request = request;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_RESULT;
    envelope.result = &body;
    send_body(&envelope);
}

static void hang_up(void)
{
    control_stream_close(stream);
    stream = NULL;
}

/* Says what was asked, and answers as the rules are. */
static bool handle(uint64_t request, const char *kind, const char *what)
{
    int index;

    say("%s %s", kind, what);
    for (index = 0; index < rule_count; index++) {
        if (strcmp(rules[index].kind, kind) != 0 || strcmp(rules[index].what, what) != 0) {
            continue;
        }
        if (strcmp(rules[index].verb, "refuse") == 0) {
            result(request, SF_IO, "told to refuse");
        } else if (strcmp(rules[index].verb, "distrust") == 0) {
            result(request, SF_TRUST, "told not to trust it");
        } else if (strcmp(rules[index].verb, "drop") == 0) {
            hang_up();
        }
        return false;
    }
    result(request, SF_OK, "");
    return true;
}

static void channels(uint64_t request)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__ChannelList list = SF__CONTROL__CHANNEL_LIST__INIT;
    Sf__Control__ChannelInfo infos[WIRES_MAX + 8];
    Sf__Control__ChannelInfo *pointers[WIRES_MAX + 8];
    Sf__Control__Cause closed = SF__CONTROL__CAUSE__INIT;
    Sf__Control__NodeStats stats = SF__CONTROL__NODE_STATS__INIT;
    int index;

    for (index = 0; index < wire_count; index++) {
        sf__control__channel_info__init(&infos[index]);
        infos[index].id = ((uint64_t)node_id << 54) + (uint64_t)index + 1;
        infos[index].node = node_id;
        infos[index].peer_node = wires[index].node;
        infos[index].side = (char *)"imp";
        infos[index].contract = (char *)"FakeContract";
        infos[index].state = (char *)"Start";
        infos[index].sent = 7;
        infos[index].sip = wires[index].sip;
        infos[index].port = wires[index].import;
        infos[index].driver = (char *)(wires[index].node == node_id ? "local" : "memif");
        pointers[index] = &infos[index];
    }
    closed.kind = SF_CAUSE_SHUTDOWN;
    for (int claim = 0; claim < claim_count; claim++, index++) {
        sf__control__channel_info__init(&infos[index]);
        infos[index].id = claims[claim].id;
        infos[index].peer_id = claims[claim].peer;
        infos[index].node = node_id;
        infos[index].peer_node = node_id;
        infos[index].cause = claims[claim].peer == 0 ? &closed : NULL;
        pointers[index] = &infos[index];
        claims[claim].id += churn ? 0x100 : 0;
    }
    stats.node = node_id;
    list.stats = &stats;
    list.audit = audit;
    list.channels = pointers;
    list.n_channels = (size_t)index;
    envelope.request = request;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_CHANNEL_LIST;
    envelope.channel_list = &list;
    send_body(&envelope);
}

static void create(uint64_t request, const Sf__Control__SipCreate *body)
{
    if (body->cpu_percent != 0) {
        say("quota %s %u", body->name, body->cpu_percent);
    }
    if (handle(request, "create", body->name) && sip_count < SIPS_MAX) {
        sips[sip_count].number = body->sip;
        snprintf(sips[sip_count].name, sizeof(sips[0].name), "%s", body->name);
        sip_count += 1;
    }
}

static void wire(uint64_t request, const Sf__Control__SipWire *body)
{
    char what[160];

    snprintf(what, sizeof(what), "%s.%s", sip_name(body->sip), body->import);
    if (handle(request, "wire", what) && wire_count < WIRES_MAX) {
        wires[wire_count].sip = body->sip;
        wires[wire_count].node = body->exporter_node;
        snprintf(wires[wire_count].import, sizeof(wires[0].import), "%s", body->import);
        snprintf(wires[wire_count].export_name, sizeof(wires[0].export_name), "%s",
                 body->export_name);
        wire_count += 1;
    }
}

static void move_told(uint64_t request, const Sf__Control__MoveAsk *asked)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__MoveTold body = SF__CONTROL__MOVE_TOLD__INIT;

    say("asked %" PRIu64, asked->sip);
    if (mute) {
        return;
    }
    body.here = strcmp(sip_name(asked->sip), "?") != 0;
    envelope.request = request;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_MOVE_TOLD;
    envelope.move_told = &body;
    send_body(&envelope);
}

static void mover_say(const ProtobufCBinaryData *content)
{
    char hex[401] = "";

    for (size_t i = 0; i < content->len && i < 200; i++) {
        snprintf(hex + 2 * i, 3, "%02x", content->data[i]);
    }
    say("mover %s", hex);
}

/* "END of NAME": what that peer has to be told. */
static void endpoint_say(uint32_t peer)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__PeerEndpoint body = SF__CONTROL__PEER_ENDPOINT__INIT;
    char text[64];

    snprintf(text, sizeof(text), "end of %s", name);
    body.node_id = peer;
    body.endpoint.data = (uint8_t *)text;
    body.endpoint.len = strlen(text);
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_PEER_ENDPOINT;
    envelope.peer_endpoint = &body;
    send_body(&envelope);
}

static void peer_add(uint64_t request, const Sf__Control__PeerAdd *body)
{
    say("session %s %s %.*s", body->name, body->encrypt ? "encrypted" : "clear", (int)body->key.len,
        (const char *)body->key.data);
    if (body->mac.len == 6) {
        say("over link %u to %u.%u.%u.%u at %02x:..:%02x", body->link, body->ipv4 >> 24,
            body->ipv4 >> 16 & 255, body->ipv4 >> 8 & 255, body->ipv4 & 255, body->mac.data[0],
            body->mac.data[5]);
    }
    if (body->spare_link != 0 && body->spare_mac.len == 6) {
        say("spare link %u to %u.%u.%u.%u at %02x:..:%02x", body->spare_link,
            body->spare_ipv4 >> 24, body->spare_ipv4 >> 16 & 255, body->spare_ipv4 >> 8 & 255,
            body->spare_ipv4 & 255, body->spare_mac.data[0], body->spare_mac.data[5]);
    }
    if (handle(request, "peer", body->name)) {
        peers[body->node_id % 1024] = true;
        if (brought_count > 0 && strcmp(brought[0].driver, "rdma") == 0) {
            endpoint_say(body->node_id);
        }
    }
}

static void on_message(void *arg, struct control_stream *from,
                       const Sf__Control__Envelope *envelope)
{
    char number[32];
    uint64_t request = envelope->request;

    (void)arg;
    (void)from;
    switch (envelope->body_case) {
    case SF__CONTROL__ENVELOPE__BODY_NODE_WELCOME:
        node_id = envelope->node_welcome->node_id;
        epoch = envelope->node_welcome->epoch;
        say("welcome %u %u", node_id, epoch);
        say("trust %zu keys, %s", envelope->node_welcome->n_trusted_keys,
            envelope->node_welcome->allow_unsigned ? "unsigned too" : "signed only");
        break;
    case SF__CONTROL__ENVELOPE__BODY_RESULT:
        say("refused %s", envelope->result->text);
        break;
    case SF__CONTROL__ENVELOPE__BODY_LINK_OPEN:
        handle(request, "link", envelope->link_open->server ? "server" : "client");
        break;
    case SF__CONTROL__ENVELOPE__BODY_PEER_ADD:
        peer_add(request, envelope->peer_add);
        break;
    case SF__CONTROL__ENVELOPE__BODY_PEER_ENDPOINT:
        say("told of node %u: %.*s", envelope->peer_endpoint->node_id,
            (int)envelope->peer_endpoint->endpoint.len,
            (const char *)envelope->peer_endpoint->endpoint.data);
        break;
    case SF__CONTROL__ENVELOPE__BODY_PEER_REMOVE:
        peers[envelope->peer_remove->node_id % 1024] = false;
        snprintf(number, sizeof(number), "%u", envelope->peer_remove->node_id);
        handle(request, "unpeer", number);
        break;
    case SF__CONTROL__ENVELOPE__BODY_IMAGE_PUT:
        handle(request, "image", "put");
        break;
    case SF__CONTROL__ENVELOPE__BODY_SIP_CREATE:
        create(request, envelope->sip_create);
        break;
    case SF__CONTROL__ENVELOPE__BODY_SIP_WIRE:
        wire(request, envelope->sip_wire);
        break;
    case SF__CONTROL__ENVELOPE__BODY_SIP_START:
        handle(request, "start", sip_name(envelope->sip_start->sip));
        break;
    case SF__CONTROL__ENVELOPE__BODY_SIP_STOP:
        handle(request, "stop", sip_name(envelope->sip_stop->sip));
        break;
    case SF__CONTROL__ENVELOPE__BODY_SIP_MOVE:
        ticket = envelope->sip_move->ticket;
        say("to node %u, budget %u us", envelope->sip_move->target_node,
            envelope->sip_move->budget_us);
        handle(request, "move", sip_name(envelope->sip_move->sip));
        break;
    case SF__CONTROL__ENVELOPE__BODY_MOVE_ASK:
        move_told(request, envelope->move_ask);
        break;
    case SF__CONTROL__ENVELOPE__BODY_MOVER_MESSAGE:
        mover_say(&envelope->mover_message->content);
        break;
    case SF__CONTROL__ENVELOPE__BODY_CHANNELS_GET:
        channels(request);
        break;
    case SF__CONTROL__ENVELOPE__BODY_NODE_SHUTDOWN:
        say("shutdown");
        exit(0);
    default:
        say("what? %d", (int)envelope->body_case);
        break;
    }
}

/* --- joining ------------------------------------------------------------------------------------
 */

static void on_connected(void *arg, struct control_stream *to)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__NodeHello hello = SF__CONTROL__NODE_HELLO__INIT;
    Sf__Control__LinkInfo links[LINKS_MAX], *pointers[LINKS_MAX];
    uint8_t key[64];

    (void)arg;
    (void)to;
    hello.protocol = 1;
    hello.token = (char *)token;
    hello.name = (char *)name;
    hello.uuid = (char *)uuid;
    hello.address = (char *)"192.0.2.1";
    hello.version = (char *)"fake";
    hello.cpu_count = 2;
    hello.memory_bytes = 1ull << 30;
    hello.mode = (char *)mode;
    hello.node_id = node_id;
    hello.epoch = epoch;
    memset(key, '-', sizeof(key));
    key[0] = 'k';
    memcpy(key + 1, name, strlen(name) < 31 ? strlen(name) : 31);
    hello.key = (ProtobufCBinaryData){key_bytes, key};
    hello.machine = (char *)machine;
    for (uint32_t i = 0; i < brought_count; i++) {
        sf__control__link_info__init(&links[i]);
        links[i].driver = brought[i].driver;
        links[i].device = (char *)"fake0";
        links[i].mac = (ProtobufCBinaryData){6, brought[i].mac};
        links[i].ipv4 = brought[i].ipv4;
        links[i].mtu_bytes = brought[i].mtu_bytes;
        links[i].up = true;
        pointers[i] = &links[i];
    }
    hello.links = pointers;
    hello.n_links = brought_count;
    envelope.request = 1;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_NODE_HELLO;
    envelope.node_hello = &hello;
    send_body(&envelope);
}

static void on_ended(void *arg, struct control_stream *from, sf_status status, const char *text)
{
    (void)arg;
    (void)from;
    say("ended %s", status == SF_CLOSED ? "closed" : text);
    hang_up();
}

static void join(void)
{
    static const struct control_stream_events events = {on_connected, on_message, on_ended};

    if (control_stream_create(loop, CONTROL_STREAM_TCP, &events, NULL, &stream) != SF_OK ||
        control_stream_connect_tcp(stream, (const struct sockaddr *)&controller) != SF_OK) {
        say("cannot connect");
        exit(1);
    }
}

static void on_beat(uv_timer_t *timer)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__NodeHeartbeat body = SF__CONTROL__NODE_HEARTBEAT__INIT;
    uint32_t alive[1024];

    (void)timer;
    body.peers_alive = alive;
    for (uint32_t id = 0; id < 1024; id++) {
        if (peers[id] && !deaf) {
            alive[body.n_peers_alive++] = id;
        }
    }
    if (beating && node_id != 0) {
        envelope.body_case = SF__CONTROL__ENVELOPE__BODY_NODE_HEARTBEAT;
        envelope.node_heartbeat = &body;
        send_body(&envelope);
    }
}

/* --- what the test says -------------------------------------------------------------------------
 */

static void report(const char *who, Sf__Control__SipState state, int code)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__SipReport body = SF__CONTROL__SIP_REPORT__INIT;
    Sf__Control__Cause cause = SF__CONTROL__CAUSE__INIT;
    struct sf_cause why = state == SF__CONTROL__SIP_STATE__FAULTED ? SF_CAUSE_OF(PEER_FAULTED)
                                                                   : SF_CAUSE_OF(PEER_EXITED);
    char text[100];

    why.fault = state == SF__CONTROL__SIP_STATE__FAULTED ? SF_FAULT_UNREACHABLE : 0;
    cause.kind = why.kind;
    cause.fault = why.fault;
    cause.text = (char *)sf_cause_format(why, text, sizeof(text));
    body.sip = sip_number(who);
    body.state = state;
    body.exit_code = code;
    body.cause = &cause;
    body.fault_report = (char *)(state == SF__CONTROL__SIP_STATE__FAULTED
                                     ? "fault: unreachable instruction\n  in web_crash"
                                     : "");
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_SIP_REPORT;
    envelope.sip_report = &body;
    send_body(&envelope);
}

static void log_line(uint64_t sip, const char *text)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__LogLine body = SF__CONTROL__LOG_LINE__INIT;

    body.sip = sip;
    body.time_ms = 1700000000000;
    body.text = (char *)text;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_LOG_LINE;
    envelope.log_line = &body;
    send_body(&envelope);
}

static void step_report(uint64_t which, unsigned step, const char *text)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__MoveReport body = SF__CONTROL__MOVE_REPORT__INIT;

    body.ticket = which != 0 ? which : ticket;
    body.step = (Sf__Control__MoveStep)step;
    body.text = (char *)text;
    body.again = strcmp(text, "clash") == 0;
    body.move = 77;
    body.blackout_ns = 212000;
    body.total_ns = 3400000;
    body.precopied_bytes = 2 << 20;
    body.frozen_bytes = 12 << 10;
    body.endpoints = 3;
    body.rounds = 2;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_MOVE_REPORT;
    envelope.move_report = &body;
    send_body(&envelope);
}

static void arrive(uint64_t which, uint64_t number, const char *who)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__MoveArrived body = SF__CONTROL__MOVE_ARRIVED__INIT;

    if (sip_count < SIPS_MAX) {
        sips[sip_count].number = number;
        snprintf(sips[sip_count].name, sizeof(sips[0].name), "%s", who);
        sip_count += 1;
    }
    body.ticket = which;
    body.sip = number;
    body.move = 77;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_MOVE_ARRIVED;
    envelope.move_arrived = &body;
    send_body(&envelope);
}

static void mover_send(const char *hex)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__MoverMessage body = SF__CONTROL__MOVER_MESSAGE__INIT;
    uint8_t bytes[200];
    unsigned value;

    body.content.data = bytes;
    while (body.content.len < sizeof(bytes) && sscanf(hex, "%2x", &value) == 1) {
        bytes[body.content.len++] = (uint8_t)value;
        hex += 2;
    }
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_MOVER_MESSAGE;
    envelope.mover_message = &body;
    send_body(&envelope);
}

/* False: it is no order about moves. */
static bool obey_move(const char *line)
{
    char who[80] = "";
    uint64_t number, which = 0;
    unsigned a;
    int end = 0;

    if (sscanf(line, "report %" SCNu64 " %u %n", &number, &a, &end) == 2) {
        step_report(number, a, line + end);
    } else if (sscanf(line, "arrive %" SCNu64 " %" SCNu64 " %79s", &which, &number, who) == 3) {
        arrive(which, number, who);
    } else if (strncmp(line, "mover ", 6) == 0) {
        mover_send(line + 6);
    } else if (sscanf(line, "claim %" SCNx64 " %" SCNx64, &number, &which) >= 1 &&
               claim_count < 8) {
        claims[claim_count].id = number;
        claims[claim_count++].peer = strchr(line + 6, ' ') != NULL ? which : 0;
    } else if (strcmp(line, "churn") == 0) {
        churn = true;
    } else if (strncmp(line, "audit ", 6) == 0) {
        snprintf(audit, sizeof(audit), "%.79s", line + 6);
    } else if (strcmp(line, "mute") == 0 || strcmp(line, "talk") == 0) {
        mute = line[0] == 'm';
    } else {
        return false;
    }
    return true;
}

static void obey(char *line)
{
    char a[80] = "";
    char b[80] = "";
    int end = 0;

    if ((sscanf(line, "refuse %31s %79s", a, b) == 2 ||
         sscanf(line, "distrust %31s %79s", a, b) == 2 ||
         sscanf(line, "silent %31s %79s", a, b) == 2 ||
         sscanf(line, "drop %31s %79s", a, b) == 2) &&
        rule_count < RULES_MAX) {
        snprintf(rules[rule_count].verb, sizeof(rules[0].verb), "%.*s", (int)strcspn(line, " "),
                 line);
        snprintf(rules[rule_count].kind, sizeof(rules[0].kind), "%.31s", a);
        snprintf(rules[rule_count].what, sizeof(rules[0].what), "%s", b);
        rule_count += 1;
    } else if (strcmp(line, "accept") == 0) {
        rule_count = 0;
    } else if (sscanf(line, "fault %79s", a) == 1) {
        report(a, SF__CONTROL__SIP_STATE__FAULTED, 0);
    } else if (sscanf(line, "exit %79s %79s", a, b) == 2) {
        report(a, SF__CONTROL__SIP_STATE__EXITED, atoi(b));
    } else if (sscanf(line, "log %79s %n", a, &end) == 1) {
        log_line(sip_number(a), line + end);
    } else if (strncmp(line, "say ", 4) == 0) {
        log_line(0, line + 4);
    } else if (strcmp(line, "away") == 0) {
        hang_up();
    } else if (strcmp(line, "back") == 0) {
        join();
    } else if (strcmp(line, "again") == 0) {
        node_id = 0;
        epoch = 0;
        sip_count = 0;
        wire_count = 0;
        memset(peers, 0, sizeof(peers));
        join();
    } else if (strcmp(line, "hang") == 0) {
        beating = false;
    } else if (strcmp(line, "beat") == 0) {
        beating = true;
    } else if (strcmp(line, "deaf") == 0 || strcmp(line, "hear") == 0) {
        deaf = line[0] == 'd';
    } else if (strcmp(line, "quit") == 0) {
        exit(0);
    } else if (!obey_move(line)) {
        say("unknown order '%s'", line);
    }
    say("did %s", line);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out_buffer)
{
    static char memory[4096];

    (void)handle;
    (void)size;
    *out_buffer = uv_buf_init(memory, sizeof(memory));
}

static void on_input(uv_stream_t *from, ssize_t count, const uv_buf_t *buffer)
{
    static char line[400];
    static size_t bytes;
    ssize_t index;

    (void)from;
    if (count < 0) {
        exit(0); /* the test is gone */
    }
    for (index = 0; index < count; index++) {
        if (buffer->base[index] == '\n') {
            line[bytes] = '\0';
            bytes = 0;
            obey(line);
        } else if (bytes < sizeof(line) - 1) {
            line[bytes++] = buffer->base[index];
        }
    }
}

/* "af_packet:10.78.0.1:1472" */
static bool bring(const char *text)
{
    unsigned b[4];
    unsigned mtu;

    if (brought_count == LINKS_MAX ||
        sscanf(text, "%15[^:]:%u.%u.%u.%u:%u", brought[brought_count].driver, &b[0], &b[1], &b[2],
               &b[3], &mtu) != 6) {
        return false;
    }
    brought[brought_count].ipv4 = b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
    brought[brought_count].mtu_bytes = mtu;
    brought[brought_count].mac[0] = 2;
    brought[brought_count].mac[5] = (uint8_t)b[3];
    brought_count += 1;
    return true;
}

static bool bring_all(int argc, char **argv)
{
    char text[64];
    bool good = true;

    for (int index = 8; index < argc && good; index++) {
        good = bring(argv[index]);
    }
    if (argc <= 8 && strcmp(mode, "booted") == 0) {
        snprintf(text, sizeof(text), "virtio:10.78.0.%u:1472",
                 (unsigned)(unsigned char)name[strlen(name) - 1]);
        good = bring(text);
    }
    return good;
}

int main(int argc, char **argv)
{
    char ip[64];
    const char *colon = argc >= 6 ? strrchr(argv[1], ':') : NULL;

    if (colon == NULL || colon - argv[1] >= (ptrdiff_t)sizeof(ip)) {
        fprintf(stderr, "usage: fakenode CONTROLLER TOKEN NAME UUID booted|hosted "
                        "[KEY-BYTES [MACHINE [LINK...]]]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    snprintf(ip, sizeof(ip), "%.*s", (int)(colon - argv[1]), argv[1]);
    token = argv[2];
    name = argv[3];
    uuid = argv[4];
    mode = argv[5];
    if (argc >= 7) {
        key_bytes = (uint32_t)atoi(argv[6]) % 65;
    }
    if (argc >= 8) {
        machine = argv[7];
    }
    if (name[0] == '\0' || !bring_all(argc, argv)) {
        return 2;
    }
    loop = uv_default_loop();
    if (uv_ip4_addr(ip, atoi(colon + 1), &controller) != 0) {
        return 2;
    }
    uv_timer_init(loop, &beat);
    uv_timer_start(&beat, on_beat, 100, 200);
    uv_pipe_init(loop, &input, 0);
    uv_pipe_open(&input, STDIN_FILENO);
    uv_read_start((uv_stream_t *)&input, on_alloc, on_input);
    join();
    return uv_run(loop, UV_RUN_DEFAULT);
}
