/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_names.h - other names for what libsip has in common with libc, so that a test on the host
 * can have both. Included before everything else when libsip is compiled for the host.
 */
#ifndef LIBSIP_HOST_NAMES_H
#define LIBSIP_HOST_NAMES_H

#define memcpy libsip_memcpy
#define memmove libsip_memmove
#define memset libsip_memset
#define memcmp libsip_memcmp
#define memchr libsip_memchr
#define strlen libsip_strlen
#define strnlen libsip_strnlen
#define strcmp libsip_strcmp
#define strncmp libsip_strncmp
#define strchr libsip_strchr
#define strrchr libsip_strrchr
#define strstr libsip_strstr

#endif
