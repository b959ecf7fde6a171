/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile.h - what the files of hostile_test share: the world in which an attack happens.
 *
 * Model: a kernel of its own for each attack, with two workers. On each of them is a witness that
 * holds blocks and endpoints, and a pair of innocents that talk; a third pair talks across. They
 * talk before, during and after the attack. Afterwards all that the attack used is back, every byte
 * that the witnesses can reach is as before, the innocents end with right results, and heap, fabric
 * and kernel pass their audit.
 *
 * Threads: one world at a time, on one thread (which is worker 0). Failures end the test (cmocka).
 */
#ifndef KERNEL_HOSTILE_H
#define KERNEL_HOSTILE_H

#include "image.pb-c.h"
#include "internal.h"
#include "test_world.h"

enum hostile_image { HOSTILE_PLAIN, HOSTILE_STRICT, HOSTILE_LIMITS, HOSTILE_IMAGE_COUNT };
extern struct bytes hostile_images[HOSTILE_IMAGE_COUNT];

/* What must happen. */
struct hostile_end {
    enum { EXITS, FAULTS, IS_KILLED } how;
    int code;      /* exit code or enum sf_fault_kind */
    int if_ticked; /* what it faults with instead if a tick comes in between, or 0 */
};

struct hostile_attack {
    const char *category;
    const char *mode; /* of attack.c; also the test's name */
    struct hostile_end end;
    enum hostile_image image;
    const char *peer;   /* mode of the SIP it is wired to, or NULL */
    const char *before; /* mode of one that runs and ends before, in the slot that it gets */
    uint32_t crowd;     /* so many at once; 0: 1 */
    uint32_t wires;     /* so many more channels are opened for it to its peer */
};

/* An image (sealed; NULL: that of attack->image) attacks. */
void hostile_run(const struct hostile_attack *attack, const struct bytes *image);
/* The same with an image that the kernel must refuse with a text that has `rule` in it. */
void hostile_refused(const struct bytes *image, const char *rule);

/* An image taken apart, to be changed and sealed again with right hashes. */
struct parts {
    Sf__Image__Manifest *manifest;
    uint8_t *elf;
    size_t elf_bytes;
};
struct parts parts_open(const struct bytes *image);
/* Seals; the parts are freed. The bytes are the caller's. */
struct bytes parts_seal(struct parts *parts);

/* Tests by table, made by hostile_images.c and hostile_code.c: appended to the list. */
uint32_t hostile_add_images(struct CMUnitTest *tests);
uint32_t hostile_add_code(struct CMUnitTest *tests);
#define HOSTILE_TESTS_MAX 256u

#endif
