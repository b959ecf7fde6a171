/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_cluster.c - if a cluster can be reached: what each pair of nodes talks over.
 *
 * Why: a link of a slower driver than was meant works, and so does a session that is not sealed,
 * and nobody is told. Everything here is what `get nodes` and `get sessions` have.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/doctor.h"

#define PAIRS_SHOWN_MAX 100u
#define NODES_SHOWN_MAX 16u /* of which the links are said one by one */
#define SETTLE_MS 5000u     /* until links are up and heart-beats have told who hears whom */

/* How a node reaches another one; NULL: fabricd does not say. */
static const Sf__Control__NodePeer *way_to(const Sf__Control__NodeInfo *node,
                                           const Sf__Control__NodeInfo *peer)
{
    size_t index;

    for (index = 0; index < node->n_peers; index++) {
        if (strcmp(node->peers[index]->name, peer->name) == 0) {
            return node->peers[index];
        }
    }
    return NULL;
}

/* NULL: there is none of that number. */
static const Sf__Control__LinkInfo *link_numbered(const Sf__Control__NodeInfo *node,
                                                  uint32_t number)
{
    return number >= 1 && number <= node->n_links ? node->links[number - 1] : NULL;
}

/* The session as either of the two sees it; NULL if nobody told. */
static const Sf__Control__SessionInfo *session_of(const Sf__Control__EdgeList *sessions,
                                                  const Sf__Control__NodeInfo *one,
                                                  const Sf__Control__NodeInfo *two)
{
    size_t index;

    for (index = 0; sessions != NULL && index < sessions->n_sessions; index++) {
        const Sf__Control__SessionInfo *session = sessions->sessions[index];

        if ((session->node == one->node_id && session->peer == two->node_id) ||
            (session->node == two->node_id && session->peer == one->node_id)) {
            return session;
        }
    }
    return NULL;
}

/* The link that carries what a node says to another one; the spare, if driver is that one's. */
static const Sf__Control__LinkInfo *link_to(const Sf__Control__NodeInfo *node,
                                            const Sf__Control__NodeInfo *peer, const char *driver)
{
    const Sf__Control__NodePeer *way = way_to(node, peer);
    const Sf__Control__LinkInfo *shared = NULL;
    size_t index;

    if (way != NULL && way->link != 0) {
        const Sf__Control__LinkInfo *first = link_numbered(node, way->link);
        const Sf__Control__LinkInfo *spare = link_numbered(node, way->spare);

        return spare != NULL && first != NULL && strcmp(spare->driver, driver) == 0 &&
                       strcmp(first->driver, driver) != 0
                   ? spare
                   : first;
    }
    for (index = 0; index < node->n_links; index++) {
        const Sf__Control__LinkInfo *link = node->links[index];
        if (link->peer_node == peer->node_id) {
            return link;
        }
        if (link->peer_node == 0 && shared == NULL) {
            shared = link; /* a network with many */
        }
    }
    return shared;
}

static bool hears(const Sf__Control__NodeInfo *node, const Sf__Control__NodeInfo *peer)
{
    size_t index;

    for (index = 0; index < node->n_peers_alive; index++) {
        if (strcmp(node->peers_alive[index], peer->name) == 0) {
            return true;
        }
    }
    return false;
}

/* A pair that does not talk: a failure, unless one of the two has only just joined. */
static void say_silent(struct doctor *doctor, const char *name, const Sf__Control__NodeInfo *node,
                       const Sf__Control__NodeInfo *peer, const char *what)
{
    if (node->stage_ms < SETTLE_MS || peer->stage_ms < SETTLE_MS) {
        doctor_say(doctor, DOCTOR_WARN, name, "%s%s, but has only just joined", node->name, what);
        doctor_fix(doctor, "fabricctl doctor   again in some seconds");
    } else {
        doctor_say(doctor, DOCTOR_FAIL, name, "%s%s", node->name, what);
        doctor_fix(doctor, "fabricctl logs node/%s --tail 20", node->name);
    }
}

/* A pair that works, and over what. */
static void say_good(struct doctor *doctor, const char *name, const Sf__Control__NodeInfo *one,
                     const Sf__Control__NodeInfo *two, const Sf__Control__LinkInfo *link,
                     const Sf__Control__SessionInfo *session, const char *sealed)
{
    /* Frames fit the spare as well. */
    uint32_t mtu = session != NULL && session->mtu_bytes > 0 && session->mtu_bytes < link->mtu_bytes
                       ? session->mtu_bytes
                       : link->mtu_bytes;
    const Sf__Control__NodePeer *way = way_to(one, two);
    const Sf__Control__LinkInfo *first = way != NULL ? link_numbered(one, way->link) : NULL;

    if (first != NULL && link != first) {
        doctor_say(doctor, DOCTOR_WARN, name,
                   "%s %s, %" PRIu32 " bytes a frame%s, which is the spare: nothing passes by %s",
                   link->driver, link->device, mtu, sealed, first->driver);
        doctor_fix(doctor, "fabricctl logs node/%s --tail 20", one->name);
    } else {
        doctor_say(doctor, DOCTOR_OK, name, "%s %s, %" PRIu32 " bytes a frame%s", link->driver,
                   link->device, mtu, sealed);
    }
}

static void say_pair(struct doctor *doctor, const Sf__Control__NodeInfo *one,
                     const Sf__Control__NodeInfo *two, const Sf__Control__EdgeList *sessions)
{
    const Sf__Control__SessionInfo *session = session_of(sessions, one, two);
    const char *driver = session != NULL ? session->driver : "";
    const Sf__Control__LinkInfo *left = link_to(one, two, driver);
    const Sf__Control__LinkInfo *right = link_to(two, one, driver);
    const char *sealed = session == NULL ? "" : session->sealed ? ", sealed" : ", not sealed";
    char name[48];

    snprintf(name, sizeof(name), "pair %.20s %.20s", one->name, two->name);
    if (left == NULL) {
        say_silent(doctor, name, one, two, " has no link to the other");
    } else if (right == NULL) {
        say_silent(doctor, name, two, one, " has no link to the other");
    } else if (!left->up) {
        say_silent(doctor, name, one, two, "'s end of the link is down");
    } else if (!right->up) {
        say_silent(doctor, name, two, one, "'s end of the link is down");
    } else if (!hears(one, two)) {
        say_silent(doctor, name, one, two, " does not hear the other");
    } else if (!hears(two, one)) {
        say_silent(doctor, name, two, one, " does not hear the other");
    } else if (strcmp(left->driver, right->driver) != 0 || left->mtu_bytes != right->mtu_bytes) {
        doctor_say(doctor, DOCTOR_WARN, name,
                   "ends differ: %s with %" PRIu32 " bytes a frame, %s with %" PRIu32 "%s",
                   left->driver, left->mtu_bytes, right->driver, right->mtu_bytes, sealed);
        doctor_fix(doctor, "give both ends the same driver and MTU: fabricctl get nodes -o json");
    } else if (one->address[0] != '\0' && strcmp(one->address, two->address) == 0 &&
               strcmp(left->driver, "memif") != 0) {
        doctor_say(doctor, DOCTOR_WARN, name,
                   "%s %s, %" PRIu32
                   " bytes a frame%s, between two nodes of one machine, where memif is faster",
                   left->driver, left->device, left->mtu_bytes, sealed);
        doctor_fix(doctor, "fabricctl doctor --driver memif");
    } else {
        say_good(doctor, name, one, two, left, session, sealed);
    }
}

/* Whether fabricd says of all its peers how they are reached, and of none by that link. */
static bool link_unused(const Sf__Control__NodeInfo *node, uint32_t number)
{
    size_t index;

    for (index = 0; index < node->n_peers; index++) {
        if (node->peers[index]->link == number || node->peers[index]->spare == number ||
            node->peers[index]->link == 0) {
            return false;
        }
    }
    return node->n_peers > 0;
}

/* Links for many peers, which a node brought; those of two nodes are said with their pair. */
static void say_links(struct doctor *doctor, const Sf__Control__NodeInfo *node)
{
    char name[48];
    size_t index;

    for (index = 0; index < node->n_links; index++) {
        const Sf__Control__LinkInfo *link = node->links[index];
        if (link->peer_node != 0 || strcmp(link->driver, "memif") == 0) {
            continue;
        }
        snprintf(name, sizeof(name), "link %.20s %.20s", node->name, link->device);
        if (link_unused(node, (uint32_t)index + 1)) {
            doctor_say(doctor, DOCTOR_OK, name, "%s, %" PRIu32 " bytes a frame, no node needs it",
                       link->driver, link->mtu_bytes);
            continue;
        }
        doctor_say(doctor, link->up ? DOCTOR_OK : DOCTOR_WARN, name,
                   "%s, %" PRIu32 " bytes a frame, %s", link->driver, link->mtu_bytes,
                   link->up ? "up" : "down: nothing gets through");
        if (!link->up) {
            doctor_fix(doctor, "fabricctl logs node/%s --tail 20", node->name);
        }
    }
}

static void say_pairs(struct doctor *doctor, const char *name, const Sf__Control__NodeList *list,
                      const Sf__Control__EdgeList *sessions)
{
    unsigned joined = 0;
    unsigned shown = 0;
    unsigned hidden = 0;
    size_t first;
    size_t second;

    for (first = 0; first < list->n_nodes; first++) {
        if (strcmp(list->nodes[first]->stage, "joined") != 0) {
            continue;
        }
        joined += 1;
        if (joined <= NODES_SHOWN_MAX) {
            say_links(doctor, list->nodes[first]);
        }
        for (second = first + 1; second < list->n_nodes; second++) {
            if (strcmp(list->nodes[second]->stage, "joined") != 0) {
                continue;
            }
            if (shown < PAIRS_SHOWN_MAX) {
                say_pair(doctor, list->nodes[first], list->nodes[second], sessions);
                shown += 1;
            } else {
                hidden += 1;
            }
        }
    }
    if (hidden > 0) {
        doctor_say(doctor, DOCTOR_SKIP, "pair (more)", "%u pairs: fabricctl get nodes -o json",
                   hidden);
    }
    if (joined < list->n_nodes) {
        doctor_say(doctor, DOCTOR_WARN, name, "%u of %zu nodes have joined", joined, list->n_nodes);
        doctor_fix(doctor, "fabricctl get nodes");
    } else {
        doctor_say(doctor, DOCTOR_OK, name, "all %u nodes have joined", joined);
    }
}

/* NULL: no answer, which is no finding of its own. */
static Sf__Control__Envelope *ask(struct ctl_client *client, Sf__Control__Envelope *request,
                                  Sf__Control__Envelope__BodyCase wanted)
{
    Sf__Control__Envelope *reply = NULL;

    return ctl_call(client, request, wanted, CTL_QUICK_MS, &reply) == CTL_OK ? reply : NULL;
}

void doctor_check_cluster(struct doctor *doctor, const char *name)
{
    struct ctl_context *context = doctor->context;
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__GetNodes nodes = SF__CONTROL__GET_NODES__INIT;
    Sf__Control__GetChannels channels = SF__CONTROL__GET_CHANNELS__INIT;
    Sf__Control__Envelope *list = NULL;
    Sf__Control__Envelope *sessions = NULL;
    struct ctl_client *client = NULL;

    if (doctor->root[0] != '\0' && !context->socket_given) {
        doctor_say(doctor, DOCTOR_SKIP, name, "not looked for: --root was given");
        return;
    }
    if (ctl_connect(context, true, &client) == CTL_OK) {
        ctl_set_quiet(client, true);
        request.body_case = SF__CONTROL__ENVELOPE__BODY_GET_NODES;
        request.get_nodes = &nodes;
        list = ask(client, &request, SF__CONTROL__ENVELOPE__BODY_NODE_LIST);
    }
    if (list != NULL) {
        request.body_case = SF__CONTROL__ENVELOPE__BODY_GET_CHANNELS;
        request.get_channels = &channels;
        sessions = ask(client, &request, SF__CONTROL__ENVELOPE__BODY_EDGE_LIST);
        say_pairs(doctor, name, list->node_list, sessions != NULL ? sessions->edge_list : NULL);
    } else {
        doctor_say(doctor, DOCTOR_SKIP, name, "none named %s can be reached", context->cluster);
    }
    ctl_reply_free(sessions);
    ctl_reply_free(list);
    ctl_disconnect(client);
}
