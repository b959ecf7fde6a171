/* SPDX-License-Identifier: Apache-2.0 */
#include "tcp.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "TcpContract_monitor.h"
#include "services/services.h"

void tcp__send(struct tcp *tcp, struct fab_ep *ep, enum TcpConnectionContract_tag tag,
               uint64_t scalar)
{
    struct fab_msg msg = {.tag = (uint8_t)tag};
    sf_status st;

    msg.arg_count = fab_ep_contract(ep)->messages[msg.tag].arg_count;
    msg.args[0].scalar = scalar;
    st = nk_service_send(tcp->service, ep, &msg);
    assert(st == SF_OK);
    (void)st;
}

/* --- clients -------------------------------------------------------------------------------------
 */

static void client_close(struct tcp *tcp, struct tcp_client *client, struct sf_cause cause)
{
    nk_service_close(tcp->service, client->ep, cause);
    *client->link = client->next;
    if (client->next != NULL) {
        client->next->link = client->link;
    }
    tcp->client_count--;
    free(client);
}

static void limit_say(struct tcp *tcp)
{
    if (!tcp->limit_said) {
        tcp->limit_said = true;
        nk_service_log(tcp->service,
                       "tcp: %u connections, the limit; more are refused (config: connections)",
                       tcp->conn_count_max);
    }
}

/* CreateTcpSession: Ready on the new endpoint, then Ack; over the limit the endpoint closes. */
static void client_create_session(struct tcp *tcp, struct tcp_client *client, struct fab_ep *ep)
{
    struct tcp_conn *conn = NULL;
    struct fab_msg ack = {.tag = TcpContract_tag_Ack};
    sf_status st;

    if (tcp__full(tcp)) {
        limit_say(tcp);
    } else {
        conn = tcp__conn_create(tcp, ep);
    }
    if (conn == NULL) {
        nk_service_close(tcp->service, ep, SF_CAUSE_OF(QUOTA));
    }
    st = nk_service_send(tcp->service, client->ep, &ack);
    assert(st == SF_OK);
    (void)st;
}

static void client_ready(struct tcp *tcp, struct tcp_client *client)
{
    struct fab_msg msg;
    sf_status st;

    while ((st = nk_service_recv(tcp->service, client->ep, &msg)) == SF_OK) {
        assert(msg.tag == TcpContract_tag_CreateTcpSession); /* the monitor lets in nothing else */
        client_create_session(tcp, client, msg.args[0].ep);
    }
    if (st != SF_AGAIN) {
        client_close(tcp, client, SF_CAUSE_OF(CLOSED_BY_PEER));
    }
}

static void tcp_opened(void *impl, struct fab_ep *ep)
{
    struct tcp *tcp = impl;
    struct fab_msg ready = {.tag = TcpContract_tag_Ready};
    struct tcp_client *client = NULL;
    sf_status st;

    if (tcp->client_count < TCP_CLIENTS_MAX) {
        client = calloc(1, sizeof(*client));
    }
    if (client == NULL || nk_service_hold(tcp->service, ep, &client->object) != SF_OK) {
        free(client);
        nk_service_close(tcp->service, ep, SF_CAUSE_OF(QUOTA));
        return;
    }
    client->object.kind = TCP_OBJECT_CLIENT;
    client->ep = ep;
    client->next = tcp->clients;
    client->link = &tcp->clients;
    if (client->next != NULL) {
        client->next->link = &client->next;
    }
    tcp->clients = client;
    tcp->client_count++;
    st = nk_service_send(tcp->service, ep, &ready);
    assert(st == SF_OK);
    (void)st;
}

static void tcp_ready(void *impl, struct fab_ep *ep, void *user)
{
    struct tcp_object *object = user;

    if (object->kind == TCP_OBJECT_CLIENT) {
        client_ready(impl, (struct tcp_client *)user);
    } else {
        tcp__conn_ready((struct tcp_conn *)user, ep);
    }
}

/* --- life ----------------------------------------------------------------------------------------
 */

static sf_status config_read(struct tcp *tcp, const struct nk_config *config, uint32_t config_count,
                             char *text, size_t text_capacity)
{
    tcp->conn_count_max = TCP_CONNECTIONS_DEFAULT;
    for (uint32_t i = 0; i < config_count; i++) {
        char *end = NULL;
        unsigned long number;
        if (strcmp(config[i].key, "connections") != 0) {
            snprintf(text, text_capacity, "service tcp: unknown config '%.63s'; known: connections",
                     config[i].key);
            return SF_BADARG;
        }
        number = strtoul(config[i].value, &end, 10);
        if (config[i].value[0] < '0' || config[i].value[0] > '9' || *end != '\0' || number == 0 ||
            number > TCP_CONNECTIONS_MAX) {
            snprintf(text, text_capacity,
                     "service tcp: config connections: a number from 1 to %u was expected",
                     TCP_CONNECTIONS_MAX);
            return SF_BADARG;
        }
        tcp->conn_count_max = (uint32_t)number;
    }
    return SF_OK;
}

static sf_status tcp_create(struct nk_service *service, void *loop, const struct nk_config *config,
                            uint32_t config_count, void **out_impl, char *text,
                            size_t text_capacity)
{
    struct tcp *tcp = calloc(1, sizeof(*tcp));
    sf_status st;

    if (tcp == NULL) {
        return SF_NOMEM;
    }
    st = config_read(tcp, config, config_count, text, text_capacity);
    if (st != SF_OK) {
        free(tcp);
        return st;
    }
    tcp->service = service;
    tcp->loop = loop;
    tcp->heap = nk_kernel_heap(nk_service_kernel(service));
    tcp->owner = nk_service_owner(service);
    *out_impl = tcp;
    return SF_OK;
}

/* The core closes the endpoints afterwards and frees their blocks. */
static void tcp_destroy(void *impl)
{
    struct tcp *tcp = impl;

    while (tcp->conns != NULL) {
        tcp__conn_end(tcp->conns);
    }
    while (tcp->clients != NULL) {
        struct tcp_client *client = tcp->clients;
        tcp->clients = client->next;
        free(client);
    }
    assert(tcp->listeners == NULL);
    free(tcp);
}

const struct nk_service_ops nk_tcp_ops = {
    .name = "tcp",
    .export_name = "tcp",
    .contract_name = "TcpContract",
    .create = tcp_create,
    .destroy = tcp_destroy,
    .opened = tcp_opened,
    .ready = tcp_ready,
};
