/* SPDX-License-Identifier: Apache-2.0 */
/* The links a node brings itself, and what fabricd and the log are told of all of them. */
#include <stdio.h>
#include <string.h>

#include "agent_private.h"
#include "log.h"

static bool any_rdma(const struct agent *agent)
{
    bool any = false;

    for (uint32_t i = 0; i < agent->options.link_count; i++) {
        any = any || strcmp(agent->options.links[i].driver, "rdma") == 0;
    }
    return any;
}

sf_status agent__links_open(struct agent *agent, char *text, size_t text_capacity)
{
    uint32_t workers = any_rdma(agent) ? 1 : agent->options.worker_count;

    for (uint32_t i = 0; i < agent->options.link_count; i++) {
        const struct node_link *own = &agent->options.links[i];
        char name[24];
        struct link_config config = {.name = name,
                                     .device = own->device,
                                     .ipv4 = own->ipv4,
                                     .mtu_bytes = own->mtu_bytes,
                                     .cm = own->cm};
        sf_status st;

        snprintf(name, sizeof(name), "%.10s%u", own->driver, i + 1);
        memcpy(config.mac, own->mac, sizeof(config.mac));
        /* A spare is worker 0's alone, as the RDMA link is that it is the spare of. */
        config.shared = workers > 1;
        config.queues =
            (uint16_t)(own->queues != 0 && own->queues < workers ? own->queues : workers);
        st = pump_link_open(agent->options.pump, i + 1, own->driver, &config, text, text_capacity);
        if (st == SF_OK && own->reads != 0) {
            st = pump_link_reads(agent->options.pump, i + 1, own->reads);
        }
        if (st != SF_OK) {
            return st;
        }
    }
    return SF_OK;
}

bool agent__links_read(const struct agent *agent)
{
    bool any = false;

    for (uint32_t i = 0; i < agent->options.link_count; i++) {
        any |= agent->options.links[i].reads != 0;
    }
    return any;
}

void agent__link_fill(const struct pump_link_info *info, struct agent_link_row *out_row)
{
    Sf__Control__LinkInfo *link = &out_row->info;

    sf__control__link_info__init(link);
    memcpy(out_row->mac, info->mac, sizeof(out_row->mac));
    link->driver = (char *)info->driver;
    link->device = (char *)info->device;
    link->mac.data = out_row->mac;
    link->mac.len = sizeof(out_row->mac);
    link->ipv4 = info->ipv4;
    link->mtu_bytes = info->mtu_bytes;
    link->up = info->up;
    link->peer_node = info->peer;
    link->queues = info->queues;
    link->about = (char *)info->about;
}

/* --- hello ---------------------------------------------------------------------------------------
 */

struct hello_walk {
    struct agent_link_row *rows;
    uint32_t count;
};

static void hello_link(void *arg, const struct pump_link_info *info)
{
    struct hello_walk *walk = arg;

    if (info->number <= walk->count) {
        agent__link_fill(info, &walk->rows[info->number - 1]);
    }
}

void agent__hello_links(struct agent *agent, struct agent_link_row rows[LINKS_MAX],
                        Sf__Control__LinkInfo *pointers[LINKS_MAX])
{
    struct hello_walk walk = {rows, agent->options.link_count};

    for (uint32_t i = 0; i < walk.count; i++) {
        sf__control__link_info__init(&rows[i].info);
        pointers[i] = &rows[i].info;
    }
    pump_link_walk(agent->options.pump, hello_link, &walk);
}

/* --- the log -------------------------------------------------------------------------------------
 */

static void link_say(void *arg, const struct pump_link_info *info)
{
    const uint8_t *mac = info->mac;
    uint32_t ip = info->ipv4;

    node_log("link %u: %s %s, %02x:%02x:%02x:%02x:%02x:%02x, %u.%u.%u.%u, %u bytes a frame, "
             "queues %u, %s",
             info->number, info->driver, info->device, mac[0], mac[1], mac[2], mac[3], mac[4],
             mac[5], ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255, info->mtu_bytes,
             info->queues, info->up ? "up" : "down");
    if (info->about[0] != '\0') {
        node_log("link %u: %s", info->number, info->about);
    }
    agent__link_look(arg, info); /* what it is compared with next time */
}

void agent__links_say(struct agent *agent)
{
    carrier_begin(&agent->carriers);
    pump_link_walk(agent->options.pump, link_say, agent);
}

void agent__link_look(struct agent *agent, const struct pump_link_info *info)
{
    char text[AGENT_TEXT_BYTES];

    if (carrier_see(&agent->carriers, info, text, sizeof(text))) {
        agent__say(agent, "%s", text);
    }
}

/* --- endpoints -----------------------------------------------------------------------------------
 */

static void endpoint_tell(struct agent *agent, uint16_t id, struct link_endpoint *endpoint)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__PeerEndpoint message = SF__CONTROL__PEER_ENDPOINT__INIT;

    message.node_id = id;
    message.endpoint.data = endpoint->bytes;
    message.endpoint.len = endpoint->length;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_PEER_ENDPOINT;
    envelope.peer_endpoint = &message;
    if (control_stream_send(agent->stream, &envelope) == SF_OK) {
        agent->told[id] = *endpoint; /* else again next time */
    }
}

void agent__endpoints_look(struct agent *agent)
{
    struct pump *pump = agent->options.pump;

    if (!agent->welcome || agent->stream == NULL) {
        return;
    }
    for (uint16_t id = pump_peer_next(pump, 0); id != 0; id = pump_peer_next(pump, id)) {
        struct link_endpoint now;

        if (pump_peer_endpoint_get(pump, id, &now) == SF_OK &&
            (now.length != agent->told[id].length ||
             memcmp(now.bytes, agent->told[id].bytes, now.length) != 0)) {
            endpoint_tell(agent, id, &now);
        }
    }
}

/* Says when a peer is reached over its spare, and no longer. */
static void spares_look(struct agent *agent)
{
    const struct pump *pump = agent->options.pump;

    for (uint16_t id = pump_peer_next(pump, 0); id != 0; id = pump_peer_next(pump, id)) {
        bool spare = pump_peer_on_spare(pump, id);

        if (spare != agent->on_spare[id]) {
            agent->on_spare[id] = spare;
            agent__say(agent, "node %u is reached over %s, its %s link", id,
                       pump_peer_driver(pump, id), spare ? "spare" : "first");
        }
    }
}

static void endpoints_due(uv_timer_t *timer)
{
    agent__endpoints_look(timer->data);
    spares_look(timer->data);
}

void agent__endpoints_begin(struct agent *agent)
{
    bool any = false;

    memset(agent->told, 0, sizeof(agent->told));
    for (uint32_t i = 0; i < agent->options.link_count; i++) {
        const struct link_ops *ops = link_driver_find(agent->options.links[i].driver);

        any = any || (ops != NULL && ops->endpoint_get != NULL);
    }
    if (any) {
        uv_timer_start(&agent->endpoint_timer, endpoints_due, AGENT_ENDPOINT_MS, AGENT_ENDPOINT_MS);
    }
}
