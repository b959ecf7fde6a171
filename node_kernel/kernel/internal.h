/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal.h - what the files of the core share. Private to node_kernel/kernel.
 *
 * Model: struct nk_kernel owns everything. A struct nk_sip is the kernel's private half of a SIP;
 * its other half is the slot, which holds no kernel pointer. An endpoint held by a SIP or service
 * has a struct nk_port (the endpoint's holder), which never moves while the endpoint is held.
 *
 * A blocking call notes in the SIP what it waits for and switches away; whoever makes it ready only
 * puts it in the run queue. The call is finished just before the SIP is resumed, by the scheduler
 * (nk__wait_finish), so a wake-up for nothing costs no switch into the SIP.
 *
 * Threads: see worker.h. Who may touch what, in short: a SIP, its ports and its window belong to
 * the thread of its worker; kernel->lock covers everything else, and every endpoint whose port is
 * not `local`.
 */
#ifndef KERNEL_INTERNAL_H
#define KERNEL_INTERNAL_H

#include <stdarg.h>
#include <string.h>

#include "abi/nk_abi.h"
#include "gate.h"
#include "nk.h"
#include "port_note.h"
#include "trace.h"
#include "worker.h"

#define NK_PAGE_BYTES 4096u
#define NK_PORT_CHUNK 16u                /* ports are allocated that many at a time */
#define NK_BLOCK_BYTES_QUOTA (16u << 20) /* bytes of blocks a SIP may hold, if it does not say */
#define NK_FRONT_MAX 64u                 /* wake-ups in a row that may overtake the run queue */
#define NK_SIP_BUCKETS 1024u
#define NK_BACKLOG_MAX 256u /* channels opened to one export and not yet accepted */

#define NK_CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* --- ports: endpoints in somebody's hands -------------------------------------------------------
 */

enum nk_port_state {
    NK_PORT_FREE = 0,
    NK_PORT_WIRED,   /* import wired by the operator, not yet taken with `endpoint` */
    NK_PORT_PENDING, /* opened by a peer, not yet taken with `accept`; in no SIP's table */
    NK_PORT_OPEN,    /* the SIP knows the handle */
    NK_PORT_SERVICE, /* held by a service */
};

/* What a SIP wants to hear of a port or export. */
#define NK_WAITING_RECV 1u
#define NK_WAITING_ACCEPT 2u
#define NK_WAITING_SELECT 4u /* it is in the set the SIP selected from last */

struct nk_port {
    uint32_t handle; /* generation << 12 | index; of the next holder while FREE */
    uint8_t state;   /* enum nk_port_state */
    uint8_t side;    /* enum ct_side */
    uint8_t waiting; /* NK_WAITING_; others read it under the lock */
    uint8_t local;   /* both ends are in the hands of SIPs of one worker: see worker.h */
    struct fab_ep *ep;
    const struct fab_plan *plans; /* by tag */
    struct nk_port *mate;         /* LOCAL: the port at the other end; NULL: it has closed */
    struct nk_sip *sip;           /* NULL: held by a service */
    struct fab_msg *stash;        /* received, but there was no room for its blocks or endpoints */
    struct nk_notes notes;        /* the last messages */
    uint32_t message_count;
    const struct ct_contract *contract;
    struct nk_service *service; /* NULL: held by a SIP */
    void *user;                 /* service's */
    const char *name;           /* of the import or export, or "" */
    struct nk_list link;        /* PENDING: the export's; SERVICE: nk_kernel.service_ready */
    struct nk_list held;        /* SERVICE: nk_service.ports */
    uint64_t select_bit;        /* 0: not in the set */
    uint32_t free_next;
    uint8_t announced; /* SERVICE: opened() has been called, or it was held */
    uint8_t trace;     /* 1 + index of the trace of this endpoint; it is not local then; 0: none */
};
#define NK_HANDLE_INDEX(handle) ((handle) & (NK_HANDLES_MAX - 1))

/* --- slot classes -------------------------------------------------------------------------------
 */

/* What a class of slots looks like: abi/nk_abi.h. */
struct nk_geometry {
    uint64_t base, stride;
    uint64_t linear_bytes; /* what an address can name */
    uint32_t window_offset, window_bytes;
    uint32_t pages_max; /* of 64 KiB */
    uint32_t count_max; /* in the cell */
    const char *name;
};
extern const struct nk_geometry nk__geometry[NK_SLOT_CLASS_COUNT];

/* A slot's index tells its class. */
#define NK_SLOT_LARGE 0x80000000u
/* Of another node's lease, with a SIP that came from elsewhere: the rest is its number. */
#define NK_SLOT_GUEST 0x40000000u
#define NK_SLOT_NUMBER(index) ((index) & ~(NK_SLOT_LARGE | NK_SLOT_GUEST))
static inline enum nk_slot_class nk__slot_class(uint32_t index)
{
    return (index & NK_SLOT_LARGE) != 0 ? NK_LARGE : NK_SMALL;
}

/* --- the block window of a SIP ------------------------------------------------------------------
 * Spans of 64 KiB. Blocks up to NK_CELL_BYTES_MAX live in the cells of a span, which stays
 * accessible; larger ones (and all, if the manifest says strict_blocks) in runs of spans that
 * become accessible with the block and vanish with it.
 */
#define NK_SPAN_SHIFT 16u
#define NK_CELL_SHIFT_MIN 6u
#define NK_CELL_SHIFT_MAX 12u
#define NK_CELL_BYTES_MAX (1u << NK_CELL_SHIFT_MAX)

enum nk_span_kind {
    NK_SPAN_FREE = 0,
    NK_SPAN_CELLS,
    NK_SPAN_RUN,
    NK_SPAN_REST,
    NK_SPAN_PARKED /* free, but its pages are there, inaccessible, for the next block; never in a
                      form */
};

#define NK_MOVED 1u
#define NK_MOVED_ALL 2u /* nothing is left there */

struct nk_span {
    uint8_t kind;
    uint8_t shift;       /* CELLS: log2 of the cell size */
    uint16_t used;       /* CELLS: cells in use */
    uint16_t free_first; /* CELLS: first free cell, or 0xffff */
    uint16_t run;        /* RUN: spans in it */
    uint8_t gone;        /* FREE, PARKED: the block that was here last was sent or freed */
    uint8_t moved;       /* RUN: handover.c moved its pages away: NK_MOVED... */
    uint8_t tables;      /* RUN: all of it is mapped, and moves as whole page tables */
    uint8_t pages; /* RUN of one span, PARKED: pages that were made for it; 0: others, or none */
    uint16_t next, prev; /* CELLS: in the list of spans with a free cell; index + 1, 0 = none */
    union {
        uintptr_t *cells; /* CELLS: struct xh_block *, or next free cell << 1 | 1 */
        struct xh_block *block;
    } u;
};

struct nk_window {
    uint64_t number; /* no other window of this kernel has or had it; not 0 */
    struct nk_span *spans;
    uint32_t offset;                         /* of the window in the linear memory */
    uint32_t span_count;                     /* that fit it */
    uint32_t span_capacity;                  /* spans allocated; those beyond are free */
    uint32_t span_high;                      /* spans ever used since the slot was clean */
    uint16_t partial[NK_CELL_SHIFT_MAX + 1]; /* by shift: index + 1 of a span with a free cell */
    uint8_t strict;                          /* no cells, nothing is parked */
    uint32_t rover;                          /* strict: where the next search begins */
    uint32_t parked;                         /* index + 1 of the span that is; 0: none */
};

/* --- SIPs
 * ----------------------------------------------------------------------------------------- */

enum nk_sip_state {
    NK_SIP_CREATED,  /* not started; worker 0's thread has it */
    NK_SIP_ARRIVING, /* on its way to its worker, in that worker's inbox */
    NK_SIP_READY,
    NK_SIP_RUNNING,
    NK_SIP_WAITING,
    NK_SIP_FROZEN, /* capture.h; worker 0's thread has it */
    NK_SIP_ENDING,
    NK_SIP_GONE, /* reclaimed, but still in an inbox: who takes it out frees it */
};
enum nk_wait { NK_WAIT_NONE, NK_WAIT_RECV, NK_WAIT_SELECT, NK_WAIT_RECV_ANY, NK_WAIT_ACCEPT };

struct nk_export {
    const char *name;
    struct nk_list pending; /* locked; nk_port.link */
    uint32_t pending_count;
    uint8_t waiting; /* locked: NK_WAITING_ */
    uint64_t select_bit;
};

/* Where a SIP faulted. */
struct nk_fault {
    uint8_t has_address; /* `address` could not be accessed */
    uint8_t is_return;   /* rip is where a kernel call would have returned to */
    uint8_t tag, state;  /* CONTRACT: what was sent, and when */
    uint32_t handle;     /* CONTRACT */
    uint64_t address, rip, rsp, rbp;
};

struct nk_sip {
    /* Hot: what a message touches. */
    struct nk_head *head;
    uint8_t *memory;       /* linear memory */
    uint64_t memory_bytes; /* of it that are accessible */
    uint64_t owner;        /* of blocks */
    struct nk_kernel *kernel;
    struct nk_worker *worker; /* changed by its thread, under the lock */
    struct nk_port **chunks;
    uint32_t chunk_count;
    uint32_t port_free; /* index of a free port, 0 = none */
    struct nk_list run; /* in nk_worker.run */
    uint8_t state;      /* enum nk_sip_state */
    uint8_t wait;       /* enum nk_wait */
    uint8_t timed_out;
    uint8_t *wait_out; /* RECV, RECV_ANY: where the struct nk_msg goes */
    struct nk_port *wait_port;
    struct nk_export *wait_export;
    /* What it selected from last: calls_wait.c. */
    uint32_t *select_handles; /* NK_SELECT_MAX of them, allocated when first needed */
    uint32_t select_count;
    uint8_t select_armed;
    uint64_t select_ready, select_shared; /* a bit a handle; the second is atomic */
    uint64_t result;                      /* of the call, for NK_WAIT_NONE */
    uint64_t deadline;                    /* UINT64_MAX: none */
    uint32_t timer_index;                 /* in nk_worker.timers, + 1; 0: not in it */
    uint32_t slot_index;
    struct nk_slot *slot;
    struct nk_window window;
    uint64_t block_bytes, block_bytes_max;
    struct xh_account *account; /* blocks it has sent and nobody has taken yet */
    uint32_t block_count;
    uint32_t port_count; /* ports not free */

    struct nk_sip *inbox_next; /* under the lock */
    uint8_t posted;            /* it is in an inbox; under the lock */
    uint8_t pinned;            /* stays on its worker */
    uint8_t preempted;         /* its last turn was ended by the tick */
    uint64_t cpu_ns;           /* by samples: quota.c */

    /* Cold. */
    uint64_t number;
    uint64_t clock_ahead_ns;     /* its clock is the node's plus this, modulo 2^64; see capture.h */
    struct nk_worker *frozen_on; /* FROZEN: where it ran before; NULL: not on this node */
    struct nk_precopy *precopy;  /* locked: copies its memory while it runs; or NULL */
    struct nk_sip *hash_next;
    struct nk_image *image;
    char name[IMAGE_NAME_BYTES_MAX + 1];
    struct nk_export *exports;
    uint32_t export_count;
    struct nk_config *config;
    uint32_t config_count;
    uint32_t cpu_percent;                  /* quota, of one core; 0: none */
    uint64_t share_from_ns, share_used_ns; /* see quota.c */
    uint64_t lines_from_ns;                /* log lines: see note.c */
    uint32_t lines, lines_lost;

    /* Quotas (quota.c), from the manifest; 0: no limit. */
    uint64_t cpu_ns_max;
    uint64_t slice_ns, slice_ns_max; /* computed since its last kernel call, as far as known */
    uint8_t violation_faults;

    /* Why it ends. */
    uint8_t end_how;
    uint8_t fault;
    int32_t exit_code;
    struct nk_fault where; /* of `fault` */
};

struct nk_image {
    struct nk_image *next;
    struct image *image;
    uint8_t *bytes; /* what it was opened from */
    const struct nk_desc *desc;
    uint64_t code_first, code_end;
    uint8_t native;         /* see native.c */
    int native_file;        /* NATIVE: its code; 0: none */
    uint32_t memory_bytes;  /* linear memory a SIP of this image may grow to */
    uint32_t memory_start;  /* that is accessible from the start */
    uint8_t slot_class;     /* enum nk_slot_class */
    uint8_t shares_mapping; /* another image, with other signature only, has mapped it */
};

struct nk_slot {
    uint32_t memory_bytes; /* linear memory that is accessible; 0: nothing of the slot is */
    uint32_t warm;         /* some of its pages stay, wiped, between SIPs */
};

/* The leased slots of one class. */
struct nk_slots {
    struct nk_slot *slots;
    uint32_t *free; /* locked: indices, the next one last */
    uint32_t free_count, first, count, warm_count;
    uint8_t has_range;
};

struct nk_service {
    struct nk_kernel *kernel;
    struct nk_service *next;
    const struct nk_service_ops *ops;
    void *impl;
    uint64_t number, owner;
    char name[IMAGE_NAME_BYTES_MAX + 1];
    struct nk_list ports; /* nk_port.held */
};

struct nk_kernel {
    uint32_t locked; /* see worker.h */
    uint32_t worker_count;
    struct nk_worker *workers[NK_WORKERS_MAX];
    uint32_t pause;  /* > 0: workers other than 0 stand still */
    uint64_t hungry; /* bit w: worker w has nothing to do */
    uint64_t tick_ns;
    uint8_t quit;

    /* Under the lock. */
    struct nk_list service_ready; /* nk_port.link */
    struct xh_heap *heap;
    struct fab_node *fabric;
    struct nk_sip *sips[NK_SIP_BUCKETS]; /* by number */
    uint32_t sip_count;
    struct nk_slots slots[NK_SLOT_CLASS_COUNT];
    uint32_t slot_count;      /* of all classes */
    uint32_t guest_count;     /* slots of other nodes' leases that are in use here */
    struct nk_spares *spares; /* of whoever moves SIPs */
    uint64_t window_count;    /* since creation; atomic */
    uint8_t copy_blocks;      /* never move pages */
    struct nk_image *images, *images_refused;
    struct image_trust trust;
    struct nk_service *services;
    struct ct_contract **contracts; /* of services */
    uint32_t contract_count;
    struct fab_ep **refused; /* opened, but nobody had room: closed in nk_run */
    uint32_t refused_count, refused_capacity;
    struct nk_note *notes, **notes_end; /* for worker 0, oldest first */
    uint32_t note_count;

    struct nk_events events;
    void *events_arg;
    void (*said)(void *arg); /* nk_when_said; or NULL */
    void *said_arg;
    struct nk_reader reader;
    char node_name[64];
    uint8_t allow_native;
    uint8_t has_gate, has_signals, has_tick;

    const struct nk_poller *poller; /* or NULL; changed while the others stand still */
    void *poller_arg;
    struct nk_trace *traces[NK_TRACES_MAX]; /* changed while the others stand still */
    uint32_t trace_count;
};

/* Formats into text (may be NULL). */
void nk__say(char *text, size_t text_capacity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline void nk__lock(struct nk_kernel *kernel)
{
    if (kernel->worker_count == 1) {
        return; /* there is nobody else */
    }
    if (__builtin_expect(!nk__lock_try(&kernel->locked), 0)) {
        nk__lock_wait(&kernel->locked);
    }
}

/* Then wakes whom nk__attend named meanwhile. */
static inline void nk__unlock(struct nk_kernel *kernel)
{
    __atomic_store_n(&kernel->locked, 0, __ATOMIC_RELEASE);
    if (__builtin_expect(nk__cpu.kicks != 0, 0)) {
        nk__kick(kernel, nk__cpu.kicks);
    }
}

/* --- slot.c --- */
/* Slots [first, first + count) of either class are ours. BADARG, EXISTS, NOMEM. */
SF_MUST_CHECK sf_status nk__slots_init(struct nk_kernel *kernel, const struct nk_options *options);
void nk__slots_fini(struct nk_kernel *kernel);
/* Takes a slot and makes memory_bytes of linear memory (and stack, header) accessible. LIMIT,
 * NOMEM: text (may be NULL) says what to do. Not under the lock. */
SF_MUST_CHECK sf_status nk__slot_take(struct nk_kernel *kernel, enum nk_slot_class slot_class,
                                      uint32_t memory_bytes, uint32_t *out_index,
                                      struct nk_slot **out_slot, char *text, size_t text_capacity);
/* The same for the slot of that number in the cell, whose ever it is. EXISTS: in use here. */
SF_MUST_CHECK sf_status nk__slot_claim(struct nk_kernel *kernel, enum nk_slot_class slot_class,
                                       uint32_t number, uint32_t memory_bytes, uint32_t *out_index,
                                       struct nk_slot **out_slot, char *text, size_t text_capacity);
/* Leaves no byte of its content. Not under the lock. */
void nk__slot_give_back(struct nk_kernel *kernel, uint32_t index, struct nk_slot *slot);
/* The same, because its SIP lives on elsewhere, at this address: nothing of it stays accessible,
 * and of all slots of the lease it is the last to be taken again. */
void nk__slot_leave(struct nk_kernel *kernel, uint32_t index, struct nk_slot *slot);
/* Its number among all of its class in the cell. */
uint32_t nk__slot_number(const struct nk_kernel *kernel, uint32_t index);
uint64_t nk__slot_address(const struct nk_kernel *kernel, uint32_t index);
/* Large class: the SIP may have grown its memory; makes it accessible up to `end` (an offset in the
 * linear memory) at least. False: it has no such memory. From a signal handler, too. */
int nk__slot_extend(struct nk_sip *sip, uint64_t end);
/* The same up to `bytes`, whatever memory.size says. */
int nk__slot_grow(struct nk_sip *sip, uint64_t bytes);
/* The same for an address that faulted. */
int nk__slot_fault(struct nk_sip *sip, uint64_t address);

/* --- load.c --- */
struct nk_image *nk__image_find(struct nk_kernel *kernel, const uint8_t *digest);
void nk__images_fini(struct nk_kernel *kernel);

/* --- sip.c --- */
struct nk_sip *nk__sip_find(const struct nk_kernel *kernel, uint64_t number); /* locked */
/* Closes, frees and reports; the SIP must not be running. On its worker's thread, or paused. */
void nk__sip_finish(struct nk_sip *sip, struct sf_cause cause, const char *report);
void nk__sip_free(struct nk_sip *sip); /* the structure alone */
/* One of that image, with what the manifest says; NULL: no memory. It has no slot and is in no
 * table. */
struct nk_sip *nk__sip_make(struct nk_kernel *kernel, struct nk_image *image, uint64_t number,
                            const char *name);
/* It has its slot, with so many bytes of linear memory. */
void nk__sip_place(struct nk_sip *sip, uint64_t memory_bytes);
/* Declares its exports; on failure some are. Not under the lock. */
SF_MUST_CHECK sf_status nk__sip_export(struct nk_sip *sip, char *text, size_t text_capacity);
/* These are locked: takes them back; puts it into the kernel's table, and its worker's count; and
 * out of them. */
void nk__sip_unexport(struct nk_sip *sip);
void nk__sip_hash(struct nk_sip *sip);
void nk__sip_unhash(struct nk_sip *sip);
/* The same for one that ended itself, by end_how. */
void nk__sip_finish_dead(struct nk_sip *sip);
/*
 * A free port with a fresh handle. NULL: no handle or memory left. All port functions: locked, on
 * the thread of the SIP's worker.
 */
struct nk_port *nk__port_add(struct nk_sip *sip, struct fab_ep *ep, enum nk_port_state state,
                             const char *name);
/* Makes a chunk of free ports. False: no handle or memory left. */
int nk__ports_grow(struct nk_sip *sip);
/* Makes one that is on no list hold ep. */
void nk__port_put(struct nk_port *port, struct nk_sip *sip, struct fab_ep *ep,
                  enum nk_port_state state, const char *name);
/* One that no SIP has yet waits for an accept of the export, and now holds ep. */
void nk__port_pend(struct nk_port *port, struct nk_sip *sip, struct nk_export *export,
                   struct fab_ep *ep);
/* The endpoint is gone or will be closed by the caller. */
void nk__port_free(struct nk_port *port);
/* Drops what was not delivered, closes the endpoint, frees the port. */
void nk__port_close(struct nk_port *port, struct sf_cause cause);
/*
 * Something may have to leave the node for an endpoint: worker 0 has the links. To be called before
 * the endpoint is closed.
 */
static inline void nk__port_leaves(const struct nk_port *port, struct nk_kernel *kernel)
{
    if (fab_ep_local_peer(port->ep) == NULL && !nk__mine(kernel->workers[0])) {
        nk__attend(kernel->workers[0]);
    }
}
/* The port at the other end of its channel, if a SIP of this node holds that; else NULL. */
struct nk_port *nk__port_other(const struct nk_port *port);
/* Finds out whether a port is local, and tells the port at the other end. */
void nk__port_settle(struct nk_port *port);
/* Makes it, and the port at the other end, not local. */
void nk__port_share(struct nk_port *port);

/* A SIP's ports, free ones too, have the indices from 1 to below this. */
static inline uint32_t nk__port_end(const struct nk_sip *sip)
{
    return sip->chunk_count * NK_PORT_CHUNK;
}

static inline struct nk_port *nk__port_at(const struct nk_sip *sip, uint32_t index)
{
    return &sip->chunks[index / NK_PORT_CHUNK][index % NK_PORT_CHUNK];
}

/* The port of a handle the SIP knows, or NULL. */
static inline struct nk_port *nk__port(const struct nk_sip *sip, uint32_t handle)
{
    uint32_t index = NK_HANDLE_INDEX(handle);
    struct nk_port *port;

    if (__builtin_expect(index / NK_PORT_CHUNK >= sip->chunk_count, 0)) {
        return NULL;
    }
    port = nk__port_at(sip, index);
    return port->handle == handle && port->state == NK_PORT_OPEN ? port : NULL;
}

/* --- window.c --- */
void nk__window_init(struct nk_sip *sip);
/* The span that an address of a block of this window lies in. */
static inline struct nk_span *nk__window_span(const struct nk_sip *sip, uint32_t address)
{
    return &sip->window.spans[(address - sip->window.offset) >> NK_SPAN_SHIFT];
}
/* Room for `bytes` in the window, for this block. Answers the window address, or 0. */
uint32_t nk__window_add(struct nk_sip *sip, struct xh_block *block, uint32_t bytes);
/* As nk__window_at, if span `index` holds no cells. */
struct xh_block *nk__window_at_run(const struct nk_window *window, uint32_t index, uint32_t address,
                                   uint32_t *out_offset);
/* The live block that `address` lies in, and how far from its start; NULL if none. */
static inline struct xh_block *nk__window_at(const struct nk_sip *sip, uint32_t address,
                                             uint32_t *out_offset)
{
    const struct nk_window *window = &sip->window;
    uint32_t index = (address - window->offset) >> NK_SPAN_SHIFT; /* below the window: huge */
    const struct nk_span *span;

    if (index >= window->span_capacity) {
        return NULL;
    }
    span = &window->spans[index];
    if (__builtin_expect(span->kind == NK_SPAN_CELLS, 1)) {
        uint32_t cell = (address & ((1u << NK_SPAN_SHIFT) - 1)) >> span->shift;
        uintptr_t entry = span->u.cells[cell];

        *out_offset = address & ((1u << span->shift) - 1);
        return (entry & 1) != 0 ? NULL : (struct xh_block *)entry;
    }
    return nk__window_at_run(window, index, address, out_offset);
}
/* The block that starts at exactly this address, or NULL. */
static inline struct xh_block *nk__window_find(const struct nk_sip *sip, uint32_t address)
{
    uint32_t offset;
    struct xh_block *block = nk__window_at(sip, address, &offset);

    return block != NULL && offset == 0 ? block : NULL;
}
void nk__window_remove(struct nk_sip *sip, uint32_t address);
/* The same for a block that the SIP never got to see: nor will it see what was in it. */
void nk__window_undo(struct nk_sip *sip, uint32_t address);
/* True if [address, address + bytes) lies inside one live block. */
int nk__window_covers(const struct nk_sip *sip, uint32_t address, uint32_t bytes);
/* Did a block lie at this address that was sent or freed since? From a signal handler, too. */
int nk__window_gone(const struct nk_sip *sip, uint32_t address);
/* For handover.c: a place for a block of that length with pages of its own, but without pages.
 * 0: no room. */
uint32_t nk__window_place(struct nk_sip *sip, struct xh_block *block, uint32_t bytes);
/* The same for a block with whole page tables (xh_has_tables), for its whole room, at the beginning
 * of a page table. It may be cut down to what the block needs when the window is full. */
uint32_t nk__window_place_tables(struct nk_sip *sip, struct xh_block *block);
/* Gives a place pages, all zero. False: no mapping to be had. */
int nk__window_fill(struct nk_sip *sip, uint32_t address, uint32_t bytes);
/* For restore.c, which puts a window together again: makes a free span one of cells, with pages, or
 * a run with `bytes` of pages; puts a block into a free cell, or marks a free span as gone. False:
 * not there, or taken; no memory, no mapping. */
int nk__window_put_cells(struct nk_sip *sip, uint32_t index, uint32_t shift);
int nk__window_put_block(struct nk_sip *sip, uint32_t index, uint32_t cell, struct xh_block *block);
int nk__window_put_run(struct nk_sip *sip, uint32_t index, uint32_t run, uint32_t bytes,
                       struct xh_block *block);
int nk__window_put_gone(struct nk_sip *sip, uint32_t index);
/* All its blocks get another owner, and the SIP itself. */
void nk__window_give(struct nk_sip *sip, uint64_t owner);
/* Frees all blocks in it; the slot's window pages are gone too. Not under the lock. */
void nk__window_fini(struct nk_sip *sip);

/* As nk__memory, where there may still be a block or, in a native SIP, the stack. */
uint8_t *nk__memory_slow(struct nk_sip *sip, uint32_t address, uint32_t bytes);
/* --- handover.c --- */
/* The bytes of a block go home, because it is about to be sent, or was not received after all. Only
 * then may the message be published, or nk__window_remove be called. */
void nk__handover_leave(struct nk_sip *sip, struct xh_block *block, uint32_t address);
/* A new block, of which the heap said `pages`, gets a place in the window; its bytes are zero, or
 * what this SIP has seen already. Answers the address, or 0: no room. */
uint32_t nk__handover_alloc(struct nk_sip *sip, struct xh_block *block, enum xh_pages pages);
/* A block is about to be freed: its pages go home if the heap can use them. */
void nk__handover_free(struct nk_sip *sip, struct xh_block *block, uint32_t address);
/* The message was refused: they come back. */
void nk__handover_back(struct nk_sip *sip, struct xh_block *block, uint32_t address);
/* The bytes of a received block enter the window. Answers the address, or 0: no room. */
uint32_t nk__handover_enter(struct nk_sip *sip, struct xh_block *block);
/* The pages of a block go from one window to another; neither SIP runs, both are this thread's.
 * Answers the address there, or 0: not possible, nothing has changed. */
uint32_t nk__handover_pass(struct nk_sip *sip, struct xh_block *block, uint32_t address,
                           struct nk_sip *to);
/* And back; the place at `to` stays. */
void nk__handover_unpass(struct nk_sip *sip, struct xh_block *block, uint32_t address,
                         struct nk_sip *to, uint32_t at);

/* Is there room in its quota? What it has sent and nobody has taken yet counts. */
static inline int nk__blocks_fit(const struct nk_sip *sip, uint64_t bytes)
{
    return sip->block_bytes + xh_account_bytes(sip->account) + bytes <= sip->block_bytes_max;
}

/* SIP memory [address, address + bytes), or NULL if the SIP itself may not touch all of it. */
static inline uint8_t *nk__memory(struct nk_sip *sip, uint32_t address, uint32_t bytes)
{
    if (__builtin_expect((uint64_t)address + bytes <= sip->memory_bytes, 1)) {
        return sip->memory + address;
    }
    return nk__memory_slow(sip, address, bytes);
}

/* --- sched.c --- */
static inline int nk__run_empty(const struct nk_worker *worker)
{
    return worker->front == NULL && nk_list_empty(&worker->run) && nk_list_empty(&worker->late);
}
/* All of these: on the thread of the SIP's worker. */
void nk__wake(struct nk_sip *sip);
/* nk__wake of a waiting SIP by the running one. */
static inline void nk__wake_next(struct nk_sip *sip)
{
    struct nk_worker *worker = sip->worker;

    sip->state = NK_SIP_READY;
    worker->ready++;
    if (__builtin_expect(worker->front_count >= NK_FRONT_MAX, 0)) {
        worker->front_count = 0;
        nk_list_insert(worker->run.prev, &sip->run);
        return;
    }
    if (worker->front != NULL) {
        nk_list_insert(worker->run.prev, &worker->front->run);
    }
    worker->front = sip;
}
void nk__unready(struct nk_sip *sip); /* takes it out of the run queue, if it is there */
void nk__timer_add(struct nk_sip *sip, uint64_t deadline); /* which has none */
void nk__timer_remove(struct nk_sip *sip);                 /* which has one */
/* Blocks the SIP that called; timeout_ns < 0: for ever. */
_Noreturn void nk__block(struct nk_sip *sip, int64_t timeout_ns);
/* The SIP that called has ended (end_how and so on are set): nk_run finishes it. */
_Noreturn void nk__leave_dead(struct nk_sip *sip);
/* Puts the SIP that called at the end of the run queue; it will see `result`. */
_Noreturn void nk__requeue(struct nk_sip *sip, uint64_t result);
/* The tick ended its turn: behind the others, or asleep if it has used up its share. */
_Noreturn void nk__turn_over(struct nk_sip *sip, uint64_t result);
/* The body of nk_run, for any worker. Its own thread only. */
bool nk__worker_run(struct nk_worker *worker, uint32_t budget, uint64_t now_ns);
uint64_t nk__now(void);

/* --- calls.c, calls_channel.c, calls_wait.c --- */
extern const void *const nk__call_table[];
/* Tries to finish the wait of a woken SIP. False: nothing there, wait on. */
int nk__wait_finish(struct nk_sip *sip, uint64_t *out_result);
/* Forgets what the SIP waited for. */
void nk__wait_clear(struct nk_sip *sip);
/* To receive from it would answer something else than AGAIN. Locked, if it is not local. */
static inline int nk__port_readable(const struct nk_port *port)
{
    return port->stash != NULL || fab_ep_readable(port->ep);
}
int64_t nk__recv_finish(struct nk_sip *sip);
/* A message of scalars from another node: into the memory of the SIP that waits for it at this
 * port. False: nothing has changed; it has to be queued. Locked. */
bool nk__arrive(struct nk_port *port, const struct fab_msg *msg);
/* Receives if there is something; AGAIN if not. */
sf_status nk__recv_now(struct nk_sip *sip, struct nk_port *port, uint8_t *out);
/* Something came to a port with `waiting` set. Locked, or on the worker of its SIP. */
void nk__port_tell(struct nk_port *port);
/* Makes these handles, at any address, the set that it selects from; all may be ready. BADHANDLE,
 * NOMEM: none is. */
SF_MUST_CHECK sf_status nk__select_arm(struct nk_sip *sip, const uint8_t *handles, uint32_t count);
/* A port goes. */
void nk__select_lose(struct nk_port *port);
/* A channel was opened to an export of this SIP, by its full name. Locked, any thread. */
void nk__sip_opened(struct nk_sip *sip, const char *export_name, struct fab_ep *ep);

int64_t nk__call_endpoint(struct nk_sip *sip, uint32_t name, uint32_t bytes);
int64_t nk__call_accept(struct nk_sip *sip, uint32_t name, uint32_t bytes, int64_t timeout_ns);
int64_t nk__call_listen(struct nk_sip *sip, uint32_t name, uint32_t bytes);
int64_t nk__call_channel(struct nk_sip *sip, uint64_t contract, uint32_t state, uint32_t handles);
int64_t nk__call_send(struct nk_sip *sip, uint32_t handle, uint32_t message);
int64_t nk__call_recv(struct nk_sip *sip, uint32_t handle, uint32_t message, int64_t timeout_ns);
int64_t nk__call_select(struct nk_sip *sip, uint32_t handles, uint32_t count, int64_t timeout_ns);
int64_t nk__call_recv_any(struct nk_sip *sip, uint32_t handles, uint32_t count, uint32_t message,
                          int64_t timeout_ns);
int64_t nk__call_close(struct nk_sip *sip, uint32_t handle);
int64_t nk__call_state(struct nk_sip *sip, uint32_t handle);
int64_t nk__call_cause(struct nk_sip *sip, uint32_t handle);

/* --- fault.c --- */
/* For the calling thread, counted. */
SF_MUST_CHECK sf_status nk__signals_install(void);
void nk__signals_remove(void);
/* Ends the running SIP with a fault told by a kernel call. */
_Noreturn void nk__fault_from_call(struct nk_sip *sip, uint8_t kind);
/* From a signal handler that found sealed code: the running SIP ends when the handler returns.
 * NONE: the kind is found later, from `where`. regs: greg_t of the context. */
void nk__fault_from_signal(struct nk_sip *sip, uint8_t kind, long long *regs);
/* What a touch of linear memory at this offset, which faulted, was: enum sf_fault_kind. */
uint8_t nk__fault_of_memory(const struct nk_sip *sip, uint64_t offset);

/* --- fault_report.c --- */
/* The report on a SIP that is still whole; the caller's to free. NULL: no memory. */
char *nk__fault_report(const struct nk_sip *sip);

/* --- quota.c --- */
void nk__quota_init(struct nk_sip *sip);
/* From the tick's handler, while this SIP runs: charges it. Answers the fault it has earned, or
 * SF_FAULT_NONE. */
uint8_t nk__quota_tick(struct nk_sip *sip);
/* Until when a SIP must rest that used more than its share, or 0. */
uint64_t nk__quota_rest(struct nk_sip *sip);
/* Forgets the time until now. */
void nk__quota_skip(void);
static inline int nk__quota_cpu_over(const struct nk_sip *sip)
{
    return sip->cpu_ns_max != 0 && sip->cpu_ns >= sip->cpu_ns_max;
}
/* What `send` answers, unless the manifest wants the SIP to end of it. */
int64_t nk__send_refused(struct nk_sip *sip, const struct nk_port *port, uint32_t tag,
                         sf_status status);

/* Does an instruction there belong to an image? */
static inline int nk__in_image_area(uint64_t rip)
{
    return rip >= NK_IMAGE_BASE && rip < NK_IMAGE_BASE + NK_IMAGE_PLACES * NK_IMAGE_STRIDE;
}

/* --- precopy.c --- */
/* A SIP ends or leaves; not under the lock. False: its slot is still being copied from, and given
 * back by who does that. */
int nk__precopy_leave(struct nk_sip *sip);

/* --- native.c --- */
/* TRUST, with what to do about it: the image is native and the operator has not allowed that. */
SF_MUST_CHECK sf_status nk__native_allowed(const struct nk_kernel *kernel,
                                           const struct image *image, char *text,
                                           size_t text_capacity);
/* Nothing to do for an image that is not native. Its segments are mapped. NOMEM, IO. */
SF_MUST_CHECK sf_status nk__native_link(struct nk_image *known, char *text, size_t text_capacity);
void nk__native_unlink(struct nk_image *known);
/* Code and data into the slot of a SIP, if it is native; and the code out of it. NOMEM. */
SF_MUST_CHECK sf_status nk__native_attach(struct nk_sip *sip);
void nk__native_detach(struct nk_sip *sip);
/* Where its image's start function lies for this SIP. */
uint64_t nk__start_address(const struct nk_sip *sip);
/* Is this an address in the slot's mapping of code? False if the SIP is not native. */
int nk__native_code_has(const struct nk_sip *sip, uint64_t address);
/* The address in the image's place, which symbols speak of, of one in this SIP's code. */
uint64_t nk__linked(const struct nk_sip *sip, uint64_t address);
/* What a fault is in native code that is `kind` elsewhere. */
uint8_t nk__native_kind(const struct nk_sip *sip, uint8_t kind, uint64_t rip, uint64_t address);
/* Its code as it is mapped for this SIP. */
void nk__code_range(const struct nk_sip *sip, uint64_t *out_first, uint64_t *out_end);

/* Does an instruction there belong to this SIP? */
static inline int nk__is_code_of(const struct nk_sip *sip, uint64_t rip)
{
    return nk__in_image_area(rip) || nk__native_code_has(sip, rip);
}

/* --- preempt.c --- */
#define NK_TICK_SIGNAL SIGURG /* ignored by default, so a late one is harmless */
/* For the calling thread, counted. 0: 10 ms. */
SF_MUST_CHECK sf_status nk__tick_install(uint64_t wanted_ns);
void nk__tick_remove(void);
/* SIPs run: tick. */
void nk__tick_arm(void);

/* --- service.c: locked, but for _step and _fini, which are worker 0's --- */
void nk__service_ready(struct nk_port *port);
void nk__service_opened(struct nk_kernel *kernel, uint64_t owner, struct fab_ep *ep);
/* Delivers one note to a service; false if there is none. */
int nk__service_step(struct nk_kernel *kernel);
void nk__services_fini(struct nk_kernel *kernel);

/* --- trace.c: locked; for a port with `trace` set --- */
/* What is sent is looked at before (blocks and endpoints are gone afterwards). It counts when it
 * has been sent: nk__trace_sent gets the answer, in the same hold of the lock. */
struct nk_trace_event *nk__trace_sending(const struct nk_kernel *kernel, const struct nk_port *port,
                                         const struct fab_msg *msg);
void nk__trace_sent(const struct nk_kernel *kernel, const struct nk_port *port,
                    struct nk_trace_event *event);
/* before: the holder's state then. The message has not been unpacked. */
void nk__trace_received(const struct nk_kernel *kernel, const struct nk_port *port, uint8_t before,
                        const struct fab_msg *msg);
void nk__trace_moved(const struct nk_kernel *kernel, const struct nk_port *port);
void nk__trace_closed(const struct nk_kernel *kernel, const struct nk_port *port,
                      struct sf_cause cause, bool by_peer);
/* What the `trace` of a new port of that endpoint must be. */
uint8_t nk__trace_of(const struct nk_kernel *kernel, const struct fab_ep *ep);
void nk__traces_fini(struct nk_kernel *kernel);

/* --- kernel.c: locked --- */
/* An endpoint nobody could take: closed by the next nk_run. */
void nk__refuse(struct nk_kernel *kernel, struct fab_ep *ep);

#endif
