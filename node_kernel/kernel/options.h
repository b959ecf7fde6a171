/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - what a node is told when it starts: by its command line (hosted) or by the kernel's
 * (booted). docs/formats.md, "Node program".
 *
 * Threads: pure. Errors: `text` names the option or key, and says what was expected.
 * Untrusted: the kernel's command line comes over the network; every value has a limit, a key of
 * ours that is unknown or comes twice is an error. Other programs' keys are ignored.
 */
#ifndef KERNEL_OPTIONS_H
#define KERNEL_OPTIONS_H

#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "links.h"

#define OPTIONS_TOKEN_BYTES_MAX 128u
#define OPTIONS_NAME_BYTES_MAX 31u
#define OPTIONS_UUID_BYTES_MAX 36u
#define OPTIONS_CMDLINE_BYTES_MAX 4096u
#define OPTIONS_WRONG_BYTES 400u

struct node_options {
    struct sockaddr_in controller;
    char controller_text[32]; /* IP:PORT */
    char token[OPTIONS_TOKEN_BYTES_MAX + 1];
    char name[OPTIONS_NAME_BYTES_MAX + 1];
    struct node_link links[LINKS_MAX]; /* hosted: each with an address */
    uint32_t link_count;
    /* hosted */
    char state_dir[PATH_MAX];
    uint32_t slot_count_max; /* 0: all that are leased */
    uint32_t worker_count;   /* 0: one a core */
    bool help, version;      /* nothing else is filled in then */
    /* booted */
    uint8_t mac[6];
    uint32_t ip, mask, gateway;            /* host byte order; gateway 0: none */
    char uuid[OPTIONS_UUID_BYTES_MAX + 1]; /* "" if not given */
    /* while they are read */
    char wrong[OPTIONS_WRONG_BYTES];
};

/* BADARG with text. */
SF_MUST_CHECK sf_status options_from_args(int argc, char *const argv[],
                                          struct node_options *out_options, char *text,
                                          size_t text_capacity);
SF_MUST_CHECK sf_status options_from_cmdline(const char *cmdline, struct node_options *out_options,
                                             char *text, size_t text_capacity);

#endif
