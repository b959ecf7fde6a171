/* SPDX-License-Identifier: Apache-2.0 */
/* SIPs from creation to the last byte wiped, and the ports that hold their endpoints. */
#include "internal.h"

#include "image.pb-c.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define FRAME_WORDS 7u /* what nk__fiber_resume pops */

/* --- ports --------------------------------------------------------------------------------------
 */

int nk__ports_grow(struct nk_sip *sip)
{
    uint32_t first = nk__port_end(sip);
    struct nk_port *chunk;

    if (first >= NK_HANDLES_MAX) {
        return 0;
    }
    if ((sip->chunk_count & (sip->chunk_count - 1)) == 0) { /* full at powers of two */
        uint32_t capacity = sip->chunk_count == 0 ? 1 : sip->chunk_count * 2;
        struct nk_port **chunks = realloc(sip->chunks, capacity * sizeof(struct nk_port *));

        if (chunks == NULL) {
            return 0;
        }
        sip->chunks = chunks;
    }
    chunk = calloc(NK_PORT_CHUNK, sizeof(*chunk));
    if (chunk == NULL) {
        return 0;
    }
    for (uint32_t i = NK_PORT_CHUNK; i-- > 0;) {
        chunk[i].handle = NK_HANDLES_MAX | (first + i); /* generation 1 */
        if (first + i != 0) {                           /* 0 is no handle's index */
            chunk[i].free_next = sip->port_free;
            sip->port_free = first + i;
        }
    }
    sip->chunks[sip->chunk_count++] = chunk;
    return 1;
}

struct nk_port *nk__port_add(struct nk_sip *sip, struct fab_ep *ep, enum nk_port_state state,
                             const char *name)
{
    struct nk_port *port;

    if (sip->port_free == 0 && !nk__ports_grow(sip)) {
        return NULL;
    }
    port = nk__port_at(sip, sip->port_free);
    sip->port_free = port->free_next;
    nk__port_put(port, sip, ep, state, name);
    if (state == NK_PORT_OPEN) {
        nk__port_settle(port);
    }
    return port;
}

void nk__port_put(struct nk_port *port, struct nk_sip *sip, struct fab_ep *ep,
                  enum nk_port_state state, const char *name)
{
    const uint32_t handle = port->handle;
    struct fab_ep_info info;

    fab_ep_query(ep, &info);
    *port = (struct nk_port){.ep = ep,
                             .plans = fab_ep_plans(ep),
                             .message_count = info.contract->message_count,
                             .contract = info.contract,
                             .side = (uint8_t)info.side,
                             .sip = sip,
                             .name = name,
                             .handle = handle,
                             .state = (uint8_t)state,
                             .trace = nk__trace_of(sip->kernel, ep)};
    nk_list_init(&port->link);
    fab_ep_hold(ep, port);
    sip->port_count++;
}

void nk__port_pend(struct nk_port *port, struct nk_sip *sip, struct nk_export *export,
                   struct fab_ep *ep)
{
    *port = (struct nk_port){.ep = ep,
                             .contract = fab_ep_contract(ep),
                             .sip = sip,
                             .name = export->name,
                             .state = NK_PORT_PENDING};
    fab_ep_hold(ep, port);
    export->pending_count++;
    nk_list_insert(export->pending.prev, &port->link);
}

static void mates_part(struct nk_port *port)
{
    if (port->mate != NULL) {
        port->mate->mate = NULL;
        port->mate = NULL;
    }
}

void nk__port_free(struct nk_port *port)
{
    struct nk_sip *sip = port->sip;
    uint32_t index = NK_HANDLE_INDEX(port->handle);

    nk_list_remove(&port->link);
    free(port->stash);
    port->stash = NULL;
    mates_part(port);
    nk__select_lose(port);
    port->ep = NULL;
    port->state = NK_PORT_FREE;
    /* The next holder gets the next generation; never 0, never a negative handle. */
    port->handle = (port->handle + NK_HANDLES_MAX) & INT32_MAX;
    if (port->handle < NK_HANDLES_MAX) {
        port->handle = NK_HANDLES_MAX | index;
    }
    port->free_next = sip->port_free;
    sip->port_free = index;
    sip->port_count--;
}

struct nk_port *nk__port_other(const struct nk_port *port)
{
    const struct fab_ep *peer = fab_ep_local_peer(port->ep);
    struct nk_port *other = peer == NULL ? NULL : fab_ep_holder(peer);

    return other == NULL || other->sip == NULL ? NULL : other;
}

/* Can both ends of its channel be touched by this worker's thread alone? */
static int port_is_near(const struct nk_port *port, const struct nk_worker *worker)
{
    return port->state == NK_PORT_OPEN && port->sip->worker == worker &&
           port->sip->state != NK_SIP_CREATED && port->sip->state != NK_SIP_ARRIVING &&
           port->sip->state != NK_SIP_FROZEN;
}

void nk__port_settle(struct nk_port *port)
{
    struct nk_port *other = nk__port_other(port);
    const struct nk_worker *worker = port->sip->worker;

    assert(nk__mine(worker) || port->sip->kernel->pause > 0);
    port->local = other != NULL && port_is_near(port, worker) && port_is_near(other, worker) &&
                  port->trace == 0 && other->trace == 0;
    port->mate = NULL;
    if (port->local) {
        other->local = 1;
        port->mate = other;
        other->mate = port;
    } else if (other != NULL) {
        assert(other->sip->worker == worker || !other->local);
        other->local = 0;
        other->mate = NULL;
    }
}

void nk__port_share(struct nk_port *port)
{
    if (port->mate != NULL) {
        port->mate->local = 0;
    }
    mates_part(port);
    port->local = 0;
}

void nk__port_close(struct nk_port *port, struct sf_cause cause)
{
    struct fab_ep *ep = port->ep;

    nk__port_leaves(port, port->sip->kernel);
    if (port->trace != 0) {
        nk__trace_closed(port->sip->kernel, port, cause, false);
    }
    if (port->stash != NULL) {
        fab_msg_drop(port->sip->kernel->fabric, port->contract, port->stash, port->sip->owner,
                     cause);
    }
    nk__port_free(port);
    fab_ep_hold(ep, NULL);
    fab_ep_close(ep, cause);
}

/* --- creation -----------------------------------------------------------------------------------
 */

struct nk_sip *nk__sip_find(const struct nk_kernel *kernel, uint64_t number)
{
    struct nk_sip *sip = kernel->sips[number % NK_SIP_BUCKETS];

    while (sip != NULL && sip->number != number) {
        sip = sip->hash_next;
    }
    return sip;
}

static void pending_close(struct nk_export *export, struct sf_cause cause)
{
    while (!nk_list_empty(&export->pending)) {
        struct nk_port *port = NK_CONTAINER(export->pending.next, struct nk_port, link);

        nk_list_remove(&port->link);
        fab_ep_hold(port->ep, NULL);
        fab_ep_close(port->ep, cause);
        free(port);
    }
}

void nk__sip_free(struct nk_sip *sip)
{
    for (uint32_t i = 0; i < sip->chunk_count; i++) {
        free(sip->chunks[i]);
    }
    free(sip->chunks);
    for (uint32_t i = 0; i < sip->config_count; i++) {
        free((char *)sip->config[i].key);
        free((char *)sip->config[i].value);
    }
    free(sip->config);
    free(sip->exports);
    xh_account_close(sip->account);
    free(sip->select_handles);
    free(sip);
}

static sf_status sip_config(struct nk_sip *sip, const struct nk_sip_options *options)
{
    if (options->config_count == 0) {
        return SF_OK;
    }
    sip->config = calloc(options->config_count, sizeof(*sip->config));
    if (sip->config == NULL) {
        return SF_NOMEM;
    }
    for (uint32_t i = 0; i < options->config_count; i++) {
        sip->config[i].key = strdup(options->config[i].key);
        sip->config[i].value = strdup(options->config[i].value);
        sip->config_count++;
        if (sip->config[i].key == NULL || sip->config[i].value == NULL) {
            return SF_NOMEM;
        }
    }
    return SF_OK;
}

sf_status nk__sip_export(struct nk_sip *sip, char *text, size_t text_capacity)
{
    const struct Sf__Image__Manifest *manifest = sip->image->image->manifest;
    char name[FAB_NAME_BYTES_MAX + 1];

    if (manifest->n_exports == 0) {
        return SF_OK;
    }
    sip->exports = calloc(manifest->n_exports, sizeof(*sip->exports));
    if (sip->exports == NULL) {
        return SF_NOMEM;
    }
    for (size_t i = 0; i < manifest->n_exports; i++) {
        const struct ct_contract *contract =
            image_contract(sip->image->image, manifest->exports[i]->contract);
        sf_status st;

        if (contract == NULL) {
            nk__say(text, text_capacity, "sip %s: export %s: its image has no contract %s",
                    sip->name, manifest->exports[i]->name, manifest->exports[i]->contract);
            return SF_NOTFOUND;
        }
        (void)snprintf(name, sizeof(name), "%s.%s", sip->name, manifest->exports[i]->name);
        sip->exports[i].name = manifest->exports[i]->name;
        nk_list_init(&sip->exports[i].pending);
        sip->export_count++;
        nk__lock(sip->kernel);
        st = fab_export_add(sip->kernel->fabric, name, contract, sip->owner);
        nk__unlock(sip->kernel);
        if (st != SF_OK) {
            nk__say(text, text_capacity, "export %s: %s", name, sf_status_text(st));
            return st;
        }
    }
    return SF_OK;
}

void nk__sip_unexport(struct nk_sip *sip)
{
    char name[FAB_NAME_BYTES_MAX + 1];

    for (uint32_t i = 0; i < sip->export_count; i++) {
        (void)snprintf(name, sizeof(name), "%s.%s", sip->name, sip->exports[i].name);
        fab_export_remove(sip->kernel->fabric, name, sip->owner);
    }
}

void nk__sip_hash(struct nk_sip *sip)
{
    struct nk_sip **bucket = &sip->kernel->sips[sip->number % NK_SIP_BUCKETS];

    sip->hash_next = *bucket;
    *bucket = sip;
    sip->kernel->sip_count++;
    sip->worker->sip_count++;
}

void nk__sip_unhash(struct nk_sip *sip)
{
    struct nk_sip **link = &sip->kernel->sips[sip->number % NK_SIP_BUCKETS];

    while (*link != sip) {
        link = &(*link)->hash_next;
    }
    *link = sip->hash_next;
    sip->kernel->sip_count--;
    sip->worker->sip_count--;
}

/* Checks what the caller asks for; answers the image. */
static sf_status options_check(struct nk_kernel *kernel, const struct nk_sip_options *options,
                               struct nk_image **out_image, char *text, size_t text_capacity)
{
    bool known;

    if (options->number == 0 || options->number >> 56 != 0 || options->name[0] == '\0' ||
        strlen(options->name) > IMAGE_NAME_BYTES_MAX || options->worker > kernel->worker_count) {
        nk__say(text, text_capacity, "sip: number, name or worker out of range");
        return SF_BADARG;
    }
    nk__lock(kernel);
    known = nk__sip_find(kernel, options->number) != NULL;
    nk__unlock(kernel);
    if (known) {
        nk__say(text, text_capacity, "sip %s: number %llu is in use", options->name,
                (unsigned long long)options->number);
        return SF_EXISTS;
    }
    *out_image = nk__image_find(kernel, options->image_digest);
    if (*out_image == NULL) {
        nk__say(text, text_capacity, "sip %s: its image is not on this node", options->name);
        return SF_NOTFOUND;
    }
    /* The trust list may have changed since the image was added. */
    return image_check_trust((*out_image)->image, &kernel->trust, options->image_name, text,
                             text_capacity);
}

struct nk_sip *nk__sip_make(struct nk_kernel *kernel, struct nk_image *image, uint64_t number,
                            const char *name)
{
    const struct Sf__Image__Manifest *manifest = image->image->manifest;
    struct nk_sip *sip = calloc(1, sizeof(*sip));

    if (sip == NULL) {
        return NULL;
    }
    sip->kernel = kernel;
    sip->worker = kernel->workers[0];
    sip->image = image;
    sip->number = number;
    sip->owner = XH_OWNER(XH_OWNER_SIP, number);
    sip->deadline = UINT64_MAX;
    sip->block_bytes_max =
        manifest->block_bytes_max != 0 ? manifest->block_bytes_max : NK_BLOCK_BYTES_QUOTA;
    sip->cpu_percent = manifest->cpu_percent;
    nk__quota_init(sip);
    memcpy(sip->name, name, strlen(name));
    nk_list_init(&sip->run);
    sip->account = xh_account_open();
    if (sip->account == NULL) {
        free(sip);
        return NULL;
    }
    return sip;
}

void nk__sip_place(struct nk_sip *sip, uint64_t memory_bytes)
{
    const uint64_t slot = nk__slot_address(sip->kernel, sip->slot_index);

    sip->head = (struct nk_head *)(slot + NK_HEAD);
    sip->memory = (uint8_t *)(slot + NK_MEMORY);
    sip->memory_bytes = memory_bytes;
    nk__window_init(sip);
}

sf_status nk_sip_create(struct nk_kernel *kernel, const struct nk_sip_options *options, char *text,
                        size_t text_capacity)
{
    struct nk_image *image;
    struct nk_sip *sip;
    char why[192];
    sf_status st;

    st = options_check(kernel, options, &image, text, text_capacity);
    if (st != SF_OK) {
        return st;
    }
    sip = nk__sip_make(kernel, image, options->number, options->name);
    if (sip == NULL) {
        return SF_NOMEM;
    }
    sip->pinned = options->worker > 0;
    if (sip->pinned) {
        sip->worker = kernel->workers[options->worker - 1];
    }
    if (options->cpu_percent != 0) {
        sip->cpu_percent = options->cpu_percent;
    }
    st = sip_config(sip, options);
    if (st != SF_OK) {
        goto free_sip;
    }
    st = nk__slot_take(kernel, image->slot_class, image->memory_start, &sip->slot_index, &sip->slot,
                       why, sizeof(why));
    if (st != SF_OK) {
        nk__say(text, text_capacity, "sip %s: no slot: %s", sip->name, why);
        goto free_sip;
    }
    nk__sip_place(sip, image->memory_start);
    st = nk__native_attach(sip);
    if (st == SF_OK) {
        st = nk__sip_export(sip, text, text_capacity);
    }
    if (st != SF_OK) {
        goto give_back;
    }
    nk__lock(kernel);
    nk__sip_hash(sip);
    nk__unlock(kernel);
    return SF_OK;

give_back:
    nk__lock(kernel);
    nk__sip_unexport(sip);
    nk__unlock(kernel);
    nk__native_detach(sip);
    nk__slot_give_back(kernel, sip->slot_index, sip->slot);
free_sip:
    nk__sip_free(sip);
    return st;
}

/* The port that was wired for an import and that the SIP has not taken yet, or NULL. */
static struct nk_port *port_untaken(struct nk_sip *sip, const char *import)
{
    for (uint32_t i = 1; i < nk__port_end(sip); i++) {
        struct nk_port *port = nk__port_at(sip, i);

        if (port->state == NK_PORT_WIRED && port->name == import) {
            return port;
        }
    }
    return NULL;
}

/* Locked; the SIP's worker stands still if it has started. */
static sf_status sip_wire(struct nk_kernel *kernel, uint64_t number, const char *import,
                          uint16_t exporter_node, const char *export_name, char *text,
                          size_t text_capacity)
{
    struct nk_sip *sip = nk__sip_find(kernel, number);
    const struct Sf__Image__Manifest *manifest;
    const struct ct_contract *contract = NULL;
    const char *name = NULL;
    struct nk_port *stale;
    struct fab_ep *ep;
    sf_status st;

    if (sip == NULL || sip->state == NK_SIP_ENDING) {
        nk__say(text, text_capacity, "no sip %llu", (unsigned long long)number);
        return SF_NOTFOUND;
    }
    if (sip->state == NK_SIP_FROZEN) {
        nk__say(text, text_capacity, "sip %s is being moved: try again", sip->name);
        return SF_AGAIN;
    }
    manifest = sip->image->image->manifest;
    for (size_t i = 0; i < manifest->n_imports; i++) {
        if (strcmp(manifest->imports[i]->name, import) == 0) {
            name = manifest->imports[i]->name;
            contract = image_contract(sip->image->image, manifest->imports[i]->contract);
        }
    }
    if (contract == NULL) {
        nk__say(text, text_capacity, "sip %s: its image has no import %s", sip->name, import);
        return SF_NOTFOUND;
    }
    stale = port_untaken(sip, name);
    if (stale != NULL && sip->state == NK_SIP_CREATED) {
        nk__say(text, text_capacity, "sip %s: import %s is wired already", sip->name, import);
        return SF_EXISTS;
    }
    st = fab_open(kernel->fabric, exporter_node, export_name, contract, &ep);
    if (st != SF_OK) {
        nk__say(text, text_capacity, "sip %s: import %s: cannot open %s on node %u: %s", sip->name,
                import, export_name, exporter_node, sf_status_text(st));
        return st;
    }
    if (stale != NULL) {
        nk__port_close(stale, SF_CAUSE_OF(CLOSED_BY_PEER));
    }
    if (nk__port_add(sip, ep, NK_PORT_WIRED, name) == NULL) {
        fab_ep_close(ep, SF_CAUSE_OF(QUOTA));
        return SF_NOMEM;
    }
    return SF_OK;
}

sf_status nk_sip_wire(struct nk_kernel *kernel, uint64_t number, const char *import,
                      uint16_t exporter_node, const char *export_name, char *text,
                      size_t text_capacity)
{
    const struct nk_sip *sip;
    bool started;
    sf_status st;

    nk__lock(kernel);
    sip = nk__sip_find(kernel, number);
    started = sip != NULL && sip->state != NK_SIP_CREATED;
    nk__unlock(kernel);
    if (started) { /* its ports are its worker's */
        nk_pause(kernel);
    }
    nk__lock(kernel);
    st = sip_wire(kernel, number, import, exporter_node, export_name, text, text_capacity);
    nk__unlock(kernel);
    if (started) {
        nk_resume(kernel);
    }
    return st;
}

/* Gives a SIP that never ran to the worker it shall run on. */
static void sip_dispatch(struct nk_sip *sip)
{
    struct nk_worker *worker = sip->pinned ? sip->worker : nk__balance_place(sip);

    if (worker != sip->worker) {
        sip->worker->sip_count--;
        worker->sip_count++;
        sip->worker = worker;
    }
    sip->wait = NK_WAIT_NONE;
    sip->result = 0;
    if (nk__mine(worker)) {
        sip->state = NK_SIP_WAITING;
        nk__wake(sip); /* its channels become local as it takes their ends */
    } else {
        sip->state = NK_SIP_ARRIVING;
        nk__post(sip);
    }
}

sf_status nk_sip_start(struct nk_kernel *kernel, uint64_t number)
{
    struct nk_sip *sip;
    uint64_t slot, *frame;
    sf_status st = SF_OK;

    nk__lock(kernel);
    sip = nk__sip_find(kernel, number);
    if (sip == NULL) {
        st = SF_NOTFOUND;
    } else if (sip->state != NK_SIP_CREATED) {
        st = SF_EXISTS;
    }
    nk__unlock(kernel); /* one that has not started is this thread's */
    if (st != SF_OK) {
        return st;
    }
    slot = nk__slot_address(kernel, sip->slot_index);
    /* As if the SIP had called the kernel from the start thunk; see gate.S. */
    frame = (uint64_t *)(slot + NK_STACK_TOP - 64) - FRAME_WORDS;
    frame[3] = slot + NK_INSTANCE;     /* %r12 */
    frame[4] = nk__start_address(sip); /* %rbx */
    frame[6] = nk__gate_start_address();
    sip->head->rsp = (uint64_t)frame;
    sip->head->memory_bytes = sip->image->memory_bytes;
    nk__lock(kernel);
    sip_dispatch(sip);
    nk__unlock(kernel);
    return SF_OK;
}

/* --- the end ------------------------------------------------------------------------------------
 */

static void ports_close(struct nk_sip *sip, struct sf_cause cause)
{
    for (uint32_t i = 1; sip->port_count > 0 && i < nk__port_end(sip); i++) {
        struct nk_port *port = nk__port_at(sip, i);

        if (port->state != NK_PORT_FREE) {
            nk__port_close(port, cause);
        }
    }
}

/* Takes from others all ways to reach it. Locked. */
static void sip_detach(struct nk_sip *sip, struct sf_cause cause)
{
    nk__wait_clear(sip);
    nk__unready(sip);
    sip->state = NK_SIP_ENDING; /* nobody wakes it any more */
    nk__sip_unexport(sip);
    for (uint32_t i = 0; i < sip->export_count; i++) {
        pending_close(&sip->exports[i], cause);
    }
    ports_close(sip, cause);
    nk__sip_unhash(sip);
}

void nk__sip_finish(struct nk_sip *sip, struct sf_cause cause, const char *report)
{
    struct nk_kernel *kernel = sip->kernel;
    struct nk_sip_end end = {.sip = sip->number,
                             .name = sip->name,
                             .how = sip->end_how,
                             .exit_code = sip->exit_code,
                             .fault = sip->fault,
                             .report = report};

    assert(nk__cpu.sip != sip);
    nk__lock(kernel);
    sip_detach(sip, cause);
    nk__unlock(kernel);
    nk__window_fini(sip);
    nk__native_detach(sip);
    if (nk__precopy_leave(sip)) {
        nk__slot_give_back(kernel, sip->slot_index, sip->slot);
    }
    nk__note_ended(sip, &end);
    nk__lock(kernel);
    if (sip->posted) {
        sip->state = NK_SIP_GONE;
        sip = NULL; /* whose inbox it is in frees it */
    }
    nk__unlock(kernel);
    if (sip != NULL) {
        nk__sip_free(sip);
    }
}

void nk__sip_finish_dead(struct nk_sip *sip)
{
    struct sf_cause cause = SF_CAUSE_OF(PEER_EXITED);

    if (sip->end_how == NK_END_EXITED) {
        nk__sip_finish(sip, cause, NULL);
        return;
    }
    cause = (struct sf_cause){.kind = SF_CAUSE_PEER_FAULTED, .fault = sip->fault};
    char *report = nk__fault_report(sip);

    nk__sip_finish(sip, cause, report != NULL ? report : "no memory left for the report");
    free(report);
}

sf_status nk_sip_stop(struct nk_kernel *kernel, uint64_t number, struct sf_cause cause)
{
    struct nk_sip *sip;
    sf_status st = SF_OK;
    bool mine;

    nk__lock(kernel);
    sip = nk__sip_find(kernel, number);
    mine = sip != NULL && (nk__mine(sip->worker) || sip->state == NK_SIP_CREATED);
    nk__unlock(kernel);
    if (sip == NULL) {
        return SF_NOTFOUND;
    }
    if (mine && (sip == nk__cpu.sip || sip == sip->worker->dead)) {
        return SF_AGAIN; /* from inside a callback on its behalf */
    }
    nk_pause(kernel);
    sip = nk__sip_find(kernel, number);
    if (sip == NULL || sip->state == NK_SIP_ENDING) {
        st = SF_NOTFOUND; /* it ended by itself meanwhile */
    } else {
        sip->end_how = NK_END_STOPPED;
        nk__sip_finish(sip, cause, NULL);
    }
    nk_resume(kernel);
    return st;
}
