/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_rt.c - the run-time stub that sipc compiles into every image. It includes the module's C
 * code (as wasm2c wrote it), so that an image is one translation unit without undefined symbols.
 *
 * What it adds: the descriptor and start function (nk_desc), one stub of three instructions for
 * each kernel call, traps, the linear memory and function table by slot arithmetic, and the memory
 * functions that gcc may call. Nothing here is writable: all state is in the slot.
 *
 * sipc defines: SF_PAGES, SF_PAGES_MAX (64 KiB pages), SF_TABLE_MAX (elements of the function
 * table), SF_HAS_IMPORTS, SF_LARGE (0 or 1: the slot class).
 */
#include <stddef.h>
#include <stdint.h>

#include "abi/nk_abi.h"
#include "base/status.h"

/*
 * Rounding and roots are single instructions, whatever gcc thinks of a function's temperature: in
 * code that runs once it prefers calls of a library, which images do not have.
 */
#include <math.h>
#define SF_UNARY(name, type, text)                                                                 \
    static inline type sf_##name(type x)                                                           \
    {                                                                                              \
        type result;                                                                               \
        __asm__(text : "=x"(result) : "x"(x));                                                     \
        return result;                                                                             \
    }
SF_UNARY(floor, double, "roundsd $9, %1, %0")
SF_UNARY(floorf, float, "roundss $9, %1, %0")
SF_UNARY(ceil, double, "roundsd $10, %1, %0")
SF_UNARY(ceilf, float, "roundss $10, %1, %0")
SF_UNARY(trunc, double, "roundsd $11, %1, %0")
SF_UNARY(truncf, float, "roundss $11, %1, %0")
SF_UNARY(nearbyint, double, "roundsd $8, %1, %0")
SF_UNARY(nearbyintf, float, "roundss $8, %1, %0")
SF_UNARY(sqrt, double, "sqrtsd %1, %0")
SF_UNARY(sqrtf, float, "sqrtss %1, %0")
#define floor(x) sf_floor(x)
#define floorf(x) sf_floorf(x)
#define ceil(x) sf_ceil(x)
#define ceilf(x) sf_ceilf(x)
#define trunc(x) sf_trunc(x)
#define truncf(x) sf_truncf(x)
#define nearbyint(x) sf_nearbyint(x)
#define nearbyintf(x) sf_nearbyintf(x)
#define sqrt(x) sf_sqrt(x)
#define sqrtf(x) sf_sqrtf(x)

/* No symbol is ever resolved through a table. */
#pragma GCC visibility push(hidden)

#include "module.c"

#define SF_STRIDE (SF_LARGE ? NK_LARGE_STRIDE : NK_SLOT_STRIDE)
#define SF_SLOT_OF(pointer) ((uintptr_t)(pointer) & ~(uintptr_t)(SF_STRIDE - 1))
_Static_assert((SF_STRIDE & (SF_STRIDE - 1)) == 0, "slots are found by masking");
_Static_assert(NK_SLOT_BASE % NK_SLOT_STRIDE == 0, "slots are found by masking");
_Static_assert(NK_LARGE_BASE % NK_LARGE_STRIDE == 0, "slots are found by masking");

#define SF_INSTANCE_BYTES (SF_TABLE_OFFSET + SF_TABLE_MAX * sizeof(wasm_rt_funcref_t))
_Static_assert(SF_INSTANCE_BYTES <= NK_INSTANCE_BYTES_MAX,
               "globals and function table do not fit the header of a slot");

/* --- the way out ---------------------------------------------------------------------------------
 */

#define SF_TEXT(x) SF_TEXT_(x)
#define SF_TEXT_(x) #x
/* An assembler does not know C's ull suffix; the address map's value is checked against this one.
 */
#ifdef NK_SANITIZED_MAP
#define SF_GATE 0x1e0000000000
#else
#define SF_GATE 0x0e0000000000
#endif
_Static_assert(SF_GATE == NK_GATE_ADDRESS, "gate address");

#define NK_CALL(number, name, signature, doc)                                                      \
    __asm__(".pushsection .text.stub_" #name ",\"ax\",@progbits\n"                                 \
            ".globl Z_nkZ_" #name "\n"                                                             \
            ".hidden Z_nkZ_" #name "\n"                                                            \
            ".type Z_nkZ_" #name ", @function\n"                                                   \
            "Z_nkZ_" #name ":\n"                                                                   \
            "    movl $" #number ", %eax\n"                                                        \
            "    movabsq $" SF_TEXT(SF_GATE) ", %r11\n"                                            \
                                             "    jmp *%r11\n"                                     \
                                             ".size Z_nkZ_" #name ", . - Z_nkZ_" #name "\n"        \
                                             ".popsection\n");
#include "abi/nk_calls.def"
#undef NK_CALL

/* Call 0. It needs no instance: the stack it runs on is in the slot. */
_Noreturn void sf_trap(uintptr_t head, uint32_t fault) __asm__("Z_nkZ_trap");

void wasm_rt_trap(wasm_rt_trap_t trap)
{
    uint32_t fault;

    switch (trap) {
    case WASM_RT_TRAP_OOB:
        fault = SF_FAULT_OUT_OF_BOUNDS;
        break;
    case WASM_RT_TRAP_INT_OVERFLOW:
        fault = SF_FAULT_INT_OVERFLOW;
        break;
    case WASM_RT_TRAP_DIV_BY_ZERO:
        fault = SF_FAULT_DIV_BY_ZERO;
        break;
    case WASM_RT_TRAP_INVALID_CONVERSION:
        fault = SF_FAULT_BAD_CONVERSION;
        break;
    case WASM_RT_TRAP_CALL_INDIRECT:
        fault = SF_FAULT_BAD_INDIRECT_CALL;
        break;
    case WASM_RT_TRAP_EXHAUSTION:
        fault = SF_FAULT_STACK_OVERFLOW;
        break;
    default:
        fault = SF_FAULT_UNREACHABLE;
        break;
    }
    sf_trap(SF_SLOT_OF(__builtin_frame_address(0)) + NK_HEAD, fault);
}

/* --- memory and table ----------------------------------------------------------------------------
 */

void wasm_rt_allocate_memory(wasm_rt_memory_t *memory, uint32_t pages, uint32_t pages_max)
{
    const uintptr_t slot = SF_SLOT_OF(memory);

    memory->data = (uint8_t *)(slot + NK_MEMORY);
    memory->pages = pages;
    memory->max_pages = pages_max < SF_PAGES_MAX ? pages_max : SF_PAGES_MAX;
    memory->size = pages * 65536u;
    ((struct nk_head *)(slot + NK_HEAD))->memory_size = memory->size;
}

/* Small: the kernel has made all pages up to the maximum accessible, growing only moves the size.
 * Large: it makes pages accessible when they are first touched and the size says that they exist.
 */
uint32_t wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint32_t delta)
{
    struct nk_head *head = (struct nk_head *)(SF_SLOT_OF(memory) + NK_HEAD);
    const uint32_t old = memory->pages;

    if (delta > memory->max_pages - old) {
        return UINT32_MAX;
    }
    if ((uint64_t)(old + delta) * 65536u > head->memory_bytes) {
        return UINT32_MAX;
    }
    memory->pages = old + delta;
    memory->size = memory->pages * 65536u;
    head->memory_size = memory->size;
    return old;
}

void wasm_rt_free_memory(wasm_rt_memory_t *memory)
{
    (void)memory;
}

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *table, uint32_t elements,
                                    uint32_t elements_max)
{
    (void)elements_max;
    table->data = (wasm_rt_funcref_t *)(SF_SLOT_OF(table) + NK_INSTANCE + SF_TABLE_OFFSET);
    table->size = elements;
    table->max_size = elements;
    for (uint32_t i = 0; i < SF_TABLE_MAX; i++) {
        table->data[i] = (wasm_rt_funcref_t){.func_type = SF_NO_TYPE};
    }
}

void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *table)
{
    (void)table;
}

#include "mem_functions.h"

/* --- start ---------------------------------------------------------------------------------------
 */

static int32_t sf_start(void *pointer)
{
    Z_sip_instance_t *instance = pointer;

#if SF_HAS_IMPORTS
    Z_sip_instantiate(instance, (struct Z_nk_instance_t *)(SF_SLOT_OF(pointer) + NK_HEAD));
#else
    Z_sip_instantiate(instance);
#endif
    return (int32_t)Z_sipZ_sip_main(instance);
}

__attribute__((used, section(".rodata.sip_desc"))) const struct nk_desc sip_desc = {
    .magic = NK_DESC_MAGIC,
    .abi_version = NK_ABI_VERSION,
    .instance_bytes = (uint32_t)SF_INSTANCE_BYTES,
    .memory_pages = SF_PAGES,
    .memory_pages_max = SF_PAGES_MAX,
    .start = sf_start,
};
