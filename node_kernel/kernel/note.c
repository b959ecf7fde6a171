/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notes: what the agent is told of SIPs, their log lines and how they ended, and of lost sessions.
 *
 * Model: worker 0 tells the agent itself, at once. What happens on other workers, or while there
 * are notes, waits in one queue, in order, for worker 0, which takes a few between two turns of
 * SIPs. An end always finds room; lines do not when NOTES_MAX wait, and are counted.
 *
 * A SIP that logs without end fills neither the disk of its node nor the queues on the way: it has
 * LINES_MAX lines in LINES_NS. The first too many is said at once, how many there were is said
 * before the next line, or when the SIP ends or leaves.
 */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NOTES_TURN 64u  /* delivered at once, so that sockets get their turn */
#define NOTES_MAX 8192u /* under way to the agent; of lines, more are counted and dropped */
#define LINES_MAX 10000u
#define LINES_NS 30000000000u

struct nk_note {
    struct nk_note *next;
    uint64_t sip;
    struct nk_sip_end end; /* name NULL: a log line, or a session lost */
    uint16_t peer_id;      /* of that session, or 0 */
    struct sf_cause cause;
    char name[IMAGE_NAME_BYTES_MAX + 1];
    uint32_t bytes;
    char text[]; /* the line, or the report with its final zero */
};

static struct nk_note *note_make(const struct nk_sip *sip, const char *text, size_t bytes)
{
    struct nk_note *note = malloc(sizeof(*note) + bytes + 1);

    if (note == NULL) {
        return NULL;
    }
    *note = (struct nk_note){.sip = sip->number, .bytes = (uint32_t)bytes};
    memcpy(note->text, text, bytes);
    note->text[bytes] = '\0';
    return note;
}

/* Locked. note: or NULL, if there was no memory for it. */
static void note_put(struct nk_kernel *kernel, struct nk_note *note)
{
    if (note != NULL) {
        *kernel->notes_end = note;
        kernel->notes_end = &note->next;
        kernel->note_count++;
        nk__attend(kernel->workers[0]);
    }
}

static void note_post(struct nk_kernel *kernel, struct nk_note *note)
{
    nk__lock(kernel);
    note_put(kernel, note);
    nk__unlock(kernel);
}

void nk__note_lost(struct nk_kernel *kernel, uint16_t peer_id, struct sf_cause cause)
{
    struct nk_note *note = calloc(1, sizeof(*note) + 1);

    if (note != NULL) {
        note->peer_id = peer_id;
        note->cause = cause;
    }
    note_put(kernel, note);
}

/* Tells the agent itself, or by way of worker 0. */
static void note_line(struct nk_sip *sip, const char *text, uint32_t bytes)
{
    struct nk_kernel *kernel = sip->kernel;
    struct nk_note *note;

    if (nk__mine(kernel->workers[0]) && kernel->notes == NULL) {
        kernel->events.log(kernel->events_arg, sip->number, text, bytes);
        return;
    }
    note = note_make(sip, text, bytes);
    if (note == NULL) {
        sip->lines_lost++;
    } else {
        note_post(kernel, note);
    }
}

static void __attribute__((format(printf, 2, 3)))
note_say(struct nk_sip *sip, const char *format, ...)
{
    char text[96];
    va_list args;
    int bytes;

    va_start(args, format);
    bytes = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    note_line(sip, text, (uint32_t)bytes);
}

/* Is the SIP's share of lines not used up? Says so when it comes to that. */
static bool line_fits(struct nk_sip *sip)
{
    const uint64_t now_ns = nk__now();

    if (now_ns - sip->lines_from_ns >= LINES_NS) {
        sip->lines_from_ns = now_ns;
        sip->lines = 0;
    }
    if (sip->lines < LINES_MAX) {
        sip->lines++;
        return true;
    }
    if (sip->lines == LINES_MAX) {
        sip->lines++;
        note_say(sip, "over %u lines in %u s: those of the next %u s are lost", LINES_MAX,
                 (unsigned)(LINES_NS / 1000000000u),
                 (unsigned)((LINES_NS - (now_ns - sip->lines_from_ns)) / 1000000000u) + 1);
    }
    return false;
}

void nk__note_log(struct nk_sip *sip, const char *text, uint32_t bytes)
{
    struct nk_kernel *kernel = sip->kernel;

    if (kernel->events.log == NULL) {
        return;
    }
    if (!line_fits(sip) || __atomic_load_n(&kernel->note_count, __ATOMIC_RELAXED) >= NOTES_MAX) {
        sip->lines_lost++; /* and no lock, no malloc: nobody else pays for it */
        return;
    }
    nk__note_lines_lost(sip);
    note_line(sip, text, bytes);
}

void nk__note_lines_lost(struct nk_sip *sip)
{
    const uint32_t lost = sip->lines_lost;

    if (lost > 0) {
        sip->lines_lost = 0;
        note_say(sip, "%u lines lost here: they came faster than the node takes them", lost);
    }
}

void nk__note_ended(struct nk_sip *sip, const struct nk_sip_end *end)
{
    struct nk_kernel *kernel = sip->kernel;
    const char *report = end->report == NULL ? "" : end->report;
    struct nk_note *note;

    nk__note_lines_lost(sip);
    if (kernel->events.ended == NULL) {
        return;
    }
    if (nk__mine(kernel->workers[0]) && kernel->notes == NULL) {
        kernel->events.ended(kernel->events_arg, end);
        return;
    }
    note = note_make(sip, report, strlen(report));
    if (note != NULL) {
        note->end = *end;
        memcpy(note->name, sip->name, sizeof(note->name));
        note->end.name = note->name;
        note->end.report = end->report == NULL ? NULL : note->text;
    }
    note_post(kernel, note);
}

/* Takes the oldest few; NULL: none. */
static struct nk_note *notes_take(struct nk_kernel *kernel)
{
    struct nk_note *first, *last;
    uint32_t count = 1;

    nk__lock(kernel);
    first = last = kernel->notes;
    while (last != NULL && last->next != NULL && count < NOTES_TURN) {
        last = last->next;
        count++;
    }
    if (first != NULL) {
        kernel->notes = last->next;
        kernel->note_count -= count;
        if (kernel->notes == NULL) {
            kernel->notes_end = &kernel->notes;
        }
        last->next = NULL;
    }
    nk__unlock(kernel);
    return first;
}

bool nk__notes_deliver(struct nk_kernel *kernel)
{
    struct nk_note *note;

    if (__atomic_load_n(&kernel->notes, __ATOMIC_RELAXED) == NULL) {
        return false;
    }
    note = notes_take(kernel);
    while (note != NULL) {
        struct nk_note *next = note->next;

        if (note->peer_id != 0) {
            kernel->events.session_lost(kernel->events_arg, note->peer_id, note->cause);
        } else if (note->end.name != NULL) {
            kernel->events.ended(kernel->events_arg, &note->end);
        } else {
            kernel->events.log(kernel->events_arg, note->sip, note->text, note->bytes);
        }
        free(note);
        note = next;
    }
    return true;
}

void nk__notes_init(struct nk_kernel *kernel)
{
    kernel->notes_end = &kernel->notes;
}

void nk__notes_fini(struct nk_kernel *kernel)
{
    while (kernel->notes != NULL) {
        struct nk_note *next = kernel->notes->next;

        free(kernel->notes);
        kernel->notes = next;
    }
}
