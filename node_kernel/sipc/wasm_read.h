/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasm_read.h - bounded, strict reading of a WebAssembly module's bytes. Private to sipc.
 *
 * Model: a cursor [at, end). The first failure sticks in `failed` and makes all later reads answer
 * 0, so that a caller may read several fields and look once. LEB128 must be as long as its value's
 * type allows and no longer, with the unused bits right.
 */
#ifndef SIPC_WASM_READ_H
#define SIPC_WASM_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wasm_cursor {
    const uint8_t *start; /* of the module: offsets in messages count from here */
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline size_t wasm_left(const struct wasm_cursor *c)
{
    return (size_t)(c->end - c->at);
}

static inline void wasm_fail(struct wasm_cursor *c)
{
    c->failed = true;
    c->at = c->end;
}

static inline uint8_t wasm_u8(struct wasm_cursor *c)
{
    if (c->at == c->end) {
        wasm_fail(c);
        return 0;
    }
    return *c->at++;
}

static inline uint32_t wasm_u32(struct wasm_cursor *c)
{
    uint32_t value = 0;

    for (unsigned shift = 0; shift < 35; shift += 7) {
        const uint8_t byte = wasm_u8(c);
        if (shift == 28 && (byte & 0xf0) != 0) {
            break;
        }
        value |= (uint32_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return c->failed ? 0 : value;
        }
    }
    wasm_fail(c);
    return 0;
}

/* A signed LEB128 of `bits` (32 or 64) bits; its value does not matter here. */
static inline void wasm_skip_signed(struct wasm_cursor *c, unsigned bits)
{
    for (unsigned shift = 0; shift < bits; shift += 7) {
        const uint8_t byte = wasm_u8(c);
        if (bits - shift < 7) { /* the last byte: all unused bits equal the sign */
            const uint8_t mask = (uint8_t)(0x7fu & (0xffu << (bits - shift - 1)));
            if ((byte & 0x80) != 0 || ((byte & mask) != 0 && (byte & mask) != mask)) {
                break;
            }
            return;
        }
        if ((byte & 0x80) == 0) {
            return;
        }
    }
    wasm_fail(c);
}

static inline const uint8_t *wasm_skip(struct wasm_cursor *c, size_t bytes)
{
    const uint8_t *at = c->at;

    if (bytes > wasm_left(c)) {
        wasm_fail(c);
        return NULL;
    }
    c->at += bytes;
    return at;
}

/* The next `bytes` as a cursor of their own. */
static inline struct wasm_cursor wasm_sub(struct wasm_cursor *c, size_t bytes)
{
    struct wasm_cursor sub = {.start = c->start, .at = c->at, .end = c->at};

    if (wasm_skip(c, bytes) == NULL) {
        sub.failed = true;
    } else {
        sub.end = c->at;
    }
    return sub;
}

#endif
