/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip.h - what a SIP written in C includes. Everything a SIP can do goes through here.
 *
 * A SIP is plain, straight-line C compiled to wasm32 (mode native: straight to machine code, the
 * same source) with no operating system below it: define `int sip_main(void)`. Blocking calls block
 * this SIP only. Results below 0 are -(sf_status). Typed calls for a contract come from the header
 * that contractc writes for it
 * (#include "TcpContract.h"); this file is what they are made of. What a server needs besides lies
 * in sip_*.h beside this file; what a SIP does not use is not in its image.
 */
#ifndef SIP_H
#define SIP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/nk_abi.h"
#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SIP_FOREVER ((int64_t)-1)
#define SIP_MS(n) ((int64_t)(n)*1000000)

/* The entry point that every SIP defines; what it returns is its exit code. */
int sip_main(void);

/*
 * Kernel calls: nk_exit, nk_yield, nk_log... docs/kernel-calls.md lists them all with what they
 * answer. Declared from the one table that also makes the kernel's and the verifier's.
 */
#ifdef __wasm__
#define SIP__IMPORT(name) __attribute__((import_module("nk"), import_name(name)))
#else
#define SIP__IMPORT(name) /* mode native; or a test on the host plays the kernel */
#endif
#define NK_CALL(number, name, signature, doc)
#define NK_API(number, name, signature, result, arguments, blocks, answers, doc)                   \
    SIP__IMPORT(#name) result nk_##name arguments;
#include "abi/nk_calls.def"
#undef NK_API
#undef NK_CALL

/* --- addresses and blocks in messages ----------------------------------------------------------
 *
 * The kernel knows this SIP's memory by 32-bit addresses. In WebAssembly that is what pointers are;
 * in mode native they are not, so a SIP that writes struct nk_msg itself goes through these.
 */
#ifdef __wasm__
static inline uint32_t sip_address(const void *pointer)
{
    return (uint32_t)(uintptr_t)pointer;
}
static inline void *sip_pointer(uint32_t address)
{
    return (void *)(uintptr_t)address;
}
#else
extern char sip__memory[]; /* address 0 */
/* NULL is 0; what is not the SIP's becomes an address that the kernel refuses. */
static inline uint32_t sip_address(const void *pointer)
{
    const int64_t distance = (int64_t)((uintptr_t)pointer - (uintptr_t)sip__memory);

    if (distance != (int32_t)distance) {
        return pointer == NULL ? 0 : 0x80000000u;
    }
    return (uint32_t)distance;
}
static inline void *sip_pointer(uint32_t address)
{
    return address == 0 ? NULL : (void *)((uintptr_t)sip__memory + (uintptr_t)(int32_t)address);
}
#endif

/* A block as an argument of a message, and back. */
static inline uint64_t sip_block_arg(const void *block, uint32_t bytes)
{
    return (uint64_t)bytes << 32 | sip_address(block);
}
static inline void *sip_arg_block(uint64_t arg)
{
    return sip_pointer((uint32_t)arg);
}
static inline uint32_t sip_arg_bytes(uint64_t arg)
{
    return (uint32_t)(arg >> 32);
}

/* --- libsip: small, freestanding -------------------------------------------------------------- */

void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t bytes);

/*
 * Formats into buffer (always terminated when capacity > 0); answers the full length, or -SF_LIMIT
 * if that is more than an int holds. As C's printf does it:
 *
 * - conversions: %d %i %u %o %x %X %c %s %p %%, and %f in a SIP that says so (sip_double.h)
 * - lengths: hh h l ll j z t
 * - flags: - 0 + space #
 * - width and precision, also as *; at most 100,000,000
 *
 * %s of NULL is "(null)"; %p is 0x and digits. Anything else is shown as it stands and takes no
 * argument. There is no %n, no wide text, no place of arguments ("1$").
 */
int sip_format(char *buffer, size_t capacity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int sip_vformat(char *buffer, size_t capacity, const char *format, va_list list);
/* Formats one line into the operator's log (cut at NK_LOG_BYTES_MAX). */
void sip_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Start-up endpoint of an import; negative if the manifest or the graph has none of that name. */
int32_t sip_endpoint(const char *name);
/*
 * The same, but waits until there is one: when the exporter of an import has ended and is made
 * again by its restart policy, the import is wired again and can be taken once more. -SF_TIMEOUT:
 * there was none in time. A name that the manifest does not have is waited for as well.
 */
int32_t sip_endpoint_wait(const char *name, int64_t timeout_ns);
int32_t sip_accept(const char *export_name, int64_t timeout_ns);
/*
 * A handle that says when a channel can be accepted, for nk_select and sip_loop.h only; not to be
 * closed. -SF_NOTFOUND: the manifest has no export of that name.
 */
int32_t sip_listen(const char *export_name);
/* Value from the graph, or fallback. buffer is terminated. Answers buffer. */
const char *sip_config(const char *key, char *buffer, size_t capacity, const char *fallback);
uint32_t sip_config_u32(const char *key, uint32_t fallback);
enum sip_identity { SIP_NAME = 0, SIP_NODE = 1 };
/* Name of this SIP or of its node, cut to capacity; terminated. Answers buffer. */
const char *sip_identity(enum sip_identity which, char *buffer, size_t capacity);
/* What a negative result, or what nk_cause answered, means. Static; never NULL. */
const char *sip_status_text(int32_t result);
const char *sip_cause_text(int32_t cause);
void sip_sleep_ns(int64_t ns);

/*
 * For <Name>_typed.h. A value of such a type carries a number, which is good for one operation:
 * sip_use_is says whether it still is, sip_use_next ends all values of the handle that there are
 * and answers the number of the new one. Costs 16 KiB of the SIP's memory if it is used.
 */
bool sip_use_is(uint32_t handle, uint32_t use);
uint32_t sip_use_next(uint32_t handle);

/*
 * Memory of this SIP, 16-byte aligned, from the end of its data up to the manifest's limit. NULL:
 * none left, or bytes is 0. sip_free takes NULL; a pointer that is not allocated faults.
 */
void *sip_alloc(size_t bytes);
void sip_free(void *memory);

#ifdef __cplusplus
}
#endif

#include "sip_log.h"
#include "sip_memory.h"
#include "sip_text.h"

#endif
