/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - fabricctl's side of ctl.sock: one request at a time, waited for. */
#include <assert.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "control/stream.h"
#include "ctl/ctl.h"

#define TAKE_WAIT_MS 1000u /* between two looks at the time */

struct ctl_client {
    struct ctl_context *context;
    uv_loop_t loop;
    uv_timer_t timer;
    uv_signal_t signals[2];
    bool watching;
    bool quiet;
    struct control_stream *stream;

    /* The call that is waiting. */
    uint64_t request;
    Sf__Control__Envelope *reply;
    bool connected;
    bool ended;
    bool expired;
    bool interrupted;
    char ended_text[200];

    enum ctl_take (*take)(void *arg, const Sf__Control__Envelope *envelope);
    void *take_arg;
    bool take_ended;
    void (*progress)(void *arg, const Sf__Control__Progress *progress);
    void *progress_arg;
    char error[2048];
};

static void on_connected(void *arg, struct control_stream *stream)
{
    struct ctl_client *client = arg;

    (void)stream;
    client->connected = true;
    uv_stop(&client->loop);
}

static void on_message(void *arg, struct control_stream *stream,
                       const Sf__Control__Envelope *envelope)
{
    struct ctl_client *client = arg;

    (void)stream;
    if (envelope->request == client->request && client->take != NULL) {
        enum ctl_take taken = client->take(client->take_arg, envelope);
        if (taken == CTL_TAKE_END) {
            client->take_ended = true;
            uv_stop(&client->loop);
        }
        if (taken != CTL_TAKE_PASS) {
            return;
        }
    }
    if (envelope->request != client->request || client->reply != NULL) {
        return; /* the answer of a call that was given up */
    }
    if (envelope->body_case == SF__CONTROL__ENVELOPE__BODY_PROGRESS) {
        if (client->progress != NULL) {
            client->progress(client->progress_arg, envelope->progress);
        } else {
            ctl_note("%6.1f s  %s", (double)envelope->progress->elapsed_ms / 1000,
                     envelope->progress->text);
        }
        return;
    }
    client->reply = control_envelope_copy(envelope);
    uv_stop(&client->loop);
}

static void on_ended(void *arg, struct control_stream *stream, sf_status status, const char *text)
{
    struct ctl_client *client = arg;

    (void)stream;
    client->ended = true;
    snprintf(client->ended_text, sizeof(client->ended_text), "%s",
             status == SF_CLOSED || text == NULL ? "it closed the connection" : text);
    uv_stop(&client->loop);
}

static void on_timer(uv_timer_t *timer)
{
    struct ctl_client *client = timer->data;

    client->expired = true;
    uv_stop(&client->loop);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct ctl_client *client = handle->data;

    (void)number;
    client->interrupted = true;
    uv_stop(&client->loop);
}

static int fail(struct ctl_client *client, enum ctl_exit code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct ctl_client *client, enum ctl_exit code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(client->error, sizeof(client->error), format, arguments);
    va_end(arguments);
    return client->quiet ? (int)code : ctl_error(client->context, code, "%s", client->error);
}

/* Runs the loop until something stops it or the time is over. */
static void wait_some(struct ctl_client *client, uint32_t timeout_ms)
{
    int result;

    client->expired = false;
    result = uv_timer_start(&client->timer, on_timer, timeout_ms, 0);
    assert(result == 0);
    uv_run(&client->loop, UV_RUN_DEFAULT);
    result = uv_timer_stop(&client->timer);
    assert(result == 0);
}

static int fail_unreachable(struct ctl_client *client, const char *why)
{
    struct ctl_context *context = client->context;

    if (context->socket_given) {
        return fail(client, CTL_UNREACHABLE, "cannot reach fabricd at %s: %s", context->socket_path,
                    why);
    }
    return fail(client, CTL_UNREACHABLE,
                "cannot reach fabricd at %s: no cluster named %s is running (%s); start one with: "
                "fabricctl cluster create%s%s",
                context->socket_path, context->cluster, why,
                strcmp(context->cluster, "default") == 0 ? "" : " --cluster ",
                strcmp(context->cluster, "default") == 0 ? "" : context->cluster);
}

int ctl_connect(struct ctl_context *context, bool quiet, struct ctl_client **out_client)
{
    static const struct control_stream_events events = {on_connected, on_message, on_ended};
    struct ctl_client *client = calloc(1, sizeof(*client));
    int code;

    if (client == NULL || uv_loop_init(&client->loop) != 0) {
        free(client);
        return ctl_error(context, CTL_ERROR, "no memory left");
    }
    client->context = context;
    client->quiet = quiet;
    uv_timer_init(&client->loop, &client->timer);
    client->timer.data = client;
    if (control_stream_create(&client->loop, CONTROL_STREAM_PIPE, &events, client,
                              &client->stream) != SF_OK) {
        code = fail(client, CTL_ERROR, "no memory left");
        goto disconnect;
    }
    control_stream_connect_pipe(client->stream, context->socket_path);
    wait_some(client, CTL_CONNECT_MS);
    if (!client->connected) {
        code = fail_unreachable(client, client->ended ? client->ended_text : "no answer");
        goto disconnect;
    }
    client->quiet = false;
    *out_client = client;
    return CTL_OK;

disconnect:
    ctl_disconnect(client);
    return code;
}

void ctl_disconnect(struct ctl_client *client)
{
    int left;

    if (client == NULL) {
        return;
    }
    control_stream_close(client->stream);
    uv_close((uv_handle_t *)&client->timer, NULL);
    if (client->watching) {
        uv_close((uv_handle_t *)&client->signals[0], NULL);
        uv_close((uv_handle_t *)&client->signals[1], NULL);
    }
    uv_run(&client->loop, UV_RUN_DEFAULT);
    left = uv_loop_close(&client->loop);
    assert(left == 0);
    ctl_reply_free(client->reply);
    free(client);
}

/* Turns what the waiting ended with into an exit code; the reply stays in client->reply. */
static int judge(struct ctl_client *client, Sf__Control__Envelope__BodyCase wanted,
                 uint32_t timeout_ms)
{
    const Sf__Control__Envelope *reply = client->reply;

    if (reply == NULL) {
        if (client->interrupted) {
            client->interrupted = false;
            return CTL_INTERRUPTED;
        }
        if (client->ended) {
            return fail(client, CTL_UNREACHABLE,
                        "fabricd at %s gave no answer: %s; look at fabricd.log in %s",
                        client->context->socket_path, client->ended_text,
                        client->context->state_dir);
        }
        return fail(client, CTL_UNREACHABLE, "fabricd at %s gave no answer within %u s",
                    client->context->socket_path, timeout_ms / 1000);
    }
    if (reply->body_case == SF__CONTROL__ENVELOPE__BODY_RESULT && reply->result->status != SF_OK) {
        uint32_t status = reply->result->status;
        return fail(client,
                    status == SF_NOTFOUND  ? CTL_NOT_FOUND
                    : status == SF_BADARG  ? CTL_USAGE
                    : status == SF_TIMEOUT ? CTL_UNREACHABLE
                                           : CTL_ERROR,
                    "%s", reply->result->text);
    }
    if (reply->body_case != wanted) {
        return fail(client, CTL_ERROR,
                    "fabricd gave an answer of another kind; are fabricctl and fabricd of one "
                    "version? see: fabricctl version");
    }
    return CTL_OK;
}

int ctl_call(struct ctl_client *client, Sf__Control__Envelope *body,
             Sf__Control__Envelope__BodyCase wanted, uint32_t timeout_ms,
             Sf__Control__Envelope **out_reply)
{
    sf_status status;
    int code;

    body->request = ++client->request;
    client->error[0] = '\0';
    ctl_reply_free(client->reply);
    client->reply = NULL;
    status = control_stream_send(client->stream, body);
    if (status != SF_OK && !client->ended) {
        return fail(client, CTL_UNREACHABLE, "cannot send to fabricd: %s", sf_status_text(status));
    }
    if (!client->ended && !client->interrupted) {
        wait_some(client, timeout_ms);
    }
    code = judge(client, wanted, timeout_ms);
    if (code == CTL_OK) {
        *out_reply = client->reply;
        client->reply = NULL;
    }
    return code;
}

void ctl_reply_free(Sf__Control__Envelope *reply)
{
    if (reply != NULL) {
        sf__control__envelope__free_unpacked(reply, NULL);
    }
}

void ctl_set_quiet(struct ctl_client *client, bool quiet)
{
    client->quiet = quiet;
}

const char *ctl_last_error(const struct ctl_client *client)
{
    return client->error;
}

void ctl_set_take(struct ctl_client *client,
                  enum ctl_take (*take)(void *arg, const Sf__Control__Envelope *envelope),
                  void *arg)
{
    client->take = take;
    client->take_arg = arg;
    client->take_ended = false;
}

int ctl_take_more(struct ctl_client *client, uint32_t timeout_ms)
{
    uint64_t end;

    uv_update_time(&client->loop);
    end = timeout_ms == 0 ? UINT64_MAX : uv_now(&client->loop) + timeout_ms;
    while (!client->take_ended && !client->interrupted && uv_now(&client->loop) < end) {
        uint64_t left = end - uv_now(&client->loop);

        if (client->ended) {
            return fail_unreachable(client, client->ended_text);
        }
        wait_some(client, left < TAKE_WAIT_MS ? (uint32_t)left : TAKE_WAIT_MS);
    }
    if (!client->take_ended && client->interrupted) {
        client->interrupted = false;
        return CTL_INTERRUPTED;
    }
    return CTL_OK;
}

void ctl_set_progress(struct ctl_client *client,
                      void (*progress)(void *arg, const Sf__Control__Progress *progress), void *arg)
{
    client->progress = progress;
    client->progress_arg = arg;
}

int ctl_watch_interrupts(struct ctl_client *client)
{
    static const int numbers[2] = {SIGINT, SIGTERM};
    int index;

    client->interrupted = false;
    if (client->watching) {
        return CTL_OK;
    }
    client->watching = true;
    for (index = 0; index < 2; index++) {
        uv_signal_init(&client->loop, &client->signals[index]);
        client->signals[index].data = client;
        if (uv_signal_start(&client->signals[index], on_signal, numbers[index]) != 0) {
            return fail(client, CTL_ERROR, "cannot watch signals");
        }
        uv_unref((uv_handle_t *)&client->signals[index]);
    }
    return CTL_OK;
}

int ctl_sleep(struct ctl_client *client, uint32_t milliseconds)
{
    uint64_t end;

    uv_update_time(&client->loop);
    end = uv_now(&client->loop) + milliseconds;
    while (!client->interrupted && uv_now(&client->loop) < end) {
        wait_some(client, (uint32_t)(end - uv_now(&client->loop)));
        if (client->ended) {
            return CTL_OK; /* the next call says so */
        }
    }
    if (client->interrupted) {
        client->interrupted = false;
        return CTL_INTERRUPTED;
    }
    return CTL_OK;
}
