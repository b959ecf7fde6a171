/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include <stdio.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define HINT_BYTES_MAX 48u
#define HINT_DISTANCE_MAX 2u

bool orch_name_ok(const char *name)
{
    size_t length = strspn(name, LETTERS "0123456789-");

    return length > 0 && length <= ORCH_NAME_BYTES_MAX && name[length] == '\0' &&
           strchr(LETTERS, name[0]) != NULL;
}

bool orch_port_split(const char *text, char *out_sip, char *out_port)
{
    const char *dot = strchr(text, '.');
    size_t sip_bytes;
    size_t port_bytes;

    if (dot == NULL) {
        return false;
    }
    sip_bytes = (size_t)(dot - text);
    port_bytes = strspn(dot + 1, LETTERS "0123456789_-");
    if (sip_bytes > ORCH_NAME_BYTES_MAX || port_bytes == 0 ||
        port_bytes > ORCH_PORT_NAME_BYTES_MAX || dot[1 + port_bytes] != '\0' ||
        strchr(LETTERS, dot[1]) == NULL) {
        return false;
    }
    memcpy(out_sip, text, sip_bytes);
    out_sip[sip_bytes] = '\0';
    memcpy(out_port, dot + 1, port_bytes + 1);
    return orch_name_ok(out_sip);
}

bool orch_image_name_ok(const char *name)
{
    size_t length = strspn(name, LETTERS "0123456789_-");

    return length > 0 && length <= ORCH_IMAGE_NAME_BYTES_MAX && name[length] == '\0' &&
           strchr(LETTERS, name[0]) != NULL;
}

bool orch_image_name(const char *path, char out_name[ORCH_IMAGE_NAME_BYTES_MAX + 1])
{
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    size_t length = strlen(base);
    size_t index;

    if (length > 4 && strcmp(base + length - 4, ".sip") == 0) {
        length -= 4;
    }
    if (length > ORCH_IMAGE_NAME_BYTES_MAX) {
        return false;
    }
    for (index = 0; index < length; index++) {
        char c = base[index];
        out_name[index] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    out_name[length] = '\0';
    return orch_image_name_ok(out_name);
}

/* Levenshtein; both at most HINT_BYTES_MAX long. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[HINT_BYTES_MAX + 1];
    size_t a_bytes = strlen(a);
    size_t b_bytes = strlen(b);
    size_t i;
    size_t j;

    for (j = 0; j <= b_bytes; j++) {
        row[j] = (unsigned)j;
    }
    for (i = 1; i <= a_bytes; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (j = 1; j <= b_bytes; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            row[j] = best;
        }
    }
    return row[b_bytes];
}

void orch_hint_add(struct orch_hint *hint, const char *candidate)
{
    unsigned found;

    if (strlen(hint->wanted) > HINT_BYTES_MAX || strlen(candidate) > HINT_BYTES_MAX) {
        return;
    }
    found = distance(hint->wanted, candidate);
    if (found <= HINT_DISTANCE_MAX && found < strlen(hint->wanted) &&
        (hint->best == NULL || found < hint->distance)) {
        hint->best = candidate;
        hint->distance = found;
    }
}

const char *orch_hint_text(const struct orch_hint *hint, char *buffer, size_t capacity)
{
    if (hint->best == NULL) {
        snprintf(buffer, capacity, "%s", "");
    } else {
        snprintf(buffer, capacity, "; did you mean '%s'?", hint->best);
    }
    return buffer;
}
