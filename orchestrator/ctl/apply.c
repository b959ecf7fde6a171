/* SPDX-License-Identifier: Apache-2.0 */
/* apply.c - fabricctl apply and delete. */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "ctl/ctl_private.h"
#include "graph.h"

static int read_graph(struct ctl_context *context, const char *path, Sf__Control__Graph **out_graph)
{
    uint8_t *bytes = NULL;
    size_t length = 0;
    char text[800] = "";
    sf_status status;
    int code = ctl_read_file(context, path, GRAPH_FILE_BYTES_MAX, &bytes, &length);

    if (code != CTL_OK) {
        return code;
    }
    status = graph_parse(path, bytes, length, out_graph, text, sizeof(text));
    free(bytes);
    return status == SF_OK ? CTL_OK : ctl_error(context, CTL_USAGE, "%s", text);
}

/* Finds a SIP's image, hashes it, and gives it to fabricd (client NULL: only finds and hashes). */
static int supply_image(struct ctl_context *context, struct ctl_client *client,
                        const Sf__Control__Graph *graph, Sf__Control__GraphSip *sip,
                        const struct ctl_list *folders)
{
    struct ctl_image image = {0};
    char path[4096];
    char looked[2048];
    char folder[4096];
    int code;

    snprintf(folder, sizeof(folder), "%s", graph->path);
    if (!ctl_find_image(context, sip->image_path, dirname(folder), folders, path, sizeof(path),
                        looked, sizeof(looked))) {
        return ctl_error(context, CTL_USAGE,
                         "%s:%u: error: image '%s' was not found%s%s; --images DIR adds a folder",
                         graph->path, sip->source_line, sip->image_path,
                         looked[0] != '\0' ? "; looked in " : "", looked);
    }
    code = ctl_image_load(context, path, &image);
    image.name = sip->image_name;
    if (code != CTL_OK) {
        return code;
    }
    if (client == NULL) {
        free(sip->image.data);
        sip->image.data = malloc(sizeof(image.digest));
        sip->image.len = sip->image.data != NULL ? sizeof(image.digest) : 0;
        if (sip->image.data != NULL) {
            memcpy(sip->image.data, image.digest, sizeof(image.digest));
        }
    } else if (memcmp(sip->image.data, image.digest, sizeof(image.digest)) != 0) {
        code = ctl_error(context, CTL_ERROR, "%s changed while it was read; apply again", path);
    } else {
        code = ctl_image_upload(client, &image);
        if (code == CTL_UNREACHABLE) {
            ctl_error(context, CTL_UNREACHABLE, "%s", ctl_last_error(client));
        } else if (code != CTL_OK) {
            code = ctl_error(context, CTL_ERROR, "%s:%u: error: image %s is refused: %s",
                             graph->path, sip->source_line, path, ctl_last_error(client));
        }
    }
    ctl_image_fini(&image);
    return code;
}

/* All files are looked for before the cluster is asked for anything. */
static int supply_images(struct ctl_context *context, struct ctl_client *client,
                         Sf__Control__Graph *graph, const struct ctl_list *folders)
{
    int code = CTL_OK;
    size_t index;

    for (index = 0; code == CTL_OK && index < graph->n_sips; index++) {
        if (graph->sips[index]->image_path[0] != '\0') {
            code = supply_image(context, client, graph, graph->sips[index], folders);
        }
    }
    return code;
}

static void print_done(struct ctl_context *context, const char *graph, const char *text)
{
    if (context->output == CTL_JSON) {
        cJSON *root = cJSON_CreateObject();
        cJSON_AddStringToObject(root, "graph", graph);
        cJSON_AddStringToObject(root, "result", text);
        ctl_print_json(root);
    } else if (context->output == CTL_NAME) {
        printf("graph/%s\n", graph);
    } else {
        printf("%s\n", text);
    }
}

/* Sends a request that is answered by Progress and one Result, and prints that. */
static int change(struct ctl_context *context, struct ctl_client *client,
                  Sf__Control__Envelope *request, const char *graph)
{
    Sf__Control__Envelope *reply = NULL;
    int code = ctl_call(client, request, SF__CONTROL__ENVELOPE__BODY_RESULT, CTL_CHANGE_MS, &reply);

    if (code == CTL_OK) {
        print_done(context, graph, reply->result->text);
    }
    ctl_reply_free(reply);
    return code;
}

int ctl_apply(struct ctl_context *context, int argc, char **argv)
{
    const char *path = NULL;
    struct ctl_list folders = {.count = 0};
    bool dry_run = false;
    const struct ctl_option options[] = {
        {"--file", 'f', CTL_OPT_TEXT, &path},
        {"--images", 0, CTL_OPT_LIST, &folders},
        {"--dry-run", 0, CTL_OPT_FLAG, &dry_run},
        {0},
    };
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Apply body = SF__CONTROL__APPLY__INIT;
    struct ctl_client *client = NULL;
    int code;

    argc = ctl_options(context, argc, argv, options);
    if (argc < 0) {
        return CTL_USAGE;
    }
    if (path == NULL || argc != 1) {
        return ctl_error(context, CTL_USAGE, "write: fabricctl apply -f FILE%s%s",
                         argc > 1 ? "; found too much: " : "", argc > 1 ? argv[1] : "");
    }
    code = read_graph(context, path, &body.graph);
    if (code != CTL_OK) {
        return code;
    }
    code = supply_images(context, NULL, body.graph, &folders);
    if (code == CTL_OK) {
        code = ctl_connect(context, false, &client);
    }
    if (code == CTL_OK) {
        code = supply_images(context, client, body.graph, &folders);
    }
    if (code == CTL_OK) {
        body.dry_run = dry_run;
        request.body_case = SF__CONTROL__ENVELOPE__BODY_APPLY;
        request.apply = &body;
        code = change(context, client, &request, body.graph->name);
    }
    ctl_disconnect(client);
    sf__control__graph__free_unpacked(body.graph, NULL);
    return code;
}

int ctl_delete(struct ctl_context *context, int argc, char **argv)
{
    const char *path = NULL;
    bool ignore = false;
    const struct ctl_option options[] = {
        {"--file", 'f', CTL_OPT_TEXT, &path},
        {"--ignore-not-found", 0, CTL_OPT_FLAG, &ignore},
        {0},
    };
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Delete body = SF__CONTROL__DELETE__INIT;
    Sf__Control__Graph *graph = NULL;
    struct ctl_client *client = NULL;
    int code = CTL_OK;

    argc = ctl_options(context, argc, argv, options);
    if (argc < 0) {
        return CTL_USAGE;
    }
    if ((path != NULL) == (argc > 1) || argc > 2) {
        return ctl_error(context, CTL_USAGE,
                         "write: fabricctl delete graph/NAME, or: fabricctl delete -f FILE");
    }
    if (path != NULL) {
        code = read_graph(context, path, &graph);
        body.graph = graph != NULL ? graph->name : NULL;
    } else {
        body.graph = strncmp(argv[1], "graph/", 6) == 0 ? argv[1] + 6 : argv[1];
    }
    if (code == CTL_OK) {
        code = ctl_connect(context, false, &client);
    }
    if (code == CTL_OK) {
        body.ignore_not_found = ignore;
        request.body_case = SF__CONTROL__ENVELOPE__BODY_DELETE;
        request.delete_ = &body;
        code = change(context, client, &request, body.graph);
    }
    ctl_disconnect(client);
    if (graph != NULL) {
        sf__control__graph__free_unpacked(graph, NULL);
    }
    return code;
}
