/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "contracts/table.h"
#include "ctl/trace.h"

#define PACKET_BYTES_MAX 9216u /* a message with 8 endpoints, or blocks of 512 bytes */
#define HEADERS_BYTES 42u      /* Ethernet, IPv4, UDP */
#define PORT 7701u
#define VERSION_RECORDS 0x21u /* wire version 2, kind 1 */
#define RECORD_MSG 2u
#define RECORD_DATA 3u
#define RECORD_CLOSE 4u

struct packet {
    uint8_t bytes[PACKET_BYTES_MAX];
    uint32_t length;
    bool full;
};

static void put(struct packet *packet, const void *bytes, uint32_t count)
{
    if (count > PACKET_BYTES_MAX - packet->length) {
        packet->full = true;
        return;
    }
    memcpy(packet->bytes + packet->length, bytes, count);
    packet->length += count;
}

static void put_le(struct packet *packet, uint64_t value, uint32_t count)
{
    uint8_t bytes[8];

    for (uint32_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
    put(packet, bytes, count);
}

static void put_be16(struct packet *packet, uint32_t value)
{
    const uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};

    put(packet, bytes, sizeof(bytes));
}

/* --- records ------------------------------------------------------------------------------------
 */

static uint32_t record_begin(struct packet *packet, uint8_t type)
{
    put_le(packet, type, 4); /* flags 0, length filled in later */
    return packet->length;
}

static void record_end(struct packet *packet, uint32_t body)
{
    uint32_t bytes = packet->length - body;

    packet->bytes[body - 2] = (uint8_t)bytes;
    packet->bytes[body - 1] = (uint8_t)(bytes >> 8);
}

static void endpoint_put(struct packet *packet, uint64_t id, uint64_t peer, uint64_t contract,
                         uint32_t peer_node, bool exporter, uint32_t state)
{
    put_le(packet, CT_ARG_ENDPOINT, 1);
    put_le(packet, id, 8);
    put_le(packet, peer, 8);
    put_le(packet, contract, 8);
    put_le(packet, peer_node, 2);
    put_le(packet, exporter, 1);
    put_le(packet, state, 1);
    put_le(packet, 0, 1); /* not attached */
    put_le(packet, 0, 4); /* open */
}

static void begin_put(struct packet *packet, const Sf__Control__TraceStarted *end, uint32_t state)
{
    const ProtobufCBinaryData *id = &end->contract->id;
    uint64_t contract = 0;
    uint32_t body = record_begin(packet, RECORD_MSG);

    for (size_t i = 0; i < 8 && i < id->len; i++) {
        contract |= (uint64_t)id->data[i] << (8 * i);
    }
    put_le(packet, 0, 8); /* endpoint 0 */
    put_le(packet, 0, 1); /* tag 0 */
    put_le(packet, 1, 1);
    endpoint_put(packet, end->endpoint, end->peer, contract, end->peer_node, end->exporter, state);
    record_end(packet, body);
}

static void argument_put(struct packet *packet, const Sf__Control__TraceArg *arg)
{
    static const uint8_t scalar_bytes[] = {1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8};

    if (arg->kind < sizeof(scalar_bytes)) {
        put_le(packet, arg->kind, 1);
        put_le(packet, arg->scalar, scalar_bytes[arg->kind]);
    } else if (arg->kind == CT_ARG_BLOCK) {
        put_le(packet, arg->kind, 1);
        put_le(packet, arg->absent ? 0 : arg->block_bytes, 4);
    } else if (!arg->absent) {
        endpoint_put(packet, arg->endpoint, arg->peer, arg->contract, arg->peer_node, arg->exporter,
                     arg->state);
    } else {
        put_le(packet, arg->kind, 1);
        put_le(packet, 0, 8);
    }
}

static void message_put(struct packet *packet, uint64_t target,
                        const Sf__Control__TraceEvent *event)
{
    uint32_t body = record_begin(packet, RECORD_MSG);

    put_le(packet, target, 8);
    put_le(packet, event->tag, 1);
    put_le(packet, event->n_args, 1);
    for (size_t i = 0; i < event->n_args; i++) {
        argument_put(packet, event->args[i]);
    }
    record_end(packet, body);
    for (size_t i = 0; i < event->n_args; i++) {
        const ProtobufCBinaryData *first = &event->args[i]->first;

        if (first->len > 0 && first->len <= PACKET_BYTES_MAX) {
            body = record_begin(packet, RECORD_DATA);
            put_le(packet, target, 8);
            put(packet, first->data, (uint32_t)first->len);
            record_end(packet, body);
        }
    }
}

static void close_put(struct packet *packet, uint64_t target, const Sf__Control__Cause *cause)
{
    uint32_t body = record_begin(packet, RECORD_CLOSE);

    put_le(packet, target, 8);
    put_le(packet, cause != NULL ? cause->kind : 0, 1);
    put_le(packet, cause != NULL ? cause->fault : 0, 1);
    put_le(packet, cause != NULL ? cause->state : 0, 1);
    put_le(packet, cause != NULL ? cause->tag : 0, 1);
    record_end(packet, body);
}

/* --- frames -------------------------------------------------------------------------------------
 */

static uint32_t sum16(const uint8_t *bytes, uint32_t count)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < count; i += 2) {
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    }
    return (sum & 0xffffu) + (sum >> 16);
}

static void put_address(struct packet *packet, uint32_t node)
{
    const uint8_t address[4] = {10, 77, (uint8_t)(node >> 8), (uint8_t)node};

    put(packet, address, sizeof(address));
}

static void put_mac(struct packet *packet, uint32_t node)
{
    const uint8_t mac[6] = {2, 0, 0, 0, (uint8_t)(node >> 8), (uint8_t)node};

    put(packet, mac, sizeof(mac));
}

/* Room for the headers and the frame's own; lengths are not known yet. */
static void frame_begin(struct pcap *pcap, struct packet *packet, bool to_exporter, uint32_t from,
                        uint32_t to)
{
    static const uint8_t ip[12] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0};
    const uint32_t direction = to_exporter ? 0 : 1;

    packet->length = 0;
    packet->full = false;
    put_mac(packet, to);
    put_mac(packet, from);
    put_be16(packet, 0x0800);
    put(packet, ip, sizeof(ip));
    put_address(packet, from);
    put_address(packet, to);
    put_be16(packet, PORT);
    put_be16(packet, PORT);
    put_be16(packet, 0); /* length */
    put_be16(packet, 0); /* no checksum */
    pcap->frames[direction] += 1;
    put_le(packet, VERSION_RECORDS, 4);                 /* no selective acks, hold 0 */
    put_le(packet, direction + 1, 4);                   /* target session */
    put_le(packet, pcap->frames[direction], 8);         /* number */
    put_le(packet, pcap->frames[direction], 4);         /* sequence */
    put_le(packet, pcap->frames[1 - direction] + 1, 4); /* ack */
}

static void frame_end(struct pcap *pcap, struct packet *packet, uint64_t time_ns)
{
    struct packet *at = packet;
    struct packet head = {.length = 0};
    uint32_t sum;

    if (packet->full) {
        return; /* no node sends such a message */
    }
    at->bytes[16] = (uint8_t)((at->length - 14) >> 8);
    at->bytes[17] = (uint8_t)(at->length - 14);
    at->bytes[38] = (uint8_t)((at->length - 34) >> 8);
    at->bytes[39] = (uint8_t)(at->length - 34);
    sum = sum16(at->bytes + 14, 20);
    at->bytes[24] = (uint8_t)(~sum >> 8);
    at->bytes[25] = (uint8_t)~sum;
    put_le(&head, time_ns / 1000000000u, 4);
    put_le(&head, time_ns % 1000000000u, 4);
    put_le(&head, packet->length, 4);
    put_le(&head, packet->length, 4);
    (void)fwrite(head.bytes, 1, head.length, pcap->file); /* pcap_close asks for errors */
    (void)fwrite(packet->bytes, 1, packet->length, pcap->file);
}

void pcap_open(struct pcap *pcap, FILE *file)
{
    struct packet head = {.length = 0};

    *pcap = (struct pcap){.file = file};
    put_le(&head, 0xa1b23c4du, 4); /* times in nanoseconds */
    put_le(&head, 4u << 16 | 2u, 4);
    put_le(&head, 0, 8);
    put_le(&head, 65535, 4);
    put_le(&head, 1, 4); /* Ethernet */
    (void)fwrite(head.bytes, 1, head.length, file);
}

void pcap_write(struct pcap *pcap, const Sf__Control__TraceStarted *end,
                const Sf__Control__TraceEvent *event)
{
    static struct packet packet;
    const bool sent = event->kind == SF__CONTROL__TRACE_EVENT__KIND__SENT ||
                      event->kind == SF__CONTROL__TRACE_EVENT__KIND__CLOSED;
    const uint32_t from = sent ? end->node : end->peer_node;
    const uint32_t to = sent ? end->peer_node : end->node;
    const uint64_t target = sent ? end->peer : end->endpoint;

    if (event->kind == SF__CONTROL__TRACE_EVENT__KIND__MOVED) {
        return;
    }
    frame_begin(pcap, &packet, trace_to_exporter(end, event), from, to);
    if (!pcap->begun || event->number != pcap->last + 1) {
        begin_put(&packet, end, event->state);
    }
    if (event->kind == SF__CONTROL__TRACE_EVENT__KIND__SENT ||
        event->kind == SF__CONTROL__TRACE_EVENT__KIND__RECEIVED) {
        message_put(&packet, target, event);
    } else {
        close_put(&packet, target, event->cause);
    }
    frame_end(pcap, &packet, event->time_ns);
    pcap->begun = true;
    pcap->last = event->number;
}

bool pcap_close(struct pcap *pcap)
{
    bool failed = fflush(pcap->file) != 0 || ferror(pcap->file) != 0;

    if (pcap->file != stdout && fclose(pcap->file) != 0) {
        failed = true;
    }
    pcap->file = NULL;
    return !failed;
}
