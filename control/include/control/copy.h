/* SPDX-License-Identifier: Apache-2.0 */
/* copy.h - messages of protobuf, copied whole. */
#ifndef CONTROL_COPY_H
#define CONTROL_COPY_H

#include <protobuf-c/protobuf-c.h>

/* A deep copy, of the same type; free it as unpacked. NULL: no memory. */
ProtobufCMessage *control_copy(const ProtobufCMessage *message);

#endif
