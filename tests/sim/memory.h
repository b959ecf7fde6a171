/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - counts what is allocated and not freed, by the fabric and by the simulator.
 *
 * How: the linker sends malloc and its kin here (--wrap). What libc allocates for itself is not
 * counted. Allocations can be made to fail, too.
 */
#ifndef SIM_MEMORY_H
#define SIM_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct memory_counts {
    uint64_t blocks;
    uint64_t bytes; /* as malloc rounds them up */
};

struct memory_counts memory_in_use(void);

/*
 * While `fails` is set, that many allocations in a thousand fail (not realloc, which only the
 * simulator uses). Chance comes from rng, which must live on.
 */
struct rng;
void memory_scarce(bool fails, uint32_t permille, struct rng *rng);
uint64_t memory_failures(void);

#endif
