/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_world.h - the world of a test of the core: a kernel with real sealed images, and what became
 * of its SIPs.
 *
 * Model: one world at a time (`world`). A test's body runs between world_make and world_end: the
 * second finds no SIP, no block and no endpoint left, and clean audits. The kernel is that of the
 * options, as node NODE if they name none; every SIP is known by its number, and is what the mode
 * in its configuration says. How SIPs ended, the last line that each said, and the last report of a
 * fault are noted, and shown as TAP comments.
 *
 * cmocka puts its own signal handlers around setup, body and teardown, each by itself; the core
 * needs its own all the time. So worlds are made and ended in the body, by a function that wraps
 * it:
 *
 *     static void in_world(void **state)
 *     {
 *         world_make(&options);
 *         world_body(state);
 *         world_end();
 *     }
 *     static const struct CMUnitTest tests[] = {WORLD_TEST(in_world, a_sip_exits)};
 *
 * A test that failed leaves its world; the next world_make ends it.
 *
 * Users: the test programs of this folder. Threads: one, worker 0's. Errors: all end the test
 * (cmocka), but those of file_read the program. Times: CLOCK_MONOTONIC, nanoseconds.
 * Limits: how a SIP ended is known until WORLD_ENDS more have ended, if numbers are consecutive;
 * what it said, until one says something whose number is WORLD_LOGS higher.
 */
#ifndef KERNEL_TEST_WORLD_H
#define KERNEL_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "abi/nk_abi.h"
#include "nk.h"

#define NODE 5u
#define WORLD_ENDS 4096u
#define WORLD_LOGS 64u

struct bytes {
    uint8_t *data;
    size_t length;
};

struct end {
    uint64_t sip;
    bool ended;
    int how, exit_code, fault; /* as in nk_sip_end */
};

struct world_options {
    struct nk_options
        kernel; /* name, epoch, events are filled in; id 0: NODE; trust NULL: anyone's images */
    struct nk_config config;  /* of every SIP of sip_create, besides its mode; key NULL: none */
    uint32_t run_seconds_max; /* the run_ functions fail the test after that */
    /* Or NULL. on_log: instead of noting and showing the line. on_ended: when that was noted. */
    void (*on_log)(uint64_t sip, const char *text, uint32_t bytes);
    void (*on_ended)(const struct nk_sip_end *end);
};

struct world {
    struct nk_kernel *kernel; /* NULL: there is no world */
    struct world_options options;
    struct end ends[WORLD_ENDS]; /* by number */
    uint64_t end_count;          /* all that ever ended */
    char logs[WORLD_LOGS][128];  /* last line of each, by number */
    const char *log;             /* last line of any */
    char report[8192];           /* of the last fault */
    bool quiet;                  /* notes, but shows nothing */
};
extern struct world world;

void world_make(const struct world_options *options);
void world_end(void);
/* Runs what is in the test's initial state: its body. */
void world_body(void **state);
#define WORLD_TEST(around, body)                                                                   \
    {                                                                                              \
        .name = #body, .test_func = (around), .initial_state = (void *)(body),                     \
    }

/* The whole file; the caller's to free. A program that cannot read it says so and ends. */
struct bytes file_read(const char *path);
void image_add(const struct bytes *image, uint8_t *out_digest);

/* Forgets how one of that number ended before. worker: as in nk_sip_options. */
void sip_create(uint64_t number, const char *name, const uint8_t *digest, const char *mode,
                uint32_t worker);
/* Its import "peer", to an export of this node. */
void wire(uint64_t number, const char *export_name);
void start(uint64_t number);
void stop(uint64_t number);

uint64_t now(void);
/* Until nothing is ready and no timer is set. */
void run_all(void);
/* Until so many have ended since the world was made. */
void run_until_ended(uint64_t count);

/* NULL: it has not ended. */
const struct end *end_of(uint64_t number);
void assert_exited(uint64_t number, int code);
void assert_faulted(uint64_t number, int fault);
/* The core's audits. */
void assert_audits(void);
/* And so many endpoints and blocks. */
void assert_clean(uint32_t endpoints, uint64_t blocks);

uint32_t endpoint_count(void);

/* As TAP comments. */
void show(const char *text);

/* What this process uses. */
struct usage {
    unsigned long resident_kib, tables_kib; /* tables: of pages */
    uint32_t fds, maps;
};
struct usage usage_now(void);

#endif
