/* SPDX-License-Identifier: Apache-2.0 */
/* say.c - errors and notes of fabricctl, and the options of one command. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "ctl/ctl_private.h"

static const char *code_name(enum ctl_exit code)
{
    switch (code) {
    case CTL_OK:
        return "ok";
    case CTL_ERROR:
        return "error";
    case CTL_USAGE:
        return "usage";
    case CTL_NOT_FOUND:
        return "not_found";
    case CTL_UNREACHABLE:
        return "unreachable";
    }
    return "error";
}

void ctl_print_json(cJSON *root)
{
    char *text = cJSON_PrintUnformatted(root);

    if (text != NULL) {
        puts(text);
    }
    free(text);
    cJSON_Delete(root);
}

static void print_json_error(enum ctl_exit code, const char *message)
{
    cJSON *root = cJSON_CreateObject();
    cJSON *error = cJSON_AddObjectToObject(root, "error");

    cJSON_AddStringToObject(error, "code", code_name(code));
    cJSON_AddStringToObject(error, "message", message);
    ctl_print_json(root);
}

int ctl_error(const struct ctl_context *context, enum ctl_exit code, const char *format, ...)
{
    char message[2048];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (context->output == CTL_JSON) {
        print_json_error(code, message);
    } else {
        fprintf(stderr, "fabricctl: error: %s\n", message);
    }
    return code;
}

void ctl_note(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

bool ctl_one_of(const char *word, const char *const words[])
{
    while (*words != NULL && strcmp(*words, word) != 0) {
        words++;
    }
    return *words != NULL;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *out_number, const char **out_end)
{
    char *end;

    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    *out_number = strtoull(text, &end, 10);
    *out_end = end;
    return errno == 0 && *out_number <= max;
}

static bool parse_count(const char *text, uint32_t *out_count)
{
    uint64_t number;
    const char *end;

    if (!parse_number(text, UINT32_MAX, &number, &end) || *end != '\0') {
        return false;
    }
    *out_count = (uint32_t)number;
    return true;
}

static bool parse_milliseconds(const char *text, uint32_t *out_ms)
{
    uint64_t number;
    uint64_t factor;
    const char *end;

    if (!parse_number(text, 86400000u, &number, &end)) {
        return false;
    }
    if (*end == '\0' || strcmp(end, "s") == 0) {
        factor = 1000;
    } else if (strcmp(end, "ms") == 0) {
        factor = 1;
    } else if (strcmp(end, "m") == 0) {
        factor = 60000;
    } else {
        return false;
    }
    if (number * factor > 86400000u) {
        return false;
    }
    *out_ms = (uint32_t)(number * factor);
    return true;
}

static int set_option(struct ctl_context *context, const struct ctl_option *option,
                      const char *value)
{
    struct ctl_list *list;

    switch (option->kind) {
    case CTL_OPT_FLAG:
        *(bool *)option->value = true;
        return CTL_OK;
    case CTL_OPT_TEXT:
        *(const char **)option->value = value;
        return CTL_OK;
    case CTL_OPT_COUNT:
        if (parse_count(value, option->value)) {
            return CTL_OK;
        }
        return ctl_error(context, CTL_USAGE, "%s %s: write a whole number", option->name, value);
    case CTL_OPT_MILLISECONDS:
        if (parse_milliseconds(value, option->value)) {
            return CTL_OK;
        }
        return ctl_error(context, CTL_USAGE,
                         "%s %s: write a time such as 500ms, 60s or 2m, at most 24 hours",
                         option->name, value);
    case CTL_OPT_LIST:
        list = option->value;
        if (list->count < CTL_LIST_MAX) {
            list->items[list->count++] = value;
            return CTL_OK;
        }
        return ctl_error(context, CTL_USAGE, "%s may be given at most %u times", option->name,
                         CTL_LIST_MAX);
    }
    return CTL_USAGE;
}

/* The option argv[index] names, with what follows `=`, if anything; NULL if there is none. */
static const struct ctl_option *find_option(const struct ctl_option *options, const char *text,
                                            const char **out_inline)
{
    *out_inline = NULL;
    for (; options->name != NULL; options++) {
        size_t length = strlen(options->name);
        if (strncmp(text, options->name, length) == 0 &&
            (text[length] == '\0' || text[length] == '=')) {
            *out_inline = text[length] == '=' ? text + length + 1 : NULL;
            return options;
        }
        if (options->letter != 0 && text[0] == '-' && text[1] == options->letter) {
            *out_inline = text[2] != '\0' ? text + 2 : NULL;
            return options;
        }
    }
    return NULL;
}

int ctl_options(struct ctl_context *context, int argc, char **argv,
                const struct ctl_option *options)
{
    int kept = 1;
    int index;

    for (index = 1; index < argc; index++) {
        const struct ctl_option *option;
        const char *value;

        if (strcmp(argv[index], "--") == 0) {
            for (index++; index < argc; index++) {
                argv[kept++] = argv[index];
            }
            break;
        }
        if (argv[index][0] != '-' || argv[index][1] == '\0') {
            argv[kept++] = argv[index];
            continue;
        }
        option = find_option(options, argv[index], &value);
        if (option == NULL || (option->kind == CTL_OPT_FLAG && value != NULL)) {
            ctl_error(context, CTL_USAGE, "no option '%s' here; --help shows what there is",
                      argv[index]);
            return -1;
        }
        if (option->kind != CTL_OPT_FLAG && value == NULL) {
            if (index + 1 >= argc) {
                ctl_error(context, CTL_USAGE, "%s needs a value", option->name);
                return -1;
            }
            value = argv[++index];
        }
        if (set_option(context, option, value) != CTL_OK) {
            return -1;
        }
    }
    argv[kept] = NULL;
    return kept;
}
