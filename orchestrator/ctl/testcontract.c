/* SPDX-License-Identifier: Apache-2.0 */
/*
 * testcontract.c - fabricctl test contract: runs a SIP that walks a contract against an exporter.
 *
 * The walker is an image that contractc generated (walk-<contract>.sip) with one import,
 * "exporter". It runs as a graph of its own, which is deleted whatever happens. Its exit code is
 * the verdict.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "ctl/ctl_private.h"
#include "names.h"

#define POLL_MS 100u
#define TIMEOUT_MS_DEFAULT 60000u

struct walk {
    struct ctl_context *context;
    struct ctl_client *client;
    const char *contract;
    const char *exporter;
    const char *node;
    uint32_t timeout_ms;
    char graph[33];
    char sip[33];
    uint64_t last_line;
    cJSON *lines; /* with -o json */
};

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Nothing has to be told about a graph that lives for seconds. */
static void no_progress(void *arg, const Sf__Control__Progress *progress)
{
    (void)arg;
    (void)progress;
}

static int apply_graph(struct walk *walk, const struct ctl_image *image)
{
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Envelope *reply = NULL;
    Sf__Control__Apply body = SF__CONTROL__APPLY__INIT;
    Sf__Control__Graph graph = SF__CONTROL__GRAPH__INIT;
    Sf__Control__GraphSip sip = SF__CONTROL__GRAPH_SIP__INIT;
    Sf__Control__GraphSip *sips[1] = {&sip};
    Sf__Control__GraphChannel channel = SF__CONTROL__GRAPH_CHANNEL__INIT;
    Sf__Control__GraphChannel *channels[1] = {&channel};
    char importer[80];
    int code;

    snprintf(importer, sizeof(importer), "%s.exporter", walk->sip);
    sip.name = walk->sip;
    sip.image = (ProtobufCBinaryData){sizeof(image->digest), (uint8_t *)image->digest};
    sip.image_path = (char *)image->path;
    sip.image_name = (char *)image->name;
    sip.node = (char *)walk->node;
    channel.importer = importer;
    channel.exporter = (char *)walk->exporter;
    graph.name = walk->graph;
    graph.sips = sips;
    graph.n_sips = 1;
    graph.channels = channels;
    graph.n_channels = 1;
    body.graph = &graph;
    request.body_case = SF__CONTROL__ENVELOPE__BODY_APPLY;
    request.apply = &body;
    code =
        ctl_call(walk->client, &request, SF__CONTROL__ENVELOPE__BODY_RESULT, CTL_CHANGE_MS, &reply);
    ctl_reply_free(reply);
    return code;
}

static void delete_graph(struct walk *walk)
{
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Envelope *reply = NULL;
    Sf__Control__Delete body = SF__CONTROL__DELETE__INIT;
    int code;

    body.graph = walk->graph;
    body.ignore_not_found = true;
    request.body_case = SF__CONTROL__ENVELOPE__BODY_DELETE;
    request.delete_ = &body;
    ctl_set_quiet(walk->client, true);
    code =
        ctl_call(walk->client, &request, SF__CONTROL__ENVELOPE__BODY_RESULT, CTL_CHANGE_MS, &reply);
    if (code != CTL_OK) {
        ctl_note(
            "warning: graph %s was not deleted: %s; try: fabricctl delete graph/%s", walk->graph,
            code == CTL_INTERRUPTED ? "interrupted" : ctl_last_error(walk->client), walk->graph);
    }
    ctl_reply_free(reply);
}

static int print_log(struct walk *walk, bool *out_live)
{
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Envelope *reply = NULL;
    Sf__Control__GetLogs body = SF__CONTROL__GET_LOGS__INIT;
    size_t index;
    int code;

    body.sip = walk->sip;
    body.after = walk->last_line;
    request.body_case = SF__CONTROL__ENVELOPE__BODY_GET_LOGS;
    request.get_logs = &body;
    code = ctl_call(walk->client, &request, SF__CONTROL__ENVELOPE__BODY_LOG_LIST, CTL_QUICK_MS,
                    &reply);
    if (code == CTL_OK) {
        for (index = 0; index < reply->log_list->n_lines; index++) {
            const char *text = reply->log_list->lines[index]->text;
            if (walk->lines != NULL) {
                cJSON_AddItemToArray(walk->lines, cJSON_CreateString(text));
            } else {
                puts(text);
            }
        }
        fflush(stdout);
        walk->last_line = reply->log_list->last;
        *out_live = reply->log_list->live;
    }
    ctl_reply_free(reply);
    return code;
}

/* How the walker ended; its record is there until its graph is deleted. */
static int verdict(struct walk *walk)
{
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Envelope *reply = NULL;
    Sf__Control__GetSips body = SF__CONTROL__GET_SIPS__INIT;
    const Sf__Control__SipInfo *sip = NULL;
    size_t index;
    int code;

    request.body_case = SF__CONTROL__ENVELOPE__BODY_GET_SIPS;
    request.get_sips = &body;
    code = ctl_call(walk->client, &request, SF__CONTROL__ENVELOPE__BODY_SIP_LIST, CTL_QUICK_MS,
                    &reply);
    for (index = 0; code == CTL_OK && index < reply->sip_list->n_sips; index++) {
        if (strcmp(reply->sip_list->sips[index]->name, walk->sip) == 0) {
            sip = reply->sip_list->sips[index];
        }
    }
    if (code == CTL_OK && sip == NULL) {
        code = ctl_error(walk->context, CTL_ERROR, "the walker %s is gone: somebody deleted it",
                         walk->sip);
    } else if (code == CTL_OK && sip->state != SF__CONTROL__SIP_STATE__EXITED) {
        code = ctl_error(walk->context, CTL_ERROR, "the walker on %s %s%s%s", walk->node,
                         ctl_sip_state(sip->state), sip->cause != NULL ? ": " : "",
                         sip->cause != NULL ? sip->cause->text : "");
    } else if (code == CTL_OK && sip->exit_code != 0) {
        code = ctl_error(walk->context, CTL_ERROR, "%s does not keep contract %s (exit code %d)",
                         walk->exporter, walk->contract, sip->exit_code);
    }
    ctl_reply_free(reply);
    return code;
}

static int follow(struct walk *walk)
{
    uint64_t deadline_ms = now_ms() + walk->timeout_ms;
    bool live = true;
    int code = CTL_OK;

    while (code == CTL_OK && live) {
        code = print_log(walk, &live);
        if (code == CTL_OK && live && now_ms() >= deadline_ms) {
            return ctl_error(walk->context, CTL_UNREACHABLE,
                             "the walk was not done within %u s; --timeout gives it more",
                             walk->timeout_ms / 1000);
        }
        if (code == CTL_OK && live) {
            code = ctl_sleep(walk->client, POLL_MS);
        }
    }
    if (code == CTL_OK) {
        code = print_log(walk, &live); /* what came between the last look and the end */
    }
    return code == CTL_OK ? verdict(walk) : code;
}

static int run(struct walk *walk, const struct ctl_image *image)
{
    int code = ctl_image_upload(walk->client, image);

    if (code != CTL_OK) {
        return ctl_error(walk->context, code, "image %s is refused: %s", image->path,
                         ctl_last_error(walk->client));
    }
    code = ctl_watch_interrupts(walk->client);
    if (code == CTL_OK) {
        code = apply_graph(walk, image);
        if (code == CTL_OK) {
            code = follow(walk);
        }
        delete_graph(walk); /* also after a failed apply: whatever is left of it */
    }
    return code;
}

static int walk_with(struct walk *walk, const struct ctl_list *folders)
{
    struct ctl_image image = {0};
    char name[200];
    char path[4096];
    char looked[2048];
    int code;

    snprintf(name, sizeof(name), "walk-%.150s.sip", walk->contract);
    if (strchr(walk->contract, '/') != NULL ||
        !ctl_find_image(walk->context, name, NULL, folders, path, sizeof(path), looked,
                        sizeof(looked))) {
        return ctl_error(walk->context, CTL_NOT_FOUND,
                         "no walker for contract %s: %s was not found; looked in %s; --images DIR "
                         "adds a folder",
                         walk->contract, name, looked);
    }
    code = ctl_image_load(walk->context, path, &image);
    image.name = name;
    if (code == CTL_OK && !orch_image_name(path, name)) {
        code = ctl_error(walk->context, CTL_USAGE, "'%s' is no contract name", walk->contract);
    }
    if (code == CTL_OK) {
        code = ctl_connect(walk->context, false, &walk->client);
    }
    if (code == CTL_OK) {
        ctl_set_progress(walk->client, no_progress, NULL);
        code = run(walk, &image);
    }
    ctl_disconnect(walk->client);
    ctl_image_fini(&image);
    return code;
}

static void print_passed(struct walk *walk)
{
    cJSON *root;

    if (walk->lines == NULL) {
        printf("%s keeps contract %s, walked from %s\n", walk->exporter, walk->contract,
               walk->node);
        return;
    }
    root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "contract", walk->contract);
    cJSON_AddStringToObject(root, "exporter", walk->exporter);
    cJSON_AddStringToObject(root, "from", walk->node);
    cJSON_AddBoolToObject(root, "passed", true);
    cJSON_AddItemToObject(root, "lines", walk->lines);
    walk->lines = NULL;
    ctl_print_json(root);
}

int ctl_test_contract(struct ctl_context *context, int argc, char **argv)
{
    struct walk walk = {.context = context, .timeout_ms = TIMEOUT_MS_DEFAULT};
    struct ctl_list folders = {.count = 0};
    const struct ctl_option options[] = {
        {"--exporter", 'e', CTL_OPT_TEXT, &walk.exporter},
        {"--from", 0, CTL_OPT_TEXT, &walk.node},
        {"--timeout", 0, CTL_OPT_MILLISECONDS, &walk.timeout_ms},
        {"--images", 0, CTL_OPT_LIST, &folders},
        {0},
    };
    int code;

    argc = ctl_options(context, argc, argv, options);
    if (argc < 0) {
        return CTL_USAGE;
    }
    if (argc != 2 || walk.exporter == NULL || walk.node == NULL) {
        return ctl_error(context, CTL_USAGE,
                         "write: fabricctl test contract NAME --exporter SIP[.EXPORT] --from NODE");
    }
    walk.contract = argv[1];
    snprintf(walk.graph, sizeof(walk.graph), "walk-%u", (unsigned)getpid());
    snprintf(walk.sip, sizeof(walk.sip), "walk-%u", (unsigned)getpid());
    if (context->output == CTL_JSON) {
        walk.lines = cJSON_CreateArray();
    }
    code = walk_with(&walk, &folders);
    if (code == CTL_OK) {
        print_passed(&walk);
    }
    cJSON_Delete(walk.lines);
    return code;
}
