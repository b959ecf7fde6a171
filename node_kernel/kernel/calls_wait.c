/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel calls that wait for one of several things: select, recv_any, accept, listen; and how the
 * wait of a woken SIP is finished.
 *
 * A server selects from the same handles again and again. So what a SIP selected from last stays
 * *armed*: each port and export of the set has its bit, which is set as something arrives, whether
 * the SIP waits or not. The next select of the same handles (compared byte by byte) looks at these
 * bits alone: what it costs does not grow with the number of handles. A bit says that there may be
 * something; it goes when it turns out that there is nothing. What comes from other workers sets
 * bits of a second word, under the lock. When a port of the set goes, the set is disarmed.
 */
#include "internal.h"

#include <assert.h>
#include <stdlib.h>

#define NO_BIT 0u

/* The export that `listen` answered this handle for, or NULL. */
static struct nk_export *listen_export(const struct nk_sip *sip, uint32_t handle)
{
    const uint32_t export = (handle - NK_LISTEN_HANDLE(0)) >> 12;

    return NK_HANDLE_INDEX(handle) == 0 && export < sip->export_count ? &sip->exports[export]
                                                                      : NULL;
}

/* --- select -------------------------------------------------------------------------------------
 */

/* Locked. */
static void select_disarm(struct nk_sip *sip)
{
    for (uint32_t i = 0; i < sip->select_count; i++) {
        struct nk_port *port = nk__port(sip, sip->select_handles[i]);
        struct nk_export *export = port == NULL ? listen_export(sip, sip->select_handles[i]) : NULL;

        if (port != NULL) {
            port->waiting &= (uint8_t)~NK_WAITING_SELECT;
            port->select_bit = NO_BIT;
        } else if (export != NULL) {
            export->waiting &= (uint8_t)~NK_WAITING_SELECT;
            export->select_bit = NO_BIT;
        }
    }
    sip->select_count = 0;
    sip->select_shared = 0;
    sip->select_armed = 0;
}

/* One handle of a new set. If it is there twice, its first place counts. */
static sf_status select_arm_one(struct nk_sip *sip, uint32_t handle, uint64_t bit)
{
    struct nk_port *port = nk__port(sip, handle);
    struct nk_export *export = port == NULL ? listen_export(sip, handle) : NULL;

    if (port == NULL && export == NULL) {
        return SF_BADHANDLE;
    }
    if (port != NULL && port->select_bit == NO_BIT) {
        port->select_bit = bit;
        port->waiting |= NK_WAITING_SELECT;
    } else if (export != NULL && export->select_bit == NO_BIT) {
        export->select_bit = bit;
        export->waiting |= NK_WAITING_SELECT;
    }
    return SF_OK;
}

/* Makes these handles the set. Nothing has been looked at then, so all bits are set. */
__attribute__((noinline)) sf_status nk__select_arm(struct nk_sip *sip, const uint8_t *handles,
                                                   uint32_t count)
{
    sf_status st = SF_OK;

    if (sip->select_handles == NULL) {
        sip->select_handles = malloc(NK_SELECT_MAX * sizeof(sip->select_handles[0]));
        if (sip->select_handles == NULL) {
            return SF_NOMEM;
        }
    }
    nk__lock(sip->kernel); /* other workers look at `waiting` */
    select_disarm(sip);
    memcpy(sip->select_handles, handles, count * sizeof(sip->select_handles[0]));
    sip->select_count = count;
    for (uint32_t i = 0; i < count && st == SF_OK; i++) {
        st = select_arm_one(sip, sip->select_handles[i], 1ull << i);
    }
    if (st == SF_OK) {
        sip->select_armed = 1;
    } else {
        select_disarm(sip);
    }
    nk__unlock(sip->kernel);
    sip->select_ready = count == 0 ? 0 : UINT64_MAX >> (64 - count);
    return st;
}

static int handle_ready(struct nk_sip *sip, uint32_t handle)
{
    const struct nk_port *port = nk__port(sip, handle);
    const struct nk_export *export = port == NULL ? listen_export(sip, handle) : NULL;
    int ready;

    assert(port != NULL || export != NULL); /* a set that lost one is not armed */
    if (port != NULL && port->local) {
        return nk__port_readable(port);
    }
    nk__lock(sip->kernel);
    ready = port != NULL ? nk__port_readable(port) : !nk_list_empty(&export->pending);
    nk__unlock(sip->kernel);
    return ready;
}

/* The first of the armed set that is ready, or AGAIN. */
static int64_t select_look(struct nk_sip *sip)
{
    uint64_t ready = sip->select_ready;

    if (__builtin_expect(__atomic_load_n(&sip->select_shared, __ATOMIC_RELAXED) != 0, 0)) {
        ready |= __atomic_exchange_n(&sip->select_shared, 0, __ATOMIC_ACQUIRE);
    }
    for (; ready != 0; ready &= ready - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(ready);

        if (handle_ready(sip, sip->select_handles[i])) {
            sip->select_ready = ready;
            return i;
        }
    }
    sip->select_ready = 0;
    return -SF_AGAIN;
}

/* Makes these handles the set, unless they are. */
static inline sf_status select_set(struct nk_sip *sip, uint32_t handles, uint32_t count)
{
    const uint8_t *from;

    if (count > NK_SELECT_MAX) {
        return SF_BADARG;
    }
    from = nk__memory(sip, handles, count * (uint32_t)sizeof(sip->select_handles[0]));
    if (from == NULL) {
        return SF_BADARG;
    }
    if (sip->select_armed && count == sip->select_count &&
        memcmp(sip->select_handles, from, count * sizeof(sip->select_handles[0])) == 0) {
        return SF_OK;
    }
    return nk__select_arm(sip, from, count);
}

int64_t nk__call_select(struct nk_sip *sip, uint32_t handles, uint32_t count, int64_t timeout_ns)
{
    sf_status st = timeout_ns < -1 ? SF_BADARG : select_set(sip, handles, count);
    int64_t result;

    if (st != SF_OK) {
        return -(int64_t)st;
    }
    result = select_look(sip);
    if (result != -SF_AGAIN) {
        return result;
    }
    if (timeout_ns == 0) {
        return -SF_TIMEOUT;
    }
    sip->wait = NK_WAIT_SELECT;
    nk__block(sip, timeout_ns);
}

/* Receives from the first of the set that is ready. AGAIN: none is. */
static int64_t recv_any_look(struct nk_sip *sip, uint8_t *out)
{
    int64_t index = select_look(sip);
    struct nk_port *port;

    if (index < 0) {
        return index;
    }
    port = nk__port(sip, sip->select_handles[index]);
    if (port == NULL || nk__recv_now(sip, port, out) != SF_OK) {
        const uint32_t none[2] = {NK_TAG_NONE, 0};

        memcpy(out, none, sizeof(none)); /* tag, arg_count */
    }
    return index;
}

int64_t nk__call_recv_any(struct nk_sip *sip, uint32_t handles, uint32_t count, uint32_t message,
                          int64_t timeout_ns)
{
    uint8_t *out = nk__memory(sip, message, sizeof(struct nk_msg));
    sf_status st = SF_BADARG;
    int64_t result;

    if (timeout_ns >= -1 && count > 0 && out != NULL) {
        st = select_set(sip, handles, count);
    }
    if (st != SF_OK) {
        return -(int64_t)st;
    }
    result = recv_any_look(sip, out);
    if (result != -SF_AGAIN) {
        return result;
    }
    if (timeout_ns == 0) {
        return -SF_TIMEOUT;
    }
    sip->wait = NK_WAIT_RECV_ANY;
    sip->wait_out = out;
    nk__block(sip, timeout_ns);
}

void nk__select_lose(struct nk_port *port)
{
    if (port->select_bit != NO_BIT) {
        port->sip->select_armed = 0; /* the next select takes the rest of the set apart */
    }
}

/* --- accept, listen -----------------------------------------------------------------------------
 */

static struct nk_export *export_find(const struct nk_sip *sip, const char *name, size_t bytes)
{
    for (uint32_t i = 0; i < sip->export_count; i++) {
        if (strlen(sip->exports[i].name) == bytes &&
            memcmp(sip->exports[i].name, name, bytes) == 0) {
            return &sip->exports[i];
        }
    }
    return NULL;
}

/* Locked. AGAIN: none, and `waiting` (0 or NK_WAITING_ACCEPT) is noted. */
static int64_t accept_try(struct nk_sip *sip, struct nk_export *export, uint8_t waiting)
{
    struct nk_port *pending, *port;

    if (nk_list_empty(&export->pending)) {
        export->waiting |= waiting;
        return -SF_AGAIN;
    }
    pending = NK_CONTAINER(export->pending.next, struct nk_port, link);
    port = nk__port_add(sip, pending->ep, NK_PORT_OPEN, export->name);
    if (port == NULL) {
        return -SF_LIMIT; /* it stays pending until there is a handle for it */
    }
    nk_list_remove(&pending->link);
    export->pending_count--;
    free(pending);
    return port->handle;
}

int64_t nk__call_accept(struct nk_sip *sip, uint32_t name, uint32_t bytes, int64_t timeout_ns)
{
    const char *text = (const char *)nk__memory(sip, name, bytes);
    struct nk_export *export;
    int64_t result;

    if (text == NULL || timeout_ns < -1) {
        return -SF_BADARG;
    }
    export = export_find(sip, text, bytes);
    if (export == NULL) {
        return -SF_NOTFOUND;
    }
    nk__lock(sip->kernel);
    result = accept_try(sip, export, timeout_ns == 0 ? 0 : NK_WAITING_ACCEPT);
    nk__unlock(sip->kernel);
    if (result != -SF_AGAIN) {
        return result;
    }
    if (timeout_ns == 0) {
        return -SF_TIMEOUT;
    }
    sip->wait = NK_WAIT_ACCEPT;
    sip->wait_export = export;
    nk__block(sip, timeout_ns);
}

static int64_t accept_finish(struct nk_sip *sip)
{
    int64_t result;

    nk__lock(sip->kernel);
    result = accept_try(sip, sip->wait_export, NK_WAITING_ACCEPT);
    nk__unlock(sip->kernel);
    return result;
}

int64_t nk__call_listen(struct nk_sip *sip, uint32_t name, uint32_t bytes)
{
    const char *text = (const char *)nk__memory(sip, name, bytes);
    const struct nk_export *export;

    if (text == NULL) {
        return -SF_BADARG;
    }
    export = export_find(sip, text, bytes);
    return export == NULL ? -SF_NOTFOUND
                          : (int64_t)NK_LISTEN_HANDLE((uint32_t)(export - sip->exports));
}

/* --- what others tell: locked, or on the worker of the SIP --------------------------------------
 */

static void tell(struct nk_sip *sip, uint64_t bit, int waits)
{
    if (nk__mine(sip->worker)) {
        sip->select_ready |= bit;
        if (waits) {
            nk__wake(sip);
        }
        return;
    }
    (void)__atomic_fetch_or(&sip->select_shared, bit, __ATOMIC_RELEASE);
    nk__post(sip);
}

void nk__port_tell(struct nk_port *port)
{
    struct nk_sip *sip = port->sip;

    tell(sip, port->select_bit,
         sip->wait == NK_WAIT_RECV ? sip->wait_port == port : port->select_bit != 0);
}

void nk__sip_opened(struct nk_sip *sip, const char *export_name, struct fab_ep *ep)
{
    const char *dot = strchr(export_name, '.');
    const char *name = dot == NULL ? export_name : dot + 1;
    struct nk_export *export = export_find(sip, name, strlen(name));
    struct nk_port *port = NULL;

    if (export != NULL && export->pending_count < NK_BACKLOG_MAX &&
        sip->state != NK_SIP_FROZEN) { /* who opens may try again */
        port = calloc(1, sizeof(*port));
    }
    if (port == NULL) {
        nk__refuse(sip->kernel, ep);
        return;
    }
    nk__port_pend(port, sip, export, ep);
    if (export->waiting != 0) {
        export->waiting &= (uint8_t)~NK_WAITING_ACCEPT;
        tell(sip, export->select_bit,
             sip->wait == NK_WAIT_ACCEPT ? sip->wait_export == export : export->select_bit != 0);
    }
}

/* --- the end of a wait --------------------------------------------------------------------------
 */

int nk__wait_finish(struct nk_sip *sip, uint64_t *out_result)
{
    int64_t result = -SF_AGAIN;

    switch ((enum nk_wait)sip->wait) {
    case NK_WAIT_RECV:
        result = nk__recv_finish(sip);
        break;
    case NK_WAIT_SELECT:
        result = select_look(sip);
        break;
    case NK_WAIT_RECV_ANY:
        result = recv_any_look(sip, sip->wait_out);
        break;
    case NK_WAIT_ACCEPT:
        result = accept_finish(sip);
        break;
    case NK_WAIT_NONE:
        break;
    }
    if (result == -SF_AGAIN) {
        if (!sip->timed_out) {
            return 0;
        }
        result = -SF_TIMEOUT;
    }
    *out_result = (uint64_t)result;
    return 1;
}

void nk__wait_clear(struct nk_sip *sip)
{
    if (sip->wait == NK_WAIT_RECV) {
        sip->wait_port->waiting &= (uint8_t)~NK_WAITING_RECV;
    }
    sip->wait = NK_WAIT_NONE;
    if (sip->timer_index != 0) {
        nk__timer_remove(sip);
    }
}
