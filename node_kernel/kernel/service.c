/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel services. The fabric's callbacks only put the port in a list; nk_run tells the service
 * afterwards, so service code may call the kernel freely. Services are worker 0's; their clients
 * may be on any worker, so their endpoints are touched under the lock.
 */
#include "internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static struct nk_port *port_create(struct nk_service *service, struct fab_ep *ep, const char *name)
{
    struct nk_port *port = calloc(1, sizeof(*port));

    if (port == NULL) {
        return NULL;
    }
    port->ep = ep;
    port->contract = fab_ep_contract(ep);
    port->service = service;
    port->name = name;
    port->state = NK_PORT_SERVICE;
    port->trace = nk__trace_of(service->kernel, ep);
    nk_list_init(&port->link);
    nk_list_insert(service->ports.prev, &port->held);
    fab_ep_hold(ep, port);
    if (service->ops->bytes != NULL) {
        fab_ep_stream(ep);
    }
    return port;
}

static void port_destroy(struct nk_port *port)
{
    nk_list_remove(&port->link);
    nk_list_remove(&port->held);
    free(port);
}

/* The port of an endpoint this service holds, or NULL. */
static struct nk_port *port_of(const struct nk_service *service, const struct fab_ep *ep)
{
    struct nk_port *port = fab_ep_holder(ep);

    return port != NULL && port->service == service ? port : NULL;
}

static void port_note(struct nk_port *port)
{
    if (nk_list_empty(&port->link)) {
        nk_list_insert(port->service->kernel->service_ready.prev, &port->link);
        nk__attend(port->service->kernel->workers[0]);
    }
}

void nk__service_ready(struct nk_port *port)
{
    port_note(port);
}

void nk__service_opened(struct nk_kernel *kernel, uint64_t owner, struct fab_ep *ep)
{
    struct nk_service *service = kernel->services;
    struct nk_port *port;

    while (service != NULL && service->owner != owner) {
        service = service->next;
    }
    port = service == NULL ? NULL : port_create(service, ep, service->ops->export_name);
    if (port == NULL) {
        nk__refuse(kernel, ep);
        return;
    }
    port_note(port);
}

/* Takes the next note; NULL: none, or there is nobody to tell. */
static struct nk_port *note_take(struct nk_kernel *kernel, bool *out_opened)
{
    struct nk_port *port = NK_CONTAINER(kernel->service_ready.next, struct nk_port, link);

    nk_list_remove(&port->link);
    if (fab_ep_holder(port->ep) != port) { /* closed or sent past nk_service_close and _send */
        port_destroy(port);
        return NULL;
    }
    *out_opened = !port->announced;
    if (!port->announced) {
        port->announced = 1;
        if (fab_ep_readable(port->ep)) {
            port_note(port);
        }
    }
    return port;
}

int nk__service_step(struct nk_kernel *kernel)
{
    struct nk_port *port;
    bool opened;

    if (__atomic_load_n(&kernel->service_ready.next, __ATOMIC_RELAXED) == &kernel->service_ready) {
        return 0;
    }
    nk__lock(kernel);
    port = note_take(kernel, &opened);
    nk__unlock(kernel);
    if (port != NULL && opened) {
        port->service->ops->opened(port->service->impl, port->ep);
    } else if (port != NULL) {
        port->service->ops->ready(port->service->impl, port->ep, port->user);
    }
    return 1;
}

static const struct ct_contract *contract_find(const struct nk_kernel *kernel, const char *name)
{
    for (uint32_t i = 0; i < kernel->contract_count; i++) {
        if (strcmp(kernel->contracts[i]->name, name) == 0) {
            return kernel->contracts[i];
        }
    }
    return NULL;
}

static sf_status service_export(struct nk_service *service, char *text, size_t text_capacity)
{
    const struct ct_contract *contract =
        contract_find(service->kernel, service->ops->contract_name);
    char name[FAB_NAME_BYTES_MAX + 1];
    sf_status st;

    if (contract == NULL) {
        nk__say(text, text_capacity, "service %s: this kernel has no contract %s", service->name,
                service->ops->contract_name);
        return SF_NOTFOUND;
    }
    (void)snprintf(name, sizeof(name), "%s.%s", service->name, service->ops->export_name);
    nk__lock(service->kernel);
    st = fab_export_add(service->kernel->fabric, name, contract, service->owner);
    nk__unlock(service->kernel);
    if (st != SF_OK) {
        nk__say(text, text_capacity, "export %s: %s", name, sf_status_text(st));
    }
    return st;
}

/* Locked. */
static void service_unexport(struct nk_service *service)
{
    char name[FAB_NAME_BYTES_MAX + 1];

    (void)snprintf(name, sizeof(name), "%s.%s", service->name, service->ops->export_name);
    fab_export_remove(service->kernel->fabric, name, service->owner);
}

sf_status nk_service_create(struct nk_kernel *kernel, const struct nk_service_ops *ops,
                            uint64_t number, const char *name, void *loop,
                            const struct nk_config *config, uint32_t config_count, char *text,
                            size_t text_capacity)
{
    struct nk_service *service;
    sf_status st;

    if (number == 0 || number >> 56 != 0 || strlen(name) > IMAGE_NAME_BYTES_MAX) {
        nk__say(text, text_capacity, "service: number or name out of range");
        return SF_BADARG;
    }
    for (service = kernel->services; service != NULL; service = service->next) {
        if (service->number == number) {
            return SF_EXISTS;
        }
    }
    service = calloc(1, sizeof(*service));
    if (service == NULL) {
        return SF_NOMEM;
    }
    service->kernel = kernel;
    service->ops = ops;
    service->number = number;
    service->owner = XH_OWNER(XH_OWNER_SERVICE, number);
    memcpy(service->name, name, strlen(name));
    nk_list_init(&service->ports);
    st = service_export(service, text, text_capacity);
    if (st != SF_OK) {
        free(service);
        return st;
    }
    st = ops->create(service, loop, config, config_count, &service->impl, text, text_capacity);
    nk__lock(kernel);
    if (st == SF_OK) {
        service->next = kernel->services;
        kernel->services = service;
    } else {
        service_unexport(service);
    }
    nk__unlock(kernel);
    if (st != SF_OK) {
        free(service);
    }
    return st;
}

static void service_end(struct nk_service *service, struct sf_cause cause)
{
    struct nk_kernel *kernel = service->kernel;

    nk__lock(kernel);
    service_unexport(service);
    nk__unlock(kernel);
    service->ops->destroy(service->impl);
    nk__lock(kernel);
    while (!nk_list_empty(&service->ports)) {
        struct nk_port *port = NK_CONTAINER(service->ports.next, struct nk_port, held);
        struct fab_ep *ep = fab_ep_holder(port->ep) == port ? port->ep : NULL;

        if (ep != NULL && port->trace != 0) {
            nk__trace_closed(kernel, port, cause, false);
        }
        port_destroy(port);
        if (ep != NULL) {
            fab_ep_hold(ep, NULL);
            fab_ep_close(ep, cause);
        }
    }
    nk__unlock(kernel);
    (void)xh_free_all(kernel->heap, service->owner);
    free(service);
}

sf_status nk_service_destroy(struct nk_kernel *kernel, uint64_t number)
{
    struct nk_service **link = &kernel->services;
    struct nk_service *service;

    while (*link != NULL && (*link)->number != number) {
        link = &(*link)->next;
    }
    service = *link;
    if (service == NULL) {
        return SF_NOTFOUND;
    }
    nk__lock(kernel);
    *link = service->next;
    nk__unlock(kernel);
    service_end(service, SF_CAUSE_OF(REVOKED));
    return SF_OK;
}

void nk__services_fini(struct nk_kernel *kernel)
{
    while (kernel->services != NULL) {
        struct nk_service *service = kernel->services;

        kernel->services = service->next;
        service_end(service, SF_CAUSE_OF(SHUTDOWN));
    }
}

/* --- for service code ---------------------------------------------------------------------------
 */

struct nk_kernel *nk_service_kernel(struct nk_service *service)
{
    return service->kernel;
}

uint64_t nk_service_owner(const struct nk_service *service)
{
    return service->owner;
}

sf_status nk_service_hold(struct nk_service *service, struct fab_ep *ep, void *user)
{
    struct nk_port *port;

    nk__lock(service->kernel);
    port = port_of(service, ep);
    if (port == NULL) {
        port = port_create(service, ep, "");
        if (port != NULL) {
            port->announced = 1;
            if (fab_ep_readable(ep)) {
                port_note(port);
            }
        }
    }
    if (port != NULL) {
        port->user = user;
    }
    nk__unlock(service->kernel);
    return port == NULL ? SF_NOMEM : SF_OK;
}

void nk_service_close(struct nk_service *service, struct fab_ep *ep, struct sf_cause cause)
{
    struct nk_port *port;

    nk__lock(service->kernel);
    port = port_of(service, ep);
    if (port != NULL) {
        if (port->trace != 0) {
            nk__trace_closed(service->kernel, port, cause, false);
        }
        port_destroy(port);
        fab_ep_hold(ep, NULL);
    }
    fab_ep_close(ep, cause);
    nk__unlock(service->kernel);
}

sf_status nk_service_recv(struct nk_service *service, struct fab_ep *ep, struct fab_msg *out_msg)
{
    const struct nk_port *port;
    uint8_t before;
    sf_status st;

    nk__lock(service->kernel);
    port = port_of(service, ep);
    before = fab_ep_state(ep);
    st = fab_ep_recv(ep, out_msg, service->owner);
    if (port != NULL && port->trace != 0) {
        if (st == SF_OK) {
            nk__trace_received(service->kernel, port, before, out_msg);
        } else if (st == SF_CLOSED) {
            nk__trace_closed(service->kernel, port, fab_ep_cause(ep), true);
        }
    }
    if (st == SF_OK) {
        const struct fab_plan *plan = &fab_ep_plans(ep)[out_msg->tag];

        for (uint32_t left = plan->blocks; left != 0; left &= left - 1) {
            struct xh_block *block = out_msg->args[__builtin_ctz(left)].block;

            if (block != NULL) {
                xh_discharge(block);
            }
        }
    }
    nk__unlock(service->kernel);
    return st;
}

/* Locked. */
static sf_status send_traced(struct nk_service *service, struct fab_ep *ep,
                             const struct fab_msg *msg)
{
    const struct nk_port *port = port_of(service, ep);
    struct nk_trace_event *event;
    sf_status st;

    if (port == NULL || port->trace == 0) {
        return fab_ep_send(ep, msg, service->owner);
    }
    event = nk__trace_sending(service->kernel, port, msg);
    st = fab_ep_send(ep, msg, service->owner);
    if (st == SF_OK) {
        nk__trace_sent(service->kernel, port, event);
    }
    return st;
}

sf_status nk_service_send(struct nk_service *service, struct fab_ep *ep, const struct fab_msg *msg)
{
    const struct ct_contract *contract = fab_ep_contract(ep);
    struct nk_port *given[CT_ARGS_MAX];
    uint32_t given_count = 0;
    sf_status st;

    nk__lock(service->kernel);
    if (msg->tag < contract->message_count) {
        const struct ct_message *message = &contract->messages[msg->tag];

        for (uint32_t i = 0; i < message->arg_count && i < msg->arg_count; i++) {
            if (message->args[i].kind == CT_ARG_ENDPOINT && msg->args[i].ep != NULL) {
                given[given_count] = port_of(service, msg->args[i].ep);
                given_count += given[given_count] != NULL;
            }
        }
    }
    st = send_traced(service, ep, msg);
    for (uint32_t i = 0; st == SF_OK && i < given_count; i++) {
        if (given[i]->trace != 0) {
            nk__trace_moved(service->kernel, given[i]);
        }
        port_destroy(given[i]);
    }
    nk__unlock(service->kernel);
    return st;
}

void nk_service_log(struct nk_service *service, const char *format, ...)
{
    struct nk_kernel *kernel = service->kernel;
    char text[NK_LOG_BYTES_MAX];
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (length > 0 && kernel->events.log != NULL) {
        kernel->events.log(kernel->events_arg, service->number, text,
                           (uint32_t)length < sizeof(text) ? (uint32_t)length
                                                           : (uint32_t)sizeof(text) - 1);
    }
}
