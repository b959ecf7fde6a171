/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_mode.h - mode native: the same C, compiled straight to machine code. Private to sipc.
 *
 * The source has been through all checks on WebAssembly before (verifier, contracts); what is
 * left out are the checks at run time. See rt/sip_native.c and nk_abi.h for how it lies in a slot.
 *
 * Errors: printed here.
 */
#ifndef SIPC_NATIVE_MODE_H
#define SIPC_NATIVE_MODE_H

#include "build.h"
#include "work.h"

/*
 * Compiles and links the sources for the place at `base_address` with `pages` of memory.
 * *out_bytes is malloc'ed, the caller's: an ELF with relocations kept (--emit-relocs), for
 * native_read.
 */
SF_MUST_CHECK sf_status native_compile(const struct work *work, const struct build_options *options,
                                       uint64_t base_address, uint32_t pages, uint8_t **out_bytes,
                                       size_t *out_length);

#endif
