/* SPDX-License-Identifier: Apache-2.0 */
/* agent_moves.c - SIPs that leave and come, as the controller wants it and is told of it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent_private.h"
#include "log.h"

/* While something moves, and so long after its last step, the node stays awake: the next one is a
 * round trip away, and a SIP stands still. */
#define AWAKE_NS 2000000u

/* --- turns --------------------------------------------------------------------------------------
 */

static bool on_turn(void *arg, uint64_t now_ns);

static void on_timer(uv_timer_t *timer)
{
    struct agent *agent = timer->data;

    if (agent->mover != NULL) {
        pump_each_turn(agent->options.pump, on_turn, agent);
    }
}

/* When nothing moves, only time and new things end the quiet. */
static void rest(struct agent *agent, uint64_t now_ns)
{
    uint64_t next_ns = mover_next_ns(agent->mover);

    if (!mover_is_busy(agent->mover)) {
        pump_each_turn(agent->options.pump, NULL, NULL);
    }
    if (next_ns != UINT64_MAX) {
        uint64_t ms = next_ns > now_ns ? (next_ns - now_ns) / 1000000u + 1 : 1;

        uv_timer_start(&agent->move_timer, on_timer, ms, 0);
    }
}

static bool on_turn(void *arg, uint64_t now_ns)
{
    struct agent *agent = arg;
    bool any = mover_turn(agent->mover, now_ns);

    if (any && mover_is_busy(agent->mover)) {
        pump_stay_awake(agent->options.pump, now_ns + AWAKE_NS);
    } else if (!any) {
        rest(agent, now_ns);
    }
    return any;
}

static void on_awake(void *arg)
{
    struct agent *agent = arg;

    pump_each_turn(agent->options.pump, on_turn, agent);
}

/* --- what the controller is told ----------------------------------------------------------------
 */

static void on_report(void *arg, const struct mover_report *report)
{
    static const Sf__Control__MoveStep steps[] = {
        [MOVER_PREPARE] = SF__CONTROL__MOVE_STEP__MOVE_PREPARE,
        [MOVER_PRECOPY] = SF__CONTROL__MOVE_STEP__MOVE_PRECOPY,
        [MOVER_FREEZE] = SF__CONTROL__MOVE_STEP__MOVE_FREEZE,
        [MOVER_TRANSFER] = SF__CONTROL__MOVE_STEP__MOVE_TRANSFER,
        [MOVER_COMMIT] = SF__CONTROL__MOVE_STEP__MOVE_COMMIT,
        [MOVER_DONE] = SF__CONTROL__MOVE_STEP__MOVE_DONE,
        [MOVER_ABORTED] = SF__CONTROL__MOVE_STEP__MOVE_ABORTED,
        [MOVER_LOST] = SF__CONTROL__MOVE_STEP__MOVE_LOST,
    };
    struct agent *agent = arg;
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__MoveReport message = SF__CONTROL__MOVE_REPORT__INIT;

    message.ticket = report->ticket;
    message.step = steps[report->step];
    message.text = (char *)report->text;
    message.move = report->move;
    message.blackout_ns = report->blackout_ns;
    message.total_ns = report->total_ns;
    message.precopied_bytes = report->precopied_bytes;
    message.frozen_bytes = report->frozen_bytes;
    message.endpoints = report->endpoints;
    message.rounds = report->rounds;
    message.again = report->again;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_MOVE_REPORT;
    envelope.move_report = &message;
    if (report->step == MOVER_DONE) {
        node_log("sip %" PRIu64 " has moved to node %u: black-out %" PRIu64 " us", report->sip,
                 report->target, report->blackout_ns / 1000);
    } else if (report->step >= MOVER_ABORTED) {
        node_log("sip %" PRIu64 " has not moved to node %u: %s", report->sip, report->target,
                 report->text);
    }
    agent__send(agent, &envelope);
}

static void on_arrived(void *arg, uint64_t ticket, uint64_t sip, uint64_t move)
{
    struct agent *agent = arg;
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__MoveArrived message = SF__CONTROL__MOVE_ARRIVED__INIT;

    message.ticket = ticket;
    message.sip = sip;
    message.move = move;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_MOVE_ARRIVED;
    envelope.move_arrived = &message;
    agent__send(agent, &envelope);
}

static void on_say(void *arg, const char *text)
{
    agent__say(arg, "%s", text);
}

static void to_controller(void *arg, const uint8_t *bytes, uint32_t length)
{
    struct agent *agent = arg;
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__MoverMessage message = SF__CONTROL__MOVER_MESSAGE__INIT;
    sf_status st;

    if (!agent->welcome) {
        return; /* it is said again */
    }
    message.content = (ProtobufCBinaryData){length, (uint8_t *)bytes};
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_MOVER_MESSAGE;
    envelope.mover_message = &message;
    st = control_stream_send(agent->stream, &envelope);
    if (st != SF_OK) {
        node_log("a message about a move could not be sent: %s", sf_status_text(st));
    }
}

/* --- what the controller wants ------------------------------------------------------------------
 */

sf_status agent__sip_move(struct agent *agent, const Sf__Control__Envelope *envelope, char *text)
{
    const Sf__Control__SipMove *order = envelope->sip_move;

    if (order->target_node == 0 || order->target_node >= FAB_NODES_MAX) {
        snprintf(text, AGENT_TEXT_BYTES, "node id %u is out of range", order->target_node);
        return SF_BADARG;
    }
    return mover_begin(agent->mover, order->ticket, order->sip, (uint16_t)order->target_node,
                       order->budget_us * 1000ull, node_now_ns(), text, AGENT_TEXT_BYTES);
}

sf_status agent__mover_message(struct agent *agent, const Sf__Control__Envelope *envelope,
                               char *text)
{
    const ProtobufCBinaryData *content = &envelope->mover_message->content;

    (void)text;
    if (content->len <= FAB_MOVE_MESSAGE_BYTES_MAX) {
        mover_told(agent->mover, content->data, (uint32_t)content->len, node_now_ns());
    }
    return SF_OK;
}

void agent__move_ask(struct agent *agent, uint64_t request, uint64_t sip)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__MoveTold told = SF__CONTROL__MOVE_TOLD__INIT;

    told.here = mover_has_come(agent->mover, sip);
    envelope.request = request;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_MOVE_TOLD;
    envelope.move_told = &told;
    agent__answer(agent, &envelope);
}

/* --- life ---------------------------------------------------------------------------------------
 */

sf_status agent__mover_begin(struct agent *agent, char *text, size_t text_capacity)
{
    static const struct mover_events events = {on_report, on_arrived, on_say, to_controller,
                                               on_awake};

    return mover_create(agent->kernel, agent->node_id, agent->epoch, &events, agent, &agent->mover,
                        text, text_capacity);
}

void agent__mover_end(struct agent *agent)
{
    uv_timer_stop(&agent->move_timer);
    pump_each_turn(agent->options.pump, NULL, NULL);
    mover_destroy(agent->mover);
    agent->mover = NULL;
}
