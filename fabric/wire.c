/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <assert.h>
#include <string.h>

#include "contract.h"

void fab__write_cause(struct fab__writer *writer, struct sf_cause cause)
{
    fab__write_u8(writer, cause.kind);
    fab__write_u8(writer, cause.fault);
    fab__write_u8(writer, cause.state);
    fab__write_u8(writer, cause.tag);
}

struct sf_cause fab__read_cause(struct fab__reader *reader)
{
    struct sf_cause cause;

    cause.kind = fab__read_u8(reader);
    cause.fault = fab__read_u8(reader);
    cause.state = fab__read_u8(reader);
    cause.tag = fab__read_u8(reader);
    return cause;
}

/* --- frames and records --------------------------------------------------------------------- */

void fab__header_write(uint8_t *bytes, const struct fab__header *header)
{
    struct fab__writer writer = {
        .bytes = bytes, .capacity = FAB__HEADER_BYTES_MAX, .length = FAB__HEADER_BYTES};

    fab__header_put(bytes, header);
    for (uint32_t i = 0; i < header->sack_words; i++) {
        fab__write_u64(&writer, header->sack[i]);
    }
    assert(writer.length == fab__header_bytes(header));
}

bool fab__header_read(const uint8_t *bytes, uint32_t length, struct fab__header *out_header)
{
    struct fab__reader reader = {.bytes = bytes, .length = FAB__HEADER_BYTES, .offset = 1};

    out_header->kind = fab__frame_kind(bytes, length); /* there are so many bytes at least */
    if (out_header->kind > FAB__FRAME_RECORDS) {
        return false;
    }
    out_header->sack_words = fab__read_u8(&reader);
    out_header->hold_us = fab__read_u16(&reader);
    out_header->target_session = fab__read_u32(&reader);
    out_header->number = fab__read_u64(&reader);
    out_header->sequence = fab__read_u32(&reader);
    out_header->ack = fab__read_u32(&reader);
    if (out_header->sack_words > FAB__SACK_WORDS_MAX || out_header->target_session == 0 ||
        out_header->number == 0 || length < fab__header_bytes(out_header)) {
        return false;
    }
    reader.length = length;
    for (uint32_t i = 0; i < out_header->sack_words; i++) {
        out_header->sack[i] = fab__read_u64(&reader);
    }
    return true;
}

void fab__hello_write(uint8_t bytes[FAB__HELLO_BYTES], const struct fab__hello *hello)
{
    struct fab__writer writer = {.bytes = bytes, .capacity = FAB__HELLO_BYTES};

    fab__write_u8(&writer, FAB__WIRE_VERSION << 4 | FAB__FRAME_HELLO);
    fab__write_u8(&writer, hello->flags);
    fab__write_u16(&writer, hello->mtu_bytes);
    fab__write_u16(&writer, hello->source_node);
    fab__write_u16(&writer, hello->target_node);
    fab__write_u16(&writer, hello->source_epoch);
    fab__write_u16(&writer, hello->target_epoch);
    fab__write_u32(&writer, hello->source_session);
    fab__write_u32(&writer, hello->target_session);
    fab__write_le(&writer, hello->ciphers, 4);
    assert(writer.length == FAB__HELLO_BYTES);
}

bool fab__hello_read(const uint8_t *bytes, uint32_t length, struct fab__hello *out_hello)
{
    struct fab__reader reader = {.bytes = bytes, .length = length, .offset = 1};
    uint32_t ciphers;

    if (fab__frame_kind(bytes, length) != FAB__FRAME_HELLO) {
        return false;
    }
    out_hello->flags = fab__read_u8(&reader);
    out_hello->mtu_bytes = fab__read_u16(&reader);
    out_hello->source_node = fab__read_u16(&reader);
    out_hello->target_node = fab__read_u16(&reader);
    out_hello->source_epoch = fab__read_u16(&reader);
    out_hello->target_epoch = fab__read_u16(&reader);
    out_hello->source_session = fab__read_u32(&reader);
    out_hello->target_session = fab__read_u32(&reader);
    ciphers = fab__read_u32(&reader);
    out_hello->ciphers = (uint8_t)ciphers;
    return ciphers <= UINT8_MAX && out_hello->source_session != 0 &&
           (out_hello->flags <= (FAB__HELLO_ANSWER | FAB__HELLO_SEALED) ||
            out_hello->flags == FAB__HELLO_READS);
}

uint32_t fab__record_begin(struct fab__writer *writer, enum fab__record_type type, uint8_t flags)
{
    uint32_t begin = writer->length;

    fab__write_u8(writer, (uint8_t)type);
    fab__write_u8(writer, flags);
    fab__write_u16(writer, 0);
    return begin;
}

bool fab__record_end(struct fab__writer *writer, uint32_t begin)
{
    uint32_t body_bytes = writer->length - begin - FAB__RECORD_HEADER_BYTES;

    if (writer->failed) {
        writer->failed = false;
        writer->length = begin;
        return false;
    }
    writer->bytes[begin + 2] = (uint8_t)body_bytes;
    writer->bytes[begin + 3] = (uint8_t)(body_bytes >> 8);
    return true;
}

/* --- MSG ------------------------------------------------------------------------------------ */

static void ep_write(struct fab__writer *writer, const struct fab__wire_ep *ep)
{
    fab__write_u64(writer, ep->id);
    if (ep->id == 0) {
        return;
    }
    fab__write_u64(writer, ep->peer_id);
    fab__write_u64(writer, ep->contract_short_id);
    fab__write_u16(writer, ep->peer_node);
    fab__write_u8(writer, ep->side);
    fab__write_u8(writer, ep->state);
    fab__write_u8(writer, ep->attached);
    fab__write_cause(writer, ep->cause);
}

static bool ep_read(struct fab__reader *reader, struct fab__wire_ep *ep)
{
    *ep = (struct fab__wire_ep){.id = fab__read_u64(reader)};
    if (ep->id == 0) {
        return true;
    }
    ep->peer_id = fab__read_u64(reader);
    ep->contract_short_id = fab__read_u64(reader);
    ep->peer_node = fab__read_u16(reader);
    ep->side = fab__read_u8(reader);
    ep->state = fab__read_u8(reader);
    ep->attached = fab__read_u8(reader);
    ep->cause = fab__read_cause(reader);
    return ep->peer_id != 0 && ep->peer_id != ep->id && ep->peer_node != 0 &&
           ep->peer_node < FAB_NODES_MAX && ep->side <= CT_EXP && ep->attached <= 1;
}

uint64_t fab__scalar_read(struct fab__reader *reader, uint8_t kind)
{
    switch (kind) {
    case CT_ARG_INT8:
        return (uint64_t)(int64_t)(int8_t)fab__read_u8(reader);
    case CT_ARG_INT16:
        return (uint64_t)(int64_t)(int16_t)fab__read_u16(reader);
    case CT_ARG_INT32:
        return (uint64_t)(int64_t)(int32_t)fab__read_u32(reader);
    default:
        return fab__read_le(reader, fab__kind_bytes(kind));
    }
}

void fab__wire_msg_write(struct fab__writer *writer, const struct fab__wire_msg *msg)
{
    fab__write_u64(writer, msg->target);
    fab__write_u8(writer, msg->tag);
    fab__write_u8(writer, msg->arg_count);
    for (uint32_t i = 0; i < msg->arg_count; i++) {
        fab__write_u8(writer, msg->kinds[i]);
        if (msg->kinds[i] == CT_ARG_ENDPOINT) {
            ep_write(writer, &msg->args[i].ep);
        } else if (msg->kinds[i] == CT_ARG_BLOCK) {
            fab__write_u32(writer, msg->args[i].block_bytes);
        } else {
            fab__write_le(writer, msg->args[i].scalar, fab__kind_bytes(msg->kinds[i]));
        }
    }
}

bool fab__wire_msg_read(struct fab__reader *reader, struct fab__wire_msg *out_msg)
{
    out_msg->target = fab__read_u64(reader);
    out_msg->tag = fab__read_u8(reader);
    out_msg->arg_count = fab__read_u8(reader);
    if (out_msg->arg_count > CT_ARGS_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < out_msg->arg_count; i++) {
        uint8_t kind = fab__read_u8(reader);
        out_msg->kinds[i] = kind;
        if (kind == CT_ARG_ENDPOINT) {
            if (!ep_read(reader, &out_msg->args[i].ep)) {
                return false;
            }
        } else if (kind == CT_ARG_BLOCK) {
            out_msg->args[i].block_bytes = fab__read_u32(reader);
        } else if (kind < CT_ARG_BLOCK) {
            out_msg->args[i].scalar = fab__scalar_read(reader, kind);
        } else {
            return false;
        }
    }
    return !reader->failed && reader->offset == reader->length;
}
