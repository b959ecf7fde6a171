/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture.h - a SIP taken out of a kernel, in a form that travels, and put into another kernel at
 * the same cell-wide addresses, where it goes on as if nothing had happened.
 *
 * Why: the node kernel's half of a move. The fabric has the other half (endpoints, and what is
 * queued at them); who moves a SIP brings both together.
 *
 * Model: nk_sip_freeze stops a SIP where it is: in a kernel call, or wherever the tick finds it. A
 * frozen SIP runs no more, but all that others do to it goes on: messages are queued, its timer is
 * kept in mind. It ends in one of four ways: nk_sip_thaw (it goes on here), nk_sip_release (it goes
 * on elsewhere: it is freed, but its channels are not closed), nk_sip_stop, or the kernel's end.
 * nk_sip_capture writes a frozen SIP into a sink, in pieces, straight from its memory; what comes
 * out is fed into a nk_restore of the target, in pieces of any length, straight into its memory.
 * nk_restore_finish makes it a frozen SIP of that kernel, which nk_sip_thaw lets go on.
 *
 *     source                                         target
 *     nk_precopy_create, nk_precopy_step...   ---->  nk_restore_create, nk_restore_feed...
 *     nk_sip_freeze, nk_sip_endpoints
 *     nk_sip_capture                          ---->  nk_restore_feed...
 *     (the fabric exports the endpoints)             (imports them)
 *                                                    nk_restore_finish
 *     nk_sip_release                                 nk_sip_thaw
 *
 * What travels: touched pages of stack, header, instance and linear memory (pages of zeros are left
 * out); registers, if it was stopped while it computed; what it waits for, and how long still; its
 * handles with their generations, free ones too, in their order of reuse; the set it selects from;
 * the layout of its window and the bytes of the blocks there; messages that it had no room for; its
 * configuration, what it has used of its quotas, its clock. The SIP's clock stands still while it
 * travels: it never goes back, and it does not depend on when a node was booted.
 * What does not: what was written below the stack pointer; what it has sent and nobody has taken
 * yet is no longer counted against its quota of blocks; traces of its endpoints end.
 *
 * Endpoints: the capture names them by their place in one list: those in its table, by index; then
 * channels opened to its exports that it has not accepted; then those in messages it had no room
 * for. nk_sip_endpoints answers that list at the source; nk_restore_finish wants the same list at
 * the target, of endpoints that have the same contract, side, state and queue, held by nobody.
 * Between the two they are the caller's business. While a SIP is frozen the list does not change: a
 * channel that is opened to one of its exports then closes with QUOTA, as if its backlog were full.
 *
 * Slots: a SIP keeps its slot's number wherever it goes, because its pointers say it. A target
 * where that slot is in use refuses (EXISTS). The lease it came from gives the slot to another SIP
 * only when all others are in use.
 *
 * Pre-copy: a round, in steps of nk_precopy_step, writes the pages of a running SIP that were
 * written since the round before (the first: all), in the same form. The stream begins with them
 * then, and nk_sip_capture with that nk_precopy goes on with what is left. Blocks are not among
 * them. What was written meanwhile is known by dirty.h; where that has no way, UNSUPPORTED: capture
 * all of it at once.
 *
 * Trust: a capture is checked like any input, and a damaged one is refused with a reason. But the
 * stack and the memory of a SIP decide where it returns to, and their bytes cannot be checked: take
 * captures only from kernels of the same cell, over a way that keeps them as they are.
 *
 * Threads, as nk.h: worker 0's, not from inside nk_run. freeze, thaw, release pause the others for
 * some microseconds; capturing and restoring do not: a frozen SIP is worker 0's.
 * Ownership: of eps and bytes as said at each function; text buffers as in nk.h.
 * Limits: NK_CAPTURE_RECORD_BYTES_MAX of configuration; the sink gets at most
 * NK_CAPTURE_PIECE_BYTES_MAX at once.
 */
#ifndef KERNEL_CAPTURE_H
#define KERNEL_CAPTURE_H

#include "abi/nk_abi.h"
#include "nk.h"

#define NK_CAPTURE_VERSION 1u
#define NK_CAPTURE_RECORD_BYTES_MAX (1u << 20)
#define NK_CAPTURE_PIECE_BYTES_MAX (4u << 20)

/* --- at the source ------------------------------------------------------------------------------
 */

/*
 * Stops a SIP. NOTFOUND: there is none, or it has ended. EXISTS: it is frozen already. AGAIN:
 * called on its behalf. UNSUPPORTED: it cannot be moved; text says why.
 */
SF_MUST_CHECK sf_status nk_sip_freeze(struct nk_kernel *kernel, uint64_t sip, char *text,
                                      size_t text_capacity);
/* Lets a frozen SIP go on here. NOTFOUND: there is no frozen SIP of that number. */
SF_MUST_CHECK sf_status nk_sip_thaw(struct nk_kernel *kernel, uint64_t sip);
/*
 * Frees a frozen SIP without closing its channels: its endpoints are held by nobody then, and the
 * caller's. No `ended` event. NOTFOUND, as above.
 */
SF_MUST_CHECK sf_status nk_sip_release(struct nk_kernel *kernel, uint64_t sip);

/*
 * The endpoints of a frozen SIP, in the order of its capture; *out_count is how many there are,
 * also if that is more than capacity (LIMIT). They stay the SIP's. NOTFOUND.
 */
SF_MUST_CHECK sf_status nk_sip_endpoints(struct nk_kernel *kernel, uint64_t sip,
                                         struct fab_ep *eps[], uint32_t capacity,
                                         uint32_t *out_count);

/* Takes the next bytes, which are gone after it returns, unless they are in nk_precopy_range; what
 * it answers ends the capture, unless it is OK. It must not call the core. */
typedef sf_status (*nk_sink)(void *arg, const void *bytes, size_t length);

/* What the core does not know of a SIP, on its way to whoever asks nk_restore_about. */
struct nk_about {
    uint64_t restart_count;
    uint64_t log_position; /* lines it has logged */
};

struct nk_capture_stats {
    uint64_t bytes;      /* given to the sink */
    uint64_t page_count; /* of 4 KiB, in them */
    uint64_t zero_count; /* pages that were touched and hold zeros */
};

struct nk_precopy;

/*
 * Writes a frozen SIP. about: or NULL. precopy: what went before, or NULL; it stays the caller's,
 * to be destroyed. out_stats: or NULL. Can be repeated, but not with a precopy. NOTFOUND: not
 * frozen. LIMIT: too much configuration. NOMEM, IO; whatever the sink answers.
 */
SF_MUST_CHECK sf_status nk_sip_capture(struct nk_kernel *kernel, uint64_t sip,
                                       const struct nk_about *about, struct nk_precopy *precopy,
                                       nk_sink sink, void *sink_arg,
                                       struct nk_capture_stats *out_stats);

/* Begins to watch what a SIP writes. NOTFOUND. EXISTS: it is watched. UNSUPPORTED, NOMEM, IO. */
SF_MUST_CHECK sf_status nk_precopy_create(struct nk_kernel *kernel, uint64_t sip,
                                          struct nk_precopy **out_precopy);
/*
 * The next pages of a round, at most pages_max of them, to UINT64_MAX: all; 0: only what comes
 * before the first of them. *out_over: that was the round, and the next call begins another. As
 * long as the SIP is frozen or runs; NOTFOUND: it has ended. out_stats: or NULL; of this call. As
 * nk_sip_capture.
 */
SF_MUST_CHECK sf_status nk_precopy_step(struct nk_precopy *precopy, uint64_t pages_max,
                                        nk_sink sink, void *sink_arg,
                                        struct nk_capture_stats *out_stats, bool *out_over);
/* Where what it writes lies: it stays there, and is given to the sink there, until the SIP is
 * released or the precopy destroyed, whichever is later. */
void nk_precopy_range(const struct nk_precopy *precopy, const uint8_t **out_first,
                      const uint8_t **out_end);
/* Once its SIP was released or has ended: gives the system back the next bytes, whole pages, of its
 * memory, which takes time: a destroy then has little left to do. Some of it the kernel may keep
 * for a SIP that comes (nk_restore_feed), 128 MiB at most. 0 bytes: only what the next SIP to go
 * may need, the one way of soft-dirty bits. False: there is nothing more. */
bool nk_precopy_discard(struct nk_precopy *precopy, uint64_t bytes);
/* Gives the system back some of what was kept. False: there is none. */
bool nk_precopy_cool(struct nk_kernel *kernel);
/* At any time, also after its SIP was released or has ended, but before its kernel is. Takes NULL.
 */
void nk_precopy_destroy(struct nk_precopy *precopy);

/* --- at the target ------------------------------------------------------------------------------
 */

struct nk_restore;

struct nk_restore_options {
    const char *image_name; /* that the image must have; NULL: any */
};

/* options: or NULL. NOMEM. */
SF_MUST_CHECK sf_status nk_restore_create(struct nk_kernel *kernel,
                                          const struct nk_restore_options *options,
                                          struct nk_restore **out_restore);
/*
 * Takes the next bytes of a capture. The beginning reserves the slot. FORMAT: damaged. UNSUPPORTED:
 * of another version of this form or of the ABI, or stopped with registers that this machine does
 * not have. NOTFOUND: its image is not here. TRUST: the image is not to be run here (any more).
 * EXISTS: its number or slot is in use here. LIMIT, NOMEM. After any of these only destroy.
 */
SF_MUST_CHECK sf_status nk_restore_feed(struct nk_restore *restore, const void *bytes,
                                        size_t length, char *text, size_t text_capacity);
/*
 * The same, but takes only what is pages of a SIP whose beginning has come, and their heads, up to
 * the first other byte; answers how many bytes that is. So it needs no lock, and takes no longer
 * than copying them does, and making memory for them. 0 also if they are damaged: nk_restore_feed,
 * given the same bytes, says so.
 */
SF_MUST_CHECK size_t nk_restore_stream(struct nk_restore *restore, const void *bytes,
                                       size_t length);
/* Has all of it come? */
bool nk_restore_complete(const struct nk_restore *restore);

struct nk_restore_ep {
    uint64_t contract; /* short id */
    enum ct_side side;
};
/* What is known so far. */
struct nk_restore_info {
    uint64_t sip; /* 0: not even that */
    const char *name;
    const uint8_t *image_digest;
    enum nk_slot_class slot_class;
    uint32_t slot;
    /* From nk_restore_complete on. Valid until finish or destroy. */
    const struct nk_restore_ep *eps;
    uint32_t ep_count;
    struct nk_about about;
};
void nk_restore_query(const struct nk_restore *restore, struct nk_restore_info *out_info);

/*
 * Makes it a frozen SIP of this kernel; declares its exports. eps: see above; it holds them from
 * then on. OK: restore is freed. Otherwise nothing has changed, and it may be tried again. FORMAT:
 * not complete, or damaged. BADARG: another count of endpoints. CONTRACT: one is not what the
 * capture says. EXISTS: its number or an export's name is in use. LIMIT, NOMEM.
 */
SF_MUST_CHECK sf_status nk_restore_finish(struct nk_restore *restore, struct fab_ep *const eps[],
                                          uint32_t ep_count, char *text, size_t text_capacity);
/* Gives the slot and all else back. Takes NULL. */
void nk_restore_destroy(struct nk_restore *restore);

#endif
