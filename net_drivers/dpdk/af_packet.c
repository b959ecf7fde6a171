/* SPDX-License-Identifier: Apache-2.0 */
/*
 * af_packet.c - a kernel network interface by DPDK's net_af_packet.
 *
 * Model: DPDK opens a packet socket on the interface, with a ring of frames each way that it shares
 * with the kernel, and copies between the rings and packet buffers. A ring frame has one of two
 * sizes, by the link's MTU. The interface stays the kernel's: its MTU, address and state are
 * checked here and never changed.
 *
 * The socket is DPDK's and it does not tell which; we find it among our descriptors, and
 *   filter it: only UDP to our port comes in, so the host's own traffic neither fills the ring nor
 *     costs a copy, and what the host sends on the interface is not seen at all;
 *   let it hold a whole ring of frames on their way out (SO_SNDBUF), and ask the kernel again for
 *     what it left in the ring: DPDK asks only when there is more to send.
 *
 * What comes in, the host's own stack sees, too. It would look for somebody at our port, find
 * nobody, and answer each frame with an ICMP message, on the sender's processor where the interface
 * is a veth. So we hold that port on that interface, with a filter that takes nothing.
 *
 * Queues: a socket each. They are a fanout group: the kernel chooses the socket by a hash of a
 * frame's addresses, the same for both directions of a pair of nodes.
 *
 * The carrier is the interface's, and says nothing of who listens at the other end.
 */
#include <errno.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/if.h>
#include <linux/if_packet.h>

#include <rte_bus_vdev.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>

#include "ether.h"
#include "log.h"

/* What the kernel puts in front of a packet in a ring frame (TPACKET_V2), and a VLAN tag. */
#define FRAME_OVERHEAD_BYTES (66u + 4u)
/* A block of the ring is whole pages, and whole frames: DPDK takes the ring for one array. */
#define FRAME_SMALL_BYTES ETHER_PACKET_SMALL_BYTES
#define BLOCK_SMALL_BYTES 4096u
#define FRAMES_SMALL 1024u
#define FRAME_LARGE_BYTES ETHER_PACKET_LARGE_BYTES
#define BLOCK_LARGE_BYTES 20480u
#define FRAMES_LARGE 512u
#define POOL_FRAMES 1023u
#define MTU_SMALL_MAX                                                                              \
    (FRAME_SMALL_BYTES - FRAME_OVERHEAD_BYTES - ETHER_FRAME_BYTES - ETHER_HEADERS_BYTES)
#define MTU_LARGE_MAX 10000u
_Static_assert(MTU_LARGE_MAX + ETHER_HEADERS_BYTES + ETHER_FRAME_BYTES + FRAME_OVERHEAD_BYTES <=
                   FRAME_LARGE_BYTES,
               "the largest packet fits");
#define DESCRIPTORS_SEARCHED 256

static const struct ether_kind af_packet = {
    .driver = "af_packet",
    .device = "the name of a network interface, e.g. eth1",
    .mtu_bytes_max = MTU_LARGE_MAX,
    .mtu_bytes_default = 0, /* the interface's */
    .look_microseconds = 1000,
};

/* --- the interface ------------------------------------------------------------------------------
 */

static bool interface_ask(const struct dpdk_port *port, unsigned long what, struct ifreq *out)
{
    memset(out, 0, sizeof(*out));
    (void)snprintf(out->ifr_name, sizeof(out->ifr_name), "%s", port->interface);
    return ioctl(port->control_fd, what, out) == 0;
}

static sf_status mtu_check(struct dpdk_port *port)
{
    struct ifreq ask;
    uint32_t ip_bytes;

    if (!interface_ask(port, SIOCGIFMTU, &ask)) {
        return dpdk__port_refuse(port, SF_IO, "interface %s tells no MTU: %s", port->interface,
                                 strerror(errno));
    }
    ip_bytes = (uint32_t)ask.ifr_mtu;
    if (port->mtu_bytes == 0 && ip_bytes > ETHER_HEADERS_BYTES + ETHER_MTU_BYTES_MIN) {
        port->mtu_bytes = ip_bytes - ETHER_HEADERS_BYTES;
        if (port->mtu_bytes > MTU_LARGE_MAX) {
            port->mtu_bytes = MTU_LARGE_MAX;
        }
    }
    if (port->mtu_bytes == 0 || port->mtu_bytes + ETHER_HEADERS_BYTES > ip_bytes) {
        uint32_t wanted = port->mtu_bytes != 0 ? port->mtu_bytes : ETHER_MTU_BYTES_MIN;

        return dpdk__port_refuse(port, SF_BADARG,
                                 "mtu %u wants an interface MTU of %u, %s has %u: set it (ip link "
                                 "set %s mtu %u) or ask for less",
                                 wanted, wanted + ETHER_HEADERS_BYTES, port->interface, ip_bytes,
                                 port->interface, wanted + ETHER_HEADERS_BYTES);
    }
    return SF_OK;
}

static sf_status address_check(struct dpdk_port *port)
{
    static const uint8_t none[6];
    struct ifreq ask;
    const uint8_t *mac;

    if (!interface_ask(port, SIOCGIFHWADDR, &ask) || ask.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
        return dpdk__port_refuse(port, SF_BADARG, "%s is no Ethernet interface", port->interface);
    }
    mac = (const uint8_t *)ask.ifr_hwaddr.sa_data;
    if (memcmp(port->us.mac, none, 6) != 0 && memcmp(port->us.mac, mac, 6) != 0) {
        return dpdk__port_refuse(port, SF_BADARG,
                                 "%s has the address %02x:%02x:%02x:%02x:%02x:%02x: leave out mac, "
                                 "or change the interface's (ip link set %s address ...)",
                                 port->interface, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5],
                                 port->interface);
    }
    memcpy(port->us.mac, mac, 6);
    return SF_OK;
}

static sf_status permission_check(struct dpdk_port *port)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return dpdk__port_refuse(
            port, SF_IO,
            "no packet socket (%s): it needs CAP_NET_RAW: run as root, or give "
            "the program that capability (setcap cap_net_raw+ep)",
            strerror(errno));
    }
    (void)close(fd);
    return SF_OK;
}

/* Somebody else may have the port already: then it is held. */
static void port_hold(const struct dpdk_port *port)
{
    struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {.len = 1, .filter = &nothing};
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(FORMAT_UDP_PORT)};

    if (setsockopt(port->control_fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ==
            0 &&
        setsockopt(port->control_fd, SOL_SOCKET, SO_BINDTODEVICE, port->interface,
                   (socklen_t)strlen(port->interface)) == 0) {
        (void)bind(port->control_fd, (struct sockaddr *)&any, sizeof(any));
    }
}

static sf_status interface_check(struct dpdk_port *port, const char *name)
{
    struct ifreq ask;
    sf_status st;

    if (strlen(name) >= sizeof(port->interface) || strpbrk(name, ",=[]\"/ ") != NULL) {
        return dpdk__port_refuse(port, SF_BADARG, "the device is %s", af_packet.device);
    }
    (void)snprintf(port->interface, sizeof(port->interface), "%s", name);
    port->control_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (port->control_fd < 0) {
        return dpdk__port_refuse(port, SF_IO, "no socket: %s", strerror(errno));
    }
    if (!interface_ask(port, SIOCGIFINDEX, &ask)) {
        return dpdk__port_refuse(port, SF_NOTFOUND,
                                 "there is no interface %s here (%s); ip link lists those of this "
                                 "network namespace",
                                 port->interface, strerror(errno));
    }
    port->interface_index = ask.ifr_ifindex;
    if (!interface_ask(port, SIOCGIFFLAGS, &ask) || (ask.ifr_flags & IFF_UP) == 0) {
        return dpdk__port_refuse(port, SF_IO, "interface %s is down: ip link set %s up",
                                 port->interface, port->interface);
    }
    st = address_check(port);
    if (st == SF_OK) {
        st = mtu_check(port);
    }
    if (st == SF_OK) {
        st = permission_check(port);
    }
    if (st == SF_OK) {
        port_hold(port);
    }
    return st;
}

/* --- DPDK's socket ------------------------------------------------------------------------------
 */

/* Of a packet socket on our interface. */
static bool socket_is_ours(const struct dpdk_port *port, int fd)
{
    struct sockaddr_ll address = {0};
    socklen_t bytes = sizeof(address);

    return getsockname(fd, (struct sockaddr *)&address, &bytes) == 0 &&
           address.sll_family == AF_PACKET && address.sll_ifindex == port->interface_index;
}

/* The lowest free descriptor: what is opened next is there or above. */
static int descriptor_next(const struct dpdk_port *port)
{
    int fd = dup(port->control_fd);

    if (fd >= 0) {
        (void)close(fd);
    }
    return fd;
}

struct descriptors {
    int first;
    bool known[DESCRIPTORS_SEARCHED];
};

static void descriptors_note(const struct dpdk_port *port, struct descriptors *all)
{
    all->first = descriptor_next(port);
    for (int i = 0; i < DESCRIPTORS_SEARCHED; i++) {
        all->known[i] = socket_is_ours(port, all->first + i);
    }
}

/* DPDK opens one socket a queue, in their order, each on the lowest free descriptor. */
static bool descriptors_new(struct dpdk_port *port, const struct descriptors *all)
{
    uint16_t queue = 0;

    for (int i = 0; i < DESCRIPTORS_SEARCHED && all->first >= 0; i++) {
        if (queue < port->queue_count && !all->known[i] && socket_is_ours(port, all->first + i)) {
            port->queues[queue++].socket_fd = all->first + i;
        }
    }
    return queue == port->queue_count;
}

/* All but UDP over IPv4 without options to our port is not even put into the ring. */
static sf_status socket_filter(struct dpdk_port *port, int fd)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12), /* Ethernet's type */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x0800, 0, 5),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23), /* protocol */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 17, 0, 3),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 36), /* destination port */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FORMAT_UDP_PORT, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    int yes = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0) {
        return dpdk__port_refuse(port, SF_IO, "the kernel takes no socket filter: %s",
                                 strerror(errno));
    }
    /* Kernels before 4.20 do not know this; then the filter and our checks have more to do. */
    (void)setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes));
    return SF_OK;
}

/* The kernel leaves frames in the ring that would be more than the socket may hold. */
static void socket_widen(int fd, uint32_t ring_bytes)
{
    int bytes = (int)ring_bytes;

    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) != 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    }
}

/* Else whoever sleeps on the socket would wake for that again and again. */
static void queues_forget_error(const struct dpdk_port *port)
{
    for (uint16_t i = 0; i < port->queue_count; i++) {
        int error;
        socklen_t bytes = sizeof(error);

        (void)getsockopt(port->queues[i].socket_fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
    }
}

static void queues_kick(const struct dpdk_port *port)
{
    for (uint16_t i = 0; i < port->queue_count; i++) {
        struct dpdk_queue *queue = &port->queues[i];
        uint64_t sent = __atomic_load_n(&queue->stats.tx_frames, __ATOMIC_RELAXED);

        if (queue->tx_kicked != sent) {
            queue->tx_kicked = sent;
            (void)sendto(queue->socket_fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
        }
    }
}

static void packet_look(struct dpdk_port *port)
{
    struct ifreq ask;
    bool up;

    __atomic_store_n(&port->look_next, rte_rdtsc() + port->look_ticks, __ATOMIC_RELAXED);
    if (!port->running) {
        dpdk__port_carrier(port, false);
        return;
    }
    up = interface_ask(port, SIOCGIFFLAGS, &ask) && (ask.ifr_flags & IFF_UP) != 0 &&
         (ask.ifr_flags & IFF_RUNNING) != 0;
    if (!port->up) {
        queues_forget_error(port);
        /* An interface that was removed and made anew is another one. */
        up = up && socket_is_ours(port, port->queues[0].socket_fd);
    }
    dpdk__port_carrier(port, up);
    if (up) {
        queues_kick(port);
    }
}

/* The kernel forgets what it has told. */
static void packet_stats_read(struct dpdk_port *port)
{
    for (uint16_t i = 0; i < port->queue_count; i++) {
        struct tpacket_stats lost = {0};
        socklen_t bytes = sizeof(lost);
        int fd = port->queues[i].socket_fd;

        if (fd >= 0 && getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &lost, &bytes) == 0) {
            port->stats.rx_missed += lost.tp_drops;
        }
    }
}

/* The kernel makes the socket readable while the ring holds a frame, armed or not. */
static int af_packet_wait_fd(struct link *link, uint16_t queue, bool arm)
{
    const struct dpdk_port *port = link->impl;
    struct dpdk_queue *q = &port->queues[queue];
    int fd = LINK_WAIT_BLIND;

    if (arm && dpdk__queue_enter(port, q)) {
        fd = port->running && port->up && !port->closed ? q->socket_fd : LINK_WAIT_BLIND;
        dpdk__queue_leave(port, q);
    }
    return fd;
}

/* --- open ---------------------------------------------------------------------------------------
 */

/* False: DPDK said why not. */
static bool device_make(struct dpdk_port *port, bool large)
{
    static uint32_t number;
    char arguments[160];

    (void)snprintf(port->device, sizeof(port->device), "net_af_packet%u", number++);
    (void)snprintf(
        arguments, sizeof(arguments),
        "iface=%s,qpairs=%u,blocksz=%u,framesz=%u,framecnt=%u,qdisc_bypass=1", port->interface,
        port->queue_count, large ? BLOCK_LARGE_BYTES : BLOCK_SMALL_BYTES,
        large ? FRAME_LARGE_BYTES : FRAME_SMALL_BYTES, large ? FRAMES_LARGE : FRAMES_SMALL);
    return rte_vdev_init(port->device, arguments) == 0 &&
           rte_eth_dev_get_port_by_name(port->device, &port->number) == 0;
}

/* With fewer queues if there is not enough memory that may be locked for all. */
static sf_status device_create(struct dpdk_port *port, bool large)
{
    struct descriptors before;
    sf_status st = SF_OK;
    bool made;

    descriptors_note(port, &before);
    dpdk__log_catch();
    while (!(made = device_make(port, large)) && port->queue_count > 1) {
        port->queue_count /= 2;
    }
    if (!made) {
        port->device[0] = '\0';
        return dpdk__port_fail(
            port, SF_IO,
            "cannot make the device (the rings are 4 to 11 MB of locked memory a queue: "
            "without CAP_IPC_LOCK, look at ulimit -l)");
    }
    (void)dpdk__log_caught();
    if (!descriptors_new(port, &before)) {
        return dpdk__port_refuse(port, SF_IO, "DPDK's packet sockets are not to be found");
    }
    for (uint16_t i = 0; st == SF_OK && i < port->queue_count; i++) {
        st = socket_filter(port, port->queues[i].socket_fd);
        socket_widen(port->queues[i].socket_fd,
                     large ? FRAME_LARGE_BYTES * FRAMES_LARGE : FRAME_SMALL_BYTES * FRAMES_SMALL);
    }
    return st;
}

static sf_status port_open(struct dpdk_port *port, const struct link_config *config)
{
    /* DPDK wants packet buffers as large as ring frames, but for 32 bytes. */
    struct ether_start start = {.pool_frames = POOL_FRAMES, .ring_frames = 0};
    sf_status st = interface_check(port, config->device);
    bool large = port->mtu_bytes > MTU_SMALL_MAX;

    start.pool_packet_bytes = large ? FRAME_LARGE_BYTES : FRAME_SMALL_BYTES;
    start.ring_frames = large ? FRAMES_LARGE : FRAMES_SMALL;
    if (st == SF_OK) {
        st = dpdk__port_tails(port);
    }
    if (st == SF_OK) {
        st = device_create(port, large);
    }
    return st != SF_OK ? st : ether_start(port, &start);
}

static sf_status af_packet_open_locked(struct link *link, const struct link_config *config,
                                       const char **out_text)
{
    sf_status st = ether_create(link, config, &af_packet, out_text);
    struct dpdk_port *port = link->impl;

    if (st != SF_OK) {
        return st;
    }
    port->look = packet_look;
    port->stats_read = packet_stats_read;
    st = port_open(port, config);
    if (st != SF_OK) {
        ether_remove(port);
    }
    return st;
}

static sf_status af_packet_open(struct link *link, const struct link_config *config,
                                const char **out_text)
{
    sf_status st;

    dpdk__control_lock();
    st = af_packet_open_locked(link, config, out_text);
    dpdk__control_unlock();
    return st;
}

const struct link_ops link_af_packet_ops =
    ETHER_OPS("af_packet", af_packet_open, af_packet_wait_fd);
