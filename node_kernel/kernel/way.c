/* SPDX-License-Identifier: Apache-2.0 */
#include "way.h"

void way_heard(struct way *way, bool on_spare, uint64_t now_ns)
{
    way->heard_ns = now_ns;
    if (!on_spare) {
        way->may_follow = true;
        way->follow_until_ns = 0;
    } else if (way->may_follow) {
        way->may_follow = false;
        way->follow_until_ns = now_ns + WAY_FOLLOW_NS;
    }
}

bool way_takes_spare(struct way *way, bool first_up, bool spare_up, uint64_t now_ns)
{
    bool silent = way->heard_ns != 0 && now_ns > way->heard_ns + WAY_SILENT_NS;

    if (!first_up) {
        way->may_follow = false;
        way->follow_until_ns = 0;
    }
    return spare_up && (!first_up || silent || now_ns < way->follow_until_ns);
}
