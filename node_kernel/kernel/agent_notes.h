/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_notes.h - messages that wait for the controller while it is away.
 *
 * Model: one queue, in order. Reports (how SIPs ended, what became of moves) must not get lost and
 * may come twice: they stay after they were sent, for the next connection. Lines, and whatever else
 * there is, go once they were sent. Each of the two kinds has its own share of the room, in which
 * the oldest make way: a SIP that logs a lot pushes out no report. Lines that made way are counted.
 *
 * Threads: one. Errors: what there is no memory for, or what is larger than a share, is dropped.
 */
#ifndef KERNEL_AGENT_NOTES_H
#define KERNEL_AGENT_NOTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "control.pb-c.h"

#define AGENT_NOTES_MAX 512u /* of a kind */
#define AGENT_NOTES_BYTES_MAX (2u << 20)

struct agent_note;

struct agent_notes {
    struct agent_note *first, **end;
    struct {
        uint32_t count;
        size_t bytes;
    } shares[2];         /* of reports, of all else */
    uint64_t lines_lost; /* that made way, since agent_notes_send said so */
};

void agent_notes_init(struct agent_notes *notes);
/* Drops all. */
void agent_notes_clear(struct agent_notes *notes);
bool agent_notes_is_report(const Sf__Control__Envelope *envelope);
/* Copies it. */
void agent_notes_keep(struct agent_notes *notes, const Sf__Control__Envelope *envelope);
/* Sends from the oldest on until send fails. Answers how many lines had made way, once. */
uint64_t agent_notes_send(struct agent_notes *notes,
                          sf_status (*send)(void *arg, const Sf__Control__Envelope *envelope),
                          void *arg);

#endif
