/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance_remote.h - side B of a link under test on another machine.
 *
 * Model: the other machine serves: each connection that asks for a side becomes a process of its
 * own, which takes orders from it as one here would, and ends with it. One connection more, for as
 * long as the tests run, carries the endpoints between the two boards. Both machines run the same
 * program.
 */
#ifndef NET_DRIVERS_CONFORMANCE_REMOTE_H
#define NET_DRIVERS_CONFORMANCE_REMOTE_H

#include "conformance.h"

#define REMOTE_PORT 7702u
#define REMOTE_SECONDS_MAX 90 /* until the other machine is there */

/* From now on side B is on that machine (IPv4 address). False: it does not answer, or is no
 * address. */
bool remote_begin(const char *address);
bool remote_is_used(void);
/* A new side B: where its orders go. Ends the program if the other machine is gone. */
int remote_side_connect(void);
/* Serves until the tests of the other machine end. Answers the program's exit code. */
int remote_serve(const struct link_conformance *driver);

#endif
