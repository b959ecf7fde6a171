/* SPDX-License-Identifier: Apache-2.0 */
#include "sip_move.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "plant.h"

#define MS 1000000ull
#define ENTRIES (2u * FAB_MOVER_MOVES)
/* A move has few actions at a time; answers to strangers are left out when it gets crowded. */
#define RING 2048u
#define RING_CROWDED 1024u

struct witness {
    uint16_t node;
    uint16_t epoch;
    bool answered;
};

struct move {
    bool used;
    bool source;
    bool told; /* target: the caller has got PREPARE */
    enum fab_move_step step;
    uint64_t id;
    uint64_t sip;
    uint16_t node; /* the other one */
    uint16_t epoch;
    uint32_t queued; /* actions in the ring; the record is not used again before they are gone */
    uint64_t at_ns[FAB_MOVE_STEPS];
    uint64_t deadline_ns; /* UINT64_MAX: none */
    uint64_t blackout_ns;
    struct witness *witnesses;
    uint32_t witness_count;
    uint32_t witness_at; /* next one to be asked */
    uint16_t payload_length;
    uint8_t payload[FAB_MOVE_PAYLOAD_BYTES_MAX];
};

struct entry {
    struct fab_move_action action; /* of kind SEND without bytes */
    struct fab__mv_message message;
    struct move *of; /* or NULL */
};

struct fab_mover {
    struct fab_mover_options options;
    uint64_t number; /* of the last move */
    struct move moves[ENTRIES];
    struct entry ring[RING];
    uint32_t ring_head, ring_count;
    uint8_t bytes[FAB_MOVE_MESSAGE_BYTES_MAX];
};

static uint64_t or_default(uint64_t ns, uint64_t other_ns)
{
    return ns == 0 ? other_ns : ns;
}

sf_status fab_mover_create(const struct fab_mover_options *options, struct fab_mover **out_mover)
{
    struct fab_mover *mover = calloc(1, sizeof(*mover));

    assert(options->fab != NULL);
    if (mover == NULL) {
        return SF_NOMEM;
    }
    mover->options = *options;
    mover->options.prepare_ns = or_default(options->prepare_ns, 5000 * MS);
    mover->options.copy_ns = or_default(options->copy_ns, 60000 * MS);
    mover->options.blackout_ns = or_default(options->blackout_ns, 2000 * MS);
    mover->options.commit_ns = or_default(options->commit_ns, 1000 * MS);
    mover->options.ask_ns = or_default(options->ask_ns, 500 * MS);
    *out_mover = mover;
    return SF_OK;
}

void fab_mover_destroy(struct fab_mover *mover)
{
    for (uint32_t i = 0; mover != NULL && i < ENTRIES; i++) {
        free(mover->moves[i].witnesses);
    }
    free(mover);
}

/* --- what the caller shall do --------------------------------------------------------------- */

static struct entry *ring_push(struct fab_mover *mover, struct move *of)
{
    struct entry *entry = &mover->ring[(mover->ring_head + mover->ring_count) % RING];

    assert(mover->ring_count < RING);
    mover->ring_count++;
    *entry = (struct entry){.of = of};
    if (of != NULL) {
        of->queued++;
    }
    return entry;
}

static struct fab_move_action *act(struct fab_mover *mover, struct move *move,
                                   enum fab_move_do what)
{
    struct entry *entry = ring_push(mover, move);

    entry->action = (struct fab_move_action){
        .what = what, .move = move->id, .sip = move->sip, .node = move->node};
    return &entry->action;
}

static void send(struct fab_mover *mover, struct move *of, uint16_t to,
                 const struct fab__mv_message *message)
{
    struct entry *entry = ring_push(mover, of);

    entry->action =
        (struct fab_move_action){.what = FAB_MOVE_SEND, .move = message->move, .node = to};
    entry->message = *message;
}

/* To the other node of the move. */
static void tell(struct fab_mover *mover, struct move *move, enum fab__mv_kind kind)
{
    send(mover, move, move->node,
         &(struct fab__mv_message){.kind = (uint8_t)kind, .move = move->id});
}

/* An answer that will be asked for again if it gets lost. */
static void answer(struct fab_mover *mover, uint16_t to, enum fab__mv_kind kind, uint64_t move)
{
    if (mover->ring_count < RING_CROWDED) {
        send(mover, NULL, to,
             &(struct fab__mv_message){.kind = (uint8_t)kind,
                                       .move = move,
                                       .node = mover->options.node_id,
                                       .epoch = mover->options.epoch});
    }
}

/* Asks a node, by its session and by way of the controller. */
static void ask(struct fab_mover *mover, struct move *move, enum fab__mv_kind kind, uint16_t node,
                uint16_t epoch)
{
    struct fab__mv_message message = {
        .kind = (uint8_t)kind, .move = move->id, .node = node, .epoch = epoch};

    send(mover, move, node, &message);
    send(mover, move, FAB_MOVE_CONTROLLER, &message);
}

/* Witnesses may be many: they are asked one by one, as the ring gets empty. */
static bool ask_next_witness(struct fab_mover *mover)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        struct move *move = &mover->moves[i];
        if (!move->used || move->step != FAB_MOVE_WITNESSING) {
            continue;
        }
        while (move->witness_at < move->witness_count) {
            struct witness *witness = &move->witnesses[move->witness_at++];
            if (!witness->answered) {
                ask(mover, move, FAB__MV_WITNESS, witness->node, witness->epoch);
                return true;
            }
        }
    }
    return false;
}

bool fab_mover_next(struct fab_mover *mover, struct fab_move_action *out_action)
{
    struct entry *entry;

    if (mover->ring_count == 0 && !ask_next_witness(mover)) {
        return false;
    }
    entry = &mover->ring[mover->ring_head];
    mover->ring_head = (mover->ring_head + 1) % RING;
    mover->ring_count--;
    *out_action = entry->action;
    if (entry->of != NULL) {
        entry->of->queued--;
    }
    if (entry->action.what == FAB_MOVE_SEND) {
        out_action->bytes = mover->bytes;
        out_action->length = fab__mv_write(&entry->message, mover->bytes);
    } else if (entry->action.what == FAB_MOVE_PREPARE) {
        entry->of->told = true;
        out_action->bytes = entry->of->payload;
        out_action->length = entry->of->payload_length;
    }
    return true;
}

/* --- moves ---------------------------------------------------------------------------------- */

static struct move *move_find(struct fab_mover *mover, uint64_t id, bool source)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        struct move *move = &mover->moves[i];
        if (move->used && move->id == id && move->source == source) {
            return move;
        }
    }
    return NULL;
}

static struct move *move_make(struct fab_mover *mover, bool source)
{
    uint32_t count = 0;
    struct move *unused = NULL;

    for (uint32_t i = 0; i < ENTRIES; i++) {
        struct move *move = &mover->moves[i];
        count += move->used && move->source == source;
        unused = !move->used && move->queued == 0 ? move : unused;
    }
    if (count == FAB_MOVER_MOVES || unused == NULL) {
        return NULL;
    }
    *unused = (struct move){.used = true, .source = source, .deadline_ns = UINT64_MAX};
    return unused;
}

static void move_end(struct move *move)
{
    free(move->witnesses);
    move->witnesses = NULL;
    move->used = false;
}

/* wait_ns: UINT64_MAX: for ever. */
static void step_to(struct move *move, enum fab_move_step step, uint64_t now_ns, uint64_t wait_ns)
{
    move->step = step;
    move->at_ns[step] = now_ns;
    move->deadline_ns = wait_ns == UINT64_MAX ? UINT64_MAX : now_ns + wait_ns;
}

/* --- the source ----------------------------------------------------------------------------- */

static void source_ends(struct fab_mover *mover, struct move *move, enum fab_move_do what,
                        enum fab_move_reason reason, uint32_t detail)
{
    struct fab_move_action *action = act(mover, move, what);

    action->reason = reason;
    action->detail = detail;
    if (what == FAB_MOVE_FREE && reason == FAB_MOVE_OK) {
        tell(mover, move, FAB__MV_DONE);
    }
    move_end(move);
}

/* Before COMMIT. */
static void source_aborts(struct fab_mover *mover, struct move *move, enum fab_move_reason reason,
                          uint32_t detail)
{
    assert(move->step < FAB_MOVE_COMMITTING);
    if (reason != FAB_MOVE_LINK_LOST) {
        tell(mover, move, FAB__MV_ABORT);
    }
    source_ends(mover, move, FAB_MOVE_STAY, reason, detail);
}

static void source_asks(struct fab_mover *mover, struct move *move, uint64_t now_ns)
{
    if (FAB__PLANTED(FAB__PLANT_DOUBT)) {
        source_ends(mover, move, FAB_MOVE_STAY, FAB_MOVE_LINK_LOST, 0);
        return;
    }
    step_to(move, FAB_MOVE_ASKING, now_ns, mover->options.ask_ns);
    ask(mover, move, FAB__MV_ASK, move->node, move->epoch);
}

static void witnesses_check(struct fab_mover *mover, struct move *move)
{
    for (uint32_t i = 0; i < move->witness_count; i++) {
        if (!move->witnesses[i].answered) {
            return;
        }
    }
    source_ends(mover, move, FAB_MOVE_STAY, FAB_MOVE_UNSEEN, 0);
}

/* The target is dead. */
static void source_asks_witnesses(struct fab_mover *mover, struct move *move, uint64_t now_ns)
{
    step_to(move, FAB_MOVE_WITNESSING, now_ns, mover->options.ask_ns);
    move->witness_at = 0;
    for (uint32_t i = 0; i < move->witness_count; i++) {
        struct witness *witness = &move->witnesses[i];
        if (witness->node == mover->options.node_id) {
            if (fab_move_seen(mover->options.fab, move->id)) {
                source_ends(mover, move, FAB_MOVE_FREE, FAB_MOVE_DIED, 0);
                return;
            }
            witness->answered = true;
        } else if (witness->node == move->node) {
            witness->answered = true; /* what it has seen died with it */
        }
    }
    witnesses_check(mover, move);
}

sf_status fab_mover_begin(struct fab_mover *mover, const struct fab_move_order *order,
                          uint64_t now_ns, uint64_t *out_move)
{
    struct move *move;

    if (order->target == 0 || order->target >= FAB_NODES_MAX ||
        order->target == mover->options.node_id || order->target_epoch == 0 ||
        order->payload_length > FAB_MOVE_PAYLOAD_BYTES_MAX) {
        return SF_BADARG;
    }
    for (uint32_t i = 0; i < ENTRIES; i++) {
        move = &mover->moves[i];
        if (move->used && move->source && move->sip == order->sip) {
            return SF_EXISTS;
        }
    }
    move = move_make(mover, true);
    if (move == NULL || mover->number == FAB_MOVE_NUMBER_MAX) {
        return SF_LIMIT;
    }
    move->id = fab_move_id(mover->options.node_id, mover->options.epoch, ++mover->number);
    move->sip = order->sip;
    move->node = order->target;
    move->epoch = order->target_epoch;
    move->blackout_ns = or_default(order->blackout_ns, mover->options.blackout_ns);
    move->payload_length = (uint16_t)order->payload_length;
    if (order->payload_length != 0) {
        memcpy(move->payload, order->payload, order->payload_length);
    }
    step_to(move, FAB_MOVE_PREPARING, now_ns, mover->options.prepare_ns);
    send(mover, move, move->node,
         &(struct fab__mv_message){.kind = FAB__MV_PREPARE,
                                   .move = move->id,
                                   .payload = move->payload,
                                   .payload_length = move->payload_length});
    *out_move = move->id;
    return SF_OK;
}

sf_status fab_mover_cancel(struct fab_mover *mover, uint64_t id, uint64_t now_ns)
{
    struct move *move = move_find(mover, id, true);

    (void)now_ns;
    if (move == NULL) {
        return SF_NOTFOUND;
    }
    if (move->step >= FAB_MOVE_COMMITTING) {
        return SF_AGAIN;
    }
    source_aborts(mover, move, FAB_MOVE_CANCELLED, 0);
    return SF_OK;
}

void fab_mover_copied(struct fab_mover *mover, uint64_t id, uint64_t now_ns)
{
    struct move *move = move_find(mover, id, true);

    if (move != NULL && move->step == FAB_MOVE_PREPARED) {
        step_to(move, FAB_MOVE_HOLDING, now_ns, move->blackout_ns);
        (void)act(mover, move, FAB_MOVE_FREEZE);
    }
}

void fab_mover_held(struct fab_mover *mover, uint64_t id, const struct fab_move_witness *witnesses,
                    uint32_t count, uint64_t now_ns)
{
    struct move *move = move_find(mover, id, true);
    uint64_t deadline_ns;

    if (move == NULL || move->step != FAB_MOVE_HOLDING) {
        return;
    }
    if (count != 0) {
        move->witnesses = calloc(count, sizeof(*move->witnesses));
        if (move->witnesses == NULL) {
            source_aborts(mover, move, FAB_MOVE_FAILED, SF_NOMEM);
            return;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        move->witnesses[i] =
            (struct witness){.node = witnesses[i].node, .epoch = witnesses[i].epoch};
    }
    move->witness_count = count;
    deadline_ns = move->deadline_ns; /* one black-out, one budget */
    step_to(move, FAB_MOVE_TRANSFERRING, now_ns, UINT64_MAX);
    move->deadline_ns = deadline_ns;
    (void)act(mover, move, FAB_MOVE_TRANSFER);
}

void fab_mover_fail(struct fab_mover *mover, uint64_t id, enum fab_move_reason reason,
                    uint32_t detail, uint64_t now_ns)
{
    struct move *move = move_find(mover, id, true);

    (void)now_ns;
    if (move != NULL && move->step < FAB_MOVE_COMMITTING) {
        source_aborts(mover, move, reason, detail);
    }
}

/* --- the target ----------------------------------------------------------------------------- */

static void target_forgets(struct fab_mover *mover, struct move *move, enum fab_move_reason reason)
{
    assert(move->step < FAB_MOVE_COMMITTED);
    if (move->told) {
        act(mover, move, FAB_MOVE_DROP)->reason = reason;
    } else {
        for (uint32_t i = 0; i < mover->ring_count; i++) {
            struct entry *entry = &mover->ring[(mover->ring_head + i) % RING];
            if (entry->of == move && entry->action.what == FAB_MOVE_PREPARE) {
                entry->action.what = FAB_MOVE_DROP; /* of nothing */
            }
        }
    }
    move_end(move);
}

static void on_prepare(struct fab_mover *mover, uint16_t from,
                       const struct fab__mv_message *message, uint64_t now_ns)
{
    struct move *move = move_find(mover, message->move, false);

    if (move != NULL || from != fab_move_source(message->move)) {
        return;
    }
    move = move_make(mover, false);
    if (move == NULL) {
        if (mover->ring_count < RING_CROWDED) {
            send(mover, NULL, from,
                 &(struct fab__mv_message){
                     .kind = FAB__MV_REFUSED, .move = message->move, .detail = SF_LIMIT});
        }
        return;
    }
    move->id = message->move;
    move->node = from;
    move->payload_length = message->payload_length;
    if (message->payload_length != 0) {
        memcpy(move->payload, message->payload, message->payload_length);
    }
    step_to(move, FAB_MOVE_PREPARING, now_ns, UINT64_MAX);
    (void)act(mover, move, FAB_MOVE_PREPARE);
}

void fab_mover_prepared(struct fab_mover *mover, uint64_t id, uint64_t now_ns)
{
    struct move *move = move_find(mover, id, false);

    if (move != NULL && move->step == FAB_MOVE_PREPARING && move->told) {
        step_to(move, FAB_MOVE_PREPARED, now_ns, UINT64_MAX);
        tell(mover, move, FAB__MV_PREPARED);
    }
}

void fab_mover_refuse(struct fab_mover *mover, uint64_t id, uint32_t detail, uint64_t now_ns)
{
    struct move *move = move_find(mover, id, false);

    (void)now_ns;
    if (move != NULL && move->step < FAB_MOVE_COMMITTED && move->told) {
        send(
            mover, move, move->node,
            &(struct fab__mv_message){.kind = FAB__MV_REFUSED, .move = move->id, .detail = detail});
        target_forgets(mover, move, FAB_MOVE_REFUSED);
    }
}

/* The commit point. */
static void target_commits(struct fab_mover *mover, struct move *move, uint64_t now_ns)
{
    step_to(move, FAB_MOVE_COMMITTED, now_ns, mover->options.ask_ns);
    (void)act(mover, move, FAB_MOVE_START);
    tell(mover, move, FAB__MV_COMMITTED);
}

void fab_mover_received(struct fab_mover *mover, uint64_t id, uint64_t now_ns)
{
    struct move *move = move_find(mover, id, false);

    if (move != NULL && move->step == FAB_MOVE_PREPARED) {
        step_to(move, FAB_MOVE_READY, now_ns, UINT64_MAX);
        tell(mover, move, FAB__MV_READY);
        if (FAB__PLANTED(FAB__PLANT_EARLY)) {
            target_commits(mover, move, now_ns);
        }
    }
}

static void target_settles(struct fab_mover *mover, struct move *move)
{
    (void)act(mover, move, FAB_MOVE_SETTLED);
    move_end(move);
}

/* What comes from the source. */
static void target_takes(struct fab_mover *mover, uint16_t from,
                         const struct fab__mv_message *message, uint64_t now_ns)
{
    struct move *move = move_find(mover, message->move, false);

    if (from != fab_move_source(message->move)) {
        return;
    }
    if (move == NULL) {
        if (message->kind == FAB__MV_COMMIT) {
            answer(mover, from, FAB__MV_NOT, message->move);
        }
        return;
    }
    if (message->kind == FAB__MV_COMMIT && move->step == FAB_MOVE_READY) {
        target_commits(mover, move, now_ns);
    } else if (message->kind == FAB__MV_ABORT && move->step < FAB_MOVE_COMMITTED) {
        target_forgets(mover, move, FAB_MOVE_CANCELLED);
    } else if (message->kind == FAB__MV_DONE && move->step == FAB_MOVE_COMMITTED) {
        target_settles(mover, move);
    }
}

/* Has it taken COMMIT? What it does not know it has not, and never will. */
static void on_ask(struct fab_mover *mover, uint16_t from, const struct fab__mv_message *message)
{
    struct move *move = move_find(mover, message->move, false);

    if (message->node != mover->options.node_id || message->epoch != mover->options.epoch) {
        return; /* an earlier boot is meant, and only the controller can answer for that */
    }
    if (move != NULL && move->step == FAB_MOVE_COMMITTED) {
        answer(mover, from, FAB__MV_GOT, message->move);
        return;
    }
    if (move != NULL) {
        target_forgets(mover, move, FAB_MOVE_NOT_TAKEN);
    }
    answer(mover, from, FAB__MV_NOT, message->move);
}

static void on_witness(struct fab_mover *mover, uint16_t from,
                       const struct fab__mv_message *message)
{
    if (message->node == mover->options.node_id && message->epoch == mover->options.epoch) {
        bool seen = fab_move_seen(mover->options.fab, message->move);
        answer(mover, from, seen ? FAB__MV_SEEN : FAB__MV_UNSEEN, message->move);
    }
}

/* --- what comes to the source --------------------------------------------------------------- */

/* Of the target, over the session. */
static void source_takes(struct fab_mover *mover, struct move *move,
                         const struct fab__mv_message *message, uint64_t now_ns)
{
    switch (message->kind) {
    case FAB__MV_PREPARED:
        if (move->step == FAB_MOVE_PREPARING) {
            step_to(move, FAB_MOVE_PREPARED, now_ns, mover->options.copy_ns);
            (void)act(mover, move, FAB_MOVE_COPY);
        }
        break;
    case FAB__MV_REFUSED:
        if (move->step < FAB_MOVE_COMMITTING) {
            source_aborts(mover, move, FAB_MOVE_REFUSED, message->detail);
        }
        break;
    case FAB__MV_READY:
        if (move->step == FAB_MOVE_TRANSFERRING) {
            step_to(move, FAB_MOVE_COMMITTING, now_ns, mover->options.commit_ns);
            tell(mover, move, FAB__MV_COMMIT);
        }
        break;
    case FAB__MV_COMMITTED:
        if (move->step == FAB_MOVE_COMMITTING || move->step == FAB_MOVE_ASKING) {
            source_ends(mover, move, FAB_MOVE_FREE, FAB_MOVE_OK, 0);
        }
        break;
    default:
        break;
    }
}

/* Of the target, by either way. What it said before it died does not count for more than silence,
 * unless it is that it never had the SIP. */
static void source_is_told(struct fab_mover *mover, struct move *move, bool taken)
{
    if (!taken && move->step >= FAB_MOVE_COMMITTING) {
        source_ends(mover, move, FAB_MOVE_STAY, FAB_MOVE_NOT_TAKEN, 0);
    } else if (taken && (move->step == FAB_MOVE_COMMITTING || move->step == FAB_MOVE_ASKING)) {
        source_ends(mover, move, FAB_MOVE_FREE, FAB_MOVE_OK, 0);
    }
}

static void witness_answers(struct fab_mover *mover, struct move *move, uint16_t node,
                            uint16_t epoch, bool seen)
{
    bool known = false;

    if (move->step != FAB_MOVE_WITNESSING) {
        return;
    }
    for (uint32_t i = 0; i < move->witness_count; i++) {
        struct witness *witness = &move->witnesses[i];
        if (witness->node == node && witness->epoch == epoch) {
            witness->answered = known = true;
        }
    }
    if (seen && known) {
        source_ends(mover, move, FAB_MOVE_FREE, FAB_MOVE_DIED, 0);
    } else {
        witnesses_check(mover, move);
    }
}

static void source_hears_of_death(struct fab_mover *mover, struct move *move, uint16_t node,
                                  uint16_t epoch, uint64_t now_ns)
{
    if (move->node == node && move->epoch <= epoch && move->step != FAB_MOVE_WITNESSING) {
        if (move->step < FAB_MOVE_COMMITTING) {
            source_aborts(mover, move, FAB_MOVE_LINK_LOST, 0);
        } else {
            source_asks_witnesses(mover, move, now_ns);
        }
        return;
    }
    for (uint32_t i = 0; move->step == FAB_MOVE_WITNESSING && i < move->witness_count; i++) {
        struct witness *witness = &move->witnesses[i];
        /* What it has seen died with it, but for what it told others. */
        witness->answered = witness->answered || (witness->node == node && witness->epoch <= epoch);
    }
    if (move->step == FAB_MOVE_WITNESSING) {
        witnesses_check(mover, move);
    }
}

/* Answers to ASK and WITNESS: of the one that was asked, or of the controller for it. */
static void on_answer(struct fab_mover *mover, uint16_t from, const struct fab__mv_message *message,
                      uint64_t now_ns)
{
    struct move *move = move_find(mover, message->move, true);
    bool of_target;

    if (move == NULL || (from != FAB_MOVE_CONTROLLER && from != message->node)) {
        return;
    }
    of_target = message->node == move->node && message->epoch == move->epoch;
    switch (message->kind) {
    case FAB__MV_GOT:
    case FAB__MV_NOT:
        if (of_target) {
            source_is_told(mover, move, message->kind == FAB__MV_GOT);
        }
        break;
    case FAB__MV_SEEN:
    case FAB__MV_UNSEEN:
        witness_answers(mover, move, message->node, message->epoch, message->kind == FAB__MV_SEEN);
        break;
    default:
        if (from == FAB_MOVE_CONTROLLER) {
            source_hears_of_death(mover, move, message->node, message->epoch, now_ns);
        }
        break;
    }
}

/* --- events --------------------------------------------------------------------------------- */

void fab_mover_take(struct fab_mover *mover, uint16_t from, const uint8_t *bytes, uint32_t length,
                    uint64_t now_ns)
{
    struct fab__mv_message message;
    struct move *move;

    if (!fab__mv_read(bytes, length, &message)) {
        return;
    }
    switch (message.kind) {
    case FAB__MV_PREPARE:
        on_prepare(mover, from, &message, now_ns);
        break;
    case FAB__MV_COMMIT:
    case FAB__MV_ABORT:
    case FAB__MV_DONE:
        target_takes(mover, from, &message, now_ns);
        break;
    case FAB__MV_ASK:
    case FAB__MV_WITNESS:
        /* It decides, so only the one whose move it is may ask. */
        if (from != FAB_MOVE_CONTROLLER && from != fab_move_source(message.move)) {
            break;
        }
        if (message.kind == FAB__MV_ASK) {
            on_ask(mover, from, &message);
        } else {
            on_witness(mover, from, &message);
        }
        break;
    case FAB__MV_PREPARED:
    case FAB__MV_REFUSED:
    case FAB__MV_READY:
    case FAB__MV_COMMITTED:
        move = move_find(mover, message.move, true);
        if (move != NULL && move->node == from) {
            source_takes(mover, move, &message, now_ns);
        } else if (move == NULL && message.kind == FAB__MV_COMMITTED &&
                   fab_move_source(message.move) == mover->options.node_id) {
            answer(mover, from, FAB__MV_DONE, message.move); /* it has missed that */
        }
        break;
    default:
        on_answer(mover, from, &message, now_ns);
        break;
    }
}

void fab_mover_session_lost(struct fab_mover *mover, uint16_t node, uint64_t now_ns)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        struct move *move = &mover->moves[i];
        if (!move->used || move->node != node) {
            continue;
        }
        if (!move->source) {
            if (move->step < FAB_MOVE_COMMITTED) {
                target_forgets(mover, move, FAB_MOVE_LINK_LOST);
            }
        } else if (move->step < FAB_MOVE_COMMITTING) {
            source_aborts(mover, move, FAB_MOVE_LINK_LOST, 0);
        } else if (move->step == FAB_MOVE_COMMITTING) {
            source_asks(mover, move, now_ns);
        }
    }
}

void fab_mover_node_dead(struct fab_mover *mover, uint16_t node, uint16_t epoch, uint64_t now_ns)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        struct move *move = &mover->moves[i];
        if (!move->used) {
            continue;
        }
        if (move->source) {
            source_hears_of_death(mover, move, node, epoch, now_ns);
        } else if (move->node == node && fab_move_epoch(move->id) <= epoch) {
            if (move->step == FAB_MOVE_COMMITTED) {
                target_settles(mover, move);
            } else {
                target_forgets(mover, move, FAB_MOVE_LINK_LOST);
            }
        }
    }
}

static void move_is_late(struct fab_mover *mover, struct move *move, uint64_t now_ns)
{
    switch (move->step) {
    case FAB_MOVE_COMMITTING:
    case FAB_MOVE_ASKING:
        source_asks(mover, move, now_ns);
        break;
    case FAB_MOVE_WITNESSING:
        move->witness_at = 0;
        move->deadline_ns = now_ns + mover->options.ask_ns;
        break;
    case FAB_MOVE_COMMITTED:
        move->deadline_ns = now_ns + mover->options.ask_ns;
        tell(mover, move, FAB__MV_COMMITTED);
        break;
    default:
        source_aborts(mover, move, FAB_MOVE_TIMEOUT, (uint32_t)move->step);
        break;
    }
}

uint64_t fab_mover_tick(struct fab_mover *mover, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;

    for (uint32_t i = 0; i < ENTRIES; i++) {
        struct move *move = &mover->moves[i];
        /* Who does not take what there is to do is not told more of it. */
        if (move->used && now_ns >= move->deadline_ns && move->queued == 0) {
            move_is_late(mover, move, now_ns);
        }
        if (move->used && move->deadline_ns < next_ns) {
            next_ns = move->deadline_ns;
        }
    }
    return next_ns;
}

bool fab_mover_query(const struct fab_mover *mover, uint32_t index, struct fab_move_info *out_info)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        const struct move *move = &mover->moves[i];
        if (move->used && index-- == 0) {
            *out_info = (struct fab_move_info){.move = move->id,
                                               .sip = move->sip,
                                               .node = move->node,
                                               .source = move->source,
                                               .step = move->step};
            memcpy(out_info->at_ns, move->at_ns, sizeof(move->at_ns));
            return true;
        }
    }
    return false;
}
