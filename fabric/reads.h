/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reads.h - private to fabric: blocks that are read from the other node's memory instead of being
 * sent in frames.
 *
 * Why: on a link whose device can read the other side's memory (RDMA), a large block need not go
 * through frames, slots and copies.
 *
 * Model. Sender: the block stays in its message at the head of the endpoint's `out`, owned by the
 * message, and a REFER record says where it lies (`referring`). Nothing else of that endpoint is
 * sent until the answer: TAKEN, the block is freed and the next thing goes out; or UNREAD, its
 * bytes follow in DATA records. So ownership passes when the receiver says that it has the bytes,
 * and a session that ends in between finds the block in its message, as any other.
 *
 * Receiver: the block for the bytes is there already (MSG). The caller is asked to read into it
 * (fab_events.read) and says when that is over (fab_read_done), in any order; until then the
 * device may write into the block. If its message is dropped before, the block becomes the
 * session's and is freed when the read is over.
 *
 * A session that ends: before any block is freed, the caller is asked to see to it that the peer
 * can read no more (fab_events.revoke). Else a read of the peer could find bytes of a later block,
 * and the peer's session might still be there to take them.
 *
 * Limits: FAB__READS_MAX reads under way at a node; one more is answered by UNREAD. Only in the
 * clear: what is read is neither encrypted nor authenticated.
 */
#ifndef FABRIC_READS_H
#define FABRIC_READS_H

#include "node.h"

#define FAB__READS_MAX 1024u
#define FAB__READS_FIRST 16u

/* A read under way. Its cookie: generation << 32 | place. */
struct fab__read {
    bool used;
    uint32_t generation;
    uint16_t peer_id;
    struct fab_ep *ep;      /* whose message the block is in; NULL: dropped */
    struct xh_block *block; /* of the message, or of the session */
};

/* The endpoint's message waits for that block: has it read, or answers UNREAD. */
void fab__read_begin(struct fab__session *session, struct fab_ep *ep, struct xh_block *block,
                     uint64_t address);
/* The block that ep is reading is taken out of its message: freed once the read is over. */
void fab__read_leave(struct fab_ep *ep);
/* No read may be under way: blocks that are left are freed. */
void fab__reads_fini(struct fab_node *node);
/* NULL: every read and the endpoint it is for agree. Else what does not. */
const char *fab__reads_check(const struct fab_node *node);

#endif
