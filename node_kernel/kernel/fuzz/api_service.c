/* SPDX-License-Identifier: Apache-2.0 */
#include "api_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "FuzzContract_monitor.h"

#define HELD_MAX 48u
#define STATE_START 0u
#define STATE_ANSWER 1u

static struct nk_service *service;
static struct fab_ep *held[HELD_MAX];
static uint32_t held_count;
static uint64_t state;

static uint32_t any(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

void api_service_seed(uint64_t seed)
{
    state = seed * 2 + 1;
    held_count = 0;
}

static void give_up(uint32_t index)
{
    struct fab_ep *ep = held[index];

    held[index] = held[--held_count];
    nk_service_close(service, ep, SF_CAUSE_OF(CLOSED_BY_PEER));
}

void api_service_flush(void)
{
    while (held_count > 0) {
        give_up(0);
    }
}

static void keep(struct fab_ep *ep)
{
    if (held_count == HELD_MAX) {
        give_up(any(HELD_MAX));
    }
    if (nk_service_hold(service, ep, NULL) != SF_OK) {
        abort();
    }
    held[held_count++] = ep;
}

static sf_status service_create(struct nk_service *made, void *loop, const struct nk_config *config,
                                uint32_t config_count, void **out_impl, char *text,
                                size_t text_capacity)
{
    (void)loop;
    (void)config;
    (void)config_count;
    (void)text;
    (void)text_capacity;
    service = made;
    *out_impl = &held;
    return SF_OK;
}

static void service_destroy(void *impl)
{
    (void)impl;
    held_count = 0;
}

static void service_opened(void *impl, struct fab_ep *ep)
{
    (void)impl;
    keep(ep);
}

/* A held end that may travel: of that side, and in the state in which the contract says so. */
static struct fab_ep *travels(const struct fab_ep *over, enum ct_side side)
{
    for (uint32_t i = 0; i < held_count; i++) {
        struct fab_ep_info info;

        fab_ep_query(held[i], &info);
        if (held[i] != over && info.side == side &&
            info.state == (side == CT_IMP ? STATE_START : STATE_ANSWER)) {
            return held[i];
        }
    }
    return NULL;
}

static void gone(const struct fab_ep *ep)
{
    for (uint32_t i = 0; i < held_count; i++) {
        if (held[i] == ep) {
            held[i] = held[--held_count];
            return;
        }
    }
}

static struct xh_block *block_make(void)
{
    struct xh_block *block = NULL;
    const uint32_t bytes = 1 + any(any(8) == 0 ? 100000 : 300);

    if (xh_alloc(nk_kernel_heap(nk_service_kernel(service)), bytes, nk_service_owner(service),
                 &block) != SF_OK) {
        return NULL;
    }
    memset(block->data, 0, bytes);
    block->data[0] = 0xee; /* FUZZ_DIRTY: not the pattern of the SIPs */
    return block;
}

static void answer(struct fab_ep *ep)
{
    static const uint8_t tags[] = {FuzzContract_tag_Back, FuzzContract_tag_BackImp,
                                   FuzzContract_tag_BackPair, FuzzContract_tag_Done,
                                   FuzzContract_tag_Farewell};
    struct fab_msg msg = {.tag = tags[any(sizeof(tags))]};
    struct xh_block *block = NULL;
    struct fab_ep *given = NULL;
    sf_status st;

    if (msg.tag == FuzzContract_tag_BackImp) {
        given = travels(ep, CT_IMP);
        msg.arg_count = 1;
        msg.args[0].ep = given;
    } else if (msg.tag == FuzzContract_tag_BackPair) {
        given = travels(ep, CT_EXP);
        block = block_make();
        msg.arg_count = 2;
        msg.args[0].ep = given;
        msg.args[1].block = block;
    } else if (msg.tag != FuzzContract_tag_Done) {
        block = block_make();
        msg.arg_count = 1;
        msg.args[0].block = block;
    }
    st = nk_service_send(service, ep, &msg);
    if (st == SF_OK) {
        gone(given);
    } else if (block != NULL) {
        (void)xh_free(nk_kernel_heap(nk_service_kernel(service)), block, nk_service_owner(service));
    }
}

static void take(const struct fab_ep *ep, struct fab_msg *msg)
{
    const struct ct_contract *contract = fab_ep_contract(ep);
    struct nk_kernel *kernel = nk_service_kernel(service);

    if (any(4) == 0) {
        nk_lock(kernel);
        fab_msg_drop(nk_kernel_fabric(kernel), contract, msg, nk_service_owner(service),
                     SF_CAUSE_OF(CLOSED_BY_PEER));
        nk_unlock(kernel);
        return;
    }
    for (uint32_t i = 0; i < msg->arg_count; i++) {
        const uint8_t kind = contract->messages[msg->tag].args[i].kind;

        if (kind == CT_ARG_BLOCK && msg->args[i].block != NULL) {
            (void)xh_free(nk_kernel_heap(kernel), msg->args[i].block, nk_service_owner(service));
        } else if (kind == CT_ARG_ENDPOINT && msg->args[i].ep != NULL) {
            keep(msg->args[i].ep);
        }
    }
}

static bool holds(const struct fab_ep *ep)
{
    for (uint32_t i = 0; i < held_count; i++) {
        if (held[i] == ep) {
            return true;
        }
    }
    return false;
}

static void service_ready(void *impl, struct fab_ep *ep, void *user)
{
    struct fab_msg msg;
    sf_status st;

    (void)impl;
    (void)user;
    while (holds(ep)) { /* keep() may have closed it */
        st = nk_service_recv(service, ep, &msg);
        if (st == SF_AGAIN) {
            break;
        }
        if (st != SF_OK) {
            gone(ep);
            nk_service_close(service, ep, SF_CAUSE_OF(CLOSED_BY_PEER));
            return;
        }
        take(ep, &msg);
    }
    for (uint32_t i = any(5); i > 0 && holds(ep); i--) {
        answer(ep); /* mostly refused by the contract: it is often not this side's turn */
    }
    if (any(20) == 0 && held_count > 0) {
        give_up(any(held_count));
    }
}

const struct nk_service_ops api_service_ops = {
    .name = "fuzzer",
    .export_name = "z",
    .contract_name = "FuzzContract",
    .create = service_create,
    .destroy = service_destroy,
    .opened = service_opened,
    .ready = service_ready,
};
