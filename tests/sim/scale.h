/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scale.h - what a large cell costs: memory and processor time per channel, session and message.
 *
 * Method: nodes stand in a ring, each has sessions with `peers` others near it, and channels with
 * those. Memory is what malloc has given out (exactly) and the resident set, as differences: nodes
 * booted, sessions open, channels open. Then each channel asks and answers `rounds` times; the time
 * stamp counter is read around each call of the fabric, so that the simulator's own work does not
 * count. Last, all is quiet for a second: heart-beats.
 *
 * JSON lines on stdout, one a metric. A session has two ends, a channel two; figures are for both
 * together unless the metric says "end".
 */
#ifndef SIM_SCALE_H
#define SIM_SCALE_H

#include <stdint.h>

struct scale_options {
    uint32_t nodes, channels, peers, rounds;
    uint16_t sealed; /* in a thousand pairs */
};

void scale_run(const struct scale_options *options);

#endif
