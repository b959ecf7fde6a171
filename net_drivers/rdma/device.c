/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.c - which device, port and GID a link runs on.
 *
 * The configuration may name all three (NAME/PORT/GID), some, or none. Of what is left the best one
 * is taken, by its GID: with the link's own address first, then any RoCE v2 with an IPv4 address,
 * then IPv6; then InfiniBand, whose address is a LID; then RoCE v1; iWARP last, which is joined by
 * rdma_cm only. Of equals the first.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "port.h"

#define NAME_BYTES_MAX 63u
#define GIDS_LOOKED_AT 64u
#define RANK_IWARP 1u
#define RANK_ROCE_V1 2u
#define RANK_IB 3u
#define RANK_LINK_LOCAL 4u
#define RANK_IPV6 5u
#define RANK_IPV4 6u
#define RANK_OWN 7u

struct wanted {
    char name[NAME_BYTES_MAX + 1]; /* "": any */
    long port, gid;                /* -1: any */
    uint32_t ipv4;
};

struct found {
    struct ibv_context *context;
    char name[NAME_BYTES_MAX + 1];
    bool iwarp;
    uint32_t rank, gid_index, max_cqe;
    union ibv_gid gid;
    uint8_t port;
    struct ibv_port_attr attr;
};

/* "" or "auto", NAME, NAME/PORT, NAME/PORT/GID */
static bool wanted_parse(const struct link_config *config, struct wanted *out)
{
    const char *device = config->device != NULL ? config->device : "";
    size_t length = strcspn(device, "/");
    char *end = NULL;

    *out = (struct wanted){.port = -1, .gid = -1, .ipv4 = config->ipv4};
    if (length > NAME_BYTES_MAX) {
        return false;
    }
    memcpy(out->name, device, length);
    if (strcmp(out->name, "auto") == 0) {
        out->name[0] = '\0';
    }
    if (device[length] == '\0') {
        return true;
    }
    out->port = strtol(device + length + 1, &end, 10);
    if (end == device + length + 1 || out->port < 1 || out->port > 255) {
        return false;
    }
    if (*end == '/') {
        const char *digits = end + 1;

        out->gid = strtol(digits, &end, 10);
        if (end == digits || out->gid < 0 || out->gid > 255) {
            return false;
        }
    }
    return *end == '\0' && length > 0;
}

static bool is_mapped(const union ibv_gid *gid)
{
    static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    return memcmp(gid->raw, prefix, sizeof(prefix)) == 0;
}

uint32_t rdma__gid_rank(enum rdma_gid_kind kind, const union ibv_gid *gid, uint32_t ipv4)
{
    uint32_t address;

    if (kind != RDMA_GID_ROCE_V2) {
        return kind == RDMA_GID_IB ? RANK_IB : kind == RDMA_GID_ROCE_V1 ? RANK_ROCE_V1 : 0;
    }
    if (!is_mapped(gid)) {
        return gid->raw[0] == 0xfe && (gid->raw[1] & 0xc0) == 0x80 ? RANK_LINK_LOCAL : RANK_IPV6;
    }
    memcpy(&address, gid->raw + 12, sizeof(address));
    return ipv4 != 0 && ntohl(address) == ipv4 ? RANK_OWN : RANK_IPV4;
}

static const char *rank_text(uint32_t rank)
{
    static const char *const texts[] = {
        [0] = "",
        [RANK_IWARP] = "iWARP",
        [RANK_ROCE_V1] = "RoCE v1",
        [RANK_IB] = "InfiniBand",
        [RANK_LINK_LOCAL] = "RoCE v2, a link-local address",
        [RANK_IPV6] = "RoCE v2, an IPv6 address",
        [RANK_IPV4] = "RoCE v2, an IPv4 address",
        [RANK_OWN] = "RoCE v2, the link's own address",
    };

    return texts[rank];
}

/* The port's best GID; found->rank 0: none. */
static void gid_choose(const struct rdma_port *port, const struct wanted *wanted,
                       struct found *found)
{
    int count = found->attr.gid_tbl_len;
    bool infiniband = found->attr.link_layer == IBV_LINK_LAYER_INFINIBAND;

    for (uint32_t i = 0; i < (uint32_t)(count > 0 ? count : 0) && i < GIDS_LOOKED_AT; i++) {
        union ibv_gid gid = {.raw = {0}};
        enum rdma_gid_kind kind;
        uint32_t rank;

        if (wanted->gid >= 0 && (uint32_t)wanted->gid != i) {
            continue;
        }
        kind = port->verbs->query_gid(found->context, found->port, i, &gid);
        rank = rdma__gid_rank(infiniband && kind != RDMA_GID_NONE ? RDMA_GID_IB : kind, &gid,
                              wanted->ipv4);
        if (rank > found->rank) {
            found->rank = rank;
            found->gid_index = i;
            found->gid = gid;
        }
    }
}

/* Adds to the sentence of what was looked at and not taken. */
static void note(struct rdma_port *port, const char *name, uint32_t number, const char *what)
{
    size_t used = strlen(port->text);

    (void)snprintf(port->text + used, sizeof(port->text) - used, "%s%s port %u %s",
                   used > 0 ? ", " : "", name, number, what);
}

static void port_look(struct rdma_port *port, const struct wanted *wanted, struct found *look,
                      struct found *best)
{
    look->rank = 0;
    if (port->verbs->query_port(look->context, look->port, &look->attr) != 0) {
        note(port, look->name, look->port, "tells nothing of itself");
        return;
    }
    if (look->attr.state != IBV_PORT_ACTIVE) {
        note(port, look->name, look->port, "is down");
        return;
    }
    if (look->iwarp) {
        /* It has one GID, of its MAC address. */
        look->rank = wanted->gid <= 0 ? RANK_IWARP : 0;
        look->gid_index = 0;
        memset(&look->gid, 0, sizeof(look->gid));
        (void)port->verbs->query_gid(look->context, look->port, 0, &look->gid);
    } else {
        gid_choose(port, wanted, look);
    }
    if (look->rank == 0) {
        note(port, look->name, look->port, "has no such GID");
    } else if (look->rank > best->rank) {
        *best = *look;
    } else {
        note(port, look->name, look->port, "is no better");
    }
}

/* Looks at the ports of one device; it stays open if best is one of them. */
static void device_look(struct rdma_port *port, const struct wanted *wanted,
                        struct ibv_device *device, struct found *best)
{
    struct ibv_context *before = best->context;
    struct ibv_device_attr attr;
    struct found look = {.rank = 0};

    (void)snprintf(look.name, sizeof(look.name), "%s", port->verbs->get_device_name(device));
    look.iwarp = device->transport_type == IBV_TRANSPORT_IWARP;
    look.context = port->verbs->open_device(device);
    if (look.context == NULL) {
        note(port, look.name, 1, "cannot be opened");
        return;
    }
    if (port->verbs->query_device(look.context, &attr) != 0) {
        attr.phys_port_cnt = 0;
        note(port, look.name, 1, "tells nothing of itself");
    }
    look.max_cqe = (uint32_t)(attr.max_cqe > 0 ? attr.max_cqe : 0);
    for (uint32_t number = 1; number <= attr.phys_port_cnt; number++) {
        if (wanted->port < 0 || (uint32_t)wanted->port == number) {
            look.port = (uint8_t)number;
            port_look(port, wanted, &look, best);
        }
    }
    if (best->context != look.context) {
        (void)port->verbs->close_device(look.context);
    } else if (before != NULL) {
        (void)port->verbs->close_device(before);
    }
}

static sf_status refuse(struct rdma_port *port, const struct wanted *wanted, int count, int error)
{
    char why[sizeof(port->text)];

    (void)snprintf(why, sizeof(why), "%s", port->text);
    if (count == 0) {
        (void)snprintf(port->text, sizeof(port->text),
                       "rdma: this machine has no RDMA device%s%s (a kernel module for one, or "
                       "soft-RoCE: rdma_rxe)",
                       error != 0 ? ": " : "", error != 0 ? strerror(error) : "");
    } else if (why[0] == '\0') {
        (void)snprintf(port->text, sizeof(port->text), "rdma: of %d devices none is called %s",
                       count, wanted->name);
    } else {
        (void)snprintf(port->text, sizeof(port->text), "rdma: no device fits: %.200s", why);
    }
    return SF_IO;
}

static void take(struct rdma_port *port, const struct found *best)
{
    char address[INET6_ADDRSTRLEN] = "?";
    char others[sizeof(port->text)];
    uint32_t cqes_each = RDMA_RX_DEPTH + RDMA_TX_DEPTH;

    port->context = best->context;
    port->port_number = best->port;
    port->gid_index = best->gid_index;
    port->gid = best->gid;
    port->by_gid = best->rank != RANK_IB && best->rank != RANK_IWARP;
    port->iwarp = best->iwarp;
    port->by_cm |= best->iwarp;
    port->lid = best->attr.lid;
    port->path_mtu = (uint8_t)best->attr.active_mtu;
    port->active = true;
    port->peers_max = (best->max_cqe - best->iwarp) / cqes_each; /* queues_make wants one more */
    if (port->peers_max > RDMA_PEERS_MAX) {
        port->peers_max = RDMA_PEERS_MAX;
    }
    (void)inet_ntop(AF_INET6, best->gid.raw, address, sizeof(address));
    (void)snprintf(others, sizeof(others), "%s", port->text);
    (void)snprintf(port->about, sizeof(port->about),
                   "%.32s port %u, GID %u %s (%s%s), %u byte packets%s%.80s", best->name,
                   best->port, best->gid_index, address, rank_text(best->rank),
                   port->by_cm ? ", joined by rdma_cm" : "", 128u << port->path_mtu,
                   others[0] != '\0' ? "; not: " : "", others);
    port->text[0] = '\0';
}

sf_status rdma__device_open(struct rdma_port *port, const struct link_config *config)
{
    struct found best = {.context = NULL};
    struct ibv_device **list;
    struct wanted wanted;
    int count = 0;
    int error;

    if (!wanted_parse(config, &wanted)) {
        (void)snprintf(
            port->text, sizeof(port->text),
            "rdma: the device is 'auto', NAME, NAME/PORT or NAME/PORT/GID, e.g. rxe0/1/1");
        return SF_BADARG;
    }
    errno = 0;
    list = port->verbs->get_device_list(&count);
    error = errno;
    if (list == NULL) {
        return refuse(port, &wanted, 0, error);
    }
    for (int i = 0; i < count; i++) {
        if (wanted.name[0] == '\0' ||
            strcmp(wanted.name, port->verbs->get_device_name(list[i])) == 0) {
            device_look(port, &wanted, list[i], &best);
        }
    }
    port->verbs->free_device_list(list);
    if (best.context == NULL) {
        return refuse(port, &wanted, count, 0);
    }
    take(port, &best);
    if (port->peers_max == 0) {
        (void)snprintf(port->text, sizeof(port->text), "rdma: %.32s has too short queues (%u)",
                       best.name, best.max_cqe);
        return SF_LIMIT;
    }
    return SF_OK;
}
