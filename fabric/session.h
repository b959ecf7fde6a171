/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_SESSION_H
#define FABRIC_SESSION_H

#include "node.h"

void fab__schedule(struct fab_ep *ep);
void fab__unschedule(struct fab_ep *ep);
void fab__sessions_fini(struct fab_node *node);

#endif
