/* SPDX-License-Identifier: Apache-2.0 */
/* trace_text.c - one event of a trace as a line, and as JSON. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "contracts/table.h"
#include "ctl/trace.h"

#define WORD_BYTES 4096u /* of one argument */

const Sf__Control__TraceMessage *trace_message(const Sf__Control__TraceStarted *end,
                                               const Sf__Control__TraceEvent *event)
{
    return event->tag < end->contract->n_messages ? end->contract->messages[event->tag] : NULL;
}

const char *trace_state(const Sf__Control__TraceStarted *end, uint32_t state)
{
    return state < end->contract->n_states ? end->contract->states[state] : "?";
}

bool trace_to_exporter(const Sf__Control__TraceStarted *end, const Sf__Control__TraceEvent *event)
{
    const bool by_holder = event->kind != SF__CONTROL__TRACE_EVENT__KIND__RECEIVED &&
                           event->kind != SF__CONTROL__TRACE_EVENT__KIND__PEER_CLOSED;

    return by_holder != (end->exporter != 0);
}

static bool is_message(const Sf__Control__TraceEvent *event)
{
    return event->kind == SF__CONTROL__TRACE_EVENT__KIND__SENT ||
           event->kind == SF__CONTROL__TRACE_EVENT__KIND__RECEIVED;
}

static void time_text(uint64_t time_ns, const char *format, char *text, size_t capacity)
{
    time_t seconds = (time_t)(time_ns / 1000000000u);
    struct tm parts;
    size_t bytes;

    gmtime_r(&seconds, &parts);
    bytes = strftime(text, capacity, format, &parts);
    snprintf(text + bytes, capacity - bytes, ".%06u", (unsigned)(time_ns % 1000000000u / 1000));
}

/* --- values -------------------------------------------------------------------------------------
 */

static double as_double(const Sf__Control__TraceArg *arg)
{
    float narrow;
    double wide;
    uint32_t bits = (uint32_t)arg->scalar;

    if (arg->kind == CT_ARG_FLOAT32) {
        memcpy(&narrow, &bits, sizeof(narrow));
        return narrow;
    }
    memcpy(&wide, &arg->scalar, sizeof(wide));
    return wide;
}

static bool is_signed(uint32_t kind)
{
    return kind == CT_ARG_INT8 || kind == CT_ARG_INT16 || kind == CT_ARG_INT32 ||
           kind == CT_ARG_INT64;
}

/* Its first bytes as in C; an ellipsis for the others. */
static void block_text(const Sf__Control__TraceArg *arg, char *text, size_t capacity)
{
    size_t at = (size_t)snprintf(text, capacity, "block(%u)", arg->block_bytes);

    if (arg->first.len == 0) {
        return;
    }
    at += (size_t)snprintf(text + at, capacity - at, " \"");
    for (size_t i = 0; i < arg->first.len && at + 16 < capacity; i++) {
        const uint8_t byte = arg->first.data[i];

        if (byte == '"' || byte == '\\') {
            at += (size_t)snprintf(text + at, capacity - at, "\\%c", byte);
        } else if (byte == '\n' || byte == '\r') {
            at += (size_t)snprintf(text + at, capacity - at, byte == '\n' ? "\\n" : "\\r");
        } else if (byte < 0x20 || byte >= 0x7f) {
            at += (size_t)snprintf(text + at, capacity - at, "\\x%02x", byte);
        } else {
            at += (size_t)snprintf(text + at, capacity - at, "%c", byte);
        }
    }
    (void)snprintf(text + at, capacity - at, arg->first.len < arg->block_bytes ? "\"..." : "\"");
}

static void value_text(const Sf__Control__TraceArg *arg, const char *type, char *text,
                       size_t capacity)
{
    if (arg->absent) {
        snprintf(text, capacity, "absent");
    } else if (arg->kind == CT_ARG_BLOCK) {
        block_text(arg, text, capacity);
    } else if (arg->kind == CT_ARG_ENDPOINT) {
        snprintf(text, capacity, "%s %" PRIx64, type, arg->endpoint);
    } else if (arg->kind == CT_ARG_BOOL) {
        snprintf(text, capacity, "%s", arg->scalar != 0 ? "true" : "false");
    } else if (arg->kind == CT_ARG_FLOAT32 || arg->kind == CT_ARG_FLOAT64) {
        snprintf(text, capacity, "%g", as_double(arg));
    } else if (is_signed(arg->kind)) {
        snprintf(text, capacity, "%" PRId64, (int64_t)arg->scalar);
    } else {
        snprintf(text, capacity, "%" PRIu64, arg->scalar);
    }
}

/* --- lines --------------------------------------------------------------------------------------
 */

static void print_clean(const char *text)
{
    for (; *text != '\0'; text++) {
        putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
    }
}

static const char *side_name(const char *name, const char *otherwise)
{
    return name[0] != '\0' && strcmp(name, "-") != 0 ? name : otherwise;
}

static void print_message(const Sf__Control__TraceStarted *end,
                          const Sf__Control__TraceEvent *event)
{
    const Sf__Control__TraceMessage *message = trace_message(end, event);
    char word[WORD_BYTES];

    print_clean(message != NULL ? message->name : "?");
    putchar('(');
    for (size_t i = 0; i < event->n_args; i++) {
        const Sf__Control__TraceParameter *parameter =
            message != NULL && i < message->n_args ? message->args[i] : NULL;

        value_text(event->args[i], parameter != NULL ? parameter->type : "endpoint", word,
                   sizeof(word));
        fputs(i > 0 ? ", " : "", stdout);
        print_clean(parameter != NULL ? parameter->name : "?");
        putchar('=');
        print_clean(word);
    }
    fputs(")\n", stdout);
}

void trace_print(const Sf__Control__TraceList *list, const Sf__Control__TraceStarted *end,
                 const Sf__Control__TraceEvent *event, bool with_node)
{
    char text[64];

    time_text(event->time_ns, "%H:%M:%S", text, sizeof(text));
    printf("%s  ", text);
    if (with_node) {
        print_clean(end->node_name);
        fputs("  ", stdout);
    }
    print_clean(side_name(list->importer, "importer"));
    fputs(!is_message(event) ? " -- " : trace_to_exporter(end, event) ? " -> " : " <- ", stdout);
    print_clean(side_name(list->exporter, "exporter"));
    fputs("  ", stdout);
    print_clean(trace_state(end, event->state));
    if (is_message(event)) {
        fputs(" -> ", stdout);
        print_clean(trace_state(end, event->next));
        fputs("  ", stdout);
        print_message(end, event);
    } else if (event->kind == SF__CONTROL__TRACE_EVENT__KIND__MOVED) {
        puts("  sent away in a message");
    } else {
        fputs(trace_to_exporter(end, event) ? "  closed by the importer: "
                                            : "  closed by the exporter: ",
              stdout);
        print_clean(event->cause != NULL ? event->cause->text : "?");
        putchar('\n');
    }
}

/* --- JSON ---------------------------------------------------------------------------------------
 */

/* Numbers that a double cannot hold are texts, by type, not by value. */
static void add_value(cJSON *item, const Sf__Control__TraceArg *arg)
{
    char word[WORD_BYTES];

    if (arg->absent) {
        cJSON_AddNullToObject(item, "value");
    } else if (arg->kind == CT_ARG_BLOCK) {
        for (size_t i = 0; i < arg->first.len && 2 * i + 3 < sizeof(word); i++) {
            snprintf(word + 2 * i, 3, "%02x", arg->first.data[i]);
        }
        word[arg->first.len * 2 + 1 < sizeof(word) ? arg->first.len * 2 : 0] = '\0';
        cJSON_AddNumberToObject(item, "bytes", arg->block_bytes);
        cJSON_AddStringToObject(item, "value", word);
    } else if (arg->kind == CT_ARG_ENDPOINT) {
        snprintf(word, sizeof(word), "%" PRIx64, arg->endpoint);
        cJSON_AddStringToObject(item, "value", word);
    } else if (arg->kind == CT_ARG_BOOL) {
        cJSON_AddBoolToObject(item, "value", arg->scalar != 0);
    } else if (arg->kind == CT_ARG_FLOAT32 || arg->kind == CT_ARG_FLOAT64) {
        cJSON_AddNumberToObject(item, "value", as_double(arg));
    } else if (arg->kind == CT_ARG_INT64 || arg->kind == CT_ARG_UINT64) {
        value_text(arg, "", word, sizeof(word));
        cJSON_AddStringToObject(item, "value", word);
    } else {
        cJSON_AddNumberToObject(item, "value",
                                is_signed(arg->kind) ? (double)(int64_t)arg->scalar
                                                     : (double)arg->scalar);
    }
}

static void add_message(cJSON *root, const Sf__Control__TraceStarted *end,
                        const Sf__Control__TraceEvent *event)
{
    const Sf__Control__TraceMessage *message = trace_message(end, event);
    cJSON *args;

    cJSON_AddStringToObject(root, "message", message != NULL ? message->name : "?");
    args = cJSON_AddArrayToObject(root, "args");
    for (size_t i = 0; i < event->n_args; i++) {
        const Sf__Control__TraceParameter *parameter =
            message != NULL && i < message->n_args ? message->args[i] : NULL;
        cJSON *item = cJSON_CreateObject();

        cJSON_AddStringToObject(item, "name", parameter != NULL ? parameter->name : "?");
        cJSON_AddStringToObject(item, "type", parameter != NULL ? parameter->type : "?");
        add_value(item, event->args[i]);
        cJSON_AddItemToArray(args, item);
    }
}

void trace_print_json(const Sf__Control__TraceList *list, const Sf__Control__TraceStarted *end,
                      const Sf__Control__TraceEvent *event)
{
    static const char *const kinds[] = {"sent", "received", "moved", "closed", "peer_closed"};
    cJSON *root = cJSON_CreateObject();
    char text[64];

    time_text(event->time_ns, "%Y-%m-%dT%H:%M:%S", text, sizeof(text) - 1);
    strcat(text, "Z");
    cJSON_AddStringToObject(root, "time", text);
    cJSON_AddNumberToObject(root, "number", (double)event->number);
    cJSON_AddStringToObject(root, "node", end->node_name);
    snprintf(text, sizeof(text), "%" PRIx64, end->endpoint);
    cJSON_AddStringToObject(root, "endpoint", text);
    cJSON_AddStringToObject(
        root, "kind",
        (size_t)event->kind < sizeof(kinds) / sizeof(kinds[0]) ? kinds[event->kind] : "?");
    cJSON_AddStringToObject(root, "importer", list->importer);
    cJSON_AddStringToObject(root, "exporter", list->exporter);
    cJSON_AddStringToObject(root, "from", trace_to_exporter(end, event) ? "importer" : "exporter");
    cJSON_AddStringToObject(root, "contract", end->contract->name);
    cJSON_AddStringToObject(root, "state", trace_state(end, event->state));
    if (is_message(event)) {
        cJSON_AddStringToObject(root, "next", trace_state(end, event->next));
        add_message(root, end, event);
    } else if (event->cause != NULL) {
        cJSON_AddStringToObject(root, "cause", event->cause->text);
    }
    ctl_print_json(root);
}
