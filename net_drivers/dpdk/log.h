/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - what DPDK says: normally to stderr, errors only; during a catch into one sentence.
 *
 * Why: DPDK logs the reason of a failure and returns a number. Whoever opens a link wants the
 * reason as text, and a retry that is expected to fail must not fill the console.
 * Threads: catches are not nested and belong to the main thread.
 */
#ifndef DPDK_LOG_H
#define DPDK_LOG_H

/* Makes DPDK log through here. Call before EAL starts. */
void dpdk__log_install(void);
void dpdk__log_catch(void);
/* Ends the catch. Answers what was said, lines joined by "; ", "" if nothing. Static. */
const char *dpdk__log_caught(void);

#endif
