/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_service.h - a kernel service that talks FuzzContract with the API fuzzer's SIPs, so that the
 * other holder of endpoints is part of the fuzzing. It answers at random, keeps endpoints it is
 * given, gives them back, closes them. One instance at a time; one thread.
 */
#ifndef API_SERVICE_H
#define API_SERVICE_H

#include "nk.h"

extern const struct nk_service_ops api_service_ops;

/* Seeds what it will do. Before nk_service_create. */
void api_service_seed(uint64_t seed);
/* Closes all it holds. */
void api_service_flush(void);

#endif
