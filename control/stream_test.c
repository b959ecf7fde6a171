/* SPDX-License-Identifier: Apache-2.0 */
/* Two streams over a real loopback connection, and one raw socket that misbehaves. */
#include "control/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SPINS_MAX 200000

struct side {
    struct control_stream *stream;
    uint32_t connected, messages, ended;
    uint64_t last_request;
    size_t last_bytes;
    sf_status end_status;
    bool close_on_message;
};

struct fixture {
    uv_loop_t loop;
    uv_tcp_t listener;
    struct sockaddr_in address;
    struct side client, server;
};

static void on_connected(void *arg, struct control_stream *stream)
{
    struct side *side = arg;
    (void)stream;
    side->connected++;
}

static void on_message(void *arg, struct control_stream *stream,
                       const Sf__Control__Envelope *envelope)
{
    struct side *side = arg;
    side->messages++;
    side->last_request = envelope->request;
    if (envelope->body_case == SF__CONTROL__ENVELOPE__BODY_IMAGE_PUT) {
        side->last_bytes = envelope->image_put->content.len;
    }
    if (side->close_on_message) {
        control_stream_close(stream);
        side->stream = NULL;
    }
}

static void on_ended(void *arg, struct control_stream *stream, sf_status status, const char *text)
{
    struct side *side = arg;
    assert_true(text[0] != '\0');
    side->ended++;
    side->end_status = status;
    control_stream_close(stream);
    side->stream = NULL;
}

static const struct control_stream_events events = {on_connected, on_message, on_ended};

static void on_accept(uv_stream_t *listener, int status)
{
    struct fixture *f = listener->data;
    assert_int_equal(status, 0);
    assert_int_equal(
        control_stream_create(&f->loop, CONTROL_STREAM_TCP, &events, &f->server, &f->server.stream),
        SF_OK);
    assert_int_equal(uv_accept(listener, control_stream_handle(f->server.stream)), 0);
    assert_int_equal(control_stream_start(f->server.stream), SF_OK);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int length = sizeof(f->address);
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&f->loop);
    uv_tcp_init(&f->loop, &f->listener);
    f->listener.data = f;
    uv_ip4_addr("127.0.0.1", 0, &f->address);
    uv_tcp_bind(&f->listener, (struct sockaddr *)&f->address, 0);
    uv_listen((uv_stream_t *)&f->listener, 4, on_accept);
    uv_tcp_getsockname(&f->listener, (struct sockaddr *)&f->address, &length);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    control_stream_close(f->client.stream);
    control_stream_close(f->server.stream);
    uv_close((uv_handle_t *)&f->listener, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

/* Runs the loop until *counter reaches wanted. */
static void until(struct fixture *f, const uint32_t *counter, uint32_t wanted)
{
    for (uint32_t i = 0; i < SPINS_MAX && *counter < wanted; i++) {
        uv_run(&f->loop, UV_RUN_NOWAIT);
        if (i > 1000) {
            usleep(50);
        }
    }
    assert_int_equal(*counter, wanted);
}

static void connect_client(struct fixture *f)
{
    assert_int_equal(
        control_stream_create(&f->loop, CONTROL_STREAM_TCP, &events, &f->client, &f->client.stream),
        SF_OK);
    assert_int_equal(control_stream_connect_tcp(f->client.stream, (struct sockaddr *)&f->address),
                     SF_OK);
    until(f, &f->client.connected, 1);
}

static int raw_client(struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&f->address, sizeof(f->address)), 0);
    while (f->server.stream == NULL) {
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    return fd;
}

static sf_status send_image(struct control_stream *stream, uint64_t request, size_t bytes)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__ImagePut put = SF__CONTROL__IMAGE_PUT__INIT;
    sf_status st;
    put.content.data = calloc(1, bytes + 1);
    put.content.len = bytes;
    envelope.request = request;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_IMAGE_PUT;
    envelope.image_put = &put;
    st = control_stream_send(stream, &envelope);
    free(put.content.data);
    return st;
}

static void messages_arrive_whole_and_in_order(void **state)
{
    struct fixture *f = *state;
    static const size_t sizes[] = {0, 1, 100, 70000, 5u << 20, 3};
    connect_client(f);
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_int_equal(send_image(f->client.stream, i + 1, sizes[i]), SF_OK);
        until(f, &f->server.messages, i + 1);
        assert_int_equal(f->server.last_request, i + 1);
        assert_int_equal(f->server.last_bytes, sizes[i]);
    }
    assert_int_equal(control_stream_queued(f->client.stream), 0);
}

static void frames_may_come_byte_by_byte(void **state)
{
    struct fixture *f = *state;
    static const uint8_t frames[] = {2, 0, 0, 0, 8, 7, 0, 0, 0, 0, 2, 0, 0, 0, 8, 9};
    int fd = raw_client(f);
    for (uint32_t i = 0; i < sizeof(frames); i++) {
        assert_int_equal(send(fd, frames + i, 1, MSG_NOSIGNAL), 1);
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    until(f, &f->server.messages, 3);
    assert_int_equal(f->server.last_request, 9);
    close(fd);
    until(f, &f->server.ended, 1);
    assert_int_equal(f->server.end_status, SF_CLOSED);
}

static void a_length_over_the_limit_ends_the_stream(void **state)
{
    struct fixture *f = *state;
    static const uint8_t head[] = {0x01, 0x00, 0x00, 0x05}; /* 80 MiB + 1 */
    int fd = raw_client(f);
    assert_int_equal(send(fd, head, sizeof(head), MSG_NOSIGNAL), sizeof(head));
    until(f, &f->server.ended, 1);
    assert_int_equal(f->server.end_status, SF_FORMAT);
    assert_int_equal(f->server.messages, 0);
    close(fd);
}

static void bytes_that_do_not_parse_end_the_stream(void **state)
{
    struct fixture *f = *state;
    static const uint8_t junk[] = {4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 8, 7};
    int fd = raw_client(f);
    assert_int_equal(send(fd, junk, sizeof(junk), MSG_NOSIGNAL), sizeof(junk));
    until(f, &f->server.ended, 1);
    assert_int_equal(f->server.end_status, SF_FORMAT);
    assert_int_equal(f->server.messages, 0);
    close(fd);
}

/* 4 MiB of empty repeated messages would decode to some 250 MiB. */
static void a_frame_that_swells_when_decoded_is_refused(void **state)
{
    struct fixture *f = *state;
    enum { ITEMS = 2u << 20 };
    size_t inner = (size_t)ITEMS * 2;
    uint8_t *bytes = calloc(1, 16 + inner);
    size_t at = 4;
    int fd = raw_client(f);
    bytes[at++] = 0x82; /* field 48, sip_list: 48 << 3 | 2 as a varint */
    bytes[at++] = 0x03;
    for (size_t n = inner; n > 0; n >>= 7) {
        bytes[at++] = (uint8_t)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
    }
    for (uint32_t i = 0; i < ITEMS; i++) {
        bytes[at++] = 0x0a; /* sips: empty SipInfo */
        bytes[at++] = 0;
    }
    for (uint32_t i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)((at - 4) >> (8 * i));
    }
    for (size_t sent = 0; sent < at && f->server.ended == 0;) {
        ssize_t n = send(fd, bytes + sent, at - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    until(f, &f->server.ended, 1);
    assert_int_equal(f->server.end_status, SF_FORMAT);
    free(bytes);
    close(fd);
}

static void a_message_handler_may_close(void **state)
{
    struct fixture *f = *state;
    f->server.close_on_message = true;
    connect_client(f);
    assert_int_equal(send_image(f->client.stream, 1, 10), SF_OK);
    assert_int_equal(send_image(f->client.stream, 2, 10), SF_OK);
    until(f, &f->client.ended, 1);
    assert_int_equal(f->server.messages, 1);
    assert_int_equal(f->server.ended, 0);
}

static void a_small_limit_holds_before_hello(void **state)
{
    struct fixture *f = *state;
    connect_client(f);
    while (f->server.stream == NULL) {
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    control_stream_set_limit(f->server.stream, CONTROL_HELLO_BYTES_MAX);
    assert_int_equal(send_image(f->client.stream, 1, CONTROL_HELLO_BYTES_MAX), SF_OK);
    until(f, &f->server.ended, 1);
    assert_int_equal(f->server.end_status, SF_FORMAT);
}

static void finish_sends_what_is_queued(void **state)
{
    struct fixture *f = *state;
    connect_client(f);
    assert_int_equal(send_image(f->client.stream, 1, 30u << 20), SF_OK);
    control_stream_finish(f->client.stream);
    f->client.stream = NULL;
    until(f, &f->server.messages, 1);
    assert_int_equal(f->server.last_bytes, 30u << 20);
    until(f, &f->server.ended, 1);
    assert_int_equal(f->server.end_status, SF_CLOSED);
}

static void too_much_is_refused_whole(void **state)
{
    struct fixture *f = *state;
    connect_client(f);
    assert_int_equal(send_image(f->client.stream, 1, CONTROL_FRAME_BYTES_MAX + 1), SF_LIMIT);
    assert_int_equal(control_stream_queued(f->client.stream), 0);
}

static void a_refused_connect_is_an_end_with_io(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in nobody = f->address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t length = sizeof(nobody);
    nobody.sin_port = 0;
    assert_int_equal(bind(fd, (struct sockaddr *)&nobody, sizeof(nobody)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&nobody, &length), 0);
    assert_int_equal(
        control_stream_create(&f->loop, CONTROL_STREAM_TCP, &events, &f->client, &f->client.stream),
        SF_OK);
    assert_int_equal(send_image(f->client.stream, 1, 1), SF_CLOSED);
    assert_int_equal(control_stream_connect_tcp(f->client.stream, (struct sockaddr *)&nobody),
                     SF_OK);
    until(f, &f->client.ended, 1);
    assert_int_equal(f->client.end_status, SF_IO);
    assert_int_equal(f->client.connected, 0);
    close(fd);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(messages_arrive_whole_and_in_order),
        CASE(frames_may_come_byte_by_byte),
        CASE(a_length_over_the_limit_ends_the_stream),
        CASE(bytes_that_do_not_parse_end_the_stream),
        CASE(a_frame_that_swells_when_decoded_is_refused),
        CASE(a_message_handler_may_close),
        CASE(a_small_limit_holds_before_hello),
        CASE(finish_sends_what_is_queued),
        CASE(too_much_is_refused_whole),
        CASE(a_refused_connect_is_an_end_with_io),
    };
    return cmocka_run_group_tests_name("control_stream", tests, NULL, NULL);
}
