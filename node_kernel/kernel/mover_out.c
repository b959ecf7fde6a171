/* SPDX-License-Identifier: Apache-2.0 */
/* SIPs that leave: pre-copy, freezing, holding, what is sent, and how it ends. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "mover_private.h"

static struct mover_out *out_of(const struct mover *mover, uint64_t move)
{
    struct mover_out *out = mover->outs;

    while (out != NULL && out->move != move) {
        out = out->next;
    }
    return out;
}

struct mover_out *mover__out_of_sip(const struct mover *mover, uint64_t sip)
{
    struct mover_out *out = mover->outs;

    while (out != NULL && out->sip != sip) {
        out = out->next;
    }
    return out;
}

void mover__report(struct mover *mover, struct mover_out *out, enum mover_step step,
                   const char *text, uint64_t now_ns)
{
    out->figures.ticket = out->ticket;
    out->figures.sip = out->sip;
    out->figures.move = out->move;
    out->figures.target = out->target;
    out->figures.step = step;
    out->figures.text = text;
    out->figures.total_ns = now_ns - out->begun_ns;
    mover->events.report(mover->events_arg, &out->figures);
}

static void out_free(struct mover *mover, struct mover_out *gone)
{
    struct mover_out **link = &mover->outs;

    while (*link != gone) {
        link = &(*link)->next;
    }
    *link = gone->next;
    nk_precopy_destroy(gone->precopy);
    if (gone->piece != NULL) {
        sf_status st = xh_free(mover->heap, gone->piece, mover->owner);

        assert(st == SF_OK);
        (void)st;
    }
    free(gone);
}

static void fail(struct mover *mover, struct mover_out *out, sf_status st, const char *what,
                 const char *text, uint64_t now_ns)
{
    snprintf(out->why, sizeof(out->why), "%s: %s", what,
             text != NULL && text[0] != '\0' ? text : sf_status_text(st));
    fab_mover_fail(mover->protocol, out->move, FAB_MOVE_FAILED, (uint32_t)st, now_ns);
}

/* --- pieces -------------------------------------------------------------------------------------
 */

struct sink {
    struct mover *mover;
    struct mover_out *out;
    bool lends;
    uint64_t lent_bytes;
};

/* The piece is the caller's, in its length; NULL: there is none. */
static struct xh_block *piece_take(struct mover *mover, struct mover_out *out)
{
    struct xh_block *block = out->piece;
    sf_status st;

    if (block != NULL) {
        out->piece = NULL;
        st = xh_trim(mover->heap, block, out->piece_bytes);
        assert(st == SF_OK);
        (void)st;
    }
    return block;
}

static sf_status piece_send(struct mover *mover, struct mover_out *out)
{
    const struct mover_item item = {
        .tag = MoverContract_tag_Memory, .move = out->move, .block = piece_take(mover, out)};

    return item.block == NULL || mover__put(mover, out->target, &item) ? SF_OK : SF_NOMEM;
}

/* These pages go from where they are: what is written meanwhile comes again in the next round. */
static sf_status pages_lend(struct sink *sink, const uint8_t *pages, uint32_t length)
{
    struct mover_item item = {.tag = MoverContract_tag_Memory, .move = sink->out->move};
    sf_status st = xh_alloc(sink->mover->heap, length, sink->mover->owner, &item.second);

    if (st != SF_OK) {
        return st;
    }
    xh_lend(sink->mover->heap, item.second, pages);
    sink->lent_bytes += length;
    item.block = piece_take(sink->mover, sink->out);
    return mover__put(sink->mover, sink->out->target, &item) ? SF_OK : SF_NOMEM;
}

/* The SIP's memory stays as it is, but no session may read there any more. */
static void lending_end(struct mover *mover, const struct mover_out *out)
{
    const uint8_t *first, *end;

    if (out->precopy != NULL) {
        nk_precopy_range(out->precopy, &first, &end);
        nk_lock(mover->kernel);
        (void)xh_lend_end(mover->heap, first, end);
        nk_unlock(mover->kernel);
    }
}

static sf_status on_bytes(void *arg, const void *bytes, size_t length)
{
    struct sink *sink = arg;
    struct mover_out *out = sink->out;
    const uint8_t *at = bytes;
    sf_status st = SF_OK;

    if (sink->lends && length >= MOVER_LEND_BYTES_MIN && out->piece != NULL) {
        return pages_lend(sink, at, (uint32_t)length);
    }
    while (length > 0 && st == SF_OK) {
        uint32_t room;

        if (out->piece == NULL) {
            st = xh_alloc(sink->mover->heap, MOVER_PIECE_BYTES, sink->mover->owner, &out->piece);
            out->piece_bytes = 0;
            if (st != SF_OK) {
                return st;
            }
        }
        room = MOVER_PIECE_BYTES - out->piece_bytes;
        room = length < room ? (uint32_t)length : room;
        memcpy(out->piece->data + out->piece_bytes, at, room);
        out->piece_bytes += room;
        at += room;
        length -= room;
        if (out->piece_bytes == MOVER_PIECE_BYTES) {
            st = piece_send(sink->mover, out);
        }
    }
    return st;
}

/* --- pre-copy -----------------------------------------------------------------------------------
 */

/* Where the target reads large blocks by itself, it reads registered memory: the exchange heap. */
static bool target_reads(struct mover *mover, const struct mover_out *out)
{
    struct fab_peer_info info;
    sf_status st;

    nk_lock(mover->kernel);
    st = fab_peer_query(mover->fabric, out->target, &info);
    nk_unlock(mover->kernel);
    return st != SF_OK || info.read_bytes_min != 0;
}

static void copy_begin(struct mover *mover, struct mover_out *out, uint64_t now_ns)
{
    sf_status st = nk_precopy_create(mover->kernel, out->sip, &out->precopy);

    mover__report(mover, out, MOVER_PRECOPY, "", now_ns);
    if (st == SF_OK) {
        out->copying = true;
        out->lends = !target_reads(mover, out);
        out->step_pages = 0; /* its beginning alone: pages that come after it find their place */
    } else if (st == SF_UNSUPPORTED) { /* all of it while it stands still */
        fab_mover_copied(mover->protocol, out->move, now_ns);
    } else if (st == SF_AGAIN) { /* another one's is, and only one can be */
        fab_mover_fail(mover->protocol, out->move, FAB_MOVE_CLASH, 0, now_ns);
    } else {
        fail(mover, out, st, "its memory cannot be watched", NULL, now_ns);
    }
}

/* Is what was written during the last round so little, or no less than before? */
static bool is_enough(const struct mover_out *out)
{
    return out->pages <= MOVER_ROUND_PAGES_ENOUGH || out->figures.rounds == MOVER_ROUNDS_MAX ||
           (out->figures.rounds > 2 && out->pages > out->pages_last / 4 * 3);
}

/* One step: the SIPs here run between one and the next. */
static void copy_some(struct mover *mover, struct mover_out *out, uint64_t now_ns)
{
    struct sink sink = {mover, out, out->lends, 0};
    struct nk_capture_stats stats = {0};
    bool over = false;
    sf_status st = nk_precopy_step(out->precopy, out->step_pages, on_bytes, &sink, &stats, &over);

    if (st == SF_OK && (over || out->step_pages == 0)) {
        st = piece_send(mover, out);
    }
    if (st != SF_OK) {
        out->copying = false;
        fail(mover, out, st, "copying it while it runs", NULL, now_ns);
        return;
    }
    out->figures.precopied_bytes += stats.bytes;
    out->pages += stats.page_count;
    out->step_pages =
        (sink.lent_bytes > stats.bytes / 2 ? MOVER_LEND_STEP_BYTES : MOVER_STEP_BYTES) /
        NK_PAGE_BYTES;
    if (over) {
        out->figures.rounds++;
        out->copied = is_enough(out);
        out->copying = !out->copied;
        out->pages_last = out->pages;
        out->pages = 0;
    }
}

/* --- freezing -----------------------------------------------------------------------------------
 */

static sf_status cargo_fill(struct mover *mover, struct mover_out *out)
{
    struct fab_ep **eps;
    uint32_t count = 0;
    sf_status st = nk_sip_endpoints(mover->kernel, out->sip, NULL, 0, &count);

    if (st != SF_OK && st != SF_LIMIT) {
        return st;
    }
    eps = calloc(count + 1u, sizeof(struct fab_ep *));
    if (eps == NULL) {
        return SF_NOMEM;
    }
    st = nk_sip_endpoints(mover->kernel, out->sip, eps, count, &count);
    nk_lock(mover->kernel);
    if (st == SF_OK) {
        st = fab_cargo_begin(mover->fabric, out->move, out->target, &out->cargo);
    }
    for (uint32_t i = 0; i < count && st == SF_OK; i++) {
        st = fab_cargo_add(out->cargo, eps[i]);
    }
    nk_unlock(mover->kernel);
    free(eps);
    out->figures.endpoints = count;
    return st;
}

static void freeze(struct mover *mover, struct mover_out *out, uint64_t now_ns)
{
    char text[MOVER_TEXT_BYTES] = "";
    sf_status st = nk_sip_freeze(mover->kernel, out->sip, text, sizeof(text));

    if (st != SF_OK) {
        fail(mover, out, st, "it cannot be stopped", text, now_ns);
        return;
    }
    out->frozen = true;
    out->frozen_ns = now_ns;
    out->step = MOVER_FREEZE;
    out->tell_ns = now_ns + MOVER_TELL_NS;
    st = cargo_fill(mover, out);
    if (st == SF_AGAIN) {
        fab_mover_fail(mover->protocol, out->move, FAB_MOVE_CLASH, 0, now_ns);
    } else if (st != SF_OK) {
        fail(mover, out, st, "its channels", NULL, now_ns);
    } else {
        out->holding = true;
    }
}

/* All peers are held. Locked. */
static void held(struct mover *mover, struct mover_out *out, uint64_t now_ns)
{
    uint16_t nodes[FAB_NODES_MAX];
    struct fab_move_witness witnesses[FAB_NODES_MAX];
    uint32_t count = fab_cargo_witnesses(out->cargo, nodes);

    for (uint32_t i = 0; i < count; i++) {
        struct fab_peer_info info;

        witnesses[i] = (struct fab_move_witness){.node = nodes[i]};
        if (nodes[i] != mover->node_id && fab_peer_query(mover->fabric, nodes[i], &info) == SF_OK) {
            witnesses[i].epoch = info.epoch;
        }
    }
    fab_mover_held(mover->protocol, out->move, witnesses, count, now_ns);
}

static bool hold(struct mover *mover, struct mover_out *out, uint64_t now_ns)
{
    enum fab_cargo_state state;

    nk_lock(mover->kernel);
    state = fab_cargo_check(out->cargo);
    if (state == FAB_CARGO_HELD) {
        held(mover, out, now_ns);
    }
    nk_unlock(mover->kernel);
    switch (state) {
    case FAB_CARGO_HOLDING:
        return false;
    case FAB_CARGO_HELD:
        break;
    case FAB_CARGO_CLASH:
        fab_mover_fail(mover->protocol, out->move, FAB_MOVE_CLASH, 0, now_ns);
        break;
    case FAB_CARGO_NO_WAY:
        fab_mover_fail(mover->protocol, out->move, FAB_MOVE_NO_WAY, 0, now_ns);
        break;
    case FAB_CARGO_LIMIT:
        fail(mover, out, SF_LIMIT, "holding its channels", NULL, now_ns);
        break;
    }
    out->holding = false;
    return true;
}

/* --- sending ------------------------------------------------------------------------------------
 */

/* One message of so many bytes from there; with the rest of its memory, if it is all. */
static sf_status endpoints_put(struct mover *mover, struct mover_out *out, const uint8_t *bytes,
                               uint32_t length, uint64_t total)
{
    struct mover_item item = {
        .tag = MoverContract_tag_Endpoints, .move = out->move, .total = total};
    struct xh_block *block;
    sf_status st = xh_alloc(mover->heap, length, mover->owner, &block);

    if (st != SF_OK) {
        return st;
    }
    memcpy(block->data, bytes, length);
    item.block = block;
    if (length == total && out->piece != NULL) {
        item.tag = MoverContract_tag_Rest;
        item.block = piece_take(mover, out);
        item.second = block;
    }
    return mover__put(mover, out->target, &item) ? SF_OK : SF_NOMEM;
}

static sf_status endpoints_send(struct mover *mover, struct mover_out *out)
{
    uint64_t total = fab_cargo_bytes(out->cargo);
    uint8_t *bytes = malloc(total + 1);
    sf_status st = bytes == NULL ? SF_NOMEM : SF_OK;

    if (st == SF_OK) {
        nk_lock(mover->kernel);
        fab_cargo_write(out->cargo, bytes);
        nk_unlock(mover->kernel);
    }
    if (st == SF_OK && total > MOVER_PIECE_BYTES) {
        st = piece_send(mover, out);
    }
    for (uint64_t done = 0; done < total && st == SF_OK;) {
        uint64_t left = total - done;
        uint32_t length = left < MOVER_PIECE_BYTES ? (uint32_t)left : MOVER_PIECE_BYTES;

        st = endpoints_put(mover, out, bytes + done, length, total);
        done += length;
    }
    out->figures.frozen_bytes += total;
    free(bytes);
    return st;
}

static void transfer(struct mover *mover, struct mover_out *out, uint64_t now_ns)
{
    struct sink sink = {mover, out, false, 0};
    struct nk_capture_stats stats = {0};
    sf_status st;

    out->step = MOVER_TRANSFER;
    out->tell_ns = now_ns + MOVER_TELL_NS;
    st = nk_sip_capture(mover->kernel, out->sip, NULL, out->precopy, on_bytes, &sink, &stats);
    out->figures.frozen_bytes += stats.bytes;
    if (st == SF_OK) {
        st = endpoints_send(mover, out);
    }
    if (st != SF_OK) {
        fail(mover, out, st, "copying it", NULL, now_ns);
    }
}

/* --- what is left behind ------------------------------------------------------------------------
 */

/* Its slot stays taken until then; without memory for it, it is freed at once. */
static void remains_put(struct mover *mover, struct mover_out *out, uint64_t now_ns)
{
    struct mover_remains *put = out->precopy != NULL ? malloc(sizeof(*put)) : NULL;

    if (put != NULL) {
        *put =
            (struct mover_remains){mover->remains, out->sip, now_ns + MOVER_REST_NS, out->precopy};
        mover->remains = put;
        (void)nk_precopy_discard(put->precopy, 0);
        out->precopy = NULL;
    }
}

static void remains_free(struct mover_remains **link)
{
    struct mover_remains *gone = *link;

    *link = gone->next;
    nk_precopy_destroy(gone->precopy);
    free(gone);
}

bool mover__remains_turn(struct mover *mover, uint64_t now_ns)
{
    struct mover_remains **link = &mover->remains;

    while (*link != NULL && now_ns < (*link)->from_ns) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        return false;
    }
    if (!nk_precopy_discard((*link)->precopy, MOVER_STEP_BYTES)) {
        remains_free(link);
        mover->cool_ns = now_ns + MOVER_KEEP_NS;
    }
    return true;
}

uint64_t mover__remains_next_ns(const struct mover *mover)
{
    uint64_t next_ns = UINT64_MAX;

    for (const struct mover_remains *each = mover->remains; each != NULL; each = each->next) {
        next_ns = each->from_ns < next_ns ? each->from_ns : next_ns;
    }
    return next_ns;
}

void mover__remains_end(struct mover *mover, uint64_t sip)
{
    struct mover_remains **link = &mover->remains;

    while (*link != NULL) {
        if (sip == 0 || (*link)->sip == sip) {
            remains_free(link);
        } else {
            link = &(*link)->next;
        }
    }
}

/* --- ends ---------------------------------------------------------------------------------------
 */

void mover__out_stay(struct mover *mover, struct mover_out *out)
{
    mover__ways_forget(mover, out->move);
    lending_end(mover, out);
    if (out->cargo != NULL) {
        nk_lock(mover->kernel);
        fab_cargo_return(out->cargo);
        nk_unlock(mover->kernel);
        out->cargo = NULL;
    }
    if (out->frozen) {
        sf_status st = nk_sip_thaw(mover->kernel, out->sip);

        assert(st == SF_OK);
        (void)st;
    }
    out_free(mover, out);
}

static void stay(struct mover *mover, struct mover_out *out, const struct fab_move_action *action,
                 uint64_t now_ns)
{
    char text[MOVER_TEXT_BYTES + 120];

    if (action->reason == FAB_MOVE_FAILED && out->why[0] != '\0') {
        snprintf(text, sizeof(text), "%s", out->why);
    } else if (action->reason == FAB_MOVE_REFUSED) {
        snprintf(text, sizeof(text), "the target refuses it (%s); its log says why",
                 sf_status_text((sf_status)action->detail));
    } else {
        snprintf(text, sizeof(text), "%s", fab_move_reason_text(action->reason));
    }
    out->figures.again = action->reason == FAB_MOVE_CLASH;
    mover__report(mover, out, MOVER_ABORTED, text, now_ns);
    mover__out_stay(mover, out);
}

static void leave(struct mover *mover, struct mover_out *out, const struct fab_move_action *action,
                  uint64_t now_ns)
{
    bool good = action->reason == FAB_MOVE_OK;
    sf_status st;

    mover__ways_forget(mover, out->move);
    lending_end(mover, out);
    out->figures.blackout_ns = now_ns - out->frozen_ns;
    st = nk_sip_release(mover->kernel, out->sip);
    assert(st == SF_OK);
    (void)st;
    nk_lock(mover->kernel);
    fab_cargo_release(out->cargo);
    nk_unlock(mover->kernel);
    mover__report(mover, out, good ? MOVER_DONE : MOVER_LOST,
                  good ? "" : fab_move_reason_text(action->reason), now_ns);
    remains_put(mover, out, now_ns);
    out_free(mover, out);
}

/* --- what the protocol wants --------------------------------------------------------------------
 */

void mover__out_do(struct mover *mover, const struct fab_move_action *action, uint64_t now_ns)
{
    struct mover_out *out = out_of(mover, action->move);

    assert(out != NULL);
    switch (action->what) {
    case FAB_MOVE_COPY:
        copy_begin(mover, out, now_ns);
        break;
    case FAB_MOVE_FREEZE:
        freeze(mover, out, now_ns);
        break;
    case FAB_MOVE_TRANSFER:
        transfer(mover, out, now_ns);
        break;
    case FAB_MOVE_STAY:
        stay(mover, out, action, now_ns);
        break;
    case FAB_MOVE_FREE:
        leave(mover, out, action, now_ns);
        break;
    default:
        assert(false);
        break;
    }
}

/* Pieces are filled while what was before them is sent. A step that copies nothing waits until that
 * has left: sending it keeps a processor busy, and whoever takes it in has something to do then. */
static bool may_copy(const struct mover *mover, const struct mover_out *out)
{
    return out->copying && mover__has_room(mover, out->target) &&
           (out->step_pages != MOVER_LEND_STEP_BYTES / NK_PAGE_BYTES ||
            mover__has_left(mover, out->target));
}

bool mover__outs_copy(struct mover *mover, uint64_t now_ns)
{
    bool any = false;

    for (struct mover_out *out = mover->outs; out != NULL; out = out->next) {
        if (may_copy(mover, out)) {
            copy_some(mover, out, now_ns);
            any = true;
        }
    }
    return any;
}

bool mover__outs_turn(struct mover *mover, uint64_t now_ns)
{
    bool any = false;

    for (struct mover_out *out = mover->outs; out != NULL; out = out->next) {
        if (out->copied && mover__is_sent(mover, out->target)) {
            out->copied = false;
            fab_mover_copied(mover->protocol, out->move, now_ns);
            any = true;
        }
        if (out->holding) {
            any |= hold(mover, out, now_ns);
        }
        if (out->frozen && now_ns >= out->tell_ns) {
            out->tell_ns = UINT64_MAX;
            mover__report(mover, out, out->step, "", now_ns);
        }
    }
    return any;
}
