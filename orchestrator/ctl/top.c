/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top.c - fabricctl top: what nodes, sessions and channels do now.
 *
 * Two samples of what `get channels` is answered with, and the difference of their counters. A
 * counter that went back (a session that began again, a node that booted) counts from zero.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "ctl/ctl_private.h"

#define INTERVAL_MS 1000u
#define ROWS_DEFAULT 20u /* of channels, where there is no terminal */
#define ROWS_MIN 3u

struct sample {
    Sf__Control__Envelope *reply; /* EdgeList */
    uint64_t time_ns;
};

enum sort { SORT_MESSAGES, SORT_BYTES, SORT_QUEUE, SORT_LATENCY, SORT_NAME };

struct row {
    const Sf__Control__EdgeInfo *edge;
    double messages, bytes; /* a second, both ways */
    uint32_t queued;        /* at both ends, and unsent */
    uint64_t p50_ns, p99_ns;
};

struct top {
    struct ctl_context *context;
    enum sort sort;
    uint32_t rows_max; /* 0: as many as fit */
    struct sample before, now;
    double seconds; /* between them */
};

static uint64_t clock_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double rate(const struct top *top, uint64_t before, uint64_t now)
{
    return (double)(now >= before ? now - before : now) / top->seconds;
}

/* --- what was there before ----------------------------------------------------------------------
 */

static int edge_by_id(const void *a, const void *b)
{
    const Sf__Control__EdgeInfo *x = *(Sf__Control__EdgeInfo *const *)a;
    const Sf__Control__EdgeInfo *y = *(Sf__Control__EdgeInfo *const *)b;

    return (x->id > y->id) - (x->id < y->id);
}

/* The list before must be sorted. */
static const Sf__Control__EdgeInfo *edge_before(const struct top *top,
                                                const Sf__Control__EdgeInfo *edge)
{
    const Sf__Control__EdgeList *list = top->before.reply->edge_list;
    Sf__Control__EdgeInfo **found =
        bsearch(&edge, list->edges, list->n_edges, sizeof(list->edges[0]), edge_by_id);

    return found != NULL && edge->id != 0 ? *found : NULL;
}

static const Sf__Control__SessionInfo *session_before(const struct top *top,
                                                      const Sf__Control__SessionInfo *session)
{
    const Sf__Control__EdgeList *list = top->before.reply->edge_list;

    for (size_t i = 0; i < list->n_sessions; i++) {
        if (list->sessions[i]->node == session->node && list->sessions[i]->peer == session->peer) {
            return list->sessions[i];
        }
    }
    return NULL;
}

static const Sf__Control__NodeStats *node_before(const struct top *top, uint32_t node)
{
    const Sf__Control__EdgeList *list = top->before.reply->edge_list;

    for (size_t i = 0; i < list->n_nodes; i++) {
        if (list->nodes[i]->node == node) {
            return list->nodes[i];
        }
    }
    return NULL;
}

/* --- channels -----------------------------------------------------------------------------------
 */

static uint64_t messages_of(const Sf__Control__EdgeInfo *edge)
{
    return edge == NULL ? 0 : edge->sent + edge->received;
}

static uint64_t bytes_of(const Sf__Control__EdgeInfo *edge)
{
    const Sf__Control__EndStats *end = edge == NULL                 ? NULL
                                       : edge->importer_end != NULL ? edge->importer_end
                                                                    : edge->exporter_end;

    return end == NULL ? 0 : end->bytes_sent + end->bytes_received;
}

static void add_end(struct row *row, const Sf__Control__EndStats *end)
{
    if (end == NULL) {
        return;
    }
    row->queued += end->queued + end->unsent;
    /* The importer asks more often than not; else what there is. */
    if (row->p99_ns == 0 && end->latency_count > 0) {
        row->p50_ns = end->latency_p50_ns;
        row->p99_ns = end->latency_p99_ns;
    }
}

static struct row *make_rows(const struct top *top, size_t *out_count)
{
    const Sf__Control__EdgeList *list = top->now.reply->edge_list;
    struct row *rows = calloc(list->n_edges + 1, sizeof(*rows));
    size_t count = 0;

    for (size_t i = 0; rows != NULL && i < list->n_edges; i++) {
        const Sf__Control__EdgeInfo *edge = list->edges[i];
        const Sf__Control__EdgeInfo *before = edge_before(top, edge);
        struct row *row = &rows[count];

        if (edge->id == 0) {
            continue; /* closed, and forgotten by its node */
        }
        row->edge = edge;
        /* What was not there before did all it did since. */
        row->messages = rate(top, messages_of(before), messages_of(edge));
        row->bytes = rate(top, bytes_of(before), bytes_of(edge));
        add_end(row, edge->importer_end);
        add_end(row, edge->exporter_end);
        count++;
    }
    *out_count = rows != NULL ? count : 0;
    return rows;
}

static enum sort sort_by; /* qsort has no argument */

static double key_of(const struct row *row)
{
    switch (sort_by) {
    case SORT_BYTES:
        return row->bytes;
    case SORT_QUEUE:
        return row->queued;
    case SORT_LATENCY:
        return (double)row->p99_ns;
    default:
        return row->messages;
    }
}

static int by_key(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    double kx = key_of(x), ky = key_of(y);

    if (sort_by != SORT_NAME && kx != ky) {
        return kx < ky ? 1 : -1;
    }
    return strcmp(x->edge->importer, y->edge->importer);
}

/* --- tables -------------------------------------------------------------------------------------
 */

static void cell_rate(struct ctl_table *table, double value)
{
    ctl_cell(table, value >= 100 ? "%.0f" : "%.1f", value);
}

static void cell_megabytes(struct ctl_table *table, double bytes)
{
    ctl_cell(table, "%.2f", bytes / 1e6);
}

static void cell_ns(struct ctl_table *table, uint64_t ns)
{
    char text[32];

    ctl_cell(table, "%s", ns == 0 ? "" : ctl_duration(ns, text));
}

static void print_nodes(const struct top *top)
{
    static const char *const titles[] = {"NODE",   "SIPS",  "ENDPOINTS", "HEAP MiB",
                                         "BLOCKS", "MSG/S", "CALLS/S",   NULL};
    const Sf__Control__EdgeList *list = top->now.reply->edge_list;
    struct ctl_table table = {titles, NULL, 0};

    for (size_t i = 0; i < list->n_nodes; i++) {
        const Sf__Control__NodeStats *node = list->nodes[i];
        const Sf__Control__NodeStats *before = node_before(top, node->node);

        ctl_cell(&table, "%s", node->node_name);
        ctl_cell(&table, "%u", node->sips);
        ctl_cell(&table, "%u", node->endpoints);
        ctl_cell(&table, "%.1f / %.0f", (double)node->heap_bytes / (1 << 20),
                 (double)node->heap_range_bytes / (1 << 20));
        ctl_cell(&table, "%" PRIu64, node->blocks);
        cell_rate(&table, rate(top, before != NULL ? before->messages : 0, node->messages));
        cell_rate(&table, rate(top, before != NULL ? before->calls : 0, node->calls));
    }
    ctl_table_print(&table);
}

static void print_sessions(const struct top *top)
{
    static const char *const titles[] = {"NODE",    "PEER", "DRIVER", "MSG/S",  "MB/S",
                                         "AGAIN/S", "RTT",  "P50",    "P99",    "WINDOW",
                                         "FLIGHT",  "WAIT", "SEALED", "LOSSES", NULL};
    static const Sf__Control__SessionInfo nothing = SF__CONTROL__SESSION_INFO__INIT;
    const Sf__Control__EdgeList *list = top->now.reply->edge_list;
    struct ctl_table table = {titles, NULL, 0};

    for (size_t i = 0; i < list->n_sessions; i++) {
        const Sf__Control__SessionInfo *session = list->sessions[i];
        const Sf__Control__SessionInfo *before = session_before(top, session);

        before = before != NULL ? before : &nothing;
        ctl_cell(&table, "%s", session->node_name);
        ctl_cell(&table, "%s", session->peer_name);
        ctl_cell(&table, "%s", session->driver);
        cell_rate(&table, rate(top, before->messages_sent, session->messages_sent));
        cell_megabytes(&table, rate(top, before->bytes_sent, session->bytes_sent));
        cell_rate(&table, rate(top, before->frames_resent, session->frames_resent));
        cell_ns(&table, session->rtt_ns);
        cell_ns(&table, session->rtt_p50_ns);
        cell_ns(&table, session->rtt_p99_ns);
        ctl_cell(&table, "%u", session->window);
        ctl_cell(&table, "%u", session->in_flight);
        ctl_cell(&table, "%u", session->waiting);
        ctl_cell(&table, "%s", session->sealed ? "yes" : "no");
        ctl_cell(&table, "%u", session->losses);
    }
    ctl_table_print(&table);
}

static void print_channels(const struct row *rows, size_t count)
{
    static const char *const titles[] = {"IMPORTER", "NODE",  "EXPORTER", "NODE", "DRIVER", "MSG/S",
                                         "MB/S",     "QUEUE", "P50",      "P99",  NULL};
    struct ctl_table table = {titles, NULL, 0};

    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];

        ctl_cell(&table, "%s", row->edge->importer);
        ctl_cell(&table, "%s", row->edge->importer_node);
        ctl_cell(&table, "%s", row->edge->exporter);
        ctl_cell(&table, "%s", row->edge->exporter_node);
        ctl_cell(&table, "%s", row->edge->driver);
        cell_rate(&table, row->messages);
        if (strcmp(row->edge->driver, "local") == 0) {
            ctl_cell(&table, "%s", ""); /* not counted */
        } else {
            cell_megabytes(&table, row->bytes);
        }
        ctl_cell(&table, "%u", row->queued);
        cell_ns(&table, row->p50_ns);
        cell_ns(&table, row->p99_ns);
    }
    ctl_table_print(&table);
}

/* So that all three tables fit on the terminal, if there is one. */
static size_t rows_shown(const struct top *top, size_t count)
{
    const Sf__Control__EdgeList *list = top->now.reply->edge_list;
    size_t others = list->n_nodes + list->n_sessions + 6; /* titles, empty lines */
    size_t most = top->rows_max != 0 ? top->rows_max : ROWS_DEFAULT;
    struct winsize size;

    if (top->rows_max == 0 && isatty(STDOUT_FILENO) &&
        ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) {
        most = size.ws_row > others + ROWS_MIN ? size.ws_row - others : ROWS_MIN;
    }
    return count < most ? count : most;
}

static void print_tables(const struct top *top, const struct row *rows, size_t count)
{
    if (isatty(STDOUT_FILENO)) {
        fputs("\033[H\033[J", stdout);
    }
    print_nodes(top);
    putchar('\n');
    print_sessions(top);
    putchar('\n');
    print_channels(rows, rows_shown(top, count));
}

/* --- JSON ---------------------------------------------------------------------------------------
 */

static cJSON *add_item(cJSON *items)
{
    cJSON *item = cJSON_CreateObject();

    cJSON_AddItemToArray(items, item);
    return item;
}

static void add_nodes(const struct top *top, cJSON *items)
{
    const Sf__Control__EdgeList *list = top->now.reply->edge_list;

    for (size_t i = 0; i < list->n_nodes; i++) {
        const Sf__Control__NodeStats *node = list->nodes[i];
        const Sf__Control__NodeStats *before = node_before(top, node->node);
        cJSON *item = add_item(items);

        cJSON_AddStringToObject(item, "node", node->node_name);
        cJSON_AddNumberToObject(item, "sips", node->sips);
        cJSON_AddNumberToObject(item, "workers", node->workers);
        cJSON_AddNumberToObject(item, "endpoints", node->endpoints);
        cJSON_AddNumberToObject(item, "heap_bytes", (double)node->heap_bytes);
        cJSON_AddNumberToObject(item, "heap_range_bytes", (double)node->heap_range_bytes);
        cJSON_AddNumberToObject(item, "blocks", (double)node->blocks);
        cJSON_AddNumberToObject(item, "messages_per_s",
                                rate(top, before != NULL ? before->messages : 0, node->messages));
        cJSON_AddNumberToObject(item, "calls_per_s",
                                rate(top, before != NULL ? before->calls : 0, node->calls));
    }
}

static void add_sessions(const struct top *top, cJSON *items)
{
    static const Sf__Control__SessionInfo nothing = SF__CONTROL__SESSION_INFO__INIT;
    const Sf__Control__EdgeList *list = top->now.reply->edge_list;

    for (size_t i = 0; i < list->n_sessions; i++) {
        const Sf__Control__SessionInfo *session = list->sessions[i];
        const Sf__Control__SessionInfo *before = session_before(top, session);
        cJSON *item = add_item(items);

        before = before != NULL ? before : &nothing;
        ctl_session_json(item, session);
        cJSON_AddNumberToObject(item, "messages_per_s",
                                rate(top, before->messages_sent, session->messages_sent));
        cJSON_AddNumberToObject(item, "bytes_per_s",
                                rate(top, before->bytes_sent, session->bytes_sent));
        cJSON_AddNumberToObject(item, "resends_per_s",
                                rate(top, before->frames_resent, session->frames_resent));
    }
}

static void print_json(const struct top *top, const struct row *rows, size_t count)
{
    cJSON *root = cJSON_CreateObject();
    cJSON *items;

    cJSON_AddNumberToObject(root, "format", 1);
    cJSON_AddNumberToObject(root, "interval_ms", top->seconds * 1000);
    add_nodes(top, cJSON_AddArrayToObject(root, "nodes"));
    add_sessions(top, cJSON_AddArrayToObject(root, "sessions"));
    items = cJSON_AddArrayToObject(root, "channels");
    for (size_t i = 0; i < count && (top->rows_max == 0 || i < top->rows_max); i++) {
        const struct row *row = &rows[i];
        cJSON *item = add_item(items);
        char id[32];

        snprintf(id, sizeof(id), "%" PRIx64, row->edge->id);
        cJSON_AddStringToObject(item, "id", id);
        cJSON_AddStringToObject(item, "importer", row->edge->importer);
        cJSON_AddStringToObject(item, "importer_node", row->edge->importer_node);
        cJSON_AddStringToObject(item, "exporter", row->edge->exporter);
        cJSON_AddStringToObject(item, "exporter_node", row->edge->exporter_node);
        cJSON_AddStringToObject(item, "driver", row->edge->driver);
        cJSON_AddNumberToObject(item, "messages_per_s", row->messages);
        cJSON_AddNumberToObject(item, "bytes_per_s", row->bytes);
        cJSON_AddNumberToObject(item, "queued", row->queued);
        cJSON_AddNumberToObject(item, "latency_p50_ns", (double)row->p50_ns);
        cJSON_AddNumberToObject(item, "latency_p99_ns", (double)row->p99_ns);
    }
    ctl_print_json(root);
}

/* --- the command --------------------------------------------------------------------------------
 */

static int take_sample(struct top *top, struct ctl_client *client)
{
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__GetChannels body = SF__CONTROL__GET_CHANNELS__INIT;
    int code;

    ctl_reply_free(top->before.reply);
    top->before = top->now;
    top->now.reply = NULL;
    request.body_case = SF__CONTROL__ENVELOPE__BODY_GET_CHANNELS;
    request.get_channels = &body;
    code = ctl_call(client, &request, SF__CONTROL__ENVELOPE__BODY_EDGE_LIST, CTL_QUICK_MS,
                    &top->now.reply);
    top->now.time_ns = clock_ns();
    top->seconds = (double)(top->now.time_ns - top->before.time_ns) / 1e9;
    return code;
}

static int show(struct top *top)
{
    Sf__Control__EdgeList *before = top->before.reply->edge_list;
    size_t count;
    struct row *rows;

    qsort(before->edges, before->n_edges, sizeof(before->edges[0]), edge_by_id);
    rows = make_rows(top, &count);
    if (rows == NULL) {
        return ctl_error(top->context, CTL_ERROR, "no memory left");
    }
    sort_by = top->sort;
    qsort(rows, count, sizeof(rows[0]), by_key);
    if (top->context->output == CTL_JSON) {
        print_json(top, rows, count);
    } else {
        print_tables(top, rows, count);
    }
    fflush(stdout);
    free(rows);
    return CTL_OK;
}

static int parse_sort(struct top *top, const char *text)
{
    static const char *const names[] = {"messages", "bytes", "queue", "latency", "name"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], text) == 0) {
            top->sort = (enum sort)i;
            return CTL_OK;
        }
    }
    return ctl_error(top->context, CTL_USAGE,
                     "--sort %s: there are messages, bytes, queue, latency and name", text);
}

static int run(struct top *top, struct ctl_client *client, uint32_t interval_ms, uint32_t count)
{
    int code = take_sample(top, client);
    uint32_t shown = 0;

    while (code == CTL_OK && (count == 0 || shown < count)) {
        code = ctl_sleep(client, interval_ms);
        if (code == CTL_OK) {
            code = take_sample(top, client);
        }
        if (code == CTL_OK) {
            if (shown > 0 && top->context->output != CTL_JSON && !isatty(STDOUT_FILENO)) {
                putchar('\n');
            }
            code = show(top);
            shown++;
        }
    }
    return code;
}

int ctl_top(struct ctl_context *context, int argc, char **argv)
{
    struct top top = {.context = context};
    uint32_t interval_ms = INTERVAL_MS;
    uint32_t count = 0;
    bool once = false;
    const char *sort = "messages";
    const struct ctl_option options[] = {
        {"--once", 0, CTL_OPT_FLAG, &once},
        {"--count", 'n', CTL_OPT_COUNT, &count},
        {"--interval", 0, CTL_OPT_MILLISECONDS, &interval_ms},
        {"--rows", 0, CTL_OPT_COUNT, &top.rows_max},
        {"--sort", 0, CTL_OPT_TEXT, &sort},
        {0},
    };
    struct ctl_client *client = NULL;
    int code;

    argc = ctl_options(context, argc, argv, options);
    if (argc != 1) {
        return argc < 0 ? CTL_USAGE
                        : ctl_error(context, CTL_USAGE, "top takes options only; see: top --help");
    }
    if (interval_ms == 0) {
        return ctl_error(context, CTL_USAGE, "--interval must be above 0");
    }
    code = parse_sort(&top, sort);
    if (code == CTL_OK) {
        code = ctl_connect(context, false, &client);
    }
    if (code == CTL_OK) {
        code = ctl_watch_interrupts(client);
    }
    if (code == CTL_OK) {
        code = run(&top, client, interval_ms, once ? 1 : count);
    }
    ctl_disconnect(client);
    ctl_reply_free(top.before.reply);
    ctl_reply_free(top.now.reply);
    return code;
}
