/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_form.h - the bytes of a capture. Private to capture.c and restore.c.
 *
 * A capture is a row of records: struct nk_form_record, then `bytes` of payload. Little endian, in
 * this order:
 *
 *     BEGIN                  who it is, and where
 *     (PAGES | ZERO)*        of a SIP that ran: pre-copy, any number of rounds
 *     STATE                  all of a fixed length
 *     CONFIG                 u32 key length, u32 value length, key, value; and so on
 *     ENDPOINTS              struct nk_form_ep each, in the order of capture.h
 *     PORTS                  struct nk_form_port each, index 0 (which no handle has) first
 *     FREE                   u32 each: indices of the free ports, the next to be taken first
 *     PENDING                u32 each: the export that it was opened to
 *     SELECT                 u32 each: handles
 *     SPAN*                  struct nk_form_span, then nk_form_block each
 *     (STASH BYTES*)*        struct nk_form_stash; then struct nk_form_bytes, bytes
 *     (PAGES | ZERO)*        struct nk_form_pages; PAGES: then the pages
 *     END                    struct nk_form_end
 *
 * Pages are counted from the beginning of the slot. All but the payload of PAGES and BYTES is
 * untrusted in every bit.
 */
#ifndef KERNEL_CAPTURE_FORM_H
#define KERNEL_CAPTURE_FORM_H

#include "capture.h"
#include "internal.h"

#define NK_FORM_MAGIC 0x4350495343425253ull
#define NK_FORM_PAGES_MAX (NK_CAPTURE_PIECE_BYTES_MAX / NK_PAGE_BYTES) /* in one record */
#define NK_FORM_BYTES_MAX (64u << 10)                                  /* in one record */
#define NK_FORM_NONE UINT64_MAX
#define NK_FORM_RANGE_PAGES_MAX (UINT32_MAX / NK_PAGE_BYTES)

enum nk_form_kind {
    NK_FORM_BEGIN = 1,
    NK_FORM_STATE,
    NK_FORM_CONFIG,
    NK_FORM_ENDPOINTS,
    NK_FORM_PORTS,
    NK_FORM_FREE,
    NK_FORM_PENDING,
    NK_FORM_SELECT,
    NK_FORM_SPAN,
    NK_FORM_STASH,
    NK_FORM_BYTES,
    NK_FORM_PAGES,
    NK_FORM_ZERO,
    NK_FORM_END,
};

struct nk_form_record {
    uint32_t kind, bytes;
};

struct nk_form_begin {
    uint64_t magic;
    uint32_t version, abi_version;
    uint64_t sip;
    uint32_t slot_class, slot_number;
    uint64_t memory_bytes;
    uint8_t digest[IMAGE_DIGEST_BYTES];
    char name[IMAGE_NAME_BYTES_MAX + 1];
};
_Static_assert(sizeof(struct nk_form_begin) == 40 + 32 + 32, "no holes");

/* How it is resumed: what nk_head.rsp points to. */
enum nk_form_resume {
    NK_FORM_CALL,      /* it called the kernel */
    NK_FORM_NEW,       /* it has not run yet */
    NK_FORM_PREEMPTED, /* it was stopped while it computed */
};

struct nk_form_state {
    uint64_t memory_bytes; /* accessible */
    uint64_t clock_ns;     /* the SIP's */
    uint64_t remaining_ns; /* until its timer is due; NONE: it has none */
    uint64_t result;       /* wait NONE: of the call */
    uint64_t cpu_ns, slice_ns, share_age_ns, share_used_ns;
    uint64_t restart_count, log_position;
    uint64_t block_bytes;
    uint32_t block_count;
    uint32_t wait;        /* enum nk_wait */
    uint32_t wait_index;  /* RECV: of the port; ACCEPT: of the export */
    uint32_t wait_offset; /* RECV, RECV_ANY: of the message in linear memory */
    uint32_t resume;      /* enum nk_form_resume */
    uint32_t cpu_percent;
    uint32_t timed_out, preempted;
    uint32_t rover;
    uint32_t worker; /* it stays on that one: index + 1; 0: on none */
};
_Static_assert(sizeof(struct nk_form_state) == 11 * 8 + 10 * 4, "no holes");

struct nk_form_ep {
    uint64_t contract; /* short id */
    uint64_t side;
};

enum nk_form_name { NK_FORM_UNNAMED, NK_FORM_IMPORT, NK_FORM_EXPORT };
struct nk_form_port {
    uint64_t notes;
    uint32_t handle;
    uint8_t state; /* enum nk_port_state: FREE, WIRED, OPEN */
    uint8_t name;  /* enum nk_form_name */
    uint16_t name_index;
};
_Static_assert(sizeof(struct nk_form_port) == 16, "no holes");

struct nk_form_span {
    uint32_t index;
    uint32_t kind;  /* enum nk_span_kind; FREE: gone */
    uint32_t shift; /* CELLS */
    uint32_t run;   /* RUN: spans in it */
};
struct nk_form_block {
    uint32_t cell; /* RUN: 0 */
    uint32_t bytes, capacity;
};

struct nk_form_stash {
    uint32_t port; /* index */
    uint32_t tag, arg_count;
    uint32_t blocks, eps; /* bit i: argument i is one, and present */
    uint32_t unused;
    uint64_t args[CT_ARGS_MAX]; /* blocks: capacity << 32 | bytes; endpoints: 0 */
};
struct nk_form_bytes { /* of the last stash */
    uint32_t arg, offset;
};

struct nk_form_pages {
    uint32_t first, count;
};

struct nk_form_end {
    uint64_t record_count; /* before it, of all kinds */
};

/* The rest of the slot that travels, in bytes from its beginning. */
#define NK_FORM_STACK_FIRST NK_STACK_LOW
#define NK_FORM_FRAME_WORDS 7u      /* what nk__fiber_resume pops */
#define NK_FORM_PREEMPTED_WORDS 20u /* see preempt.c; then the red zone */
#define NK_FORM_RED_ZONE_BYTES 128u
#define NK_FORM_BASE_OFFSET                                                                        \
    (NK_STACK_TOP - 72u) /* where its first function's return address is                           \
                          */

/* Bytes of a run's pages that are mapped for a block. */
static inline uint32_t nk__form_run_bytes(uint32_t capacity, uint32_t run)
{
    const uint64_t pages =
        ((uint64_t)capacity + NK_PAGE_BYTES - 1) & ~(uint64_t)(NK_PAGE_BYTES - 1);
    const uint64_t room = (uint64_t)run << NK_SPAN_SHIFT;

    return (uint32_t)(pages < room ? pages : room);
}

#endif
