/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake.h - RDMA devices that are none: for unit tests of the driver, where it can be seen what it
 * does when each call and each completion fails. It shows nothing about real devices.
 *
 * Model: FAKE_DEVICES devices of this process, fake0 and so on, with one port each, joined by a
 * wire on which nothing gets lost, each with the address FAKE_ADDRESS + N, by which rdma_cm knows
 * it (fake_cm.c). A send is carried out when it is posted, or when its peer posts a buffer, or when
 * somebody polls: no threads, the same each time. The clock goes on by FAKE_TICK_NS whenever it is
 * read.
 *
 * As on a device: a queue pair with an error flushes all it has; who does not answer for
 * FAKE_RETRY_NS is "retry exceeded"; who has no buffer is waited for; completions of a destroyed
 * queue pair stay in the completion queue (soft-RoCE does so); memory must be registered.
 */
#ifndef NET_DRIVERS_RDMA_FAKE_H
#define NET_DRIVERS_RDMA_FAKE_H

#include <stdbool.h>

#include "verbs.h"

#define FAKE_DEVICES 3u
#define FAKE_TICK_NS 50000u
#define FAKE_RETRY_NS 1100000000u
#define FAKE_ADDRESS 0x0a4e0001u /* of the first device: 10.78.0.1 */

extern struct rdma_verbs fake__verbs;

/* All devices as new. Everything must have been given back. */
void fake_reset(void);
/* All devices are iWARP: queue pairs are joined by rdma_cm only. */
void fake_iwarp(void);
/* Objects that exist: contexts, domains, regions, queues. */
uint32_t fake_live(void);
/* What the driver did that a device would not have survived, the first; NULL: nothing. */
const char *fake_misuse(void);

/* The device's next send (or receive) after so many good ones completes with that status. */
void fake_fail(uint32_t device, enum ibv_wc_status status, bool receive, uint32_t after);
/* As fake_fail of a send, but the message does arrive: what was lost is the acknowledgement. */
void fake_fail_delivered(uint32_t device, enum ibv_wc_status status, uint32_t after);
/* Whether what fake_fail asked for has happened. */
bool fake_failed(uint32_t device);
/* The number-th call from now on that can fail does, with ENOMEM; 0: none. */
void fake_refuse(uint32_t number);
bool fake_refused(void);
/* Everything on it fails from now on; told as an event or only by the calls. */
void fake_remove(uint32_t device, bool told);
void fake_port(uint32_t device, bool up);
/* An event for each queue pair of the device. */
void fake_qp_events(uint32_t device, enum ibv_event_type type);

#endif
