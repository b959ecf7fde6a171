/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - control messages over a byte stream: u32 little-endian length, then one Envelope.
 *
 * Why: nodes, fabricd and fabricctl speak the same framing over TCP and Unix sockets, and what
 * arrives is untrusted until a token was checked; the framing and its limits live here once.
 *
 * Model: a stream owns its socket. It is made unconnected; then either the caller accepts into
 * control_stream_handle() and calls control_stream_start, or calls one of the connect functions.
 * Life as events: [connected] message* ended. `ended` comes at most once, never after
 * control_stream_close, and never from inside a call of this file. After it the stream takes no
 * more messages and its owner must close it.
 *
 * Threads: the loop's. Time-outs are the caller's business. The program must ignore SIGPIPE.
 * Ownership: control_stream_close takes the stream; its memory goes when libuv is done with it.
 * An envelope given to `message` is valid during that call only; one given to send is copied.
 * Untrusted: every byte received. A length over the limit, an Envelope that does not parse, or one
 * whose decoded form needs more than CONTROL_DECODE_EXTRA_BYTES beyond its length ends the stream
 * with FORMAT. Memory for a frame grows with the bytes that really came, not with what its length
 * promised.
 * Limits: frame_bytes_max per frame received; CONTROL_QUEUE_BYTES_MAX waiting to be sent.
 */
#ifndef CONTROL_STREAM_H
#define CONTROL_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/status.h"
#include "control.pb-c.h"

#define CONTROL_FRAME_BYTES_MAX (80u << 20)
#define CONTROL_HELLO_BYTES_MAX (64u << 10) /* before a peer has shown who it is */
#define CONTROL_QUEUE_BYTES_MAX (256u << 20)
#define CONTROL_DECODE_EXTRA_BYTES (64u << 20)

struct control_stream;

struct control_stream_events {
    /* A connect function succeeded; reading has begun. May be NULL. */
    void (*connected)(void *arg, struct control_stream *stream);
    /* One whole message. May call any function of this file, control_stream_close too. */
    void (*message)(void *arg, struct control_stream *stream,
                    const Sf__Control__Envelope *envelope);
    /* CLOSED: the peer ended it. FORMAT: malformed or too long. IO: text says what the system
     * answered (also for a failed connect). text is valid during the call. */
    void (*ended)(void *arg, struct control_stream *stream, sf_status status, const char *text);
};

enum control_stream_kind { CONTROL_STREAM_TCP, CONTROL_STREAM_PIPE };

/* NOMEM, IO. `events` is copied. The frame limit begins at CONTROL_FRAME_BYTES_MAX. */
SF_MUST_CHECK sf_status control_stream_create(uv_loop_t *loop, enum control_stream_kind kind,
                                              const struct control_stream_events *events, void *arg,
                                              struct control_stream **out_stream);
/* For uv_accept and for the peer's address. Leave reading, writing and closing to this file. */
uv_stream_t *control_stream_handle(struct control_stream *stream);
/* Changes where events go, e.g. once it is known what kind of peer this is. */
void control_stream_set_arg(struct control_stream *stream, void *arg);
/* Largest frame accepted from now on, at most CONTROL_FRAME_BYTES_MAX. */
void control_stream_set_limit(struct control_stream *stream, uint32_t frame_bytes_max);

/* Begins reading an accepted stream. IO. */
SF_MUST_CHECK sf_status control_stream_start(struct control_stream *stream);
/* Begins connecting; then `connected`, or `ended` with IO. */
SF_MUST_CHECK sf_status control_stream_connect_tcp(struct control_stream *stream,
                                                   const struct sockaddr *address);
void control_stream_connect_pipe(struct control_stream *stream, const char *path);

/*
 * Queues one message. LIMIT: it is over CONTROL_FRAME_BYTES_MAX, or too much is waiting already
 * (nothing queued). CLOSED: the stream has ended or is not connected. NOMEM.
 */
SF_MUST_CHECK sf_status control_stream_send(struct control_stream *stream,
                                            const Sf__Control__Envelope *envelope);
/* Bytes queued that the system has not taken yet. */
uint64_t control_stream_queued(const struct control_stream *stream);

/* A message lives only during its event: one to keep. Free it as unpacked. NULL: no memory. */
Sf__Control__Envelope *control_envelope_copy(const Sf__Control__Envelope *envelope);

/* Ends the stream at once; what is queued may be lost. No event after this. Takes NULL. */
void control_stream_close(struct control_stream *stream);
/* As close, but sends what is queued first. */
void control_stream_finish(struct control_stream *stream);

#endif
