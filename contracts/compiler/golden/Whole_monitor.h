/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/* Whole_monitor.h - contract Whole for kernel code. Written by contractc; do not change. */
#ifndef CONTRACT_Whole_MONITOR_H
#define CONTRACT_Whole_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the language has besides what Sample shows. */
#ifndef Whole_WORDS
#define Whole_WORDS
/* Short identity of the contract: how it is named at run time. */
#define Whole_ID 0xd573a051ee3c73dfULL
#define Whole_Name "/whole"

/* How hot. */
enum Whole_Heat {
    Whole_Heat_Cold = 1u,
    Whole_Heat_Warm = 2u,
    Whole_Heat_Any = 3u,
};

/* Where something is. */
struct Whole_Point {
    int32_t x;
    int32_t y;
} __attribute__((aligned(4)));
_Static_assert(sizeof(struct Whole_Point) == 8, "as contractc lays it out");

/* Fields of all sizes: the layout has gaps. */
struct Whole_Record {
    bool flag;
    uint16_t small;
    uint8_t tiny;
    uint64_t large;
    struct Whole_Point where;
    uint32_t heat; /* enum Heat */
    double number;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct Whole_Record) == 40, "as contractc lays it out");

/* A chain of blocks. */
struct Whole_Link {
    uint32_t data; /* a block's address */
    uint32_t data_bytes;
    uint32_t next; /* a block's address; 0: absent */
    uint32_t next_bytes;
    struct Whole_Record record;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct Whole_Link) == 56, "as contractc lays it out");

struct Whole_block_char {
    uint32_t items; /* a block's address */
    uint32_t items_bytes;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct Whole_block_char) == 8, "as contractc lays it out");

enum Whole_tag {
    Whole_tag_AskPassword = 0,
    Whole_tag_Chain = 1,
    Whole_tag_Done = 2,
    Whole_tag_Granted = 3,
    Whole_tag_Move = 4,
    Whole_tag_Names = 5,
    Whole_tag_Password = 6,
    Whole_tag_Quit = 7,
    Whole_tag_Records = 8,
    Whole_tag_Refused = 9,
    Whole_tag_Welcome = 10,
};

/* States inside a step ("Start.1" and so on) have no name here. */
enum Whole_state {
    Whole_state_Start = 0,
    Whole_state_Over = 1,
    Whole_state_Ready = 2,
};
#endif

/* The compiled contract, for ct_decode. */
extern const uint8_t ct_blob_Whole[];
extern const size_t ct_blob_Whole_bytes;

#endif
