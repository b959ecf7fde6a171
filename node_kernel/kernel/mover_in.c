/* SPDX-License-Identifier: Apache-2.0 */
/* SIPs that come: what is reserved, what is taken in, and how it ends. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "mover_private.h"

static struct mover_in *in_of(const struct mover *mover, uint64_t move)
{
    struct mover_in *in = mover->ins;

    while (in != NULL && in->move != move) {
        in = in->next;
    }
    return in;
}

static void in_free(struct mover *mover, struct mover_in *gone)
{
    struct mover_in **link = &mover->ins;

    while (*link != gone) {
        link = &(*link)->next;
    }
    *link = gone->next;
    free(gone->endpoints);
    free(gone);
}

void mover__in_drop(struct mover *mover, struct mover_in *in)
{
    nk_restore_destroy(in->restore);
    if (in->made) {
        sf_status st = nk_sip_release(mover->kernel, in->sip);

        assert(st == SF_OK);
        (void)st;
    }
    if (in->cargo != NULL) {
        nk_lock(mover->kernel);
        fab_cargo_drop(in->cargo);
        nk_unlock(mover->kernel);
    }
    in_free(mover, in);
}

static void say(struct mover *mover, uint64_t sip, uint16_t source, const char *why)
{
    char text[MOVER_TEXT_BYTES + 80];

    snprintf(text, sizeof(text), "SIP %" PRIu64 " of node %u cannot come here: %s", sip, source,
             why);
    mover->events.say(mover->events_arg, text);
}

static void refuse(struct mover *mover, struct mover_in *in, sf_status st, const char *text,
                   uint64_t now_ns)
{
    say(mover, in->sip, in->source, text[0] != '\0' ? text : sf_status_text(st));
    fab_mover_refuse(mover->protocol, in->move, (uint32_t)st, now_ns); /* DROP follows */
}

/* --- preparing ----------------------------------------------------------------------------------
 */

static sf_status look(struct mover *mover, const struct mover_payload *payload)
{
    bool here;

    nk_lock(mover->kernel);
    here = nk__sip_find(mover->kernel, payload->sip) != NULL;
    nk_unlock(mover->kernel);
    if (here) {
        return SF_EXISTS;
    }
    return nk__image_find(mover->kernel, payload->digest) != NULL ? SF_OK : SF_NOTFOUND;
}

static void prepare(struct mover *mover, const struct fab_move_action *action, uint64_t now_ns)
{
    struct mover_in *in = calloc(1, sizeof(*in));
    struct mover_payload payload;
    sf_status st = SF_NOMEM;

    if (action->length != sizeof(payload)) {
        fab_mover_refuse(mover->protocol, action->move, SF_FORMAT, now_ns);
        free(in);
        return;
    }
    memcpy(&payload, action->bytes, sizeof(payload));
    if (in != NULL) {
        *in = (struct mover_in){.next = mover->ins,
                                .sip = payload.sip,
                                .ticket = payload.ticket,
                                .move = action->move,
                                .source = action->node};
        mover__remains_end(mover, payload.sip);
        st = look(mover, &payload);
    }
    if (st == SF_OK) {
        st = nk_restore_create(mover->kernel, NULL, &in->restore);
    }
    if (in == NULL || st != SF_OK) {
        say(mover, payload.sip, action->node,
            st == SF_NOTFOUND ? "its image is not here"
            : st == SF_EXISTS ? "there is one of that number"
                              : sf_status_text(st));
        fab_mover_refuse(mover->protocol, action->move, (uint32_t)st, now_ns);
        free(in);
        return;
    }
    mover->ins = in;
    fab_mover_prepared(mover->protocol, action->move, now_ns);
}

/* --- taking in ----------------------------------------------------------------------------------
 */

/* All has come: makes the SIP, which stands still. */
static sf_status make(struct mover *mover, struct mover_in *in, char *text, size_t text_capacity)
{
    struct nk_restore_info info;
    struct fab_ep **eps;
    sf_status st;

    nk_restore_query(in->restore, &info);
    if (info.sip != in->sip) {
        return SF_FORMAT;
    }
    nk_lock(mover->kernel);
    st = fab_cargo_read(mover->fabric, in->move, in->endpoints, in->endpoints_bytes, &in->cargo);
    nk_unlock(mover->kernel);
    if (st != SF_OK) {
        return st;
    }
    if (fab_cargo_count(in->cargo) < info.ep_count) {
        return SF_FORMAT;
    }
    eps = calloc(info.ep_count + 1u, sizeof(struct fab_ep *));
    if (eps == NULL) {
        return SF_NOMEM;
    }
    for (uint32_t i = 0; i < info.ep_count; i++) {
        eps[i] = fab_cargo_at(in->cargo, i);
    }
    st = nk_restore_finish(in->restore, eps, info.ep_count, text, text_capacity);
    free(eps);
    if (st == SF_OK) {
        in->restore = NULL;
        in->made = true;
    }
    return st;
}

static void look_if_all(struct mover *mover, struct mover_in *in, uint64_t now_ns)
{
    char text[MOVER_TEXT_BYTES] = "";
    sf_status st;

    if (in->made || !nk_restore_complete(in->restore) || !in->endpoints_known ||
        in->endpoints_bytes < in->endpoints_total) {
        return;
    }
    st = make(mover, in, text, sizeof(text));
    if (st == SF_OK) {
        fab_mover_received(mover->protocol, in->move, now_ns);
    } else {
        refuse(mover, in, st, text, now_ns);
    }
}

void mover__in_memory(struct mover *mover, uint64_t move, const uint8_t *bytes, uint32_t length,
                      uint64_t now_ns)
{
    struct mover_in *in = in_of(mover, move);
    char text[MOVER_TEXT_BYTES] = "";
    sf_status st;

    if (in == NULL || in->restore == NULL) {
        return; /* it has been refused */
    }
    st = nk_restore_feed(in->restore, bytes, length, text, sizeof(text));
    if (st != SF_OK) {
        refuse(mover, in, st, text, now_ns);
    } else {
        look_if_all(mover, in, now_ns);
    }
}

uint32_t mover__in_pages(struct mover *mover, uint64_t move, const uint8_t *bytes, uint32_t length)
{
    const struct mover_in *in = in_of(mover, move);

    return in != NULL && in->restore != NULL
               ? (uint32_t)nk_restore_stream(in->restore, bytes, length)
               : 0;
}

void mover__in_endpoints(struct mover *mover, uint64_t move, uint64_t total, const uint8_t *bytes,
                         uint32_t length, uint64_t now_ns)
{
    struct mover_in *in = in_of(mover, move);

    if (in == NULL || in->restore == NULL) {
        return;
    }
    if (!in->endpoints_known && total <= FAB_CARGO_BYTES_MAX) {
        in->endpoints = malloc(total + 1);
        in->endpoints_total = total;
        in->endpoints_known = in->endpoints != NULL;
    }
    if (!in->endpoints_known || total != in->endpoints_total ||
        length > total - in->endpoints_bytes) {
        refuse(mover, in, in->endpoints_known ? SF_FORMAT : SF_NOMEM, "its endpoints", now_ns);
        return;
    }
    memcpy(in->endpoints + in->endpoints_bytes, bytes, length);
    in->endpoints_bytes += length;
    look_if_all(mover, in, now_ns);
}

/* --- what the protocol wants --------------------------------------------------------------------
 */

static void start(struct mover *mover, struct mover_in *in)
{
    sf_status st;

    assert(in->made);
    mover->events.arrived(mover->events_arg, in->ticket, in->sip, in->move);
    nk_lock(mover->kernel);
    fab_cargo_resume(in->cargo);
    nk_unlock(mover->kernel);
    in->cargo = NULL;
    in->made = false;
    in->came = true;
    st = nk_sip_thaw(mover->kernel, in->sip);
    assert(st == SF_OK);
    (void)st;
}

void mover__in_do(struct mover *mover, const struct fab_move_action *action, uint64_t now_ns)
{
    struct mover_in *in = in_of(mover, action->move);

    switch (action->what) {
    case FAB_MOVE_PREPARE:
        prepare(mover, action, now_ns);
        break;
    case FAB_MOVE_START:
        assert(in != NULL);
        start(mover, in);
        break;
    case FAB_MOVE_DROP:
        if (in != NULL) { /* else it was refused at once */
            mover__in_drop(mover, in);
        }
        break;
    case FAB_MOVE_SETTLED:
        assert(in != NULL);
        in_free(mover, in);
        break;
    default:
        assert(false);
        break;
    }
}
