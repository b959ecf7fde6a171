/* SPDX-License-Identifier: Apache-2.0 */
/* What fabricd can ask of a node: one function a command, one table. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/nk_abi.h"
#include "agent_private.h"
#include "contracts/cause.h"
#include "log.h"
#include "services/services.h"

#define CONFIG_COUNT_MAX 64u
#define CONFIG_KEY_BYTES_MAX 63u
#define CONFIG_VALUE_BYTES_MAX 4096u
#define EPOCH_MAX 16383u

/* Answers a status; on anything but OK, text (AGENT_TEXT_BYTES) says what and why. */
typedef sf_status (*command_run)(struct agent *agent, const Sf__Control__Envelope *envelope,
                                 char *text);

bool agent__name_ok(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > AGENT_NAME_BYTES_MAX || name[0] < 'a' || name[0] > 'z') {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        bool letter = name[i] >= 'a' && name[i] <= 'z';
        bool digit = name[i] >= '0' && name[i] <= '9';
        if (!letter && !digit && name[i] != '-') {
            return false;
        }
    }
    return true;
}

/* --- links and peers -----------------------------------------------------------------------------
 */

/* Device names end up in driver arguments: only what cannot be misread there. */
static bool device_ok(const char *device)
{
    size_t length = strlen(device);

    if (length == 0 || length > PUMP_DEVICE_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        char c = device[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              strchr("._/-+:@", c) != NULL)) {
            return false;
        }
    }
    return true;
}

static sf_status link_open(struct agent *agent, const Sf__Control__Envelope *envelope, char *text)
{
    const Sf__Control__LinkOpen *open = envelope->link_open;
    struct link_config config = {.node_id = agent->node_id, .server = open->server};
    char name[24];

    if (open->info == NULL || !device_ok(open->info->device)) {
        snprintf(text, AGENT_TEXT_BYTES, "link %u: a device name was expected", open->link);
        return SF_BADARG;
    }
    if (open->link <= agent->options.link_count) {
        snprintf(text, AGENT_TEXT_BYTES, "link %u is the node's own", open->link);
        return SF_BADARG;
    }
    if (agent->options.booted) {
        snprintf(text, AGENT_TEXT_BYTES, "a booted node opens its links itself");
        return SF_UNSUPPORTED;
    }
    snprintf(name, sizeof(name), "%.10s%u", open->info->driver, open->link);
    config.name = name;
    config.device = open->info->device;
    config.mtu_bytes = open->info->mtu_bytes;
    /* One queue: a session uses one, and such a link has one session. Any worker may have it. */
    config.shared = agent->options.worker_count > 1;
    return pump_link_open(agent->options.pump, open->link, open->info->driver, &config, text,
                          AGENT_TEXT_BYTES);
}

/* False: text says what is wrong with it. mac may have no bytes: then it is not needed. */
static bool way_read(struct agent_peer *peer, uint16_t node_id, uint32_t link,
                     const ProtobufCBinaryData *mac, uint32_t ipv4, char *text)
{
    struct pump_way *way = &peer->ways[peer->way_count++];

    *way = (struct pump_way){.link = link, .peer = {.node_id = node_id, .ipv4 = ipv4}};
    if (mac->len != 0 && mac->len != sizeof(way->peer.mac)) {
        snprintf(text, AGENT_TEXT_BYTES, "node %u: a MAC address has 6 bytes", node_id);
        return false;
    }
    if (mac->len != 0) {
        memcpy(way->peer.mac, mac->data, sizeof(way->peer.mac));
    }
    return true;
}

/* False: text says what is wrong with it. */
static bool peer_read(const struct agent *agent, const Sf__Control__PeerAdd *add,
                      struct agent_peer *out_peer, char *text)
{
    uint16_t id = (uint16_t)add->node_id;

    *out_peer = (struct agent_peer){.epoch = (uint16_t)add->epoch, .encrypt = add->encrypt};
    if (add->node_id == 0 || add->node_id >= FAB_NODES_MAX || add->node_id == agent->node_id ||
        add->epoch == 0 || add->epoch > EPOCH_MAX) {
        snprintf(text, AGENT_TEXT_BYTES, "node %u with epoch %u cannot be a peer", add->node_id,
                 add->epoch);
        return false;
    }
    if (!way_read(out_peer, id, add->link, &add->mac, add->ipv4, text) ||
        (add->spare_link != 0 &&
         !way_read(out_peer, id, add->spare_link, &add->spare_mac, add->spare_ipv4, text))) {
        return false;
    }
    if (add->key.len != sizeof(out_peer->key) && (add->key.len != 0 || add->encrypt)) {
        snprintf(text, AGENT_TEXT_BYTES, "node %u: a key has %u bytes", add->node_id,
                 AGENT_KEY_BYTES);
        return false;
    }
    if (add->encrypt) {
        memcpy(out_peer->key, add->key.data, sizeof(out_peer->key));
    }
    return true;
}

static sf_status peer_add(struct agent *agent, const Sf__Control__Envelope *envelope, char *text)
{
    struct fab_peer session;
    struct agent_peer peer;

    if (!peer_read(agent, envelope->peer_add, &peer, text)) {
        return SF_BADARG;
    }
    session = (struct fab_peer){
        .node_id = peer.ways[0].peer.node_id, .epoch = peer.epoch, .sealed = peer.encrypt};
    memcpy(session.key, peer.key, sizeof(session.key));
    /* The controller may have forgotten what it was told, so it is told again. */
    agent->told[session.node_id].length = 0;
    agent->on_spare[session.node_id] = false;
    return pump_peer_add(agent->options.pump, peer.ways, peer.way_count, &session, text,
                         AGENT_TEXT_BYTES);
}

static sf_status peer_endpoint(struct agent *agent, const Sf__Control__Envelope *envelope,
                               char *text)
{
    const Sf__Control__PeerEndpoint *message = envelope->peer_endpoint;
    struct link_endpoint its = {.length = 0};
    sf_status st;

    if (message->node_id == 0 || message->node_id >= FAB_NODES_MAX ||
        message->endpoint.len > sizeof(its.bytes)) {
        snprintf(text, AGENT_TEXT_BYTES, "an endpoint of node %u of %zu bytes", message->node_id,
                 message->endpoint.len);
        return SF_BADARG;
    }
    its.length = (uint8_t)message->endpoint.len;
    if (its.length > 0) {
        memcpy(its.bytes, message->endpoint.data, its.length);
    }
    st = pump_peer_endpoint_set(agent->options.pump, (uint16_t)message->node_id, &its);
    if (st != SF_OK) {
        snprintf(text, AGENT_TEXT_BYTES, "the endpoint of node %u: %s", message->node_id,
                 sf_status_text(st));
    }
    agent__endpoints_look(agent);
    return st;
}

static sf_status peer_remove(struct agent *agent, const Sf__Control__Envelope *envelope, char *text)
{
    uint32_t id = envelope->peer_remove->node_id;
    uint32_t epoch = envelope->peer_remove->dead_epoch;
    (void)text;

    if (id > 0 && id < FAB_NODES_MAX) {
        pump_peer_remove(agent->options.pump, (uint16_t)id, SF_CAUSE_OF(NODE_LOST));
        if (epoch > 0 && epoch <= UINT16_MAX) {
            mover_node_dead(agent->mover, (uint16_t)id, (uint16_t)epoch, node_now_ns());
        }
    }
    return SF_OK;
}

/* --- images and SIPs -----------------------------------------------------------------------------
 */

static sf_status image_put(struct agent *agent, const Sf__Control__Envelope *envelope, char *text)
{
    const Sf__Control__ImagePut *put = envelope->image_put;
    uint8_t digest[IMAGE_DIGEST_BYTES];
    sf_status st;

    if (put->digest.len != IMAGE_DIGEST_BYTES || put->content.len == 0 || put->name[0] == '\0') {
        snprintf(text, AGENT_TEXT_BYTES,
                 "an image, its name and its digest of %u bytes were expected", IMAGE_DIGEST_BYTES);
        return SF_BADARG;
    }
    image_digest(put->content.data, put->content.len, digest);
    if (memcmp(digest, put->digest.data, sizeof(digest)) != 0) {
        snprintf(text, AGENT_TEXT_BYTES, "the image that came is not the one its digest names");
        return SF_TRUST;
    }
    st = nk_image_add_named(agent->kernel, put->name, put->content.data, put->content.len, digest,
                            text, AGENT_TEXT_BYTES);
    if (st == SF_TRUST) {
        agent__say(agent, "image refused: %s", text);
    }
    return st == SF_EXISTS ? SF_OK : st;
}

static uint64_t *service_entry(struct agent *agent, uint64_t number)
{
    for (uint32_t i = 0; i < AGENT_SERVICES_MAX; i++) {
        if (agent->services[i] == number) {
            return &agent->services[i];
        }
    }
    return NULL;
}

static sf_status service_create(struct agent *agent, const Sf__Control__SipCreate *create,
                                const struct nk_config *config, char *text)
{
    const struct nk_service_ops *ops = nk_service_find(create->service);
    uint64_t *entry = service_entry(agent, 0);
    sf_status st;

    if (ops == NULL) {
        char name[64];
        node_text_clean(create->service, strlen(create->service), 0, name, sizeof(name));
        snprintf(text, AGENT_TEXT_BYTES, "this node kernel has no service '%s'", name);
        return SF_NOTFOUND;
    }
    if (entry == NULL) {
        snprintf(text, AGENT_TEXT_BYTES, "this node runs %u services already", AGENT_SERVICES_MAX);
        return SF_LIMIT;
    }
    st = nk_service_create(agent->kernel, ops, create->sip, create->name, agent->options.loop,
                           config, (uint32_t)create->n_config, text, AGENT_TEXT_BYTES);
    if (st == SF_OK) {
        *entry = create->sip;
    }
    return st;
}

static sf_status config_check(const Sf__Control__SipCreate *create, char *text)
{
    if (create->n_config > CONFIG_COUNT_MAX) {
        snprintf(text, AGENT_TEXT_BYTES, "%zu config entries; at most %u", create->n_config,
                 CONFIG_COUNT_MAX);
        return SF_LIMIT;
    }
    for (size_t i = 0; i < create->n_config; i++) {
        size_t key_bytes = strlen(create->config[i]->key);
        if (key_bytes == 0 || key_bytes > CONFIG_KEY_BYTES_MAX ||
            strlen(create->config[i]->value) > CONFIG_VALUE_BYTES_MAX) {
            snprintf(text, AGENT_TEXT_BYTES, "config entry %zu: key 1..%u bytes, value to %u", i,
                     CONFIG_KEY_BYTES_MAX, CONFIG_VALUE_BYTES_MAX);
            return SF_LIMIT;
        }
    }
    return SF_OK;
}

static sf_status sip_create(struct agent *agent, const Sf__Control__Envelope *envelope, char *text)
{
    const Sf__Control__SipCreate *create = envelope->sip_create;
    struct nk_config config[CONFIG_COUNT_MAX];
    struct nk_sip_options options = {.number = create->sip,
                                     .name = create->name,
                                     .image_digest = create->image.data,
                                     .image_name = create->image_name,
                                     .config = config,
                                     .config_count = (uint32_t)create->n_config,
                                     .cpu_percent = create->cpu_percent};
    sf_status st = config_check(create, text);

    if (st != SF_OK) {
        return st;
    }
    if (create->sip == 0 || !agent__name_ok(create->name)) {
        snprintf(text, AGENT_TEXT_BYTES, "a SIP needs a number over 0 and a name of [a-z0-9-]");
        return SF_BADARG;
    }
    if (create->cpu_percent > 100) {
        snprintf(text, AGENT_TEXT_BYTES, "SIP '%s': a quota of %u percent of a core; at most 100",
                 create->name, create->cpu_percent);
        return SF_BADARG;
    }
    for (size_t i = 0; i < create->n_config; i++) {
        config[i] = (struct nk_config){create->config[i]->key, create->config[i]->value};
    }
    if (create->service[0] != '\0') {
        return service_create(agent, create, config, text);
    }
    if (create->image.len != IMAGE_DIGEST_BYTES) {
        snprintf(text, AGENT_TEXT_BYTES, "SIP '%s' names neither an image nor a service",
                 create->name);
        return SF_BADARG;
    }
    if (create->image_name[0] == '\0') {
        snprintf(text, AGENT_TEXT_BYTES, "SIP '%s' does not say what its image is named",
                 create->name);
        return SF_BADARG;
    }
    return nk_sip_create(agent->kernel, &options, text, AGENT_TEXT_BYTES);
}

static sf_status sip_wire(struct agent *agent, const Sf__Control__Envelope *envelope, char *text)
{
    const Sf__Control__SipWire *wire = envelope->sip_wire;

    if (wire->exporter_node == 0 || wire->exporter_node >= FAB_NODES_MAX ||
        strlen(wire->import) > CT_NAME_BYTES_MAX ||
        strlen(wire->export_name) > FAB_NAME_BYTES_MAX) {
        snprintf(text, AGENT_TEXT_BYTES, "node id, import or export name out of range");
        return SF_BADARG;
    }
    return nk_sip_wire(agent->kernel, wire->sip, wire->import, (uint16_t)wire->exporter_node,
                       wire->export_name, text, AGENT_TEXT_BYTES);
}

static sf_status sip_start(struct agent *agent, const Sf__Control__Envelope *envelope, char *text)
{
    uint64_t sip = envelope->sip_start->sip;
    sf_status st = SF_OK;

    /* A service runs from its creation. */
    if (sip == 0 || service_entry(agent, sip) == NULL) {
        st = nk_sip_start(agent->kernel, sip);
    }
    if (st == SF_OK) {
        agent__report(agent, sip, SF__CONTROL__SIP_STATE__RUNNING);
    } else {
        snprintf(text, AGENT_TEXT_BYTES, "SIP %" PRIu64 " does not start: %s", sip,
                 sf_status_text(st));
    }
    return st;
}

static sf_status sip_stop(struct agent *agent, const Sf__Control__Envelope *envelope, char *text)
{
    uint64_t sip = envelope->sip_stop->sip;
    uint64_t *entry = sip != 0 ? service_entry(agent, sip) : NULL;
    sf_status st;

    if (entry != NULL) {
        st = nk_service_destroy(agent->kernel, sip);
        *entry = 0;
        agent__report(agent, sip, SF__CONTROL__SIP_STATE__KILLED);
    } else if (mover_has(agent->mover, sip)) {
        snprintf(text, AGENT_TEXT_BYTES, "it is being moved; try again later");
        return SF_AGAIN;
    } else {
        st = nk_sip_stop(agent->kernel, sip, SF_CAUSE_OF(REVOKED));
    }
    if (st != SF_OK) {
        snprintf(text, AGENT_TEXT_BYTES, "SIP %" PRIu64 " does not stop: %s", sip,
                 sf_status_text(st));
    }
    return st;
}

static sf_status trace_stop(struct agent *agent, const Sf__Control__Envelope *envelope, char *text)
{
    (void)text;
    agent__trace_stop(agent, envelope->trace_stop->trace);
    return SF_OK;
}

void agent__answer(struct agent *agent, const Sf__Control__Envelope *envelope)
{
    sf_status st = control_stream_send(agent->stream, envelope);

    if (st != SF_OK) { /* the controller's own time-out tells it */
        node_log("an answer could not be sent: %s", sf_status_text(st));
    }
}

/* --- the table -----------------------------------------------------------------------------------
 */

static const struct {
    Sf__Control__Envelope__BodyCase body;
    command_run run;
} commands[] = {
    {SF__CONTROL__ENVELOPE__BODY_LINK_OPEN, link_open},
    {SF__CONTROL__ENVELOPE__BODY_PEER_ADD, peer_add},
    {SF__CONTROL__ENVELOPE__BODY_PEER_REMOVE, peer_remove},
    {SF__CONTROL__ENVELOPE__BODY_PEER_ENDPOINT, peer_endpoint},
    {SF__CONTROL__ENVELOPE__BODY_IMAGE_PUT, image_put},
    {SF__CONTROL__ENVELOPE__BODY_SIP_CREATE, sip_create},
    {SF__CONTROL__ENVELOPE__BODY_SIP_WIRE, sip_wire},
    {SF__CONTROL__ENVELOPE__BODY_SIP_START, sip_start},
    {SF__CONTROL__ENVELOPE__BODY_SIP_STOP, sip_stop},
    {SF__CONTROL__ENVELOPE__BODY_TRACE_STOP, trace_stop},
    {SF__CONTROL__ENVELOPE__BODY_SIP_MOVE, agent__sip_move},
    {SF__CONTROL__ENVELOPE__BODY_MOVER_MESSAGE, agent__mover_message},
};

static void command_answer(struct agent *agent, uint64_t request, sf_status st, char *text)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Result result = SF__CONTROL__RESULT__INIT;

    if (request == 0) {
        return;
    }
    result.status = (uint32_t)st;
    result.text = st == SF_OK ? (char *)"" : text;
    envelope.request = request;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_RESULT;
    envelope.result = &result;
    agent__answer(agent, &envelope);
}

bool agent__command(struct agent *agent, const Sf__Control__Envelope *envelope)
{
    char text[AGENT_TEXT_BYTES] = "";

    assert(agent->kernel != NULL);
    if (envelope->body_case == SF__CONTROL__ENVELOPE__BODY_CHANNELS_GET) {
        agent__channels_get(agent, envelope->request, envelope->channels_get->audit);
        return true;
    }
    if (envelope->body_case == SF__CONTROL__ENVELOPE__BODY_MOVE_ASK) {
        agent__move_ask(agent, envelope->request, envelope->move_ask->sip);
        return true;
    }
    if (envelope->body_case == SF__CONTROL__ENVELOPE__BODY_TRACE_START) {
        sf_status st = agent__trace_start(agent, envelope->request, envelope->trace_start, text);
        if (st != SF_OK) {
            command_answer(agent, envelope->request, st, text);
        }
        return true;
    }
    if (envelope->body_case == SF__CONTROL__ENVELOPE__BODY_NODE_SHUTDOWN) {
        command_answer(agent, envelope->request, SF_OK, text);
        agent->options.events.shutdown(agent->options.events_arg,
                                       envelope->node_shutdown->power_off);
        return true;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (commands[i].body == envelope->body_case) {
            sf_status st = commands[i].run(agent, envelope, text);
            if (st != SF_OK && text[0] == '\0') {
                snprintf(text, sizeof(text), "%s", sf_status_text(st));
            }
            if (st != SF_OK) {
                node_log("command %d refused: %s", (int)envelope->body_case, text);
            }
            command_answer(agent, envelope->request, st, text);
            return true;
        }
    }
    return false;
}
