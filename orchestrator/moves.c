/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moves.c - SIPs that change nodes.
 *
 * fabricd begins a move and keeps its books; the two nodes do it, and need nothing of fabricd but
 * in one case: a source that has told the target to go on with the SIP, and then lost it, may not
 * go on by itself (MoveDoubt). It is told what became of the move once the target has said so, or
 * once the target is lost for good, because its epoch never comes back.
 *
 * Model: moves wait in a row; one that is due is under way until its source says how it ended.
 * While any is, no apply, delete or restart is planned, and while one of those is carried out no
 * move begins: what is known of who is where stays true. A node takes part in MOVES_NODE_MAX moves
 * at a time. A SIP is the target's as soon as the first of the two has said so. When its source is
 * lost in the middle, the target is asked whether it has the SIP; until it has answered, the SIP is
 * not counted as lost.
 *
 * Limits: MOVES_MAX moves that have not ended; MOVES_KEPT that have are remembered.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/sip_move.h"
#include "moves.h"

#define MOVES_MAX 4096u
#define MOVES_KEPT 128u
#define MOVES_NODE_MAX 2u
#define TRIES_MAX 40u
#define TRY_AGAIN_MS 50u
#define HEARING_MS 5000u /* two nodes that have just joined hear each other by then */

static struct move *move_by_number(const struct daemon *daemon, uint64_t number)
{
    struct move *move = daemon->moves;

    while (move != NULL && move->number != number) {
        move = move->next;
    }
    return move;
}

static bool has_begun(const struct move *move)
{
    return move->ended_ms == 0 && move->step != SF__CONTROL__MOVE_STEP__MOVE_QUEUED;
}

bool moves_under_way(const struct daemon *daemon)
{
    const struct move *move = daemon->moves;

    while (move != NULL && !has_begun(move)) {
        move = move->next;
    }
    return move != NULL;
}

/* --- telling ------------------------------------------------------------------------------------
 */

static const char *const step_names[] = {"queued",   "image",  "prepare", "precopy", "freeze",
                                         "transfer", "commit", "done",    "aborted", "lost"};

static const char *node_name(const struct daemon *daemon, uint16_t id)
{
    const struct world_node *node = world_node_by_id(&daemon->world, id);

    return node != NULL ? node->name : "?";
}

static void progress(struct daemon *daemon, const struct move *move, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void progress(struct daemon *daemon, const struct move *move, const char *format, ...)
{
    struct console *console = console_by_number(daemon, move->console);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Progress body = SF__CONTROL__PROGRESS__INIT;
    char text[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    daemon_log("move %" PRIu64 " of %s: %s", move->number, move->name, text);
    if (console != NULL) {
        body.text = text;
        body.elapsed_ms = daemon_now(daemon) - move->asked_ms;
        envelope.body_case = SF__CONTROL__ENVELOPE__BODY_PROGRESS;
        envelope.progress = &body;
        console_send(console, move->request, &envelope);
    }
}

/* Forgets the oldest of those that have ended. */
static void moves_trim(struct daemon *daemon)
{
    struct move **oldest = NULL;
    uint32_t count = 0;

    for (struct move **link = &daemon->moves; *link != NULL; link = &(*link)->next) {
        if ((*link)->ended_ms != 0) {
            oldest = oldest == NULL ? link : oldest;
            count++;
        }
    }
    if (count > MOVES_KEPT) {
        struct move *gone = *oldest;

        *oldest = gone->next;
        free(gone);
    }
}

static void finish(struct daemon *daemon, struct move *move, Sf__Control__MoveStep step,
                   sf_status status, const char *format, ...) __attribute__((format(printf, 5, 6)));

static void finish(struct daemon *daemon, struct move *move, Sf__Control__MoveStep step,
                   sf_status status, const char *format, ...)
{
    struct console *console = console_by_number(daemon, move->console);
    struct world_sip *sip = world_sip_by_number(&daemon->world, move->sip);
    char text[500];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    assert(move->ended_ms == 0);
    move->step = step;
    move->ended_ms = daemon_now(daemon);
    if (step != SF__CONTROL__MOVE_STEP__MOVE_DONE) {
        snprintf(move->text, sizeof(move->text), "%.*s", (int)sizeof(move->text) - 1, text);
    }
    if (sip != NULL) {
        world_log_add(&sip->log, daemon_wall(), text);
    }
    if (move->drain != 0) {
        progress(daemon, move, "%s", text);
        drain__moved(daemon, move);
    } else {
        daemon_log("move %" PRIu64 " of %s: %s", move->number, move->name, text);
    }
    if (move->drain == 0 && console != NULL) {
        console_result(console, move->request, status, "%s", text);
    }
    moves_trim(daemon);
}

static void finish_aborted(struct daemon *daemon, struct move *move, const char *why)
{
    finish(daemon, move, SF__CONTROL__MOVE_STEP__MOVE_ABORTED, SF_IO,
           "SIP %s is not moved to %s and runs on %s as before: %s", move->name,
           node_name(daemon, move->target), node_name(daemon, move->source),
           why[0] != '\0' ? why : "no reason was given");
}

static void bytes_text(uint64_t bytes, char *text, size_t capacity)
{
    if (bytes < 1024 * 1024) {
        snprintf(text, capacity, "%" PRIu64 " KiB", (bytes + 1023) / 1024);
    } else {
        snprintf(text, capacity, "%.1f MiB", (double)bytes / (1024 * 1024));
    }
}

static void finish_done(struct daemon *daemon, struct move *move)
{
    char before[32], frozen[32];

    bytes_text(move->figures.precopied_bytes, before, sizeof(before));
    bytes_text(move->figures.frozen_bytes, frozen, sizeof(frozen));
    finish(daemon, move, SF__CONTROL__MOVE_STEP__MOVE_DONE, SF_OK,
           "SIP %s moved from %s to %s: black-out %.3f ms, %s copied before and %s in it, %u "
           "endpoints, %.1f ms in all",
           move->name, node_name(daemon, move->source), node_name(daemon, move->target),
           (double)move->figures.blackout_ns / 1e6, before, frozen, move->figures.endpoints,
           (double)move->figures.total_ns / 1e6);
}

/* --- who has the SIP ----------------------------------------------------------------------------
 */

static void sip_arrived(struct daemon *daemon, struct move *move)
{
    struct world_sip *sip = world_sip_by_number(&daemon->world, move->sip);

    if (!move->arrived && sip != NULL && sip->node->id == move->source) {
        sip->node = world_node_by_id(&daemon->world, move->target);
    }
    move->arrived = true;
}

static void sip_lost(struct daemon *daemon, struct move *move, const char *why)
{
    struct world_sip *sip = world_sip_by_number(&daemon->world, move->sip);

    if (sip != NULL && world_sip_live(sip)) {
        world_sip_end(sip, SF__CONTROL__SIP_STATE__LOST, 0, SF_CAUSE_OF(NODE_LOST), why);
        world_log_add(&sip->log, daemon_wall(), why);
        restart_sip_ended(daemon, sip);
    }
    finish(daemon, move, SF__CONTROL__MOVE_STEP__MOVE_LOST, SF_IO,
           "SIP %s was lost in its move from %s to %s: %s", move->name,
           node_name(daemon, move->source), node_name(daemon, move->target), why);
}

/* What an answer of a node is about. */
struct moves_ref {
    struct daemon *daemon;
    uint64_t number; /* of the move */
};

/* done is told of it with a struct moves_ref, which it frees. Not OK: it is told nothing. */
static sf_status ask_node(struct daemon *daemon, const struct move *move, struct world_node *node,
                          Sf__Control__Envelope *envelope, uint32_t timeout_ms, session_done done)
{
    struct moves_ref *ref = calloc(1, sizeof(*ref));
    sf_status status = SF_NOMEM;

    if (ref != NULL) {
        *ref = (struct moves_ref){.daemon = daemon, .number = move->number};
        status = session_request(daemon, node, envelope, timeout_ms, done, ref);
    }
    if (status != SF_OK) {
        free(ref);
    }
    return status;
}

/* The target's answer: has it gone on with a SIP whose source is lost? */
static void on_asked(void *arg, sf_status status, const char *text,
                     const Sf__Control__Envelope *reply)
{
    struct moves_ref *ref = arg;
    struct daemon *daemon = ref->daemon;
    struct move *move = move_by_number(daemon, ref->number);
    char why[200];

    free(ref);
    if (move == NULL || move->ended_ms != 0) {
        return;
    }
    move->waits = false;
    if (status == SF_OK && reply->body_case == SF__CONTROL__ENVELOPE__BODY_MOVE_TOLD) {
        if (reply->move_told->here) {
            sip_arrived(daemon, move);
            finish_done(daemon, move);
        } else {
            snprintf(why, sizeof(why), "node lost: %s, before %s had the SIP",
                     node_name(daemon, move->source), node_name(daemon, move->target));
            sip_lost(daemon, move, why);
        }
        return;
    }
    session_note(world_node_by_id(&daemon->world, move->target),
                 "does not say whether it has SIP %s: %s", move->name,
                 text[0] != '\0' ? text : sf_status_text(status));
    move->again_ms = daemon_now(daemon) + MOVES_ASK_AGAIN_MS;
}

/* Of a move whose source is lost. */
static void ask_target(struct daemon *daemon, struct move *move)
{
    struct world_node *target = world_node_by_id(&daemon->world, move->target);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__MoveAsk body = SF__CONTROL__MOVE_ASK__INIT;
    sf_status status;

    if (target->stage != WORLD_JOINED) {
        sip_lost(daemon, move, "node lost: both its nodes are");
        return;
    }
    body.sip = move->sip;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_MOVE_ASK;
    envelope.move_ask = &body;
    status = ask_node(daemon, move, target, &envelope, REQUEST_LOOK_MS, on_asked);
    move->waits = status == SF_OK;
    if (status != SF_OK) {
        move->again_ms = daemon_now(daemon) + MOVES_ASK_AGAIN_MS;
    }
}

/* By and by. */
static void queue_again(struct daemon *daemon, struct move *move)
{
    move->step = SF__CONTROL__MOVE_STEP__MOVE_QUEUED;
    move->again_ms = daemon_now(daemon) + TRY_AGAIN_MS;
}

/* --- what nodes tell ----------------------------------------------------------------------------
 */

void moves_report(struct daemon *daemon, const struct world_node *node,
                  const Sf__Control__MoveReport *report)
{
    struct move *move = move_by_number(daemon, report->ticket);

    if (move == NULL || move->source != node->id || !has_begun(move)) {
        return;
    }
    move->figures.blackout_ns = report->blackout_ns;
    move->figures.total_ns = report->total_ns;
    move->figures.precopied_bytes = report->precopied_bytes;
    move->figures.frozen_bytes = report->frozen_bytes;
    move->figures.endpoints = report->endpoints;
    move->figures.rounds = report->rounds;
    switch (report->step) {
    case SF__CONTROL__MOVE_STEP__MOVE_DONE:
        sip_arrived(daemon, move);
        finish_done(daemon, move);
        break;
    case SF__CONTROL__MOVE_STEP__MOVE_ABORTED:
        if (!move->arrived && report->again && ++move->tries < TRIES_MAX) {
            queue_again(daemon, move);
            progress(daemon, move, "%s; again", report->text);
        } else if (!move->arrived) {
            finish_aborted(daemon, move, report->text);
        }
        break;
    case SF__CONTROL__MOVE_STEP__MOVE_LOST:
        sip_lost(daemon, move, report->text);
        break;
    case SF__CONTROL__MOVE_STEP__MOVE_PREPARE:
    case SF__CONTROL__MOVE_STEP__MOVE_PRECOPY:
    case SF__CONTROL__MOVE_STEP__MOVE_FREEZE:
    case SF__CONTROL__MOVE_STEP__MOVE_TRANSFER:
    case SF__CONTROL__MOVE_STEP__MOVE_COMMIT:
        if (report->step > move->step) {
            move->step = report->step;
            progress(daemon, move, "%s", step_names[report->step]);
        }
        break;
    default:
        break;
    }
}

void moves_arrived(struct daemon *daemon, const struct world_node *node,
                   const Sf__Control__MoveArrived *body)
{
    struct move *move = move_by_number(daemon, body->ticket);

    if (move != NULL && has_begun(move) && move->sip == body->sip && move->target == node->id) {
        sip_arrived(daemon, move);
    }
}

static bool is_alive(void *arg, uint16_t id, uint16_t epoch)
{
    const struct daemon *daemon = arg;
    const struct world_node *node = world_node_by_id(&daemon->world, id);

    return node != NULL && node->epoch == epoch && node->stage != WORLD_LOST;
}

void moves_relay(struct daemon *daemon, const struct world_node *node,
                 const Sf__Control__MoverMessage *body)
{
    uint8_t bytes[FAB_MOVE_MESSAGE_BYTES_MAX];
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__MoverMessage message = SF__CONTROL__MOVER_MESSAGE__INIT;
    struct world_node *target;
    uint16_t to = 0;
    uint32_t length = 0;

    if (body->content.len <= sizeof(bytes)) {
        length = fab_move_relay(body->content.data, (uint32_t)body->content.len, node->id, is_alive,
                                daemon, &to, bytes);
    }
    target = length > 0 ? world_node_by_id(&daemon->world, to) : NULL;
    if (target != NULL) {
        message.content = (ProtobufCBinaryData){length, bytes};
        envelope.body_case = SF__CONTROL__ENVELOPE__BODY_MOVER_MESSAGE;
        envelope.mover_message = &message;
        session_tell(daemon, target, &envelope);
    }
}

bool moves_keep(const struct daemon *daemon, const struct world_sip *sip)
{
    const struct move *move = daemon->moves;

    while (move != NULL &&
           !(has_begun(move) && move->sip == sip->number && move->source == sip->node->id &&
             move->step != SF__CONTROL__MOVE_STEP__MOVE_IMAGE)) {
        move = move->next;
    }
    return move != NULL;
}

void moves_node_lost(struct daemon *daemon, const struct world_node *node)
{
    struct move *move = daemon->moves;
    struct move *next;

    for (; move != NULL; move = next) {
        next = move->next; /* those that end may be forgotten, but none that has not */
        if (!has_begun(move)) {
            continue;
        }
        if (move->source == node->id && move->arrived) {
            finish_done(daemon, move);
        } else if (move->source == node->id && move->step == SF__CONTROL__MOVE_STEP__MOVE_IMAGE) {
            sip_lost(daemon, move, "node lost before the move began");
        } else if (move->source == node->id) {
            move->source_lost = true;
            move->waits = false;
            move->again_ms = 0;
        } else if (move->target == node->id && move->arrived) {
            sip_lost(daemon, move, "node lost: its new one");
        }
    }
}

/* --- beginning ----------------------------------------------------------------------------------
 */

/* NULL: it can move there now; or why not. */
static const char *hindrance(const struct daemon *daemon, const struct move *move)
{
    const struct world_sip *sip = world_sip_by_number(&daemon->world, move->sip);
    const struct world_node *source = world_node_by_id(&daemon->world, move->source);
    const struct world_node *target = world_node_by_id(&daemon->world, move->target);

    if (sip == NULL || sip->state != SF__CONTROL__SIP_STATE__RUNNING) {
        return "it does not run any more";
    }
    if (sip->node != source) {
        return "it has been made again, or moved, meanwhile";
    }
    if (source->session == NULL) {
        return "its node has no control connection";
    }
    if (target->stage != WORLD_JOINED || target->session == NULL) {
        return "that node has not joined, or has no control connection";
    }
    return NULL;
}

static bool hear_each_other(const struct daemon *daemon, const struct move *move)
{
    return world_node_hears(world_node_by_id(&daemon->world, move->source), move->target) &&
           world_node_hears(world_node_by_id(&daemon->world, move->target), move->source);
}

static void on_begun(void *arg, sf_status status, const char *text,
                     const Sf__Control__Envelope *reply)
{
    struct moves_ref *ref = arg;
    struct daemon *daemon = ref->daemon;
    struct move *move = move_by_number(daemon, ref->number);

    (void)reply;
    free(ref);
    if (move == NULL || move->ended_ms != 0 || status == SF_OK || status == SF_CLOSED ||
        status == SF_TIMEOUT || status == SF_EXISTS) {
        return; /* its source says how it ends, when it is back, or is lost */
    }
    if (status == SF_AGAIN && ++move->tries < TRIES_MAX) {
        queue_again(daemon, move);
        return;
    }
    finish_aborted(daemon, move, text[0] != '\0' ? text : sf_status_text(status));
}

static void send_move(struct daemon *daemon, struct move *move)
{
    struct world_node *source = world_node_by_id(&daemon->world, move->source);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__SipMove body = SF__CONTROL__SIP_MOVE__INIT;
    sf_status status;

    body.ticket = move->number;
    body.sip = move->sip;
    body.target_node = move->target;
    body.budget_us = move->budget_us;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_SIP_MOVE;
    envelope.sip_move = &body;
    move->step = SF__CONTROL__MOVE_STEP__MOVE_PREPARE;
    status = ask_node(daemon, move, source, &envelope, REQUEST_MS, on_begun);
    if (status != SF_OK) {
        finish_aborted(daemon, move, sf_status_text(status));
    }
}

void moves_node_back(struct daemon *daemon, const struct world_node *node)
{
    struct move *move = daemon->moves;

    for (; move != NULL; move = move->next) {
        if (has_begun(move) && move->source == node->id && !move->arrived &&
            move->step != SF__CONTROL__MOVE_STEP__MOVE_IMAGE) {
            send_move(daemon, move); /* it may not have got the first one; if it has: EXISTS */
        }
    }
}

static void on_image(void *arg, sf_status status, const char *text,
                     const Sf__Control__Envelope *reply)
{
    struct moves_ref *ref = arg;
    struct daemon *daemon = ref->daemon;
    struct move *move = move_by_number(daemon, ref->number);
    const struct world_sip *sip =
        move != NULL ? world_sip_by_number(&daemon->world, move->sip) : NULL;
    const struct world_image *image =
        sip != NULL ? world_image_find(&daemon->world, sip->made->sips[0]->image.data) : NULL;
    const char *why;

    (void)reply;
    free(ref);
    if (move == NULL || move->ended_ms != 0) {
        return;
    }
    why = hindrance(daemon, move);
    if (status == SF_OK && image != NULL) {
        status = world_node_image_add(world_node_by_id(&daemon->world, move->target), image);
    }
    if (status != SF_OK) {
        char line[200];

        snprintf(line, sizeof(line), "%s does not take its image: %.120s",
                 node_name(daemon, move->target), text[0] != '\0' ? text : sf_status_text(status));
        finish_aborted(daemon, move, line);
    } else if (why != NULL) {
        finish_aborted(daemon, move, why);
    } else {
        send_move(daemon, move);
    }
}

static void send_image(struct daemon *daemon, struct move *move, const struct world_sip *sip,
                       const struct world_image *image)
{
    struct world_node *target = world_node_by_id(&daemon->world, move->target);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__ImagePut body = SF__CONTROL__IMAGE_PUT__INIT;
    sf_status status;

    body.digest = (ProtobufCBinaryData){WORLD_DIGEST_BYTES, (uint8_t *)image->digest};
    body.content = (ProtobufCBinaryData){image->length, image->bytes};
    body.name = sip->made->sips[0]->image_name;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_IMAGE_PUT;
    envelope.image_put = &body;
    status = ask_node(daemon, move, target, &envelope, REQUEST_IMAGE_MS, on_image);
    if (status != SF_OK) {
        finish_aborted(daemon, move, sf_status_text(status));
        return;
    }
    move->step = SF__CONTROL__MOVE_STEP__MOVE_IMAGE;
    progress(daemon, move, "sending its image to %s", target->name);
}

static void begin(struct daemon *daemon, struct move *move)
{
    const struct world_sip *sip = world_sip_by_number(&daemon->world, move->sip);
    const struct world_node *target = world_node_by_id(&daemon->world, move->target);
    const char *why = hindrance(daemon, move);
    const struct world_image *image;

    if (why == NULL && !hear_each_other(daemon, move)) {
        if (daemon_now(daemon) - move->asked_ms < HEARING_MS) {
            return; /* next time */
        }
        why = "the two nodes do not hear each other; see: fabricctl doctor";
    }
    if (why != NULL) {
        finish_aborted(daemon, move, why);
        return;
    }
    image = world_image_find(&daemon->world, sip->made->sips[0]->image.data);
    if (image == NULL) {
        finish_aborted(daemon, move, "its image is not here any more; apply its graph again");
    } else if (world_node_has_image(target, image)) {
        send_move(daemon, move);
    } else {
        send_image(daemon, move, sip, image);
    }
}

static uint32_t moves_of(const struct daemon *daemon, uint16_t node)
{
    uint32_t count = 0;

    for (const struct move *move = daemon->moves; move != NULL; move = move->next) {
        count += has_begun(move) && (move->source == node || move->target == node);
    }
    return count;
}

void moves_tick(struct daemon *daemon)
{
    uint64_t now_ms = daemon_now(daemon);
    struct move *next;

    for (struct move *move = daemon->moves; move != NULL; move = next) {
        next = move->next;
        if (move->ended_ms != 0) {
            continue;
        }
        if (move->source_lost && !move->waits && now_ms >= move->again_ms) {
            ask_target(daemon, move);
        } else if (!has_begun(move) && now_ms >= move->again_ms && daemon->operations == NULL &&
                   daemon->stop_at_ms == 0 && moves_of(daemon, move->source) < MOVES_NODE_MAX &&
                   moves_of(daemon, move->target) < MOVES_NODE_MAX) {
            begin(daemon, move);
        }
    }
}

/* --- what fabricctl asks ------------------------------------------------------------------------
 */

static struct world_sip *wanted_sip(struct console *console, uint64_t request, const char *name)
{
    struct world *world = &console_daemon(console)->world;
    struct world_sip *sip = world_sip_find(world, name);
    struct orch_hint hint = {.wanted = name};
    char text[64];

    if (sip == NULL) {
        for (uint32_t i = 0; i < world->sip_count; i++) {
            orch_hint_add(&hint, world->sips[i]->name);
        }
        console_result(console, request, SF_NOTFOUND,
                       "there is no SIP '%.40s'%s; see: fabricctl get sips", name,
                       orch_hint_text(&hint, text, sizeof(text)));
        return NULL;
    }
    if (sip->state != SF__CONTROL__SIP_STATE__RUNNING) {
        console_result(console, request, SF_BADARG,
                       "SIP %s does not run; see: fabricctl get sips %s", name, name);
        return NULL;
    }
    if (sip->made->sips[0]->service[0] != '\0') {
        console_result(console, request, SF_UNSUPPORTED,
                       "%s is a service of its node's kernel and stays with it; SIPs that use it "
                       "can move, and then use it from there",
                       name);
        return NULL;
    }
    return sip;
}

struct world_node *moves__wanted_node(struct console *console, uint64_t request, const char *name)
{
    struct world *world = &console_daemon(console)->world;
    struct world_node *node = world_node_find(world, name);
    struct orch_hint hint = {.wanted = name};
    char text[64];

    if (node == NULL) {
        for (uint32_t i = 0; i < world->node_count; i++) {
            orch_hint_add(&hint, world->nodes[i]->name);
        }
        console_result(console, request, SF_NOTFOUND,
                       "there is no node '%.40s'%s; see: fabricctl get nodes", name,
                       orch_hint_text(&hint, text, sizeof(text)));
    } else if (node->stage != WORLD_JOINED) {
        console_result(console, request, SF_BADARG, "node %s is %s; see: fabricctl get nodes", name,
                       world_stage_name(node->stage));
        node = NULL;
    }
    return node;
}

struct move *moves__of_sip(const struct daemon *daemon, uint64_t sip)
{
    struct move *move = daemon->moves;

    while (move != NULL && (move->sip != sip || move->ended_ms != 0)) {
        move = move->next;
    }
    return move;
}

struct move *moves__add(struct daemon *daemon, const struct world_sip *sip,
                        const struct world_node *target, uint32_t budget_us,
                        struct console *console, uint64_t request)
{
    struct move *move = calloc(1, sizeof(*move));
    struct move **link;
    uint32_t count = 0;

    if (move == NULL) {
        return NULL;
    }
    for (link = &daemon->moves; *link != NULL; link = &(*link)->next) {
        count += (*link)->ended_ms == 0;
    }
    if (count >= MOVES_MAX) {
        free(move);
        return NULL;
    }
    *move = (struct move){.number = ++daemon->last_move,
                          .sip = sip->number,
                          .source = sip->node->id,
                          .target = target->id,
                          .budget_us = budget_us,
                          .console = console != NULL ? console_number(console) : 0,
                          .request = request,
                          .asked_ms = daemon_now(daemon)};
    snprintf(move->name, sizeof(move->name), "%s", sip->name);
    *link = move;
    return move;
}

void moves_begin(struct console *console, uint64_t request, const Sf__Control__Move *body)
{
    struct daemon *daemon = console_daemon(console);
    struct world_sip *sip = wanted_sip(console, request, body->sip);
    struct world_node *node = sip != NULL ? moves__wanted_node(console, request, body->node) : NULL;
    const struct move *other;
    struct move *move;

    if (node == NULL) {
        return;
    }
    if (sip->node == node) {
        console_result(console, request, SF_OK, "SIP %s is on %s already", sip->name, node->name);
        return;
    }
    other = moves__of_sip(daemon, sip->number);
    if (other != NULL) {
        console_result(console, request, SF_EXISTS,
                       "SIP %s is being moved to %s; see: fabricctl get moves", sip->name,
                       node_name(daemon, other->target));
        return;
    }
    move = moves__add(daemon, sip, node, body->budget_us, console, request);
    if (move == NULL) {
        console_result(console, request, SF_LIMIT, "%u moves wait already, or no memory is left",
                       MOVES_MAX);
        return;
    }
    if (daemon->operations != NULL) {
        progress(daemon, move, "waits for an apply, delete or restart to end");
    }
    moves_tick(daemon);
}

static void move_fill(const struct daemon *daemon, const struct move *move,
                      Sf__Control__MoveInfo *info)
{
    sf__control__move_info__init(info);
    info->number = move->number;
    info->sip = (char *)move->name;
    info->source = (char *)node_name(daemon, move->source);
    info->target = (char *)node_name(daemon, move->target);
    info->step = move->step;
    info->text = (char *)move->text;
    info->age_ms = daemon_now(daemon) - move->asked_ms;
    info->took_ms = move->ended_ms != 0 ? move->ended_ms - move->asked_ms : 0;
    info->blackout_ns = move->figures.blackout_ns;
    info->total_ns = move->figures.total_ns;
    info->precopied_bytes = move->figures.precopied_bytes;
    info->frozen_bytes = move->figures.frozen_bytes;
    info->endpoints = move->figures.endpoints;
    info->rounds = move->figures.rounds;
}

void moves_get(struct console *console, uint64_t request)
{
    struct daemon *daemon = console_daemon(console);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__MoveList list = SF__CONTROL__MOVE_LIST__INIT;
    Sf__Control__MoveInfo *infos;
    Sf__Control__MoveInfo **pointers;
    size_t count = 0;

    for (const struct move *move = daemon->moves; move != NULL; move = move->next) {
        count++;
    }
    infos = calloc(count + 1, sizeof(*infos));
    pointers = calloc(count + 1, sizeof(*pointers));
    if (infos == NULL || pointers == NULL) {
        console_result(console, request, SF_NOMEM, "no memory left");
    } else {
        for (const struct move *move = daemon->moves; move != NULL; move = move->next) {
            move_fill(daemon, move, &infos[list.n_moves]);
            pointers[list.n_moves] = &infos[list.n_moves];
            list.n_moves++;
        }
        list.moves = pointers;
        envelope.body_case = SF__CONTROL__ENVELOPE__BODY_MOVE_LIST;
        envelope.move_list = &list;
        console_send(console, request, &envelope);
    }
    free(infos);
    free(pointers);
}

void moves_forget(struct daemon *daemon, const struct console *console)
{
    struct move *move = daemon->moves;

    for (; move != NULL; move = move->next) {
        if (move->console == console_number(console)) {
            move->console = 0;
        }
    }
    drain_forget(daemon, console);
}

void moves_fini(struct daemon *daemon)
{
    drain_fini(daemon);
    while (daemon->moves != NULL) {
        struct move *move = daemon->moves;

        daemon->moves = move->next;
        free(move);
    }
}
