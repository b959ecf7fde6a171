/* SPDX-License-Identifier: Apache-2.0 */
/* boot_private.h - what boot.c and boot_links.c share. */
#ifndef KERNEL_BOOT_PRIVATE_H
#define KERNEL_BOOT_PRIVATE_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

/* IO, with text: what was not possible, on which object, and errno's words. */
sf_status boot__failed(char *text, size_t capacity, const char *what, const char *object);
SF_MUST_CHECK sf_status boot__file_write(const char *path, const char *value, char *text,
                                         size_t text_capacity);
/* Reads a whole small file, at most capacity - 1 bytes; answers its length or -1. */
ssize_t boot__file_read(const char *path, char *buffer, size_t capacity);
/* Name of a nic whose MAC equals (or, with `other`, does not equal) mac. */
bool boot__nic_find(const uint8_t mac[6], bool other, char out_name[IFNAMSIZ], uint8_t out_mac[6]);
/* Brings an interface up, with an address (host byte order) unless ip is 0. fd: any IPv4 socket. */
SF_MUST_CHECK sf_status boot__nic_up(int fd, const char *name, uint32_t ip, uint32_t mask,
                                     char *text, size_t text_capacity);

#endif
