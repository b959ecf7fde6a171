/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel object: making it, ending it, and what the fabric tells it. */
#include "internal.h"

#include "spares.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HEAP_BYTES_DEFAULT ((size_t)256 << 20)
#define HEAP_STEP ((size_t)2 << 20)
#define ENDPOINTS (128u << 10)
#define SPARE_PART 16u /* of the machine's memory may be kept for SIPs that come */

void nk__say(char *text, size_t text_capacity, const char *format, ...)
{
    va_list args;

    if (text == NULL || text_capacity == 0) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(text, text_capacity, format, args);
    va_end(args);
}

/* --- fabric events: only notes are taken here ----------------------------------------------------
 * They come under the lock, or on the thread of the worker that both ends belong to.
 */

static void on_ready(void *arg, struct fab_ep *ep)
{
    struct nk_port *port = fab_ep_holder(ep);

    (void)arg;
    if (port == NULL) {
        return;
    }
    if (port->service != NULL) {
        nk__service_ready(port);
    } else if (port->waiting != 0) {
        nk__port_tell(port);
    }
}

static bool on_take(void *arg, struct fab_ep *ep, const struct fab_msg *msg)
{
    struct nk_port *port = fab_ep_holder(ep);

    (void)arg;
    return port != NULL && port->waiting != 0 && nk__arrive(port, msg);
}

/* Services are worker 0's. */
static uint32_t on_bytes(void *arg, struct fab_ep *ep, const struct fab_msg *msg, uint32_t index,
                         uint32_t offset, const uint8_t *bytes, uint32_t length)
{
    struct nk_kernel *kernel = arg;
    struct nk_port *port = fab_ep_holder(ep);

    if (port == NULL || port->service == NULL || !nk__mine(kernel->workers[0])) {
        return 0;
    }
    return port->service->ops->bytes(port->service->impl, port->user, msg, index, offset, bytes,
                                     length);
}

void nk__refuse(struct nk_kernel *kernel, struct fab_ep *ep)
{
    if (kernel->refused_count == kernel->refused_capacity) {
        uint32_t capacity = kernel->refused_capacity == 0 ? 16 : kernel->refused_capacity * 2;
        struct fab_ep **refused = realloc(kernel->refused, capacity * sizeof(struct fab_ep *));

        if (refused == NULL) {
            return; /* it stays open and unheard until the kernel ends */
        }
        kernel->refused = refused;
        kernel->refused_capacity = capacity;
    }
    kernel->refused[kernel->refused_count++] = ep;
    nk__attend(kernel->workers[0]);
}

static void on_opened(void *arg, uint64_t export_owner, const char *export_name, struct fab_ep *ep)
{
    struct nk_kernel *kernel = arg;
    struct nk_sip *sip;

    if (export_owner >> 56 == XH_OWNER_SERVICE) {
        nk__service_opened(kernel, export_owner, ep);
        return;
    }
    sip = nk__sip_find(kernel, export_owner & 0xffffffffffffffull);
    if (sip == NULL || sip->state == NK_SIP_ENDING) { /* its exports are about to go */
        nk__refuse(kernel, ep);
        return;
    }
    nk__sip_opened(sip, export_name, ep);
}

static void on_session_lost(void *arg, uint16_t peer_id, struct sf_cause cause)
{
    struct nk_kernel *kernel = arg;

    if (kernel->events.session_lost == NULL) {
        return;
    }
    if (nk__mine(kernel->workers[0])) {
        kernel->events.session_lost(kernel->events_arg, peer_id, cause);
    } else {
        nk__note_lost(kernel, peer_id, cause);
    }
}

/* The worker may sleep, or be about to. */
static void on_waiting(void *arg, uint32_t lane)
{
    struct nk_kernel *kernel = arg;

    if (lane < kernel->worker_count && !nk__mine(kernel->workers[lane])) {
        nk__attend(kernel->workers[lane]);
    }
}

void nk_when_said(struct nk_kernel *kernel, void (*said)(void *arg), void *arg)
{
    kernel->said = said;
    kernel->said_arg = arg;
}

static bool on_read(void *arg, uint16_t peer_id, uint64_t address, void *to, uint32_t bytes,
                    uint64_t cookie)
{
    const struct nk_reader *reader = &((struct nk_kernel *)arg)->reader;

    return reader->read != NULL && reader->read(reader->arg, peer_id, address, to, bytes, cookie);
}

static void on_revoke(void *arg, uint16_t peer_id)
{
    const struct nk_reader *reader = &((struct nk_kernel *)arg)->reader;

    if (reader->revoke != NULL) {
        reader->revoke(reader->arg, peer_id);
    }
}

void nk_reader_set(struct nk_kernel *kernel, const struct nk_reader *reader)
{
    kernel->reader = reader != NULL ? *reader : (struct nk_reader){.arg = NULL};
}

/* --- life ----------------------------------------------------------------------------------------
 */

static uint64_t spare_bytes_max(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES);

    return pages > 0 ? (uint64_t)pages * NK_PAGE_BYTES / SPARE_PART : 0;
}

static sf_status heap_create(struct nk_kernel *kernel, const struct nk_options *options)
{
    struct xh_options heap = {
        .base = (void *)(XH_CELL_BASE + options->node_id * XH_NODE_STRIDE),
        .range_bytes = options->heap_bytes == 0 ? HEAP_BYTES_DEFAULT : options->heap_bytes,
        .tables = !options->copy_blocks,
    };

    heap.range_bytes = (heap.range_bytes + HEAP_STEP - 1) & ~(HEAP_STEP - 1);
    return xh_heap_create(&heap, &kernel->heap);
}

static void on_random(void *arg, uint8_t *bytes, uint32_t length)
{
    (void)arg;
    randombytes_buf(bytes, length);
}

static sf_status fabric_create(struct nk_kernel *kernel, const struct nk_options *options)
{
    struct fab_options fabric = {
        .node_id = options->node_id,
        .epoch = options->epoch,
        .heap = kernel->heap,
        .events = {.ready = on_ready,
                   .take = on_take,
                   .bytes = on_bytes,
                   .opened = on_opened,
                   .session_lost = on_session_lost,
                   .read = on_read,
                   .revoke = on_revoke,
                   .waiting = kernel->worker_count > 1 ? on_waiting : NULL},
        .events_arg = kernel,
        .secret_key = options->secret_key,
        .peer_timeout_ns = options->peer_timeout_ns,
        .random = on_random,
        /* Records cost memory when first used. Many more than one SIP can take. */
        .endpoint_count_max = ENDPOINTS,
    };

    return fab_node_create(&fabric, &kernel->fabric);
}

static sf_status std_contracts_add(struct nk_kernel *kernel)
{
#define NK_STD_CONTRACT(name)                                                                      \
    extern const uint8_t ct_blob_##name[];                                                         \
    extern const size_t ct_blob_##name##_bytes;                                                    \
    {                                                                                              \
        sf_status st = nk_contract_add(kernel, ct_blob_##name, ct_blob_##name##_bytes, NULL, 0);   \
        if (st != SF_OK) {                                                                         \
            return st;                                                                             \
        }                                                                                          \
    }
#include "std_contracts.def"
#undef NK_STD_CONTRACT
    return SF_OK;
}

/* Each step and what it was about; what was made is found by nk_kernel_destroy. */
static sf_status kernel_init(struct nk_kernel *kernel, const struct nk_options *options,
                             const char **out_step)
{
    sf_status st;

    *out_step = "gate page";
    st = nk__gate_install();
    if (st != SF_OK) {
        return st;
    }
    kernel->has_gate = 1;
    *out_step = "signal handlers";
    st = nk__signals_install();
    if (st != SF_OK) {
        return st;
    }
    kernel->has_signals = 1;
    *out_step = "timer";
    st = nk__tick_install(options->tick_ns);
    if (st != SF_OK) {
        return st;
    }
    kernel->has_tick = 1;
    *out_step = "slots";
    st = nk__slots_init(kernel, options);
    if (st != SF_OK) {
        return st;
    }
    *out_step = "spare memory";
    st = nk__spares_create(spare_bytes_max(), &kernel->spares);
    if (st != SF_OK) {
        return st;
    }
    *out_step = "workers";
    nk__notes_init(kernel);
    st = nk__workers_init(kernel, options);
    if (st != SF_OK) {
        return st;
    }
    *out_step = "exchange heap";
    st = heap_create(kernel, options);
    if (st != SF_OK) {
        return st;
    }
    *out_step = "fabric";
    st = fabric_create(kernel, options);
    if (st != SF_OK) {
        return st;
    }
    *out_step = "standard contracts";
    st = std_contracts_add(kernel);
    if (st != SF_OK) {
        return st;
    }
    *out_step = "threads of the workers";
    return nk__workers_start(kernel);
}

sf_status nk_kernel_create(const struct nk_options *options, struct nk_kernel **out_kernel,
                           char *text, size_t text_capacity)
{
    struct nk_kernel *kernel;
    const char *step;
    sf_status st;

    if (options->slot_count == 0 || options->slot_first >= NK_SLOT_COUNT_MAX ||
        options->slot_count > NK_SLOT_COUNT_MAX - options->slot_first || options->node_id == 0 ||
        options->node_id >= FAB_NODES_MAX || options->worker_count > NK_WORKERS_MAX) {
        nk__say(text, text_capacity, "kernel: node id, slot range or workers out of bounds");
        return SF_BADARG;
    }
    kernel = calloc(1, sizeof(*kernel));
    if (kernel == NULL) {
        return SF_NOMEM;
    }
    nk_list_init(&kernel->service_ready);
    kernel->copy_blocks = options->copy_blocks;
    kernel->events = options->events;
    kernel->events_arg = options->events_arg;
    kernel->allow_native = options->allow_native;
    if (options->trust != NULL) {
        nk_trust_set(kernel, options->trust);
    }
    (void)snprintf(kernel->node_name, sizeof(kernel->node_name), "%s", options->node_name);
    st = kernel_init(kernel, options, &step);
    if (st != SF_OK) {
        nk__say(text, text_capacity, "kernel: %s: %s", step, sf_status_text(st));
        nk_kernel_destroy(kernel);
        return st;
    }
    *out_kernel = kernel;
    return SF_OK;
}

static void sips_stop(struct nk_kernel *kernel)
{
    for (uint32_t i = 0; i < NK_SIP_BUCKETS; i++) {
        while (kernel->sips[i] != NULL) {
            kernel->sips[i]->end_how = NK_END_STOPPED;
            nk__sip_finish(kernel->sips[i], SF_CAUSE_OF(SHUTDOWN), NULL);
        }
    }
}

void nk_kernel_stop(struct nk_kernel *kernel)
{
    assert(nk__cpu.worker == NULL); /* not from inside nk_run */
    if (kernel->worker_count > 0) {
        nk_pause(kernel);
    }
    sips_stop(kernel);
    nk__services_fini(kernel);
    while (kernel->refused_count > 0) {
        fab_ep_close(kernel->refused[--kernel->refused_count], SF_CAUSE_OF(SHUTDOWN));
    }
    if (kernel->worker_count > 0) {
        while (nk__notes_deliver(kernel)) {
        }
        nk_resume(kernel);
    }
}

void nk_kernel_destroy(struct nk_kernel *kernel)
{
    if (kernel == NULL) {
        return;
    }
    nk_kernel_stop(kernel);
    nk__workers_fini(kernel);
    nk__notes_fini(kernel);
    fab_node_destroy(kernel->fabric);
    nk__images_fini(kernel);
    for (uint32_t i = 0; i < kernel->contract_count; i++) {
        ct_destroy(kernel->contracts[i]);
    }
    free(kernel->contracts);
    xh_heap_destroy(kernel->heap);
    free(kernel->refused);
    nk__traces_fini(kernel);
    nk__slots_fini(kernel);
    nk__spares_destroy(kernel->spares);
    if (kernel->has_tick) {
        nk__tick_remove();
    }
    if (kernel->has_signals) {
        nk__signals_remove();
    }
    if (kernel->has_gate) {
        nk__gate_remove();
    }
    free(kernel);
}

/* --- small things
 * --------------------------------------------------------------------------------- */

struct xh_heap *nk_kernel_heap(struct nk_kernel *kernel)
{
    return kernel->heap;
}

bool nk_copies_blocks(const struct nk_kernel *kernel)
{
    return kernel->copy_blocks != 0;
}

struct fab_node *nk_kernel_fabric(struct nk_kernel *kernel)
{
    return kernel->fabric;
}

const char *nk_kernel_node_name(const struct nk_kernel *kernel)
{
    return kernel->node_name;
}

sf_status nk_contract_add(struct nk_kernel *kernel, const uint8_t *blob, size_t blob_bytes,
                          char *text, size_t text_capacity)
{
    const char *why = "";
    struct ct_contract **grown;
    struct ct_contract *contract;
    sf_status st = ct_decode(blob, blob_bytes, &contract, &why);

    if (st != SF_OK) {
        nk__say(text, text_capacity, "contract: %s", why);
        return st;
    }
    for (uint32_t i = 0; i < kernel->contract_count; i++) { /* worker 0's alone */
        if (memcmp(kernel->contracts[i]->id, contract->id, CT_ID_BYTES) == 0) {
            ct_destroy(contract);
            return SF_OK;
        }
    }
    grown = realloc(kernel->contracts, (kernel->contract_count + 1) * sizeof(*grown));
    if (grown == NULL) {
        ct_destroy(contract);
        return SF_NOMEM;
    }
    kernel->contracts = grown;
    kernel->contracts[kernel->contract_count++] = contract; /* stays, whatever the fabric says */
    nk__lock(kernel);
    st = fab_contract_add(kernel->fabric, contract);
    nk__unlock(kernel);
    if (st != SF_OK) {
        nk__say(text, text_capacity, "contract %s: %s", contract->name, sf_status_text(st));
    }
    return st;
}

void nk_lock(struct nk_kernel *kernel)
{
    nk__lock(kernel);
}

void nk_unlock(struct nk_kernel *kernel)
{
    nk__unlock(kernel);
}

void nk_query(const struct nk_kernel *kernel, struct nk_stats *out_stats)
{
    *out_stats =
        (struct nk_stats){.sip_count = kernel->sip_count, .worker_count = kernel->worker_count};
    for (uint32_t i = 0; i < kernel->worker_count; i++) {
        const struct nk_worker *worker = kernel->workers[i];

        out_stats->switches += __atomic_load_n(&worker->switches, __ATOMIC_RELAXED);
        out_stats->calls += __atomic_load_n(&worker->calls, __ATOMIC_RELAXED);
        out_stats->messages += __atomic_load_n(&worker->messages, __ATOMIC_RELAXED);
    }
}

uint64_t nk_ep_sip(const struct nk_kernel *kernel, const struct fab_ep *ep, const char **out_port)
{
    const struct nk_port *port = fab_ep_holder(ep);

    (void)kernel;
    if (out_port != NULL) {
        *out_port = port == NULL ? "" : port->name;
    }
    if (port == NULL) {
        return 0;
    }
    return port->sip != NULL ? port->sip->number : port->service->number;
}
