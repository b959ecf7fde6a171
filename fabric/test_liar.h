/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_liar.h - what hostile nodes say: frames and records that are well formed and about endpoints
 * that the victim has, but lie. Shared by rx_test, where a seed chooses the lies, and the fuzz
 * target, where its input does.
 */
#ifndef FABRIC_TEST_LIAR_H
#define FABRIC_TEST_LIAR_H

#include "test_victim.h"

/* All that follows lies to that victim. random_below answers 0..bound-1. */
void liar_begin(struct victim *to, uint32_t (*random_below)(uint32_t bound));
/* A frame that is right, with records that lie. */
void liar_records(void);
/* A frame whose header lies; its records may. */
void liar_frame(void);
/* A hello that lies; the session may be another one afterwards. */
void liar_hello(void);
/* Random bytes, as a frame or as records. */
void liar_noise(void);
/* The victim's own next frame, turned round and damaged. */
void liar_damaged(void);

/* Records that lie, of node `from` to `to`, behind those that are there. */
void liar_append(struct fab_node *to, uint16_t from, struct fab__writer *writer,
                 uint32_t (*random_below)(uint32_t bound));

#endif
