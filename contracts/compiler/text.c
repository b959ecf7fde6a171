/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ctc.h"

static void reserve(struct ctc__text *text, size_t more)
{
    if (text->capacity - text->length > more) {
        return;
    }
    size_t capacity = (text->capacity + more + 1) * 2;
    char *bytes = realloc(text->bytes, capacity);
    if (bytes == NULL) {
        fprintf(stderr, "contract compiler: no memory left\n");
        exit(2);
    }
    text->bytes = bytes;
    text->capacity = capacity;
}

void ctc__put_bytes(struct ctc__text *text, const void *bytes, size_t length)
{
    reserve(text, length);
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = 0;
}

void ctc__put(struct ctc__text *text, const char *format, ...)
{
    va_list args;
    va_list again;

    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length > 0) {
        reserve(text, (size_t)length);
        vsnprintf(text->bytes + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
    va_end(args);
}

/* A doc may hold anything; it must not end the comment it is put in. */
static void put_doc_line(struct ctc__text *text, const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool opens = line[i] == '/' && i + 1 < length && line[i + 1] == '*';
        bool closes = line[i] == '*' && i + 1 < length && line[i + 1] == '/';
        ctc__put(text, opens || closes ? "%c " : "%c", line[i]);
    }
}

void ctc__put_doc(struct ctc__text *text, const char *indent, const char *doc)
{
    size_t length = strlen(doc);

    if (length == 0) {
        return;
    }
    const char *end = strchr(doc, '\n');
    if (end == NULL || end[1] == 0) {
        ctc__put(text, "%s/* ", indent);
        put_doc_line(text, doc, end == NULL ? length : (size_t)(end - doc));
        ctc__put(text, " */\n");
        return;
    }
    ctc__put(text, "%s/*\n", indent);
    while (*doc != 0) {
        end = strchr(doc, '\n');
        size_t line = end == NULL ? strlen(doc) : (size_t)(end - doc);
        ctc__put(text, line == 0 ? "%s *" : "%s * ", indent);
        put_doc_line(text, doc, line);
        ctc__put(text, "\n");
        doc += line + (end != NULL);
    }
    ctc__put(text, "%s */\n", indent);
}
