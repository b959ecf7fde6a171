/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.c - has each endpoint and each block one owner, on all nodes together?
 *
 * Each node checks its own (nk_audit: every block and endpoint is in exactly one place) and says
 * which endpoints it has; here they are put together: none on two nodes, and of each open one the
 * other end is somewhere. Nodes do not answer at the same instant, so what is on its way may be
 * seen twice or not at all: what is wrong is looked at again, ROUNDS times, and counts if it is
 * wrong each time.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edges.h"

#define ROUNDS 8u
#define ROUND_MS 150u
#define LINES_MAX 10u
#define TEXT_BYTES 2000u

struct finding {
    uint32_t wrong;
    char text[TEXT_BYTES]; /* the first LINES_MAX, a line each */
    uint64_t endpoints, open, blocks, block_bytes;
};

/* The next round waits. */
struct again {
    uv_timer_t timer;
    struct daemon *daemon;
    uint64_t console, request;
    uint32_t round;
};

static void look(struct daemon *daemon, uint64_t console, uint64_t request, uint32_t round);

static void note(struct finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(struct finding *finding, const char *format, ...)
{
    size_t used = strlen(finding->text);
    va_list arguments;

    finding->wrong += 1;
    if (finding->wrong > LINES_MAX || used + 2 >= sizeof(finding->text)) {
        return;
    }
    finding->text[used++] = '\n';
    va_start(arguments, format);
    vsnprintf(finding->text + used, sizeof(finding->text) - used, format, arguments);
    va_end(arguments);
}

static const char *name_of(const struct gather *gather, uint32_t id)
{
    const struct world_node *node = world_node_by_id(&gather->daemon->world, id);

    return node != NULL ? node->name : "a node that is not known";
}

static bool is_silent(const struct gather *gather, uint32_t id)
{
    uint32_t index = 0;

    while (index < gather->silent_count && gather->silent[index] != id) {
        index += 1;
    }
    return index < gather->silent_count;
}

/* All that nodes say of the endpoint at `first`; answers where the next one begins. */
static size_t check_owner(const struct gather *gather, size_t first, struct finding *finding)
{
    const Sf__Control__ChannelInfo *owner = NULL;
    size_t index;

    for (index = first;
         index < gather->end_count && gather->ends[index]->id == gather->ends[first]->id; index++) {
        const Sf__Control__ChannelInfo *end = gather->ends[index];

        if (end->arriving) {
            continue;
        }
        if (owner != NULL) {
            note(finding, "endpoint %" PRIx64 " has two owners: on %s and on %s", end->id,
                 name_of(gather, owner->node), name_of(gather, end->node));
        }
        owner = end;
    }
    if (owner == NULL) {
        note(finding, "endpoint %" PRIx64 " has no owner: it is to come to %s, and nobody has it",
             gather->ends[first]->id, name_of(gather, gather->ends[first]->node));
    }
    return index;
}

/* An open one has another end. */
static void check_peer(const struct gather *gather, const Sf__Control__ChannelInfo *end,
                       struct finding *finding)
{
    bool is_open = end->cause == NULL || end->cause->kind == SF_CAUSE_NONE;

    if (end->arriving) {
        return;
    }
    finding->endpoints += 1;
    finding->open += is_open;
    if (is_open && edges__end_find(gather, end->peer_id) == NULL &&
        !is_silent(gather, end->peer_node)) {
        note(finding,
             "endpoint %" PRIx64 " on %s: its channel is open, but the other end, %" PRIx64
             " on %s, is nowhere",
             end->id, name_of(gather, end->node), end->peer_id, name_of(gather, end->peer_node));
    }
}

static void find(const struct gather *gather, struct finding *finding)
{
    for (uint32_t index = 0; index < gather->reply_count; index++) {
        const Sf__Control__ChannelList *list = gather->replies[index]->channel_list;

        if (list->stats != NULL) {
            finding->blocks += list->stats->blocks;
            finding->block_bytes += list->stats->heap_bytes;
        }
        if (list->audit[0] != '\0') {
            note(finding, "%s: %.200s",
                 name_of(gather, list->stats != NULL ? list->stats->node : 0), list->audit);
        }
    }
    for (uint32_t index = 0; index < gather->silent_count; index++) {
        note(finding, "%s did not answer", name_of(gather, gather->silent[index]));
    }
    for (size_t index = 0; index < gather->end_count;) {
        index = check_owner(gather, index, finding);
    }
    for (size_t index = 0; index < gather->end_count; index++) {
        check_peer(gather, gather->ends[index], finding);
    }
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_again(uv_timer_t *timer)
{
    struct again *again = timer->data;

    look(again->daemon, again->console, again->request, again->round);
    uv_close((uv_handle_t *)timer, on_closed);
}

/* False: no memory. */
static bool wait_for_round(const struct gather *gather)
{
    struct again *again = calloc(1, sizeof(*again));

    if (again == NULL) {
        return false;
    }
    again->daemon = gather->daemon;
    again->console = gather->console;
    again->request = gather->request;
    again->round = gather->round + 1;
    uv_timer_init(&gather->daemon->loop, &again->timer);
    again->timer.data = again;
    uv_timer_start(&again->timer, on_again, ROUND_MS, 0);
    return true;
}

static void on_gathered(struct gather *gather)
{
    struct console *console = console_by_number(gather->daemon, gather->console);
    struct finding finding = {.wrong = 0};

    if (console == NULL) {
        return;
    }
    if (!edges__ends_sort(gather)) {
        console_result(console, gather->request, SF_NOMEM, "no memory left");
        return;
    }
    find(gather, &finding);
    if (finding.wrong > 0 && gather->round < ROUNDS && wait_for_round(gather)) {
        return;
    }
    if (finding.wrong > 0) {
        console_result(console, gather->request, SF_FORMAT, "%u things are wrong:%s%s",
                       finding.wrong, finding.text, finding.wrong > LINES_MAX ? "\n..." : "");
        return;
    }
    console_result(console, gather->request, SF_OK,
                   "%" PRIu64 " endpoints (%" PRIu64 " of open channels) and %" PRIu64
                   " blocks (%.1f MiB) on %u nodes: each has one owner",
                   finding.endpoints, finding.open, finding.blocks,
                   (double)finding.block_bytes / (1024 * 1024), gather->reply_count);
}

static void look(struct daemon *daemon, uint64_t console, uint64_t request, uint32_t round)
{
    struct gather *gather = edges__gather_make(daemon, on_gathered);
    struct console *asks = console_by_number(daemon, console);

    if (gather == NULL) {
        if (asks != NULL) {
            console_result(asks, request, SF_NOMEM, "no memory left");
        }
        return;
    }
    gather->console = console;
    gather->request = request;
    gather->round = round;
    gather->audit = true;
    edges__gather_run(gather);
}

void verify_begin(struct console *console, uint64_t request)
{
    look(console_daemon(console), console_number(console), request, 1);
}
