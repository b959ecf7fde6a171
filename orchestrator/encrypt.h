/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encrypt.h - which sessions between nodes are encrypted: what the operator asked for, by link.
 *
 * Why: frames on a network cross switches and cables that others can reach; frames of memif stay in
 * memory that two processes of one machine share, and whoever can read that can read the keys, too.
 *
 * Threads: pure.
 */
#ifndef ORCH_ENCRYPT_H
#define ORCH_ENCRYPT_H

#include <stdbool.h>

enum orch_encrypt {
    ORCH_ENCRYPT_ETHERNET = 0, /* all links but those inside a machine; the default */
    ORCH_ENCRYPT_ALL,
    ORCH_ENCRYPT_NONE,
};

#define ORCH_ENCRYPT_RULE "all, ethernet or none"

/* False: text is none of the three. */
bool orch_encrypt_parse(const char *text, enum orch_encrypt *out_encrypt);
const char *orch_encrypt_name(enum orch_encrypt encrypt);
/* Whether sessions over a link of that driver are encrypted. A driver that is not known is
 * Ethernet. */
bool orch_encrypt_link(enum orch_encrypt encrypt, const char *driver);

#endif
