/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of what is to go to other nodes, over one channel each. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "mover_private.h"

static struct mover_way *way_of(struct mover *mover, uint16_t node)
{
    struct mover_way *way = mover->ways[node];

    if (way == NULL) {
        way = calloc(1, sizeof(*way));
        if (way != NULL) {
            way->last = &way->first;
        }
        mover->ways[node] = way;
    }
    return way;
}

static void block_free(struct mover *mover, struct xh_block *block)
{
    sf_status st = block != NULL ? xh_free(mover->heap, block, mover->owner) : SF_OK;

    assert(st == SF_OK);
    (void)st;
}

static void item_free(struct mover *mover, struct mover_item *item)
{
    block_free(mover, item->block);
    block_free(mover, item->second);
    free(item);
}

bool mover__put(struct mover *mover, uint16_t node, const struct mover_item *item)
{
    struct mover_way *way = way_of(mover, node);
    struct mover_item *put = calloc(1, sizeof(*put));

    if (way == NULL || put == NULL) {
        block_free(mover, item->block);
        block_free(mover, item->second);
        free(put);
        return false;
    }
    *put = *item;
    put->next = NULL;
    *way->last = put;
    way->last = &put->next;
    mover->events.awake(mover->events_arg);
    return true;
}

bool mover__say(struct mover *mover, uint16_t node, const uint8_t *bytes, uint32_t length)
{
    struct xh_block *block;

    if (xh_alloc(mover->heap, length, mover->owner, &block) != SF_OK) {
        return false;
    }
    memcpy(block->data, bytes, length);
    return mover__put(mover, node,
                      &(struct mover_item){.tag = MoverContract_tag_Say, .block = block});
}

bool mover__is_sent(const struct mover *mover, uint16_t node)
{
    const struct mover_way *way = mover->ways[node];

    return way == NULL || (way->first == NULL && !way->waits);
}

bool mover__has_room(const struct mover *mover, uint16_t node)
{
    const struct mover_way *way = mover->ways[node];

    return way == NULL || way->first == NULL;
}

bool mover__has_left(const struct mover *mover, uint16_t node)
{
    const struct mover_way *way = mover->ways[node];
    struct fab_ep_info info = {0};

    if (way != NULL && way->ep != NULL) {
        nk_lock(mover->kernel);
        fab_ep_query(way->ep, &info);
        nk_unlock(mover->kernel);
    }
    return info.unsent == 0;
}

void mover__ways_forget(struct mover *mover, uint64_t move)
{
    for (uint32_t node = 1; node < FAB_NODES_MAX; node++) {
        struct mover_way *way = mover->ways[node];
        struct mover_item **link = way != NULL ? &way->first : NULL;

        while (link != NULL && *link != NULL) {
            struct mover_item *item = *link;

            if (item->move != move) { /* that of a message is 0 */
                link = &item->next;
                continue;
            }
            *link = item->next;
            item_free(mover, item);
        }
        if (way != NULL) {
            way->last = link;
        }
    }
}

void mover__way_close(struct mover *mover, uint16_t node)
{
    struct mover_way *way = mover->ways[node];

    if (way == NULL) {
        return;
    }
    if (way->ep != NULL) {
        nk_service_close(mover->service, way->ep, SF_CAUSE_OF(SHUTDOWN));
    }
    while (way->first != NULL) {
        struct mover_item *item = way->first;

        way->first = item->next;
        item_free(mover, item);
    }
    free(way);
    mover->ways[node] = NULL;
}

/* --- turns --------------------------------------------------------------------------------------
 */

static sf_status way_open(struct mover *mover, struct mover_way *way, uint16_t node)
{
    const struct ct_contract *contract;
    sf_status st;

    nk_lock(mover->kernel);
    contract = fab_contract_find(mover->fabric, MoverContract_ID);
    st = contract == NULL ? SF_NOTFOUND
                          : fab_open(mover->fabric, node, MOVER_NAME ".mover", contract, &way->ep);
    nk_unlock(mover->kernel);
    if (st != SF_OK) {
        way->ep = NULL;
        return st;
    }
    st = nk_service_hold(mover->service, way->ep, NULL);
    if (st != SF_OK) {
        nk_lock(mover->kernel);
        fab_ep_close(way->ep, SF_CAUSE_OF(QUOTA));
        nk_unlock(mover->kernel);
        way->ep = NULL;
    }
    return st;
}

/* Sends the first one. */
static sf_status item_send(struct mover *mover, struct mover_way *way)
{
    struct mover_item *item = way->first;
    struct fab_msg msg = {.tag = item->tag};
    sf_status st;

    if (item->tag != MoverContract_tag_Say) {
        msg.args[msg.arg_count++].scalar = item->move;
    }
    if (item->tag == MoverContract_tag_Endpoints) {
        msg.args[msg.arg_count++].scalar = item->total;
    }
    msg.args[msg.arg_count++].block = item->block;
    if (item->tag == MoverContract_tag_Rest || item->tag == MoverContract_tag_Memory) {
        msg.args[msg.arg_count++].block = item->second;
    }
    st = nk_service_send(mover->service, way->ep, &msg);
    if (st != SF_OK) {
        return st;
    }
    way->first = item->next;
    if (way->first == NULL) {
        way->last = &way->first;
    }
    free(item);
    way->waits = true;
    return SF_OK;
}

/* OK: something was done; AGAIN: nothing is to be done; else the way is closed. */
static sf_status way_turn(struct mover *mover, struct mover_way *way, uint16_t node)
{
    bool any = false;
    sf_status st = SF_OK;

    if (way->ep == NULL && way->first != NULL) {
        st = way_open(mover, way, node);
    }
    if (st != SF_OK || way->ep == NULL) {
        return st != SF_OK ? SF_CLOSED : SF_AGAIN;
    }
    for (;;) {
        struct fab_msg msg;

        st = nk_service_recv(mover->service, way->ep, &msg);
        if (st == SF_OK) { /* the contract lets nothing come but Taken */
            way->waits = false;
            any = true;
        } else if (st != SF_AGAIN) {
            return SF_CLOSED;
        }
        if (way->waits || way->first == NULL) {
            return any ? SF_OK : SF_AGAIN;
        }
        if (item_send(mover, way) != SF_OK) {
            return SF_CLOSED;
        }
        any = true;
    }
}

bool mover__ways_turn(struct mover *mover)
{
    bool any = false;

    for (uint16_t node = 1; node < FAB_NODES_MAX; node++) {
        sf_status st =
            mover->ways[node] != NULL ? way_turn(mover, mover->ways[node], node) : SF_AGAIN;

        any |= st != SF_AGAIN;
        if (st == SF_CLOSED) {
            mover__way_close(mover, node);
            mover_session_lost(mover, node); /* as good as */
        }
    }
    return any;
}
