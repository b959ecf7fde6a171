/* SPDX-License-Identifier: Apache-2.0 */
#include "test_hop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESTARTS 3u
#define LOGGED 1234567u

struct hop hop;

sf_status hop_keep(void *arg, const void *bytes, size_t length)
{
    (void)arg;
    assert_true(length <= NK_CAPTURE_PIECE_BYTES_MAX);
    if (hop.capture.length + length > hop.capacity) {
        hop.capacity = (hop.capture.length + length) * 2;
        hop.capture.data = realloc(hop.capture.data, hop.capacity);
        assert_non_null(hop.capture.data);
    }
    memcpy(hop.capture.data + hop.capture.length, bytes, length);
    hop.capture.length += length;
    return SF_OK;
}

bool hop_freeze(uint64_t number)
{
    char text[256] = "";
    sf_status st = nk_sip_freeze(world.kernel, number, text, sizeof(text));

    if (st != SF_OK && st != SF_NOTFOUND) {
        fail_msg("%s", text);
    }
    return st == SF_OK;
}

void hop_capture(uint64_t number, struct nk_precopy *precopy)
{
    const struct nk_about about = {.restart_count = RESTARTS, .log_position = LOGGED};

    assert_int_equal(nk_sip_endpoints(world.kernel, number, hop.eps, HOP_EPS_MAX, &hop.ep_count),
                     SF_OK);
    assert_int_equal(
        nk_sip_capture(world.kernel, number, &about, precopy, hop_keep, NULL, &hop.stats), SF_OK);
}

struct nk_restore *hop_restore(void)
{
    struct nk_restore *restore = NULL;

    assert_int_equal(nk_restore_create(world.kernel, NULL, &restore), SF_OK);
    return restore;
}

void hop_feed(struct nk_restore *restore, const struct bytes *bytes)
{
    char text[256] = "";

    for (size_t at = 0; at < bytes->length;) {
        size_t count = 1 + (size_t)rand() % (rand() % 2 == 0 ? 20 : 100000);

        count = count < bytes->length - at ? count : bytes->length - at;
        if (nk_restore_feed(restore, bytes->data + at, count, text, sizeof(text)) != SF_OK) {
            fail_msg("at %zu: %s", at, text);
        }
        at += count;
    }
}

void hop_finish(void)
{
    struct nk_restore *restore = hop_restore();
    char text[256] = "";

    hop_feed(restore, &hop.capture);
    assert_true(nk_restore_complete(restore));
    nk_restore_query(restore, &hop.last);
    assert_int_equal(hop.last.ep_count, hop.ep_count);
    assert_int_equal(hop.last.about.restart_count, RESTARTS);
    assert_int_equal(hop.last.about.log_position, LOGGED);
    if (nk_restore_finish(restore, hop.eps, hop.ep_count, text, sizeof(text)) != SF_OK) {
        fail_msg("%s", text);
    }
}

/* Is anything accessible of the slot that was restored last? */
static bool slot_is_mapped(void)
{
    const bool large = hop.last.slot_class == NK_LARGE;
    const uint64_t stride = large ? NK_LARGE_STRIDE : NK_SLOT_STRIDE;
    const uint64_t base = (large ? NK_LARGE_BASE : NK_SLOT_BASE) + hop.last.slot * stride;
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long long low, high;
    char line[512], access[8];
    bool found = false;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        assert_int_equal(sscanf(line, "%llx-%llx %7s", &low, &high, access), 3);
        found = found || (high > base && low < base + stride && strcmp(access, "---p") != 0);
    }
    (void)fclose(maps);
    return found;
}

bool hop_here(uint64_t number)
{
    if (!hop_freeze(number)) {
        return false;
    }
    hop.capture.length = 0;
    hop_capture(number, NULL);
    assert_int_equal(nk_sip_release(world.kernel, number), SF_OK);
    assert_true(hop.last.sip != number || !slot_is_mapped());
    hop_finish();
    assert_int_equal(nk_sip_thaw(world.kernel, number), SF_OK);
    hop.count++;
    return true;
}
