/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target for sealed sessions: what a hostile wire can hand to a handshake and to a
 * receiver. Built as rx_fuzz is; ./run fuzz handshake.
 *
 * The input is a list of steps, a byte that chooses and then
 *   0  to the responder: message 1 with its header, 72 bytes mixed over the true ones
 *   1  to the initiator: message 2 with its header, likewise
 *   2  to the receiver: a frame; 8 bytes of number, 1 of length, then that many bytes
 *   3  to the receiver: a true frame, of a number 0..65535 further on, with 1 byte mixed into it
 *   4  the sender and the receiver go on by almost a phase
 * Nothing but the true bytes may be taken, and after anything else the true bytes still are.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "handshake.h"
#include "seal.h"

#define HEADER_BYTES 24u
#define HELLO_BYTES (HEADER_BYTES + FAB__HANDSHAKE_BYTES)
#define TEXT_BYTES 40u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

struct world {
    struct fab__pair pairs[2];
    struct fab__handshake handshakes[2];
    uint8_t hellos[2][HELLO_BYTES]; /* header, message */
    struct fab__sealer sealer;
    struct fab__unsealer unsealer;
};

static struct world fresh;
static struct world world;

/* Also where assert is compiled out. */
static void must(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void world_make(void)
{
    uint8_t secrets[4][FAB__KEY_BYTES];
    uint8_t public_key[FAB__KEY_BYTES];

    must(sodium_init() >= 0);
    for (int i = 0; i < 4; i++) {
        memset(secrets[i], 0x11 * (i + 1), sizeof(secrets[i]));
    }
    for (int i = 0; i < 2; i++) {
        must(crypto_scalarmult_base(public_key, secrets[1 - i]) == 0);
        must(fab__pair_init(&fresh.pairs[i], secrets[i], public_key) == SF_OK);
        memset(fresh.hellos[i], 0x20 + i, HEADER_BYTES);
        fab__handshake_begin(&world.handshakes[i], &fresh.pairs[i], i == 0);
    }
    for (int i = 0; i < 2; i++) {
        uint8_t *hello = fresh.hellos[i];

        must(fab__handshake_write(&world.handshakes[i], hello, HEADER_BYTES, secrets[2 + i],
                                  hello + HEADER_BYTES) == SF_OK);
        if (i == 0) {
            fresh.handshakes[0] = world.handshakes[0];
            must(fab__handshake_read(&world.handshakes[1], hello, HEADER_BYTES,
                                     hello + HEADER_BYTES) == SF_OK);
        }
    }
    fab__handshake_begin(&fresh.handshakes[1], &fresh.pairs[1], false);
}

/* to: 0 the initiator, 1 the responder. */
static void hello_read(int to, const uint8_t mixed[HELLO_BYTES])
{
    struct fab__handshake before = world.handshakes[to];
    const uint8_t *honest = world.hellos[1 - to];
    uint8_t hello[HELLO_BYTES];
    bool same;
    sf_status st;

    for (uint32_t i = 0; i < HELLO_BYTES; i++) {
        hello[i] = honest[i] ^ mixed[i];
    }
    /* The highest bit of a public key means nothing to X25519, but is part of what is hashed. */
    same = memcmp(hello, honest, HELLO_BYTES) == 0;
    st = fab__handshake_read(&world.handshakes[to], hello, HEADER_BYTES, hello + HEADER_BYTES);
    must((st == SF_OK) == same);
    if (!same) {
        must(memcmp(&before, &world.handshakes[to], sizeof(before)) == 0);
        st =
            fab__handshake_read(&world.handshakes[to], honest, HEADER_BYTES, honest + HEADER_BYTES);
        must(st == SF_OK);
    }
    world.handshakes[to] = before;
}

static void frame_true(uint64_t number, const uint8_t *mixed)
{
    uint8_t frame[TEXT_BYTES + FAB__TAG_BYTES] = {0};
    uint8_t out[TEXT_BYTES];

    if (fab__seal(&world.sealer, number, (const uint8_t *)&number, sizeof(number), frame,
                  TEXT_BYTES, frame) != SF_OK) {
        return;
    }
    frame[mixed[0] % sizeof(frame)] ^= mixed[1];
    if (mixed[1] != 0) {
        must(fab__unseal(&world.unsealer, number, (const uint8_t *)&number, sizeof(number), frame,
                         sizeof(frame), out) == SF_TRUST);
        frame[mixed[0] % sizeof(frame)] ^= mixed[1];
    }
    must(fab__unseal(&world.unsealer, number, (const uint8_t *)&number, sizeof(number), frame,
                     sizeof(frame), out) == SF_OK);
    must(sodium_is_zero(out, sizeof(out)) == 1);
    must(fab__unseal(&world.unsealer, number, (const uint8_t *)&number, sizeof(number), frame,
                     sizeof(frame), out) == SF_EXISTS);
}

/* Answers how many bytes of the input it took. */
static size_t frame_forged(const uint8_t *bytes, size_t length)
{
    uint64_t highest = world.unsealer.number;
    uint64_t phase = world.unsealer.phase;
    uint8_t out[256];
    uint64_t number;
    size_t frame_bytes;

    if (length < 9) {
        return length;
    }
    memcpy(&number, bytes, sizeof(number));
    frame_bytes = bytes[8] < length - 9 ? bytes[8] : length - 9;
    must(fab__unseal(&world.unsealer, number, bytes, 9, bytes + 9, (uint32_t)frame_bytes, out) !=
         SF_OK);
    must(world.unsealer.number == highest);
    must(world.unsealer.phase == phase);
    return 9 + frame_bytes;
}

/* Answers how many bytes of the input it took. */
static size_t step(uint8_t choice, const uint8_t *bytes, size_t length)
{
    static const uint8_t nothing[2];

    switch (choice) {
    case 0:
    case 1:
        if (length < HELLO_BYTES) {
            return length;
        }
        hello_read(1 - choice, bytes);
        return HELLO_BYTES;
    case 2:
        return frame_forged(bytes, length);
    case 3:
        if (length < 4) {
            return length;
        }
        frame_true(world.sealer.number + bytes[0] + 256u * bytes[1], bytes + 2);
        return 4;
    default:
        frame_true(world.sealer.number + (1u << FAB__PHASE_SHIFT) - 1000u, nothing);
        return 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const uint8_t key[FAB__KEY_BYTES] = {7};
    size_t at = 0;

    if (fresh.handshakes[0].pair == NULL) {
        world_make();
    }
    world = fresh;
    if (length == 0) {
        return 0;
    }
    enum fab__cipher cipher =
        fab__cipher_choose(fab__ciphers_here(), bytes[at++] | FAB__CIPHER_CHACHA20POLY1305);
    fab__sealer_init(&world.sealer, cipher, key);
    fab__unsealer_init(&world.unsealer, cipher, key);
    while (at < length) {
        uint8_t choice = bytes[at++] % 5u;
        at += step(choice, bytes + at, length - at);
    }
    return 0;
}
