/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/*
 * Other_typed.h - contract Other for SIPs in C, with the state in the type. Written by
 * contractc; do not change.
 *
 * An endpoint is a value whose type says side and state, and is good for one
 * operation: a send answers the endpoint in its next state in *next_, a received
 * message carries it as next_. A call that answers a negative result, -(sf_status),
 * has changed nothing, and the value is still good. A value that was used before is
 * refused with -SF_BADHANDLE.
 */
#ifndef CONTRACT_Other_TYPED_H
#define CONTRACT_Other_TYPED_H

#include "Other.h"

#ifndef Other_Imp_Start_TYPE
#define Other_Imp_Start_TYPE
struct Other_Imp_Start {
    uint32_t h; /* handle, in state Start */
    uint32_t use;
};
#endif
#ifndef Other_Imp_Start_Ask_TYPE
#define Other_Imp_Start_Ask_TYPE
struct Other_Imp_Start_Ask {
    uint32_t h; /* handle, in state Start.1 */
    uint32_t use;
};
#endif
#ifndef Other_Imp_Talking_TYPE
#define Other_Imp_Talking_TYPE
struct Other_Imp_Talking {
    uint32_t h; /* handle, in state Talking */
    uint32_t use;
};
#endif
#ifndef Other_Exp_Start_TYPE
#define Other_Exp_Start_TYPE
struct Other_Exp_Start {
    uint32_t h; /* handle, in state Start */
    uint32_t use;
};
#endif
#ifndef Other_Exp_Start_Ask_TYPE
#define Other_Exp_Start_Ask_TYPE
struct Other_Exp_Start_Ask {
    uint32_t h; /* handle, in state Start.1 */
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
#ifndef Sample_Imp_Idle_TYPE
#define Sample_Imp_Idle_TYPE
struct Sample_Imp_Idle {
    uint32_t h; /* handle, in state Idle */
    uint32_t use;
};
#endif

/* A channel that begins in state Start. */
SF_MUST_CHECK static inline int32_t Other_new_Start(struct Other_Imp_Start *out_imp_, struct Other_Exp_Start *out_exp_)
{
    struct Other_Imp imp_;
    struct Other_Exp exp_;
    int32_t answer_ = Other_new_in(0, &imp_, &exp_);
    if (answer_ >= 0) {
        out_imp_->h = imp_.h;
        out_imp_->use = sip_use_next(imp_.h);
        out_exp_->h = exp_.h;
        out_exp_->use = sip_use_next(exp_.h);
    }
    return answer_;
}

/* A channel that begins in state Talking. */
SF_MUST_CHECK static inline int32_t Other_new_Talking(struct Other_Imp_Talking *out_imp_, struct Other_Exp_Talking *out_exp_)
{
    struct Other_Imp imp_;
    struct Other_Exp exp_;
    int32_t answer_ = Other_new_in(2, &imp_, &exp_);
    if (answer_ >= 0) {
        out_imp_->h = imp_.h;
        out_imp_->use = sip_use_next(imp_.h);
        out_exp_->h = exp_.h;
        out_exp_->use = sip_use_next(exp_.h);
    }
    return answer_;
}

/* --- importer in state Start --- */

SF_MUST_CHECK static inline int32_t Other_Imp_Start_from(struct Other_Imp plain_, struct Other_Imp_Start *out_)
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

static inline int32_t Other_Imp_Start_close(struct Other_Imp_Start ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Other_Imp_Start_take(const char *name_, struct Other_Imp_Start *out_)
{
    int32_t answer_ = sip_endpoint(name_);
    if (answer_ >= 0) {
        out_->h = (uint32_t)answer_;
        out_->use = sip_use_next(out_->h);
        answer_ = 0;
    }
    return answer_;
}

SF_MUST_CHECK static inline int32_t Other_Imp_Start_send_Ask(struct Other_Imp_Start ep_, struct Other_Imp_Start_Ask *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Other_Imp_send_Ask((struct Other_Imp){ep_.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- importer in state Start.1 --- */

SF_MUST_CHECK static inline int32_t Other_Imp_Start_Ask_from(struct Other_Imp plain_, struct Other_Imp_Start_Ask *out_)
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

static inline int32_t Other_Imp_Start_Ask_close(struct Other_Imp_Start_Ask ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Start.1: look at tag, then at that member. */
struct Other_Imp_Start_Ask_msg {
    uint32_t tag; /* enum Other_tag */
    union {
        struct {
            struct Sample_Imp_Idle who;
            struct Other_Imp_Start next_;
        } Tell;
    };
};

SF_MUST_CHECK static inline int32_t Other_Imp_Start_Ask_recv(struct Other_Imp_Start_Ask ep_, struct Other_Imp_Start_Ask_msg *msg_, int64_t timeout_ns_)
{
    struct Other_Imp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Other_Imp_recv((struct Other_Imp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Other_tag_Tell:
        msg_->Tell.who.h = plain_.Tell.who.h;
        msg_->Tell.who.use = sip_use_next(plain_.Tell.who.h);
        msg_->Tell.next_.h = ep_.h;
        msg_->Tell.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Other_Imp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Other_Imp_Start_Ask_drop(struct Other_Imp_Start_Ask_msg *msg_)
{
    switch (msg_->tag) {
    case Other_tag_Tell:
        if (msg_->Tell.who.h != 0 && sip_use_is(msg_->Tell.who.h, msg_->Tell.who.use)) {
            (void)nk_close(msg_->Tell.who.h);
        }
        break;
    default:
        break;
    }
}

/* --- importer in state Talking --- */

SF_MUST_CHECK static inline int32_t Other_Imp_Talking_from(struct Other_Imp plain_, struct Other_Imp_Talking *out_)
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

static inline int32_t Other_Imp_Talking_close(struct Other_Imp_Talking ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Talking: look at tag, then at that member. */
struct Other_Imp_Talking_msg {
    uint32_t tag; /* enum Other_tag */
    union {
        struct {
            struct Other_Imp_Start next_;
        } Hello;
    };
};

SF_MUST_CHECK static inline int32_t Other_Imp_Talking_recv(struct Other_Imp_Talking ep_, struct Other_Imp_Talking_msg *msg_, int64_t timeout_ns_)
{
    struct Other_Imp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Other_Imp_recv((struct Other_Imp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Other_tag_Hello:
        msg_->Hello.next_.h = ep_.h;
        msg_->Hello.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Other_Imp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Other_Imp_Talking_drop(struct Other_Imp_Talking_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

/* --- exporter in state Start --- */

SF_MUST_CHECK static inline int32_t Other_Exp_Start_from(struct Other_Exp plain_, struct Other_Exp_Start *out_)
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

static inline int32_t Other_Exp_Start_close(struct Other_Exp_Start ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Other_Exp_Start_accept(const char *name_, struct Other_Exp_Start *out_, int64_t timeout_ns_)
{
    int32_t answer_ = sip_accept(name_, timeout_ns_);
    if (answer_ >= 0) {
        out_->h = (uint32_t)answer_;
        out_->use = sip_use_next(out_->h);
        answer_ = 0;
    }
    return answer_;
}

/* What may come in state Start: look at tag, then at that member. */
struct Other_Exp_Start_msg {
    uint32_t tag; /* enum Other_tag */
    union {
        struct {
            struct Other_Exp_Start_Ask next_;
        } Ask;
    };
};

SF_MUST_CHECK static inline int32_t Other_Exp_Start_recv(struct Other_Exp_Start ep_, struct Other_Exp_Start_msg *msg_, int64_t timeout_ns_)
{
    struct Other_Exp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Other_Exp_recv((struct Other_Exp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Other_tag_Ask:
        msg_->Ask.next_.h = ep_.h;
        msg_->Ask.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Other_Exp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Other_Exp_Start_drop(struct Other_Exp_Start_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

/* --- exporter in state Start.1 --- */

SF_MUST_CHECK static inline int32_t Other_Exp_Start_Ask_from(struct Other_Exp plain_, struct Other_Exp_Start_Ask *out_)
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

static inline int32_t Other_Exp_Start_Ask_close(struct Other_Exp_Start_Ask ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Other_Exp_Start_Ask_send_Tell(struct Other_Exp_Start_Ask ep_, struct Sample_Imp_Idle who, struct Other_Exp_Start *next_)
{
    if (!sip_use_is(ep_.h, ep_.use) || !sip_use_is(who.h, who.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Other_Exp_send_Tell((struct Other_Exp){ep_.h}, (struct Sample_Imp){who.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
        (void)sip_use_next(who.h);
    }
    return answer_;
}

/* --- exporter in state Talking --- */

SF_MUST_CHECK static inline int32_t Other_Exp_Talking_from(struct Other_Exp plain_, struct Other_Exp_Talking *out_)
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

static inline int32_t Other_Exp_Talking_close(struct Other_Exp_Talking ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Other_Exp_Talking_send_Hello(struct Other_Exp_Talking ep_, struct Other_Exp_Start *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Other_Exp_send_Hello((struct Other_Exp){ep_.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

#endif
