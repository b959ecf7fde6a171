/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_note.h - the last messages of an endpoint, for fault reports.
 *
 * Model: a ring of NK_NOTES. Written on every send and receive, so it costs one store of four bytes
 * and a counter; read only when the SIP has faulted.
 */
#ifndef KERNEL_PORT_NOTE_H
#define KERNEL_PORT_NOTE_H

#include <stdint.h>
#include <string.h>

#define NK_NOTES 4u

enum nk_note_direction { NK_NOTE_SENT = 0, NK_NOTE_GOT = 1 };

struct nk_note {
    uint8_t direction; /* enum nk_note_direction */
    uint8_t tag;
    uint8_t state; /* of the contract, after it */
    uint8_t unused;
};
_Static_assert(sizeof(struct nk_note) == sizeof(uint32_t), "one store");

struct nk_notes {
    uint32_t count; /* ever made */
    struct nk_note ring[NK_NOTES];
};
_Static_assert((NK_NOTES & (NK_NOTES - 1)) == 0, "wraps by masking");

static inline void nk__note(struct nk_notes *notes, enum nk_note_direction direction, uint8_t tag,
                            uint8_t state)
{
    uint32_t note = (uint32_t)direction | (uint32_t)tag << 8 | (uint32_t)state << 16;

    memcpy(&notes->ring[notes->count++ & (NK_NOTES - 1)], &note, sizeof(note));
}

#endif
