/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/*
 * Whole_typed.h - contract Whole for SIPs in C, with the state in the type. Written by
 * contractc; do not change.
 *
 * An endpoint is a value whose type says side and state, and is good for one
 * operation: a send answers the endpoint in its next state in *next_, a received
 * message carries it as next_. A call that answers a negative result, -(sf_status),
 * has changed nothing, and the value is still good. A value that was used before is
 * refused with -SF_BADHANDLE.
 */
#ifndef CONTRACT_Whole_TYPED_H
#define CONTRACT_Whole_TYPED_H

#include "Whole.h"

#ifndef Whole_Imp_Start_TYPE
#define Whole_Imp_Start_TYPE
struct Whole_Imp_Start {
    uint32_t h; /* handle, in state Start */
    uint32_t use;
};
#endif
#ifndef Whole_Imp_Over_TYPE
#define Whole_Imp_Over_TYPE
struct Whole_Imp_Over {
    uint32_t h; /* handle, in state Over */
    uint32_t use;
};
#endif
#ifndef Whole_Imp_Ready_TYPE
#define Whole_Imp_Ready_TYPE
struct Whole_Imp_Ready {
    uint32_t h; /* handle, in state Ready */
    uint32_t use;
};
#endif
#ifndef Whole_Imp_Ready__3_TYPE
#define Whole_Imp_Ready__3_TYPE
struct Whole_Imp_Ready__3 {
    uint32_t h; /* handle, in state Ready.1 */
    uint32_t use;
};
#endif
#ifndef Whole_Imp_Ready_AskPassword_TYPE
#define Whole_Imp_Ready_AskPassword_TYPE
struct Whole_Imp_Ready_AskPassword {
    uint32_t h; /* handle, in state Ready.2 */
    uint32_t use;
};
#endif
#ifndef Whole_Imp_Ready__5_TYPE
#define Whole_Imp_Ready__5_TYPE
struct Whole_Imp_Ready__5 {
    uint32_t h; /* handle, in state Ready.3 */
    uint32_t use;
};
#endif
#ifndef Whole_Imp_Ready_AskPassword__6_TYPE
#define Whole_Imp_Ready_AskPassword__6_TYPE
struct Whole_Imp_Ready_AskPassword__6 {
    uint32_t h; /* handle, in state Ready.4 */
    uint32_t use;
};
#endif
#ifndef Whole_Imp_Ready__7_TYPE
#define Whole_Imp_Ready__7_TYPE
struct Whole_Imp_Ready__7 {
    uint32_t h; /* handle, in state Ready.5 */
    uint32_t use;
};
#endif
#ifndef Whole_Imp_Ready_AskPassword__8_TYPE
#define Whole_Imp_Ready_AskPassword__8_TYPE
struct Whole_Imp_Ready_AskPassword__8 {
    uint32_t h; /* handle, in state Ready.6 */
    uint32_t use;
};
#endif
#ifndef Whole_Imp_Ready_Move_TYPE
#define Whole_Imp_Ready_Move_TYPE
struct Whole_Imp_Ready_Move {
    uint32_t h; /* handle, in state Ready.7 */
    uint32_t use;
};
#endif
#ifndef Whole_Imp_Ready_Names_TYPE
#define Whole_Imp_Ready_Names_TYPE
struct Whole_Imp_Ready_Names {
    uint32_t h; /* handle, in state Ready.8 */
    uint32_t use;
};
#endif
#ifndef Whole_Imp_Ready_Records_TYPE
#define Whole_Imp_Ready_Records_TYPE
struct Whole_Imp_Ready_Records {
    uint32_t h; /* handle, in state Ready.9 */
    uint32_t use;
};
#endif
#ifndef Whole_Exp_Start_TYPE
#define Whole_Exp_Start_TYPE
struct Whole_Exp_Start {
    uint32_t h; /* handle, in state Start */
    uint32_t use;
};
#endif
#ifndef Whole_Exp_Over_TYPE
#define Whole_Exp_Over_TYPE
struct Whole_Exp_Over {
    uint32_t h; /* handle, in state Over */
    uint32_t use;
};
#endif
#ifndef Whole_Exp_Ready_TYPE
#define Whole_Exp_Ready_TYPE
struct Whole_Exp_Ready {
    uint32_t h; /* handle, in state Ready */
    uint32_t use;
};
#endif
#ifndef Whole_Exp_Ready__3_TYPE
#define Whole_Exp_Ready__3_TYPE
struct Whole_Exp_Ready__3 {
    uint32_t h; /* handle, in state Ready.1 */
    uint32_t use;
};
#endif
#ifndef Whole_Exp_Ready_AskPassword_TYPE
#define Whole_Exp_Ready_AskPassword_TYPE
struct Whole_Exp_Ready_AskPassword {
    uint32_t h; /* handle, in state Ready.2 */
    uint32_t use;
};
#endif
#ifndef Whole_Exp_Ready__5_TYPE
#define Whole_Exp_Ready__5_TYPE
struct Whole_Exp_Ready__5 {
    uint32_t h; /* handle, in state Ready.3 */
    uint32_t use;
};
#endif
#ifndef Whole_Exp_Ready_AskPassword__6_TYPE
#define Whole_Exp_Ready_AskPassword__6_TYPE
struct Whole_Exp_Ready_AskPassword__6 {
    uint32_t h; /* handle, in state Ready.4 */
    uint32_t use;
};
#endif
#ifndef Whole_Exp_Ready__7_TYPE
#define Whole_Exp_Ready__7_TYPE
struct Whole_Exp_Ready__7 {
    uint32_t h; /* handle, in state Ready.5 */
    uint32_t use;
};
#endif
#ifndef Whole_Exp_Ready_AskPassword__8_TYPE
#define Whole_Exp_Ready_AskPassword__8_TYPE
struct Whole_Exp_Ready_AskPassword__8 {
    uint32_t h; /* handle, in state Ready.6 */
    uint32_t use;
};
#endif
#ifndef Whole_Exp_Ready_Move_TYPE
#define Whole_Exp_Ready_Move_TYPE
struct Whole_Exp_Ready_Move {
    uint32_t h; /* handle, in state Ready.7 */
    uint32_t use;
};
#endif
#ifndef Whole_Exp_Ready_Names_TYPE
#define Whole_Exp_Ready_Names_TYPE
struct Whole_Exp_Ready_Names {
    uint32_t h; /* handle, in state Ready.8 */
    uint32_t use;
};
#endif
#ifndef Whole_Exp_Ready_Records_TYPE
#define Whole_Exp_Ready_Records_TYPE
struct Whole_Exp_Ready_Records {
    uint32_t h; /* handle, in state Ready.9 */
    uint32_t use;
};
#endif

/* A channel that begins in state Start. */
SF_MUST_CHECK static inline int32_t Whole_new_Start(struct Whole_Imp_Start *out_imp_, struct Whole_Exp_Start *out_exp_)
{
    struct Whole_Imp imp_;
    struct Whole_Exp exp_;
    int32_t answer_ = Whole_new_in(0, &imp_, &exp_);
    if (answer_ >= 0) {
        out_imp_->h = imp_.h;
        out_imp_->use = sip_use_next(imp_.h);
        out_exp_->h = exp_.h;
        out_exp_->use = sip_use_next(exp_.h);
    }
    return answer_;
}

/* --- importer in state Start --- */

SF_MUST_CHECK static inline int32_t Whole_Imp_Start_from(struct Whole_Imp plain_, struct Whole_Imp_Start *out_)
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

static inline int32_t Whole_Imp_Start_close(struct Whole_Imp_Start ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Whole_Imp_Start_take(const char *name_, struct Whole_Imp_Start *out_)
{
    int32_t answer_ = sip_endpoint(name_);
    if (answer_ >= 0) {
        out_->h = (uint32_t)answer_;
        out_->use = sip_use_next(out_->h);
        answer_ = 0;
    }
    return answer_;
}

/* What may come in state Start: look at tag, then at that member. */
struct Whole_Imp_Start_msg {
    uint32_t tag; /* enum Whole_tag */
    union {
        struct {
            struct Whole_Imp_Over next_;
        } Refused;
        struct {
            struct Whole_Imp_Ready next_;
        } Welcome;
    };
};

SF_MUST_CHECK static inline int32_t Whole_Imp_Start_recv(struct Whole_Imp_Start ep_, struct Whole_Imp_Start_msg *msg_, int64_t timeout_ns_)
{
    struct Whole_Imp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Imp_recv((struct Whole_Imp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Whole_tag_Refused:
        msg_->Refused.next_.h = ep_.h;
        msg_->Refused.next_.use = sip_use_next(ep_.h);
        break;
    case Whole_tag_Welcome:
        msg_->Welcome.next_.h = ep_.h;
        msg_->Welcome.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Whole_Imp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Whole_Imp_Start_drop(struct Whole_Imp_Start_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

/* --- importer in state Over --- */

SF_MUST_CHECK static inline int32_t Whole_Imp_Over_from(struct Whole_Imp plain_, struct Whole_Imp_Over *out_)
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

static inline int32_t Whole_Imp_Over_close(struct Whole_Imp_Over ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* --- importer in state Ready --- */

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_from(struct Whole_Imp plain_, struct Whole_Imp_Ready *out_)
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

static inline int32_t Whole_Imp_Ready_close(struct Whole_Imp_Ready ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_send_Chain(struct Whole_Imp_Ready ep_, struct Whole_Link *first, uint32_t first_bytes, struct Whole_Imp_Ready__3 *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Imp_send_Chain((struct Whole_Imp){ep_.h}, first, first_bytes);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_send_Move(struct Whole_Imp_Ready ep_, int32_t from_x, int32_t from_y, int32_t to_x, int32_t to_y, uint32_t heat, struct Whole_Imp_Ready__7 *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Imp_send_Move((struct Whole_Imp){ep_.h}, from_x, from_y, to_x, to_y, heat);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_send_Names(struct Whole_Imp_Ready ep_, struct Whole_block_char *names, uint32_t names_bytes, struct Whole_block_char *others, uint32_t others_bytes, struct Whole_Imp_Ready_Names *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Imp_send_Names((struct Whole_Imp){ep_.h}, names, names_bytes, others, others_bytes);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_send_Quit(struct Whole_Imp_Ready ep_, struct Whole_Imp_Over *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Imp_send_Quit((struct Whole_Imp){ep_.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_send_Records(struct Whole_Imp_Ready ep_, struct Whole_Record *all, uint32_t all_bytes, struct Whole_Record *one, uint32_t one_bytes, struct Whole_Point *where, uint32_t where_bytes, struct Whole_Imp_Ready_Records *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Imp_send_Records((struct Whole_Imp){ep_.h}, all, all_bytes, one, one_bytes, where, where_bytes);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- importer in state Ready.1 --- */

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready__3_from(struct Whole_Imp plain_, struct Whole_Imp_Ready__3 *out_)
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

static inline int32_t Whole_Imp_Ready__3_close(struct Whole_Imp_Ready__3 ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Ready.1: look at tag, then at that member. */
struct Whole_Imp_Ready__3_msg {
    uint32_t tag; /* enum Whole_tag */
    union {
        struct {
            struct Whole_Imp_Ready_AskPassword next_;
        } AskPassword;
        struct {
            struct Whole_Imp_Ready__5 next_;
        } Granted;
    };
};

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready__3_recv(struct Whole_Imp_Ready__3 ep_, struct Whole_Imp_Ready__3_msg *msg_, int64_t timeout_ns_)
{
    struct Whole_Imp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Imp_recv((struct Whole_Imp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Whole_tag_AskPassword:
        msg_->AskPassword.next_.h = ep_.h;
        msg_->AskPassword.next_.use = sip_use_next(ep_.h);
        break;
    case Whole_tag_Granted:
        msg_->Granted.next_.h = ep_.h;
        msg_->Granted.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Whole_Imp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Whole_Imp_Ready__3_drop(struct Whole_Imp_Ready__3_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

/* --- importer in state Ready.2 --- */

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_AskPassword_from(struct Whole_Imp plain_, struct Whole_Imp_Ready_AskPassword *out_)
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

static inline int32_t Whole_Imp_Ready_AskPassword_close(struct Whole_Imp_Ready_AskPassword ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_AskPassword_send_Password(struct Whole_Imp_Ready_AskPassword ep_, uint16_t *text, uint32_t text_bytes, struct Whole_Imp_Ready__3 *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Imp_send_Password((struct Whole_Imp){ep_.h}, text, text_bytes);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- importer in state Ready.3 --- */

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready__5_from(struct Whole_Imp plain_, struct Whole_Imp_Ready__5 *out_)
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

static inline int32_t Whole_Imp_Ready__5_close(struct Whole_Imp_Ready__5 ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Ready.3: look at tag, then at that member. */
struct Whole_Imp_Ready__5_msg {
    uint32_t tag; /* enum Whole_tag */
    union {
        struct {
            struct Whole_Imp_Ready_AskPassword__6 next_;
        } AskPassword;
        struct {
            struct Whole_Imp_Ready next_;
        } Granted;
    };
};

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready__5_recv(struct Whole_Imp_Ready__5 ep_, struct Whole_Imp_Ready__5_msg *msg_, int64_t timeout_ns_)
{
    struct Whole_Imp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Imp_recv((struct Whole_Imp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Whole_tag_AskPassword:
        msg_->AskPassword.next_.h = ep_.h;
        msg_->AskPassword.next_.use = sip_use_next(ep_.h);
        break;
    case Whole_tag_Granted:
        msg_->Granted.next_.h = ep_.h;
        msg_->Granted.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Whole_Imp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Whole_Imp_Ready__5_drop(struct Whole_Imp_Ready__5_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

/* --- importer in state Ready.4 --- */

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_AskPassword__6_from(struct Whole_Imp plain_, struct Whole_Imp_Ready_AskPassword__6 *out_)
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

static inline int32_t Whole_Imp_Ready_AskPassword__6_close(struct Whole_Imp_Ready_AskPassword__6 ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_AskPassword__6_send_Password(struct Whole_Imp_Ready_AskPassword__6 ep_, uint16_t *text, uint32_t text_bytes, struct Whole_Imp_Ready__5 *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Imp_send_Password((struct Whole_Imp){ep_.h}, text, text_bytes);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- importer in state Ready.5 --- */

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready__7_from(struct Whole_Imp plain_, struct Whole_Imp_Ready__7 *out_)
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

static inline int32_t Whole_Imp_Ready__7_close(struct Whole_Imp_Ready__7 ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Ready.5: look at tag, then at that member. */
struct Whole_Imp_Ready__7_msg {
    uint32_t tag; /* enum Whole_tag */
    union {
        struct {
            struct Whole_Imp_Ready_AskPassword__8 next_;
        } AskPassword;
        struct {
            struct Whole_Imp_Ready_Move next_;
        } Granted;
    };
};

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready__7_recv(struct Whole_Imp_Ready__7 ep_, struct Whole_Imp_Ready__7_msg *msg_, int64_t timeout_ns_)
{
    struct Whole_Imp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Imp_recv((struct Whole_Imp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Whole_tag_AskPassword:
        msg_->AskPassword.next_.h = ep_.h;
        msg_->AskPassword.next_.use = sip_use_next(ep_.h);
        break;
    case Whole_tag_Granted:
        msg_->Granted.next_.h = ep_.h;
        msg_->Granted.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Whole_Imp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Whole_Imp_Ready__7_drop(struct Whole_Imp_Ready__7_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

/* --- importer in state Ready.6 --- */

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_AskPassword__8_from(struct Whole_Imp plain_, struct Whole_Imp_Ready_AskPassword__8 *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 8) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Whole_Imp_Ready_AskPassword__8_close(struct Whole_Imp_Ready_AskPassword__8 ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_AskPassword__8_send_Password(struct Whole_Imp_Ready_AskPassword__8 ep_, uint16_t *text, uint32_t text_bytes, struct Whole_Imp_Ready__7 *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Imp_send_Password((struct Whole_Imp){ep_.h}, text, text_bytes);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- importer in state Ready.7 --- */

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_Move_from(struct Whole_Imp plain_, struct Whole_Imp_Ready_Move *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 9) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Whole_Imp_Ready_Move_close(struct Whole_Imp_Ready_Move ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Ready.7: look at tag, then at that member. */
struct Whole_Imp_Ready_Move_msg {
    uint32_t tag; /* enum Whole_tag */
    union {
        struct {
            uint32_t heat;
            int32_t where_x;
            int32_t where_y;
            struct Whole_Imp_Ready next_;
        } Done;
    };
};

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_Move_recv(struct Whole_Imp_Ready_Move ep_, struct Whole_Imp_Ready_Move_msg *msg_, int64_t timeout_ns_)
{
    struct Whole_Imp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Imp_recv((struct Whole_Imp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Whole_tag_Done:
        msg_->Done.heat = plain_.Done.heat;
        msg_->Done.where_x = plain_.Done.where_x;
        msg_->Done.where_y = plain_.Done.where_y;
        msg_->Done.next_.h = ep_.h;
        msg_->Done.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Whole_Imp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Whole_Imp_Ready_Move_drop(struct Whole_Imp_Ready_Move_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

/* --- importer in state Ready.8 --- */

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_Names_from(struct Whole_Imp plain_, struct Whole_Imp_Ready_Names *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 10) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Whole_Imp_Ready_Names_close(struct Whole_Imp_Ready_Names ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Ready.8: look at tag, then at that member. */
struct Whole_Imp_Ready_Names_msg {
    uint32_t tag; /* enum Whole_tag */
    union {
        struct {
            uint32_t heat;
            int32_t where_x;
            int32_t where_y;
            struct Whole_Imp_Ready next_;
        } Done;
    };
};

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_Names_recv(struct Whole_Imp_Ready_Names ep_, struct Whole_Imp_Ready_Names_msg *msg_, int64_t timeout_ns_)
{
    struct Whole_Imp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Imp_recv((struct Whole_Imp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Whole_tag_Done:
        msg_->Done.heat = plain_.Done.heat;
        msg_->Done.where_x = plain_.Done.where_x;
        msg_->Done.where_y = plain_.Done.where_y;
        msg_->Done.next_.h = ep_.h;
        msg_->Done.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Whole_Imp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Whole_Imp_Ready_Names_drop(struct Whole_Imp_Ready_Names_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

/* --- importer in state Ready.9 --- */

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_Records_from(struct Whole_Imp plain_, struct Whole_Imp_Ready_Records *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 11) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Whole_Imp_Ready_Records_close(struct Whole_Imp_Ready_Records ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Ready.9: look at tag, then at that member. */
struct Whole_Imp_Ready_Records_msg {
    uint32_t tag; /* enum Whole_tag */
    union {
        struct {
            uint32_t heat;
            int32_t where_x;
            int32_t where_y;
            struct Whole_Imp_Ready next_;
        } Done;
    };
};

SF_MUST_CHECK static inline int32_t Whole_Imp_Ready_Records_recv(struct Whole_Imp_Ready_Records ep_, struct Whole_Imp_Ready_Records_msg *msg_, int64_t timeout_ns_)
{
    struct Whole_Imp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Imp_recv((struct Whole_Imp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Whole_tag_Done:
        msg_->Done.heat = plain_.Done.heat;
        msg_->Done.where_x = plain_.Done.where_x;
        msg_->Done.where_y = plain_.Done.where_y;
        msg_->Done.next_.h = ep_.h;
        msg_->Done.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Whole_Imp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Whole_Imp_Ready_Records_drop(struct Whole_Imp_Ready_Records_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

/* --- exporter in state Start --- */

SF_MUST_CHECK static inline int32_t Whole_Exp_Start_from(struct Whole_Exp plain_, struct Whole_Exp_Start *out_)
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

static inline int32_t Whole_Exp_Start_close(struct Whole_Exp_Start ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Whole_Exp_Start_accept(const char *name_, struct Whole_Exp_Start *out_, int64_t timeout_ns_)
{
    int32_t answer_ = sip_accept(name_, timeout_ns_);
    if (answer_ >= 0) {
        out_->h = (uint32_t)answer_;
        out_->use = sip_use_next(out_->h);
        answer_ = 0;
    }
    return answer_;
}

SF_MUST_CHECK static inline int32_t Whole_Exp_Start_send_Refused(struct Whole_Exp_Start ep_, struct Whole_Exp_Over *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Exp_send_Refused((struct Whole_Exp){ep_.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

SF_MUST_CHECK static inline int32_t Whole_Exp_Start_send_Welcome(struct Whole_Exp_Start ep_, struct Whole_Exp_Ready *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Exp_send_Welcome((struct Whole_Exp){ep_.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- exporter in state Over --- */

SF_MUST_CHECK static inline int32_t Whole_Exp_Over_from(struct Whole_Exp plain_, struct Whole_Exp_Over *out_)
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

static inline int32_t Whole_Exp_Over_close(struct Whole_Exp_Over ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* --- exporter in state Ready --- */

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready_from(struct Whole_Exp plain_, struct Whole_Exp_Ready *out_)
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

static inline int32_t Whole_Exp_Ready_close(struct Whole_Exp_Ready ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Ready: look at tag, then at that member. */
struct Whole_Exp_Ready_msg {
    uint32_t tag; /* enum Whole_tag */
    union {
        struct {
            struct Whole_Link *first;
            uint32_t first_bytes;
            struct Whole_Exp_Ready__3 next_;
        } Chain;
        struct {
            int32_t from_x;
            int32_t from_y;
            int32_t to_x;
            int32_t to_y;
            uint32_t heat;
            struct Whole_Exp_Ready__7 next_;
        } Move;
        struct {
            struct Whole_block_char *names;
            uint32_t names_bytes;
            struct Whole_block_char *others;
            uint32_t others_bytes;
            struct Whole_Exp_Ready_Names next_;
        } Names;
        struct {
            struct Whole_Exp_Over next_;
        } Quit;
        struct {
            struct Whole_Record *all;
            uint32_t all_bytes;
            struct Whole_Record *one;
            uint32_t one_bytes;
            struct Whole_Point *where;
            uint32_t where_bytes;
            struct Whole_Exp_Ready_Records next_;
        } Records;
    };
};

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready_recv(struct Whole_Exp_Ready ep_, struct Whole_Exp_Ready_msg *msg_, int64_t timeout_ns_)
{
    struct Whole_Exp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Exp_recv((struct Whole_Exp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Whole_tag_Chain:
        msg_->Chain.first = plain_.Chain.first;
        msg_->Chain.first_bytes = plain_.Chain.first_bytes;
        msg_->Chain.next_.h = ep_.h;
        msg_->Chain.next_.use = sip_use_next(ep_.h);
        break;
    case Whole_tag_Move:
        msg_->Move.from_x = plain_.Move.from_x;
        msg_->Move.from_y = plain_.Move.from_y;
        msg_->Move.to_x = plain_.Move.to_x;
        msg_->Move.to_y = plain_.Move.to_y;
        msg_->Move.heat = plain_.Move.heat;
        msg_->Move.next_.h = ep_.h;
        msg_->Move.next_.use = sip_use_next(ep_.h);
        break;
    case Whole_tag_Names:
        msg_->Names.names = plain_.Names.names;
        msg_->Names.names_bytes = plain_.Names.names_bytes;
        msg_->Names.others = plain_.Names.others;
        msg_->Names.others_bytes = plain_.Names.others_bytes;
        msg_->Names.next_.h = ep_.h;
        msg_->Names.next_.use = sip_use_next(ep_.h);
        break;
    case Whole_tag_Quit:
        msg_->Quit.next_.h = ep_.h;
        msg_->Quit.next_.use = sip_use_next(ep_.h);
        break;
    case Whole_tag_Records:
        msg_->Records.all = plain_.Records.all;
        msg_->Records.all_bytes = plain_.Records.all_bytes;
        msg_->Records.one = plain_.Records.one;
        msg_->Records.one_bytes = plain_.Records.one_bytes;
        msg_->Records.where = plain_.Records.where;
        msg_->Records.where_bytes = plain_.Records.where_bytes;
        msg_->Records.next_.h = ep_.h;
        msg_->Records.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Whole_Exp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Whole_Exp_Ready_drop(struct Whole_Exp_Ready_msg *msg_)
{
    switch (msg_->tag) {
    case Whole_tag_Chain:
        if (msg_->Chain.first != NULL) {
            (void)nk_block_free(msg_->Chain.first);
        }
        break;
    case Whole_tag_Names:
        if (msg_->Names.names != NULL) {
            (void)nk_block_free(msg_->Names.names);
        }
        if (msg_->Names.others != NULL) {
            (void)nk_block_free(msg_->Names.others);
        }
        break;
    case Whole_tag_Records:
        if (msg_->Records.all != NULL) {
            (void)nk_block_free(msg_->Records.all);
        }
        if (msg_->Records.one != NULL) {
            (void)nk_block_free(msg_->Records.one);
        }
        if (msg_->Records.where != NULL) {
            (void)nk_block_free(msg_->Records.where);
        }
        break;
    default:
        break;
    }
}

/* --- exporter in state Ready.1 --- */

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready__3_from(struct Whole_Exp plain_, struct Whole_Exp_Ready__3 *out_)
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

static inline int32_t Whole_Exp_Ready__3_close(struct Whole_Exp_Ready__3 ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready__3_send_AskPassword(struct Whole_Exp_Ready__3 ep_, struct Whole_Exp_Ready_AskPassword *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Exp_send_AskPassword((struct Whole_Exp){ep_.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready__3_send_Granted(struct Whole_Exp_Ready__3 ep_, struct Whole_Exp_Ready__5 *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Exp_send_Granted((struct Whole_Exp){ep_.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- exporter in state Ready.2 --- */

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready_AskPassword_from(struct Whole_Exp plain_, struct Whole_Exp_Ready_AskPassword *out_)
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

static inline int32_t Whole_Exp_Ready_AskPassword_close(struct Whole_Exp_Ready_AskPassword ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Ready.2: look at tag, then at that member. */
struct Whole_Exp_Ready_AskPassword_msg {
    uint32_t tag; /* enum Whole_tag */
    union {
        struct {
            uint16_t *text;
            uint32_t text_bytes;
            struct Whole_Exp_Ready__3 next_;
        } Password;
    };
};

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready_AskPassword_recv(struct Whole_Exp_Ready_AskPassword ep_, struct Whole_Exp_Ready_AskPassword_msg *msg_, int64_t timeout_ns_)
{
    struct Whole_Exp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Exp_recv((struct Whole_Exp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Whole_tag_Password:
        msg_->Password.text = plain_.Password.text;
        msg_->Password.text_bytes = plain_.Password.text_bytes;
        msg_->Password.next_.h = ep_.h;
        msg_->Password.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Whole_Exp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Whole_Exp_Ready_AskPassword_drop(struct Whole_Exp_Ready_AskPassword_msg *msg_)
{
    switch (msg_->tag) {
    case Whole_tag_Password:
        if (msg_->Password.text != NULL) {
            (void)nk_block_free(msg_->Password.text);
        }
        break;
    default:
        break;
    }
}

/* --- exporter in state Ready.3 --- */

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready__5_from(struct Whole_Exp plain_, struct Whole_Exp_Ready__5 *out_)
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

static inline int32_t Whole_Exp_Ready__5_close(struct Whole_Exp_Ready__5 ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready__5_send_AskPassword(struct Whole_Exp_Ready__5 ep_, struct Whole_Exp_Ready_AskPassword__6 *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Exp_send_AskPassword((struct Whole_Exp){ep_.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready__5_send_Granted(struct Whole_Exp_Ready__5 ep_, struct Whole_Exp_Ready *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Exp_send_Granted((struct Whole_Exp){ep_.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- exporter in state Ready.4 --- */

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready_AskPassword__6_from(struct Whole_Exp plain_, struct Whole_Exp_Ready_AskPassword__6 *out_)
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

static inline int32_t Whole_Exp_Ready_AskPassword__6_close(struct Whole_Exp_Ready_AskPassword__6 ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Ready.4: look at tag, then at that member. */
struct Whole_Exp_Ready_AskPassword__6_msg {
    uint32_t tag; /* enum Whole_tag */
    union {
        struct {
            uint16_t *text;
            uint32_t text_bytes;
            struct Whole_Exp_Ready__5 next_;
        } Password;
    };
};

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready_AskPassword__6_recv(struct Whole_Exp_Ready_AskPassword__6 ep_, struct Whole_Exp_Ready_AskPassword__6_msg *msg_, int64_t timeout_ns_)
{
    struct Whole_Exp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Exp_recv((struct Whole_Exp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Whole_tag_Password:
        msg_->Password.text = plain_.Password.text;
        msg_->Password.text_bytes = plain_.Password.text_bytes;
        msg_->Password.next_.h = ep_.h;
        msg_->Password.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Whole_Exp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Whole_Exp_Ready_AskPassword__6_drop(struct Whole_Exp_Ready_AskPassword__6_msg *msg_)
{
    switch (msg_->tag) {
    case Whole_tag_Password:
        if (msg_->Password.text != NULL) {
            (void)nk_block_free(msg_->Password.text);
        }
        break;
    default:
        break;
    }
}

/* --- exporter in state Ready.5 --- */

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready__7_from(struct Whole_Exp plain_, struct Whole_Exp_Ready__7 *out_)
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

static inline int32_t Whole_Exp_Ready__7_close(struct Whole_Exp_Ready__7 ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready__7_send_AskPassword(struct Whole_Exp_Ready__7 ep_, struct Whole_Exp_Ready_AskPassword__8 *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Exp_send_AskPassword((struct Whole_Exp){ep_.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready__7_send_Granted(struct Whole_Exp_Ready__7 ep_, struct Whole_Exp_Ready_Move *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Exp_send_Granted((struct Whole_Exp){ep_.h});
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- exporter in state Ready.6 --- */

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready_AskPassword__8_from(struct Whole_Exp plain_, struct Whole_Exp_Ready_AskPassword__8 *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 8) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Whole_Exp_Ready_AskPassword__8_close(struct Whole_Exp_Ready_AskPassword__8 ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

/* What may come in state Ready.6: look at tag, then at that member. */
struct Whole_Exp_Ready_AskPassword__8_msg {
    uint32_t tag; /* enum Whole_tag */
    union {
        struct {
            uint16_t *text;
            uint32_t text_bytes;
            struct Whole_Exp_Ready__7 next_;
        } Password;
    };
};

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready_AskPassword__8_recv(struct Whole_Exp_Ready_AskPassword__8 ep_, struct Whole_Exp_Ready_AskPassword__8_msg *msg_, int64_t timeout_ns_)
{
    struct Whole_Exp_msg plain_;
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Exp_recv((struct Whole_Exp){ep_.h}, &plain_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = plain_.tag;
    switch (plain_.tag) {
    case Whole_tag_Password:
        msg_->Password.text = plain_.Password.text;
        msg_->Password.text_bytes = plain_.Password.text_bytes;
        msg_->Password.next_.h = ep_.h;
        msg_->Password.next_.use = sip_use_next(ep_.h);
        break;
    default:
        Whole_Exp_drop(&plain_);
        return -SF_CONTRACT;
    }
    return 0;
}

static inline void Whole_Exp_Ready_AskPassword__8_drop(struct Whole_Exp_Ready_AskPassword__8_msg *msg_)
{
    switch (msg_->tag) {
    case Whole_tag_Password:
        if (msg_->Password.text != NULL) {
            (void)nk_block_free(msg_->Password.text);
        }
        break;
    default:
        break;
    }
}

/* --- exporter in state Ready.7 --- */

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready_Move_from(struct Whole_Exp plain_, struct Whole_Exp_Ready_Move *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 9) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Whole_Exp_Ready_Move_close(struct Whole_Exp_Ready_Move ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready_Move_send_Done(struct Whole_Exp_Ready_Move ep_, uint32_t heat, int32_t where_x, int32_t where_y, struct Whole_Exp_Ready *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Exp_send_Done((struct Whole_Exp){ep_.h}, heat, where_x, where_y);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- exporter in state Ready.8 --- */

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready_Names_from(struct Whole_Exp plain_, struct Whole_Exp_Ready_Names *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 10) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Whole_Exp_Ready_Names_close(struct Whole_Exp_Ready_Names ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready_Names_send_Done(struct Whole_Exp_Ready_Names ep_, uint32_t heat, int32_t where_x, int32_t where_y, struct Whole_Exp_Ready *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Exp_send_Done((struct Whole_Exp){ep_.h}, heat, where_x, where_y);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

/* --- exporter in state Ready.9 --- */

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready_Records_from(struct Whole_Exp plain_, struct Whole_Exp_Ready_Records *out_)
{
    int32_t answer_ = nk_state(plain_.h);
    if (answer_ < 0) {
        return answer_;
    }
    if (answer_ != 11) {
        return -SF_CONTRACT;
    }
    out_->h = plain_.h;
    out_->use = sip_use_next(plain_.h);
    return 0;
}

static inline int32_t Whole_Exp_Ready_Records_close(struct Whole_Exp_Ready_Records ep_)
{
    return sip_use_is(ep_.h, ep_.use) ? nk_close(ep_.h) : -SF_BADHANDLE;
}

SF_MUST_CHECK static inline int32_t Whole_Exp_Ready_Records_send_Done(struct Whole_Exp_Ready_Records ep_, uint32_t heat, int32_t where_x, int32_t where_y, struct Whole_Exp_Ready *next_)
{
    if (!sip_use_is(ep_.h, ep_.use)) {
        return -SF_BADHANDLE;
    }
    int32_t answer_ = Whole_Exp_send_Done((struct Whole_Exp){ep_.h}, heat, where_x, where_y);
    if (answer_ >= 0) {
        next_->h = ep_.h;
        next_->use = sip_use_next(ep_.h);
    }
    return answer_;
}

#endif
