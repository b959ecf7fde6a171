/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hello-many.c - exports HelloContract to many clients at once: one event loop, a watch and a timer
 * a client, and a count of greetings by name.
 *
 * Configuration: idle_ms (default 60000): a client that says nothing for so long is let go.
 * Exit code: 1, when it cannot go on.
 */
#include "HelloContract.h"
#include "sip.h"
#include "sip_loop.h"
#include "sip_map.h"

#define EXPORT "hello"
#define GREETING_BYTES_MAX 256u
#define NAMES_MAX 1000u /* names come from clients: their number is bounded */

struct client {
    struct sip_watch watch;
    struct sip_timer idle;
    struct HelloContract_Exp ep;
};

static struct sip_loop loop;
static struct sip_watch listening;
static struct sip_map names; /* how often greeted */
static int64_t idle_ns;
static struct sip_log_limit refusals = {.burst = 5, .period_ns = SIP_MS(10000)};

/* The watch is stopped before the handle goes. */
static void client_end(struct client *client, const char *why)
{
    sip_debug("client %u: %s", (unsigned)client->ep.h, why);
    sip_watch_stop(&client->watch);
    sip_timer_stop(&client->idle);
    (void)HelloContract_Exp_close(client->ep);
    sip_free(client);
}

static void on_idle(void *arg, struct sip_timer *timer)
{
    (void)timer;
    client_end(arg, "idle for too long");
}

/* How often this name was here, with this time. */
static uint64_t count_name(struct sip_span name)
{
    struct sip_map_entry *entry = sip_map_find_text(&names, name);

    if (entry != NULL) {
        return ++entry->value;
    }
    (void)sip_map_put_text(&names, name, 1); /* full: it is not counted */
    return 1;
}

static int32_t answer(struct HelloContract_Exp client, struct sip_span name)
{
    const uint64_t times = count_name(name);
    char *text = nk_block_alloc(GREETING_BYTES_MAX);
    int length;

    if (text == NULL) {
        return -SF_NOMEM;
    }
    length =
        sip_format(text, GREETING_BYTES_MAX, "hello, %.*s (%llu)",
                   (int)(name.bytes < 128 ? name.bytes : 128), name.at, (unsigned long long)times);
    return HelloContract_Exp_send_Greeting(client, (uint8_t *)text, (uint32_t)length);
}

static void on_client(void *arg, struct sip_watch *watch)
{
    struct client *client = arg;
    struct HelloContract_Exp_msg msg;
    int32_t result = HelloContract_Exp_recv(client->ep, &msg, 0);

    (void)watch;
    if (result < 0) {
        client_end(client, sip_status_text(result));
        return;
    }
    if (msg.tag == HelloContract_tag_Bye) {
        client_end(client, "said bye");
        return;
    }
    result = answer(client->ep, (struct sip_span){(char *)msg.Hello.name, msg.Hello.name_bytes});
    HelloContract_Exp_drop(&msg);
    if (result < 0) {
        client_end(client, sip_status_text(result));
        return;
    }
    sip_timer_start(&loop, &client->idle, idle_ns, 0, on_idle, client);
}

static void on_new_client(void *arg, struct sip_watch *watch)
{
    struct HelloContract_Exp ep;
    struct client *client;

    (void)arg;
    (void)watch;
    if (HelloContract_Exp_accept(EXPORT, &ep, 0) < 0) {
        return; /* it went away again */
    }
    client = sip_alloc_zeroed(1, sizeof(*client));
    if (client == NULL || sip_watch_start(&loop, &client->watch, ep.h, on_client, client) < 0) {
        sip_log_limited(&refusals, SIP_LOG_WARNING, "no room for another client");
        (void)HelloContract_Exp_close(ep);
        sip_free(client);
        return;
    }
    client->ep = ep;
    sip_timer_start(&loop, &client->idle, idle_ns, 0, on_idle, client);
}

int sip_main(void)
{
    const int32_t handle = sip_listen(EXPORT);

    idle_ns = SIP_MS(sip_config_u32("idle_ms", 60000));
    sip_map_init(&names, NAMES_MAX);
    if (handle < 0 || sip_watch_start(&loop, &listening, (uint32_t)handle, on_new_client, NULL)) {
        sip_error("cannot listen: %s", sip_status_text(handle));
        return 1;
    }
    sip_error("the loop ended: %s", sip_status_text(sip_loop_run(&loop)));
    return 1;
}
