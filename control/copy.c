/* SPDX-License-Identifier: Apache-2.0 */
#include "control/copy.h"

#include <stdlib.h>

ProtobufCMessage *control_copy(const ProtobufCMessage *message)
{
    size_t bytes = protobuf_c_message_get_packed_size(message);
    uint8_t *buffer = malloc(bytes + 1); /* an empty one has no bytes */
    ProtobufCMessage *copy = NULL;

    if (buffer != NULL) {
        protobuf_c_message_pack(message, buffer);
        copy = protobuf_c_message_unpack(message->descriptor, NULL, bytes, buffer);
        free(buffer);
    }
    return copy;
}
