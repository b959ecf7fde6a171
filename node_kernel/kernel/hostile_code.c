/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attacks by native code that sipc would not write, but that passes the rules for images: it stands
 * in place of the start function of attack_strict.sip, with right hashes (attack.sip's place is
 * taken: witnesses run it); of attack_limits.sip's, where a limit is what ends it: on a machine
 * with slow page faults it would end others, too. What such code may get away with, because nothing
 * checks ordinary moves and indirect jumps, is said in docs/sips.md; here is what the kernel stands
 * nevertheless.
 */
#include <stdio.h>
#include <stdlib.h>

#include "hostile.h"

struct code_attack {
    const char *name;
    struct hostile_end end;
    uint8_t code[96];
    uint32_t code_bytes;
};

/* clang-format off */
/* movabs $gate + offset, %r11; jmp *%r11 */
#define GATE_AT(offset) 0x49, 0xbb, offset, 0, 0, 0, 0, 0x0e, 0, 0, 0x41, 0xff, 0xe3
#define GATE GATE_AT(0)
/* call 1f; jmp 2f; 1: GATE; 2: */
#define CALL 0xe8, 2, 0, 0, 0, 0xeb, 13, GATE
#define NUMBER(n) 0xb8, n, 0, 0, 0      /* mov $n, %eax */
#define EXIT_0 0x31, 0xf6, NUMBER(1), GATE /* xor %esi, %esi; exit */
#define LOAD_ZERO 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0
#define ATTACK(name, end, ...)                                                                     \
    {                                                                                              \
        name, end, {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})                                 \
    }
#define FAULT(kind) {FAULTS, SF_FAULT_##kind, 0}
#define EXIT(code) {EXITS, code, 0}
#define EXIT_OR(code, kind) {EXITS, code, SF_FAULT_##kind}

static const struct code_attack attacks[] = {
    ATTACK("an unknown kernel call", FAULT(BAD_CALL), NUMBER(200), GATE),
    ATTACK("kernel call -1", FAULT(BAD_CALL), 0xb8, 0xff, 0xff, 0xff, 0xff, GATE),
    /* movabs $0x100000002, %rax */
    ATTACK("a kernel call whose number is cut off", FAULT(BAD_CALL),
           0x48, 0xb8, 2, 0, 0, 0, 1, 0, 0, 0, GATE),
    /* movabs $0x8000000000000001, %rax */
    ATTACK("a negative kernel call", FAULT(BAD_CALL),
           0x48, 0xb8, 1, 0, 0, 0, 0, 0, 0, 0x80, GATE),
    /* mov $99, %esi */
    ATTACK("a fault of a kind that is none", FAULT(BAD_CALL), 0xbe, 99, 0, 0, 0, NUMBER(0), GATE),
    ATTACK("the gate without saving registers", FAULT(OUT_OF_BOUNDS), NUMBER(2), GATE_AT(10)),
    /* xor %esp, %esp */
    ATTACK("a kernel call without a stack", FAULT(OUT_OF_BOUNDS), 0x31, 0xe4, NUMBER(2), GATE),
    /* sub $3, %rsp */
    ATTACK("a kernel call on an odd stack", EXIT(0), 0x48, 0x83, 0xec, 0x03, NUMBER(2), CALL, EXIT_0),
    /* lea 0x20000(%rdi), %rsp: in the linear memory */
    ATTACK("the stack in the linear memory", EXIT_OR(0, STACK_OVERFLOW),
           0x48, 0x8d, 0xa7, 0, 0, 0x02, 0, NUMBER(2), CALL, EXIT_0),
    /* lea -0x100000(%rdi), %rsp: below the guard */
    ATTACK("the stack below its guard", FAULT(STACK_OVERFLOW), 0x48, 0x8d, 0xa7, 0, 0, 0xf0, 0xff, NUMBER(2), GATE),
    /* movabs $gate + 2048, %rsp */
    ATTACK("the stack in the gate", FAULT(OUT_OF_BOUNDS),
           0x48, 0xbc, 0, 8, 0, 0, 0, 0x0e, 0, 0, NUMBER(2), GATE),
    /* lea 0(%rip), %rsp */
    ATTACK("the stack in its code", FAULT(OUT_OF_BOUNDS), 0x48, 0x8d, 0x25, 0, 0, 0, 0, NUMBER(2), GATE),
    /* mov $0x12345678, %rbp; the same in %rbx and %r12: the kernel keeps them, and no more */
    ATTACK("smashed registers in a kernel call", EXIT(0),
           0x48, 0xc7, 0xc5, 0x78, 0x56, 0x34, 0x12, 0x48, 0xc7, 0xc3, 0x78, 0x56, 0x34, 0x12,
           0x49, 0xc7, 0xc4, 0x78, 0x56, 0x34, 0x12, NUMBER(2), CALL, EXIT_0),
    /* mov %rbp, 0(%rdi)... over head.memory_bytes and memory_size: movq $-1, -48(%rdi), -40(%rdi);
     * then entropy to 24 MiB, whose answer is left alone */
    ATTACK("a header that says it has all memory", EXIT(0),
           0x48, 0xc7, 0x47, 0xd0, 0xff, 0xff, 0xff, 0xff, 0x48, 0xc7, 0x47, 0xd8, 0xff, 0xff, 0xff, 0xff,
           0xbe, 0, 0, 0x80, 0x01, 0xba, 16, 0, 0, 0, NUMBER(5), CALL, EXIT_0),
    /* movq $-1, -64(%rdi); movq $-1, -56(%rdi): rsp and result, then a load from 0 */
    ATTACK("a header with a wild stack pointer", FAULT(OUT_OF_BOUNDS),
           0x48, 0xc7, 0x47, 0xc0, 0xff, 0xff, 0xff, 0xff, 0x48, 0xc7, 0x47, 0xc8, 0xff, 0xff, 0xff, 0xff,
           LOAD_ZERO),
    /* xor %eax, %eax; jmp *%rax */
    ATTACK("a jump to nowhere", FAULT(OUT_OF_BOUNDS), 0x31, 0xc0, 0xff, 0xe0),
    /* movabs $0x8000000000000000, %rax; jmp *%rax */
    ATTACK("a jump to no address", FAULT(OUT_OF_BOUNDS),
           0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0xe0),
    /* lea 0x20000(%rdi), %rax; movb $0x90, (%rax); jmp *%rax */
    ATTACK("code in the linear memory", FAULT(OUT_OF_BOUNDS),
           0x48, 0x8d, 0x87, 0, 0, 0x02, 0, 0xc6, 0, 0x90, 0xff, 0xe0),
    /* push %rax; jmp *%rsp */
    ATTACK("code on the stack", FAULT(OUT_OF_BOUNDS), 0x50, 0xff, 0xe4),
    /* movb $0x90, 0(%rip) */
    ATTACK("a store into its own code", FAULT(OUT_OF_BOUNDS), 0xc6, 0x05, 0, 0, 0, 0, 0x90),
    /* movabs $gate, %rax; movb $0xcc, (%rax) */
    ATTACK("a store into the gate", FAULT(OUT_OF_BOUNDS),
           0x48, 0xb8, 0, 0, 0, 0, 0, 0x0e, 0, 0, 0xc6, 0, 0xcc),
    /* 1: call 1b */
    ATTACK("calls without end", FAULT(STACK_OVERFLOW), 0xe8, 0xfb, 0xff, 0xff, 0xff),
    /* jmp . */
    ATTACK("the shortest loop", FAULT(ENDLESS_LOOP), 0xeb, 0xfe),
    /* 1: lea 1(%rbp), %rbp; mov $4, %eax; call the gate; jmp 1b */
    ATTACK("kernel calls without end on a smashed frame", FAULT(QUOTA),
           0x48, 0x8d, 0x6d, 0x01, NUMBER(4), CALL, 0xeb, 0xe1),
};
/* clang-format on */

/* Where the start function lies, and how long it is. */
static uint8_t *start_of(struct parts *parts, const struct bytes *image, uint64_t *out_bytes)
{
    const Sf__Image__Manifest *manifest = parts->manifest;
    struct image *opened = NULL;
    uint64_t start = 0;
    uint8_t *at = NULL;

    for (size_t i = 0; i < manifest->n_symbols; i++) {
        if (strcmp(manifest->symbols[i]->name, "sf_start") == 0) {
            start = manifest->base_address + manifest->symbols[i]->offset;
            *out_bytes = manifest->symbols[i]->bytes;
        }
    }
    assert_true(start != 0);
    assert_int_equal(image_open(image->data, image->length, &opened, NULL, 0), SF_OK);
    for (uint32_t i = 0; i < opened->segment_count; i++) {
        const struct image_segment *segment = &opened->segments[i];

        if (start >= segment->address && start - segment->address < segment->file_bytes) {
            const uint8_t *elf = image->data + (image->length - parts->elf_bytes);

            at = parts->elf + (segment->bytes - elf) + (size_t)(start - segment->address);
        }
    }
    image_close(opened);
    assert_non_null(at);
    return at;
}

static void attack_run(void **state)
{
    const struct code_attack *attack = *state;
    const struct hostile_attack run = {.category = "code", .mode = "leave_at_once", attack->end};
    const bool limits = attack->end.how == FAULTS && (attack->end.code == SF_FAULT_ENDLESS_LOOP ||
                                                      attack->end.code == SF_FAULT_QUOTA);
    const struct bytes *from = &hostile_images[limits ? HOSTILE_LIMITS : HOSTILE_STRICT];
    struct parts parts = parts_open(from);
    uint64_t bytes = 0;
    uint8_t *start = start_of(&parts, from, &bytes);
    struct bytes image;

    assert_true(bytes >= attack->code_bytes);
    memset(start, 0x90, bytes);
    memcpy(start, attack->code, attack->code_bytes);
    image = parts_seal(&parts);
    hostile_run(&run, &image);
    free(image.data);
}

uint32_t hostile_add_code(struct CMUnitTest *tests)
{
    const uint32_t count = sizeof(attacks) / sizeof(attacks[0]);

    for (uint32_t i = 0; i < count; i++) {
        char name[128];

        (void)snprintf(name, sizeof(name), "code: %s", attacks[i].name);
        tests[i] = (struct CMUnitTest){.name = strdup(name),
                                       .test_func = attack_run,
                                       .initial_state = (void *)(uintptr_t)&attacks[i]};
    }
    return count;
}
