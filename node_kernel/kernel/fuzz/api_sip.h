/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_sip.h - what the files of the API fuzzer's SIP share.
 *
 * Model: one SIP that makes `steps` kernel calls drawn from `seed` (both config values): most of
 * them legal enough to get somewhere, the others wild. It knows what it owns (handles, blocks), and
 * checks what a SIP can see: results are of those the table of calls names; what was sent is gone,
 * what was refused is still there; a block's bytes are the ones the sender put in; the kernel wrote
 * nowhere but where it was told. A broken promise ends the SIP with FUZZ_BROKEN and a line in the
 * log. Faults on purpose are announced by a line that begins with FUZZ_FAULT_SOON.
 *
 * Own memory: [0, SCRATCH) is code's data, never given to a call that writes; [SCRATCH, MEMORY_END)
 * is free for all. Everything here is for one SIP, one thread.
 */
#ifndef API_SIP_H
#define API_SIP_H

#include "FuzzContract.h"
#include "sip.h"

#define FUZZ_BROKEN 77
#define FUZZ_FAULT_SOON "fault soon"
#define FUZZ_DIRTY 0xee /* first byte of a block whose content is not the pattern */
#define SCRATCH (512u << 10)
#define MEMORY_END (1024u << 10)
#define QUOTA (1u << 20)
#define WINDOW NK_WINDOW_OFFSET
#define WINDOW_END (64u << 20)
#define HANDLES 96u
#define BLOCKS 48u

enum fuzz_side { FUZZ_IMP, FUZZ_EXP };

struct fuzz_handle {
    uint32_t handle;
    enum fuzz_side side;
    bool live;
};

struct fuzz_block {
    uint32_t address, bytes;
    bool live;
};

extern struct fuzz_handle fuzz_handles[HANDLES];
extern struct fuzz_block fuzz_blocks[BLOCKS];

#define FUZZ_CHECK(condition, ...)                                                                 \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fuzz_broken(__LINE__, #condition, __VA_ARGS__);                                        \
        }                                                                                          \
    } while (0)
__attribute__((noreturn)) void fuzz_broken(int line, const char *what, int64_t a, int64_t b,
                                           int64_t c);

/* --- api_sip_draw.c: where arguments come from ------------------------------------------------ */
void fuzz_seed(uint64_t seed);
uint32_t fuzz_any(uint32_t below); /* 0 for 0 */
uint64_t fuzz_any64(void);
uint32_t fuzz_pointer(void);
uint32_t fuzz_length(uint32_t pointer, uint32_t usual);
/* A place that the kernel may write `bytes` to without hurting this SIP: legal, or wholly not. */
uint32_t fuzz_target(uint32_t bytes);
uint32_t fuzz_handle(void);
/* A handle that this SIP might send on now, or something wilder. */
uint32_t fuzz_handle_to_send(void);
/* A handle with something to receive, or something wilder. */
uint32_t fuzz_handle_to_recv(void);
int64_t fuzz_timeout(void);
/* A name of something, or not; its length. */
const char *fuzz_name(uint32_t *out_bytes);

/* --- api_sip_own.c: what the SIP owns --------------------------------------------------------- */
void fuzz_handle_add(uint32_t handle, enum fuzz_side side);
void fuzz_handle_gone(uint32_t handle);
bool fuzz_handle_live(uint32_t handle);
struct fuzz_block *fuzz_block_find(uint32_t address);
void fuzz_block_add(uint32_t address, uint32_t bytes);
void fuzz_block_gone(uint32_t address);
struct fuzz_block *fuzz_block_any(void); /* a live one, or NULL */
void fuzz_pattern_put(const struct fuzz_block *block);
void fuzz_pattern_check(const struct fuzz_block *block);
/* The kernel may have written there: blocks get their pattern again. */
void fuzz_written(uint32_t address, uint32_t bytes);
/* No block can be seen but those of this SIP: at every place where one may begin. */
void fuzz_window_check(void);
/* Every block and handle of this SIP is still what it was. */
void fuzz_own_check(void);

/* --- api_sip.c -------------------------------------------------------------------------------- */
/* Is that an answer the table allows for this call (NK_CALL number)? Answers the result. */
int32_t fuzz_answer(uint32_t call, int32_t result);

/* --- api_sip_msg.c: send and receive ---------------------------------------------------------- */
void fuzz_send(void);
void fuzz_recv(void);
void fuzz_channel(void);

#endif
