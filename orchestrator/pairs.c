/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pairs.c - makes every two joined nodes talk to each other.
 *
 * Which link that is over, choose.c says: one for many peers that each has brought, or a memif link
 * of the pair's own, of which the node that joined first opens the server's end, then the other the
 * client's. Then each is told of the other, and of its key; whether their session is encrypted is
 * decided here, the same for both. A failure is tried again PAIR_TRIES_MAX times; then the pair
 * stays failed, with the reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "choose.h"
#include "daemon.h"

#define PAIR_TRIES_MAX 5u
#define PAIR_RETRY_MS 1000u
#define PAIR_LOOK_MS 500u
#define PAIR_SILENT_MS 3000u /* two that heard each other: their session is gone */
#define ENDPOINT_BYTES_MAX 64u
#define PAIR_UNHEARD_MS 12000u /* two that never did: a session waits 10 s for its first frame */

struct pair_work {
    struct pair_work *next;
    uint16_t id[2];    /* [0] joined first */
    uint32_t link[2];  /* the number of the link at each */
    uint32_t spare[2]; /* of the spare; 0: there is none */
    uint64_t number;   /* callbacks of an older try are ignored */
    uint32_t waiting;  /* answers that are due */
    uint32_t tries;
    uint64_t retry_ms; /* 0: no retry due */
    bool failed;
    bool up;            /* both were told of the other */
    bool heard;         /* and have heard it, since then */
    bool silence_said;  /* that they do not hear each other, once */
    uint64_t silent_ms; /* since when they do not; 0: they do, or it is not known */
    char socket_path[DAEMON_DEVICE_BYTES_MAX + 1]; /* memif; else empty */
    char why[CHOOSE_TEXT_BYTES];                   /* that link */
    bool added[2];                                 /* that side knows the other as its peer */
    /* What that side last said that the other has to be told of its end; 0 bytes: nothing. */
    uint8_t endpoint[2][ENDPOINT_BYTES_MAX];
    uint8_t endpoint_bytes[2];
};

/* What a callback needs to find its pair again. */
struct pair_ref {
    struct daemon *daemon;
    uint64_t number;
    unsigned side; /* who answered */
};

static uint64_t last_number; /* of tries */

static struct pair_work *find_work(struct daemon *daemon, uint64_t number)
{
    struct pair_work *work;

    for (work = daemon->pairs; work != NULL && work->number != number; work = work->next) {
    }
    return work;
}

static struct world_pair *pair_of(struct daemon *daemon, const struct pair_work *work)
{
    return world_pair_get(&daemon->world, work->id[0], work->id[1]);
}

static void set_state(struct daemon *daemon, const struct pair_work *work,
                      enum world_pair_state state, const char *text)
{
    struct world_pair *pair = pair_of(daemon, work);
    unsigned side;

    if (pair == NULL) {
        return;
    }
    pair->state = state;
    snprintf(pair->text, sizeof(pair->text), "%s", text);
    for (side = 0; side < 2; side++) {
        unsigned at = work->id[side] == pair->a ? 0 : 1;
        pair->link[at] = work->link[side];
        pair->spare[at] = work->spare[side];
    }
}

static void fail(struct daemon *daemon, struct pair_work *work, const char *text)
{
    struct world_node *first = world_node_by_id(&daemon->world, work->id[0]);
    struct world_node *second = world_node_by_id(&daemon->world, work->id[1]);

    if (work->failed) {
        return;
    }
    work->failed = true;
    work->up = false;
    work->tries += 1;
    session_note(first, "no link to %s: %s", second->name, text);
    if (work->tries < PAIR_TRIES_MAX) {
        work->retry_ms = daemon_now(daemon) + PAIR_RETRY_MS;
        set_state(daemon, work, WORLD_PAIR_PENDING, text);
    } else {
        set_state(daemon, work, WORLD_PAIR_FAILED, text);
    }
}

/* Sends one step to a side; `done` gets a pair_ref. */
static void ask(struct daemon *daemon, struct pair_work *work, unsigned side,
                Sf__Control__Envelope *envelope, session_done done)
{
    struct world_node *node = world_node_by_id(&daemon->world, work->id[side]);
    struct pair_ref *ref = calloc(1, sizeof(*ref));
    sf_status status = SF_NOMEM;
    char text[160];

    if (ref != NULL) {
        *ref = (struct pair_ref){daemon, work->number, side};
        status = session_request(daemon, node, envelope, REQUEST_MS, done, ref);
    }
    if (status != SF_OK) {
        free(ref);
        snprintf(text, sizeof(text), "%s cannot be asked: %s", node->name, sf_status_text(status));
        fail(daemon, work, text);
    } else {
        work->waiting += 1;
    }
}

/* The pair an answer is for, if it is still that try and has not failed; says a failure. */
static struct pair_work *answered(struct pair_ref *ref, sf_status status, const char *text)
{
    struct pair_work *work = find_work(ref->daemon, ref->number);
    const struct world_node *node;
    char what[200];

    if (work == NULL) {
        return NULL;
    }
    work->waiting -= 1;
    if (status != SF_OK && status != SF_EXISTS) {
        node = world_node_by_id(&ref->daemon->world, work->id[ref->side]);
        snprintf(what, sizeof(what), "%s: %s", node->name,
                 text[0] != '\0' ? text : sf_status_text(status));
        fail(ref->daemon, work, what);
    }
    return work->failed ? NULL : work;
}

/* --- the steps, last one first ------------------------------------------------------------------
 */

/* Until the next heart-beat says more, so that a link is seen as soon as it is there. */
static void note_link(struct daemon *daemon, const struct pair_work *work, unsigned side)
{
    struct world_node *node = world_node_by_id(&daemon->world, work->id[side]);
    struct world_link *link = &node->links[node->link_count];

    if (work->socket_path[0] == '\0' || node->link_count == WORLD_NODE_LINKS_MAX) {
        return;
    }
    memset(link, 0, sizeof(*link));
    snprintf(link->driver, sizeof(link->driver), "memif");
    snprintf(link->device, sizeof(link->device), "%s", work->socket_path);
    link->peer_node = work->id[1 - side];
    link->up = true;
    node->link_count += 1;
}

/* Tells a side what the other has said of its end, once it knows the other. */
static void endpoint_pass(struct daemon *daemon, struct pair_work *work, unsigned side)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__PeerEndpoint body = SF__CONTROL__PEER_ENDPOINT__INIT;

    if (!work->added[side] || work->endpoint_bytes[1 - side] == 0) {
        return;
    }
    body.node_id = work->id[1 - side];
    body.endpoint.data = work->endpoint[1 - side];
    body.endpoint.len = work->endpoint_bytes[1 - side];
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_PEER_ENDPOINT;
    envelope.peer_endpoint = &body;
    session_tell(daemon, world_node_by_id(&daemon->world, work->id[side]), &envelope);
}

void pairs_endpoint(struct daemon *daemon, struct world_node *node,
                    const Sf__Control__PeerEndpoint *message)
{
    struct pair_work *work = daemon->pairs;
    unsigned side;

    while (work != NULL && !(work->id[0] == node->id && work->id[1] == message->node_id) &&
           !(work->id[1] == node->id && work->id[0] == message->node_id)) {
        work = work->next;
    }
    if (work == NULL || message->endpoint.len > ENDPOINT_BYTES_MAX) {
        session_note(node, "sent an endpoint of %zu bytes for node %u, which is %s",
                     message->endpoint.len, message->node_id,
                     work == NULL ? "no peer of it" : "too long");
        return;
    }
    side = work->id[0] == node->id ? 0 : 1;
    if (message->endpoint.len > 0) {
        memcpy(work->endpoint[side], message->endpoint.data, message->endpoint.len);
    }
    work->endpoint_bytes[side] = (uint8_t)message->endpoint.len;
    endpoint_pass(daemon, work, 1 - side);
}

static void on_peer_added(void *arg, sf_status status, const char *text,
                          const Sf__Control__Envelope *reply)
{
    struct pair_ref *ref = arg;
    struct daemon *daemon = ref->daemon;
    struct pair_work *work = answered(ref, status, text);
    unsigned side = ref->side;

    (void)reply;
    free(ref);
    if (work != NULL) {
        work->added[side] = true;
        endpoint_pass(daemon, work, side);
    }
    if (work != NULL && work->waiting == 0) {
        work->tries = 0;
        work->up = true;
        set_state(daemon, work, WORLD_PAIR_UP, work->why);
        note_link(daemon, work, 0);
        note_link(daemon, work, 1);
        daemon_log("%s and %s are linked: %s", world_node_by_id(&daemon->world, work->id[0])->name,
                   world_node_by_id(&daemon->world, work->id[1])->name, work->why);
    }
}

/* The link a side brought itself; NULL: it is a memif link of the pair. */
static const struct world_link *brought(const struct pair_work *work, const struct world_node *node,
                                        unsigned side)
{
    return work->socket_path[0] != '\0' ? NULL : &node->own_links[work->link[side] - 1];
}

/* The spare of a side; NULL: there is none. */
static const struct world_link *spare_of(const struct pair_work *work,
                                         const struct world_node *node, unsigned side)
{
    return work->spare[side] == 0 ? NULL : &node->own_links[work->spare[side] - 1];
}

/* Whether their session is to be encrypted: if any driver it may come to run over asks for it. */
static bool encrypted(const struct daemon *daemon, const struct pair_work *work)
{
    bool asked = false;
    unsigned side;

    for (side = 0; side < 2; side++) {
        const struct world_node *node = world_node_by_id(&daemon->world, work->id[side]);
        const struct world_link *link = brought(work, node, side);
        const struct world_link *spare = spare_of(work, node, side);
        asked = asked ||
                orch_encrypt_link(daemon->encrypt, link != NULL ? link->driver : "memif") ||
                (spare != NULL && orch_encrypt_link(daemon->encrypt, spare->driver));
    }
    return asked;
}

/* False: it is to be encrypted, and one told no key; the pair has failed for good. */
static bool keys_there(struct daemon *daemon, struct pair_work *work)
{
    unsigned side;

    for (side = 0; side < 2; side++) {
        const struct world_node *node = world_node_by_id(&daemon->world, work->id[side]);
        if (!node->has_key) {
            char text[160];
            snprintf(
                text, sizeof(text),
                "%s told no key, so their session cannot be encrypted; without: --encrypt none",
                node->name);
            work->tries = PAIR_TRIES_MAX;
            fail(daemon, work, text);
            return false;
        }
    }
    return true;
}

static void add_peer(struct daemon *daemon, struct pair_work *work, unsigned side, bool encrypt)
{
    const struct world_node *peer = world_node_by_id(&daemon->world, work->id[1 - side]);
    const struct world_link *link = brought(work, peer, 1 - side);
    const struct world_link *spare = spare_of(work, peer, 1 - side);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__PeerAdd body = SF__CONTROL__PEER_ADD__INIT;

    body.node_id = peer->id;
    body.epoch = peer->epoch;
    body.link = work->link[side];
    body.name = (char *)peer->name;
    body.encrypt = encrypt;
    if (peer->has_key) {
        body.key.data = (uint8_t *)peer->key;
        body.key.len = sizeof(peer->key);
    }
    if (link != NULL) {
        body.mac.data = (uint8_t *)link->mac;
        body.mac.len = sizeof(link->mac);
        body.ipv4 = link->ipv4;
    }
    if (spare != NULL) {
        body.spare_link = work->spare[side];
        body.spare_mac.data = (uint8_t *)spare->mac;
        body.spare_mac.len = sizeof(spare->mac);
        body.spare_ipv4 = spare->ipv4;
    }
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_PEER_ADD;
    envelope.peer_add = &body;
    ask(daemon, work, side, &envelope, on_peer_added);
}

static void add_peers(struct daemon *daemon, struct pair_work *work)
{
    bool encrypt = encrypted(daemon, work);
    unsigned side;

    if (encrypt && !keys_there(daemon, work)) {
        return;
    }
    for (side = 0; side < 2 && !work->failed; side++) {
        add_peer(daemon, work, side, encrypt);
    }
}

static void open_link(struct daemon *daemon, struct pair_work *work, unsigned side,
                      session_done done)
{
    struct world_node *node = world_node_by_id(&daemon->world, work->id[side]);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__LinkOpen body = SF__CONTROL__LINK_OPEN__INIT;
    Sf__Control__LinkInfo info = SF__CONTROL__LINK_INFO__INIT;

    work->link[side] = node->link_next++;
    info.driver = (char *)"memif";
    info.device = work->socket_path;
    info.peer_node = work->id[1 - side];
    body.link = work->link[side];
    body.info = &info;
    body.server = side == 0;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_LINK_OPEN;
    envelope.link_open = &body;
    ask(daemon, work, side, &envelope, done);
}

static void on_client_open(void *arg, sf_status status, const char *text,
                           const Sf__Control__Envelope *reply)
{
    struct pair_ref *ref = arg;
    struct daemon *daemon = ref->daemon;
    struct pair_work *work = answered(ref, status, text);

    (void)reply;
    free(ref);
    if (work != NULL) {
        add_peers(daemon, work);
    }
}

static void on_server_open(void *arg, sf_status status, const char *text,
                           const Sf__Control__Envelope *reply)
{
    struct pair_ref *ref = arg;
    struct daemon *daemon = ref->daemon;
    struct pair_work *work = answered(ref, status, text);

    (void)reply;
    free(ref);
    if (work != NULL) {
        open_link(daemon, work, 1, on_client_open);
    }
}

/* --- a try --------------------------------------------------------------------------------------
 */

/* What is left of an earlier try must not be taken for the new one. */
static void remove_peers(struct daemon *daemon, const struct pair_work *work)
{
    unsigned side;

    for (side = 0; side < 2; side++) {
        Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
        Sf__Control__PeerRemove body = SF__CONTROL__PEER_REMOVE__INIT;

        body.node_id = work->id[1 - side];
        envelope.body_case = SF__CONTROL__ENVELOPE__BODY_PEER_REMOVE;
        envelope.peer_remove = &body;
        session_tell(daemon, world_node_by_id(&daemon->world, work->id[side]), &envelope);
    }
}

static void memif_start(struct daemon *daemon, struct pair_work *work)
{
    int length =
        snprintf(work->socket_path, sizeof(work->socket_path), "%s/m%u-%u-%llu.sock",
                 daemon->state_dir, work->id[0], work->id[1], (unsigned long long)work->number);

    if (length < 0 || (size_t)length >= sizeof(work->socket_path)) {
        char text[160];

        work->socket_path[0] = '\0';
        snprintf(text, sizeof(text),
                 "the path of their socket would have %d bytes, at most %u; give fabricd a state "
                 "folder with a shorter path",
                 length, DAEMON_DEVICE_BYTES_MAX);
        work->tries = PAIR_TRIES_MAX;
        fail(daemon, work, text);
        return;
    }
    unlink(work->socket_path);
    open_link(daemon, work, 0, on_server_open);
}

static void start(struct daemon *daemon, struct pair_work *work)
{
    const struct world_node *first = world_node_by_id(&daemon->world, work->id[0]);
    const struct world_node *second = world_node_by_id(&daemon->world, work->id[1]);
    const struct link_rules rules = {.no_memif = daemon->no_memif, .rdma = &daemon->rdma};
    struct link_choice choice;
    char text[CHOOSE_TEXT_BYTES];

    work->number = ++last_number;
    work->waiting = 0;
    work->failed = false;
    work->up = false;
    work->heard = false;
    work->silent_ms = 0;
    work->retry_ms = 0;
    work->socket_path[0] = '\0';
    memset(work->link, 0, sizeof(work->link));
    memset(work->spare, 0, sizeof(work->spare));
    memset(work->added, 0, sizeof(work->added));
    memset(work->endpoint_bytes, 0, sizeof(work->endpoint_bytes));
    if (work->tries > 0) {
        remove_peers(daemon, work);
    }
    if (!choose_link(first, second, &rules, &choice, text, sizeof(text))) {
        work->tries = PAIR_TRIES_MAX;
        fail(daemon, work, text);
        return;
    }
    memcpy(work->why, text, sizeof(work->why));
    memcpy(work->link, choice.link, sizeof(work->link));
    memcpy(work->spare, choice.spare, sizeof(work->spare));
    set_state(daemon, work, WORLD_PAIR_PENDING, "");
    if (choice.memif) {
        memif_start(daemon, work);
    } else {
        add_peers(daemon, work);
    }
}

/* --- entry --------------------------------------------------------------------------------------
 */

void pairs_node_joined(struct daemon *daemon, struct world_node *node)
{
    uint32_t index;

    for (index = 0; index < daemon->world.node_count; index++) {
        struct world_node *other = daemon->world.nodes[index];
        struct pair_work *work;

        if (other == node || other->stage != WORLD_JOINED) {
            continue;
        }
        work = calloc(1, sizeof(*work));
        if (work == NULL) {
            session_note(node, "no memory for a link to %s", other->name);
            continue;
        }
        work->id[0] = other->id;
        work->id[1] = node->id;
        work->next = daemon->pairs;
        daemon->pairs = work;
        start(daemon, work);
    }
}

void pairs_node_lost(struct daemon *daemon, struct world_node *node)
{
    struct pair_work **link = &daemon->pairs;

    while (*link != NULL) {
        struct pair_work *work = *link;
        Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
        Sf__Control__PeerRemove body = SF__CONTROL__PEER_REMOVE__INIT;
        uint16_t other;

        if (work->id[0] != node->id && work->id[1] != node->id) {
            link = &work->next;
            continue;
        }
        other = work->id[0] == node->id ? work->id[1] : work->id[0];
        body.node_id = node->id;
        body.dead_epoch = node->epoch;
        envelope.body_case = SF__CONTROL__ENVELOPE__BODY_PEER_REMOVE;
        envelope.peer_remove = &body;
        session_tell(daemon, world_node_by_id(&daemon->world, other), &envelope);
        set_state(daemon, work, WORLD_PAIR_NONE, "");
        if (work->socket_path[0] != '\0') {
            unlink(work->socket_path);
        }
        *link = work->next;
        free(work);
    }
}

/* Both have a connection, so what they said last of whom they hear is not old. */
static void look(struct daemon *daemon, struct pair_work *work, struct world_node *first,
                 const struct world_node *second)
{
    uint64_t now_ms = daemon_now(daemon);

    if (world_node_hears(first, second->id) && world_node_hears(second, first->id)) {
        work->heard = true;
        work->silence_said = false;
        work->silent_ms = 0;
    } else if (work->silent_ms == 0) {
        work->silent_ms = now_ms;
    } else if (now_ms - work->silent_ms >= (work->heard ? PAIR_SILENT_MS : PAIR_UNHEARD_MS)) {
        if (!work->silence_said) {
            session_note(first, "%s and %s do not hear each other; linking them again", first->name,
                         second->name);
        }
        work->silence_said = true;
        work->tries = 1; /* what is left of the session goes first */
        start(daemon, work);
    }
}

/* Which joined nodes do not hear each other; in every PAIR_LOOK_MS. */
static void look_all(struct daemon *daemon)
{
    struct pair_work *work;

    for (work = daemon->pairs; work != NULL; work = work->next) {
        struct world_node *first = world_node_by_id(&daemon->world, work->id[0]);
        const struct world_node *second = world_node_by_id(&daemon->world, work->id[1]);

        if (!work->up || first->session == NULL || second->session == NULL) {
            work->silent_ms = 0;
        } else {
            look(daemon, work, first, second);
        }
    }
}

void pairs_tick(struct daemon *daemon)
{
    struct pair_work *work;

    if (daemon_now(daemon) >= daemon->pairs_look_ms) {
        daemon->pairs_look_ms = daemon_now(daemon) + PAIR_LOOK_MS;
        look_all(daemon);
    }
    for (work = daemon->pairs; work != NULL; work = work->next) {
        const struct world_node *first = world_node_by_id(&daemon->world, work->id[0]);
        const struct world_node *second = world_node_by_id(&daemon->world, work->id[1]);
        if (work->retry_ms != 0 && work->retry_ms <= daemon_now(daemon) && first->session != NULL &&
            second->session != NULL) {
            start(daemon, work);
        }
    }
}

bool pairs_pending(const struct daemon *daemon)
{
    uint32_t index;

    for (index = 0; index < daemon->world.pair_count; index++) {
        if (daemon->world.pairs[index]->state == WORLD_PAIR_PENDING) {
            return true;
        }
    }
    return false;
}

void pairs_fini(struct daemon *daemon)
{
    while (daemon->pairs != NULL) {
        struct pair_work *work = daemon->pairs;
        daemon->pairs = work->next;
        free(work); /* the links live on without fabricd */
    }
}
