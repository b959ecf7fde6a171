/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/*
 * Sample.h - contract Sample for SIPs in C. Written by contractc; do not change.
 *
 * Calls answer 0 or more, or -(sf_status). A send that answers 0 has given the blocks
 * and endpoints in it away; after any other answer they are still the caller's.
 * -SF_CONTRACT: the contract does not allow that message now; nothing was sent.
 * Lengths of blocks are in bytes.
 */
#ifndef CONTRACT_Sample_H
#define CONTRACT_Sample_H

#include "sip.h"

/*
 * Every kind of thing that the language has.
 *
 * A comment may hold a star-slash in pieces, * /, and must not break what is generated.
 */
#ifndef Sample_WORDS
#define Sample_WORDS
/* Short identity of the contract: how it is named at run time. */
#define Sample_ID 0x01d54d5d33694535ULL
/* Where it listens. */
#define Sample_Name "/service/sample \"quoted\" \\"
#define Sample_Port 8080
#define Sample_Least (-5LL)
#define Sample_Most 18446744073709551615ULL
#define Sample_Loud true

enum Sample_Colour {
    /* Like roses. */
    Sample_Colour_Red = 1u,
    Sample_Colour_Green = 2u,
    Sample_Colour_Blue = 16u,
};

enum Sample_tag {
    Sample_tag_Bad = 0,
    Sample_tag_Blocks = 1,
    Sample_tag_Endpoints = 2,
    Sample_tag_Fine = 3,
    Sample_tag_Give = 4,
    Sample_tag_More = 5,
    Sample_tag_Ping = 6,
    Sample_tag_Quit = 7,
    Sample_tag_Scalars = 8,
    Sample_tag_SingSharp = 9,
};

/* States inside a step ("Idle.1" and so on) have no name here. */
enum Sample_state {
    Sample_state_Idle = 0,
    Sample_state_Chatting = 1,
    Sample_state_End = 2,
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

/* Makes a channel that begins in `state_` (enum Sample_state). 0, or -(sf_status). */
static inline int32_t Sample_new_in(uint32_t state_, struct Sample_Imp *out_imp_, struct Sample_Exp *out_exp_)
{
    uint32_t handles_[2];
    int32_t answer_ = nk_channel((int64_t)Sample_ID, state_, handles_);
    if (answer_ < 0) {
        return answer_;
    }
    out_imp_->h = handles_[0];
    out_exp_->h = handles_[1];
    return 0;
}

static inline int32_t Sample_new(struct Sample_Imp *out_imp_, struct Sample_Exp *out_exp_)
{
    return Sample_new_in(Sample_state_Idle, out_imp_, out_exp_);
}

/* --- importer's side --- */

/* The start-up endpoint of an import of the manifest. 0, or -(sf_status). */
static inline int32_t Sample_Imp_take(const char *import_, struct Sample_Imp *out_)
{
    int32_t answer_ = sip_endpoint(import_);
    if (answer_ < 0) {
        return answer_;
    }
    out_->h = (uint32_t)answer_;
    return 0;
}

static inline int32_t Sample_Imp_close(struct Sample_Imp ep_)
{
    return nk_close(ep_.h);
}

/* Index of the contract state (enum Sample_state), or -(sf_status). */
static inline int32_t Sample_Imp_state(struct Sample_Imp ep_)
{
    return nk_state(ep_.h);
}

static inline int32_t Sample_Imp_send_Blocks(struct Sample_Imp ep_, uint8_t *one, uint32_t one_bytes, uint8_t *two, uint32_t two_bytes, uint32_t *three, uint32_t three_bytes, uint32_t *four, uint32_t four_bytes)
{
    struct nk_msg msg_ = {.tag = Sample_tag_Blocks, .arg_count = 4};
    msg_.args[0] = sip_block_arg(one, one_bytes);
    msg_.args[1] = sip_block_arg(two, two_bytes);
    msg_.args[2] = sip_block_arg(three, three_bytes);
    msg_.args[3] = sip_block_arg(four, four_bytes);
    return nk_send(ep_.h, &msg_);
}

/* Endpoints of this contract and of another one. */
static inline int32_t Sample_Imp_send_Endpoints(struct Sample_Imp ep_, struct Sample_Imp self, struct Other_Exp other, struct Other_Imp maybe)
{
    struct nk_msg msg_ = {.tag = Sample_tag_Endpoints, .arg_count = 3};
    msg_.args[0] = self.h;
    msg_.args[1] = other.h;
    msg_.args[2] = maybe.h;
    return nk_send(ep_.h, &msg_);
}

static inline int32_t Sample_Imp_send_More(struct Sample_Imp ep_, uint64_t a, float b, double c, uint32_t d, uint16_t e)
{
    struct nk_msg msg_ = {.tag = Sample_tag_More, .arg_count = 5};
    msg_.args[0] = a;
    __builtin_memcpy(&msg_.args[1], &b, sizeof(b));
    __builtin_memcpy(&msg_.args[2], &c, sizeof(c));
    msg_.args[3] = d;
    msg_.args[4] = e;
    return nk_send(ep_.h, &msg_);
}

/* May go either way. */
static inline int32_t Sample_Imp_send_Ping(struct Sample_Imp ep_, uint32_t number)
{
    struct nk_msg msg_ = {.tag = Sample_tag_Ping, .arg_count = 1};
    msg_.args[0] = number;
    return nk_send(ep_.h, &msg_);
}

static inline int32_t Sample_Imp_send_Quit(struct Sample_Imp ep_)
{
    struct nk_msg msg_ = {.tag = Sample_tag_Quit, .arg_count = 0};
    return nk_send(ep_.h, &msg_);
}

/* All scalars but floats. */
static inline int32_t Sample_Imp_send_Scalars(struct Sample_Imp ep_, bool a, int8_t b, uint8_t c, int16_t d, uint16_t e, int32_t f, uint32_t g, int64_t h)
{
    struct nk_msg msg_ = {.tag = Sample_tag_Scalars, .arg_count = 8};
    msg_.args[0] = a;
    msg_.args[1] = (uint64_t)(int64_t)b;
    msg_.args[2] = c;
    msg_.args[3] = (uint64_t)(int64_t)d;
    msg_.args[4] = e;
    msg_.args[5] = (uint64_t)(int64_t)f;
    msg_.args[6] = g;
    msg_.args[7] = (uint64_t)(int64_t)h;
    return nk_send(ep_.h, &msg_);
}

static inline int32_t Sample_Imp_send_SingSharp(struct Sample_Imp ep_, uint8_t *one, uint32_t one_bytes, uint32_t *two, uint32_t two_bytes)
{
    struct nk_msg msg_ = {.tag = Sample_tag_SingSharp, .arg_count = 2};
    msg_.args[0] = sip_block_arg(one, one_bytes);
    msg_.args[1] = sip_block_arg(two, two_bytes);
    return nk_send(ep_.h, &msg_);
}

/* A message as the importer receives it: look at tag, then at that member. */
struct Sample_Imp_msg {
    uint32_t tag; /* enum Sample_tag */
    union {
        struct {
            uint32_t why; /* enum Colour */
        } Bad;
        struct {
            uint8_t *data;
            uint32_t data_bytes;
            struct Other_Exp peer; /* in state Talking */
        } Give;
        struct {
            uint32_t number;
        } Ping;
    };
};

/* Waits for a message. Blocks and endpoints in it are yours. 0, or -(sf_status). */
static inline int32_t Sample_Imp_recv(struct Sample_Imp ep_, struct Sample_Imp_msg *msg_, int64_t timeout_ns_)
{
    struct nk_msg raw_;
    int32_t answer_ = nk_recv(ep_.h, &raw_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = raw_.tag;
    switch (raw_.tag) {
    case Sample_tag_Bad:
        msg_->Bad.why = (uint32_t)raw_.args[0];
        break;
    case Sample_tag_Give:
        msg_->Give.data = (uint8_t *)sip_arg_block(raw_.args[0]);
        msg_->Give.data_bytes = sip_arg_bytes(raw_.args[0]);
        msg_->Give.peer.h = (uint32_t)raw_.args[1];
        break;
    case Sample_tag_Ping:
        msg_->Ping.number = (uint32_t)raw_.args[0];
        break;
    default:
        break;
    }
    return 0;
}

/* Frees the blocks and closes the endpoints of a received message. */
static inline void Sample_Imp_drop(struct Sample_Imp_msg *msg_)
{
    switch (msg_->tag) {
    case Sample_tag_Give:
        if (msg_->Give.data != NULL) {
            (void)nk_block_free(msg_->Give.data);
        }
        if (msg_->Give.peer.h != 0) {
            (void)nk_close(msg_->Give.peer.h);
        }
        break;
    default:
        break;
    }
}

/* --- exporter's side --- */

/* The next channel opened to an export of the manifest. 0, or -(sf_status). */
static inline int32_t Sample_Exp_accept(const char *export_, struct Sample_Exp *out_, int64_t timeout_ns_)
{
    int32_t answer_ = sip_accept(export_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    out_->h = (uint32_t)answer_;
    return 0;
}

static inline int32_t Sample_Exp_close(struct Sample_Exp ep_)
{
    return nk_close(ep_.h);
}

/* Index of the contract state (enum Sample_state), or -(sf_status). */
static inline int32_t Sample_Exp_state(struct Sample_Exp ep_)
{
    return nk_state(ep_.h);
}

static inline int32_t Sample_Exp_send_Bad(struct Sample_Exp ep_, uint32_t why)
{
    struct nk_msg msg_ = {.tag = Sample_tag_Bad, .arg_count = 1};
    msg_.args[0] = why;
    return nk_send(ep_.h, &msg_);
}

static inline int32_t Sample_Exp_send_Fine(struct Sample_Exp ep_)
{
    struct nk_msg msg_ = {.tag = Sample_tag_Fine, .arg_count = 0};
    return nk_send(ep_.h, &msg_);
}

static inline int32_t Sample_Exp_send_Give(struct Sample_Exp ep_, uint8_t *data, uint32_t data_bytes, struct Other_Exp peer)
{
    struct nk_msg msg_ = {.tag = Sample_tag_Give, .arg_count = 2};
    msg_.args[0] = sip_block_arg(data, data_bytes);
    msg_.args[1] = peer.h;
    return nk_send(ep_.h, &msg_);
}

/* May go either way. */
static inline int32_t Sample_Exp_send_Ping(struct Sample_Exp ep_, uint32_t number)
{
    struct nk_msg msg_ = {.tag = Sample_tag_Ping, .arg_count = 1};
    msg_.args[0] = number;
    return nk_send(ep_.h, &msg_);
}

/* A message as the exporter receives it: look at tag, then at that member. */
struct Sample_Exp_msg {
    uint32_t tag; /* enum Sample_tag */
    union {
        struct {
            uint8_t *one;
            uint32_t one_bytes;
            uint8_t *two; /* NULL: absent */
            uint32_t two_bytes;
            uint32_t *three;
            uint32_t three_bytes;
            uint32_t *four;
            uint32_t four_bytes;
        } Blocks;
        struct {
            struct Sample_Imp self; /* in state Idle */
            struct Other_Exp other; /* in state Talking */
            struct Other_Imp maybe; /* in state Start; h 0: absent */
        } Endpoints;
        struct {
            uint64_t a;
            float b;
            double c;
            uint32_t d; /* enum Colour */
            uint16_t e;
        } More;
        struct {
            uint32_t number;
        } Ping;
        struct {
            bool a;
            int8_t b;
            uint8_t c;
            int16_t d;
            uint16_t e;
            int32_t f;
            uint32_t g;
            int64_t h;
        } Scalars;
        struct {
            uint8_t *one;
            uint32_t one_bytes;
            uint32_t *two;
            uint32_t two_bytes;
        } SingSharp;
    };
};

/* Waits for a message. Blocks and endpoints in it are yours. 0, or -(sf_status). */
static inline int32_t Sample_Exp_recv(struct Sample_Exp ep_, struct Sample_Exp_msg *msg_, int64_t timeout_ns_)
{
    struct nk_msg raw_;
    int32_t answer_ = nk_recv(ep_.h, &raw_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = raw_.tag;
    switch (raw_.tag) {
    case Sample_tag_Blocks:
        msg_->Blocks.one = (uint8_t *)sip_arg_block(raw_.args[0]);
        msg_->Blocks.one_bytes = sip_arg_bytes(raw_.args[0]);
        msg_->Blocks.two = (uint8_t *)sip_arg_block(raw_.args[1]);
        msg_->Blocks.two_bytes = sip_arg_bytes(raw_.args[1]);
        msg_->Blocks.three = (uint32_t *)sip_arg_block(raw_.args[2]);
        msg_->Blocks.three_bytes = sip_arg_bytes(raw_.args[2]);
        msg_->Blocks.four = (uint32_t *)sip_arg_block(raw_.args[3]);
        msg_->Blocks.four_bytes = sip_arg_bytes(raw_.args[3]);
        break;
    case Sample_tag_Endpoints:
        msg_->Endpoints.self.h = (uint32_t)raw_.args[0];
        msg_->Endpoints.other.h = (uint32_t)raw_.args[1];
        msg_->Endpoints.maybe.h = (uint32_t)raw_.args[2];
        break;
    case Sample_tag_More:
        msg_->More.a = (uint64_t)raw_.args[0];
        __builtin_memcpy(&msg_->More.b, &raw_.args[1], sizeof(float));
        __builtin_memcpy(&msg_->More.c, &raw_.args[2], sizeof(double));
        msg_->More.d = (uint32_t)raw_.args[3];
        msg_->More.e = (uint16_t)raw_.args[4];
        break;
    case Sample_tag_Ping:
        msg_->Ping.number = (uint32_t)raw_.args[0];
        break;
    case Sample_tag_Scalars:
        msg_->Scalars.a = raw_.args[0] != 0;
        msg_->Scalars.b = (int8_t)raw_.args[1];
        msg_->Scalars.c = (uint8_t)raw_.args[2];
        msg_->Scalars.d = (int16_t)raw_.args[3];
        msg_->Scalars.e = (uint16_t)raw_.args[4];
        msg_->Scalars.f = (int32_t)raw_.args[5];
        msg_->Scalars.g = (uint32_t)raw_.args[6];
        msg_->Scalars.h = (int64_t)raw_.args[7];
        break;
    case Sample_tag_SingSharp:
        msg_->SingSharp.one = (uint8_t *)sip_arg_block(raw_.args[0]);
        msg_->SingSharp.one_bytes = sip_arg_bytes(raw_.args[0]);
        msg_->SingSharp.two = (uint32_t *)sip_arg_block(raw_.args[1]);
        msg_->SingSharp.two_bytes = sip_arg_bytes(raw_.args[1]);
        break;
    default:
        break;
    }
    return 0;
}

/* Frees the blocks and closes the endpoints of a received message. */
static inline void Sample_Exp_drop(struct Sample_Exp_msg *msg_)
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
        if (msg_->Endpoints.self.h != 0) {
            (void)nk_close(msg_->Endpoints.self.h);
        }
        if (msg_->Endpoints.other.h != 0) {
            (void)nk_close(msg_->Endpoints.other.h);
        }
        if (msg_->Endpoints.maybe.h != 0) {
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

#endif
