/* SPDX-License-Identifier: Apache-2.0 */
/* logs.c - fabricctl logs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "ctl/ctl_private.h"

#define FOLLOW_MS 300u

static void print_time(uint64_t time_ms)
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm parts;
    char text[40];

    gmtime_r(&seconds, &parts);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    printf("%s.%03uZ ", text, (unsigned)(time_ms % 1000));
}

/* Text of a SIP is not trusted by the terminal. */
static void print_text(const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        putchar((byte < 0x20 && byte != '\t') || byte == 0x7f ? '?' : byte);
    }
    putchar('\n');
}

static void print_lines(struct ctl_context *context, const Sf__Control__LogList *list, bool times)
{
    size_t index;

    for (index = 0; index < list->n_lines; index++) {
        const Sf__Control__LogEntry *line = list->lines[index];
        if (context->output == CTL_JSON) {
            cJSON *root = cJSON_CreateObject();
            cJSON_AddNumberToObject(root, "time_ms", (double)line->time_ms);
            cJSON_AddStringToObject(root, "source", line->source);
            cJSON_AddStringToObject(root, "text", line->text);
            ctl_print_json(root);
            continue;
        }
        if (times) {
            print_time(line->time_ms);
        }
        print_text(line->text);
    }
    fflush(stdout);
}

int ctl_logs(struct ctl_context *context, int argc, char **argv)
{
    uint32_t tail = 0;
    bool follow = false;
    bool times = false;
    const struct ctl_option options[] = {
        {"--tail", 'n', CTL_OPT_COUNT, &tail},
        {"--follow", 'f', CTL_OPT_FLAG, &follow},
        {"--timestamps", 't', CTL_OPT_FLAG, &times},
        {0},
    };
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__GetLogs body = SF__CONTROL__GET_LOGS__INIT;
    struct ctl_client *client = NULL;
    int code;

    argc = ctl_options(context, argc, argv, options);
    if (argc != 2) {
        return argc < 0 ? CTL_USAGE
                        : ctl_error(context, CTL_USAGE, "write: fabricctl logs SIP|node/NAME");
    }
    code = ctl_connect(context, false, &client);
    if (code == CTL_OK && follow) {
        code = ctl_watch_interrupts(client);
    }
    body.sip = strncmp(argv[1], "sip/", 4) == 0 ? argv[1] + 4 : argv[1];
    body.tail = tail;
    request.body_case = SF__CONTROL__ENVELOPE__BODY_GET_LOGS;
    request.get_logs = &body;
    while (code == CTL_OK) {
        Sf__Control__Envelope *reply = NULL;
        code =
            ctl_call(client, &request, SF__CONTROL__ENVELOPE__BODY_LOG_LIST, CTL_QUICK_MS, &reply);
        if (code == CTL_OK) {
            print_lines(context, reply->log_list, times);
            body.after = reply->log_list->last;
            body.tail = 0;
            follow = follow && reply->log_list->live;
        }
        ctl_reply_free(reply);
        if (!follow) {
            break;
        }
        if (code == CTL_OK) {
            code = ctl_sleep(client, FOLLOW_MS);
        }
    }
    ctl_disconnect(client);
    return code;
}
