/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h - what the node kernel does because it is PID 1: there is no other program on the machine.
 *
 * Order of calls: boot_begin, then (with the options from boot_cmdline) boot_network,
 * boot_links; each once, before any thread is started. No shell and no other program is run.
 *
 * Threads: the main thread.
 * Errors: `text` says what failed, on which object, with the system's answer.
 * Ends: boot_give_up, boot_power_off and boot_restart do not return. PID 1 must never exit: an
 * abort leaves its last words on the console and restarts the machine (boot_begin sees to that).
 */
#ifndef KERNEL_BOOT_H
#define KERNEL_BOOT_H

#include <stdint.h>

#include "base/status.h"
#include "options.h"

#define BOOT_JOIN_MS 60000u    /* not joined by then: give up, restart */
#define BOOT_HUGEPAGES 32u     /* of 2 MiB, for one PCI device */
#define BOOT_HUGEPAGES_MORE 8u /* for each further one */

/* Mounts /proc, /sys, /dev, /run; opens the console; loads modules; prints stage `kernel`. */
SF_MUST_CHECK sf_status boot_begin(char *text, size_t text_capacity);
/* Reads /proc/cmdline into buffer of OPTIONS_CMDLINE_BYTES_MAX + 2 bytes. */
SF_MUST_CHECK sf_status boot_cmdline(char *buffer, char *text, size_t text_capacity);
/* Brings up lo and the interface with options->mac; prints stage `network`. */
SF_MUST_CHECK sf_status boot_network(const struct node_options *options, char *text,
                                     size_t text_capacity);

/*
 * Makes the devices of options->links ready, and fills in what they leave out: an address,
 * 10.78.x.y for the first link, 10.79.x.y for the second and so on, x.y from node.ip. A PCI device
 * is taken from Linux and bound to uio_pci_generic, and huge pages are reserved; an interface is
 * brought up with an MTU large enough. Without any link in the options: virtio on the other nic, if
 * there is one.
 */
SF_MUST_CHECK sf_status boot_links(struct node_options *options, char *text, size_t text_capacity);

/* "SIPFABRIC-STAGE <stage> <seconds since power-on of the kernel>" on the console. */
void boot_stage(const char *stage);
/* Ends children that were left to PID 1. */
void boot_reap(void);

_Noreturn void boot_give_up(const char *why); /* says why, waits 5 s, restarts */
_Noreturn void boot_power_off(void);
_Noreturn void boot_restart(void);

#endif
