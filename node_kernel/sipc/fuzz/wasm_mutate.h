/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasm_mutate.h - changes WebAssembly modules in ways that a verifier could get wrong.
 *
 * Why: flipped bytes mostly break a length, and test only how that is refused. These changes keep
 * lengths right (sections, function bodies), so that most results are modules again: other
 * instructions, immediates, limits, indices, names, sections moved, doubled, spliced from another
 * module. One in a few is damaged without repair.
 *
 * Threads: none. Deterministic: everything comes from *random. Nothing here trusts the module.
 */
#ifndef SIPC_WASM_MUTATE_H
#define SIPC_WASM_MUTATE_H

#include <stddef.h>
#include <stdint.h>

#define MUTATE_BYTES_MAX (256u << 10)

struct mutate_module {
    size_t length;
    uint8_t bytes[MUTATE_BYTES_MAX];
};

uint64_t mutate_random(uint64_t *random);
/* One to a few changes of *module. other: a second module to take parts from. */
void mutate(struct mutate_module *module, const struct mutate_module *other, uint64_t *random);

#endif
