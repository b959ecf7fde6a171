/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/* Other_monitor.h - contract Other for kernel code. Written by contractc; do not change. */
#ifndef CONTRACT_Other_MONITOR_H
#define CONTRACT_Other_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef Other_WORDS
#define Other_WORDS
/* Short identity of the contract: how it is named at run time. */
#define Other_ID 0xfe6af1bac439b503ULL

enum Other_tag {
    Other_tag_Ask = 0,
    Other_tag_Hello = 1,
    Other_tag_Tell = 2,
};

/* States inside a step ("Start.1" and so on) have no name here. */
enum Other_state {
    Other_state_Start = 0,
    Other_state_Talking = 2,
};
#endif

/* The compiled contract, for ct_decode. */
extern const uint8_t ct_blob_Other[];
extern const size_t ct_blob_Other_bytes;

#endif
