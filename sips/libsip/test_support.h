/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_support.h - what the tests of libsip on the host share: libsip beside libc, a kernel and an
 * allocator to play with, seeded random numbers.
 */
#ifndef LIBSIP_TEST_SUPPORT_H
#define LIBSIP_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

/* libsip's declarations get libsip's names, and from then on the plain names are libc's. */
#include "host_names.h"

#include "sip.h"
#include "sip_array.h"
#include "sip_bytes.h"
#include "sip_double.h"
#include "sip_list.h"
#include "sip_loop.h"
#include "sip_map.h"
#include "sip_pqueue.h"
#include "sip_ring.h"

#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef memchr
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr
#undef strrchr
#undef strstr

/* --- the kernel that the host plays -------------------------------------------------------------
 */

struct host {
    int64_t now_ns;
    bool ready[256];       /* by handle */
    bool closed[256];      /* select refuses them */
    uint32_t selects;      /* calls so far */
    int64_t slept_ns;      /* in selects that timed out */
    char log[4096];        /* lines so far */
    const char *log_level; /* configuration */
    uint32_t allocations;  /* not freed */
    uint32_t fail_after;   /* how many more allocations succeed; UINT32_MAX: all */
};
extern struct host host;

void host_reset(void);

/* xorshift; the seed is printed by a test that fails. */
uint32_t random_u32(void);
uint64_t random_u64(void);
/* 0 to bound - 1. */
uint32_t random_below(uint32_t bound);
void random_seed(uint64_t seed);

#endif
