/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native.h - from the linked ELF to what goes into an image. Private to sipc.
 *
 * Checks that the linker left nothing open (no undefined symbol, no relocation, no dynamic part),
 * takes the function symbols, and writes a new ELF with the loaded segments only, so that the same
 * module always gives the same bytes.
 *
 * Of an image in mode native, relocations are expected: the addresses in its data are collected and
 * written behind its descriptor (struct nk_native_desc); an address anywhere else is an error.
 */
#ifndef SIPC_NATIVE_H
#define SIPC_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "image/image.h"

struct native_symbol {
    uint64_t address;
    uint32_t bytes;
    const char *name; /* as in the ELF; points into its bytes */
};

struct native {
    uint8_t *elf; /* malloc'ed: the new ELF */
    size_t elf_bytes;
    struct native_symbol *symbols; /* malloc'ed: functions by address, none overlap */
    size_t symbol_count;
    uint32_t *relocations; /* malloc'ed: offsets in the data segment */
    size_t relocation_count;
};

/* Prints the error itself. `elf` must stay while symbol names are used. */
SF_MUST_CHECK sf_status native_read(const uint8_t *elf, size_t length, enum image_mode mode,
                                    struct native *out_native);
void native_fini(struct native *native);

#endif
