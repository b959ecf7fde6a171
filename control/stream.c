/* SPDX-License-Identifier: Apache-2.0 */
#include "control/stream.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/copy.h"

#define HEAD_BYTES 4u
#define READ_BYTES_MIN (16u << 10)
#define TEXT_BYTES 128u
#define KEEPALIVE_S 5u
#define UNACKED_MS 20000u /* a peer that takes nothing for so long is gone */

enum stream_state { STREAM_NEW, STREAM_CONNECTING, STREAM_OPEN, STREAM_ENDED, STREAM_CLOSING };

struct control_stream {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    uv_idle_t end_later; /* reports an end that was seen inside one of our own calls */
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    struct control_stream_events events;
    void *arg;
    enum control_stream_kind kind;
    enum stream_state state;
    uint8_t *buffer; /* bytes received and not yet handled: at most one partial frame + a read */
    size_t used, capacity;
    uint64_t queued;
    uint32_t frame_bytes_max;
    uint8_t handles_open;
    sf_status end_status;
    char end_text[TEXT_BYTES];
};

struct write_request {
    uv_write_t request;
    struct control_stream *stream;
    uint32_t bytes;
    uint8_t frame[];
};

/* --- end and memory -----------------------------------------------------------------------------
 */

static void stream_free(struct control_stream *stream)
{
    free(stream->buffer);
    free(stream);
}

static void stream_handle_closed(uv_handle_t *handle)
{
    struct control_stream *stream = handle->data;

    assert(stream->handles_open > 0);
    stream->handles_open--;
    if (stream->handles_open == 0) {
        stream_free(stream);
    }
}

static void stream_report_end(uv_idle_t *idle)
{
    struct control_stream *stream = idle->data;

    uv_idle_stop(idle);
    if (stream->state == STREAM_ENDED) {
        stream->events.ended(stream->arg, stream, stream->end_status, stream->end_text);
    }
}

/* The first end counts; it is told from the loop, never from inside a caller's call. */
static void stream_end(struct control_stream *stream, sf_status status, const char *text)
{
    if (stream->state == STREAM_ENDED || stream->state == STREAM_CLOSING) {
        return;
    }
    stream->state = STREAM_ENDED;
    stream->end_status = status;
    snprintf(stream->end_text, sizeof(stream->end_text), "%s", text);
    uv_read_stop(&stream->uv.stream);
    uv_idle_start(&stream->end_later, stream_report_end);
}

void control_stream_close(struct control_stream *stream)
{
    if (stream == NULL || stream->state == STREAM_CLOSING) {
        return;
    }
    stream->state = STREAM_CLOSING;
    uv_close(&stream->uv.handle, stream_handle_closed);
    uv_close((uv_handle_t *)&stream->end_later, stream_handle_closed);
}

static void stream_shut(uv_shutdown_t *request, int status)
{
    struct control_stream *stream = request->data;
    (void)status;
    /* With UV_ECANCELED the handle is being closed already. */
    if (!uv_is_closing(&stream->uv.handle)) {
        uv_close(&stream->uv.handle, stream_handle_closed);
    }
}

void control_stream_finish(struct control_stream *stream)
{
    if (stream == NULL || stream->state == STREAM_CLOSING) {
        return;
    }
    if (stream->state != STREAM_OPEN || stream->queued == 0) {
        control_stream_close(stream);
        return;
    }
    stream->state = STREAM_CLOSING;
    uv_close((uv_handle_t *)&stream->end_later, stream_handle_closed);
    uv_read_stop(&stream->uv.stream);
    stream->shutdown.data = stream;
    if (uv_shutdown(&stream->shutdown, &stream->uv.stream, stream_shut) != 0) {
        uv_close(&stream->uv.handle, stream_handle_closed);
    }
}

/* --- decoding -----------------------------------------------------------------------------------
 */

struct decode_budget {
    size_t left;
};

static void *budget_alloc(void *data, size_t bytes)
{
    struct decode_budget *budget = data;
    void *memory;

    if (bytes > budget->left) {
        return NULL;
    }
    memory = malloc(bytes > 0 ? bytes : 1);
    if (memory != NULL) {
        /* 32: what an allocation costs besides its bytes; a frame of tiny fields is counted too. */
        budget->left -= bytes + 32 < budget->left ? bytes + 32 : budget->left;
    }
    return memory;
}

static void budget_free(void *data, void *memory)
{
    (void)data;
    free(memory);
}

static void stream_decode(struct control_stream *stream, const uint8_t *bytes, uint32_t length)
{
    struct decode_budget budget = {.left = (size_t)length + CONTROL_DECODE_EXTRA_BYTES};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    Sf__Control__Envelope *envelope = sf__control__envelope__unpack(&allocator, length, bytes);

    if (envelope == NULL) {
        stream_end(stream, SF_FORMAT, "a control message does not parse");
        return;
    }
    stream->events.message(stream->arg, stream, envelope);
    sf__control__envelope__free_unpacked(envelope, &allocator);
}

static uint32_t load_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

/* Handles all whole frames in the buffer and moves the rest to its front. */
static void stream_frames(struct control_stream *stream)
{
    size_t at = 0;

    while (stream->state == STREAM_OPEN && stream->used - at >= HEAD_BYTES) {
        uint32_t length = load_u32(stream->buffer + at);
        if (length > stream->frame_bytes_max) {
            char text[TEXT_BYTES];
            snprintf(text, sizeof(text), "a control message of %u bytes is over the limit of %u",
                     length, stream->frame_bytes_max);
            stream_end(stream, SF_FORMAT, text);
            break;
        }
        if (stream->used - at - HEAD_BYTES < length) {
            break;
        }
        stream_decode(stream, stream->buffer + at + HEAD_BYTES, length);
        at += HEAD_BYTES + length;
    }
    memmove(stream->buffer, stream->buffer + at, stream->used - at);
    stream->used -= at;
    if (stream->used == 0 && stream->capacity > (1u << 20)) {
        free(stream->buffer);
        stream->buffer = NULL;
        stream->capacity = 0;
    }
}

/* --- reading ------------------------------------------------------------------------------------
 */

/* Doubles, so that memory follows what came; never over one frame and one read. */
static void stream_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out_buffer)
{
    struct control_stream *stream = handle->data;
    (void)suggested;

    if (stream->capacity - stream->used < READ_BYTES_MIN) {
        size_t capacity =
            stream->capacity * 2 > 2 * READ_BYTES_MIN ? stream->capacity * 2 : 2 * READ_BYTES_MIN;
        size_t most = (size_t)CONTROL_FRAME_BYTES_MAX + HEAD_BYTES + READ_BYTES_MIN;
        uint8_t *grown;
        if (capacity > most) {
            capacity = most;
        }
        grown = realloc(stream->buffer, capacity);
        if (grown == NULL) {
            *out_buffer = uv_buf_init(NULL, 0);
            return;
        }
        stream->buffer = grown;
        stream->capacity = capacity;
    }
    *out_buffer = uv_buf_init((char *)stream->buffer + stream->used,
                              (unsigned int)(stream->capacity - stream->used));
}

static void stream_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buffer)
{
    struct control_stream *stream = handle->data;
    (void)buffer;

    if (count == UV_EOF) {
        stream_end(stream, SF_CLOSED, "the other side closed the connection");
    } else if (count < 0) {
        stream_end(stream, SF_IO, uv_strerror((int)count));
    } else if (count > 0) {
        stream->used += (size_t)count;
        stream_frames(stream);
    }
}

sf_status control_stream_start(struct control_stream *stream)
{
    unsigned int unacked_ms = UNACKED_MS;
    uv_os_fd_t fd;

    assert(stream->state == STREAM_NEW || stream->state == STREAM_CONNECTING);
    if (stream->kind == CONTROL_STREAM_TCP) {
        uv_tcp_nodelay(&stream->uv.tcp, 1);
        uv_tcp_keepalive(&stream->uv.tcp, 1, KEEPALIVE_S);
        if (uv_fileno(&stream->uv.handle, &fd) == 0) {
            (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked_ms, sizeof(unacked_ms));
        }
    }
    if (uv_read_start(&stream->uv.stream, stream_room, stream_read) != 0) {
        return SF_IO;
    }
    stream->state = STREAM_OPEN;
    return SF_OK;
}

static void stream_connected(uv_connect_t *request, int status)
{
    struct control_stream *stream = request->data;

    if (stream->state != STREAM_CONNECTING) {
        return;
    }
    if (status != 0) {
        stream_end(stream, SF_IO, uv_strerror(status));
        return;
    }
    if (control_stream_start(stream) != SF_OK) {
        stream_end(stream, SF_IO, "cannot read from the new connection");
        return;
    }
    if (stream->events.connected != NULL) {
        stream->events.connected(stream->arg, stream);
    }
}

sf_status control_stream_connect_tcp(struct control_stream *stream, const struct sockaddr *address)
{
    assert(stream->state == STREAM_NEW);
    assert(stream->kind == CONTROL_STREAM_TCP);
    stream->connect.data = stream;
    if (uv_tcp_connect(&stream->connect, &stream->uv.tcp, address, stream_connected) != 0) {
        return SF_IO;
    }
    stream->state = STREAM_CONNECTING;
    return SF_OK;
}

void control_stream_connect_pipe(struct control_stream *stream, const char *path)
{
    assert(stream->state == STREAM_NEW);
    assert(stream->kind == CONTROL_STREAM_PIPE);
    stream->connect.data = stream;
    stream->state = STREAM_CONNECTING;
    uv_pipe_connect(&stream->connect, &stream->uv.pipe, path, stream_connected);
}

/* --- writing ------------------------------------------------------------------------------------
 */

static void stream_written(uv_write_t *request, int status)
{
    struct write_request *write = request->data;
    struct control_stream *stream = write->stream;

    stream->queued -= write->bytes;
    free(write);
    if (status != 0 && status != UV_ECANCELED) {
        stream_end(stream, SF_IO, uv_strerror(status));
    }
}

Sf__Control__Envelope *control_envelope_copy(const Sf__Control__Envelope *envelope)
{
    return (Sf__Control__Envelope *)control_copy(&envelope->base);
}

sf_status control_stream_send(struct control_stream *stream, const Sf__Control__Envelope *envelope)
{
    struct write_request *write;
    size_t length;
    uv_buf_t buffer;

    if (stream->state != STREAM_OPEN) {
        return SF_CLOSED;
    }
    length = sf__control__envelope__get_packed_size(envelope);
    if (length > CONTROL_FRAME_BYTES_MAX || stream->queued + length > CONTROL_QUEUE_BYTES_MAX) {
        return SF_LIMIT;
    }
    write = malloc(sizeof(*write) + HEAD_BYTES + length);
    if (write == NULL) {
        return SF_NOMEM;
    }
    for (uint32_t i = 0; i < HEAD_BYTES; i++) {
        write->frame[i] = (uint8_t)(length >> (8 * i));
    }
    sf__control__envelope__pack(envelope, write->frame + HEAD_BYTES);
    write->stream = stream;
    write->bytes = (uint32_t)length + HEAD_BYTES;
    write->request.data = write;
    buffer = uv_buf_init((char *)write->frame, write->bytes);
    if (uv_write(&write->request, &stream->uv.stream, &buffer, 1, stream_written) != 0) {
        free(write);
        return SF_CLOSED;
    }
    stream->queued += write->bytes;
    return SF_OK;
}

uint64_t control_stream_queued(const struct control_stream *stream)
{
    return stream->queued;
}

/* --- making -------------------------------------------------------------------------------------
 */

sf_status control_stream_create(uv_loop_t *loop, enum control_stream_kind kind,
                                const struct control_stream_events *events, void *arg,
                                struct control_stream **out_stream)
{
    struct control_stream *stream = calloc(1, sizeof(*stream));
    int error;

    assert(events->message != NULL);
    assert(events->ended != NULL);
    if (stream == NULL) {
        return SF_NOMEM;
    }
    error = kind == CONTROL_STREAM_TCP ? uv_tcp_init(loop, &stream->uv.tcp)
                                       : uv_pipe_init(loop, &stream->uv.pipe, 0);
    if (error != 0) {
        free(stream);
        return SF_IO;
    }
    uv_idle_init(loop, &stream->end_later);
    stream->uv.handle.data = stream;
    stream->end_later.data = stream;
    stream->handles_open = 2;
    stream->kind = kind;
    stream->events = *events;
    stream->arg = arg;
    stream->frame_bytes_max = CONTROL_FRAME_BYTES_MAX;
    *out_stream = stream;
    return SF_OK;
}

uv_stream_t *control_stream_handle(struct control_stream *stream)
{
    return &stream->uv.stream;
}

void control_stream_set_arg(struct control_stream *stream, void *arg)
{
    stream->arg = arg;
}

void control_stream_set_limit(struct control_stream *stream, uint32_t frame_bytes_max)
{
    assert(frame_bytes_max <= CONTROL_FRAME_BYTES_MAX);
    stream->frame_bytes_max = frame_bytes_max;
}
