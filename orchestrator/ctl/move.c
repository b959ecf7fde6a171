/* SPDX-License-Identifier: Apache-2.0 */
/* move.c - fabricctl move, drain, cordon, uncordon, verify. */
#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "ctl/ctl_private.h"

#define BUDGET_MS_MAX 60000u
#define DRAIN_MS 3600000u

/* kind: "sip", "node" */
static void print_done(struct ctl_context *context, const char *kind, const char *name,
                       const char *text)
{
    if (context->output == CTL_JSON) {
        cJSON *root = cJSON_CreateObject();

        cJSON_AddStringToObject(root, kind, name);
        cJSON_AddStringToObject(root, "result", text);
        ctl_print_json(root);
    } else if (context->output == CTL_NAME) {
        printf("%s/%s\n", kind, name);
    } else {
        printf("%s\n", text);
    }
}

/* "sip/web2" is "web2". */
static char *bare(char *name, const char *kind)
{
    size_t bytes = strlen(kind);

    return strncmp(name, kind, bytes) == 0 && name[bytes] == '/' ? name + bytes + 1 : name;
}

/* Sends what is answered by Progress and one Result, and prints that. */
static int change(struct ctl_context *context, Sf__Control__Envelope *request, uint32_t timeout_ms,
                  const char *kind, const char *name)
{
    Sf__Control__Envelope *reply = NULL;
    struct ctl_client *client = NULL;
    int code = ctl_connect(context, false, &client);

    if (code == CTL_OK) {
        code = ctl_call(client, request, SF__CONTROL__ENVELOPE__BODY_RESULT, timeout_ms, &reply);
    }
    if (code == CTL_OK) {
        print_done(context, kind, name, reply->result->text);
    }
    ctl_reply_free(reply);
    ctl_disconnect(client);
    return code;
}

static int budget_check(struct ctl_context *context, uint32_t budget_ms)
{
    return budget_ms <= BUDGET_MS_MAX
               ? CTL_OK
               : ctl_error(context, CTL_USAGE, "--budget is at most %u s", BUDGET_MS_MAX / 1000);
}

int ctl_move(struct ctl_context *context, int argc, char **argv)
{
    char *node = NULL;
    uint32_t budget_ms = 0;
    const struct ctl_option options[] = {
        {"--to", 't', CTL_OPT_TEXT, &node},
        {"--budget", 0, CTL_OPT_MILLISECONDS, &budget_ms},
        {0},
    };
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Move body = SF__CONTROL__MOVE__INIT;
    int code;

    argc = ctl_options(context, argc, argv, options);
    if (argc < 0) {
        return CTL_USAGE;
    }
    if (argc != 2 || node == NULL) {
        return ctl_error(context, CTL_USAGE, "write: fabricctl move sip/NAME --to NODE%s%s",
                         argc > 2 ? "; found too much: " : "", argc > 2 ? argv[2] : "");
    }
    code = budget_check(context, budget_ms);
    if (code != CTL_OK) {
        return code;
    }
    body.sip = bare(argv[1], "sip");
    body.node = bare(node, "node");
    body.budget_us = budget_ms * 1000;
    request.body_case = SF__CONTROL__ENVELOPE__BODY_MOVE;
    request.move = &body;
    return change(context, &request, CTL_CHANGE_MS, "sip", body.sip);
}

int ctl_drain(struct ctl_context *context, int argc, char **argv)
{
    uint32_t budget_ms = 0;
    const struct ctl_option options[] = {
        {"--budget", 0, CTL_OPT_MILLISECONDS, &budget_ms},
        {0},
    };
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Drain body = SF__CONTROL__DRAIN__INIT;
    int code;

    argc = ctl_options(context, argc, argv, options);
    if (argc < 0) {
        return CTL_USAGE;
    }
    if (argc != 2) {
        return ctl_error(context, CTL_USAGE, "write: fabricctl drain NODE");
    }
    code = budget_check(context, budget_ms);
    if (code != CTL_OK) {
        return code;
    }
    body.node = bare(argv[1], "node");
    body.budget_us = budget_ms * 1000;
    request.body_case = SF__CONTROL__ENVELOPE__BODY_DRAIN;
    request.drain = &body;
    return change(context, &request, DRAIN_MS, "node", body.node);
}

static int cordon(struct ctl_context *context, int argc, char **argv, bool cordoned)
{
    const struct ctl_option options[] = {{0}};
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Cordon body = SF__CONTROL__CORDON__INIT;

    argc = ctl_options(context, argc, argv, options);
    if (argc < 0) {
        return CTL_USAGE;
    }
    if (argc != 2) {
        return ctl_error(context, CTL_USAGE, "write: fabricctl %s NODE",
                         cordoned ? "cordon" : "uncordon");
    }
    body.node = bare(argv[1], "node");
    body.cordoned = cordoned;
    request.body_case = SF__CONTROL__ENVELOPE__BODY_CORDON;
    request.cordon = &body;
    return change(context, &request, CTL_QUICK_MS, "node", body.node);
}

int ctl_cordon(struct ctl_context *context, int argc, char **argv)
{
    return cordon(context, argc, argv, true);
}

int ctl_uncordon(struct ctl_context *context, int argc, char **argv)
{
    return cordon(context, argc, argv, false);
}

int ctl_verify_ownership(struct ctl_context *context, int argc, char **argv)
{
    const struct ctl_option options[] = {{0}};
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Verify body = SF__CONTROL__VERIFY__INIT;

    argc = ctl_options(context, argc, argv, options);
    if (argc < 0) {
        return CTL_USAGE;
    }
    if (argc != 1) {
        return ctl_error(context, CTL_USAGE, "write: fabricctl verify ownership");
    }
    request.body_case = SF__CONTROL__ENVELOPE__BODY_VERIFY;
    request.verify = &body;
    return change(context, &request, CTL_QUICK_MS, "cluster", context->cluster);
}
