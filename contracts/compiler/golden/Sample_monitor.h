/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/* Sample_monitor.h - contract Sample for kernel code. Written by contractc; do not change. */
#ifndef CONTRACT_Sample_MONITOR_H
#define CONTRACT_Sample_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Every kind of thing that the language has.
 *
 * A comment may hold a star-slash in pieces, * /, and must not break what is generated.
 */
#ifndef Sample_WORDS
#define Sample_WORDS
/* Short identity of the contract: how it is named at run time. */
#define Sample_ID 0x01d54d5d33694535ULL
/* Where it listens. */
#define Sample_Name "/service/sample \"quoted\" \\"
#define Sample_Port 8080
#define Sample_Least (-5LL)
#define Sample_Most 18446744073709551615ULL
#define Sample_Loud true

enum Sample_Colour {
    /* Like roses. */
    Sample_Colour_Red = 1u,
    Sample_Colour_Green = 2u,
    Sample_Colour_Blue = 16u,
};

enum Sample_tag {
    Sample_tag_Bad = 0,
    Sample_tag_Blocks = 1,
    Sample_tag_Endpoints = 2,
    Sample_tag_Fine = 3,
    Sample_tag_Give = 4,
    Sample_tag_More = 5,
    Sample_tag_Ping = 6,
    Sample_tag_Quit = 7,
    Sample_tag_Scalars = 8,
    Sample_tag_SingSharp = 9,
};

/* States inside a step ("Idle.1" and so on) have no name here. */
enum Sample_state {
    Sample_state_Idle = 0,
    Sample_state_Chatting = 1,
    Sample_state_End = 2,
};
#endif

/* The compiled contract, for ct_decode. */
extern const uint8_t ct_blob_Sample[];
extern const size_t ct_blob_Sample_bytes;

#endif
