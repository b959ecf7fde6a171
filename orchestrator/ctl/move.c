/* SPDX-License-Identifier: Apache-2.0 */
/* move.c - fabricctl move. */
#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "ctl/ctl_private.h"

#define BUDGET_MS_MAX 60000u

static void print_done(struct ctl_context *context, const char *sip, const char *text)
{
    if (context->output == CTL_JSON) {
        cJSON *root = cJSON_CreateObject();

        cJSON_AddStringToObject(root, "sip", sip);
        cJSON_AddStringToObject(root, "result", text);
        ctl_print_json(root);
    } else if (context->output == CTL_NAME) {
        printf("sip/%s\n", sip);
    } else {
        printf("%s\n", text);
    }
}

int ctl_move(struct ctl_context *context, int argc, char **argv)
{
    const char *node = NULL;
    uint32_t budget_ms = 0;
    const struct ctl_option options[] = {
        {"--to", 't', CTL_OPT_TEXT, &node},
        {"--budget", 0, CTL_OPT_MILLISECONDS, &budget_ms},
        {0},
    };
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Envelope *reply = NULL;
    Sf__Control__Move body = SF__CONTROL__MOVE__INIT;
    struct ctl_client *client = NULL;
    int code;

    argc = ctl_options(context, argc, argv, options);
    if (argc < 0) {
        return CTL_USAGE;
    }
    if (argc != 2 || node == NULL) {
        return ctl_error(context, CTL_USAGE, "write: fabricctl move sip/NAME --to NODE%s%s",
                         argc > 2 ? "; found too much: " : "", argc > 2 ? argv[2] : "");
    }
    if (budget_ms > BUDGET_MS_MAX) {
        return ctl_error(context, CTL_USAGE, "--budget is at most %u s", BUDGET_MS_MAX / 1000);
    }
    body.sip = strncmp(argv[1], "sip/", 4) == 0 ? argv[1] + 4 : argv[1];
    body.node = (char *)(strncmp(node, "node/", 5) == 0 ? node + 5 : node);
    body.budget_us = budget_ms * 1000;
    code = ctl_connect(context, false, &client);
    if (code == CTL_OK) {
        request.body_case = SF__CONTROL__ENVELOPE__BODY_MOVE;
        request.move = &body;
        code = ctl_call(client, &request, SF__CONTROL__ENVELOPE__BODY_RESULT, CTL_CHANGE_MS, &reply);
    }
    if (code == CTL_OK) {
        print_done(context, body.sip, reply->result->text);
    }
    ctl_reply_free(reply);
    ctl_disconnect(client);
    return code;
}
