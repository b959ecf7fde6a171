/* SPDX-License-Identifier: Apache-2.0 */
/* rte_intr_fd_get is new in this version of DPDK. */
#define ALLOW_EXPERIMENTAL_API
/*
 * memif.c - shared memory between two processes of one machine, by DPDK's net_memif.
 *
 * Model: the server makes a Unix socket; the client connects to it and brings the memory. The port
 * is made when the link is opened and removed when it stops. DPDK's client connects once, when its
 * port starts, and gives up for good when the server is not there or not ready: so the client
 * starts its port again and again, RETRY_MICROSECONDS apart, until there is a control connection,
 * and anew when it was lost.
 *
 * The control connection is served on a caller's thread (intr.h), at most every LOOK_MICROSECONDS,
 * from is_up and the bursts, while no other burst is under way: nothing changes behind its back.
 *
 * Queues: what is sent on queue i arrives on queue i. Both sides must have the same number; a link
 * whose sides differ does not come up.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>

#include "log.h"
#include "memif.h"
#include "testing.h"
#include "wait.h"

#define MEMIF_MTU_BYTES_MAX 9000u
#define MEMIF_MTU_BYTES_MIN 64u
/*
 * 256 slots of 9,000 bytes are what a session has on its way at most. By our own bursts rings of
 * 1,024 and of 128 moved as much, whether the two processors share a cache or not.
 */
#define MEMIF_RING_LOG2 8u
#define MEMIF_POOL_FRAMES 1023u
#define LOOK_MICROSECONDS 500u
#define RETRY_MICROSECONDS 10000u
#define ROUNDS_MAX 8u

/*
 * DPDK writes to the control socket without MSG_NOSIGNAL; a peer that has just died must not end
 * this process. Blocks SIGPIPE and takes back the one that was raised meanwhile.
 */
static bool sigpipe_block(sigset_t *out_before)
{
    sigset_t set, pending;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    (void)sigpending(&pending);
    (void)pthread_sigmask(SIG_BLOCK, &set, out_before);
    return sigismember(&pending, SIGPIPE) == 1;
}

static void sigpipe_restore(const sigset_t *before, bool was_pending)
{
    struct timespec now = {0};
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    while (!was_pending && sigtimedwait(&set, NULL, &now) == -1 && errno == EINTR) {
    }
    (void)pthread_sigmask(SIG_SETMASK, before, NULL);
}

/*
 * With as many queues at the other side: a ring that the other one did not bring would be another
 * queue's. Rings come with a descriptor each.
 */
static bool carrier(const struct dpdk_port *port)
{
    struct rte_eth_link state = {0};

    for (uint16_t i = 1; i < port->queue_count; i++) {
        if (rte_intr_fd_get(port->queues[i].rx_interrupt) < 0) {
            return false;
        }
    }
    return rte_eth_link_get_nowait(port->number, &state) == 0 &&
           state.link_status == RTE_ETH_LINK_UP;
}

static uint32_t slot_bytes(const struct dpdk_port *port)
{
    return RTE_ALIGN_CEIL(port->mtu_bytes + port->header_bytes, RTE_CACHE_LINE_SIZE);
}

/* The ends of all rings, anew if the memory is. False: it is not as ours would be. memif-udp needs
 * them to sleep; its bursts are DPDK's. */
static bool rings_open(struct dpdk_port *port)
{
    const struct ring_memory memory = {
        .bytes = port->intr.shared,
        .size = port->intr.shared_bytes,
        .rings_each_way = port->queue_count,
        .slots = port->ring_frames,
        .slot_bytes = slot_bytes(port),
    };

    if (port->rings_of == port->intr.shared_count) {
        return true;
    }
    port->about = "the other end shares memory of another form: both need the same MTU, queues and "
                  "version";
    for (uint16_t i = 0; i < port->queue_count; i++) {
        struct dpdk_queue *queue = &port->queues[i];

        if (ring_ends_open(&memory, i, port->server, &queue->out, &queue->in) != SF_OK) {
            return false;
        }
        queue->lent = 0;
    }
    port->rings_of = port->intr.shared_count;
    port->about = "";
    return true;
}

static const char *memif_about(const struct link *link)
{
    const struct dpdk_port *port = link->impl;

    return port->about != NULL ? port->about : "";
}

/* The client has no control connection: start the port anew, which connects. */
static void client_retry(struct dpdk_port *port, uint64_t now)
{
    if (now < port->retry_next) {
        return;
    }
    port->retry_next = now + dpdk__ticks(RETRY_MICROSECONDS);
    if (port->running) {
        port->running = false;
        (void)rte_eth_dev_stop(port->number);
    }
    port->running = rte_eth_dev_start(port->number) == 0;
}

static bool tails_out(const struct dpdk_port *port)
{
    for (uint16_t i = 0; i < port->queue_count; i++) {
        if (__atomic_load_n(&port->queues[i].tails_out, __ATOMIC_ACQUIRE) != 0) {
            return true;
        }
    }
    return false;
}

static void memif_look(struct dpdk_port *port)
{
    uint64_t now = rte_rdtsc();
    uint32_t rounds = 0;
    sigset_t signals;
    bool was_pending;

    __atomic_store_n(&port->look_next, now + dpdk__ticks(LOOK_MICROSECONDS), __ATOMIC_RELAXED);
    if (port->up && !dpdk__intr_ready(&port->intr)) {
        return;
    }
    dpdk__queues_hold(port);
    if (tails_out(port)) { /* the memory may not go away now */
        dpdk__queues_release(port);
        return;
    }
    dpdk__log_catch();
    was_pending = sigpipe_block(&signals);
    dpdk__intr_enter(&port->intr);
    while (dpdk__intr_poll(&port->intr) && ++rounds < ROUNDS_MAX) {
    }
    if (!port->server && dpdk__intr_count(&port->intr) == 0) {
        client_retry(port, now);
    }
    dpdk__intr_leave();
    sigpipe_restore(&signals, was_pending);
    (void)dpdk__log_caught();
    dpdk__port_carrier(port, port->running && carrier(port) && rings_open(port));
    dpdk__queues_release(port);
}

/* DPDK's argument parser has no quoting, its socket check wants a folder. */
static bool path_is_usable(const char *path)
{
    struct sockaddr_un address;

    return path != NULL && path[0] == '/' && strlen(path) < sizeof(address.sun_path) &&
           strpbrk(path, ",=[]\"") == NULL;
}

/*
 * A server that was killed leaves its socket file, and the next one could not bind. Removes it if
 * nobody listens. EXISTS: somebody does. BADARG: the path is something else.
 */
static sf_status stale_socket_remove(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat found;
    int fd, result, error;

    if (lstat(path, &found) != 0) {
        return SF_OK;
    }
    if (!S_ISSOCK(found.st_mode)) {
        return SF_BADARG;
    }
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return SF_IO;
    }
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    result = connect(fd, (const struct sockaddr *)&address, sizeof(address));
    error = errno;
    (void)close(fd);
    if (result == 0 || error != ECONNREFUSED) {
        return SF_EXISTS;
    }
    return unlink(path) == 0 ? SF_OK : SF_IO;
}

static sf_status config_check(struct dpdk_port *port, const struct link_config *config)
{
    sf_status st = SF_OK;

    if (config->node_id == LINK_PEER_UNKNOWN) {
        return dpdk__port_refuse(port, SF_BADARG, "node id 0 is not a node");
    }
    if (!path_is_usable(config->device)) {
        return dpdk__port_refuse(port, SF_BADARG,
                                 "the device is the absolute path of a socket, at most 107 bytes, "
                                 "without any of , = [ ] \"");
    }
    if (config->mtu_bytes != 0 &&
        (config->mtu_bytes < MEMIF_MTU_BYTES_MIN || config->mtu_bytes > MEMIF_MTU_BYTES_MAX)) {
        return dpdk__port_refuse(port, SF_BADARG, "mtu is 64 to 9000");
    }
    if (config->server) {
        st = stale_socket_remove(config->device);
    }
    return st == SF_OK ? SF_OK
                       : dpdk__port_refuse(port, st, "%s",
                                           st == SF_EXISTS   ? "another process serves that socket"
                                           : st == SF_BADARG ? "the path exists and is not a socket"
                                                             : "a stale socket is in the way");
}

/* Makes the device; from here on port->device names it. */
static sf_status device_create(struct dpdk_port *port, const struct link_config *config)
{
    static uint32_t number;
    char arguments[256];

    (void)snprintf(port->device, sizeof(port->device), "net_memif%u", number++);
    (void)snprintf(
        arguments, sizeof(arguments), "role=%s,id=0,socket=%s,socket-abstract=no,bsize=%u,rsize=%u",
        config->server ? "server" : "client", config->device, slot_bytes(port), MEMIF_RING_LOG2);
    dpdk__log_catch();
    if (rte_vdev_init(port->device, arguments) != 0) {
        port->device[0] = '\0';
        return dpdk__port_fail(port, SF_IO, "cannot make the device");
    }
    if (rte_eth_dev_get_port_by_name(port->device, &port->number) != 0) {
        return dpdk__port_fail(port, SF_IO, "the device has no port");
    }
    (void)dpdk__log_caught();
    return SF_OK;
}

static sf_status device_open(struct dpdk_port *port, const struct link_config *config)
{
    sf_status st = device_create(port, config);

    if (st == SF_OK) {
        struct rte_eth_conf conf = {0};

        st = dpdk__port_configure(port, &conf, 1u << MEMIF_RING_LOG2, 1u << MEMIF_RING_LOG2);
    }
    if (st == SF_OK && port->server) {
        dpdk__log_catch();
        if (rte_eth_dev_start(port->number) != 0) {
            return dpdk__port_fail(port, SF_IO, "cannot start");
        }
        (void)dpdk__log_caught();
        port->running = true;
    }
    return st;
}

static void device_remove(struct dpdk_port *port)
{
    sigset_t signals;
    bool was_pending;

    dpdk__port_carrier(port, false);
    if (port->device[0] == '\0') {
        return;
    }
    dpdk__log_catch();
    was_pending = sigpipe_block(&signals);
    dpdk__intr_enter(&port->intr);
    if (port->running) {
        (void)rte_eth_dev_stop(port->number);
    }
    (void)rte_vdev_uninit(port->device);
    /* What is left: the listener, which DPDK forgets, and clients that never said who they are. */
    dpdk__intr_clear(&port->intr);
    dpdk__intr_leave();
    sigpipe_restore(&signals, was_pending);
    (void)dpdk__log_caught();
    port->running = false;
    port->device[0] = '\0';
}

static sf_status open_locked(struct link *link, const struct link_config *config, bool udp,
                             const char **out_text)
{
    sf_status st = dpdk__port_create(link, config, "memif", out_text);
    struct dpdk_port *port = link->impl;

    if (st == SF_OK) {
        st = config_check(port, config);
    }
    if (st == SF_OK) {
        st = dpdk__port_pool(port, MEMIF_POOL_FRAMES, MEMIF_MTU_BYTES_MAX + FORMAT_UDP_BYTES);
    }
    if (st == SF_OK && udp) {
        st = dpdk__port_tails(port);
    }
    if (st != SF_OK) {
        return st;
    }
    port->udp = udp;
    port->header_bytes = udp ? FORMAT_UDP_BYTES : FORMAT_POINT_BYTES;
    port->mtu_bytes = config->mtu_bytes != 0 ? config->mtu_bytes : MEMIF_MTU_BYTES_MAX;
    port->look = memif_look;
    port->ring_frames = 1u << MEMIF_RING_LOG2;
    wait_register();
    dpdk__intr_enter(&port->intr);
    st = device_open(port, config);
    dpdk__intr_leave();
    if (st != SF_OK) {
        device_remove(port);
    }
    return st;
}

static sf_status open_as(struct link *link, const struct link_config *config, bool udp,
                         const char **out_text)
{
    sf_status st;

    dpdk__control_lock();
    st = open_locked(link, config, udp, out_text);
    dpdk__control_unlock();
    return st;
}

static sf_status memif_open(struct link *link, const struct link_config *config,
                            const char **out_text)
{
    return open_as(link, config, false, out_text);
}

static sf_status memif_udp_open(struct link *link, const struct link_config *config,
                                const char **out_text)
{
    return open_as(link, config, true, out_text);
}

static void memif_stop(struct link *link)
{
    struct dpdk_port *port = link->impl;

    dpdk__control_lock();
    dpdk__queues_hold(port);
    device_remove(port);
    dpdk__queues_release(port);
    dpdk__control_unlock();
}

#define MEMIF_OPS(driver_name, open_function, bursts)                                              \
    {                                                                                              \
        .name = (driver_name), .open = (open_function), .peer_add = dpdk__peer_add,                \
        .peer_remove = dpdk__peer_remove, .is_up = dpdk__is_up, .wait_fd = wait_memif_fd,          \
        .close = dpdk__close, .stop = memif_stop, .fini = dpdk__fini, .query = dpdk__query,        \
        .stats = dpdk__stats, .frame_alloc = dpdk__frame_alloc,                                    \
        .frame_free = bursts##__frame_free, .tx_burst = bursts##__tx_burst,                        \
        .rx_burst = bursts##__rx_burst, .about = memif_about,                                      \
    }

const struct link_ops link_memif_ops = MEMIF_OPS("memif", memif_open, memif);
const struct link_ops dpdk__memif_udp_ops = MEMIF_OPS("memif-udp", memif_udp_open, dpdk);
