/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CORDONED " cordoned"
#define FIRST_LINE "sipfabric-state 1\n"

static bool write_all(int fd, const char *content, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, content, bytes);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return false;
        }
        content += written;
        bytes -= (size_t)written;
    }
    return true;
}

sf_status state_write_file(const char *path, const char *content, size_t bytes)
{
    char fresh[PATH_MAX + 8];
    bool written;
    int fd;

    snprintf(fresh, sizeof(fresh), "%s.new", path);
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return SF_IO;
    }
    written = write_all(fd, content, bytes) && fsync(fd) == 0;
    if (close(fd) != 0 || !written || rename(fresh, path) != 0) {
        unlink(fresh);
        return SF_IO;
    }
    return SF_OK;
}

static sf_status save(const struct state *state)
{
    char *content = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&content, &bytes);
    sf_status status;
    uint32_t index;

    if (out == NULL) {
        return SF_NOMEM;
    }
    fputs(FIRST_LINE, out);
    fprintf(out, "sip %" PRIu64 "\n", state->sip_reserved);
    for (index = 0; index < state->node_count; index++) {
        const struct state_node *node = &state->nodes[index];

        fprintf(out, "node %s %u %u%s\n", node->name, node->id, node->epoch,
                node->cordoned ? CORDONED : "");
    }
    if (fclose(out) != 0) {
        free(content);
        return SF_NOMEM;
    }
    status = state_write_file(state->path, content, bytes);
    free(content);
    return status;
}

static struct state_node *find_id(struct state *state, unsigned id)
{
    uint32_t index;

    for (index = 0; index < state->node_count; index++) {
        if (state->nodes[index].id == id) {
            return &state->nodes[index];
        }
    }
    return NULL;
}

static bool read_line(struct state *state, const char *line)
{
    struct state_node *node;
    char name[64];
    unsigned id;
    unsigned epoch;
    bool cordoned;
    int end = 0;

    if (sscanf(line, "sip %" SCNu64 "%n", &state->sip_reserved, &end) == 1 && line[end] == '\n') {
        state->sip_next = state->sip_reserved;
        return state->sip_reserved >= 1;
    }
    if (sscanf(line, "node %63s %u %u%n", name, &id, &epoch, &end) != 3) {
        return false;
    }
    cordoned = strcmp(line + end, CORDONED "\n") == 0;
    if (!cordoned && line[end] != '\n') {
        return false;
    }
    if (!orch_name_ok(name) || id < 1 || id > STATE_NODES_MAX || epoch > STATE_EPOCH_MAX ||
        find_id(state, id) != NULL || state->node_count >= STATE_NODES_MAX) {
        return false;
    }
    node = &state->nodes[state->node_count++];
    snprintf(node->name, sizeof(node->name), "%.32s", name);
    node->id = (uint16_t)id;
    node->epoch = (uint16_t)epoch;
    node->cordoned = cordoned;
    return true;
}

sf_status state_open(struct state *state, const char *path, char *text, size_t text_capacity)
{
    char line[256];
    unsigned number = 1;
    bool good;
    FILE *in;

    memset(state, 0, sizeof(*state));
    state->sip_next = 1;
    state->sip_reserved = 1;
    snprintf(state->path, sizeof(state->path), "%s", path);
    in = fopen(path, "re");
    if (in == NULL) {
        if (errno == ENOENT) {
            return SF_OK;
        }
        snprintf(text, text_capacity, "%s: %s", path, strerror(errno));
        return SF_IO;
    }
    good = fgets(line, sizeof(line), in) != NULL && strcmp(line, FIRST_LINE) == 0;
    while (good && fgets(line, sizeof(line), in) != NULL) {
        number += 1;
        good = read_line(state, line);
    }
    fclose(in);
    if (!good) {
        snprintf(
            text, text_capacity,
            "%s:%u: error: this is no state of fabricd, or it is damaged; starting on it could "
            "give a number out twice",
            path, number);
        return SF_FORMAT;
    }
    return SF_OK;
}

sf_status state_node_id(struct state *state, const char *name, uint16_t *out_id)
{
    struct state_node *node;
    sf_status status;
    uint32_t index;
    unsigned id;

    assert(orch_name_ok(name));
    for (index = 0; index < state->node_count; index++) {
        if (strcmp(state->nodes[index].name, name) == 0) {
            *out_id = state->nodes[index].id;
            return SF_OK;
        }
    }
    for (id = 1; id <= STATE_NODES_MAX && find_id(state, id) != NULL; id++) {
    }
    if (id > STATE_NODES_MAX) {
        return SF_LIMIT;
    }
    node = &state->nodes[state->node_count++];
    snprintf(node->name, sizeof(node->name), "%s", name);
    node->id = (uint16_t)id;
    node->epoch = 0;
    node->cordoned = false;
    status = save(state);
    if (status != SF_OK) {
        state->node_count -= 1;
        return status;
    }
    *out_id = node->id;
    return SF_OK;
}

sf_status state_epoch_next(struct state *state, uint16_t id, uint16_t *out_epoch)
{
    struct state_node *node = find_id(state, id);
    sf_status status;

    assert(node != NULL);
    if (node->epoch >= STATE_EPOCH_MAX) {
        return SF_LIMIT;
    }
    node->epoch += 1;
    status = save(state);
    if (status == SF_OK) {
        *out_epoch = node->epoch;
    }
    return status; /* on IO the epoch is skipped: it may be on disk */
}

sf_status state_cordon(struct state *state, uint16_t id, bool cordoned)
{
    struct state_node *node = find_id(state, id);
    sf_status status = SF_OK;

    assert(node != NULL);
    if (node->cordoned != cordoned) {
        node->cordoned = cordoned;
        status = save(state);
        node->cordoned = status == SF_OK ? cordoned : !cordoned;
    }
    return status;
}

bool state_cordoned(struct state *state, uint16_t id)
{
    const struct state_node *node = find_id(state, id);

    return node != NULL && node->cordoned;
}

sf_status state_sip_next(struct state *state, uint64_t *out_number)
{
    sf_status status;

    if (state->sip_next == state->sip_reserved) {
        state->sip_reserved += STATE_SIP_LOT;
        status = save(state);
        if (status != SF_OK) {
            state->sip_reserved -= STATE_SIP_LOT;
            return status;
        }
    }
    *out_number = state->sip_next++;
    return SF_OK;
}
