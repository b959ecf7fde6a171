/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which worker a SIP runs on; worker.h has the rules. Moving is done by the worker that gives: it
 * makes the SIP's channels shared, and posts the SIP to the inbox of the other.
 */
#include "internal.h"

#include <assert.h>

#define GROUP_MAX 16u          /* SIPs that move together */
#define CANDIDATES_MAX 8u      /* ready SIPs looked at for one move */
#define GIVE_PERIOD_NS 500000u /* between two moves away from a worker */

/* SIPs wired to each other go together, unless that worker has far more SIPs than another. */
#define CROWD_RATIO 4u
#define CROWD_MIN 16u

static struct nk_worker *worker_with_fewest(const struct nk_kernel *kernel)
{
    struct nk_worker *best = kernel->workers[0];

    for (uint32_t i = 1; i < kernel->worker_count; i++) {
        if (kernel->workers[i]->sip_count < best->sip_count) {
            best = kernel->workers[i];
        }
    }
    return best;
}

/* The worker of the SIP at the other end of a port; NULL: none on this node. */
static struct nk_worker *port_far_worker(const struct nk_port *port)
{
    const struct fab_ep *peer = fab_ep_local_peer(port->ep);
    const struct nk_port *other = peer == NULL ? NULL : fab_ep_holder(peer);

    if (other == NULL) {
        return NULL;
    }
    return other->sip != NULL ? other->sip->worker : other->service->kernel->workers[0];
}

struct nk_worker *nk__balance_place(struct nk_sip *sip)
{
    struct nk_kernel *kernel = sip->kernel;
    struct nk_worker *fewest = worker_with_fewest(kernel);
    uint32_t wired[NK_WORKERS_MAX] = {0};
    struct nk_worker *best = NULL;

    for (uint32_t i = 1; i < sip->chunk_count * NK_PORT_CHUNK; i++) {
        const struct nk_port *port = &sip->chunks[i / NK_PORT_CHUNK][i % NK_PORT_CHUNK];
        struct nk_worker *far = port->state == NK_PORT_WIRED ? port_far_worker(port) : NULL;

        if (far != NULL && ++wired[far->index] > (best == NULL ? 0 : wired[best->index])) {
            best = far;
        }
    }
    if (best == NULL ||
        (best->sip_count > CROWD_MIN && best->sip_count > CROWD_RATIO * (fewest->sip_count + 1))) {
        return fewest;
    }
    return best;
}

/* --- moving -------------------------------------------------------------------------------------
 */

void nk__sip_move(struct nk_sip *sip, struct nk_worker *to)
{
    uint64_t deadline = sip->deadline;

    assert(nk__mine(sip->worker) && sip->worker != to);
    assert(sip->state == NK_SIP_READY || sip->state == NK_SIP_WAITING);
    for (uint32_t i = 1; i < sip->chunk_count * NK_PORT_CHUNK; i++) {
        struct nk_port *port = &sip->chunks[i / NK_PORT_CHUNK][i % NK_PORT_CHUNK];

        if (port->state != NK_PORT_FREE) {
            nk__port_share(port);
        }
    }
    nk__unready(sip);
    if (sip->timer_index != 0) {
        nk__timer_remove(sip);
        sip->deadline = deadline;
    }
    sip->worker->sip_count--;
    to->sip_count++;
    sip->worker = to;
    sip->state = NK_SIP_ARRIVING;
    if (sip->posted) {
        nk__attend(to); /* it is in this worker's inbox, which passes it on */
    } else {
        nk__post(sip);
    }
}

/* `first`, and all that local channels lead to. Answers how many, or 0: too many, or one is pinned.
 */
static uint32_t group_collect(struct nk_sip *first, struct nk_sip *group[GROUP_MAX])
{
    uint32_t count = 1;

    group[0] = first;
    for (uint32_t done = 0; done < count; done++) {
        const struct nk_sip *sip = group[done];

        if (sip->pinned) {
            return 0;
        }
        for (uint32_t i = 1; i < sip->chunk_count * NK_PORT_CHUNK; i++) {
            const struct nk_port *port = &sip->chunks[i / NK_PORT_CHUNK][i % NK_PORT_CHUNK];
            const struct fab_ep *peer;
            struct nk_sip *other;
            uint32_t known = 0;

            if (port->state != NK_PORT_OPEN || !port->local) {
                continue;
            }
            peer = fab_ep_local_peer(port->ep);
            if (peer == NULL) {
                continue; /* closed */
            }
            other = ((const struct nk_port *)fab_ep_holder(peer))->sip;
            while (known < count && group[known] != other) {
                known++;
            }
            if (known == count) {
                if (count == GROUP_MAX) {
                    return 0;
                }
                group[count++] = other;
            }
        }
    }
    return count;
}

/* Are there ready SIPs beside this group? */
static int leaves_work(const struct nk_worker *worker, struct nk_sip *const group[], uint32_t count)
{
    const struct nk_list *item = worker->run.next;

    for (uint32_t looked = 0; item != &worker->run && looked <= GROUP_MAX; looked++) {
        const struct nk_sip *sip = NK_CONTAINER(item, struct nk_sip, run);
        uint32_t in = 0;

        while (in < count && group[in] != sip) {
            in++;
        }
        if (in == count) {
            return 1;
        }
        item = item->next;
    }
    return worker->front != NULL;
}

static void group_move(struct nk_kernel *kernel, struct nk_sip *const group[], uint32_t count,
                       struct nk_worker *to)
{
    nk__lock(kernel);
    for (uint32_t i = 0; i < count; i++) {
        nk__sip_move(group[i], to);
    }
    nk__unlock(kernel);
}

/*
 * A SIP that computes moves alone if its group does not: it is stopped by the tick again and again,
 * so it cannot be talking much.
 */
static int computes(const struct nk_sip *sip)
{
    return sip->wait == NK_WAIT_NONE && sip->preempted && !sip->pinned;
}

/* Gives a worker without work something, if that leaves work here. */
static int feed(struct nk_worker *worker, struct nk_worker *to)
{
    struct nk_list *item = worker->run.next;

    for (uint32_t i = 0; i < CANDIDATES_MAX && item != &worker->run; i++, item = item->next) {
        struct nk_sip *sip = NK_CONTAINER(item, struct nk_sip, run);
        struct nk_sip *group[GROUP_MAX] = {sip};
        uint32_t count = group_collect(sip, group);

        if (count > 1 && !leaves_work(worker, group, count)) {
            count = 0;
        }
        if (count == 0 && computes(sip)) {
            group[0] = sip;
            count = 1;
        }
        if (count > 0) {
            group_move(worker->kernel, group, count, to);
            return 1;
        }
    }
    return 0;
}

/* Moves one that computes to a worker where fewer are ready. */
static int even(struct nk_worker *worker, struct nk_worker *to)
{
    struct nk_list *item = worker->run.next;

    for (uint32_t i = 0; i < CANDIDATES_MAX && item != &worker->run; i++, item = item->next) {
        struct nk_sip *sip = NK_CONTAINER(item, struct nk_sip, run);

        if (computes(sip)) {
            group_move(worker->kernel, &sip, 1, to);
            return 1;
        }
    }
    return 0;
}

void nk__balance(struct nk_worker *worker, uint64_t now_ns)
{
    struct nk_kernel *kernel = worker->kernel;
    uint64_t hungry = __atomic_load_n(&kernel->hungry, __ATOMIC_RELAXED);
    struct nk_worker *least = worker;

    if (now_ns < worker->gave_ns + GIVE_PERIOD_NS || kernel->worker_count == 1 ||
        worker->run.next == &worker->run) {
        return;
    }
    hungry &= ~(1ull << worker->index);
    if (hungry != 0) {
        if (feed(worker, kernel->workers[__builtin_ctzll(hungry)])) {
            worker->gave_ns = now_ns;
        }
        return;
    }
    for (uint32_t i = 0; i < kernel->worker_count; i++) {
        struct nk_worker *other = kernel->workers[i];

        if (__atomic_load_n(&other->ready, __ATOMIC_RELAXED) < least->ready) {
            least = other;
        }
    }
    if (least->ready + 2 <= worker->ready && even(worker, least)) {
        worker->gave_ns = now_ns;
    }
}
