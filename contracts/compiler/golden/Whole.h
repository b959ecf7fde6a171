/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/*
 * Whole.h - contract Whole for SIPs in C. Written by contractc; do not change.
 *
 * Calls answer 0 or more, or -(sf_status). A send that answers 0 has given the blocks
 * and endpoints in it away; after any other answer they are still the caller's.
 * -SF_CONTRACT: the contract does not allow that message now; nothing was sent.
 * Lengths of blocks are in bytes.
 */
#ifndef CONTRACT_Whole_H
#define CONTRACT_Whole_H

#include "sip.h"

/* What the language has besides what Sample shows. */
#ifndef Whole_WORDS
#define Whole_WORDS
/* Short identity of the contract: how it is named at run time. */
#define Whole_ID 0xd573a051ee3c73dfULL
#define Whole_Name "/whole"

/* How hot. */
enum Whole_Heat {
    Whole_Heat_Cold = 1u,
    Whole_Heat_Warm = 2u,
    Whole_Heat_Any = 3u,
};

/* Where something is. */
struct Whole_Point {
    int32_t x;
    int32_t y;
} __attribute__((aligned(4)));
_Static_assert(sizeof(struct Whole_Point) == 8, "as contractc lays it out");

/* Fields of all sizes: the layout has gaps. */
struct Whole_Record {
    bool flag;
    uint16_t small;
    uint8_t tiny;
    uint64_t large;
    struct Whole_Point where;
    uint32_t heat; /* enum Heat */
    double number;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct Whole_Record) == 40, "as contractc lays it out");

/* A chain of blocks. */
struct Whole_Link {
    uint32_t data; /* a block's address */
    uint32_t data_bytes;
    uint32_t next; /* a block's address; 0: absent */
    uint32_t next_bytes;
    struct Whole_Record record;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct Whole_Link) == 56, "as contractc lays it out");

struct Whole_block_char {
    uint32_t items; /* a block's address */
    uint32_t items_bytes;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct Whole_block_char) == 8, "as contractc lays it out");

enum Whole_tag {
    Whole_tag_AskPassword = 0,
    Whole_tag_Chain = 1,
    Whole_tag_Done = 2,
    Whole_tag_Granted = 3,
    Whole_tag_Move = 4,
    Whole_tag_Names = 5,
    Whole_tag_Password = 6,
    Whole_tag_Quit = 7,
    Whole_tag_Records = 8,
    Whole_tag_Refused = 9,
    Whole_tag_Welcome = 10,
};

/* States inside a step ("Start.1" and so on) have no name here. */
enum Whole_state {
    Whole_state_Start = 0,
    Whole_state_Over = 1,
    Whole_state_Ready = 2,
};
#endif

#ifndef Whole_Imp_TYPE
#define Whole_Imp_TYPE
struct Whole_Imp {
    uint32_t h; /* handle */
};
#endif
#ifndef Whole_Exp_TYPE
#define Whole_Exp_TYPE
struct Whole_Exp {
    uint32_t h; /* handle */
};
#endif

/* Makes a channel that begins in `state_` (enum Whole_state). 0, or -(sf_status). */
static inline int32_t Whole_new_in(uint32_t state_, struct Whole_Imp *out_imp_, struct Whole_Exp *out_exp_)
{
    uint32_t handles_[2];
    int32_t answer_ = nk_channel((int64_t)Whole_ID, state_, handles_);
    if (answer_ < 0) {
        return answer_;
    }
    out_imp_->h = handles_[0];
    out_exp_->h = handles_[1];
    return 0;
}

static inline int32_t Whole_new(struct Whole_Imp *out_imp_, struct Whole_Exp *out_exp_)
{
    return Whole_new_in(Whole_state_Start, out_imp_, out_exp_);
}

/* --- importer's side --- */

/* The start-up endpoint of an import of the manifest. 0, or -(sf_status). */
static inline int32_t Whole_Imp_take(const char *import_, struct Whole_Imp *out_)
{
    int32_t answer_ = sip_endpoint(import_);
    if (answer_ < 0) {
        return answer_;
    }
    out_->h = (uint32_t)answer_;
    return 0;
}

static inline int32_t Whole_Imp_close(struct Whole_Imp ep_)
{
    return nk_close(ep_.h);
}

/* Index of the contract state (enum Whole_state), or -(sf_status). */
static inline int32_t Whole_Imp_state(struct Whole_Imp ep_)
{
    return nk_state(ep_.h);
}

static inline int32_t Whole_Imp_send_Chain(struct Whole_Imp ep_, struct Whole_Link *first, uint32_t first_bytes)
{
    struct nk_msg msg_ = {.tag = Whole_tag_Chain, .arg_count = 1};
    msg_.args[0] = sip_block_arg(first, first_bytes);
    return nk_send(ep_.h, &msg_);
}

static inline int32_t Whole_Imp_send_Move(struct Whole_Imp ep_, int32_t from_x, int32_t from_y, int32_t to_x, int32_t to_y, uint32_t heat)
{
    struct nk_msg msg_ = {.tag = Whole_tag_Move, .arg_count = 5};
    msg_.args[0] = (uint64_t)(int64_t)from_x;
    msg_.args[1] = (uint64_t)(int64_t)from_y;
    msg_.args[2] = (uint64_t)(int64_t)to_x;
    msg_.args[3] = (uint64_t)(int64_t)to_y;
    msg_.args[4] = heat;
    return nk_send(ep_.h, &msg_);
}

static inline int32_t Whole_Imp_send_Names(struct Whole_Imp ep_, struct Whole_block_char *names, uint32_t names_bytes, struct Whole_block_char *others, uint32_t others_bytes)
{
    struct nk_msg msg_ = {.tag = Whole_tag_Names, .arg_count = 2};
    msg_.args[0] = sip_block_arg(names, names_bytes);
    msg_.args[1] = sip_block_arg(others, others_bytes);
    return nk_send(ep_.h, &msg_);
}

static inline int32_t Whole_Imp_send_Password(struct Whole_Imp ep_, uint16_t *text, uint32_t text_bytes)
{
    struct nk_msg msg_ = {.tag = Whole_tag_Password, .arg_count = 1};
    msg_.args[0] = sip_block_arg(text, text_bytes);
    return nk_send(ep_.h, &msg_);
}

static inline int32_t Whole_Imp_send_Quit(struct Whole_Imp ep_)
{
    struct nk_msg msg_ = {.tag = Whole_tag_Quit, .arg_count = 0};
    return nk_send(ep_.h, &msg_);
}

static inline int32_t Whole_Imp_send_Records(struct Whole_Imp ep_, struct Whole_Record *all, uint32_t all_bytes, struct Whole_Record *one, uint32_t one_bytes, struct Whole_Point *where, uint32_t where_bytes)
{
    struct nk_msg msg_ = {.tag = Whole_tag_Records, .arg_count = 3};
    msg_.args[0] = sip_block_arg(all, all_bytes);
    msg_.args[1] = sip_block_arg(one, one_bytes);
    msg_.args[2] = sip_block_arg(where, where_bytes);
    return nk_send(ep_.h, &msg_);
}

/* A message as the importer receives it: look at tag, then at that member. */
struct Whole_Imp_msg {
    uint32_t tag; /* enum Whole_tag */
    union {
        struct {
            uint32_t heat; /* enum Heat */
            int32_t where_x;
            int32_t where_y;
        } Done;
    };
};

/* Waits for a message. Blocks and endpoints in it are yours. 0, or -(sf_status). */
static inline int32_t Whole_Imp_recv(struct Whole_Imp ep_, struct Whole_Imp_msg *msg_, int64_t timeout_ns_)
{
    struct nk_msg raw_;
    int32_t answer_ = nk_recv(ep_.h, &raw_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = raw_.tag;
    switch (raw_.tag) {
    case Whole_tag_Done:
        msg_->Done.heat = (uint32_t)raw_.args[0];
        msg_->Done.where_x = (int32_t)raw_.args[1];
        msg_->Done.where_y = (int32_t)raw_.args[2];
        break;
    default:
        break;
    }
    return 0;
}

/* Frees the blocks and closes the endpoints of a received message. */
static inline void Whole_Imp_drop(struct Whole_Imp_msg *msg_)
{
    switch (msg_->tag) {
    default:
        break;
    }
}

/* --- exporter's side --- */

/* The next channel opened to an export of the manifest. 0, or -(sf_status). */
static inline int32_t Whole_Exp_accept(const char *export_, struct Whole_Exp *out_, int64_t timeout_ns_)
{
    int32_t answer_ = sip_accept(export_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    out_->h = (uint32_t)answer_;
    return 0;
}

static inline int32_t Whole_Exp_close(struct Whole_Exp ep_)
{
    return nk_close(ep_.h);
}

/* Index of the contract state (enum Whole_state), or -(sf_status). */
static inline int32_t Whole_Exp_state(struct Whole_Exp ep_)
{
    return nk_state(ep_.h);
}

static inline int32_t Whole_Exp_send_AskPassword(struct Whole_Exp ep_)
{
    struct nk_msg msg_ = {.tag = Whole_tag_AskPassword, .arg_count = 0};
    return nk_send(ep_.h, &msg_);
}

static inline int32_t Whole_Exp_send_Done(struct Whole_Exp ep_, uint32_t heat, int32_t where_x, int32_t where_y)
{
    struct nk_msg msg_ = {.tag = Whole_tag_Done, .arg_count = 3};
    msg_.args[0] = heat;
    msg_.args[1] = (uint64_t)(int64_t)where_x;
    msg_.args[2] = (uint64_t)(int64_t)where_y;
    return nk_send(ep_.h, &msg_);
}

static inline int32_t Whole_Exp_send_Granted(struct Whole_Exp ep_)
{
    struct nk_msg msg_ = {.tag = Whole_tag_Granted, .arg_count = 0};
    return nk_send(ep_.h, &msg_);
}

static inline int32_t Whole_Exp_send_Refused(struct Whole_Exp ep_)
{
    struct nk_msg msg_ = {.tag = Whole_tag_Refused, .arg_count = 0};
    return nk_send(ep_.h, &msg_);
}

static inline int32_t Whole_Exp_send_Welcome(struct Whole_Exp ep_)
{
    struct nk_msg msg_ = {.tag = Whole_tag_Welcome, .arg_count = 0};
    return nk_send(ep_.h, &msg_);
}

/* A message as the exporter receives it: look at tag, then at that member. */
struct Whole_Exp_msg {
    uint32_t tag; /* enum Whole_tag */
    union {
        struct {
            struct Whole_Link *first;
            uint32_t first_bytes;
        } Chain;
        struct {
            int32_t from_x;
            int32_t from_y;
            int32_t to_x;
            int32_t to_y;
            uint32_t heat; /* enum Heat */
        } Move;
        struct {
            struct Whole_block_char *names;
            uint32_t names_bytes;
            struct Whole_block_char *others;
            uint32_t others_bytes;
        } Names;
        struct {
            uint16_t *text;
            uint32_t text_bytes;
        } Password;
        struct {
            struct Whole_Record *all;
            uint32_t all_bytes;
            struct Whole_Record *one;
            uint32_t one_bytes;
            struct Whole_Point *where; /* NULL: absent */
            uint32_t where_bytes;
        } Records;
    };
};

/* Waits for a message. Blocks and endpoints in it are yours. 0, or -(sf_status). */
static inline int32_t Whole_Exp_recv(struct Whole_Exp ep_, struct Whole_Exp_msg *msg_, int64_t timeout_ns_)
{
    struct nk_msg raw_;
    int32_t answer_ = nk_recv(ep_.h, &raw_, timeout_ns_);
    if (answer_ < 0) {
        return answer_;
    }
    msg_->tag = raw_.tag;
    switch (raw_.tag) {
    case Whole_tag_Chain:
        msg_->Chain.first = (struct Whole_Link *)sip_arg_block(raw_.args[0]);
        msg_->Chain.first_bytes = sip_arg_bytes(raw_.args[0]);
        break;
    case Whole_tag_Move:
        msg_->Move.from_x = (int32_t)raw_.args[0];
        msg_->Move.from_y = (int32_t)raw_.args[1];
        msg_->Move.to_x = (int32_t)raw_.args[2];
        msg_->Move.to_y = (int32_t)raw_.args[3];
        msg_->Move.heat = (uint32_t)raw_.args[4];
        break;
    case Whole_tag_Names:
        msg_->Names.names = (struct Whole_block_char *)sip_arg_block(raw_.args[0]);
        msg_->Names.names_bytes = sip_arg_bytes(raw_.args[0]);
        msg_->Names.others = (struct Whole_block_char *)sip_arg_block(raw_.args[1]);
        msg_->Names.others_bytes = sip_arg_bytes(raw_.args[1]);
        break;
    case Whole_tag_Password:
        msg_->Password.text = (uint16_t *)sip_arg_block(raw_.args[0]);
        msg_->Password.text_bytes = sip_arg_bytes(raw_.args[0]);
        break;
    case Whole_tag_Records:
        msg_->Records.all = (struct Whole_Record *)sip_arg_block(raw_.args[0]);
        msg_->Records.all_bytes = sip_arg_bytes(raw_.args[0]);
        msg_->Records.one = (struct Whole_Record *)sip_arg_block(raw_.args[1]);
        msg_->Records.one_bytes = sip_arg_bytes(raw_.args[1]);
        msg_->Records.where = (struct Whole_Point *)sip_arg_block(raw_.args[2]);
        msg_->Records.where_bytes = sip_arg_bytes(raw_.args[2]);
        break;
    default:
        break;
    }
    return 0;
}

/* Frees the blocks and closes the endpoints of a received message. */
static inline void Whole_Exp_drop(struct Whole_Exp_msg *msg_)
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
    case Whole_tag_Password:
        if (msg_->Password.text != NULL) {
            (void)nk_block_free(msg_->Password.text);
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

#endif
