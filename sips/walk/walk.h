/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.h - walks an exporter through its contract.
 *
 * Why: a contract says what an exporter must do and what the kernels must refuse. This engine goes
 * and looks: as a client it drives a real exporter through every state it can reach, tries in
 * each of them every message that is not allowed there, and expects the typed refusal and an
 * unchanged state.
 *
 * Model: the tables of a contract (`contractc compile --emit test`) are a graph. A session is an
 * importer's endpoint and the state it is in. The engine plans the shortest way from there to a
 * transition nobody has seen yet, and sends the first message of it. Where the exporter chooses
 * the answer, the way holds a wish. What only a person knows about a contract is in its hints
 * (hints_<Name>.c): how to get a session, which arguments make sense, and how to arrange the world
 * so that the exporter will answer as wished. A wish that is not fulfilled is a transition left
 * uncovered, not a failure; a legal message refused, an illegal one accepted, a state that
 * changed, or an answer that never comes is a failure.
 *
 * Helpers are sessions that hints use to arrange things (the other end of a connection, say). What
 * they see counts as seen, but the engine does not plan for them.
 *
 * Result: one log line for each state and transition not covered and for each failure, then
 *   walk NAME: states 30 of 37, transitions 70 of 85, illegal messages refused 999 of 999
 * and exit code 0 only without a failure.
 *
 * Bounds: WALK_NS_MAX in all, WALK_ANSWER_NS for one answer; both are failures when reached.
 * Single-threaded, no memory beyond one static struct.
 */
#ifndef WALK_WALK_H
#define WALK_WALK_H

#include "sip.h"

#define WALK_NONE 0xffu
#define WALK_STATES_MAX 250u
#define WALK_MESSAGES_MAX 250u
#define WALK_SESSIONS_MAX 16u
#define WALK_NS_MAX SIP_MS(12000)
#define WALK_ANSWER_NS SIP_MS(3000)
#define WALK_FAILURES_MAX 20u

enum walk_arg_kind {
    WALK_ARG_BOOL,
    WALK_ARG_INT8,
    WALK_ARG_UINT8,
    WALK_ARG_INT16,
    WALK_ARG_UINT16,
    WALK_ARG_INT32,
    WALK_ARG_UINT32,
    WALK_ARG_INT64,
    WALK_ARG_UINT64,
    WALK_ARG_FLOAT32,
    WALK_ARG_FLOAT64,
    WALK_ARG_BLOCK,
    WALK_ARG_ENDPOINT,
};

enum walk_direction { WALK_IN, WALK_OUT, WALK_BOTH };
enum walk_side { WALK_IMP = 0, WALK_EXP = 1 };

struct walk_arg {
    const char *name;
    uint8_t kind;
    uint8_t side, state; /* ENDPOINT */
    uint64_t contract;   /* ENDPOINT: short id */
};

struct walk_message {
    const char *name;
    uint8_t direction;
    uint8_t arg_count;
    const struct walk_arg *args;
};

struct walk_state {
    const char *name;
    uint8_t sender; /* enum walk_side */
    uint8_t final;
};

struct walk_contract {
    const char *name;
    uint64_t id; /* short id */
    uint16_t message_count, state_count;
    const struct walk_message *messages;
    const struct walk_state *states;
    const uint8_t *next; /* [state * message_count + tag]; WALK_NONE: not allowed */
};

struct walk_session {
    uint32_t handle; /* 0: this entry is free */
    uint8_t state;
    bool helper;
    /* For hints. closing a session leaves no pointer to it in others. */
    struct walk_session *other; /* the session at the far end of the connection, if known */
    struct walk_session *born;  /* made by an endpoint argument of the last message */
    uint32_t note[4];
};

/* --- for hints
 * ------------------------------------------------------------------------------------ */

/* Takes an importer's endpoint in; NULL: no room (a failure, reported). */
struct walk_session *walk_adopt(uint32_t handle, uint8_t state, bool helper);
/* Sends a message that is legal now. msg from walk_fill. False: failed, reported. */
bool walk_send(struct walk_session *session, uint32_t tag, struct nk_msg *msg);
/*
 * Waits for the exporter's message; blocks and endpoints in it are freed. Answers its tag, or
 * WALK_NONE: failed, reported. msg may be NULL.
 */
uint32_t walk_receive(struct walk_session *session, struct nk_msg *msg);
/* Both, with the default arguments. */
uint32_t walk_ask(struct walk_session *session, uint32_t tag);
/* Gives the endpoint up and frees the entry. Takes NULL. */
void walk_close(struct walk_session *session);
/*
 * Sensible arguments: 0, a block of a few bytes, new channels. The other ends of new channels of
 * the walked contract become sessions: session->born.
 */
bool walk_fill(struct walk_session *session, uint32_t tag, struct nk_msg *msg);
/* One failure, logged. */
void walk_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A kernel handle for contract-specific start-up; 0: failed, reported. */
uint32_t walk_take_import(const char *name);

/* --- what hints provide
 * --------------------------------------------------------------------------- */

/* Called once, before anything else. */
void walk_hint_begin(void);
/* A new session in the start state, served by the exporter. NULL: failed, reported. */
struct walk_session *walk_hint_fresh(bool helper);
/*
 * Before `tag` is sent: set arguments that matter in msg, and arrange that the exporter answers
 * with `wish` (a tag, or WALK_NONE: any). False: cannot be arranged in this session.
 */
bool walk_hint_arrange(struct walk_session *session, uint32_t tag, uint32_t wish,
                       struct nk_msg *msg);
/* After the exporter answered `tag` with `answer`. */
void walk_hint_answered(struct walk_session *session, uint32_t tag, uint32_t answer);
/* Before a session that was walked is closed: let its helpers go. */
void walk_hint_closing(struct walk_session *session);

/* Generated: the contract that is walked. */
extern const struct walk_contract walk_contract;

#endif
