/* SPDX-License-Identifier: Apache-2.0 */
#include "carrier.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

void carrier_begin(struct carrier_watch *watch)
{
    watch->now = 1 - watch->now;
    watch->counts[watch->now] = 0;
}

/* Of the look before; index: where it was if nothing was closed meanwhile. */
static const struct carrier_seen *seen_before(const struct carrier_watch *watch, uint32_t index,
                                              uint32_t number)
{
    const struct carrier_seen *before = watch->looks[1 - watch->now];
    uint32_t count = watch->counts[1 - watch->now];

    if (index < count && before[index].number == number) {
        return &before[index];
    }
    for (uint32_t i = 0; i < count; i++) {
        if (before[i].number == number) {
            return &before[i];
        }
    }
    return NULL;
}

bool carrier_see(struct carrier_watch *watch, const struct pump_link_info *info, char *text,
                 size_t text_capacity)
{
    uint32_t index = watch->counts[watch->now]++;
    const struct carrier_seen *before = seen_before(watch, index, info->number);
    const char *state = info->up ? "up" : "down";
    uint64_t missed;

    assert(index < PUMP_LINKS_MAX);
    watch->looks[watch->now][index] = (struct carrier_seen){
        info->number,
        info->up,
        info->up_events,
        info->down_events,
    };
    /* Fewer events than before: it was closed and opened again. */
    if (before == NULL || info->up_events < before->up_events ||
        info->down_events < before->down_events) {
        return false;
    }
    if (info->up != before->up) {
        snprintf(text, text_capacity, "link %u (%s %s) is %s", info->number, info->driver,
                 info->device, state);
        return true;
    }
    missed =
        info->up ? info->down_events - before->down_events : info->up_events - before->up_events;
    if (missed > 0) {
        snprintf(text, text_capacity,
                 "link %u (%s %s) was %s in between, %" PRIu64 " times; it is %s", info->number,
                 info->driver, info->device, info->up ? "down" : "up", missed, state);
    }
    return missed > 0;
}
