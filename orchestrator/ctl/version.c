/* SPDX-License-Identifier: Apache-2.0 */
/* version.c - fabricctl version: works without a cluster, tells fabricd's version if there is one.
 */
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "ctl/ctl_private.h"

int ctl_version(struct ctl_context *context, int argc, char **argv)
{
    static const struct ctl_option none[] = {{0}};
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__GetVersion body = SF__CONTROL__GET_VERSION__INIT;
    Sf__Control__Envelope *reply = NULL;
    struct ctl_client *client = NULL;
    const char *daemon = NULL;

    argc = ctl_options(context, argc, argv, none);
    if (argc != 1) {
        return argc < 0 ? CTL_USAGE : ctl_error(context, CTL_USAGE, "version takes no argument");
    }
    request.body_case = SF__CONTROL__ENVELOPE__BODY_GET_VERSION;
    request.get_version = &body;
    if (ctl_connect(context, true, &client) == CTL_OK) {
        ctl_set_quiet(client, true);
        if (ctl_call(client, &request, SF__CONTROL__ENVELOPE__BODY_VERSION, CTL_QUICK_MS, &reply) ==
            CTL_OK) {
            daemon = reply->version->fabricd;
        }
    }
    if (context->output == CTL_JSON) {
        cJSON *root = cJSON_CreateObject();
        cJSON_AddStringToObject(root, "fabricctl", SIPFABRIC_VERSION);
        if (daemon != NULL) {
            cJSON_AddStringToObject(root, "fabricd", daemon);
            cJSON_AddNumberToObject(root, "protocol", reply->version->protocol);
        } else {
            cJSON_AddNullToObject(root, "fabricd");
        }
        ctl_print_json(root);
    } else {
        printf("fabricctl %s\n", SIPFABRIC_VERSION);
        if (daemon != NULL) {
            printf("fabricd   %s, control protocol %u\n", daemon, reply->version->protocol);
        } else {
            printf("fabricd   none running for cluster %s\n", context->cluster);
        }
    }
    ctl_reply_free(reply);
    ctl_disconnect(client);
    return CTL_OK;
}
