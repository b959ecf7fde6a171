/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nk_abi.h - what node kernel, gate, sealed images and SIPs agree on. Self-contained; versioned.
 *
 * The address map is the same on every node of a cell (docs/architecture.md, "Address map").
 */
#ifndef ABI_NK_ABI_H
#define ABI_NK_ABI_H

#include <stdint.h>

#define NK_ABI_VERSION 2u

/* --- address map ----------------------------------------------------------------------------- */
/* Images: place p lies at NK_IMAGE_BASE + p * NK_IMAGE_STRIDE. sipc takes p from the hash of
 * module and manifest, so that an image has one address on all nodes without a relocation. */
#ifdef NK_SANITIZED_MAP
/* Only for kernels built with AddressSanitizer, whose shadow is where these things are otherwise
 * (kernel/fuzz/). Images for one map do not open with the other. */
#define NK_IMAGE_BASE 0x110000000000ull
#else
#define NK_IMAGE_BASE 0x010000000000ull
#endif
#define NK_IMAGE_STRIDE (16ull << 20)
#define NK_IMAGE_PLACES (512u << 10) /* 8 TiB */
/* The gate: one page, the only way out of a SIP. */
#ifdef NK_SANITIZED_MAP
#define NK_GATE_ADDRESS 0x1e0000000000ull
#else
#define NK_GATE_ADDRESS 0x0e0000000000ull
#endif
/* Slots, one per SIP, of two classes. Slot i of a class lies at its base + i * its stride. */
#define NK_SLOT_BASE 0x300000000000ull
#define NK_SLOT_COUNT_MAX (512u << 10) /* small ones per cell: 64 TiB */
#ifdef NK_SANITIZED_MAP
/* Over the small ones of the last nodes; at the end of memory the system places what it likes. */
#define NK_LARGE_BASE 0x680000000000ull
#else
#define NK_LARGE_BASE 0x100000000000ull
#endif
#define NK_LARGE_COUNT_MAX 2048u /* large ones per cell: 16 TiB */

/* --- a slot ------------------------------------------------------------------------------------
 */
/*
 *  0            guard (never mapped)
 *  NK_STACK_LOW guard below, stack grows down from NK_STACK_TOP
 *  NK_HEAD      struct nk_head, right behind it the instance and the function table
 *  NK_VECTORS   vector registers of a SIP that was pre-empted
 *  NK_MEMORY    linear memory; pages that the module does not have are not accessible, except in
 *               the block window, whose pages come and go with blocks
 *
 * Stack, header and the first 896 KiB of memory lie in one region of 2 MiB, so that the page tables
 * of a small SIP are one page; the top of the stack, the header and the instance lie in one page.
 *
 *                     small (the default)            large
 *  linear addresses   masked to 64 MiB: what lies    not masked: [0, 4 GiB), plus a constant offset
 *                     beyond wraps                   below 2 GiB; what lies beyond traps
 *  memory             up to 32 MiB                   up to 2 GiB
 *  accessible         all it may grow to             what memory.size says
 *  block window       [32 MiB, 64 MiB)               [2 GiB, 3 GiB)
 *  behind             guard up to the next slot      guard up to the next slot
 *
 * What an access's constant offset adds to its masked address ends in the guard (sip_mem.h).
 */
enum nk_slot_class { NK_SMALL = 0, NK_LARGE = 1 };
#define NK_SLOT_CLASS_COUNT 2u

#define NK_STACK_LOW (64ull << 10)
#define NK_STACK_TOP ((1024ull << 10) + 2560u)
#define NK_HEAD NK_STACK_TOP
#define NK_INSTANCE (NK_HEAD + 64u) /* struct of wasm2c; constant distance to the memory */
#define NK_MEMORY (1152ull << 10)
#define NK_VECTOR_BYTES (16u << 10)
#define NK_VECTORS (NK_MEMORY - NK_VECTOR_BYTES)
#define NK_INSTANCE_BYTES_MAX (NK_VECTORS - NK_INSTANCE) /* with the function table */

#define NK_SLOT_STRIDE (128ull << 20)
#define NK_MEMORY_BYTES (64ull << 20)
#define NK_MEMORY_MASK 0x3ffffffu
#define NK_WINDOW_OFFSET (32u << 20) /* blocks live in the upper half of the linear memory */
/* A module may therefore have at most this many 64 KiB pages of ordinary memory. */
#define NK_MODULE_PAGES_MAX (NK_WINDOW_OFFSET / 65536u)

/* The highest byte a large SIP can name is NK_MEMORY + 6 GiB + 7: in the guard. */
#define NK_LARGE_STRIDE (8ull << 30)
#define NK_LARGE_MEMORY_BYTES (4ull << 30)
#define NK_LARGE_WINDOW_OFFSET (2u << 30)
#define NK_LARGE_WINDOW_BYTES (1u << 30)
#define NK_LARGE_PAGES_MAX (NK_LARGE_WINDOW_OFFSET / 65536u)

/*
 * A slot of a native SIP (docs/sips.md, "Native mode"): the same C without checks. It keeps stack,
 * header, memory and window where they are in the small class. The image's place appears a second
 * time in the guard behind the memory, executable, at NK_NATIVE_CODE; its data (constants, too)
 * lies in the linear memory from NK_NATIVE_DATA on. So code reaches data at a distance that is the
 * same in all slots.
 *
 * Addresses that such a SIP gives to kernel calls are distances from the linear memory, too; its
 * stack, which lies below, therefore has addresses close to 2^32.
 */
#define NK_NATIVE_CODE (96ull << 20)
#define NK_NATIVE_DATA (NK_MEMORY + (64ull << 10))
/* Where the data segment of a native image is linked, if the image's place is at `base`. */
#define NK_NATIVE_DATA_LINKED(base) ((base)-NK_NATIVE_CODE + NK_NATIVE_DATA)

/*
 * The header: shared between kernel, gate and the image's run-time stub; out of reach for the SIP's
 * own loads and stores. Holds no kernel pointer, so that it can be shipped to another node as it
 * is.
 */
struct nk_head {
    uint64_t rsp;          /* SIP's stack pointer while the kernel runs */
    uint64_t result;       /* what the pending kernel call answers */
    uint64_t memory_bytes; /* bytes of linear memory the module may grow to; set at start */
    uint64_t memory_size;  /* bytes it has; set by the image's stub */
    uint64_t reserved[4];
};
_Static_assert(sizeof(struct nk_head) == NK_INSTANCE - NK_HEAD, "nk_head is an ABI");

/*
 * Calling the kernel: the image's stub for call n does `mov $n, %eax; movabs $NK_GATE_ADDRESS,
 * %r11; jmp *%r11`. Arguments are as wasm2c compiles an imported function: %rdi = what was given
 * as the import module's instance at instantiation, which is the address of struct nk_head;
 * then the call's arguments in %rsi, %rdx, %rcx, %r8, %r9. The result is in %rax. Callee-saved
 * registers are kept. The gate saves them on the SIP's stack, stores %rsp in nk_head.rsp, and
 * switches to the worker's stack; kernel code never runs on a SIP's stack.
 */

/* --- messages, as a SIP sees them (wasm32 layout) --------------------------------------------- */
#define NK_ARGS_MAX 8u
struct nk_msg {
    uint32_t tag;
    uint32_t arg_count;
    /*
     * Scalars: sign- or zero-extended. Blocks: low 32 bits = window address, high 32 bits =
     * length (on send it may be less than the block's: the block is trimmed); 0 = absent.
     * Endpoints: handle; 0 = absent.
     */
    uint64_t args[NK_ARGS_MAX];
};
_Static_assert(sizeof(struct nk_msg) == 72, "nk_msg is an ABI");
#define NK_TAG_NONE UINT32_MAX /* see recv_any */

#define NK_HANDLES_MAX                                                                             \
    4096u /* per SIP; handles are 1..NK_HANDLES_MAX-1, slots are reused with a                     \
           * generation in the upper bits so that a stale handle is refused */
/* What `listen` answers for export n: a handle of index 0, which no endpoint has, and far from what
 * a mistake would be. For `select` only. */
#define NK_LISTEN_HANDLE(n) (0x7e000000u + ((n) << 12))
#define NK_LOG_BYTES_MAX 1024u
#define NK_SELECT_MAX 64u

/* --- entry: what the image's descriptor says ---------------------------------------------------
 */
/*
 * An image's ELF entry point is the address of this descriptor (in a read-only segment). All
 * pointers point into the image.
 */
#define NK_DESC_MAGIC 0x3150495343425253ull
struct nk_desc {
    uint64_t magic;
    uint32_t abi_version;
    uint32_t instance_bytes; /* room needed at NK_INSTANCE, incl. the function table */
    uint32_t memory_pages;   /* initial 64 KiB pages of linear memory */
    /* Small: the kernel makes all of these accessible at start; memory.grow only moves the size. */
    uint32_t memory_pages_max;
    /* Called by the gate's start thunk on the SIP's stack with instance = slot + NK_INSTANCE:
     * instantiates the module and runs it; returns the exit code. */
    int32_t (*start)(void *instance);
};

/*
 * The descriptor of a native image. `start` is the address in the image's place. The kernel copies
 * the data segment into the slot and adds the distance between the place and the slot's copy of it
 * to each of the 64-bit words listed here.
 */
struct nk_native_desc {
    struct nk_desc desc; /* instance_bytes means nothing */
    uint32_t relocation_count;
    uint32_t relocations[]; /* bytes from the beginning of the data segment */
};

#endif
