/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <rdma/rdma_netlink.h>

#include "link/rdma.h"

#define NAME_BYTES_MAX 63u

static const struct {
    const char *type, *name, *module;
} kinds[] = {
    [LINK_RDMA_SOFT_RXE] = {"rxe", "soft-RoCE", "rdma_rxe"},
    [LINK_RDMA_SOFT_SIW] = {"siw", "soft-iWARP", "siw"},
};

/* One request to the kernel's RDMA subsystem, as `rdma link add NAME type KIND netdev INTERFACE`.
 */
struct request {
    struct nlmsghdr head;
    uint8_t attributes[3 * (NLA_HDRLEN + NAME_BYTES_MAX + NLA_ALIGNTO)];
};

static void attribute_add(struct request *request, uint16_t type, const char *value)
{
    struct nlattr *at =
        (struct nlattr *)((uint8_t *)request + NLMSG_ALIGN(request->head.nlmsg_len));
    size_t length = strlen(value) + 1;

    at->nla_type = type;
    at->nla_len = (uint16_t)(NLA_HDRLEN + length);
    memcpy((uint8_t *)at + NLA_HDRLEN, value, length);
    request->head.nlmsg_len =
        NLMSG_ALIGN(request->head.nlmsg_len) + (uint32_t)NLA_ALIGN(at->nla_len);
}

/* Answers an errno value; 0: done. */
static int ask(int fd, const struct request *request)
{
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
        uint8_t more[1024];
    } answer;
    ssize_t length;

    if (send(fd, request, request->head.nlmsg_len, 0) != (ssize_t)request->head.nlmsg_len) {
        return errno;
    }
    length = recv(fd, &answer, sizeof(answer), 0);
    if (length < (ssize_t)NLMSG_LENGTH(sizeof(answer.error)) ||
        answer.head.nlmsg_type != NLMSG_ERROR) {
        return length < 0 ? errno : EPROTO;
    }
    return -answer.error.error;
}

sf_status link_rdma_soft_add(enum link_rdma_soft kind, const char *name, const char *interface,
                             char *text, size_t text_capacity)
{
    struct request request = {.head = {.nlmsg_len = NLMSG_HDRLEN, .nlmsg_seq = 1}};
    struct timeval wait = {.tv_sec = 5};
    int fd, error;

    if (strlen(name) > NAME_BYTES_MAX || strlen(interface) >= IFNAMSIZ) {
        (void)snprintf(text, text_capacity, "a name is too long");
        return SF_BADARG;
    }
    request.head.nlmsg_type = RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, RDMA_NLDEV_CMD_NEWLINK);
    request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    attribute_add(&request, RDMA_NLDEV_ATTR_DEV_NAME, name);
    attribute_add(&request, RDMA_NLDEV_ATTR_LINK_TYPE, kinds[kind].type);
    attribute_add(&request, RDMA_NLDEV_ATTR_NDEV_NAME, interface);
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_RDMA);
    if (fd < 0) {
        (void)snprintf(text, text_capacity, "this kernel has no RDMA: %s", strerror(errno));
        return SF_IO;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    error = ask(fd, &request);
    (void)close(fd);
    if (error == 0) {
        return SF_OK;
    }
    if (error == EINVAL || error == ENODEV || error == EOPNOTSUPP) {
        (void)snprintf(text, text_capacity,
                       "no %s on %s: %s (is there that interface, and is %s loaded?)",
                       kinds[kind].name, interface, strerror(error), kinds[kind].module);
    } else {
        (void)snprintf(text, text_capacity, "no %s on %s: %s", kinds[kind].name, interface,
                       strerror(error));
    }
    return error == EEXIST ? SF_EXISTS : SF_IO;
}
