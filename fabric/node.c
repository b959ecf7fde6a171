/* SPDX-License-Identifier: Apache-2.0 */
#include "node.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "cargo.h"
#include "endpoint.h"
#include "export.h"
#include "queue.h"
#include "reads.h"
#include "session.h"

#define HEARTBEAT_NS_DEFAULT 200000000ull
#define PEER_TIMEOUT_NS_DEFAULT 2000000000ull

static sf_status tables_make(struct fab_node *node)
{
    uint32_t bucket_count = 16;

    while (bucket_count < node->ep_count_max) {
        bucket_count *= 2;
    }
    node->ep_bucket_mask = bucket_count - 1;
    node->ep_buckets = calloc(bucket_count, sizeof(struct fab_ep *));
    node->eps = calloc(node->ep_count_max, sizeof(*node->eps));
    return node->ep_buckets == NULL || node->eps == NULL ? SF_NOMEM : SF_OK;
}

sf_status fab_node_create(const struct fab_options *options, struct fab_node **out_node)
{
    struct fab_node *node;

    assert(options != NULL);
    assert(options->heap != NULL);
    assert(out_node != NULL);
    if (options->node_id == 0 || options->node_id >= FAB_NODES_MAX || options->epoch == 0 ||
        options->epoch > FAB__EPOCH_MAX || options->endpoint_count_max == 0 ||
        options->endpoint_count_max > FAB__ENDPOINTS_MAX) {
        return SF_BADARG;
    }
    assert(options->secret_key == NULL || options->random != NULL);
    node = calloc(1, sizeof(*node));
    if (node == NULL || sodium_init() < 0) {
        free(node);
        return SF_NOMEM;
    }
    node->heap = options->heap;
    node->events = options->events;
    node->events_arg = options->events_arg;
    if (options->secret_key != NULL) {
        node->has_key = true;
        node->random = options->random;
        memcpy(node->secret_key, options->secret_key, sizeof(node->secret_key));
    }
    node->node_id = options->node_id;
    node->epoch = options->epoch;
    node->ep_count_max = options->endpoint_count_max;
    node->heartbeat_ns = options->heartbeat_ns == 0 ? HEARTBEAT_NS_DEFAULT : options->heartbeat_ns;
    node->peer_timeout_ns =
        options->peer_timeout_ns == 0 ? PEER_TIMEOUT_NS_DEFAULT : options->peer_timeout_ns;
    if (tables_make(node) != SF_OK) {
        fab_node_destroy(node);
        return SF_NOMEM;
    }
    *out_node = node;
    return SF_OK;
}

/* Frees the blocks of a queue. The endpoints in it are records of their own. */
static void queue_forget(struct fab_ep *ep, struct fab__queue *queue, uint32_t count)
{
    for (uint32_t index = 0; index < count; index++) {
        const struct fab_msg *msg = fab__queue_at(queue, index);
        const struct fab_plan *plan = &ep->plans[msg->tag];
        for (uint32_t i = 0; i < plan->arg_count; i++) {
            if (plan->blocks >> i & 1u) {
                (void)xh_free(ep->node->heap, msg->args[i].block, fab__ep_owner(ep));
            }
        }
    }
}

void fab_node_destroy(struct fab_node *node)
{
    if (node == NULL) {
        return;
    }
    fab__cargos_fini(node);
    for (uint32_t i = 0; node->eps != NULL && i < node->ep_used; i++) {
        struct fab_ep *ep = &node->eps[i];
        if (ep->life != FAB__FREE) {
            queue_forget(ep, &ep->in, ep->in.count + (ep->assembling ? 1u : 0u));
            queue_forget(ep, &ep->out, ep->out.count);
            fab__ep_free(ep);
        }
    }
    fab__sessions_fini(node);
    fab__contracts_fini(node);
    fab__exports_fini(node);
    fab__reads_fini(node);
    free(node->eps);
    free(node->ep_buckets);
    sodium_memzero(node->secret_key, sizeof(node->secret_key));
    free(node);
}
