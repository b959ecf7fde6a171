/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_mem.h - how native code of a SIP reaches its linear memory. sipc puts the include of this
 * file into wasm2c's output, after wasm2c's own definitions and before the module's functions.
 *
 * Model: the instance lies at a constant distance from the linear memory, so an address is one
 * displacement away from the instance pointer, which every function has.
 * Small slots: an access is a computed base and a constant offset; the base is masked to 64 MiB,
 * and the offset, if it is smaller than the guard behind the memory, is left to the instruction:
 * whatever a module computes, it stays in its own slot. (One mask serves all fields of a record. A
 * larger offset is masked with the base.)
 * Large slots: nothing is masked. An address is 32 bit and unsigned, and the constant offset that
 * wasm2c adds to it in 64 bit is below 2 GiB (rule memarg-offset), so that the sum stays below 6
 * GiB and in the slot; all that is not memory or a block traps. What is accessible there is the
 * kernel's business: ordinary memory below the window, blocks in it, the rest traps.
 *
 * Bulk operations take window addresses, too; they do not wrap: a range that leaves the linear
 * addresses (64 MiB, 4 GiB) is an out-of-bounds fault.
 *
 * A load whose value is not used may be dropped by the compiler, and then does not trap.
 */
#include "abi/nk_abi.h"

#if SF_LARGE
#define SF_LINEAR(address) ((u64)(address))
#define SF_LINEAR_BYTES NK_LARGE_MEMORY_BYTES
#else
/*
 * wasm2c writes an address as `(u64)(base)` or `(u64)(base) + offset`, base being a variable. To
 * take it apart, the name u64 is made a function for as long as that text is compiled: what was a
 * cast is a call, of sf_none (which leaves the offset: a constant), sf_masked or sf_whole. sipc
 * refuses C in which an address is written in another way.
 */
static inline __attribute__((always_inline)) u64 sf_masked(u32 address)
{
    return address & NK_MEMORY_MASK;
}
static inline __attribute__((always_inline)) u64 sf_whole(u32 address)
{
    return address;
}
static inline __attribute__((always_inline)) u64 sf_none(u32 address)
{
    (void)address;
    return 0;
}
#define SF_WITH(function, address)                                                                 \
    ({                                                                                             \
        typedef u64 result;                                                                        \
        result (*const u64)(u32) = function; /* what was a cast is a call of it */                 \
        (address);                                                                                 \
    })
#define SF_OFFSET_MAX (NK_SLOT_STRIDE - NK_MEMORY - NK_MEMORY_BYTES - 65536u)
#define SF_LINEAR(address)                                                                         \
    (SF_WITH(sf_none, address) < SF_OFFSET_MAX ? SF_WITH(sf_masked, address)                       \
                                               : (SF_WITH(sf_whole, address) & NK_MEMORY_MASK))
#define SF_LINEAR_BYTES NK_MEMORY_BYTES
#endif
#define SF_AT(address)                                                                             \
    ((u8 *)((uintptr_t)instance + (NK_MEMORY - NK_INSTANCE) + SF_LINEAR(address)))
#define SF_MEMORY ((u8 *)((uintptr_t)instance + (NK_MEMORY - NK_INSTANCE)))

#define SF_DEFINE_LOAD(name, t1, t2, t3)                                                           \
    static inline t3 sf_##name(const u8 *at)                                                       \
    {                                                                                              \
        t1 value;                                                                                  \
        __builtin_memcpy(&value, at, sizeof(value));                                               \
        return (t3)(t2)value;                                                                      \
    }
#define SF_DEFINE_STORE(name, t1, t2)                                                              \
    static inline void sf_##name(u8 *at, t2 value)                                                 \
    {                                                                                              \
        t1 wrapped = (t1)value;                                                                    \
        __builtin_memcpy(at, &wrapped, sizeof(wrapped));                                           \
    }

SF_DEFINE_LOAD(i32_load, u32, u32, u32)
SF_DEFINE_LOAD(i64_load, u64, u64, u64)
SF_DEFINE_LOAD(f32_load, f32, f32, f32)
SF_DEFINE_LOAD(f64_load, f64, f64, f64)
SF_DEFINE_LOAD(i32_load8_s, s8, s32, u32)
SF_DEFINE_LOAD(i64_load8_s, s8, s64, u64)
SF_DEFINE_LOAD(i32_load8_u, u8, u32, u32)
SF_DEFINE_LOAD(i64_load8_u, u8, u64, u64)
SF_DEFINE_LOAD(i32_load16_s, s16, s32, u32)
SF_DEFINE_LOAD(i64_load16_s, s16, s64, u64)
SF_DEFINE_LOAD(i32_load16_u, u16, u32, u32)
SF_DEFINE_LOAD(i64_load16_u, u16, u64, u64)
SF_DEFINE_LOAD(i64_load32_s, s32, s64, u64)
SF_DEFINE_LOAD(i64_load32_u, u32, u64, u64)
SF_DEFINE_STORE(i32_store, u32, u32)
SF_DEFINE_STORE(i64_store, u64, u64)
SF_DEFINE_STORE(f32_store, f32, f32)
SF_DEFINE_STORE(f64_store, f64, f64)
SF_DEFINE_STORE(i32_store8, u8, u32)
SF_DEFINE_STORE(i32_store16, u16, u32)
SF_DEFINE_STORE(i64_store8, u8, u64)
SF_DEFINE_STORE(i64_store16, u16, u64)
SF_DEFINE_STORE(i64_store32, u32, u64)

#define i32_load(m, a) sf_i32_load(SF_AT(a))
#define i64_load(m, a) sf_i64_load(SF_AT(a))
#define f32_load(m, a) sf_f32_load(SF_AT(a))
#define f64_load(m, a) sf_f64_load(SF_AT(a))
#define i32_load8_s(m, a) sf_i32_load8_s(SF_AT(a))
#define i64_load8_s(m, a) sf_i64_load8_s(SF_AT(a))
#define i32_load8_u(m, a) sf_i32_load8_u(SF_AT(a))
#define i64_load8_u(m, a) sf_i64_load8_u(SF_AT(a))
#define i32_load16_s(m, a) sf_i32_load16_s(SF_AT(a))
#define i64_load16_s(m, a) sf_i64_load16_s(SF_AT(a))
#define i32_load16_u(m, a) sf_i32_load16_u(SF_AT(a))
#define i64_load16_u(m, a) sf_i64_load16_u(SF_AT(a))
#define i64_load32_s(m, a) sf_i64_load32_s(SF_AT(a))
#define i64_load32_u(m, a) sf_i64_load32_u(SF_AT(a))
#define i32_store(m, a, v) sf_i32_store(SF_AT(a), v)
#define i64_store(m, a, v) sf_i64_store(SF_AT(a), v)
#define f32_store(m, a, v) sf_f32_store(SF_AT(a), v)
#define f64_store(m, a, v) sf_f64_store(SF_AT(a), v)
#define i32_store8(m, a, v) sf_i32_store8(SF_AT(a), v)
#define i32_store16(m, a, v) sf_i32_store16(SF_AT(a), v)
#define i64_store8(m, a, v) sf_i64_store8(SF_AT(a), v)
#define i64_store16(m, a, v) sf_i64_store16(SF_AT(a), v)
#define i64_store32(m, a, v) sf_i64_store32(SF_AT(a), v)

/* a + n leaves the linear addresses: both are u32, so the sum fits 64 bits. */
#define SF_RANGE(a, n)                                                                             \
    do {                                                                                           \
        if (UNLIKELY((u64)(a) + (n) > SF_LINEAR_BYTES)) {                                          \
            TRAP(OOB);                                                                             \
        }                                                                                          \
    } while (0)

static inline void sf_memory_fill(u8 *memory, u32 to, u32 value, u32 bytes)
{
    SF_RANGE(to, bytes);
    memset(memory + to, (int)value, bytes);
}

static inline void sf_memory_copy(u8 *memory, u32 to, u32 from, u32 bytes)
{
    SF_RANGE(to, bytes);
    SF_RANGE(from, bytes);
    memmove(memory + to, memory + from, bytes);
}

static inline void sf_memory_init(u8 *memory, const u8 *segment, u32 segment_bytes, u32 to,
                                  u32 from, u32 bytes)
{
    if (UNLIKELY((u64)from + bytes > segment_bytes)) {
        TRAP(OOB);
    }
    SF_RANGE(to, bytes);
    memcpy(memory + to, segment + from, bytes);
}

#define memory_fill(m, d, v, n) sf_memory_fill(SF_MEMORY, d, v, n)
#define memory_copy(md, ms, d, s, n) sf_memory_copy(SF_MEMORY, d, s, n)
#define memory_init(m, src, src_bytes, d, s, n) sf_memory_init(SF_MEMORY, src, src_bytes, d, s, n)

/*
 * Each trap keeps a place of its own, so that a fault report has its line: without the operand, gcc
 * makes one of all those of a function.
 */
#undef TRAP
#define TRAP(x) (({ __asm__ volatile("" : : "i"(__LINE__)); }), wasm_rt_trap(WASM_RT_TRAP_##x), 0)

/*
 * Function types: wasm2c numbers them at run time in writable memory of the image. sipc knows them
 * (sf_types: for each type the first one equal to it), so that an image has no writable byte.
 */
#include "sip_types.h"

/*
 * The table lies behind the instance and never grows: its place and size are constants. An element
 * without a function has a type that no call asks for. What a call passes as the callee's instance
 * is our own: there is only one, and imported functions do not look at theirs.
 */
#define SF_TABLE_OFFSET ((sizeof(Z_sip_instance_t) + 15u) & ~(size_t)15u)
#define SF_NO_TYPE UINT32_MAX
#define SF_ELEMENT(x) (((const wasm_rt_funcref_t *)((uintptr_t)instance + SF_TABLE_OFFSET))[x])

#undef CALL_INDIRECT
#define CALL_INDIRECT(table, t, ft, x, callee, ...)                                                \
    (LIKELY((x) < SF_TABLE_MAX && SF_ELEMENT(x).func_type == sf_types[ft]) || TRAP(CALL_INDIRECT), \
     ((t)SF_ELEMENT(x).func)(instance, ##__VA_ARGS__))

#define funcref_table_init(dest, src, src_count, d, s, n, inst, types)                             \
    funcref_table_init(dest, src, src_count, d, s, n, inst, sf_types)

#define wasm_rt_register_func_type(...) 0u
