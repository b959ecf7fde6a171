/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_note.h - the last messages of an endpoint, for fault reports.
 *
 * Model: the last NK_NOTES messages in one word, the newest in the lowest bits. Written on every
 * send and receive, so it costs a shift and a store; read only when the SIP has faulted. Contract
 * states are not kept: fault_report.c finds them from the messages and the state now.
 */
#ifndef KERNEL_PORT_NOTE_H
#define KERNEL_PORT_NOTE_H

#include <stdint.h>

#define NK_NOTES 4u
#define NK_NOTE_BITS 16u
#define NK_NOTE_TAG 0xffu
#define NK_NOTE_GOT 0x100u  /* else sent */
#define NK_NOTE_MADE 0x200u /* there was a message */

struct nk_notes {
    uint64_t word;
};
_Static_assert(sizeof(struct nk_notes) * 8 == NK_NOTES * NK_NOTE_BITS, "one store");

static inline void nk__note_sent(struct nk_notes *notes, uint8_t tag)
{
    notes->word = notes->word << NK_NOTE_BITS | NK_NOTE_MADE | tag;
}

static inline void nk__note_got(struct nk_notes *notes, uint8_t tag)
{
    notes->word = notes->word << NK_NOTE_BITS | NK_NOTE_MADE | NK_NOTE_GOT | tag;
}

/* The n-th last message, n < NK_NOTES; 0: there was none. */
static inline uint32_t nk__note(const struct nk_notes *notes, uint32_t n)
{
    return (uint32_t)(notes->word >> (n * NK_NOTE_BITS)) & ((1u << NK_NOTE_BITS) - 1);
}

#endif
