/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/nk_abi.h"
#include "flow_run.h"

/* One kernel call of one state. */
struct step {
    struct flow_run *r;
    struct flow_operation *op; /* send, recv, close */
    uint32_t offset;
    uint8_t call;
    bool has_result;
    struct flow_value args[4];
    struct flow_set *out;
};

static const char *const sides[] = {"importer", "exporter"};

/* --- what is noted of an operation ---------------------------------------------------------------
 */

static struct flow_operation *find_operation(struct flow_run *r, uint32_t offset)
{
    uint32_t low = 0, high = r->result->count;

    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (r->result->operations[middle].offset < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < r->result->count && r->result->operations[low].offset == offset
               ? &r->result->operations[low]
               : NULL;
}

static void note_unknown(struct step *step, const struct flow_state *s, const char *why)
{
    if (step->op->unknown++ == 0) {
        (void)snprintf(step->op->reason, sizeof(step->op->reason), "%s", why);
        step->op->path = s->event;
    }
}

static void note_illegal(struct step *step, const struct flow_state *s, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void note_illegal(struct step *step, const struct flow_state *s, const char *format, ...)
{
    va_list list;

    if (step->op->illegal++ == 0) {
        va_start(list, format);
        (void)vsnprintf(step->op->bad, sizeof(step->op->bad), format, list);
        va_end(list);
        if (step->op->unknown == 0) {
            step->op->path = s->event;
        }
    }
}

static void note_event(struct step *step, struct flow_state *s, const struct flow_endpoint *e,
                       uint8_t from, uint8_t to, int tag)
{
    struct flow_result *result = step->r->result;
    struct flow_event *event;

    if (result->event_count % 1024 == 0) {
        struct flow_event **more =
            realloc(result->events, (result->event_count + 1024u) * sizeof(*more));
        if (more == NULL) {
            flow_give_up(step->r, "no memory left");
            return;
        }
        result->events = more;
    }
    event = malloc(sizeof(*event));
    if (event == NULL || result->event_count >= FLOW_EVENTS_MAX) {
        free(event);
        flow_give_up(step->r, "the program is too large to be followed");
        return;
    }
    *event = (struct flow_event){
        .before = s->event,
        .contract = e->contract,
        .offset = step->offset,
        .caller = step->r->caller,
        .call = step->call,
        .side = e->side,
        .from = from,
        .to = to,
        .tag = (int16_t)tag,
    };
    result->events[result->event_count++] = event;
    s->event = event;
}

/* --- states after a call -------------------------------------------------------------------------
 */

static void leave(struct step *step, struct flow_state *s, struct flow_value result)
{
    if (step->has_result) {
        flow_push(step->r, s, result);
    }
    if (!flow_set_add(step->out, s)) {
        flow_give_up(step->r, "too many different states at one point");
    }
}

static struct flow_value negative(void)
{
    return (struct flow_value){.kind = FLOW_NEGATIVE};
}

static struct flow_value handle_of(int endpoint)
{
    return endpoint < 0 ? flow_unknown()
                        : (struct flow_value){.number = endpoint, .kind = FLOW_HANDLE};
}

static struct flow_state *another(struct step *step, const struct flow_state *s)
{
    struct flow_state *copy = flow_state_copy(s);

    if (copy == NULL) {
        flow_give_up(step->r, "no memory left");
    }
    return copy;
}

/* An unknown handle was used: it may have been any of them. */
static void lose_all(struct flow_state *s)
{
    for (uint32_t i = 0; i < FLOW_ENDPOINTS_MAX; i++) {
        if (s->endpoints[i].life == FLOW_OPEN) {
            s->endpoints[i].life = FLOW_LOST;
            s->endpoints[i].state = 0;
            s->endpoints[i].shaky = 0;
        }
    }
}

static void lose(struct flow_endpoint *e)
{
    e->life = FLOW_LOST;
    e->state = 0;
    e->shaky = 0;
}

/* The operand that is a handle, if it is followed; else notes why not, and answers NULL. */
static struct flow_endpoint *endpoint_of(struct step *step, struct flow_state *s,
                                         struct flow_value handle)
{
    struct flow_endpoint *e;

    if (handle.kind != FLOW_HANDLE) {
        note_unknown(step, s,
                     handle.kind == FLOW_CONST && handle.number == 0
                         ? "the handle is 0 on a way here"
                         : "its handle comes out of memory that is not followed");
        return NULL;
    }
    e = &s->endpoints[handle.number];
    if (e->life == FLOW_LOST) {
        note_unknown(step, s,
                     "an operation before it, on a handle that is not followed, may have changed "
                     "this endpoint's state");
    }
    return e;
}

static bool is_gone(struct step *step, struct flow_state *s, const struct flow_endpoint *e)
{
    if (e->life == FLOW_CLOSED || e->life == FLOW_GIVEN) {
        note_illegal(step, s, "the endpoint of %s (%s) was %s before", e->contract->name,
                     sides[e->side], e->life == FLOW_CLOSED ? "closed" : "sent away");
        return true;
    }
    return false;
}

/* --- channels that appear ------------------------------------------------------------------------
 */

static const struct ct_contract *contract_by_id(const struct flow_run *r,
                                                const struct ct_contract *from, uint16_t ref)
{
    if (ref == CT_REF_SELF) {
        return from;
    }
    for (uint32_t i = 0; i < r->ports->contract_count; i++) {
        const struct ct_contract *c = r->ports->contracts[i];
        if (ref < from->ref_count && memcmp(c->id, from->refs[ref].id, CT_ID_BYTES) == 0) {
            return c;
        }
    }
    return NULL;
}

/* The port that the program names; NULL: it cannot be said. */
static const struct flow_port *port_of(const struct step *step, bool export)
{
    const struct flow_ports *ports = step->r->ports;
    const struct flow_port *found = NULL;
    uint32_t room = 0, matches = 0;
    const char *text = NULL;

    if (step->args[0].kind == FLOW_CONST) {
        text = flow_module_data(step->r->module, (uint32_t)step->args[0].number, &room);
    }
    if (text == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < ports->port_count; i++) {
        const struct flow_port *port = &ports->ports[i];
        const uint32_t bytes = (uint32_t)strlen(port->name);
        if (port->export != export || bytes > room || memcmp(port->name, text, bytes) != 0) {
            continue;
        }
        /* With a length that is not known, two names of which one begins the other both match. */
        if (step->args[1].kind == FLOW_CONST && step->args[1].number != (int64_t)bytes) {
            continue;
        }
        matches++;
        found = port;
    }
    return matches == 1 ? found : NULL;
}

static void call_take(struct step *step, struct flow_state *s, bool export)
{
    const struct flow_port *port = port_of(step, export);
    struct flow_state *failed = another(step, s);
    int endpoint = -1;

    if (port != NULL && port->contract != NULL) {
        endpoint = flow_endpoint_new(s, port->contract, export ? CT_EXP : CT_IMP, 0);
    }
    if (endpoint >= 0) {
        note_event(step, s, &s->endpoints[endpoint], 0, 0, -1);
    }
    leave(step, s, handle_of(endpoint));
    if (failed != NULL) {
        leave(step, failed, negative());
    }
}

static void call_channel(struct step *step, struct flow_state *s)
{
    const struct flow_ports *ports = step->r->ports;
    const int64_t address = flow_address(step->r, step->args[2], 0);
    const struct ct_contract *contract = NULL;
    struct flow_state *failed = another(step, s);
    const int64_t state = step->args[1].number;
    int imp = -1, exp = -1;

    for (uint32_t i = 0; i < ports->contract_count && step->args[0].kind == FLOW_CONST; i++) {
        if (ports->contracts[i]->short_id == (uint64_t)step->args[0].number) {
            contract = ports->contracts[i];
        }
    }
    if (contract != NULL && step->args[1].kind == FLOW_CONST && state >= 0 &&
        state < contract->state_count) {
        imp = flow_endpoint_new(s, contract, CT_IMP, (uint8_t)state);
        exp = flow_endpoint_new(s, contract, CT_EXP, (uint8_t)state);
    }
    if (imp >= 0) {
        note_event(step, s, &s->endpoints[imp], (uint8_t)state, (uint8_t)state, -1);
    }
    if (address < 0) {
        s->place_count = 0;
    } else {
        flow_store(s, (uint64_t)address, 4, handle_of(imp));
        flow_store(s, (uint64_t)address + 4, 4, handle_of(exp));
    }
    leave(step, s, flow_const(0));
    if (failed != NULL) {
        leave(step, failed, negative());
    }
}

/* --- send ----------------------------------------------------------------------------------------
 */

enum parts { PARTS_RIGHT, PARTS_WRONG, PARTS_UNKNOWN };

/* Endpoints in a message; *given: a bit for each that goes with it. */
static enum parts check_parts(struct step *step, const struct flow_state *s,
                              const struct flow_endpoint *over, const struct ct_message *message,
                              int64_t address, uint32_t *given)
{
    enum parts parts = PARTS_RIGHT;

    for (uint8_t i = 0; i < message->arg_count; i++) {
        const struct ct_arg *arg = &message->args[i];
        const struct ct_contract *wanted;
        const struct flow_endpoint *e;
        struct flow_value value;
        if (arg->kind != CT_ARG_ENDPOINT) {
            continue;
        }
        value = flow_load(s, (uint64_t)address + 8u + 8u * i, 8);
        if (value.kind == FLOW_CONST && value.number == 0 && arg->optional) {
            continue;
        }
        if (value.kind != FLOW_HANDLE) {
            parts = parts == PARTS_WRONG ? parts : PARTS_UNKNOWN;
            continue;
        }
        e = &s->endpoints[value.number];
        wanted = contract_by_id(step->r, over->contract, arg->ref);
        if (e->life == FLOW_LOST || wanted == NULL) {
            parts = parts == PARTS_WRONG ? parts : PARTS_UNKNOWN;
            *given |= 1u << value.number;
        } else if (e->life != FLOW_OPEN || e == over || e->side != arg->side ||
                   e->contract != wanted || (e->state != arg->state && !e->shaky)) {
            parts = PARTS_WRONG;
        } else {
            parts = e->shaky && parts == PARTS_RIGHT ? PARTS_UNKNOWN : parts;
            *given |= 1u << value.number;
        }
    }
    return parts;
}

/* It was sent. */
static void give(struct flow_state *s, uint32_t given, bool unknown_too)
{
    for (uint32_t i = 0; i < FLOW_ENDPOINTS_MAX; i++) {
        if ((given >> i & 1) != 0) {
            s->endpoints[i].life = FLOW_GIVEN;
        }
    }
    if (unknown_too) {
        lose_all(s);
    }
}

static bool sends_endpoints(const struct ct_contract *contract)
{
    for (uint16_t m = 0; m < contract->message_count; m++) {
        for (uint8_t a = 0; a < contract->messages[m].arg_count; a++) {
            if (contract->messages[m].args[a].kind == CT_ARG_ENDPOINT) {
                return true;
            }
        }
    }
    return false;
}

/* What is sent, or where, is not known. */
static void send_unknown(struct step *step, struct flow_state *s, struct flow_endpoint *e)
{
    struct flow_state *failed = another(step, s);

    if (e == NULL || sends_endpoints(e->contract)) {
        lose_all(s);
    } else {
        lose(e);
    }
    leave(step, s, flow_const(0));
    if (failed != NULL) {
        leave(step, failed, negative());
    }
}

/*
 * May a send that the contract allows fail? Blocks, endpoints and numbers can be wrong; a message
 * without any cannot: there is room for it, and the peer's end is no failure of a send.
 */
static bool can_fail(const struct ct_message *message)
{
    for (uint8_t i = 0; i < message->arg_count; i++) {
        if (message->args[i].kind != CT_ARG_INT64 && message->args[i].kind != CT_ARG_UINT64) {
            return true;
        }
    }
    return false;
}

static void send_known(struct step *step, struct flow_state *s, struct flow_endpoint *e,
                       uint32_t tag, int64_t address)
{
    const uint8_t next = ct_step(e->contract, e->state, (enum ct_side)e->side, tag);
    const struct flow_value arg_count = flow_load(s, (uint64_t)address + 4, 4);
    const struct ct_message *message;
    struct flow_state *failed;
    enum parts parts;
    uint32_t given = 0;
    uint8_t from = e->state;

    if (e->shaky) {
        note_unknown(step, s, "a receive before it may have failed after the state had changed");
        send_unknown(step, s, e);
        return;
    }
    if (next == CT_ILLEGAL) {
        note_illegal(step, s, "%s: the %s may not send %s in state %s", e->contract->name,
                     sides[e->side],
                     tag < e->contract->message_count ? e->contract->messages[tag].name
                                                      : "a message that does not exist",
                     e->contract->states[e->state].name);
        leave(step, s, negative());
        return;
    }
    message = &e->contract->messages[tag];
    parts = check_parts(step, s, e, message, address, &given);
    if (parts == PARTS_WRONG ||
        (arg_count.kind == FLOW_CONST && arg_count.number != message->arg_count)) {
        note_illegal(step, s, "%s: an endpoint in %s, or the number of its arguments, is wrong",
                     e->contract->name, message->name);
        leave(step, s, negative());
        return;
    }
    if (parts == PARTS_UNKNOWN || arg_count.kind != FLOW_CONST) {
        note_unknown(step, s, "an endpoint in the message is not followed");
    } else {
        step->op->legal++;
    }
    failed = arg_count.kind != FLOW_CONST || can_fail(message) ? another(step, s) : NULL;
    note_event(step, s, e, from, next, (int)tag);
    e->state = next;
    e->shaky = 0;
    give(s, given, parts == PARTS_UNKNOWN);
    leave(step, s, flow_const(0));
    if (failed != NULL) {
        leave(step, failed, negative());
    }
}

static void call_send(struct step *step, struct flow_state *s)
{
    const int64_t address = flow_address(step->r, step->args[1], 0);
    struct flow_endpoint *e = endpoint_of(step, s, step->args[0]);
    const struct flow_value tag = address < 0 ? flow_unknown() : flow_load(s, (uint64_t)address, 4);

    if (e == NULL || e->life == FLOW_LOST) {
        send_unknown(step, s, NULL);
    } else if (is_gone(step, s, e)) {
        leave(step, s, negative());
    } else if (tag.kind != FLOW_CONST) {
        note_unknown(step, s, "which message it sends is not known");
        send_unknown(step, s, e);
    } else {
        send_known(step, s, e, (uint32_t)tag.number, address);
    }
}

/* --- recv ----------------------------------------------------------------------------------------
 */

static void forget_message(struct flow_state *s, int64_t address)
{
    if (address < 0) {
        s->place_count = 0;
    } else {
        flow_forget(s, (uint64_t)address, sizeof(struct nk_msg));
    }
}

/* One message that may come. */
static void recv_message(struct step *step, struct flow_state *s, uint32_t endpoint, uint32_t tag,
                         uint8_t next, int64_t address)
{
    struct flow_endpoint *e = &s->endpoints[endpoint];
    const struct ct_contract *contract = e->contract;
    const struct ct_message *message = &contract->messages[tag];

    note_event(step, s, e, e->state, next, (int)tag);
    e->state = next;
    e->shaky = 0;
    forget_message(s, address);
    if (address >= 0) {
        flow_store(s, (uint64_t)address, 4, flow_const(tag));
        flow_store(s, (uint64_t)address + 4, 4, flow_const(message->arg_count));
    }
    for (uint8_t i = 0; i < message->arg_count && address >= 0; i++) {
        const struct ct_arg *arg = &message->args[i];
        const struct ct_contract *other;
        if (arg->kind != CT_ARG_ENDPOINT || arg->optional) {
            continue;
        }
        other = contract_by_id(step->r, contract, arg->ref);
        if (other != NULL) {
            flow_store(s, (uint64_t)address + 8u + 8u * i, 8,
                       handle_of(flow_endpoint_new(s, other, arg->side, arg->state)));
        }
    }
    leave(step, s, flow_const(0));
}

static bool carries(const struct ct_message *message)
{
    for (uint8_t i = 0; i < message->arg_count; i++) {
        if (message->args[i].kind == CT_ARG_BLOCK || message->args[i].kind == CT_ARG_ENDPOINT) {
            return true;
        }
    }
    return false;
}

/* No message can come: either it is this side's turn, or it is over. */
static void recv_nothing(struct step *step, struct flow_state *s, const struct flow_endpoint *e)
{
    const struct ct_contract *contract = e->contract;
    const bool for_ever = step->args[2].kind == FLOW_CONST && step->args[2].number == -1;

    if (contract->states[e->state].final) {
        step->op->legal++; /* waits for the other side to close */
    } else if (for_ever && !e->shaky) {
        note_illegal(step, s, "%s: nothing can come in state %s, where the %s is to send",
                     contract->name, contract->states[e->state].name, sides[e->side]);
    } else {
        note_unknown(step, s,
                     "nothing can come in a state that is possible here, but it does not "
                     "wait for ever");
    }
    leave(step, s, negative());
}

static void recv_open(struct step *step, struct flow_state *s, uint32_t endpoint, int64_t address)
{
    const struct flow_endpoint e = s->endpoints[endpoint];
    bool any = false, shaky = e.shaky != 0;

    for (uint32_t tag = 0; tag < e.contract->message_count; tag++) {
        const uint8_t next = ct_step(e.contract, e.state, ct_other((enum ct_side)e.side), tag);
        struct flow_state *copy;
        if (next == CT_ILLEGAL) {
            continue;
        }
        any = true;
        shaky = shaky || carries(&e.contract->messages[tag]);
        copy = another(step, s);
        if (copy != NULL) {
            recv_message(step, copy, endpoint, tag, next, address);
        }
    }
    if (!any) {
        recv_nothing(step, s, &e);
        return;
    }
    step->op->legal++;
    s->endpoints[endpoint].shaky = shaky;
    forget_message(s, address);
    leave(step, s, negative());
}

static void call_recv(struct step *step, struct flow_state *s)
{
    const int64_t address = flow_address(step->r, step->args[1], 0);
    struct flow_endpoint *e = endpoint_of(step, s, step->args[0]);
    struct flow_state *failed;

    if (e != NULL && is_gone(step, s, e)) {
        leave(step, s, negative());
        return;
    }
    if (e != NULL && e->life == FLOW_OPEN) {
        recv_open(step, s, (uint32_t)step->args[0].number, address);
        return;
    }
    forget_message(s, address);
    failed = another(step, s);
    lose_all(s);
    leave(step, s, flow_const(0));
    if (failed != NULL) {
        lose_all(failed);
        leave(step, failed, negative());
    }
}

/* --- close, and the rest -------------------------------------------------------------------------
 */

static void call_close(struct step *step, struct flow_state *s)
{
    struct flow_endpoint *e = endpoint_of(step, s, step->args[0]);

    if (e == NULL) {
        lose_all(s);
        leave(step, s, flow_unknown());
        return;
    }
    if (is_gone(step, s, e)) {
        leave(step, s, negative());
        return;
    }
    if (e->life == FLOW_OPEN) {
        step->op->legal++;
        note_event(step, s, e, e->state, e->state, -1);
    }
    e->life = FLOW_CLOSED;
    e->state = 0;
    e->shaky = 0;
    leave(step, s, flow_unknown());
}

/* Calls that write to a buffer: address and capacity are arguments `at` and the next. */
static void forget_buffer(struct step *step, struct flow_state *s, uint32_t at)
{
    const int64_t address = flow_address(step->r, step->args[at], 0);

    if (address < 0 || step->args[at + 1].kind != FLOW_CONST) {
        s->place_count = 0;
    } else {
        flow_forget(s, (uint64_t)address, (uint32_t)step->args[at + 1].number);
    }
}

void flow__call(struct flow_run *r, struct flow_state *s, const struct flow_insn *insn,
                const struct flow_function *f, uint32_t floor, struct flow_set *out)
{
    struct step step = {
        .r = r,
        .op = find_operation(r, insn->offset),
        .offset = insn->offset,
        .call = f->call,
        .has_result = f->results > 0,
        .out = out,
    };

    for (uint32_t i = f->params; i > 0; i--) {
        const struct flow_value value = flow_pop(r, s, floor);
        if (i <= 4) {
            step.args[i - 1] = value;
        }
    }
    switch ((enum flow_call)f->call) {
    case FLOW_CALL_exit:
        free(s);
        return;
    case FLOW_CALL_endpoint:
        call_take(&step, s, false);
        return;
    case FLOW_CALL_accept:
        call_take(&step, s, true);
        return;
    case FLOW_CALL_channel:
        call_channel(&step, s);
        return;
    case FLOW_CALL_send:
        call_send(&step, s);
        return;
    case FLOW_CALL_recv:
        call_recv(&step, s);
        return;
    case FLOW_CALL_close:
        call_close(&step, s);
        return;
    case FLOW_CALL_recv_any: /* from which endpoint is not followed */
        forget_message(s, flow_address(r, step.args[2], 0));
        lose_all(s);
        break;
    case FLOW_CALL_config:
        forget_buffer(&step, s, 2);
        break;
    case FLOW_CALL_identity:
        forget_buffer(&step, s, 1);
        break;
    case FLOW_CALL_entropy:
        forget_buffer(&step, s, 0);
        break;
    default:
        break;
    }
    leave(&step, s, flow_unknown());
}
