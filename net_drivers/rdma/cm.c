/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cm.c - joining queue pairs by rdma_cm, where the link is so configured, and on iWARP.
 *
 * The two ends tell each other of their queue pairs as ever (format.h): so each knows which queue
 * pair of the other's is meant, and nobody else can be joined with it. What rdma_cm does is the
 * rest: it finds the way, agrees on the first numbers, on iWARP makes the connection of TCP and
 * moves the queue pair, and tells at once when the other end is gone.
 *
 * The end whose address and port are the lower number asks, the other one answers once it has been
 * told of the token that the asking is for: so an asking may come before that, and waits. Queue
 * pairs stay ours; rdma_cm's ids know only their numbers. Who has answered waits until it hears
 * something; who has asked and was answered sends at once (iWARP wants it in this order).
 *
 * Untrusted: who can send to our port. It must name a token of 64 bits of a queue pair that is not
 * joined; anything else is refused.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "port.h"

#define BACKLOG 64
#define FIND_MS 2000 /* the address, the way */
#define EVENTS_MAX 16u
#define LISTENS_MAX 8u /* the port that rdma_cm chose may be taken for TCP */
#define RETRIES 7      /* told to the other end, which keeps to rdma__peer_rules as we do */

/* What is left of an event when it has been acknowledged. */
struct news {
    enum rdma_cm_event_type type;
    struct rdma_cm_id *id;
    int status;
    bool asks;
    struct rdma_asking asking;
};

static struct sockaddr_in address_of(uint32_t ipv4, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {.s_addr = htonl(ipv4)}};
}

/* --- open and close -----------------------------------------------------------------------------
 */

static sf_status fail(struct rdma_port *port, const char *what, const char *hint)
{
    int error = errno;

    (void)snprintf(port->text, sizeof(port->text), "rdma: rdma_cm %s: %s%s", what, strerror(error),
                   hint);
    return SF_IO;
}

static void listener_drop(struct rdma_port *port)
{
    if (port->cm_listener != NULL) {
        (void)port->verbs->destroy_id(port->cm_listener);
        port->cm_listener = NULL;
    }
}

static sf_status listen_once(struct rdma_port *port)
{
    struct sockaddr_in own = address_of(port->ipv4, 0);
    const struct rdma_verbs *verbs = port->verbs;
    const char *device = verbs->get_device_name(port->context->device);
    const char *other;

    if (verbs->create_id(port->cm_channel, &port->cm_listener, NULL) != 0) {
        return fail(port, "gives no id", "");
    }
    if (verbs->bind_addr(port->cm_listener, &own) != 0 || port->cm_listener->verbs == NULL) {
        return fail(port, "does not know the link's address",
                    " (is it on the device's interface?)");
    }
    other = verbs->get_device_name(port->cm_listener->verbs->device);
    if (strcmp(other, device) != 0) {
        (void)snprintf(port->text, sizeof(port->text),
                       "rdma: the link's address is on %.60s, not on %.60s", other, device);
        return SF_BADARG;
    }
    if (verbs->listen(port->cm_listener, BACKLOG) != 0) {
        return errno == EADDRINUSE ? SF_EXISTS : fail(port, "does not listen", "");
    }
    port->cm_port = verbs->get_src_port(port->cm_listener);
    return SF_OK;
}

sf_status rdma__cm_open(struct rdma_port *port)
{
    sf_status st = SF_EXISTS;

    if (port->ipv4 == 0) {
        (void)snprintf(port->text, sizeof(port->text),
                       "rdma: rdma_cm needs the link's own address (address=IPV4)");
        return SF_BADARG;
    }
    port->cm_channel = port->verbs->create_event_channel();
    if (port->cm_channel == NULL || !rdma__non_blocking(port->cm_channel->fd)) {
        return fail(port, "is not there", " (is the kernel module rdma_ucm loaded?)");
    }
    for (uint32_t i = 0; i < LISTENS_MAX && st == SF_EXISTS; i++) {
        listener_drop(port);
        st = listen_once(port);
    }
    return st == SF_EXISTS ? fail(port, "finds no free port", "") : st;
}

void rdma__cm_fini(struct rdma_port *port)
{
    listener_drop(port);
    if (port->cm_channel != NULL) {
        port->verbs->destroy_event_channel(port->cm_channel);
        port->cm_channel = NULL;
    }
}

/* --- joining ------------------------------------------------------------------------------------
 */

static void connecting_end(struct rdma_port *port, struct rdma_peer *peer)
{
    if (peer->connecting != NULL) {
        port->verbs->connect_end(peer->connecting);
        peer->connecting = NULL;
    }
}

void rdma__cm_drop(struct rdma_port *port, struct rdma_peer *peer)
{
    connecting_end(port, peer);
    if (peer->cm != NULL) {
        /* Refuses what was not answered. Nothing of it comes any more. */
        (void)port->verbs->destroy_id(peer->cm);
        peer->cm = NULL;
        peer->cm_asked = 0;
    }
}

static void failed(struct rdma_port *port, struct rdma_peer *peer, const char *what, int error)
{
    char text[RDMA_TEXT_BYTES / 2];

    (void)snprintf(text, sizeof(text), "rdma_cm: %s%s%s", what, error != 0 ? ": " : "",
                   error != 0 ? strerror(error) : "");
    rdma__peer_lost(port, peer, text);
    peer->remake_at_ns = port->verbs->now_ns() + RDMA_REMAKE_FAILED_NS;
}

static bool move_to(struct rdma_port *port, struct rdma_peer *peer, enum ibv_qp_state state)
{
    struct ibv_qp_attr attr = {.qp_state = state};
    int mask = 0;

    if (port->verbs->init_qp_attr(peer->cm, &attr, &mask) != 0) {
        return false;
    }
    rdma__peer_rules(port, peer, &attr);
    return port->verbs->modify_qp(peer->qp, &attr, mask) == 0;
}

/* The queue pair can receive and send; on iWARP that is rdma_cm's business. */
static bool ready_make(struct rdma_port *port, struct rdma_peer *peer)
{
    return port->iwarp || (move_to(port, peer, IBV_QPS_RTR) && move_to(port, peer, IBV_QPS_RTS));
}

static struct rdma_conn_param parameters_of(const struct rdma_port *port,
                                            const struct rdma_peer *peer)
{
    return (struct rdma_conn_param){
        .responder_resources = port->reads_in,
        .initiator_depth = port->reads_out,
        .retry_count = RETRIES,
        .rnr_retry_count = RETRIES,
        .qp_num = peer->qp->qp_num,
    };
}

static uint64_t place_of(uint32_t ipv4, uint16_t port)
{
    return (uint64_t)ipv4 << 16 | port;
}

static void answer(struct rdma_port *port, struct rdma_peer *peer)
{
    struct rdma_conn_param parameters = parameters_of(port, peer);

    if (peer->cm == NULL || peer->cm_asked != peer->its.token) {
        return; /* one of both is still to come */
    }
    if (!ready_make(port, peer) || port->verbs->accept(peer->cm, &parameters) != 0) {
        failed(port, peer, "its asking could not be answered", errno);
        return;
    }
    rdma__peer_joined(port, peer);
}

void rdma__cm_join(struct rdma_port *port, struct rdma_peer *peer)
{
    struct sockaddr_in own = address_of(port->ipv4, 0);
    struct sockaddr_in its = address_of(peer->its.cm_ipv4, peer->its.cm_port);

    if (place_of(port->ipv4, port->cm_port) > place_of(peer->its.cm_ipv4, peer->its.cm_port)) {
        answer(port, peer);
        return;
    }
    rdma__cm_drop(port, peer); /* of one who asks though it should not */
    if (port->verbs->create_id(port->cm_channel, &peer->cm, peer) != 0) {
        peer->cm = NULL;
        failed(port, peer, "no id", errno);
        return;
    }
    peer->mate = peer->its.token;
    peer->state = RDMA_PEER_JOINING;
    peer->join_until_ns = port->verbs->now_ns() + RDMA_JOIN_NS;
    if (port->verbs->resolve_addr(peer->cm, &own, &its, FIND_MS) != 0) {
        failed(port, peer, "its address", errno);
    }
}

static void ask(struct rdma_port *port, struct rdma_peer *peer)
{
    struct rdma_conn_param parameters = parameters_of(port, peer);
    struct rdma_asking asking = {.token = peer->token, .mate = peer->mate};
    uint8_t bytes[RDMA_ASKING_BYTES];

    rdma__asking_encode(&asking, bytes);
    parameters.private_data = bytes;
    parameters.private_data_len = sizeof(bytes);
    peer->connecting = port->verbs->connect_begin(peer->cm, &parameters);
    if (peer->connecting == NULL) {
        failed(port, peer, "it cannot be asked", errno);
    }
}

/* The call is over, and has failed, or the answer comes as an event. */
static void asking_look(struct rdma_port *port, struct rdma_peer *peer)
{
    int error = 0;

    if (peer->connecting == NULL || !port->verbs->connect_done(peer->connecting, &error)) {
        return;
    }
    connecting_end(port, peer);
    if (error != 0) {
        failed(port, peer, "it cannot be asked", error);
    }
}

/* Ours was answered. */
static void answered(struct rdma_port *port, struct rdma_peer *peer)
{
    connecting_end(port, peer);
    if (!ready_make(port, peer) || (!port->iwarp && port->verbs->establish(peer->cm) != 0)) {
        failed(port, peer, "its answer could not be taken", errno);
        return;
    }
    rdma__peer_joined(port, peer);
    if (peer->qp != NULL) {
        rdma__peer_up(port, peer);
    }
}

/* Somebody asks: the id is ours now. */
static void asked(struct rdma_port *port, const struct news *news)
{
    struct rdma_peer *peer = NULL;

    for (uint32_t i = 0; i < RDMA_PEERS_MAX && news->asks; i++) {
        struct rdma_peer *p = &port->peers[i];

        if (p->state == RDMA_PEER_FRESH && p->token == news->asking.mate) {
            peer = p;
        }
    }
    if (peer == NULL) {
        (void)port->verbs->destroy_id(news->id);
        port->stats.rx_rejected++;
        return;
    }
    rdma__cm_drop(port, peer);
    peer->cm = news->id;
    peer->cm->context = peer;
    peer->cm_asked = news->asking.token;
    rdma__peer_join(port, peer);
}

/* --- events -------------------------------------------------------------------------------------
 */

static void peer_news(struct rdma_port *port, struct rdma_peer *peer, const struct news *news)
{
    switch (news->type) {
    case RDMA_CM_EVENT_ADDR_RESOLVED:
        if (port->verbs->resolve_route(news->id, FIND_MS) != 0) {
            failed(port, peer, "the way to it", errno);
        }
        break;
    case RDMA_CM_EVENT_ROUTE_RESOLVED:
        ask(port, peer);
        break;
    case RDMA_CM_EVENT_CONNECT_RESPONSE:
    case RDMA_CM_EVENT_ESTABLISHED: /* iWARP; else of who answered, which waits until it hears */
        if (peer->state == RDMA_PEER_JOINING) {
            answered(port, peer);
        }
        break;
    case RDMA_CM_EVENT_ADDR_ERROR:
    case RDMA_CM_EVENT_ROUTE_ERROR:
    case RDMA_CM_EVENT_CONNECT_ERROR:
    case RDMA_CM_EVENT_UNREACHABLE:
    case RDMA_CM_EVENT_REJECTED:
    case RDMA_CM_EVENT_DISCONNECTED:
        if (peer->state == RDMA_PEER_FRESH) {
            rdma__cm_drop(port, peer); /* it does not wait for our answer any more */
        } else if (news->type == RDMA_CM_EVENT_DISCONNECTED) {
            rdma__peer_lost(port, peer, "it has left");
        } else { /* a status is an errno value, negative, or the device's own */
            failed(port, peer, rdma_event_str(news->type), news->status < 0 ? -news->status : 0);
        }
        break;
    default: /* no trouble */
        break;
    }
}

static bool news_take(struct rdma_port *port, struct news *out)
{
    struct rdma_cm_event *event;

    if (port->verbs->get_cm_event(port->cm_channel, &event) != 0) {
        return false;
    }
    *out = (struct news){.type = event->event, .id = event->id, .status = event->status};
    if (event->event == RDMA_CM_EVENT_CONNECT_REQUEST) {
        out->asks = rdma__asking_decode(event->param.conn.private_data,
                                        event->param.conn.private_data_len, &out->asking) == SF_OK;
    }
    /* First, for an id cannot be destroyed while an event of it is not acknowledged. */
    (void)port->verbs->ack_cm_event(event);
    return true;
}

void rdma__cm_look(struct rdma_port *port, uint64_t now_ns)
{
    struct news news;

    for (uint32_t i = 0; i < EVENTS_MAX && !port->gone && news_take(port, &news); i++) {
        if (news.type == RDMA_CM_EVENT_CONNECT_REQUEST) {
            asked(port, &news);
        } else if (news.type == RDMA_CM_EVENT_DEVICE_REMOVAL) {
            rdma__device_gone(port, "the device is gone");
        } else if (news.id->context != NULL) {
            peer_news(port, news.id->context, &news);
        }
    }
    for (uint32_t i = 0; i < RDMA_PEERS_MAX; i++) {
        struct rdma_peer *peer = &port->peers[i];

        asking_look(port, peer);
        if (peer->state == RDMA_PEER_JOINING && now_ns >= peer->join_until_ns) {
            failed(port, peer, "no answer within 3 s", 0);
        }
    }
}
