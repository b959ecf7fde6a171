/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doubts.c - sources that have told a target to go on with a SIP, and lost it before it answered.
 *
 * A doubt stays until the target has said whether it has the SIP, or is lost for good: its epoch
 * never comes back. Then the source gets a verdict. It asks again if that gets lost, and is not
 * answered twice at a time.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "moves.h"

static void doubt_drop(struct moves *moves, struct doubt *gone)
{
    struct doubt **link = &moves->doubts;

    while (*link != gone) {
        link = &(*link)->next;
    }
    *link = gone->next;
    free(gone);
}

static void doubt_end(struct daemon *daemon, struct doubt *doubt,
                      Sf__Control__MoveVerdict__Verdict verdict)
{
    static const char *const texts[] = {"the target does not have the SIP", "the target has it",
                                        "the target is lost"};
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__MoveVerdict body = SF__CONTROL__MOVE_VERDICT__INIT;
    struct world_node *source = world_node_by_id(&daemon->world, doubt->source);

    body.move = doubt->move;
    body.verdict = verdict;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_MOVE_VERDICT;
    envelope.move_verdict = &body;
    session_note(source, "move of SIP %" PRIu64 " in doubt: %s", doubt->sip, texts[verdict]);
    session_tell(daemon, source, &envelope); /* it asks again if that gets lost */
    doubt_drop(daemon->moves, doubt);
}

static struct doubt *doubt_find(const struct daemon *daemon, uint64_t move, uint16_t source)
{
    struct doubt *doubt = daemon->moves != NULL ? daemon->moves->doubts : NULL;

    while (doubt != NULL && (doubt->move != move || doubt->source != source)) {
        doubt = doubt->next;
    }
    return doubt;
}

static void on_told(void *arg, sf_status status, const char *text,
                    const Sf__Control__Envelope *reply)
{
    struct moves_ref *ref = arg;
    struct daemon *daemon = ref->daemon;
    struct doubt *doubt = doubt_find(daemon, ref->number, ref->source);

    (void)text;
    free(ref);
    if (doubt == NULL) {
        return;
    }
    doubt->waits = false;
    doubt->again_ms = daemon_now(daemon) + MOVES_ASK_AGAIN_MS;
    if (status == SF_OK && reply->body_case == SF__CONTROL__ENVELOPE__BODY_MOVE_TOLD) {
        doubt_end(daemon, doubt,
                  reply->move_told->committed ? SF__CONTROL__MOVE_VERDICT__VERDICT__COMMITTED
                                              : SF__CONTROL__MOVE_VERDICT__VERDICT__NOT_COMMITTED);
    }
}

static void doubt_look(struct daemon *daemon, struct doubt *doubt)
{
    struct world_node *source = world_node_by_id(&daemon->world, doubt->source);
    struct world_node *target = world_node_by_id(&daemon->world, doubt->target);

    if (source->stage != WORLD_JOINED || source->epoch != doubt->source_epoch) {
        doubt_drop(daemon->moves, doubt); /* nobody asks any more */
    } else if (target->stage == WORLD_LOST || target->epoch != doubt->target_epoch) {
        doubt_end(daemon, doubt, SF__CONTROL__MOVE_VERDICT__VERDICT__TARGET_LOST);
    } else if (moves__ask(daemon, target, doubt->move, doubt->sip, on_told, doubt->move, doubt->source) ==
               SF_OK) {
        doubt->waits = true;
    } else {
        doubt->again_ms = daemon_now(daemon) + MOVES_ASK_AGAIN_MS;
    }
}

void moves_doubt(struct daemon *daemon, const struct world_node *node,
                 const Sf__Control__MoveDoubt *body)
{
    const struct world_node *target = world_node_by_id(&daemon->world, body->target_node);
    struct moves *moves = moves__state(daemon);
    struct doubt *doubt;

    if (target == NULL || target == node || doubt_find(daemon, body->move, node->id) != NULL) {
        return; /* it is being asked already; or nonsense */
    }
    doubt = calloc(1, sizeof(*doubt));
    if (moves == NULL || doubt == NULL) {
        free(doubt);
        return; /* it asks again */
    }
    *doubt = (struct doubt){.next = moves->doubts,
                            .move = body->move,
                            .sip = body->sip,
                            .source = node->id,
                            .source_epoch = node->epoch,
                            .target = target->id,
                            .target_epoch = (uint16_t)body->target_epoch};
    moves->doubts = doubt;
    doubt_look(daemon, doubt);
}

void moves__doubts_tick(struct daemon *daemon)
{
    uint64_t now_ms = daemon_now(daemon);
    struct doubt *next;

    for (struct doubt *doubt = daemon->moves->doubts; doubt != NULL; doubt = next) {
        next = doubt->next;
        if (!doubt->waits && now_ms >= doubt->again_ms) {
            doubt_look(daemon, doubt);
        }
    }
}

void moves__doubts_fini(struct daemon *daemon)
{
    while (daemon->moves != NULL && daemon->moves->doubts != NULL) {
        doubt_drop(daemon->moves, daemon->moves->doubts);
    }
}
