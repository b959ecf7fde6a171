/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target for fab_rx. Built when the compiler has -fsanitize=fuzzer:
 *
 *     CC=clang meson setup build-fuzz -Db_sanitize=address,undefined -Db_lundef=false
 *     ninja -C build-fuzz fabric/rx_fuzz && build-fuzz/fabric/rx_fuzz -max_total_time=60
 *
 * The input is a list of steps for one victim among two hostile nodes: a byte that chooses, then
 *   0..3  a step of the victim's holders (3 more bytes choose which)
 *   4..   a frame: 1 more byte is its length, then its records; bit 0 of the choice is the sender
 */
#include "test_victim.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct victim victim;
    size_t at = 0;

    victim_make(&victim);
    while (length - at >= 4) {
        uint8_t choice = bytes[at];
        if (choice < 4) {
            victim_live(&victim, (uint32_t)bytes[at + 1] << 16 | (uint32_t)bytes[at + 2] << 8 |
                                     bytes[at + 3]);
            at += 4;
        } else {
            size_t frame_bytes = bytes[at + 1];
            at += 2;
            if (frame_bytes > length - at) {
                frame_bytes = length - at;
            }
            victim_records(&victim, (choice & 1u) != 0 ? 1 : 3, bytes + at, (uint32_t)frame_bytes);
            at += frame_bytes;
        }
        victim_audit(&victim);
    }
    victim_end(&victim);
    return 0;
}
