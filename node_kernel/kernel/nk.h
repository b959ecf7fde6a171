/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nk.h - the node kernel's core: images, SIPs, the scheduler, and kernel services.
 *
 * Why: the agent (agent.c), PID 1 (boot.c), the services and the benchmarks all drive the same
 * core; the core itself does not know sockets, the control protocol, or devices.
 *
 * Model: one or more workers, each a thread that runs the SIPs that are its own; SIPs are fibers in
 * slots at cell-wide addresses. Worker 0 is the caller's thread: nk_run lets its ready SIPs run,
 * each until it blocks, yields or ends; kernel code runs on the worker's stack to completion. The
 * other workers loop by themselves. A SIP starts near those it is wired to and moves when load is
 * uneven (worker.h). One that computes for longer than a tick (SIGURG, by a timer) is pre-empted,
 * and nk_run returns. A fault in image code ends that SIP only (docs/sips.md has the kinds). When a
 * SIP ends, its endpoints close with a typed cause, its blocks are freed and its slot is wiped and
 * reused; the `ended` event says why.
 *
 * Blocks: a SIP may hold its manifest's block_bytes_max bytes of them (0: 16 MiB); block_alloc
 * answers 0 beyond that. Bytes are copied between the SIP's window and the exchange heap. A block
 * of more than 4 KiB that was sent or freed is gone from the window, and a touch ends the SIP; the
 * window bytes of a smaller one stay with the SIP that had it (nobody else ever sees them), so that
 * a touch is not noticed. A message whose blocks or endpoints do not fit the receiver stays in its
 * queue: recv answers -NOMEM (quota, window) or -LIMIT (handles) until there is room.
 * Backlog: an export holds 256 channels not yet accepted; one more closes with QUOTA.
 *
 * Time: nk_run is given the time (CLOCK_MONOTONIC, as SIPs see it); between calls nothing happens
 * on worker 0. Before its thread sleeps it says so (nk_sleep_begin), so that others wake it.
 * Callbacks: all on worker 0's thread, but those of a poller. `log` is called while a SIP runs and
 * must not call the core; what SIPs of other workers say comes with the next nk_run. `ended` may,
 * except nk_run and nk_kernel_destroy. Link: into executables that are not PIE (-no-pie), because
 * PIEs live where slots do. Threads: all functions from one thread, the one that called
 * nk_kernel_create (it owns the signal alternate stack), but nk_lock and nk_unlock from a poller's
 * callbacks, too. The fabric and its endpoints may be used under nk_lock, or after nk_pause.
 * Errors: `text` buffers (may be NULL) get a sentence for people: what, which object, why. Limits:
 * NK_HANDLES_MAX endpoints a SIP; slot_count SIPs.
 */
#ifndef KERNEL_NK_H
#define KERNEL_NK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "exchange_heap/xh.h"
#include "fabric/fabric.h"
#include "image/image.h"
#include "image/trust.h"

#define NK_WORKERS_MAX 64u

struct nk_kernel;

struct nk_sip_end {
    uint64_t sip;
    const char *name;
    enum { NK_END_EXITED, NK_END_FAULTED, NK_END_STOPPED } how;
    int32_t exit_code;
    uint8_t fault;      /* enum sf_fault_kind */
    const char *report; /* FAULTED: several lines: kind, function, call stack, endpoints with
                         * contract states, last messages. Valid during the call only. */
};

struct nk_events {
    /* sip 0: the kernel itself. */
    void (*log)(void *arg, uint64_t sip, const char *text, uint32_t bytes);
    void (*ended)(void *arg, const struct nk_sip_end *end);
    /* As fab_events.session_lost. */
    void (*session_lost)(void *arg, uint16_t peer_id, struct sf_cause cause);
};

struct nk_options {
    const char *node_name;
    uint16_t node_id;
    uint16_t epoch;
    uint32_t slot_first, slot_count;   /* leased range of small slots */
    uint32_t large_first, large_count; /* of large ones; count 0: those that go with the node id */
    size_t heap_bytes;                 /* 0: 256 MiB */
    bool copy_blocks;  /* never move pages between heap and SIPs: the heap is registered with a
                        * device      that keeps to physical pages */
    bool allow_native; /* images of mode native, which have no checks */
    const uint8_t *secret_key; /* X25519, 32 bytes, for sealed sessions (fabric.h); or NULL */
    /* A SIP that computes longer, and up to a jiffy more, is pre-empted; 0: 10 ms. */
    uint64_t tick_ns;
    uint32_t worker_count;    /* 1..NK_WORKERS_MAX; 0: 1 */
    uint64_t peer_timeout_ns; /* silence after which a peer is lost; 0: 2 s */
    /* Who may have signed images; copied. NULL: nobody, so that all images are refused. */
    const struct image_trust *trust;
    struct nk_events events;
    void *events_arg;
};

SF_MUST_CHECK sf_status nk_kernel_create(const struct nk_options *options,
                                         struct nk_kernel **out_kernel, char *text,
                                         size_t text_capacity);
/*
 * Ends all SIPs and services, and with them all channels: peers see SHUTDOWN, those on other nodes
 * when the fabric's frames have reached them. Of the functions here, only nk_kernel_fabric and
 * nk_kernel_destroy may be called afterwards.
 */
void nk_kernel_stop(struct nk_kernel *kernel);
/* Stops, and frees everything. Takes NULL. What the fabric has not sent by then is lost. */
void nk_kernel_destroy(struct nk_kernel *kernel);

struct xh_heap *nk_kernel_heap(struct nk_kernel *kernel);
/* nk_options.copy_blocks */
bool nk_copies_blocks(const struct nk_kernel *kernel);

/* fab_events.read and revoke, under nk_lock, on the thread that calls the fabric. */
struct nk_reader {
    void *arg;
    bool (*read)(void *arg, uint16_t peer_id, uint64_t address, void *to, uint32_t bytes,
                 uint64_t cookie);
    void (*revoke)(void *arg, uint16_t peer_id);
};
/* Copied. NULL: nothing can be read (so it is at first). */
void nk_reader_set(struct nk_kernel *kernel, const struct nk_reader *reader);
struct fab_node *nk_kernel_fabric(struct nk_kernel *kernel);
const char *nk_kernel_node_name(const struct nk_kernel *kernel);

/*
 * Makes a compiled contract (contracts/table.h) known: to the fabric, and to services by name. The
 * standard contracts are known from the start. Adding one twice is OK. FORMAT, TRUST, NOMEM.
 */
SF_MUST_CHECK sf_status nk_contract_add(struct nk_kernel *kernel, const uint8_t *blob,
                                        size_t blob_bytes, char *text, size_t text_capacity);

/* --- images and SIPs ----------------------------------------------------------------------------
 */

/*
 * Checks (image_open_trusted) and keeps an image; maps its code, only after all checks. Bytes are
 * copied. EXISTS is OK to get. TRUST: altered, not signed by a trusted key, not named `name`, or of
 * mode native where the options do not allow that. Two images that differ in their signature only
 * share one mapping.
 */
SF_MUST_CHECK sf_status nk_image_add_named(struct nk_kernel *kernel, const char *name,
                                           const uint8_t *bytes, size_t length,
                                           uint8_t out_digest[IMAGE_DIGEST_BYTES], char *text,
                                           size_t text_capacity);
/* The same, whatever its name. */
SF_MUST_CHECK sf_status nk_image_add(struct nk_kernel *kernel, const uint8_t *bytes, size_t length,
                                     uint8_t out_digest[IMAGE_DIGEST_BYTES], char *text,
                                     size_t text_capacity);
/* From now on that list decides (copied). SIPs that were made before stay. */
void nk_trust_set(struct nk_kernel *kernel, const struct image_trust *trust);

struct nk_config {
    const char *key;
    const char *value;
};

struct nk_sip_options {
    uint64_t number; /* cell-wide, never reused, not 0 */
    const char *name;
    const uint8_t *image_digest; /* of an image added before */
    const char *image_name;      /* that the image must have; NULL: any */
    const struct nk_config *config;
    uint32_t config_count;
    uint32_t cpu_percent; /* quota, of one core; 0: as its image's manifest says */
    uint32_t worker; /* where it runs for good: index + 1; 0: the kernel chooses, and may move it */
};

/*
 * Reserves a slot, declares the manifest's exports as "<name>.<export>". Does not start. TRUST: the
 * image's signer is not trusted (any more), or the image has another name.
 */
SF_MUST_CHECK sf_status nk_sip_create(struct nk_kernel *kernel,
                                      const struct nk_sip_options *options, char *text,
                                      size_t text_capacity);
/*
 * Opens a channel for an import; the SIP takes it with `endpoint`. Before the start: once an import
 * (EXISTS). A SIP that runs can be wired again, because its exporter was made again: it gets the
 * new channel from its next `endpoint`, whatever it still holds of the one before; one that it
 * never took is closed and replaced. NOTFOUND, CONTRACT.
 */
SF_MUST_CHECK sf_status nk_sip_wire(struct nk_kernel *kernel, uint64_t sip, const char *import,
                                    uint16_t exporter_node, const char *export_name, char *text,
                                    size_t text_capacity);
SF_MUST_CHECK sf_status nk_sip_start(struct nk_kernel *kernel, uint64_t sip);
/*
 * Ends a SIP from outside; peers see cause. Also for one that never started. `ended` is called
 * before it returns, or by the next nk_run if something that another worker told has to come first.
 */
SF_MUST_CHECK sf_status nk_sip_stop(struct nk_kernel *kernel, uint64_t sip, struct sf_cause cause);

/* --- running ------------------------------------------------------------------------------------
 */

/*
 * Runs ready SIPs and services, at most `budget` resumptions. Answers true if anything ran.
 * Fires SIP timers due at now_ns.
 */
bool nk_run(struct nk_kernel *kernel, uint32_t budget, uint64_t now_ns);
/* Earliest SIP timer (absolute ns), UINT64_MAX if none, 0 if a SIP or service is ready now. */
uint64_t nk_next_deadline(const struct nk_kernel *kernel);

/*
 * `said` is called when a SIP of worker 0 has sent a message of scalars to another node, its
 * contract gives the turn to the other side, and no other SIP is ready: whoever moves frames may do
 * so at once, while the SIP goes on to wait for the answer. It runs inside nk_run, and must call
 * nothing of the core but nk_lock and nk_unlock. NULL: nobody.
 */
void nk_when_said(struct nk_kernel *kernel, void (*said)(void *arg), void *arg);

/*
 * Sleeping: the thread of worker 0 calls nk_sleep_begin; if that is true, it may sleep until
 * nk_kernel_fd is readable or nk_next_deadline, and calls nk_sleep_end afterwards.
 */
int nk_kernel_fd(const struct nk_kernel *kernel);
bool nk_sleep_begin(struct nk_kernel *kernel);
void nk_sleep_end(struct nk_kernel *kernel);

/*
 * What the other workers look after beside SIPs (links: queues.h). Worker 0 has its caller for
 * that. All are called on the thread of the worker that is named, between two SIPs, and not while
 * it stands still (nk_pause). A session's lane in the fabric is the worker that sends for it: it is
 * woken when there is something.
 */
struct nk_poller {
    /* Around all calls on that thread; may come after the poller was taken away. */
    void (*thread_begin)(void);
    void (*thread_end)(void);
    /* Never blocks. True: there may be more to do soon. */
    bool (*poll)(void *arg, uint32_t worker, uint64_t now_ns);
    /* Sleeps until wake_fd is readable, what it polls has something, or the deadline
     * (CLOCK_MONOTONIC; UINT64_MAX: none). */
    void (*sleep)(void *arg, uint32_t worker, int wake_fd, uint64_t deadline_ns);
};
/* NULL takes it away: on return nobody is in it, nor comes. IO: no descriptors. Not from inside
 * nk_run. */
SF_MUST_CHECK sf_status nk_poller_set(struct nk_kernel *kernel, const struct nk_poller *poller,
                                      void *arg);

/*
 * Around calls of the fabric (nk_kernel_fabric), from the thread of worker 0. Short: other workers
 * may spin meanwhile. Not recursive: no nk_ function in between.
 */
void nk_lock(struct nk_kernel *kernel);
void nk_unlock(struct nk_kernel *kernel);
/* Makes the other workers stand still, for audits and walks; counted. Not from inside nk_run. */
void nk_pause(struct nk_kernel *kernel);
void nk_resume(struct nk_kernel *kernel);

/*
 * Checks that each block and endpoint is in exactly one place, and all invariants of heap and
 * fabric. OK, or FORMAT and a sentence. While the others stand still (nk_pause), not from inside
 * nk_run.
 */
SF_MUST_CHECK sf_status nk_audit(struct nk_kernel *kernel, const char **out_text);

/*
 * As nk_next_deadline, of all workers. What another worker does meanwhile may make it wrong at
 * once: between nk_pause and nk_resume it is right.
 */
uint64_t nk_next_deadline_all(const struct nk_kernel *kernel);

struct nk_stats {
    uint32_t sip_count, worker_count;
    uint64_t switches, calls, messages;
};
void nk_query(const struct nk_kernel *kernel, struct nk_stats *out_stats);
/*
 * Number of the SIP or service that holds an endpoint, or 0 (it is in a message); port: name of the
 * import or export it came from, or "" (it came in a message or was made by the holder).
 */
uint64_t nk_ep_sip(const struct nk_kernel *kernel, const struct fab_ep *ep, const char **out_port);

/* --- kernel services
 * ------------------------------------------------------------------------------ A service is
 * kernel code that exports contracts. It is event driven: it never blocks.
 */
struct nk_service;

struct nk_service_ops {
    const char *name;          /* "tcp": as in the graph's `service:` */
    const char *export_name;   /* "tcp" */
    const char *contract_name; /* "TcpContract" */
    /* Makes an instance. `loop` is a uv_loop_t the service may add handles to. */
    sf_status (*create)(struct nk_service *service, void *loop, const struct nk_config *config,
                        uint32_t config_count, void **out_impl, char *text, size_t text_capacity);
    /* Closes everything. No callback may come after it returns. */
    void (*destroy)(void *impl);
    /* opened and ready are called from nk_run, never from inside a call of the fabric. */
    /* A client opened a channel to the export; the service holds ep from now on. */
    void (*opened)(void *impl, struct fab_ep *ep);
    /* ep (held by this service) may be readable or closed. user: as given to nk_service_hold. */
    void (*ready)(void *impl, struct fab_ep *ep, void *user);
    /* Optional: fab_events.bytes of all that it holds. Unlike all others from inside a call of the
     * fabric, under the kernel's lock. user: as given to nk_service_hold, or NULL. */
    uint32_t (*bytes)(void *impl, void *user, const struct fab_msg *msg, uint32_t index,
                      uint32_t offset, const uint8_t *bytes, uint32_t length);
};

/* Declares "<name>.<export>" and starts the service. number: as a SIP's. */
SF_MUST_CHECK sf_status nk_service_create(struct nk_kernel *kernel,
                                          const struct nk_service_ops *ops, uint64_t number,
                                          const char *name, void *loop,
                                          const struct nk_config *config, uint32_t config_count,
                                          char *text, size_t text_capacity);
SF_MUST_CHECK sf_status nk_service_destroy(struct nk_kernel *kernel, uint64_t number);

/* For service code: */
struct nk_kernel *nk_service_kernel(struct nk_service *service);
uint64_t nk_service_owner(const struct nk_service *service); /* owner of blocks it holds */
/* Attach user to an endpoint the service received in a message or made; ready() gets it. */
SF_MUST_CHECK sf_status nk_service_hold(struct nk_service *service, struct fab_ep *ep, void *user);
/*
 * An endpoint that a service holds is closed and sent away with these two (they forget it; it gets
 * no ready() any more), not with fab_ep_close and fab_ep_send. Answers as fab_ep_send. To receive:
 * nk_service_recv, until AGAIN or CLOSED; blocks are then owned by nk_service_owner(service).
 */
void nk_service_close(struct nk_service *service, struct fab_ep *ep, struct sf_cause cause);
SF_MUST_CHECK sf_status nk_service_send(struct nk_service *service, struct fab_ep *ep,
                                        const struct fab_msg *msg);
SF_MUST_CHECK sf_status nk_service_recv(struct nk_service *service, struct fab_ep *ep,
                                        struct fab_msg *out_msg);
/* One line to the operator's log, as the service. */
void nk_service_log(struct nk_service *service, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
