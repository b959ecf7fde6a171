/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - counts what is allocated and not freed, by the fabric and by the simulator.
 *
 * How: the linker sends malloc and its kin here (--wrap). What libc allocates for itself is not
 * counted.
 */
#ifndef SIM_MEMORY_H
#define SIM_MEMORY_H

#include <stdint.h>

struct memory_counts {
    uint64_t blocks;
    uint64_t bytes; /* as malloc rounds them up */
};

struct memory_counts memory_in_use(void);

#endif
