/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.h - what tests of the sim driver may reach besides link.h.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "link/link.h"

/* The wrapped link. */
struct link *sim__inner(struct link *link);

#endif
