/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/*
 * Other.h - contract Other for SIPs in C. Written by contractc; do not change.
 *
 * Calls answer 0 or more, or -(sf_status). A send that answers 0 has given the blocks
 * and endpoints in it away; after any other answer they are still the caller's.
 * -SF_CONTRACT: the contract does not allow that message now; nothing was sent.
 * Lengths of blocks are in bytes.
 */
#ifndef CONTRACT_Other_H
#define CONTRACT_Other_H

#include "sip.h"

#ifndef Other_WORDS
#define Other_WORDS
/* Short identity of the contract: how it is named at run time. */
#define Other_ID 0xfe6af1bac439b503ULL

enum Other_tag {
    Other_tag_Ask = 0,
    Other_tag_Hello = 1,
    Other_tag_Tell = 2,
};

/* States inside a step ("Start.1" and so on) have no name here. */
enum Other_state {
    Other_state_Start = 0,
    Other_state_Talking = 2,
};
#endif

#ifndef Other_Imp_TYPE
#define Other_Imp_TYPE
struct Other_Imp {
    uint32_t h; /* handle */
};
#endif
#ifndef Other_Exp_TYPE
#define Other_Exp_TYPE
struct Other_Exp {
    uint32_t h; /* handle */
};
#endif
#ifndef Sample_Imp_TYPE
#define Sample_Imp_TYPE
struct Sample_Imp {
    uint32_t h; /* handle */
};
#endif
#ifndef Sample_Exp_TYPE
#define Sample_Exp_TYPE
struct Sample_Exp {
    uint32_t h; /* handle */
};
#endif

/* Makes a channel that begins in `state_` (enum Other_state). 0, or -(sf_status). */
static inline int32_t Other_new_in(uint32_t state_, struct Other_Imp *out_imp_, struct Other_Exp *out_exp_)
{
    uint32_t handles_[2];
    int32_t answer_ = nk_channel((int64_t)Other_ID, state_, handles_);
    if (answer_ < 0) {
        return answer_;
    }
    out_imp_->h = handles_[0];
    out_exp_->h = handles_[1];
    return 0;
}

static inline int32_t Other_new(struct Other_Imp *out_imp_, struct Other_Exp *out_exp_)
{
    return Other_new_in(Other_state_Start, out_imp_, out_exp_);
}

/* --- importer's side --- */

/* The start-up endpoint of an import of the manifest. 0, or -(sf_status). */
static inline int32_t Other_Imp_take(const char *import_, struct Other_Imp *out_)
{
    int32_t answer_ = sip_endpoint(import_);
    if (answer_ < 0) {
        return answer_;
    }
    out_->h = (uint32_t)answer_;
    return 0;
}

static inline int32_t Other_Imp_close(struct Other_Imp ep_)
{
    return nk_close(ep_.h);
}

/* Index of the contract state (enum Other_state), or -(sf_status). */
static inline int32_t Other_Imp_state(struct Other_Imp ep_)
{
    return nk_state(ep_.h);
}

static inline int32_t Other_Imp_send_Ask(struct Other_Imp ep_)
{
    struct nk_msg msg_ = {.tag = Other_tag_Ask, .arg_count = 0};
    return nk_send(ep_.h, &msg_);
}

/* A message as the importer receives it: look at tag, then at that member. */
struct Other_Imp_msg {
    uint32_t tag; /* enum Other_tag */
    union {
        struct {
            struct Sample_Imp who; /* in state Idle */
        } Tell;
    };
};

/* Waits for a message. Blocks and endpoints in it are yours. 0, or -(sf_status). */
static inline int32_t Other_Imp_recv(struct Other_Imp ep_, struct Other_Imp_msg *msg_, int64_t timeout_ns_)
{
    struct nk_msg raw_;
    int32_t answer_ = nk_recv(ep_.h, &raw_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = raw_.tag;
    switch (raw_.tag) {
    case Other_tag_Tell:
        msg_->Tell.who.h = (uint32_t)raw_.args[0];
        break;
    default:
        break;
    }
    return 0;
}

/* Frees the blocks and closes the endpoints of a received message. */
static inline void Other_Imp_drop(struct Other_Imp_msg *msg_)
{
    switch (msg_->tag) {
    case Other_tag_Tell:
        if (msg_->Tell.who.h != 0) {
            (void)nk_close(msg_->Tell.who.h);
        }
        break;
    default:
        break;
    }
}

/* --- exporter's side --- */

/* The next channel opened to an export of the manifest. 0, or -(sf_status). */
static inline int32_t Other_Exp_accept(const char *export_, struct Other_Exp *out_, int64_t timeout_ns_)
{
    int32_t answer_ = sip_accept(export_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    out_->h = (uint32_t)answer_;
    return 0;
}

static inline int32_t Other_Exp_close(struct Other_Exp ep_)
{
    return nk_close(ep_.h);
}

/* Index of the contract state (enum Other_state), or -(sf_status). */
static inline int32_t Other_Exp_state(struct Other_Exp ep_)
{
    return nk_state(ep_.h);
}

static inline int32_t Other_Exp_send_Hello(struct Other_Exp ep_)
{
    struct nk_msg msg_ = {.tag = Other_tag_Hello, .arg_count = 0};
    return nk_send(ep_.h, &msg_);
}

static inline int32_t Other_Exp_send_Tell(struct Other_Exp ep_, struct Sample_Imp who)
{
    struct nk_msg msg_ = {.tag = Other_tag_Tell, .arg_count = 1};
    msg_.args[0] = who.h;
    return nk_send(ep_.h, &msg_);
}

/* A message as the exporter receives it: look at tag, then at that member. */
struct Other_Exp_msg {
    uint32_t tag; /* enum Other_tag */
};

/* Waits for a message. Blocks and endpoints in it are yours. 0, or -(sf_status). */
static inline int32_t Other_Exp_recv(struct Other_Exp ep_, struct Other_Exp_msg *msg_, int64_t timeout_ns_)
{
    struct nk_msg raw_;
    int32_t answer_ = nk_recv(ep_.h, &raw_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = raw_.tag;
    return 0;
}

/* Frees the blocks and closes the endpoints of a received message. */
static inline void Other_Exp_drop(struct Other_Exp_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

#endif
