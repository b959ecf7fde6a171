/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flows.h - how sessions share links: goodput, fairness and queues.
 *
 * Method: senders with CHANS channels each send blocks as fast as they are taken; links of 1 Gbit/s
 * with a port buffer of 256 KiB, 50 us one way, MTU 1500. What arrives is counted for two seconds
 * of virtual time, after one to come to rest. The queue of the bottleneck is looked at every
 * 100 us. Jain's index of the senders' goodputs: 1 is fair, 1/k is one for all.
 *
 * JSON lines on stdout, one an experiment: goodput of a sender in MB/s (min, p50, max), their sum
 * as a share of what the link carries, Jain's index, the queue's delay, frames dropped and sent
 * again.
 */
#ifndef SIM_FLOWS_H
#define SIM_FLOWS_H

#include <stdbool.h>

/* tap: as a test, with loose bounds. Answers whether all bounds were kept. */
bool flows_run(bool tap);

#endif
