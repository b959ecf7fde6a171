/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_notes.h"

#include <stdlib.h>
#include <string.h>

struct agent_note {
    struct agent_note *next;
    size_t bytes;
    bool report;
    uint8_t packed[];
};

void agent_notes_init(struct agent_notes *notes)
{
    memset(notes, 0, sizeof(*notes));
    notes->end = &notes->first;
}

/* Drops the note *link points to. */
static void drop(struct agent_notes *notes, struct agent_note **link)
{
    struct agent_note *note = *link;

    *link = note->next;
    if (*link == NULL) {
        notes->end = link;
    }
    notes->shares[note->report].count--;
    notes->shares[note->report].bytes -= note->bytes;
    free(note);
}

void agent_notes_clear(struct agent_notes *notes)
{
    while (notes->first != NULL) {
        drop(notes, &notes->first);
    }
    notes->lines_lost = 0;
}

bool agent_notes_is_report(const Sf__Control__Envelope *envelope)
{
    return envelope->body_case == SF__CONTROL__ENVELOPE__BODY_SIP_REPORT ||
           envelope->body_case == SF__CONTROL__ENVELOPE__BODY_MOVE_ARRIVED ||
           (envelope->body_case == SF__CONTROL__ENVELOPE__BODY_MOVE_REPORT &&
            envelope->move_report->step >= SF__CONTROL__MOVE_STEP__MOVE_DONE);
}

static void drop_oldest(struct agent_notes *notes, bool report)
{
    struct agent_note **link = &notes->first;

    while ((*link)->report != report) {
        link = &(*link)->next;
    }
    drop(notes, link);
    notes->lines_lost += !report;
}

void agent_notes_keep(struct agent_notes *notes, const Sf__Control__Envelope *envelope)
{
    const bool report = agent_notes_is_report(envelope);
    const size_t bytes = sf__control__envelope__get_packed_size(envelope);
    struct agent_note *note = bytes > AGENT_NOTES_BYTES_MAX ? NULL : malloc(sizeof(*note) + bytes);

    if (note == NULL) {
        notes->lines_lost += !report;
        return;
    }
    while (notes->shares[report].count >= AGENT_NOTES_MAX ||
           notes->shares[report].bytes + bytes > AGENT_NOTES_BYTES_MAX) {
        drop_oldest(notes, report);
    }
    *note = (struct agent_note){.report = report};
    note->bytes = sf__control__envelope__pack(envelope, note->packed);
    *notes->end = note;
    notes->end = &note->next;
    notes->shares[report].count++;
    notes->shares[report].bytes += note->bytes;
}

static sf_status note_send(const struct agent_note *note,
                           sf_status (*send)(void *arg, const Sf__Control__Envelope *envelope),
                           void *arg)
{
    Sf__Control__Envelope *envelope =
        sf__control__envelope__unpack(NULL, note->bytes, note->packed);
    sf_status st;

    if (envelope == NULL) {
        return SF_NOMEM;
    }
    st = send(arg, envelope);
    sf__control__envelope__free_unpacked(envelope, NULL);
    return st;
}

uint64_t agent_notes_send(struct agent_notes *notes,
                          sf_status (*send)(void *arg, const Sf__Control__Envelope *envelope),
                          void *arg)
{
    struct agent_note **link = &notes->first;
    const uint64_t lost = notes->lines_lost;

    notes->lines_lost = 0;
    while (*link != NULL && note_send(*link, send, arg) == SF_OK) {
        if ((*link)->report) {
            link = &(*link)->next;
        } else {
            drop(notes, link);
        }
    }
    return lost;
}
