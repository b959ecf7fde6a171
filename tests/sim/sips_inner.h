/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sips_inner.h - what sips.c, sips_talk.c and sips_end.c have in common.
 */
#ifndef SIM_SIPS_INNER_H
#define SIM_SIPS_INNER_H

#include "sips.h"

struct fab_node *sips_fab(const struct world *world, uint16_t node);
uint64_t sips_now(const struct world *world);
/* The endpoint of a handle; NULL: there is none. */
struct fab_ep *sips_ep(const struct world *world, const struct sip_copy *copy,
                       const struct sip_handle *handle);
/* The channel has to do with that node from now on. */
void sips_visit(struct world *world, uint32_t chan, uint16_t node);
/* NULL: the SIP has no room for one more. */
struct sip_handle *sips_handle_add(struct world *world, struct sip_copy *copy, uint32_t chan,
                                   uint8_t side);
void sips_handle_remove(struct sip_copy *copy, struct sip_handle *handle);
/* The SIP does something with one of its handles, by chance. */
void sips_act(struct world *world, struct sip_copy *copy);
/* The SIP takes what has come, or sees that it is closed. False: there was nothing. */
bool sips_receive(struct world *world, struct sip_copy *copy, struct sip_handle *handle,
                  struct fab_ep *ep);
void sips_give_up(struct world *world, struct sip_copy *copy, struct sip_handle *handle,
                  struct sf_cause cause);
/* The channel that an end is of; fails if nobody made it. */
uint32_t sips_chan_by_id(const struct world *world, uint64_t id, uint8_t *out_side);
const struct ct_contract *sips_pipe_contract(void);
void sips_pipe_clear(struct sip_pipe *pipe);

#endif
