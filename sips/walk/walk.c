/* SPDX-License-Identifier: Apache-2.0 */
#include "walk.h"

#include <stdarg.h>

#define PAYLOAD_BYTES 32u
#define TRIES_MAX 4u  /* wishes not fulfilled before a transition is given up */
#define BARREN_MAX 6u /* sessions in a row that saw nothing new */
#define SESSION_STEPS_MAX 400u

static struct {
    struct walk_session sessions[WALK_SESSIONS_MAX];
    bool state_seen[WALK_STATES_MAX];
    bool edge_seen[WALK_STATES_MAX * WALK_MESSAGES_MAX];
    /* In the session being walked: this was tried and did not come about. */
    bool edge_blocked[WALK_STATES_MAX * WALK_MESSAGES_MAX];
    uint8_t edge_tries[WALK_STATES_MAX * WALK_MESSAGES_MAX];
    uint32_t seen_count; /* of edges */
    uint32_t tried, refused;
    uint32_t failures;
    int64_t end_ns;
    /* A spare for messages that are expected to be refused; kept from one to the next. */
    uint8_t *block;
    struct {
        uint64_t contract;
        uint8_t state;
        uint32_t handles[2];
    } spare[NK_ARGS_MAX];
} walk;

static uint8_t next_of(uint32_t state, uint32_t tag)
{
    return walk_contract.next[state * walk_contract.message_count + tag];
}

static uint32_t edge_of(uint32_t state, uint32_t tag)
{
    return state * walk_contract.message_count + tag;
}

static const char *state_name(uint32_t state)
{
    return state < walk_contract.state_count ? walk_contract.states[state].name : "?";
}

static const char *message_name(uint32_t tag)
{
    return tag < walk_contract.message_count ? walk_contract.messages[tag].name : "?";
}

void walk_fail(const char *format, ...)
{
    char text[256];
    va_list list;

    va_start(list, format);
    (void)sip_vformat(text, sizeof(text), format, list);
    va_end(list);
    walk.failures++;
    sip_log("walk %s: failed: %s", walk_contract.name, text);
}

static bool over(void)
{
    return walk.failures >= WALK_FAILURES_MAX || nk_clock_ns() >= walk.end_ns;
}

/* --- messages that must be refused
 * ------------------------------------------------------------------ */

static uint64_t spare_block(void)
{
    if (walk.block == NULL) {
        walk.block = nk_block_alloc(PAYLOAD_BYTES);
        if (walk.block != NULL) {
            memset(walk.block, 'x', PAYLOAD_BYTES);
        }
    }
    return walk.block == NULL ? 0 : sip_block_arg(walk.block, PAYLOAD_BYTES);
}

static uint32_t spare_endpoint(const struct walk_arg *arg)
{
    for (uint32_t i = 0; i < NK_ARGS_MAX; i++) {
        if (walk.spare[i].handles[0] != 0 && walk.spare[i].contract == arg->contract &&
            walk.spare[i].state == arg->state) {
            return walk.spare[i].handles[arg->side];
        }
        if (walk.spare[i].handles[0] == 0) {
            walk.spare[i].contract = arg->contract;
            walk.spare[i].state = arg->state;
            if (nk_channel((int64_t)arg->contract, arg->state, walk.spare[i].handles) < 0) {
                walk.spare[i].handles[0] = 0;
                return 0;
            }
            return walk.spare[i].handles[arg->side];
        }
    }
    return 0;
}

/* Arguments that are right by their types, so that only the state can be why it is refused. */
static void fill_spare(uint32_t tag, struct nk_msg *msg)
{
    const struct walk_message *message = &walk_contract.messages[tag];

    *msg = (struct nk_msg){.tag = tag, .arg_count = message->arg_count};
    for (uint32_t i = 0; i < message->arg_count; i++) {
        if (message->args[i].kind == WALK_ARG_BLOCK) {
            msg->args[i] = spare_block();
        } else if (message->args[i].kind == WALK_ARG_ENDPOINT) {
            msg->args[i] = spare_endpoint(&message->args[i]);
        }
    }
}

static void try_illegal(struct walk_session *session, uint32_t tag)
{
    struct nk_msg msg;

    fill_spare(tag, &msg);
    walk.tried++;
    int32_t answer = nk_send(session->handle, &msg);
    int32_t state = nk_state(session->handle);
    if (answer != -SF_CONTRACT) {
        walk_fail("%s was to be refused in state %s, the answer was: %s", message_name(tag),
                  state_name(session->state), sip_status_text(answer));
        walk.block = NULL; /* it may be gone */
        memset(walk.spare, 0, sizeof(walk.spare));
    } else if (state != session->state) {
        walk_fail("%s was refused in state %s, but the state is %d now", message_name(tag),
                  state_name(session->state), (int)state);
    } else {
        walk.refused++;
    }
}

/* Comes to a state: the first time, all that is illegal there is tried. */
static void arrive(struct walk_session *session, uint8_t state)
{
    const struct walk_state *entry = &walk_contract.states[state];
    int32_t real = nk_state(session->handle);

    session->state = state;
    if (real != state) {
        walk_fail("the state is to be %s, but is %d", state_name(state), (int)real);
        return;
    }
    if (walk.state_seen[state]) {
        return;
    }
    walk.state_seen[state] = true;
    for (uint32_t tag = 0; tag < walk_contract.message_count; tag++) {
        bool legal = entry->sender == WALK_IMP && next_of(state, tag) != WALK_NONE;
        if (!legal) {
            try_illegal(session, tag);
        }
    }
}

static void see_edge(uint32_t state, uint32_t tag)
{
    uint32_t edge = edge_of(state, tag);

    walk.seen_count += !walk.edge_seen[edge];
    walk.edge_seen[edge] = true;
}

/* --- sessions
 * ---------------------------------------------------------------------------------------- */

struct walk_session *walk_adopt(uint32_t handle, uint8_t state, bool helper)
{
    for (uint32_t i = 0; i < WALK_SESSIONS_MAX; i++) {
        struct walk_session *session = &walk.sessions[i];
        if (session->handle == 0) {
            *session = (struct walk_session){.handle = handle, .helper = helper};
            arrive(session, state);
            return session;
        }
    }
    walk_fail("more than %u sessions at once", WALK_SESSIONS_MAX);
    (void)nk_close(handle);
    return NULL;
}

void walk_close(struct walk_session *session)
{
    if (session == NULL || session->handle == 0) {
        return;
    }
    (void)nk_close(session->handle);
    session->handle = 0;
    for (uint32_t i = 0; i < WALK_SESSIONS_MAX; i++) {
        if (walk.sessions[i].other == session) {
            walk.sessions[i].other = NULL;
        }
        if (walk.sessions[i].born == session) {
            walk.sessions[i].born = NULL;
        }
    }
}

static bool fill_endpoint(struct walk_session *session, const struct walk_arg *arg,
                          uint64_t *out_value)
{
    uint32_t handles[2];
    int32_t answer = nk_channel((int64_t)arg->contract, arg->state, handles);

    if (answer < 0) {
        walk_fail("cannot make a channel for argument %s: %s", arg->name, sip_status_text(answer));
        return false;
    }
    *out_value = handles[arg->side];
    if (arg->contract == walk_contract.id && arg->side == WALK_EXP) {
        session->born = walk_adopt(handles[WALK_IMP], arg->state, false);
        return session->born != NULL;
    }
    (void)nk_close(handles[arg->side == WALK_EXP ? WALK_IMP : WALK_EXP]);
    return true;
}

bool walk_fill(struct walk_session *session, uint32_t tag, struct nk_msg *msg)
{
    const struct walk_message *message = &walk_contract.messages[tag];

    *msg = (struct nk_msg){.tag = tag, .arg_count = message->arg_count};
    session->born = NULL;
    for (uint32_t i = 0; i < message->arg_count; i++) {
        if (message->args[i].kind == WALK_ARG_BLOCK) {
            uint8_t *block = nk_block_alloc(PAYLOAD_BYTES);
            if (block == NULL) {
                walk_fail("no block for argument %s", message->args[i].name);
                return false;
            }
            memset(block, 'w', PAYLOAD_BYTES);
            msg->args[i] = sip_block_arg(block, PAYLOAD_BYTES);
        } else if (message->args[i].kind == WALK_ARG_ENDPOINT &&
                   !fill_endpoint(session, &message->args[i], &msg->args[i])) {
            return false;
        }
    }
    return true;
}

/* Gives back what a message holds: one that was received, or one that was not sent. */
static void drop(const struct nk_msg *msg)
{
    const struct walk_message *message = &walk_contract.messages[msg->tag];

    for (uint32_t i = 0; i < message->arg_count; i++) {
        if (message->args[i].kind == WALK_ARG_BLOCK && msg->args[i] != 0) {
            (void)nk_block_free(sip_arg_block(msg->args[i]));
        } else if (message->args[i].kind == WALK_ARG_ENDPOINT && msg->args[i] != 0) {
            (void)nk_close((uint32_t)msg->args[i]);
        }
    }
}

bool walk_send(struct walk_session *session, uint32_t tag, struct nk_msg *msg)
{
    uint8_t from = session->state;
    int32_t answer = nk_send(session->handle, msg);

    if (answer < 0) {
        walk_fail("%s is legal in state %s, but the answer was: %s", message_name(tag),
                  state_name(from), sip_status_text(answer));
        drop(msg);
        return false;
    }
    see_edge(from, tag);
    arrive(session, next_of(from, tag));
    return true;
}

uint32_t walk_receive(struct walk_session *session, struct nk_msg *msg)
{
    struct nk_msg own = {0};
    uint8_t from = session->state;
    int64_t left = walk.end_ns - nk_clock_ns();

    msg = msg == NULL ? &own : msg;
    left = left < 0 ? 0 : left;
    int32_t answer = nk_recv(session->handle, msg, left < WALK_ANSWER_NS ? left : WALK_ANSWER_NS);
    if (answer == -SF_CLOSED) {
        walk_fail("the channel closed in state %s: %s", state_name(from),
                  sip_cause_text(nk_cause(session->handle)));
        return WALK_NONE;
    }
    if (answer < 0) {
        walk_fail("no message from the exporter in state %s: %s", state_name(from),
                  sip_status_text(answer));
        return WALK_NONE;
    }
    if (msg->tag >= walk_contract.message_count || next_of(from, msg->tag) == WALK_NONE) {
        walk_fail("received message %u in state %s, which the contract does not allow",
                  (unsigned)msg->tag, state_name(from));
        return WALK_NONE;
    }
    drop(msg);
    see_edge(from, msg->tag);
    arrive(session, next_of(from, msg->tag));
    return msg->tag;
}

uint32_t walk_ask(struct walk_session *session, uint32_t tag)
{
    struct nk_msg msg;

    if (!walk_fill(session, tag, &msg) || !walk_send(session, tag, &msg)) {
        return WALK_NONE;
    }
    return walk_receive(session, NULL);
}

uint32_t walk_take_import(const char *name)
{
    int32_t handle = sip_endpoint(name);

    if (handle < 0) {
        walk_fail("no import %s: %s", name, sip_status_text(handle));
        return 0;
    }
    return (uint32_t)handle;
}

/* --- planning
 * ---------------------------------------------------------------------------------------- */

struct plan {
    uint32_t tag;  /* to send now */
    uint32_t wish; /* the answer it should get; WALK_NONE: any */
};

static bool usable(uint32_t edge)
{
    return !walk.edge_blocked[edge] && (walk.edge_seen[edge] || walk.edge_tries[edge] < TRIES_MAX);
}

static bool wanted(uint32_t edge)
{
    return usable(edge) && !walk.edge_seen[edge];
}

/* Breadth first from `start` to the nearest transition that is wanted. False: there is none. */
static bool make_plan(uint32_t start, struct plan *out_plan)
{
    static uint8_t queue[WALK_STATES_MAX];
    static uint8_t from[WALK_STATES_MAX]; /* state before; WALK_NONE: not visited */
    static uint8_t by[WALK_STATES_MAX];   /* tag that led here */
    uint32_t head = 0;
    uint32_t tail = 0;

    memset(from, (int)WALK_NONE, sizeof(from));
    from[start] = (uint8_t)start;
    queue[tail++] = (uint8_t)start;
    while (head < tail) {
        uint32_t state = queue[head++];
        for (uint32_t tag = 0; tag < walk_contract.message_count; tag++) {
            uint8_t next = next_of(state, tag);
            uint32_t edge = edge_of(state, tag);
            if (next == WALK_NONE || !usable(edge)) {
                continue;
            }
            if (wanted(edge)) {
                /* Back to the start; remember the last two tags passed: the first two of the way.
                 */
                *out_plan = (struct plan){.tag = tag, .wish = WALK_NONE};
                while (state != start) {
                    out_plan->wish = out_plan->tag;
                    out_plan->tag = by[state];
                    state = from[state];
                }
                uint8_t second = next_of(start, out_plan->tag);
                if (second != WALK_NONE && walk_contract.states[second].sender != WALK_EXP) {
                    out_plan->wish = WALK_NONE;
                }
                return true;
            }
            if (from[next] == WALK_NONE) {
                from[next] = (uint8_t)state;
                by[next] = (uint8_t)tag;
                queue[tail++] = next;
            }
        }
    }
    return false;
}

static void give_up_on(uint32_t state, uint32_t tag)
{
    uint32_t edge = edge_of(state, tag);

    walk.edge_blocked[edge] = true;
    walk.edge_tries[edge] += walk.edge_tries[edge] < UINT8_MAX;
}

/* The exporter speaks as long as it is its turn. False: this session cannot go on. */
static bool hear(struct walk_session *session, uint32_t sent, uint32_t wish)
{
    while (!walk_contract.states[session->state].final &&
           walk_contract.states[session->state].sender == WALK_EXP) {
        uint8_t state = session->state;
        uint32_t answer = walk_receive(session, NULL);
        if (answer == WALK_NONE) {
            if (wish != WALK_NONE) {
                give_up_on(state, wish);
            }
            return false;
        }
        if (wish != WALK_NONE && answer != wish) {
            give_up_on(state, wish);
        }
        wish = WALK_NONE;
        walk_hint_answered(session, sent, answer);
    }
    return true;
}

/* One message and its answers. False: there is nothing more to do in this session. */
static bool advance(struct walk_session *session)
{
    struct plan plan;
    struct nk_msg msg;

    if (walk_contract.states[session->state].final || over() || !make_plan(session->state, &plan)) {
        return false;
    }
    uint8_t state = session->state;
    uint8_t next = next_of(state, plan.tag);
    if (!walk_fill(session, plan.tag, &msg)) {
        return false;
    }
    if (!walk_hint_arrange(session, plan.tag, plan.wish, &msg)) {
        drop(&msg);
        walk_close(session->born);
        if (plan.wish != WALK_NONE) {
            give_up_on(next, plan.wish);
        } else {
            give_up_on(state, plan.tag);
        }
        return true;
    }
    if (!walk_send(session, plan.tag, &msg)) {
        give_up_on(state, plan.tag);
        return false;
    }
    return hear(session, plan.tag, plan.wish);
}

/* --- all of it
 * ---------------------------------------------------------------------------------------- */

/* A session in which there is something to do: one that an endpoint argument made, or a new one. */
static struct walk_session *pick(void)
{
    struct plan plan;

    memset(walk.edge_blocked, 0, sizeof(walk.edge_blocked));
    for (uint32_t i = 0; i < WALK_SESSIONS_MAX; i++) {
        struct walk_session *session = &walk.sessions[i];
        if (session->handle == 0 || session->helper) {
            continue;
        }
        if (make_plan(session->state, &plan)) {
            return session;
        }
        walk_hint_closing(session);
        walk_close(session);
    }
    return make_plan(0, &plan) ? walk_hint_fresh(false) : NULL;
}

static void go(void)
{
    uint32_t barren = 0;

    while (barren < BARREN_MAX && !over()) {
        uint32_t before = walk.seen_count;
        struct walk_session *session = pick();
        if (session == NULL) {
            return;
        }
        if (hear(session, WALK_NONE, WALK_NONE)) {
            uint32_t steps = 0;
            while (steps < SESSION_STEPS_MAX && advance(session)) {
                steps++;
            }
        }
        walk_hint_closing(session);
        walk_close(session);
        barren = walk.seen_count == before ? barren + 1 : 0;
    }
}

static int report(void)
{
    uint32_t states = 0;
    uint32_t edges = 0;
    const struct walk_contract *c = &walk_contract;

    for (uint32_t s = 0; s < c->state_count; s++) {
        states += walk.state_seen[s];
        if (!walk.state_seen[s]) {
            sip_log("walk %s: state not reached: %s", c->name, c->states[s].name);
        }
        for (uint32_t tag = 0; tag < c->message_count; tag++) {
            if (next_of(s, tag) == WALK_NONE) {
                continue;
            }
            edges++;
            if (!walk.edge_seen[edge_of(s, tag)]) {
                sip_log("walk %s: transition not seen: %s: %s%c -> %s", c->name, c->states[s].name,
                        c->messages[tag].name, c->states[s].sender == WALK_IMP ? '?' : '!',
                        c->states[next_of(s, tag)].name);
            }
        }
    }
    if (nk_clock_ns() >= walk.end_ns) {
        walk_fail("the time is over");
    }
    sip_log("walk %s: states %u of %u, transitions %u of %u, illegal messages refused %u of %u",
            c->name, (unsigned)states, (unsigned)c->state_count, (unsigned)walk.seen_count,
            (unsigned)edges, (unsigned)walk.refused, (unsigned)walk.tried);
    return walk.failures == 0 && walk.refused == walk.tried && walk.tried > 0 ? 0 : 1;
}

int sip_main(void)
{
    memset(&walk, 0, sizeof(walk));
    walk.end_ns = nk_clock_ns() + WALK_NS_MAX;
    walk_hint_begin();
    go();
    for (uint32_t i = 0; i < WALK_SESSIONS_MAX; i++) {
        walk_close(&walk.sessions[i]);
    }
    return report();
}
