/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "compat.h"

static const char *const words[] = {
    [CTC_COMPATIBLE_YES] = "compatible",
    [CTC_COMPATIBLE_STATES] = "compatible only in states",
    [CTC_COMPATIBLE_NO] = "not compatible",
};
static const char *const json_words[] = {
    [CTC_COMPATIBLE_YES] = "yes",
    [CTC_COMPATIBLE_STATES] = "states",
    [CTC_COMPATIBLE_NO] = "no",
};

/* Another state before it says the same. */
static bool said(const struct compat_direction *direction, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (direction->states[i].why != NULL &&
            strcmp(direction->states[i].why, direction->states[index].why) == 0) {
            return true;
        }
    }
    return false;
}

/* One line for all states that fail for the same reason, and the run of the first. */
static void put_failure(struct ctc__text *out, const struct compat_direction *direction,
                        size_t index)
{
    const struct compat_state *first = &direction->states[index];

    ctc__put(out, "  from %s", first->name);
    for (size_t i = index + 1; i < direction->state_count; i++) {
        const struct compat_state *state = &direction->states[i];
        if (state->why != NULL && strcmp(state->why, first->why) == 0) {
            ctc__put(out, ", %s", state->name);
        }
    }
    ctc__put(out, ": %s\n", first->why);
    if (first->run != NULL) {
        ctc__put_bytes(out, first->run, strlen(first->run));
    }
}

static void put_direction(struct ctc__text *out, const char *name,
                          const struct compat_direction *direction)
{
    bool first = true;

    ctc__put(out, "%s: importer %s, exporter %s: %s", name,
             direction->old_side == CT_IMP ? "old" : "new",
             direction->old_side == CT_IMP ? "new" : "old", words[direction->answer]);
    for (size_t i = 0; direction->answer == CTC_COMPATIBLE_STATES && i < direction->state_count;
         i++) {
        if (direction->states[i].fits) {
            ctc__put(out, "%s %s", first ? "" : ",", direction->states[i].name);
            first = false;
        }
    }
    ctc__put(out, "\n");
    for (size_t i = 0; i < direction->state_count; i++) {
        if (!direction->states[i].fits && !said(direction, i)) {
            put_failure(out, direction, i);
        }
    }
}

/* Names are identifiers and texts hold no quotes or backslashes of their own, but runs have \n. */
static void put_json_text(struct ctc__text *out, const char *text)
{
    ctc__put(out, "\"");
    for (; *text != 0; text++) {
        if (*text == '\n') {
            ctc__put(out, "\\n");
        } else {
            ctc__put(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
        }
    }
    ctc__put(out, "\"");
}

static void put_json_direction(struct ctc__text *out, const struct compat_direction *direction)
{
    ctc__put(out,
             "{\"importer\": \"%s\", \"exporter\": \"%s\", \"answer\": \"%s\",\n     \"states\": [",
             direction->old_side == CT_IMP ? "old" : "new",
             direction->old_side == CT_IMP ? "new" : "old", json_words[direction->answer]);
    for (size_t i = 0; i < direction->state_count; i++) {
        const struct compat_state *state = &direction->states[i];
        ctc__put(out, "%s\n      {\"state\": \"%s\", \"fits\": %s", i == 0 ? "" : ",", state->name,
                 state->fits ? "true" : "false");
        if (state->why != NULL) {
            ctc__put(out, ", \"why\": ");
            put_json_text(out, state->why);
        }
        if (state->run != NULL) {
            ctc__put(out, ", \"run\": ");
            put_json_text(out, state->run);
        }
        ctc__put(out, "}");
    }
    ctc__put(out, "]}");
}

static void compare(struct ctc__text *out, const struct ctc_contract *old,
                    const struct ctc_contract *new, enum ctc_format format,
                    enum ctc_compatible *worst)
{
    struct compat_direction *direction = calloc(1, sizeof(*direction));
    bool same = memcmp(old->id, new->id, CT_ID_BYTES) == 0;

    if (direction == NULL) {
        fprintf(stderr, "contract compiler: no memory left\n");
        exit(2);
    }
    if (format == CTC_FORMAT_JSON) {
        ctc__put(out, "  {\"contract\": \"%s\", \"identical\": %s, \"directions\": [",
                 old->name.text, same ? "true" : "false");
    } else if (same) {
        ctc__put(out, "%s: identical\n", old->name.text);
    }
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        compat__direction(old, new, (enum ct_side)side, direction);
        *worst = direction->answer > *worst ? direction->answer : *worst;
        if (format == CTC_FORMAT_JSON) {
            ctc__put(out, side == CT_IMP ? "\n    " : ",\n    ");
            put_json_direction(out, direction);
        } else if (!same) {
            put_direction(out, old->name.text, direction);
        }
        compat__free(direction);
    }
    if (format == CTC_FORMAT_JSON) {
        ctc__put(out, "]}");
    }
    free(direction);
}

static const struct ctc_contract *only_given(const struct ctc *ctc)
{
    const struct ctc_contract *only = NULL;

    for (const struct ctc_contract *c = ctc->contracts; c != NULL; c = c->next) {
        if (c->given && only != NULL) {
            return NULL;
        }
        only = c->given ? c : only;
    }
    return only;
}

char *ctc_compat(const struct ctc *old, const struct ctc *new, enum ctc_format format,
                 enum ctc_compatible *out_worst)
{
    const struct ctc_contract *single_old = only_given(old);
    const struct ctc_contract *single_new = only_given(new);
    struct ctc__text out = {0};
    bool first = true;

    *out_worst = CTC_COMPATIBLE_YES;
    ctc__put(&out, format == CTC_FORMAT_JSON ? "[" : "");
    for (const struct ctc_contract *c = old->contracts; c != NULL; c = c->next) {
        if (!c->given) {
            continue;
        }
        const struct ctc_contract *other =
            single_old != NULL && single_new != NULL ? single_new : ctc_find(new, c->name.text);
        if (format == CTC_FORMAT_JSON) {
            ctc__put(&out, first ? "\n" : ",\n");
        }
        first = false;
        if (other != NULL) {
            compare(&out, c, other, format, out_worst);
            continue;
        }
        *out_worst = CTC_COMPATIBLE_NO;
        ctc__put(&out,
                 format == CTC_FORMAT_JSON
                     ? "  {\"contract\": \"%s\", \"identical\": false, \"directions\": []}"
                     : "%s: not compatible: the new files have no such contract\n",
                 c->name.text);
    }
    ctc__put(&out, format == CTC_FORMAT_JSON ? "\n]\n" : "");
    if (out.bytes == NULL) {
        ctc__put(&out, "no contracts\n");
    }
    return out.bytes;
}
