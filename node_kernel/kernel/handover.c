/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the bytes of blocks change hands between a SIP's window and the heap.
 *
 * Model: a block's home is its room in the exchange heap; services and the fabric look for its
 * bytes there and nowhere else. While a SIP holds the block its bytes are in that SIP's window.
 * Short blocks are copied each time. From MOVE_BYTES_MIN on, whole pages are moved by mremap: the
 * content stays where it is in the machine, what changes is the address at which it is seen. Where
 * pages were moved away from, a window has nothing mapped (a late touch ends the SIP), the heap has
 * empty pages (mapped, so that the heap never has a hole).
 *
 * Shortcut: if the receiver is a SIP that waits for exactly this message, the pages go from window
 * to window, once instead of twice. The receiver does not run before it has received the message
 * (nk__wait_finish), so at no time can two SIPs touch them. Both SIPs must belong to the same
 * worker for that.
 *
 * What travels is block->bytes: the rest of the last page is zeroed first, further pages stay
 * behind, just as if it had been copied.
 *
 * When there is no mapping to be had, the bytes are copied. Mappings do not pile up: a block in a
 * window is one mapping wherever it goes, and a freed block's room gets fresh pages (xh_replaced),
 * which make the heap one mapping again.
 *
 * A heap that is registered with a device, which keeps to the physical pages, must not be moved
 * like that: nk_options.copy_blocks.
 */
#include "internal.h"

#include <assert.h>
#include <sys/mman.h>

/* Measured round trips on the bench machine: copying costs two copies, a mapping made and undone
 * and a page fault a page; moving costs two changes of mappings. */
#define MOVE_BYTES_MIN (8u << 10)

static size_t whole_pages(uint32_t bytes)
{
    return ((size_t)bytes + NK_PAGE_BYTES - 1) & ~(size_t)(NK_PAGE_BYTES - 1);
}

static int can_move(const struct nk_sip *sip, const struct xh_block *block)
{
    return block->bytes >= MOVE_BYTES_MIN && !sip->kernel->copy_blocks &&
           xh_room(sip->kernel->heap, block) >= whole_pages(block->bytes);
}

/* From a place with pages to one of a window without, or to a home. */
static int pages_move(uint8_t *from, uint8_t *to, size_t bytes, int flags)
{
    return mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | flags, to) == to;
}

static void tail_wipe(uint8_t *data, uint32_t bytes)
{
    memset(data + bytes, 0, whole_pages(bytes) - bytes);
}

static struct nk_span *run_at(struct nk_sip *sip, uint32_t address)
{
    return &sip->window.spans[(address - sip->window.offset) >> NK_SPAN_SHIFT];
}

/* The SIP that waits for what is about to be sent over port, and has room for block; or NULL. */
static struct nk_sip *waiting_receiver(const struct nk_sip *sip, const struct nk_port *port,
                                       const struct xh_block *block)
{
    const struct fab_ep *peer = port == NULL ? NULL : fab_ep_peer(port->ep);
    const struct nk_port *holder = peer == NULL ? NULL : fab_ep_holder(peer);
    struct nk_sip *receiver = holder == NULL ? NULL : holder->sip;

    if (receiver == NULL || receiver == sip || receiver->state != NK_SIP_WAITING ||
        receiver->wait != NK_WAIT_RECV || receiver->wait_port != holder || holder->stash != NULL ||
        fab_ep_readable(peer) || receiver->window.arriving != NULL ||
        receiver->block_bytes + block->capacity > receiver->block_bytes_max) {
        return NULL;
    }
    return receiver;
}

static int move_ahead(struct nk_sip *sip, struct nk_sip *receiver, struct xh_block *block,
                      uint32_t address)
{
    uint32_t to = nk__window_place(receiver, block, block->bytes);

    if (to == 0) {
        return 0;
    }
    if (!pages_move(sip->memory + address, receiver->memory + to, whole_pages(block->bytes), 0)) {
        nk__window_remove(receiver, to);
        return 0;
    }
    receiver->window.arriving = block;
    receiver->window.arriving_address = to;
    sip->window.ahead = receiver;
    return 1;
}

static int move_home(const struct nk_sip *sip, struct xh_block *block, uint32_t address)
{
    if (!pages_move(sip->memory + address, block->data, whole_pages(block->bytes), 0)) {
        return 0;
    }
    xh_replaced(sip->kernel->heap, block);
    return 1;
}

void nk__handover_leave(struct nk_sip *sip, const struct nk_port *port, struct xh_block *block,
                        uint32_t address)
{
    struct nk_sip *receiver;

    if (!can_move(sip, block)) {
        memcpy(block->data, sip->memory + address, block->bytes);
        return;
    }
    tail_wipe(sip->memory + address, block->bytes);
    receiver = waiting_receiver(sip, port, block);
    if ((receiver != NULL && move_ahead(sip, receiver, block, address)) ||
        move_home(sip, block, address)) {
        run_at(sip, address)->moved =
            whole_pages(block->bytes) == block->capacity ? NK_MOVED_ALL : NK_MOVED;
        return;
    }
    memcpy(block->data, sip->memory + address, block->bytes);
}

void nk__handover_back(struct nk_sip *sip, struct xh_block *block, uint32_t address)
{
    struct nk_span *span = run_at(sip, address);
    struct nk_sip *receiver = sip->window.ahead;
    uint8_t *from = block->data;
    int ahead = receiver != NULL && receiver->window.arriving == block;

    if (span->kind != NK_SPAN_RUN || span->moved == 0) {
        return; /* it was copied */
    }
    if (ahead) {
        from = receiver->memory + receiver->window.arriving_address;
    }
    if (!pages_move(from, sip->memory + address, whole_pages(block->bytes),
                    ahead ? 0 : MREMAP_DONTUNMAP) &&
        nk__window_fill(sip, address, block->bytes)) {
        memcpy(sip->memory + address, from, block->bytes);
    }
    if (ahead) {
        nk__window_remove(receiver, receiver->window.arriving_address);
        receiver->window.arriving = NULL;
        sip->window.ahead = NULL;
    }
    span->moved = 0;
}

uint32_t nk__handover_enter(struct nk_sip *sip, struct xh_block *block)
{
    uint32_t address;

    if (sip->window.arriving == block) {
        sip->window.arriving = NULL;
        return sip->window.arriving_address;
    }
    if (can_move(sip, block)) {
        address = nk__window_place(sip, block, block->bytes);
        if (address == 0) {
            return 0;
        }
        tail_wipe(block->data, block->bytes);
        if (pages_move(block->data, sip->memory + address, whole_pages(block->bytes),
                       MREMAP_DONTUNMAP)) {
            return address;
        }
        nk__window_remove(sip, address);
    }
    address = nk__window_add(sip, block, block->bytes);
    if (address != 0) {
        memcpy(sip->memory + address, block->data, block->bytes);
    }
    return address;
}

void nk__handover_settle(struct nk_sip *sip)
{
    /* window.c knows what lies where. */
    struct xh_block *block;

    if (sip->window.arriving == NULL) {
        return;
    }
    block = run_at(sip, sip->window.arriving_address)->u.block;
    assert(block == sip->window.arriving);
    sip->window.arriving = NULL;
    nk__handover_leave(sip, NULL, block, sip->window.arriving_address);
    nk__window_remove(sip, sip->window.arriving_address);
}
