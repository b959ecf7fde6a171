/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drivers.h - the drivers of this build.
 *
 * Why: a table the build writes (drivers.c, from the link_drivers of the meson files) needs no
 * constructor, so what a program can open is known before it runs.
 * Each driver defines `const struct link_ops link_<name>_ops`.
 */
#ifndef NET_DRIVERS_DRIVERS_H
#define NET_DRIVERS_DRIVERS_H

#include "link/link.h"

/* Ends with NULL. */
extern const struct link_ops *const link__drivers[];

#endif
