/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_example.h - examples of whole sealed sessions, made by reference.py, in hexadecimal.
 */
#ifndef FABRIC_TEST_EXAMPLE_H
#define FABRIC_TEST_EXAMPLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <string.h>

struct example_frame {
    uint8_t cipher; /* enum fab__cipher */
    uint64_t number;
    const char *header, *plain, *sealed;
};

/* [0] the initiator's, [1] the responder's. */
struct example {
    const char *secrets[2], *ephemerals[2], *headers[2], *messages[2], *keys[2];
    struct example_frame frames[12]; /* from the initiator; six of each cipher */
};

/* Answers how many bytes; out holds up to 512. */
static inline uint32_t unhex(const char *text, uint8_t out[512])
{
    size_t bytes = 0;

    assert_int_equal(sodium_hex2bin(out, 512, text, strlen(text), NULL, &bytes, NULL), 0);
    return (uint32_t)bytes;
}

static inline void unhex_key(const char *text, uint8_t out[32])
{
    uint8_t bytes[512];

    assert_int_equal(unhex(text, bytes), 32);
    memcpy(out, bytes, 32);
}

#endif
