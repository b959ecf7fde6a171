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

/* Without the SIP itself, which has been counted where it was made. */
static uint32_t others_of(const struct nk_worker *worker, const struct nk_sip *sip)
{
    return worker->sip_count - (sip->worker == worker);
}

static struct nk_worker *worker_with_fewest(const struct nk_sip *sip)
{
    const struct nk_kernel *kernel = sip->kernel;
    struct nk_worker *best = kernel->workers[0];

    for (uint32_t i = 1; i < kernel->worker_count; i++) {
        if (others_of(kernel->workers[i], sip) < others_of(best, sip)) {
            best = kernel->workers[i];
        }
    }
    return best;
}

/* The worker of whoever is at the other end of a port: worker 0, if that is on another node. */
static struct nk_worker *port_far_worker(const struct nk_port *port)
{
    const struct fab_ep *peer = fab_ep_local_peer(port->ep);
    const struct nk_port *other = peer == NULL ? NULL : fab_ep_holder(peer);

    if (peer == NULL) {
        return port->sip->kernel->workers[0]; /* where the links are */
    }
    if (other == NULL) {
        return NULL;
    }
    return other->sip != NULL ? other->sip->worker : other->service->kernel->workers[0];
}

struct nk_worker *nk__balance_place(struct nk_sip *sip)
{
    struct nk_worker *fewest = worker_with_fewest(sip);
    uint32_t wired[NK_WORKERS_MAX] = {0};
    struct nk_worker *best = NULL;

    for (uint32_t i = 1; i < nk__port_end(sip); i++) {
        const struct nk_port *port = nk__port_at(sip, i);
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

void nk__sip_reseat(struct nk_sip *sip, struct nk_worker *to)
{
    const uint64_t deadline = sip->deadline;

    for (uint32_t i = 1; i < nk__port_end(sip); i++) {
        struct nk_port *port = nk__port_at(sip, i);

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
}

void nk__sip_move(struct nk_sip *sip, struct nk_worker *to)
{
    assert(nk__mine(sip->worker) && sip->worker != to);
    assert(sip->state == NK_SIP_READY || sip->state == NK_SIP_WAITING);
    nk__sip_reseat(sip, to);
    sip->state = NK_SIP_ARRIVING;
    if (sip->posted) {
        nk__attend(to); /* it is in this worker's inbox, which passes it on */
    } else {
        nk__post(sip);
    }
}

/* The SIP at the other end of a port, if it is of the same worker and can move. */
static struct nk_sip *neighbour(const struct nk_port *port)
{
    const struct nk_port *other = nk__port_other(port);
    struct nk_sip *sip = other == NULL ? NULL : other->sip;

    return sip != NULL && sip->worker == port->sip->worker &&
                   (sip->state == NK_SIP_READY || sip->state == NK_SIP_WAITING)
               ? sip
               : NULL;
}

static int group_has(struct nk_sip *const group[], uint32_t count, const struct nk_sip *sip)
{
    uint32_t i = 0;

    while (i < count && group[i] != sip) {
        i++;
    }
    return i < count;
}

/*
 * `first`, and all on its worker that channels lead to. Answers how many, or 0: too many, or one is
 * pinned. Locked.
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
        for (uint32_t i = 1; i < nk__port_end(sip); i++) {
            const struct nk_port *port = nk__port_at(sip, i);
            struct nk_sip *other = port->state == NK_PORT_FREE ? NULL : neighbour(port);

            if (other != NULL && !group_has(group, count, other)) {
                if (count == GROUP_MAX) {
                    return 0;
                }
                group[count++] = other;
            }
        }
    }
    return count;
}

static int list_leaves_work(const struct nk_list *list, struct nk_sip *const group[],
                            uint32_t count)
{
    const struct nk_list *item = list->next;

    for (uint32_t looked = 0; item != list && looked <= GROUP_MAX; looked++) {
        const struct nk_sip *sip = NK_CONTAINER(item, struct nk_sip, run);

        if (!group_has(group, count, sip)) {
            return 1;
        }
        item = item->next;
    }
    return 0;
}

/* Are there ready SIPs beside this group? */
static int leaves_work(const struct nk_worker *worker, struct nk_sip *const group[], uint32_t count)
{
    return worker->front != NULL || list_leaves_work(&worker->run, group, count) ||
           list_leaves_work(&worker->late, group, count);
}

static void group_move(struct nk_sip *const group[], uint32_t count, struct nk_worker *to)
{
    for (uint32_t i = 0; i < count; i++) {
        nk__sip_move(group[i], to);
    }
}

/* Moves the group of one of a list, if that leaves work here; locked. */
static int feed_from(const struct nk_list *list, struct nk_worker *worker, struct nk_worker *to)
{
    const struct nk_list *item = list->next;

    for (uint32_t i = 0; i < CANDIDATES_MAX && item != list; i++, item = item->next) {
        struct nk_sip *sip = NK_CONTAINER(item, struct nk_sip, run);
        struct nk_sip *group[GROUP_MAX];
        uint32_t count = group_collect(sip, group);

        if (count > 0 && leaves_work(worker, group, count)) {
            group_move(group, count, to);
            return 1;
        }
    }
    return 0;
}

/*
 * Moves one of those that compute. It goes alone: it is stopped by the tick again and again, so it
 * cannot be talking much.
 */
static int give_late(struct nk_worker *worker, struct nk_worker *to)
{
    const struct nk_list *item = worker->late.next;

    for (uint32_t i = 0; i < CANDIDATES_MAX && item != &worker->late; i++, item = item->next) {
        struct nk_sip *sip = NK_CONTAINER(item, struct nk_sip, run);

        if (!sip->pinned) {
            nk__sip_move(sip, to);
            return 1;
        }
    }
    return 0;
}

/* The worker with the fewest ready SIPs, if it is worth while; else NULL. */
static struct nk_worker *worker_with_least(struct nk_worker *worker)
{
    const struct nk_kernel *kernel = worker->kernel;
    struct nk_worker *least = worker;

    for (uint32_t i = 0; i < kernel->worker_count; i++) {
        struct nk_worker *other = kernel->workers[i];

        if (__atomic_load_n(&other->ready, __ATOMIC_RELAXED) < least->ready) {
            least = other;
        }
    }
    return least->ready + 2 <= worker->ready ? least : NULL;
}

void nk__balance(struct nk_worker *worker, uint64_t now_ns)
{
    struct nk_kernel *kernel = worker->kernel;
    uint64_t hungry = __atomic_load_n(&kernel->hungry, __ATOMIC_RELAXED) & ~(1ull << worker->index);
    struct nk_worker *to;
    int gave = 0;

    if (kernel->worker_count == 1 || now_ns < worker->gave_ns + GIVE_PERIOD_NS) {
        return;
    }
    to = hungry != 0 ? kernel->workers[__builtin_ctzll(hungry)] : worker_with_least(worker);
    if (to == NULL) {
        return;
    }
    nk__lock(kernel);
    gave = give_late(worker, to);
    if (!gave && hungry != 0) {
        gave = feed_from(&worker->run, worker, to);
    }
    nk__unlock(kernel);
    if (gave) {
        worker->gave_ns = now_ns;
    }
}
