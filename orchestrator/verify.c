/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.c - has each endpoint and each block one owner, on all nodes together?
 *
 * Each node checks its own (nk_audit: every block and endpoint is in exactly one place) and says
 * which endpoints it has; here they are put together: none on two nodes, and of each open one the
 * other end is somewhere. Nodes do not answer at the same instant, so what is on its way may be
 * seen twice or not at all: nodes are asked again, up to ROUNDS times, and only that counts which
 * was wrong with the same endpoint each time.
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

enum wrong_kind { TWO_OWNERS, NO_OWNER, NO_PEER, AUDIT, SILENT };

/* One thing that is wrong: with an endpoint, or with a node (AUDIT, SILENT). */
struct wrong {
    enum wrong_kind kind;
    uint64_t id;
};

/* One question of a console, over all its rounds. Freed when its timer is closed. */
struct verify {
    uv_timer_t timer; /* until the next round */
    struct daemon *daemon;
    uint64_t console, request;
    uint32_t round;
    struct wrong *wrongs; /* in every round so far */
    uint32_t wrong_count;
};

/* What one round finds. */
struct finding {
    const struct verify *verify;
    struct wrong *wrongs; /* those that were wrong in the rounds before, too */
    uint32_t wrong_count, wrong_capacity;
    bool no_memory;
    char text[TEXT_BYTES]; /* the first LINES_MAX of them, a line each */
    uint64_t endpoints, open, blocks, block_bytes;
};

static void look(struct verify *verify);

static bool was_wrong(const struct verify *verify, enum wrong_kind kind, uint64_t id)
{
    if (verify->round == 1) {
        return true;
    }
    for (uint32_t index = 0; index < verify->wrong_count; index++) {
        if (verify->wrongs[index].kind == kind && verify->wrongs[index].id == id) {
            return true;
        }
    }
    return false;
}

static bool room_for_one(struct finding *finding)
{
    uint32_t capacity = finding->wrong_capacity == 0 ? 16 : finding->wrong_capacity * 2;
    struct wrong *wrongs;

    if (finding->wrong_count < finding->wrong_capacity) {
        return true;
    }
    wrongs = realloc(finding->wrongs, capacity * sizeof(*wrongs));
    if (wrongs == NULL) {
        finding->no_memory = true;
        return false;
    }
    finding->wrongs = wrongs;
    finding->wrong_capacity = capacity;
    return true;
}

static void note(struct finding *finding, enum wrong_kind kind, uint64_t id, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

static void note(struct finding *finding, enum wrong_kind kind, uint64_t id, const char *format,
                 ...)
{
    size_t used = strlen(finding->text);
    va_list arguments;

    if (!was_wrong(finding->verify, kind, id) || !room_for_one(finding)) {
        return;
    }
    finding->wrongs[finding->wrong_count++] = (struct wrong){kind, id};
    if (finding->wrong_count > LINES_MAX || used + 2 >= sizeof(finding->text)) {
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
            note(finding, TWO_OWNERS, end->id,
                 "endpoint %" PRIx64 " has two owners: on %s and on %s", end->id,
                 name_of(gather, owner->node), name_of(gather, end->node));
        }
        owner = end;
    }
    if (owner == NULL) {
        note(finding, NO_OWNER, gather->ends[first]->id,
             "endpoint %" PRIx64 " has no owner: it is to come to %s, and nobody has it",
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
        note(finding, NO_PEER, end->id,
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
            uint32_t node = list->stats != NULL ? list->stats->node : 0;

            note(finding, AUDIT, node, "%s: %.200s", name_of(gather, node), list->audit);
        }
    }
    for (uint32_t index = 0; index < gather->silent_count; index++) {
        note(finding, SILENT, gather->silent[index], "%s did not answer",
             name_of(gather, gather->silent[index]));
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
    struct verify *verify = handle->data;

    free(verify->wrongs);
    free(verify);
}

static void on_again(uv_timer_t *timer)
{
    look(timer->data);
}

static void answer(const struct gather *gather, struct console *console,
                   const struct finding *finding)
{
    const char *more = finding->wrong_count > LINES_MAX ? "\n..." : "";

    if (finding->no_memory) {
        console_result(console, gather->verify->request, SF_NOMEM, "no memory left");
    } else if (finding->wrong_count > 0) {
        console_result(console, gather->verify->request, SF_FORMAT, "%u things are wrong:%s%s",
                       finding->wrong_count, finding->text, more);
    } else {
        console_result(console, gather->verify->request, SF_OK,
                       "%" PRIu64 " endpoints (%" PRIu64 " of open channels) and %" PRIu64
                       " blocks (%.1f MiB) on %u nodes: each has one owner",
                       finding->endpoints, finding->open, finding->blocks,
                       (double)finding->block_bytes / (1024 * 1024), gather->reply_count);
    }
}

static void on_gathered(struct gather *gather)
{
    struct verify *verify = gather->verify;
    struct console *console = console_by_number(verify->daemon, verify->console);
    struct finding finding = {.verify = verify, .no_memory = !edges__ends_sort(gather)};

    if (console != NULL && !finding.no_memory) {
        find(gather, &finding);
        free(verify->wrongs);
        verify->wrongs = finding.wrongs;
        verify->wrong_count = finding.wrong_count;
        if (finding.wrong_count > 0 && !finding.no_memory && verify->round < ROUNDS) {
            verify->round += 1;
            uv_timer_start(&verify->timer, on_again, ROUND_MS, 0);
            return;
        }
    }
    if (console != NULL) {
        answer(gather, console, &finding);
    }
    uv_close((uv_handle_t *)&verify->timer, on_closed);
}

static void look(struct verify *verify)
{
    struct gather *gather = edges__gather_make(verify->daemon, on_gathered);
    struct console *console;

    if (gather == NULL) {
        console = console_by_number(verify->daemon, verify->console);
        if (console != NULL) {
            console_result(console, verify->request, SF_NOMEM, "no memory left");
        }
        uv_close((uv_handle_t *)&verify->timer, on_closed);
        return;
    }
    gather->verify = verify;
    gather->audit = true;
    edges__gather_run(gather);
}

void verify_begin(struct console *console, uint64_t request)
{
    struct verify *verify = calloc(1, sizeof(*verify));

    if (verify == NULL) {
        console_result(console, request, SF_NOMEM, "no memory left");
        return;
    }
    verify->daemon = console_daemon(console);
    verify->console = console_number(console);
    verify->request = request;
    verify->round = 1;
    uv_timer_init(&verify->daemon->loop, &verify->timer);
    verify->timer.data = verify;
    look(verify);
}
