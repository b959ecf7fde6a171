/* SPDX-License-Identifier: Apache-2.0 */
/* get_moves.c - fabricctl get moves. */
#include <inttypes.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "ctl/get.h"

static const char *move_step(Sf__Control__MoveStep step)
{
    static const char *const names[] = {"queued",   "image",  "prepare", "precopy", "freeze",
                                        "transfer", "commit", "done",    "aborted", "lost"};

    return (size_t)step < sizeof(names) / sizeof(names[0]) ? names[step] : "?";
}

static void move_json(cJSON *item, const Sf__Control__MoveInfo *move)
{
    cJSON_AddNumberToObject(item, "number", (double)move->number);
    cJSON_AddStringToObject(item, "sip", move->sip);
    cJSON_AddStringToObject(item, "source", move->source);
    cJSON_AddStringToObject(item, "target", move->target);
    cJSON_AddStringToObject(item, "step", move_step(move->step));
    cJSON_AddStringToObject(item, "text", move->text);
    cJSON_AddNumberToObject(item, "age_ms", (double)move->age_ms);
    cJSON_AddNumberToObject(item, "took_ms", (double)move->took_ms);
    cJSON_AddNumberToObject(item, "blackout_ns", (double)move->blackout_ns);
    cJSON_AddNumberToObject(item, "total_ns", (double)move->total_ns);
    cJSON_AddNumberToObject(item, "precopied_bytes", (double)move->precopied_bytes);
    cJSON_AddNumberToObject(item, "frozen_bytes", (double)move->frozen_bytes);
    cJSON_AddNumberToObject(item, "endpoints", move->endpoints);
    cJSON_AddNumberToObject(item, "rounds", move->rounds);
}

static void move_row(struct ctl_table *table, const Sf__Control__MoveInfo *move)
{
    char age[32], blackout[32], total[32];
    bool done = move->step == SF__CONTROL__MOVE_STEP__MOVE_DONE;

    ctl_cell(table, "%" PRIu64, move->number);
    ctl_cell(table, "%s", move->sip);
    ctl_cell(table, "%s", move->source);
    ctl_cell(table, "%s", move->target);
    ctl_cell(table, "%s", move_step(move->step));
    ctl_cell(table, "%s", ctl_age(move->age_ms, age));
    ctl_cell(table, "%s", done ? ctl_duration(move->blackout_ns, blackout) : "");
    ctl_cell(table, "%s", done ? ctl_duration(move->total_ns, total) : "");
    ctl_cell(table, "%" PRIu64, (move->precopied_bytes + 1023) / 1024);
    ctl_cell(table, "%" PRIu64, (move->frozen_bytes + 1023) / 1024);
    ctl_cell(table, "%s", move->text);
}

static void print_moves(struct ctl_context *context, const Sf__Control__Envelope *reply,
                        char *const *names, bool all, bool *found)
{
    static const char *const titles[] = {"MOVE",       "SIP",       "FROM",      "TO",
                                         "STEP",       "AGE",       "BLACK-OUT", "TOOK",
                                         "KIB BEFORE", "KIB IN IT", "WHY",       NULL};
    const Sf__Control__MoveList *list = reply->move_list;
    struct ctl_table table = {titles, NULL, 0};
    cJSON *items = NULL;
    cJSON *root = ctl_get_list("moves", &items);

    (void)all;
    for (size_t index = 0; index < list->n_moves; index++) {
        const Sf__Control__MoveInfo *move = list->moves[index];

        if (!ctl_get_wanted(names, found, "sip", move->sip)) {
            continue;
        }
        if (context->output == CTL_NAME) {
            printf("move/%" PRIu64 "\n", move->number);
        } else if (context->output == CTL_JSON) {
            move_json(ctl_get_item(items), move);
        } else {
            move_row(&table, move);
        }
    }
    ctl_get_print(context, root, &table);
}

int ctl_get_moves(struct ctl_context *context, int argc, char **argv)
{
    static const struct ctl_kind kind = {"sips", SF__CONTROL__ENVELOPE__BODY_GET_MOVES,
                                         SF__CONTROL__ENVELOPE__BODY_MOVE_LIST, print_moves};
    return ctl_get(context, argc, argv, &kind);
}
