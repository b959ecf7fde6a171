/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graph.h - reads a graph file (docs/formats.md) into the control protocol's Graph.
 *
 * Why: what `fabricctl apply` sends is exactly what the file says, checked as far as the file alone
 * can tell; images are still paths (digests come from those who find the files), and whether nodes,
 * images and ports exist is for fabricd to say.
 *
 * Errors: FORMAT, LIMIT, NOMEM with `path:line: error: what` in text; nothing is returned then.
 * Untrusted: any bytes.
 * Ownership: *out_graph is the caller's; free it with sf__control__graph__free_unpacked(g, NULL).
 * Threads: pure.
 */
#ifndef ORCH_GRAPH_H
#define ORCH_GRAPH_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "control.pb-c.h"
#include "supervise.h"

#define GRAPH_FILE_BYTES_MAX (1u << 20)
#define GRAPH_SIPS_MAX 256u
#define GRAPH_CHANNELS_MAX 1024u
#define GRAPH_CONFIG_MAX 32u
#define GRAPH_CONFIG_KEY_BYTES_MAX 63u
#define GRAPH_CONFIG_VALUE_BYTES_MAX 1023u
#define GRAPH_PATH_BYTES_MAX 1023u

SF_MUST_CHECK sf_status graph_parse(const char *path, const uint8_t *bytes, size_t length,
                                    Sf__Control__Graph **out_graph, char *text,
                                    size_t text_capacity);
/* The restart policy of a SIP, `never` if it has none. From a peer it may be out of range. */
static inline struct supervise_policy graph_restart_policy(const Sf__Control__GraphSip *sip)
{
    const Sf__Control__RestartPolicy *from = sip->restart;
    struct supervise_policy policy = {SUPERVISE_NEVER,          SUPERVISE_BACKOFF_MS,
                                      SUPERVISE_BACKOFF_MAX_MS, SUPERVISE_LIMIT,
                                      SUPERVISE_WINDOW_MS,      false};

    if (from != NULL) {
        policy.when = (enum supervise_when)from->when;
        policy.backoff_ms = from->backoff_ms;
        policy.backoff_max_ms = from->backoff_max_ms;
        policy.limit = from->limit;
        policy.window_ms = from->window_ms;
        policy.escalate = from->escalate;
    }
    return policy;
}

#endif
