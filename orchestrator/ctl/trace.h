/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h - the parts of `fabricctl trace`: the command (trace.c), its lines (trace_text.c) and its
 * file for Wireshark (pcap.c).
 *
 * What comes from a node is not trusted: indices are checked here (trace_message, trace_state), and
 * text is printed without control characters.
 */
#ifndef CTL_TRACE_H
#define CTL_TRACE_H

#include <stdio.h>

#include "ctl/ctl_private.h"

/* --- trace_text.c --- */

/* NULL, "?": there is no such thing in the contract. */
const Sf__Control__TraceMessage *trace_message(const Sf__Control__TraceStarted *end,
                                               const Sf__Control__TraceEvent *event);
const char *trace_state(const Sf__Control__TraceStarted *end, uint32_t state);
/* Did it go from the importer to the exporter? */
bool trace_to_exporter(const Sf__Control__TraceStarted *end, const Sf__Control__TraceEvent *event);
/* One line each on stdout. with_node: both ends are shown. */
void trace_print(const Sf__Control__TraceList *list, const Sf__Control__TraceStarted *end,
                 const Sf__Control__TraceEvent *event, bool with_node);
void trace_print_json(const Sf__Control__TraceList *list, const Sf__Control__TraceStarted *end,
                      const Sf__Control__TraceEvent *event);

/* --- pcap.c ---
 * Frames of wire version 2 (docs/wire.md), not sealed, as if the channel had a session of its own,
 * in UDP/IPv4 on an Ethernet: one frame a message. Node N has address 10.77.(N / 256).(N % 256). A
 * block has only the bytes that the trace kept.
 *
 * A dissector must know the channel's contract and state before the first message. What tells it is
 * an endpoint argument, as always, in a MSG to endpoint 0 with tag 0, which no node sends: the
 * trace begins here. The same comes again where messages were dropped.
 */
struct pcap {
    FILE *file;
    uint64_t frames[2]; /* from the importer, from the exporter */
    bool begun;
    uint64_t last; /* number of the event before */
};

/* Takes file. */
void pcap_open(struct pcap *pcap, FILE *file);
void pcap_write(struct pcap *pcap, const Sf__Control__TraceStarted *end,
                const Sf__Control__TraceEvent *event);
/* False: something could not be written. */
bool pcap_close(struct pcap *pcap);

#endif
