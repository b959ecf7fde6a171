/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - the node program's own lines for its operator: stderr when hosted, the console when
 * booted. One call, one line, with seconds since the machine was started.
 *
 * Threads: any. Limits: a line is cut at NODE_LOG_BYTES_MAX.
 */
#ifndef KERNEL_LOG_H
#define KERNEL_LOG_H

#include <stddef.h>
#include <stdint.h>

#define NODE_LOG_BYTES_MAX 2048u

void node_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Copies untrusted text so that it is printable on one line and valid UTF-8: control characters
 * and malformed bytes become '?'; with `lines`, newlines stay. Always terminated; answers out.
 */
const char *node_text_clean(const char *text, size_t bytes, int lines, char *out, size_t capacity);

/* Monotonic time, ns: what the kernel core and the fabric are given. */
uint64_t node_now_ns(void);
/* Seconds since the machine was started. */
double node_uptime_s(void);

#endif
