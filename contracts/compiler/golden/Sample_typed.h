/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/*
 * Sample_typed.h - contract Sample for SIPs in C, with the state in the type. Written by
 * contractc; do not change.
 *
 * An endpoint is a value whose type says side and state, and is good for one
 * operation: a send answers the endpoint in its next state in *next_, a received
 * message carries it as next_. A call that answers a negative result, -(sf_status),
 * has changed nothing, and the value is still good. A value that was used before is
 * refused with -SF_BADHANDLE.
 */
#ifndef CONTRACT_Sample_TYPED_H
#define CONTRACT_Sample_TYPED_H

#include "Sample.h"

#ifndef Sample_Imp_Idle_TYPE
#define Sample_Imp_Idle_TYPE
struct Sample_Imp_Idle {
    uint32_t h; /* handle, in state Idle */
    uint32_t use;
};
#endif
#ifndef Sample_Imp_Chatting_TYPE
#define Sample_Imp_Chatting_TYPE
struct Sample_Imp_Chatting {
    uint32_t h; /* handle, in state Chatting */
    uint32_t use;
};
#endif
#ifndef Sample_Imp_End_TYPE
#define Sample_Imp_End_TYPE
struct Sample_Imp_End {
    uint32_t h; /* handle, in state End */
    uint32_t use;
};
#endif
#ifndef Sample_Imp_Idle_Blocks_TYPE
#define Sample_Imp_Idle_Blocks_TYPE
struct Sample_Imp_Idle_Blocks {
    uint32_t h; /* handle, in state Idle.1 */
    uint32_t use;
};
#endif
#ifndef Sample_Imp_Idle_Endpoints_TYPE
#define Sample_Imp_Idle_Endpoints_TYPE
struct Sample_Imp_Idle_Endpoints {
    uint32_t h; /* handle, in state Idle.2 */
    uint32_t use;
};
#endif
#ifndef Sample_Imp_Idle_Ping_TYPE
#define Sample_Imp_Idle_Ping_TYPE
struct Sample_Imp_Idle_Ping {
    uint32_t h; /* handle, in state Idle.3 */
    uint32_t use;
};
#endif
#ifndef Sample_Imp_Idle_Scalars_TYPE
#define Sample_Imp_Idle_Scalars_TYPE
struct Sample_Imp_Idle_Scalars {
    uint32_t h; /* handle, in state Idle.4 */
    uint32_t use;
};
#endif
#ifndef Sample_Imp_Idle_Scalars_More_TYPE
#define Sample_Imp_Idle_Scalars_More_TYPE
struct Sample_Imp_Idle_Scalars_More {
    uint32_t h; /* handle, in state Idle.5 */
    uint32_t use;
};
#endif
#ifndef Sample_Exp_Idle_TYPE
#define Sample_Exp_Idle_TYPE
struct Sample_Exp_Idle {
    uint32_t h; /* handle, in state Idle */
    uint32_t use;
};
#endif
#ifndef Sample_Exp_Chatting_TYPE
#define Sample_Exp_Chatting_TYPE
struct Sample_Exp_Chatting {
    uint32_t h; /* handle, in state Chatting */
    uint32_t use;
};
#endif
#ifndef Sample_Exp_End_TYPE
#define Sample_Exp_End_TYPE
struct Sample_Exp_End {
    uint32_t h; /* handle, in state End */
    uint32_t use;
};
#endif
#ifndef Sample_Exp_Idle_Blocks_TYPE
#define Sample_Exp_Idle_Blocks_TYPE
struct Sample_Exp_Idle_Blocks {
    uint32_t h; /* handle, in state Idle.1 */
    uint32_t use;
};
#endif
#ifndef Sample_Exp_Idle_Endpoints_TYPE
#define Sample_Exp_Idle_Endpoints_TYPE
struct Sample_Exp_Idle_Endpoints {
    uint32_t h; /* handle, in state Idle.2 */
    uint32_t use;
};
#endif
#ifndef Sample_Exp_Idle_Ping_TYPE
#define Sample_Exp_Idle_Ping_TYPE
struct Sample_Exp_Idle_Ping {
    uint32_t h; /* handle, in state Idle.3 */
    uint32_t use;
};
#endif
#ifndef Sample_Exp_Idle_Scalars_TYPE
#define Sample_Exp_Idle_Scalars_TYPE
struct Sample_Exp_Idle_Scalars {
    uint32_t h; /* handle, in state Idle.4 */
    uint32_t use;
};
#endif
#ifndef Sample_Exp_Idle_Scalars_More_TYPE
#define Sample_Exp_Idle_Scalars_More_TYPE
struct Sample_Exp_Idle_Scalars_More {
    uint32_t h; /* handle, in state Idle.5 */
    uint32_t use;
};
#endif
#ifndef Other_Exp_Talking_TYPE
#define Other_Exp_Talking_TYPE
struct Other_Exp_Talking {
    uint32_t h; /* handle, in state Talking */
    uint32_t use;
};
#endif
#ifndef Other_Imp_Start_TYPE
#define Other_Imp_Start_TYPE
struct Other_Imp_Start {
    uint32_t h; /* handle, in state Start */
    uint32_t use;
};
#endif
#ifndef Other_Exp_Talking_TYPE
#define Other_Exp_Talking_TYPE
struct Other_Exp_Talking {
    uint32_t h; /* handle, in state Talking */
    uint32_t use;
};
#endif

/* A channel that begins in state Idle. */
SF_MUST_CHECK static inline int32_t Sample_new_Idle(struct Sample_Imp_Idle *out_imp_, struct Sample_Exp_Idle *out_exp_)
{
    struct Sample_Imp imp_;
    struct Sample_Exp exp_;
    int32_t answer_ = Sample_new_in(0, &imp_, &exp_);
    if (answer_ >= 0) {
        out_imp_->h = imp_.h;
        out_imp_->use = sip_use_next(imp_.h);
        out_exp_->h = exp_.h;
        out_exp_->use = sip_use_next(exp_.h);
    }
    return answer_;
}

/* --- importer in state Idle --- */

SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_from(struct Sample_Imp plain_, struct Sample_Imp_Idle *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 0) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Imp_Idle_close(struct Sample_Imp_Idle ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_take(const char *name_, struct Sample_Imp_Idle *out_)
{
    int32_t answer_ = sip_endpoint(name_);
    if (answer_ >= 0) {
        out_->h = (uint32_t)answer_;
        out_->use = sip_use_next(out_->h);
        answer_ = 0;
    }
    return answer_;
}

SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_send_Blocks(struct Sample_Imp_Idle ep_, uint8_t *one, uint32_t one_bytes, uint8_t *two, uint32_t two_bytes, uint32_t *three, uint32_t three_bytes, uint32_t *four, uint32_t four_bytes, struct Sample_Imp_Idle_Blocks *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Imp_send_Blocks((struct Sample_Imp){ep_.h}, one, one_bytes, two, two_bytes, three, three_bytes, four, four_bytes);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* Endpoints of this contract and of another one. */
SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_send_Endpoints(struct Sample_Imp_Idle ep_, struct Sample_Imp_Idle self, struct Other_Exp_Talking other, struct Other_Imp_Start maybe, struct Sample_Imp_Idle_Endpoints *next_)
{
    if (!sip_use_is(ep_.h, ep_.use) || !sip_use_is(self.h, self.use) || !sip_use_is(other.h, other.use) || (maybe.h != 0 && !sip_use_is(maybe.h, maybe.use))) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Imp_send_Endpoints((struct Sample_Imp){ep_.h}, (struct Sample_Imp){self.h}, (struct Other_Exp){other.h}, (struct Other_Imp){maybe.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
        (void)sip_use_next(self.h);
        (void)sip_use_next(other.h);
        (void)sip_use_next(maybe.h);
    }
    return answer_;
}

/* May go either way. */
SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_send_Ping(struct Sample_Imp_Idle ep_, uint32_t number, struct Sample_Imp_Idle_Ping *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Imp_send_Ping((struct Sample_Imp){ep_.h}, number);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_send_Quit(struct Sample_Imp_Idle ep_, struct Sample_Imp_End *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Imp_send_Quit((struct Sample_Imp){ep_.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* All scalars but floats. */
SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_send_Scalars(struct Sample_Imp_Idle ep_, bool a, int8_t b, uint8_t c, int16_t d, uint16_t e, int32_t f, uint32_t g, int64_t h, struct Sample_Imp_Idle_Scalars *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Imp_send_Scalars((struct Sample_Imp){ep_.h}, a, b, c, d, e, f, g, h);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_send_SingSharp(struct Sample_Imp_Idle ep_, uint8_t *one, uint32_t one_bytes, uint32_t *two, uint32_t two_bytes, struct Sample_Imp_Chatting *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Imp_send_SingSharp((struct Sample_Imp){ep_.h}, one, one_bytes, two, two_bytes);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- importer in state Chatting --- */

SF_MUST_CHECK static inline int32_t Sample_Imp_Chatting_from(struct Sample_Imp plain_, struct Sample_Imp_Chatting *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 1) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Imp_Chatting_close(struct Sample_Imp_Chatting ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Chatting: look at tag, then at that member. */
struct Sample_Imp_Chatting_msg {
    uint32_t tag; /* enum Sample_tag */
    union {
        struct {
            uint32_t why;
            struct Sample_Imp_End next_;
        } Bad;
        struct {
            struct Sample_Imp_Idle next_;
        } Fine;
    };
};

SF_MUST_CHECK static inline int32_t Sample_Imp_Chatting_recv(struct Sample_Imp_Chatting ep_, struct Sample_Imp_Chatting_msg *msg_, int64_t timeout_ns_)
{
    struct Sample_Imp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Imp_recv((struct Sample_Imp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Sample_tag_Bad:
        msg_->Bad.why = plain_.Bad.why;
        msg_->Bad.next_.h = ep_.h;
        msg_->Bad.next_.use = sip_use_next(ep_.h);
        break;
    case Sample_tag_Fine:
        msg_->Fine.next_.h = ep_.h;
        msg_->Fine.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Sample_Imp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Sample_Imp_Chatting_drop(struct Sample_Imp_Chatting_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

/* --- importer in state End --- */

SF_MUST_CHECK static inline int32_t Sample_Imp_End_from(struct Sample_Imp plain_, struct Sample_Imp_End *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 2) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Imp_End_close(struct Sample_Imp_End ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* --- importer in state Idle.1 --- */

SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_Blocks_from(struct Sample_Imp plain_, struct Sample_Imp_Idle_Blocks *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 3) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Imp_Idle_Blocks_close(struct Sample_Imp_Idle_Blocks ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Idle.1: look at tag, then at that member. */
struct Sample_Imp_Idle_Blocks_msg {
    uint32_t tag; /* enum Sample_tag */
    union {
        struct {
            uint32_t why;
            struct Sample_Imp_Idle next_;
        } Bad;
        struct {
            struct Sample_Imp_Idle next_;
        } Fine;
    };
};

SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_Blocks_recv(struct Sample_Imp_Idle_Blocks ep_, struct Sample_Imp_Idle_Blocks_msg *msg_, int64_t timeout_ns_)
{
    struct Sample_Imp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Imp_recv((struct Sample_Imp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Sample_tag_Bad:
        msg_->Bad.why = plain_.Bad.why;
        msg_->Bad.next_.h = ep_.h;
        msg_->Bad.next_.use = sip_use_next(ep_.h);
        break;
    case Sample_tag_Fine:
        msg_->Fine.next_.h = ep_.h;
        msg_->Fine.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Sample_Imp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Sample_Imp_Idle_Blocks_drop(struct Sample_Imp_Idle_Blocks_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

/* --- importer in state Idle.2 --- */

SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_Endpoints_from(struct Sample_Imp plain_, struct Sample_Imp_Idle_Endpoints *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 4) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Imp_Idle_Endpoints_close(struct Sample_Imp_Idle_Endpoints ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Idle.2: look at tag, then at that member. */
struct Sample_Imp_Idle_Endpoints_msg {
    uint32_t tag; /* enum Sample_tag */
    union {
        struct {
            uint8_t *data;
            uint32_t data_bytes;
            struct Other_Exp_Talking peer;
            struct Sample_Imp_Idle next_;
        } Give;
    };
};

SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_Endpoints_recv(struct Sample_Imp_Idle_Endpoints ep_, struct Sample_Imp_Idle_Endpoints_msg *msg_, int64_t timeout_ns_)
{
    struct Sample_Imp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Imp_recv((struct Sample_Imp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Sample_tag_Give:
        msg_->Give.data = plain_.Give.data;
        msg_->Give.data_bytes = plain_.Give.data_bytes;
        msg_->Give.peer.h = plain_.Give.peer.h;
        msg_->Give.peer.use = sip_use_next(plain_.Give.peer.h);
        msg_->Give.next_.h = ep_.h;
        msg_->Give.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Sample_Imp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Sample_Imp_Idle_Endpoints_drop(struct Sample_Imp_Idle_Endpoints_msg *msg_)
{
    switch (msg_->tag) {
    case Sample_tag_Give:
        if (msg_->Give.data != NULL) {
            (void)nk_block_free(msg_->Give.data);
        }
        if (msg_->Give.peer.h != 0 && sip_use_is(msg_->Give.peer.h, msg_->Give.peer.use)) {
            (void)nk_close(msg_->Give.peer.h);
        }
        break;
    default:
        break;
    }
}

/* --- importer in state Idle.3 --- */

SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_Ping_from(struct Sample_Imp plain_, struct Sample_Imp_Idle_Ping *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 5) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Imp_Idle_Ping_close(struct Sample_Imp_Idle_Ping ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Idle.3: look at tag, then at that member. */
struct Sample_Imp_Idle_Ping_msg {
    uint32_t tag; /* enum Sample_tag */
    union {
        struct {
            uint32_t number;
            struct Sample_Imp_Idle next_;
        } Ping;
    };
};

SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_Ping_recv(struct Sample_Imp_Idle_Ping ep_, struct Sample_Imp_Idle_Ping_msg *msg_, int64_t timeout_ns_)
{
    struct Sample_Imp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Imp_recv((struct Sample_Imp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Sample_tag_Ping:
        msg_->Ping.number = plain_.Ping.number;
        msg_->Ping.next_.h = ep_.h;
        msg_->Ping.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Sample_Imp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Sample_Imp_Idle_Ping_drop(struct Sample_Imp_Idle_Ping_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

/* --- importer in state Idle.4 --- */

SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_Scalars_from(struct Sample_Imp plain_, struct Sample_Imp_Idle_Scalars *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 6) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Imp_Idle_Scalars_close(struct Sample_Imp_Idle_Scalars ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_Scalars_send_More(struct Sample_Imp_Idle_Scalars ep_, uint64_t a, float b, double c, uint32_t d, uint16_t e, struct Sample_Imp_Idle_Scalars_More *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Imp_send_More((struct Sample_Imp){ep_.h}, a, b, c, d, e);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- importer in state Idle.5 --- */

SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_Scalars_More_from(struct Sample_Imp plain_, struct Sample_Imp_Idle_Scalars_More *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 7) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Imp_Idle_Scalars_More_close(struct Sample_Imp_Idle_Scalars_More ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Idle.5: look at tag, then at that member. */
struct Sample_Imp_Idle_Scalars_More_msg {
    uint32_t tag; /* enum Sample_tag */
    union {
        struct {
            struct Sample_Imp_Idle next_;
        } Fine;
    };
};

SF_MUST_CHECK static inline int32_t Sample_Imp_Idle_Scalars_More_recv(struct Sample_Imp_Idle_Scalars_More ep_, struct Sample_Imp_Idle_Scalars_More_msg *msg_, int64_t timeout_ns_)
{
    struct Sample_Imp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Imp_recv((struct Sample_Imp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Sample_tag_Fine:
        msg_->Fine.next_.h = ep_.h;
        msg_->Fine.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Sample_Imp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Sample_Imp_Idle_Scalars_More_drop(struct Sample_Imp_Idle_Scalars_More_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

/* --- exporter in state Idle --- */

SF_MUST_CHECK static inline int32_t Sample_Exp_Idle_from(struct Sample_Exp plain_, struct Sample_Exp_Idle *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 0) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Exp_Idle_close(struct Sample_Exp_Idle ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Sample_Exp_Idle_accept(const char *name_, struct Sample_Exp_Idle *out_, int64_t timeout_ns_)
{
    int32_t answer_ = sip_accept(name_, timeout_ns_);
    if (answer_ >= 0) {
        out_->h = (uint32_t)answer_;
        out_->use = sip_use_next(out_->h);
        answer_ = 0;
    }
    return answer_;
}

/* What may come in state Idle: look at tag, then at that member. */
struct Sample_Exp_Idle_msg {
    uint32_t tag; /* enum Sample_tag */
    union {
        struct {
            uint8_t *one;
            uint32_t one_bytes;
            uint8_t *two;
            uint32_t two_bytes;
            uint32_t *three;
            uint32_t three_bytes;
            uint32_t *four;
            uint32_t four_bytes;
            struct Sample_Exp_Idle_Blocks next_;
        } Blocks;
        struct {
            struct Sample_Imp_Idle self;
            struct Other_Exp_Talking other;
            struct Other_Imp_Start maybe;
            struct Sample_Exp_Idle_Endpoints next_;
        } Endpoints;
        struct {
            uint32_t number;
            struct Sample_Exp_Idle_Ping next_;
        } Ping;
        struct {
            struct Sample_Exp_End next_;
        } Quit;
        struct {
            bool a;
            int8_t b;
            uint8_t c;
            int16_t d;
            uint16_t e;
            int32_t f;
            uint32_t g;
            int64_t h;
            struct Sample_Exp_Idle_Scalars next_;
        } Scalars;
        struct {
            uint8_t *one;
            uint32_t one_bytes;
            uint32_t *two;
            uint32_t two_bytes;
            struct Sample_Exp_Chatting next_;
        } SingSharp;
    };
};

SF_MUST_CHECK static inline int32_t Sample_Exp_Idle_recv(struct Sample_Exp_Idle ep_, struct Sample_Exp_Idle_msg *msg_, int64_t timeout_ns_)
{
    struct Sample_Exp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Exp_recv((struct Sample_Exp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Sample_tag_Blocks:
        msg_->Blocks.one = plain_.Blocks.one;
        msg_->Blocks.one_bytes = plain_.Blocks.one_bytes;
        msg_->Blocks.two = plain_.Blocks.two;
        msg_->Blocks.two_bytes = plain_.Blocks.two_bytes;
        msg_->Blocks.three = plain_.Blocks.three;
        msg_->Blocks.three_bytes = plain_.Blocks.three_bytes;
        msg_->Blocks.four = plain_.Blocks.four;
        msg_->Blocks.four_bytes = plain_.Blocks.four_bytes;
        msg_->Blocks.next_.h = ep_.h;
        msg_->Blocks.next_.use = sip_use_next(ep_.h);
        break;
    case Sample_tag_Endpoints:
        msg_->Endpoints.self.h = plain_.Endpoints.self.h;
        msg_->Endpoints.self.use = sip_use_next(plain_.Endpoints.self.h);
        msg_->Endpoints.other.h = plain_.Endpoints.other.h;
        msg_->Endpoints.other.use = sip_use_next(plain_.Endpoints.other.h);
        msg_->Endpoints.maybe.h = plain_.Endpoints.maybe.h;
        msg_->Endpoints.maybe.use = sip_use_next(plain_.Endpoints.maybe.h);
        msg_->Endpoints.next_.h = ep_.h;
        msg_->Endpoints.next_.use = sip_use_next(ep_.h);
        break;
    case Sample_tag_Ping:
        msg_->Ping.number = plain_.Ping.number;
        msg_->Ping.next_.h = ep_.h;
        msg_->Ping.next_.use = sip_use_next(ep_.h);
        break;
    case Sample_tag_Quit:
        msg_->Quit.next_.h = ep_.h;
        msg_->Quit.next_.use = sip_use_next(ep_.h);
        break;
    case Sample_tag_Scalars:
        msg_->Scalars.a = plain_.Scalars.a;
        msg_->Scalars.b = plain_.Scalars.b;
        msg_->Scalars.c = plain_.Scalars.c;
        msg_->Scalars.d = plain_.Scalars.d;
        msg_->Scalars.e = plain_.Scalars.e;
        msg_->Scalars.f = plain_.Scalars.f;
        msg_->Scalars.g = plain_.Scalars.g;
        msg_->Scalars.h = plain_.Scalars.h;
        msg_->Scalars.next_.h = ep_.h;
        msg_->Scalars.next_.use = sip_use_next(ep_.h);
        break;
    case Sample_tag_SingSharp:
        msg_->SingSharp.one = plain_.SingSharp.one;
        msg_->SingSharp.one_bytes = plain_.SingSharp.one_bytes;
        msg_->SingSharp.two = plain_.SingSharp.two;
        msg_->SingSharp.two_bytes = plain_.SingSharp.two_bytes;
        msg_->SingSharp.next_.h = ep_.h;
        msg_->SingSharp.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Sample_Exp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Sample_Exp_Idle_drop(struct Sample_Exp_Idle_msg *msg_)
{
    switch (msg_->tag) {
    case Sample_tag_Blocks:
        if (msg_->Blocks.one != NULL) {
            (void)nk_block_free(msg_->Blocks.one);
        }
        if (msg_->Blocks.two != NULL) {
            (void)nk_block_free(msg_->Blocks.two);
        }
        if (msg_->Blocks.three != NULL) {
            (void)nk_block_free(msg_->Blocks.three);
        }
        if (msg_->Blocks.four != NULL) {
            (void)nk_block_free(msg_->Blocks.four);
        }
        break;
    case Sample_tag_Endpoints:
        if (msg_->Endpoints.self.h != 0 && sip_use_is(msg_->Endpoints.self.h, msg_->Endpoints.self.use)) {
            (void)nk_close(msg_->Endpoints.self.h);
        }
        if (msg_->Endpoints.other.h != 0 && sip_use_is(msg_->Endpoints.other.h, msg_->Endpoints.other.use)) {
            (void)nk_close(msg_->Endpoints.other.h);
        }
        if (msg_->Endpoints.maybe.h != 0 && sip_use_is(msg_->Endpoints.maybe.h, msg_->Endpoints.maybe.use)) {
            (void)nk_close(msg_->Endpoints.maybe.h);
        }
        break;
    case Sample_tag_SingSharp:
        if (msg_->SingSharp.one != NULL) {
            (void)nk_block_free(msg_->SingSharp.one);
        }
        if (msg_->SingSharp.two != NULL) {
            (void)nk_block_free(msg_->SingSharp.two);
        }
        break;
    default:
        break;
    }
}

/* --- exporter in state Chatting --- */

SF_MUST_CHECK static inline int32_t Sample_Exp_Chatting_from(struct Sample_Exp plain_, struct Sample_Exp_Chatting *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 1) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Exp_Chatting_close(struct Sample_Exp_Chatting ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Sample_Exp_Chatting_send_Bad(struct Sample_Exp_Chatting ep_, uint32_t why, struct Sample_Exp_End *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Exp_send_Bad((struct Sample_Exp){ep_.h}, why);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

SF_MUST_CHECK static inline int32_t Sample_Exp_Chatting_send_Fine(struct Sample_Exp_Chatting ep_, struct Sample_Exp_Idle *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Exp_send_Fine((struct Sample_Exp){ep_.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- exporter in state End --- */

SF_MUST_CHECK static inline int32_t Sample_Exp_End_from(struct Sample_Exp plain_, struct Sample_Exp_End *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 2) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Exp_End_close(struct Sample_Exp_End ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* --- exporter in state Idle.1 --- */

SF_MUST_CHECK static inline int32_t Sample_Exp_Idle_Blocks_from(struct Sample_Exp plain_, struct Sample_Exp_Idle_Blocks *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 3) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Exp_Idle_Blocks_close(struct Sample_Exp_Idle_Blocks ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Sample_Exp_Idle_Blocks_send_Bad(struct Sample_Exp_Idle_Blocks ep_, uint32_t why, struct Sample_Exp_Idle *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Exp_send_Bad((struct Sample_Exp){ep_.h}, why);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

SF_MUST_CHECK static inline int32_t Sample_Exp_Idle_Blocks_send_Fine(struct Sample_Exp_Idle_Blocks ep_, struct Sample_Exp_Idle *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Exp_send_Fine((struct Sample_Exp){ep_.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- exporter in state Idle.2 --- */

SF_MUST_CHECK static inline int32_t Sample_Exp_Idle_Endpoints_from(struct Sample_Exp plain_, struct Sample_Exp_Idle_Endpoints *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 4) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Exp_Idle_Endpoints_close(struct Sample_Exp_Idle_Endpoints ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Sample_Exp_Idle_Endpoints_send_Give(struct Sample_Exp_Idle_Endpoints ep_, uint8_t *data, uint32_t data_bytes, struct Other_Exp_Talking peer, struct Sample_Exp_Idle *next_)
{
    if (!sip_use_is(ep_.h, ep_.use) || !sip_use_is(peer.h, peer.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Exp_send_Give((struct Sample_Exp){ep_.h}, data, data_bytes, (struct Other_Exp){peer.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
        (void)sip_use_next(peer.h);
    }
    return answer_;
}

/* --- exporter in state Idle.3 --- */

SF_MUST_CHECK static inline int32_t Sample_Exp_Idle_Ping_from(struct Sample_Exp plain_, struct Sample_Exp_Idle_Ping *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 5) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Exp_Idle_Ping_close(struct Sample_Exp_Idle_Ping ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* May go either way. */
SF_MUST_CHECK static inline int32_t Sample_Exp_Idle_Ping_send_Ping(struct Sample_Exp_Idle_Ping ep_, uint32_t number, struct Sample_Exp_Idle *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Exp_send_Ping((struct Sample_Exp){ep_.h}, number);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- exporter in state Idle.4 --- */

SF_MUST_CHECK static inline int32_t Sample_Exp_Idle_Scalars_from(struct Sample_Exp plain_, struct Sample_Exp_Idle_Scalars *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 6) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Exp_Idle_Scalars_close(struct Sample_Exp_Idle_Scalars ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Idle.4: look at tag, then at that member. */
struct Sample_Exp_Idle_Scalars_msg {
    uint32_t tag; /* enum Sample_tag */
    union {
        struct {
            uint64_t a;
            float b;
            double c;
            uint32_t d;
            uint16_t e;
            struct Sample_Exp_Idle_Scalars_More next_;
        } More;
    };
};

SF_MUST_CHECK static inline int32_t Sample_Exp_Idle_Scalars_recv(struct Sample_Exp_Idle_Scalars ep_, struct Sample_Exp_Idle_Scalars_msg *msg_, int64_t timeout_ns_)
{
    struct Sample_Exp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Exp_recv((struct Sample_Exp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Sample_tag_More:
        msg_->More.a = plain_.More.a;
        msg_->More.b = plain_.More.b;
        msg_->More.c = plain_.More.c;
        msg_->More.d = plain_.More.d;
        msg_->More.e = plain_.More.e;
        msg_->More.next_.h = ep_.h;
        msg_->More.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Sample_Exp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Sample_Exp_Idle_Scalars_drop(struct Sample_Exp_Idle_Scalars_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

/* --- exporter in state Idle.5 --- */

SF_MUST_CHECK static inline int32_t Sample_Exp_Idle_Scalars_More_from(struct Sample_Exp plain_, struct Sample_Exp_Idle_Scalars_More *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 7) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Sample_Exp_Idle_Scalars_More_close(struct Sample_Exp_Idle_Scalars_More ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Sample_Exp_Idle_Scalars_More_send_Fine(struct Sample_Exp_Idle_Scalars_More ep_, struct Sample_Exp_Idle *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Sample_Exp_send_Fine((struct Sample_Exp){ep_.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

#endif
