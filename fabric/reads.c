/* SPDX-License-Identifier: Apache-2.0 */
#include "reads.h"

#include <assert.h>
#include <stdlib.h>

#include "endpoint.h"
#include "queue.h"
#include "session.h"

/* NULL: as many as may be, or no memory. */
static struct fab__read *read_take(struct fab_node *node)
{
    uint32_t count = node->read_capacity;
    uint32_t capacity = count == 0 ? FAB__READS_FIRST : count * 2;
    struct fab__read *reads;

    for (uint32_t i = 0; i < count; i++) {
        if (!node->reads[i].used) {
            return &node->reads[i];
        }
    }
    if (capacity > FAB__READS_MAX) {
        return NULL;
    }
    reads = realloc(node->reads, capacity * sizeof(*reads));
    if (reads == NULL) {
        return NULL;
    }
    for (uint32_t i = count; i < capacity; i++) {
        reads[i] = (struct fab__read){.used = false};
    }
    node->reads = reads;
    node->read_capacity = capacity;
    return &reads[count];
}

void fab__read_begin(struct fab__session *session, struct fab_ep *ep, struct xh_block *block,
                     uint64_t address)
{
    struct fab_node *node = session->node;
    struct fab__read *read = node->events.read == NULL ? NULL : read_take(node);
    uint64_t cookie;

    assert(ep->reading == 0);
    if (read == NULL) {
        fab__reply(session, FAB__RECORD_UNREAD, ep->peer_id, SF_CAUSE_OF(NONE));
        return;
    }
    *read = (struct fab__read){.used = true,
                               .generation = read->generation + 1,
                               .peer_id = session->peer_id,
                               .ep = ep,
                               .block = block};
    cookie = (uint64_t)read->generation << 32 | (uint64_t)(read - node->reads);
    if (!node->events.read(node->events_arg, session->peer_id, address, block->data, block->bytes,
                           cookie)) {
        read->used = false;
        fab__reply(session, FAB__RECORD_UNREAD, ep->peer_id, SF_CAUSE_OF(NONE));
        return;
    }
    ep->reading = (uint32_t)(read - node->reads) + 1;
}

void fab__read_leave(struct fab_ep *ep)
{
    struct fab__read *read = &ep->node->reads[ep->reading - 1];
    union fab_arg *arg = &fab__queue_at(&ep->in, ep->in.count)->args[ep->fill_arg];
    sf_status st;

    assert(read->used && read->ep == ep && read->block == arg->block);
    st = xh_give(read->block, fab__ep_owner(ep), XH_OWNER(XH_OWNER_SESSION, read->peer_id));
    assert(st == SF_OK);
    (void)st;
    read->ep = NULL;
    arg->block = NULL;
    ep->reading = 0;
}

void fab_read_done(struct fab_node *node, uint64_t cookie, bool ok, uint64_t now_ns)
{
    uint32_t place = (uint32_t)cookie;
    struct fab__read read;
    struct fab__session *session;

    assert(place < node->read_capacity);
    read = node->reads[place];
    assert(read.used && read.generation == (uint32_t)(cookie >> 32));
    node->now_ns = now_ns;
    node->reads[place].used = false;
    if (read.ep == NULL) {
        sf_status st = xh_free(node->heap, read.block, XH_OWNER(XH_OWNER_SESSION, read.peer_id));
        assert(st == SF_OK);
        (void)st;
        return;
    }
    session = node->sessions[read.peer_id];
    assert(session != NULL && read.ep->peer_node == read.peer_id);
    read.ep->reading = 0;
    fab__reply(session, ok ? FAB__RECORD_TAKEN : FAB__RECORD_UNREAD, read.ep->peer_id,
               SF_CAUSE_OF(NONE));
    if (ok) {
        session->info.blocks_read++;
        fab__inbox_filled(session, read.ep);
    }
}

void fab__reads_fini(struct fab_node *node)
{
    for (uint32_t i = 0; i < node->read_capacity; i++) {
        const struct fab__read *read = &node->reads[i];

        if (read->used && read->ep == NULL) {
            (void)xh_free(node->heap, read->block, XH_OWNER(XH_OWNER_SESSION, read->peer_id));
        }
    }
    free(node->reads);
}

const char *fab__reads_check(const struct fab_node *node)
{
    uint32_t of_eps = 0, reading = 0;

    for (uint32_t i = 0; i < node->read_capacity; i++) {
        const struct fab__read *read = &node->reads[i];

        if (!read->used) {
            continue;
        }
        if (read->ep != NULL && (read->ep->reading != i + 1 || !read->ep->assembling)) {
            return "a block that is read is in no message";
        }
        if (read->ep == NULL && read->block->owner != XH_OWNER(XH_OWNER_SESSION, read->peer_id)) {
            return "a block that is still read is not the session's";
        }
        of_eps += read->ep != NULL;
    }
    for (uint32_t i = 0; i < node->ep_used; i++) {
        reading += node->eps[i].life != FAB__FREE && node->eps[i].reading != 0;
    }
    return of_eps == reading ? NULL : "a message waits for a read that is not under way";
}
