/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore.h - a SIP that is being put together. Private to restore.c and restore_feed.c; capture.h
 * is the manual.
 */
#ifndef KERNEL_RESTORE_H
#define KERNEL_RESTORE_H

#include "internal.h"

#include "capture.h"
#include "capture_form.h"

struct nk_restore_stash {
    uint32_t port; /* index */
    uint32_t blocks, eps;
    struct fab_msg *msg; /* its blocks are the SIP's; NULL: handed over */
};

/* Of its blocks until it is there. */
#define NK_RESTORE_OWNER(sip) XH_OWNER(XH_OWNER_SERVICE, (sip)->number)

enum nk_restore_phase { NK_RESTORE_HEADER, NK_RESTORE_PAYLOAD, NK_RESTORE_FILL };

/* How pages are filled. */
enum nk_restore_fill {
    NK_FILL_COPY,
    NK_FILL_STREAM, /* past the caches: in none of them is what is there now */
    NK_FILL_WRITE   /* by the system, which makes them */
};

struct nk_restore {
    struct nk_kernel *kernel;
    char image_name[IMAGE_NAME_BYTES_MAX + 1]; /* "": any */
    struct nk_sip *sip;                        /* with its slot; NULL: the beginning has not come */
    uint32_t stage; /* kind of the last record that was not of pages; 0: none */
    bool broken, complete;
    uint64_t record_count;

    /* The record that is coming. */
    enum nk_restore_phase phase;
    struct nk_form_record record;
    uint32_t got, wanted; /* of the header, or of what is kept of the payload */
    uint8_t *kept;
    uint32_t kept_capacity;
    bool huge;                      /* some of its memory may be in huge pages */
    uint8_t *fill_to;               /* the rest of the payload goes there */
    uint8_t *fill_made;             /* up to there its memory is made */
    uint64_t fill_bytes, fill_left; /* in all; still to come */
    enum nk_restore_fill fill_way;
    uint8_t *pages_end;            /* of the highest that have come */
    uint8_t *spare_at, *spare_end; /* not overwritten yet; spare_end NULL: nothing is */

    struct nk_form_state state;
    struct nk_restore_ep *eps;
    uint32_t ep_count;
    struct nk_form_port *ports; /* nk__port_end(sip) */
    struct nk_port **pending;   /* one for each channel not accepted; NULL: handed over */
    uint32_t *pending_exports;
    uint32_t pending_count;
    uint32_t select_handles[NK_SELECT_MAX];
    uint32_t select_count;
    struct nk_restore_stash *stashes;
    uint32_t stash_count;

    char *text; /* of the call that is going on */
    size_t text_capacity;
};

/* Says why, and answers st. */
sf_status nk__restore_fail(const struct nk_restore *restore, sf_status st, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* FORMAT, and what it is that is wrong. */
sf_status nk__restore_damaged(const struct nk_restore *restore, const char *what);
/* EXISTS: there is a SIP of that number on this node. */
sf_status nk__restore_number(const struct nk_restore *restore, uint64_t number, const char *name);
/* The name of a port, or NULL: there is none such. */
const char *nk__restore_name(const struct nk_sip *sip, const struct nk_form_port *form);

/* --- restore_pages.c: records whose beginning is in `kept` --- */
/* What is to be filled. */
sf_status nk__restore_pages(struct nk_restore *restore);
/* With the next `count` bytes, at most what is left. */
void nk__restore_fill(struct nk_restore *restore, const uint8_t *bytes, size_t count);
sf_status nk__restore_zeros(struct nk_restore *restore);
/* Before anybody sees its memory. */
void nk__restore_wipe(struct nk_restore *restore);

#endif
