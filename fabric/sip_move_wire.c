/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of movers as bytes (docs/moves.md), and how the controller passes them on. */
#include <assert.h>

#include "sip_move.h"
#include "wire.h"

#define VERSION 1u

uint32_t fab__mv_write(const struct fab__mv_message *message,
                       uint8_t bytes[FAB_MOVE_MESSAGE_BYTES_MAX])
{
    struct fab__writer writer = {.bytes = bytes, .capacity = FAB_MOVE_MESSAGE_BYTES_MAX};

    fab__write_u8(&writer, VERSION);
    fab__write_u8(&writer, message->kind);
    fab__write_u16(&writer, message->node);
    fab__write_u16(&writer, message->epoch);
    fab__write_u16(&writer, message->payload_length);
    fab__write_u64(&writer, message->move);
    fab__write_u32(&writer, message->detail);
    if (message->payload_length != 0) {
        fab__write_bytes(&writer, message->payload, message->payload_length);
    }
    assert(!writer.failed);
    return writer.length;
}

bool fab__mv_read(const uint8_t *bytes, uint32_t length, struct fab__mv_message *out_message)
{
    struct fab__reader reader = {.bytes = bytes, .length = length};
    uint8_t version = fab__read_u8(&reader);

    *out_message = (struct fab__mv_message){.kind = fab__read_u8(&reader)};
    out_message->node = fab__read_u16(&reader);
    out_message->epoch = fab__read_u16(&reader);
    out_message->payload_length = fab__read_u16(&reader);
    out_message->move = fab__read_u64(&reader);
    out_message->detail = fab__read_u32(&reader);
    out_message->payload = fab__read_bytes(&reader, out_message->payload_length);
    return !reader.failed && reader.offset == length && version == VERSION &&
           out_message->kind != 0 && out_message->kind < FAB__MV_KINDS &&
           out_message->node < FAB_NODES_MAX && fab_move_source(out_message->move) != 0 &&
           (out_message->move & FAB_MOVE_NUMBER_MAX) != 0 &&
           out_message->payload_length <= FAB_MOVE_PAYLOAD_BYTES_MAX &&
           (out_message->payload_length == 0 || out_message->kind == FAB__MV_PREPARE);
}

uint32_t fab_move_relay(const uint8_t *bytes, uint32_t length, uint16_t from,
                        bool (*alive)(void *arg, uint16_t node, uint16_t epoch), void *arg,
                        uint16_t *out_to, uint8_t out_bytes[FAB_MOVE_MESSAGE_BYTES_MAX])
{
    struct fab__mv_message message;
    uint16_t source;

    if (!fab__mv_read(bytes, length, &message)) {
        return 0;
    }
    source = fab_move_source(message.move);
    switch (message.kind) {
    case FAB__MV_ASK:
    case FAB__MV_WITNESS:
        if (from != source || message.node == 0) {
            return 0;
        }
        *out_to = message.node;
        if (!alive(arg, message.node, message.epoch)) {
            message.kind = FAB__MV_DEAD;
            *out_to = source;
        }
        break;
    case FAB__MV_GOT:
    case FAB__MV_NOT:
    case FAB__MV_SEEN:
    case FAB__MV_UNSEEN:
        if (from != message.node) {
            return 0;
        }
        *out_to = source;
        break;
    default:
        return 0;
    }
    return fab__mv_write(&message, out_bytes);
}

const char *fab_move_step_name(enum fab_move_step step)
{
    static const char *const names[FAB_MOVE_STEPS] = {
        [FAB_MOVE_PREPARING] = "prepare",   [FAB_MOVE_PREPARED] = "copy",
        [FAB_MOVE_HOLDING] = "hold",        [FAB_MOVE_TRANSFERRING] = "transfer",
        [FAB_MOVE_READY] = "ready",         [FAB_MOVE_COMMITTING] = "commit",
        [FAB_MOVE_ASKING] = "ask",          [FAB_MOVE_WITNESSING] = "witness",
        [FAB_MOVE_COMMITTED] = "committed",
    };

    return step < FAB_MOVE_STEPS && names[step] != NULL ? names[step] : "?";
}

const char *fab_move_reason_text(enum fab_move_reason reason)
{
    static const char *const texts[] = {
        [FAB_MOVE_OK] = "moved",
        [FAB_MOVE_REFUSED] = "the target refused it",
        [FAB_MOVE_LINK_LOST] = "the session between source and target was lost",
        [FAB_MOVE_TIMEOUT] = "a step took too long",
        [FAB_MOVE_CLASH] = "a SIP that it talks to moves at this time",
        [FAB_MOVE_NO_WAY] = "a node that it talks to has no session with the target",
        [FAB_MOVE_CANCELLED] = "cancelled",
        [FAB_MOVE_FAILED] = "it failed at the source",
        [FAB_MOVE_NOT_TAKEN] = "the target did not take it over",
        [FAB_MOVE_UNSEEN] = "the target died, and nobody had seen the SIP there",
        [FAB_MOVE_DIED] = "moved, and died with the target",
    };

    return (uint32_t)reason < sizeof(texts) / sizeof(texts[0]) ? texts[reason] : "?";
}
