/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance.h - one suite of tests for every link driver that joins two ends and keeps order.
 *
 * Why: what link.h promises is checked once, for all drivers, so that a new driver gets its tests
 * for one line: describe the driver, then LINK_CONFORMANCE(name).
 *
 * Model: two sides, A and B, each with one link. A side carries out orders (open, traffic, close)
 * step by step; both sides run in this process in turns, or, for drivers that join processes, each
 * in a process of its own that is started anew for every test. A driver's endpoints (link.h) are
 * carried from side to side all the time, as the control path does.
 *
 * Options of the program: --as-nobody runs the sides as user and group 65534 (needs root).
 * --queues N opens all links with N queues; more tests then. With --serve it is side B for a
 * program on another machine, which has --other and this one's address.
 */
#ifndef NET_DRIVERS_CONFORMANCE_H
#define NET_DRIVERS_CONFORMANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "link/link.h"

/* An open that must fail. */
struct link_conformance_fault {
    const char *what;
    const char *device; /* %s: the scratch folder */
    uint32_t mtu_bytes;
};

struct link_conformance {
    const char *name;
    const struct link_ops *ops; /* NULL: the driver of that name */
    const char *device;         /* %s: the scratch folder; the same for both sides */
    bool processes;
    /* Device for links of several queues, with one %u for their number; NULL: as device. */
    const char *device_queues;
    /* What is sent on a queue arrives on the queue of that number. */
    bool queues_join;
    /* lossy: what a full queue does not take comes on another one, before or after the rest. */
    bool queues_spill;
    /* Up says that there is a carrier, not that the other side's process is there. */
    bool blind;
    /* No flow control: what comes while a side does not receive is lost past some 500 frames. */
    bool lossy;
    bool counts_missed; /* lossy, and link_stats.rx_missed has every frame lost */
    /* Frames come over connections with peers only: what a stranger sends does not get as far as
     * the driver, and the link goes down at who was removed. */
    bool connected;
    /* Once, before all tests; answers why they must be skipped, or NULL. May be NULL. */
    const char *(*begin)(void);
    /* First in each process of a side; false: it cannot run. May be NULL. */
    bool (*enter)(uint16_t node_id);
    /* Once in each process before the first open; may be NULL. */
    sf_status (*start)(const char **out_text);
    /*
     * Puts a packet on the wire that is not a frame from one of the receiver's peers; kind counts
     * from 0 to garbage_count - 1. False: try again.
     */
    bool (*garbage)(struct link *link, uint32_t kind);
    uint32_t garbage_count;
    /* True: that kind never gets as far as the driver, and is not counted. May be NULL. */
    bool (*garbage_unseen)(uint32_t kind);
    const struct link_conformance_fault *faults;
    uint32_t fault_count;
};

/* The nodes of the two sides. */
#define LINK_CONFORMANCE_NODE_A 1u
#define LINK_CONFORMANCE_NODE_B 2u
/* Address of a node in tests: MAC 02:00:00:00:00:id, 10.78.0.id. */
struct link_peer link_conformance_address(uint16_t node_id);

int link_conformance_run(const struct link_conformance *driver, int argc, char **argv);

#define LINK_CONFORMANCE(driver)                                                                   \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return link_conformance_run(&(driver), argc, argv);                                        \
    }

#endif
