/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_tcp.c - as much TCP as a contract can see: who listens, who is connected to whom, bytes
 * under way, ends and resets.
 */
#include <assert.h>
#include <string.h>

#include "fake.h"

#define SOCKS_MAX 512u
#define LOOPBACK 0x7f000001u
#define NEVER INT64_MAX

struct sock {
    bool used;
    struct fake_channel *channel; /* NULL: nobody accepted it yet, or its client is gone */
    enum { FRESH, BOUND, LISTENING, CONNECTED } kind;
    uint32_t ip, port;
    struct sock *peer;  /* CONNECTED: the other end; NULL: it is gone */
    struct sock *queue; /* LISTENING: waiting to be accepted */
    struct sock *queue_next;
    uint32_t arrived; /* bytes */
    bool end;         /* the peer sends no more */
    bool reset;
    bool said_no_more_sending;
    const char *waiting; /* "Read", "PollRead" or "Accept"; NULL: none */
    int64_t waiting_until;
    struct fake_channel *accepting; /* Accept: what the connection is to be served on */
};

static struct sock socks[SOCKS_MAX];
static struct fake_channel *service;
static bool service_ready;

void model_reset(void)
{
    memset(socks, 0, sizeof(socks));
    service = NULL;
    service_ready = false;
}

static struct sock *add_sock(struct fake_channel *channel)
{
    for (uint32_t i = 0; i < SOCKS_MAX; i++) {
        if (!socks[i].used) {
            socks[i] = (struct sock){.used = true, .channel = channel};
            if (channel != NULL) {
                channel->user = &socks[i];
                channel->served = true;
            }
            return &socks[i];
        }
    }
    assert(!"model: too many sockets");
    return NULL;
}

void model_serve(struct fake_channel *channel)
{
    service = channel;
    channel->served = true;
}

/* Is somebody listening there under an address that overlaps this one without being the same? */
static bool taken(uint32_t ip, uint32_t port)
{
    for (uint32_t i = 0; i < SOCKS_MAX; i++) {
        if (socks[i].used && socks[i].kind == LISTENING && socks[i].port == port &&
            socks[i].ip != ip) {
            return true;
        }
    }
    return false;
}

static void hang_up(struct sock *sock, bool hard)
{
    if (sock->kind == CONNECTED && sock->peer != NULL) {
        sock->peer->end = true;
        sock->peer->reset = sock->peer->reset || hard;
        sock->peer->peer = NULL;
        sock->peer = NULL;
    }
    sock->kind = FRESH;
    sock->channel = NULL;
}

/* --- messages
 * ------------------------------------------------------------------------------------------- */

static void on_bind(struct sock *sock, const struct nk_msg *msg)
{
    uint32_t ip = (uint32_t)msg->args[0];

    if ((ip != LOOPBACK && ip != 0) || taken(ip, (uint32_t)msg->args[1])) {
        fake_give(sock->channel, "InvalidEndPoint", 0);
        return;
    }
    sock->kind = BOUND;
    sock->ip = ip;
    sock->port = (uint32_t)msg->args[1];
    fake_give(sock->channel, "OK", 0);
}

static void on_listen(struct sock *sock)
{
    if (taken(sock->ip, sock->port) && fake_fault != FAULT_NEVER_COULD_NOT) {
        sock->kind = FRESH;
        fake_give(sock->channel, "CouldNotListen", 0);
        return;
    }
    sock->kind = LISTENING;
    fake_give(sock->channel, "OK", 0);
}

static void on_connect(struct sock *sock, const struct nk_msg *msg)
{
    for (uint32_t i = 0; i < SOCKS_MAX; i++) {
        struct sock *listener = &socks[i];
        if (listener->used && listener->kind == LISTENING && listener->port == msg->args[1]) {
            struct sock *far = add_sock(NULL);
            struct sock **at = &listener->queue;
            far->kind = sock->kind = CONNECTED;
            far->peer = sock;
            sock->peer = far;
            while (*at != NULL) {
                at = &(*at)->queue_next;
            }
            *at = far;
            fake_give(sock->channel, "OK", 0);
            return;
        }
    }
    fake_give(sock->channel, "CouldNotConnect", 3);
}

static void on_write(struct sock *sock, const struct nk_msg *msg)
{
    fake_block_drop(msg->args[0]);
    if (sock->reset || sock->peer == NULL) {
        fake_give(sock->channel, "CantSend", 0);
        return;
    }
    sock->peer->arrived += (uint32_t)(msg->args[0] >> 32);
    fake_give(sock->channel, "OK", 0);
}

/* Read, PollRead and Accept are answered when there is something to answer. */
static void try_waiting(struct sock *sock)
{
    if (strcmp(sock->waiting, "Accept") == 0) {
        if (sock->queue == NULL) {
            return;
        }
        struct sock *accepted = sock->queue;
        sock->queue = accepted->queue_next;
        accepted->channel = sock->accepting;
        accepted->channel->user = accepted;
        accepted->channel->served = true;
        fake_give(accepted->channel, "Ready", 0);
        fake_give(sock->channel, "OK", 0);
    } else if (sock->arrived > 0 && !sock->reset) {
        fake_give(sock->channel, "Data", fake_block(sock->arrived));
        sock->arrived = 0;
    } else if (sock->end || sock->reset) {
        bool dead = sock->reset && !sock->said_no_more_sending;
        fake_give(sock->channel, dead ? "ConnectionClosed" : "NoMoreData", 0);
    } else if (strcmp(sock->waiting, "PollRead") == 0 && sock->waiting_until <= fake_now_ns) {
        fake_give(sock->channel, "NoData", 0);
    } else {
        return;
    }
    sock->waiting = NULL;
}

static void on_question(struct sock *sock, const char *name)
{
    if (strcmp(name, "GetLocalAddress") == 0 || strcmp(name, "GetRemoteAddress") == 0) {
        fake_give(sock->channel, "IPAddress", LOOPBACK);
    } else if (strcmp(name, "GetLocalPort") == 0 && fake_fault == FAULT_CLOSES) {
        fake_close(sock->channel);
    } else if (strcmp(name, "GetRemotePort") == 0 && fake_fault == FAULT_SILENT) {
        return;
    } else if (strcmp(name, "GetLocalPort") == 0 || strcmp(name, "GetRemotePort") == 0) {
        fake_give(sock->channel, "Port", sock->port);
    } else if (strcmp(name, "IsSessionAvailable") == 0) {
        fake_give(sock->channel, "SessionIsAvailable", sock->queue != NULL);
    } else if (strcmp(name, "IsDataAvailable") == 0) {
        fake_give(sock->channel, "DataIsAvailable", sock->arrived > 0);
    } else {
        assert(!"model: unknown message");
    }
}

static void on_message(struct sock *sock, const struct nk_msg *msg)
{
    const char *name = sock->channel->contract->messages[msg->tag].name;

    if (strcmp(name, "BindLocalEndPoint") == 0) {
        on_bind(sock, msg);
    } else if (strcmp(name, "Listen") == 0) {
        on_listen(sock);
    } else if (strcmp(name, "Connect") == 0) {
        on_connect(sock, msg);
    } else if (strcmp(name, "Write") == 0) {
        on_write(sock, msg);
        sock->said_no_more_sending = sock->said_no_more_sending || sock->peer == NULL;
    } else if (strcmp(name, "Read") == 0 || strcmp(name, "PollRead") == 0 ||
               strcmp(name, "Accept") == 0) {
        sock->waiting = name;
        sock->waiting_until =
            name[0] == 'P' ? fake_now_ns + (int64_t)msg->args[0] * 1000000 : NEVER;
        sock->accepting = name[0] == 'A' ? fake_channel_of((uint32_t)msg->args[0]) : NULL;
    } else if (strcmp(name, "DoneSending") == 0) {
        sock->said_no_more_sending = true;
        if (sock->peer != NULL) {
            sock->peer->end = true;
        }
    } else if (strcmp(name, "Close") == 0 || strcmp(name, "Abort") == 0) {
        hang_up(sock, name[0] == 'A');
    } else if (strcmp(name, "DoneReceiving") != 0) {
        on_question(sock, name);
    }
}

/* --- running
 * --------------------------------------------------------------------------------------------- */

static bool run_sock(struct sock *sock)
{
    struct nk_msg msg;

    if (sock->channel == NULL) {
        return false;
    }
    if (sock->waiting != NULL) {
        try_waiting(sock);
        return sock->waiting == NULL;
    }
    if (fake_take(sock->channel, &msg)) {
        on_message(sock, &msg);
        return true;
    }
    if (sock->channel->closed[CT_IMP]) {
        hang_up(sock, false);
        return true;
    }
    return false;
}

static bool run_service(void)
{
    struct nk_msg msg;

    if (service == NULL) {
        return false;
    }
    if (!service_ready) {
        service_ready = true;
        fake_give(service, "Ready", 0);
        return true;
    }
    if (!fake_take(service, &msg)) {
        return false;
    }
    struct sock *sock = add_sock(fake_channel_of((uint32_t)msg.args[0]));
    fake_give(sock->channel, "Ready", 0);
    fake_give(service, "Ack", 0);
    return true;
}

int64_t model_run(void)
{
    bool ran = true;
    int64_t due = NEVER;

    while (ran) {
        ran = run_service();
        for (uint32_t i = 0; i < SOCKS_MAX; i++) {
            ran = (socks[i].used && run_sock(&socks[i])) || ran;
        }
    }
    for (uint32_t i = 0; i < SOCKS_MAX; i++) {
        if (socks[i].used && socks[i].waiting != NULL && socks[i].waiting_until < due) {
            due = socks[i].waiting_until;
        }
    }
    return due;
}
