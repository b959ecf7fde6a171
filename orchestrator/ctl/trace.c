/* SPDX-License-Identifier: Apache-2.0 */
/* trace.c - fabricctl trace. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "control/stream.h"
#include "ctl/trace.h"

#define BYTES_DEFAULT 64u
#define BYTES_MAX 512u /* of a block, as nodes keep them */

struct watch {
    struct ctl_context *context;
    Sf__Control__Envelope *list; /* TraceList, copied */
    uint32_t count_max;          /* 0: no limit */
    uint32_t count;              /* messages shown */
    uint64_t last[2];            /* by end: number of the last event */
    uint64_t dropped;
    uint32_t ended; /* ends that are over */
    bool lines;
    struct pcap pcap;
};

/* Between the event before and this one some were dropped. */
static void tell_dropped(struct watch *watch, uint32_t end, uint64_t number)
{
    uint64_t dropped = number > watch->last[end] + 1 ? number - watch->last[end] - 1 : 0;

    watch->last[end] = number;
    if (dropped == 0) {
        return;
    }
    watch->dropped += dropped;
    fflush(stdout);
    ctl_note("%" PRIu64 " messages were dropped here: the trace could not keep up", dropped);
}

static void show(struct watch *watch, uint32_t end_index, const Sf__Control__TraceEvent *event)
{
    const Sf__Control__TraceList *list = watch->list->trace_list;
    const Sf__Control__TraceStarted *end = list->ends[end_index];

    tell_dropped(watch, end_index, event->number);
    if (watch->pcap.file != NULL && end_index == 0) {
        pcap_write(&watch->pcap, end, event);
    }
    if (watch->lines && watch->context->output == CTL_JSON) {
        trace_print_json(list, end, event);
    } else if (watch->lines) {
        trace_print(list, end, event, list->n_ends > 1);
    }
    watch->count += event->kind == SF__CONTROL__TRACE_EVENT__KIND__SENT ||
                    event->kind == SF__CONTROL__TRACE_EVENT__KIND__RECEIVED;
}

static bool has_enough(const struct watch *watch)
{
    return watch->count_max != 0 && watch->count >= watch->count_max;
}

static void take_events(struct watch *watch, const Sf__Control__TraceEvents *events)
{
    for (size_t i = 0; i < events->n_events && !has_enough(watch); i++) {
        show(watch, events->end, events->events[i]);
    }
    fflush(stdout);
    if (watch->pcap.file != NULL) {
        (void)fflush(watch->pcap.file); /* pcap_close asks for errors */
    }
    if (events->ended[0] != '\0' && !has_enough(watch)) {
        const char *node = watch->list->trace_list->ends[events->end]->node_name;

        tell_dropped(watch, events->end, events->total + 1);
        ctl_note("the trace on %s ends: %s", node, events->ended);
        watch->ended += 1;
    }
}

static enum ctl_take take(void *arg, const Sf__Control__Envelope *envelope)
{
    struct watch *watch = arg;

    if (envelope->body_case == SF__CONTROL__ENVELOPE__BODY_TRACE_LIST && watch->list == NULL) {
        watch->list = control_envelope_copy(envelope);
        return CTL_TAKE_PASS;
    }
    if (envelope->body_case != SF__CONTROL__ENVELOPE__BODY_TRACE_EVENTS) {
        return CTL_TAKE_PASS;
    }
    if (watch->list == NULL || envelope->trace_events->end >= watch->list->trace_list->n_ends) {
        return CTL_TAKE_MORE;
    }
    take_events(watch, envelope->trace_events);
    return has_enough(watch) || watch->ended == watch->list->trace_list->n_ends ? CTL_TAKE_END
                                                                                : CTL_TAKE_MORE;
}

static bool list_ok(const struct watch *watch)
{
    const Sf__Control__TraceList *list = watch->list != NULL ? watch->list->trace_list : NULL;
    bool ok = list != NULL && list->n_ends > 0 && list->n_ends <= 2;

    for (size_t i = 0; ok && i < list->n_ends; i++) {
        ok = list->ends[i]->contract != NULL;
    }
    return ok;
}

static int watch_run(struct watch *watch, struct ctl_client *client, Sf__Control__Trace *body,
                     uint32_t time_ms)
{
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Envelope *reply = NULL;
    const Sf__Control__TraceList *list;
    int code;

    request.body_case = SF__CONTROL__ENVELOPE__BODY_TRACE;
    request.trace = body;
    ctl_set_take(client, take, watch);
    code = ctl_call(client, &request, SF__CONTROL__ENVELOPE__BODY_TRACE_LIST, CTL_QUICK_MS, &reply);
    ctl_reply_free(reply);
    if (code != CTL_OK) {
        return code;
    }
    if (!list_ok(watch)) {
        return ctl_error(watch->context, CTL_ERROR, "fabricd gave an answer that makes no sense");
    }
    list = watch->list->trace_list;
    ctl_note("%s -> %s, %s, as seen on %s%s%s", list->importer, list->exporter,
             list->ends[0]->contract->name, list->ends[0]->node_name,
             list->n_ends > 1 ? " and " : "", list->n_ends > 1 ? list->ends[1]->node_name : "");
    code = ctl_take_more(client, time_ms);
    ctl_note("%u messages, %" PRIu64 " dropped", watch->count, watch->dropped);
    return code;
}

static int open_file(struct watch *watch, const char *path)
{
    FILE *file;

    if (path == NULL) {
        return CTL_OK;
    }
    file = strcmp(path, "-") == 0 ? stdout : fopen(path, "wb");
    if (file == NULL) {
        return ctl_error(watch->context, CTL_ERROR, "cannot write %s: %s", path, strerror(errno));
    }
    watch->lines = file != stdout;
    pcap_open(&watch->pcap, file);
    return CTL_OK;
}

int ctl_trace(struct ctl_context *context, int argc, char **argv)
{
    struct watch watch = {.context = context, .lines = true};
    uint32_t bytes = BYTES_DEFAULT;
    uint32_t time_ms = 0;
    bool both = false;
    const char *path = NULL;
    const struct ctl_option options[] = {
        {"--both", 0, CTL_OPT_FLAG, &both},
        {"--count", 'n', CTL_OPT_COUNT, &watch.count_max},
        {"--for", 0, CTL_OPT_MILLISECONDS, &time_ms},
        {"--bytes", 0, CTL_OPT_COUNT, &bytes},
        {"--pcap", 0, CTL_OPT_TEXT, &path},
        {0},
    };
    Sf__Control__Trace body = SF__CONTROL__TRACE__INIT;
    struct ctl_client *client = NULL;
    int code;

    argc = ctl_options(context, argc, argv, options);
    if (argc != 2) {
        return argc < 0 ? CTL_USAGE
                        : ctl_error(context, CTL_USAGE, "write: fabricctl trace CHANNEL");
    }
    if (bytes > BYTES_MAX) {
        return ctl_error(context, CTL_USAGE, "--bytes %u: at most %u", bytes, BYTES_MAX);
    }
    code = open_file(&watch, path);
    if (code == CTL_OK) {
        code = ctl_connect(context, false, &client);
    }
    if (code == CTL_OK) {
        code = ctl_watch_interrupts(client);
    }
    if (code == CTL_OK) {
        body.channel = argv[1];
        body.both = both;
        body.block_bytes = bytes;
        code = watch_run(&watch, client, &body, time_ms);
    }
    ctl_disconnect(client);
    ctl_reply_free(watch.list);
    if (watch.pcap.file != NULL && !pcap_close(&watch.pcap)) {
        code = ctl_error(context, CTL_ERROR, "cannot write %s", path);
    }
    return code;
}
