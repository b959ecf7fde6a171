/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <rte_log.h>

static bool catching;
static char caught[400];
static size_t caught_bytes;

static void caught_add(char c)
{
    if (c == '\n') {
        bool empty = caught_bytes == 0 || caught[caught_bytes - 1] == '\n';

        if (empty) {
            return;
        }
    }
    if (caught_bytes < sizeof(caught) - 1) {
        caught[caught_bytes++] = c;
    }
}

static ssize_t sink_write(void *cookie, const char *bytes, size_t length)
{
    (void)cookie;
    if (catching) {
        for (size_t i = 0; i < length; i++) {
            caught_add(bytes[i]);
        }
    } else {
        (void)fwrite(bytes, 1, length, stderr);
    }
    return (ssize_t)length;
}

void dpdk__log_install(void)
{
    cookie_io_functions_t functions = {.write = sink_write};
    FILE *stream = fopencookie(NULL, "w", functions);

    if (stream != NULL) {
        (void)rte_openlog_stream(stream);
    }
}

void dpdk__log_catch(void)
{
    assert(!catching);
    catching = true;
    caught_bytes = 0;
}

const char *dpdk__log_caught(void)
{
    static char text[2 * sizeof(caught)];
    size_t out = 0;

    assert(catching);
    catching = false;
    while (caught_bytes > 0 && caught[caught_bytes - 1] == '\n') {
        caught_bytes--;
    }
    for (size_t i = 0; i < caught_bytes; i++) {
        if (caught[i] == '\n') {
            text[out++] = ';';
            text[out++] = ' ';
        } else {
            text[out++] = caught[i];
        }
    }
    text[out] = '\0';
    return text;
}
