/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "abi/nk_abi.h"
#include "agent_private.h"
#include "log.h"

#define HEARTBEAT_MS_MIN 50u
#define HEARTBEAT_MS_MAX 60000u
#define EPOCH_MAX 16383u
#define HELLO_REQUEST 1u
_Static_assert(AGENT_KEY_BYTES == crypto_box_PUBLICKEYBYTES, "X25519");
_Static_assert(AGENT_KEY_BYTES == crypto_box_SECRETKEYBYTES, "X25519");

static void agent_connect(uv_timer_t *timer);

/* --- what is sent -------------------------------------------------------------------------------
 */

static sf_status note_send(void *arg, const Sf__Control__Envelope *envelope)
{
    struct agent *agent = arg;

    return control_stream_send(agent->stream, envelope);
}

static void notes_send(struct agent *agent)
{
    const uint64_t lost = agent_notes_send(&agent->notes, note_send, agent);

    if (lost > 0) {
        agent__say(agent, "%" PRIu64 " lines and events were lost while the controller was away",
                   lost);
    }
}

void agent__send(struct agent *agent, const Sf__Control__Envelope *envelope)
{
    bool sent = agent->welcome && control_stream_send(agent->stream, envelope) == SF_OK;

    if (!sent || agent_notes_is_report(envelope)) {
        agent_notes_keep(&agent->notes, envelope);
    }
}

/* --- what happens in the kernel ------------------------------------------------------------------
 */

static uint64_t wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void agent_log_line(struct agent *agent, uint64_t sip, char *text)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__LogLine line = SF__CONTROL__LOG_LINE__INIT;

    line.sip = sip;
    line.time_ms = wall_ms();
    line.text = text;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_LOG_LINE;
    envelope.log_line = &line;
    agent__send(agent, &envelope);
}

void agent__say(struct agent *agent, const char *format, ...)
{
    char text[AGENT_TEXT_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    node_log("%s", text);
    agent_log_line(agent, 0, text);
}

static void kernel_log(void *arg, uint64_t sip, const char *text, uint32_t bytes)
{
    struct agent *agent = arg;
    char line[NK_LOG_BYTES_MAX + 1];

    node_text_clean(text, bytes, 0, line, sizeof(line));
    if (sip != 0) {
        node_log("sip %" PRIu64 ": %s", sip, line);
    } else {
        node_log("%s", line);
    }
    agent_log_line(agent, sip, line);
}

static void report_send(struct agent *agent, Sf__Control__SipReport *report)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;

    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_SIP_REPORT;
    envelope.sip_report = report;
    agent__send(agent, &envelope);
}

void agent__report(struct agent *agent, uint64_t sip, Sf__Control__SipState state)
{
    Sf__Control__SipReport report = SF__CONTROL__SIP_REPORT__INIT;

    report.sip = sip;
    report.state = state;
    report_send(agent, &report);
}

static void kernel_ended(void *arg, const struct nk_sip_end *end)
{
    struct agent *agent = arg;
    Sf__Control__SipReport report = SF__CONTROL__SIP_REPORT__INIT;
    Sf__Control__Cause cause = SF__CONTROL__CAUSE__INIT;
    struct sf_cause why = SF_CAUSE_OF(REVOKED);
    char text[128];
    char lines[8192];

    report.state = SF__CONTROL__SIP_STATE__KILLED;
    if (end->how == NK_END_EXITED) {
        report.state = SF__CONTROL__SIP_STATE__EXITED;
        why = SF_CAUSE_OF(PEER_EXITED);
    } else if (end->how == NK_END_FAULTED) {
        report.state = SF__CONTROL__SIP_STATE__FAULTED;
        why = SF_CAUSE_OF(PEER_FAULTED);
        why.fault = end->fault;
    }
    if (agent->ending) {
        return;
    }
    mover_sip_ended(agent->mover, end->sip);
    cause.kind = why.kind;
    cause.fault = why.fault;
    cause.text = (char *)sf_cause_format(why, text, sizeof(text));
    report.sip = end->sip;
    report.exit_code = end->exit_code;
    report.cause = &cause;
    if (end->report != NULL) {
        report.fault_report =
            (char *)node_text_clean(end->report, strlen(end->report), 1, lines, sizeof(lines));
    }
    node_log("sip %" PRIu64 " (%s) ended: %s, exit code %d", end->sip, end->name, text,
             end->exit_code);
    report_send(agent, &report);
}

static void kernel_session_lost(void *arg, uint16_t peer_id, struct sf_cause cause)
{
    struct agent *agent = arg;
    char text[128];

    /* A heart-beat without that peer tells the controller, which decides; here it is only said. */
    agent__say(agent, "session with node %u lost: %s", peer_id,
               sf_cause_format(cause, text, sizeof(text)));
    if (agent->mover != NULL) {
        mover_session_lost(agent->mover, peer_id);
    }
}

/* --- the kernel's life ---------------------------------------------------------------------------
 */

/* Ends what runs, and lets the nodes that had channels to it know. */
static void kernel_stop(struct agent *agent)
{
    if (agent->kernel == NULL) {
        return;
    }
    agent->ending = true;
    agent__traces_end(agent);
    agent__mover_end(agent);
    nk_kernel_stop(agent->kernel);
    pump_flush(agent->options.pump, AGENT_FLUSH_MS);
}

static void kernel_end(struct agent *agent)
{
    if (agent->kernel == NULL) {
        return;
    }
    agent->ending = true;
    agent__traces_end(agent);
    agent__mover_end(agent);
    pump_set_kernel(agent->options.pump, NULL);
    nk_kernel_destroy(agent->kernel);
    agent->kernel = NULL;
    memset(agent->services, 0, sizeof(agent->services));
    agent->ending = false;
    agent_notes_clear(&agent->notes);
}

/* Whose images this node takes from now on. False: the list is malformed. */
static bool trust_take(struct agent *agent, const Sf__Control__NodeWelcome *welcome)
{
    struct image_trust trust = {.allow_unsigned = welcome->allow_unsigned};

    for (size_t i = 0; i < welcome->n_trusted_keys; i++) {
        const Sf__Control__TrustedKey *from = welcome->trusted_keys[i];
        struct image_key key = {0};

        if (from->public_key.len != sizeof(key.bytes) || !image_key_name_ok(from->name)) {
            return false;
        }
        memcpy(key.bytes, from->public_key.data, sizeof(key.bytes));
        memcpy(key.name, from->name, strlen(from->name));
        if (image_trust_add(&trust, &key) != SF_OK) {
            return false;
        }
    }
    agent->trust = trust;
    return true;
}

static void trust_say(struct agent *agent)
{
    char id[IMAGE_KEY_ID_CHARS + 1];

    for (uint32_t i = 0; i < agent->trust.key_count; i++) {
        image_key_id(agent->trust.keys[i].bytes, id);
        node_log("images signed with key %s (%s) are trusted", id, agent->trust.keys[i].name);
    }
    if (agent->trust.allow_unsigned) {
        agent__say(agent, "warning: images that no trusted key has signed are taken, too");
    } else if (agent->trust.key_count == 0) {
        node_log("no key is trusted: every image will be refused");
    }
}

static sf_status kernel_begin(struct agent *agent, const Sf__Control__NodeWelcome *welcome,
                              char *text, size_t text_capacity)
{
    struct nk_options options = {
        .node_name = agent->name,
        .node_id = (uint16_t)welcome->node_id,
        .epoch = (uint16_t)welcome->epoch,
        .slot_first = welcome->slot_first,
        .slot_count = welcome->slot_count,
        .worker_count = agent->options.worker_count,
        .allow_native = welcome->allow_native,
        .secret_key = agent->key_secret,
        .trust = &agent->trust,
        .copy_blocks = agent__links_read(agent),
        .events = {kernel_log, kernel_ended, kernel_session_lost},
        .events_arg = agent,
    };
    sf_status st;

    kernel_end(agent);
    snprintf(agent->name, sizeof(agent->name), "%s", welcome->name);
    agent->node_id = options.node_id;
    agent->epoch = options.epoch;
    if (agent->options.slot_count_max > 0 && options.slot_count > agent->options.slot_count_max) {
        options.slot_count = agent->options.slot_count_max;
    }
    st = nk_kernel_create(&options, &agent->kernel, text, text_capacity);
    if (st != SF_OK) {
        agent->kernel = NULL;
        return st;
    }
    st = agent__mover_begin(agent, text, text_capacity);
    if (st != SF_OK) {
        nk_kernel_destroy(agent->kernel);
        agent->kernel = NULL;
        return st;
    }
    pump_set_kernel(agent->options.pump, agent->kernel);
    return SF_OK;
}

/* --- welcome -------------------------------------------------------------------------------------
 */

/* Ends this attempt; the next follows after the back-off. */
static void agent_retry(struct agent *agent, const char *why)
{
    uint32_t jitter = 0;

    if (strcmp(agent->last_error, why) != 0 || agent->welcome) {
        node_log("controller %s: %s; trying again", agent->options.controller_text, why);
    }
    snprintf(agent->last_error, sizeof(agent->last_error), "%s", why);
    agent__traces_end(agent);
    control_stream_close(agent->stream);
    agent->stream = NULL;
    agent->welcome = false;
    uv_timer_stop(&agent->heartbeat);
    if (getrandom(&jitter, sizeof(jitter), GRND_NONBLOCK) < 0) {
        jitter = 0;
    }
    uv_timer_start(&agent->retry, agent_connect,
                   agent->backoff_ms + jitter % (agent->backoff_ms / 4), 0);
    agent->backoff_ms *= 2;
    if (agent->backoff_ms > AGENT_BACKOFF_MS_MAX) {
        agent->backoff_ms = AGENT_BACKOFF_MS_MAX;
    }
}

struct beat {
    struct agent *agent;
    struct agent_link_row links[PUMP_LINKS_MAX];
    Sf__Control__LinkInfo *link_pointers[PUMP_LINKS_MAX];
    uint32_t peers[FAB_NODES_MAX];
    uint32_t link_count, peer_count, endpoint_count;
};

static void beat_link(void *arg, const struct pump_link_info *info)
{
    struct beat *beat = arg;
    struct agent_link_row *row = &beat->links[beat->link_count];

    agent__link_fill(info, row);
    agent__link_look(beat->agent, info);
    beat->link_pointers[beat->link_count++] = &row->info;
}

static void beat_endpoint(void *arg, const struct fab_ep *ep)
{
    struct beat *beat = arg;
    (void)ep;
    beat->endpoint_count++;
}

static void agent_heartbeat(uv_timer_t *timer)
{
    /* Static: it is large, and there is one agent. Nothing in it outlives the call. */
    static struct beat beat;
    struct agent *agent = timer->data;
    struct fab_node *fabric = nk_kernel_fabric(agent->kernel);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__NodeHeartbeat message = SF__CONTROL__NODE_HEARTBEAT__INIT;
    struct nk_stats nk;
    struct xh_stats heap;

    beat.agent = agent;
    beat.link_count = beat.peer_count = beat.endpoint_count = 0;
    nk_query(agent->kernel, &nk);
    xh_query(nk_kernel_heap(agent->kernel), &heap);
    nk_pause(agent->kernel);
    fab_ep_walk(fabric, beat_endpoint, &beat);
    nk_resume(agent->kernel);
    carrier_begin(&agent->carriers);
    pump_link_walk(agent->options.pump, beat_link, &beat);
    for (uint16_t id = pump_peer_next(agent->options.pump, 0); id != 0;
         id = pump_peer_next(agent->options.pump, id)) {
        struct fab_peer_info info;
        nk_lock(agent->kernel);
        if (fab_peer_query(fabric, id, &info) == SF_OK && info.alive) {
            beat.peers[beat.peer_count++] = id;
        }
        nk_unlock(agent->kernel);
    }
    message.sip_count = nk.sip_count;
    message.endpoint_count = beat.endpoint_count;
    message.heap_bytes_in_use = heap.bytes_in_use;
    message.block_count = heap.block_count;
    message.n_links = beat.link_count;
    message.links = beat.link_pointers;
    message.n_peers_alive = beat.peer_count;
    message.peers_alive = beat.peers;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_NODE_HEARTBEAT;
    envelope.node_heartbeat = &message;
    if (control_stream_send(agent->stream, &envelope) != SF_OK) {
        node_log("a heart-beat could not be sent");
    }
}

static const char *welcome_check(const Sf__Control__NodeWelcome *welcome)
{
    if (welcome->node_id == 0 || welcome->node_id >= FAB_NODES_MAX) {
        return "the controller gave a node id out of range";
    }
    if (welcome->epoch == 0 || welcome->epoch > EPOCH_MAX) {
        return "the controller gave an epoch out of range";
    }
    if (welcome->slot_count == 0 || welcome->slot_first >= NK_SLOT_COUNT_MAX ||
        welcome->slot_count > NK_SLOT_COUNT_MAX - welcome->slot_first) {
        return "the controller leased slots out of range";
    }
    if (!agent__name_ok(welcome->name)) {
        return "the controller gave a name that is not a node name";
    }
    return NULL;
}

static void agent_welcome(struct agent *agent, const Sf__Control__NodeWelcome *welcome)
{
    char text[AGENT_TEXT_BYTES] = "";
    uint32_t beat_ms = welcome->heartbeat_ms;
    const char *wrong = welcome_check(welcome);
    bool first = !agent->joined_before;

    if (wrong == NULL && !agent->welcome && !trust_take(agent, welcome)) {
        wrong = "the controller gave a list of trusted keys that is malformed";
    }
    if (wrong != NULL || agent->welcome) {
        agent_retry(agent, wrong != NULL ? wrong : "the controller welcomed us twice");
        return;
    }
    if (agent->kernel == NULL || welcome->node_id != agent->node_id ||
        welcome->epoch != agent->epoch) {
        sf_status st = kernel_begin(agent, welcome, text, sizeof(text));
        if (st != SF_OK) {
            char why[AGENT_TEXT_BYTES + 64];
            snprintf(why, sizeof(why), "cannot start as node %u: %s", welcome->node_id,
                     text[0] != '\0' ? text : sf_status_text(st));
            agent_retry(agent, why);
            return;
        }
    }
    nk_trust_set(agent->kernel, &agent->trust);
    beat_ms = beat_ms < HEARTBEAT_MS_MIN   ? HEARTBEAT_MS_MIN
              : beat_ms > HEARTBEAT_MS_MAX ? HEARTBEAT_MS_MAX
                                           : beat_ms;
    agent->welcome = true;
    agent->joined_before = true;
    agent->last_error[0] = '\0';
    agent->backoff_ms = AGENT_BACKOFF_MS_MIN;
    uv_timer_stop(&agent->retry);
    uv_timer_start(&agent->heartbeat, agent_heartbeat, beat_ms, beat_ms);
    agent__endpoints_begin(agent);
    notes_send(agent);
    node_log("joined as %s, node %u, epoch %u", agent->name, agent->node_id, agent->epoch);
    trust_say(agent);
    agent->options.events.joined(agent->options.events_arg, agent->name, agent->node_id, first);
}

/* --- the connection ------------------------------------------------------------------------------
 */

static void stream_connected(void *arg, struct control_stream *stream)
{
    struct agent *agent = arg;
    const struct agent_options *o = &agent->options;
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__NodeHello hello = SF__CONTROL__NODE_HELLO__INIT;
    struct agent_link_row links[LINKS_MAX];
    Sf__Control__LinkInfo *pointers[LINKS_MAX];
    struct sysinfo system = {0};

    (void)sysinfo(&system);
    agent__hello_links(agent, links, pointers);
    hello.protocol = 1;
    hello.token = (char *)o->token;
    hello.name = (char *)o->name;
    hello.uuid = (char *)o->uuid;
    hello.machine = agent->machine;
    hello.mac.data = (uint8_t *)o->mac;
    hello.mac.len = sizeof(o->mac);
    hello.address = (char *)o->address;
    hello.version = (char *)SIPFABRIC_VERSION;
    hello.cpu_count = (uint32_t)get_nprocs();
    hello.memory_bytes = (uint64_t)system.totalram * system.mem_unit;
    hello.n_links = o->link_count;
    hello.links = pointers;
    hello.mode = (char *)(o->booted ? "booted" : "hosted");
    hello.key.data = agent->key;
    hello.key.len = sizeof(agent->key);
    hello.uptime_ms = (uint64_t)(node_uptime_s() * 1000);
    if (agent->kernel != NULL) {
        hello.node_id = agent->node_id;
        hello.epoch = agent->epoch;
    }
    envelope.request = HELLO_REQUEST;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_NODE_HELLO;
    envelope.node_hello = &hello;
    if (control_stream_send(stream, &envelope) != SF_OK) {
        agent_retry(agent, "NodeHello could not be sent");
    }
}

static void agent_refused(struct agent *agent, const Sf__Control__Result *result)
{
    char text[AGENT_TEXT_BYTES];
    char why[AGENT_TEXT_BYTES + 64];
    /* A name in use (EXISTS) may be our own, of a connection not yet seen to be dead. */
    bool for_good =
        !agent->joined_before && (result->status == SF_TRUST || result->status == SF_UNSUPPORTED ||
                                  result->status == SF_BADARG);

    node_text_clean(result->text, strlen(result->text), 0, text, sizeof(text));
    snprintf(why, sizeof(why), "join refused: %s",
             text[0] != '\0' ? text : sf_status_text((sf_status)result->status));
    agent_retry(agent, why);
    if (for_good) {
        agent->options.events.refused(agent->options.events_arg, why);
    }
}

static void stream_message(void *arg, struct control_stream *stream,
                           const Sf__Control__Envelope *envelope)
{
    struct agent *agent = arg;
    (void)stream;

    if (envelope->body_case == SF__CONTROL__ENVELOPE__BODY_NODE_WELCOME) {
        agent_welcome(agent, envelope->node_welcome);
    } else if (envelope->body_case == SF__CONTROL__ENVELOPE__BODY_RESULT) {
        if (!agent->welcome) {
            agent_refused(agent, envelope->result);
        }
    } else if (!agent->welcome) {
        agent_retry(agent, "the controller sent a command before NodeWelcome");
    } else if (!agent__command(agent, envelope)) {
        agent_retry(agent, "the controller sent a message that no node understands");
    }
}

static void stream_ended(void *arg, struct control_stream *stream, sf_status status,
                         const char *text)
{
    (void)stream;
    (void)status;
    agent_retry(arg, text);
}

static void agent_late(uv_timer_t *timer)
{
    agent_retry(timer->data, "no welcome in time");
}

static void agent_connect(uv_timer_t *timer)
{
    static const struct control_stream_events events = {stream_connected, stream_message,
                                                        stream_ended};
    struct agent *agent = timer->data;
    sf_status st;

    assert(agent->stream == NULL);
    st = control_stream_create(agent->options.loop, CONTROL_STREAM_TCP, &events, agent,
                               &agent->stream);
    if (st == SF_OK) {
        st = control_stream_connect_tcp(agent->stream,
                                        (const struct sockaddr *)&agent->options.controller);
    } else {
        agent->stream = NULL;
    }
    if (st != SF_OK) {
        agent_retry(agent, "cannot begin to connect");
        return;
    }
    uv_timer_start(&agent->retry, agent_late, AGENT_CONNECT_MS, 0);
}

/* --- life ----------------------------------------------------------------------------------------
 */

/* The kernel's boot id: two nodes that tell the same run on one machine. "" if it tells none. */
static void machine_read(char out_id[AGENT_MACHINE_BYTES])
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (file == NULL || fgets(out_id, AGENT_MACHINE_BYTES, file) == NULL) {
        out_id[0] = '\0';
    }
    out_id[strcspn(out_id, "\n")] = '\0';
    if (file != NULL) {
        (void)fclose(file);
    }
}

sf_status agent_create(const struct agent_options *options, struct agent **out_agent, char *text,
                       size_t text_capacity)
{
    struct agent *agent = calloc(1, sizeof(*agent));
    sf_status st = SF_OK;

    assert(options->link_count <= LINKS_MAX);
    if (agent == NULL) {
        snprintf(text, text_capacity, "%s", sf_status_text(SF_NOMEM));
        return SF_NOMEM;
    }
    agent->options = *options;
    /* A key pair of crypto_box is one of X25519; nothing else of crypto_box is used. */
    if (sodium_init() < 0 || crypto_box_keypair(agent->key, agent->key_secret) != 0) {
        snprintf(text, text_capacity, "the system gives no random numbers for a key");
        st = SF_IO;
    }
    if (st == SF_OK) {
        st = agent__links_open(agent, text, text_capacity);
    }
    if (st != SF_OK) {
        free(agent);
        return st;
    }
    agent__links_say(agent);
    machine_read(agent->machine);
    agent_notes_init(&agent->notes);
    agent->backoff_ms = AGENT_BACKOFF_MS_MIN;
    uv_timer_init(options->loop, &agent->retry);
    uv_timer_init(options->loop, &agent->heartbeat);
    uv_timer_init(options->loop, &agent->trace_timer);
    uv_timer_init(options->loop, &agent->endpoint_timer);
    uv_timer_init(options->loop, &agent->move_timer);
    agent->retry.data = agent;
    agent->heartbeat.data = agent;
    agent->trace_timer.data = agent;
    agent->endpoint_timer.data = agent;
    agent->move_timer.data = agent;
    agent->handles_open = 5;
    uv_timer_start(&agent->retry, agent_connect, 0, 0);
    *out_agent = agent;
    return SF_OK;
}

static void agent_handle_closed(uv_handle_t *handle)
{
    struct agent *agent = handle->data;

    if (--agent->handles_open == 0) {
        sodium_memzero(agent->key_secret, sizeof(agent->key_secret));
        free(agent);
    }
}

void agent_destroy(struct agent *agent)
{
    if (agent == NULL) {
        return;
    }
    kernel_stop(agent);
    kernel_end(agent);
    agent_notes_clear(&agent->notes);
    control_stream_finish(agent->stream);
    agent->stream = NULL;
    uv_close((uv_handle_t *)&agent->retry, agent_handle_closed);
    uv_close((uv_handle_t *)&agent->heartbeat, agent_handle_closed);
    uv_close((uv_handle_t *)&agent->trace_timer, agent_handle_closed);
    uv_close((uv_handle_t *)&agent->endpoint_timer, agent_handle_closed);
    uv_close((uv_handle_t *)&agent->move_timer, agent_handle_closed);
}

const char *agent_last_error(const struct agent *agent)
{
    return agent->last_error;
}
