/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queue pairs that are broken under traffic, on a real RDMA device (tests/rdma: soft-RoCE).
 * $RDMA_ADDRESS is the device's address, $RDMA_CM: they are joined by rdma_cm.
 *
 * Model: two links of this process on one device. Each sends numbered frames to the other, keeps
 * what is not acknowledged and sends it again after RESEND_MS, as a session does. A queue pair is
 * broken behind the driver's back. Then the driver must notice, the pair be joined again, and
 * every frame arrive, in order, once; no frame memory is lost.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_arp.h>

#include <cmocka.h>

#include "port.h"

#define WINDOW 64u
#define RESEND_MS 50u
#define SECONDS_MAX 20u
#define ROUNDS 5u
#define FRAMES_BETWEEN 300u

struct end {
    struct link link;
    struct link_endpoint told;
    uint32_t out, acked, in; /* next to send, first not acknowledged, next expected */
    uint64_t progress_ms;
    uint32_t free;
};

static struct {
    struct end ends[2];
    bool deaf; /* endpoints are not carried */
} bench;

struct header {
    uint32_t number, ack;
};

/* --- two ends -----------------------------------------------------------------------------------
 */

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static struct rdma_port *port_of(int i)
{
    return bench.ends[i].link.impl;
}

static struct rdma_peer *peer_of(int i)
{
    return rdma__peer_find(port_of(i), (uint16_t)(2 - i));
}

static void endpoint_carry(int i)
{
    struct end *end = &bench.ends[i];
    struct end *other = &bench.ends[1 - i];
    struct link_endpoint now;

    if (!bench.deaf && end->link.ops->endpoint_get(&end->link, (uint16_t)(2 - i), &now) == SF_OK &&
        memcmp(&now, &end->told, sizeof(now)) != 0) {
        end->told = now;
        assert_int_equal(other->link.ops->endpoint_set(&other->link, (uint16_t)(i + 1), &now),
                         SF_OK);
    }
}

static uint32_t length_of(uint32_t number)
{
    return (uint32_t)sizeof(struct header) + number * 2654435761u % 4000u;
}

static void receive(struct end *end)
{
    struct link_frame frames[LINK_BURST_MAX];
    uint16_t count = end->link.ops->rx_burst(&end->link, 0, frames, LINK_BURST_MAX);

    for (uint16_t i = 0; i < count; i++) {
        struct header header;

        assert_true(frames[i].length >= sizeof(header));
        memcpy(&header, frames[i].data, sizeof(header));
        assert_int_equal(frames[i].length, length_of(header.number));
        for (uint32_t k = sizeof(header); k < frames[i].length; k++) {
            assert_int_equal(frames[i].data[k], header.number & 0xff);
        }
        end->in += header.number == end->in;
        if (header.ack > end->acked) {
            end->acked = header.ack;
            end->progress_ms = now_ms();
        }
    }
    end->link.ops->frame_free(&end->link, frames, count);
}

static void send_some(struct end *end, uint16_t peer)
{
    struct link_frame frames[LINK_BURST_MAX];
    uint16_t count, taken;

    if (now_ms() - end->progress_ms > RESEND_MS) {
        end->out = end->acked;
        end->progress_ms = now_ms();
    }
    count = end->link.ops->frame_alloc(&end->link, frames, 8);
    for (uint16_t i = 0; i < count; i++) {
        struct header header = {end->out + i, end->in};

        frames[i].length = length_of(header.number);
        frames[i].peer = peer;
        memset(frames[i].data, (int)(header.number & 0xff), frames[i].length);
        memcpy(frames[i].data, &header, sizeof(header));
    }
    taken =
        end->out >= end->acked + WINDOW ? 0 : end->link.ops->tx_burst(&end->link, 0, frames, count);
    end->out += taken;
    end->link.ops->frame_free(&end->link, frames + taken, (uint16_t)(count - taken));
}

static void turn(void)
{
    for (int i = 0; i < 2; i++) {
        struct end *end = &bench.ends[i];

        endpoint_carry(i);
        (void)end->link.ops->is_up(&end->link);
        receive(end);
        send_some(end, (uint16_t)(2 - i));
    }
}

#define UNTIL(condition)                                                                           \
    for (uint64_t until_ = now_ms() + SECONDS_MAX * 1000u; !(condition);) {                        \
        turn();                                                                                    \
        if (now_ms() > until_) {                                                                   \
            fail_msg("not within %u s: %s (%s, state %d; %s, state %d)", SECONDS_MAX, #condition,  \
                     port_of(0)->text, peer_of(0)->state, port_of(1)->text, peer_of(1)->state);    \
        }                                                                                          \
    }

/* So many more frames, both ways, in order and unchanged. */
static void traffic(uint32_t count)
{
    uint32_t a = bench.ends[0].in + count;
    uint32_t b = bench.ends[1].in + count;

    UNTIL(bench.ends[0].in >= a && bench.ends[1].in >= b);
}

static uint32_t frames_lendable(int i)
{
    const struct rdma_port *port = port_of(i);

    for (uint64_t end = now_ms() + 300; now_ms() < end;) { /* what is under way completes */
        (void)bench.ends[i].link.ops->is_up(&bench.ends[i].link);
    }
    return port->pool.free_count - port->pool.reserved;
}

static int begin(void **state)
{
    const char *address = getenv("RDMA_ADDRESS");

    (void)state;
    memset(&bench, 0, sizeof(bench));
    for (int i = 0; i < 2; i++) {
        struct end *end = &bench.ends[i];
        struct link_config config = {
            .name = "rdma",
            .device = "auto",
            .node_id = (uint16_t)(i + 1),
            .ipv4 = address != NULL ? ntohl(inet_addr(address)) : 0,
            .mtu_bytes = 4096,
            .cm = getenv("RDMA_CM") != NULL,
        };
        struct link_peer peer = {.node_id = (uint16_t)(2 - i)};
        const char *text = "";

        if (link_init(&end->link, "rdma") != SF_OK ||
            end->link.ops->open(&end->link, &config, &text) != SF_OK ||
            end->link.ops->peer_add(&end->link, &peer) != SF_OK) {
            (void)printf("# %s\n", text);
            return -1;
        }
        end->free = frames_lendable(i);
    }
    traffic(100);
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        bench.ends[i].link.ops->fini(&bench.ends[i].link);
    }
    return 0;
}

/* --- breaking ------------------------------------------------------------------------------------
 */

static void break_by_state(void)
{
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_ERR};

    assert_int_equal(rdma__verbs.modify_qp(peer_of(0)->qp, &attr, IBV_QP_STATE), 0);
}

/* Posts what a driver would never post. */
static void post_wrong(enum ibv_wr_opcode opcode, uint32_t length, bool wrong_key)
{
    const struct rdma_slab *slab = &port_of(0)->pool.slabs[0];
    struct rdma_peer *peer = peer_of(0);
    struct ibv_sge sge = {.addr = (uintptr_t)slab->memory,
                          .length = length,
                          .lkey = wrong_key ? slab->mr->lkey ^ 0x5a00 : slab->mr->lkey};
    struct ibv_send_wr wr = {.wr_id = (uint64_t)peer->serial << 32,
                             .opcode = opcode,
                             .send_flags = IBV_SEND_SIGNALED,
                             .sg_list = &sge,
                             .num_sge = 1};
    struct ibv_send_wr *bad;

    wr.wr.rdma.remote_addr = 0x1000;
    wr.wr.rdma.rkey = 0x1234;
    (void)rdma__verbs.post_send(peer->qp, &wr, &bad); /* refused is broken, too */
}

static void break_by_writing_into_the_peers_memory(void)
{
    post_wrong(IBV_WR_RDMA_WRITE, 64, false);
}

static void break_by_a_message_too_long(void)
{
    post_wrong(IBV_WR_SEND, port_of(0)->pool.frame_bytes + 1, false);
}

static void break_by_memory_that_is_not_ours(void)
{
    post_wrong(IBV_WR_SEND, 64, true);
}

/* The other end is gone and nobody says so: only repeats that are not answered show it. */
static void break_by_silence(void)
{
    bench.deaf = true;
    rdma__peer_drop(port_of(1), peer_of(1));
    peer_of(1)->remake_at_ns = UINT64_MAX;
}

/* As if it had been killed, and the new one's endpoint comes before anything was noticed. */
static void break_by_a_peer_that_starts_anew(void)
{
    rdma__peer_drop(port_of(1), peer_of(1));
    peer_of(1)->remake_at_ns = 0;
}

/* text: part of what the driver must have said. */
static void broken_by(void (*breaks)(void), const char *text)
{
    char said[RDMA_TEXT_BYTES] = "";

    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t serial = peer_of(0)->serial;
        uint64_t down = port_of(0)->stats.down_events;

        for (uint32_t i = 0; i < round * 7; i++) {
            turn();
        }
        breaks();
        UNTIL(port_of(0)->stats.down_events > down);
        (void)snprintf(said, sizeof(said), "%s", port_of(0)->text);
        /* rdma_cm, or iWARP, may say first that the other end has left, and nothing else. */
        if (strstr(said, text) == NULL && !port_of(0)->by_cm) {
            fail_msg("the driver said: %s", said);
        }
        if (bench.deaf) {
            bench.deaf = false;
            peer_of(1)->remake_at_ns = 0;
        }
        traffic(FRAMES_BETWEEN);
        assert_int_not_equal(peer_of(0)->serial, serial);
    }
    (void)printf("# %s\n", said);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(frames_lendable(i), bench.ends[i].free);
    }
}

static void a_queue_pair_in_error_is_made_anew(void **state)
{
    (void)state;
    broken_by(break_by_state, "failed");
}

static void a_peer_that_does_not_answer_is_lost(void **state)
{
    (void)state;
    broken_by(break_by_silence, "retry counter exceeded");
}

static void a_peer_that_starts_anew_is_joined_again(void **state)
{
    (void)state;
    broken_by(break_by_a_peer_that_starts_anew, "node 2 lost");
}

static void nobody_writes_into_a_peers_memory(void **state)
{
    (void)state;
    broken_by(break_by_writing_into_the_peers_memory, "remote");
}

static void a_message_longer_than_the_buffers_breaks_that_pair_only(void **state)
{
    (void)state;
    broken_by(break_by_a_message_too_long, "failed");
}

static void memory_that_is_not_registered_is_not_sent(void **state)
{
    (void)state;
    broken_by(break_by_memory_that_is_not_ours, "failed");
}

static void interface_set(const char *name, bool up)
{
    struct ifreq ask = {.ifr_flags = 0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)snprintf(ask.ifr_name, sizeof(ask.ifr_name), "%s", name);
    assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ask), 0);
    ask.ifr_flags = (short)(up ? ask.ifr_flags | IFF_UP : ask.ifr_flags & ~IFF_UP);
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ask), 0);
    (void)close(fd);
}

/*
 * $RDMA_INTERFACE is what the device is made of, if it may be switched off. Not with rdma_cm on
 * soft-RoCE: a message of rdma_cm's that is sent while the interface is off puts the device's queue
 * pair for these into an error that Linux (6.1) does not take it out of.
 */
static void a_port_that_goes_down_and_up_is_survived(void **state)
{
    const char *interface = getenv("RDMA_INTERFACE");

    (void)state;
    if (interface == NULL || (port_of(0)->by_cm && !port_of(0)->iwarp)) {
        skip();
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        interface_set(interface, false);
        UNTIL(!port_of(0)->active && !port_of(1)->active);
        assert_string_equal(bench.ends[0].link.ops->about(&bench.ends[0].link),
                            "the device's port is down");
        interface_set(interface, true);
        traffic(FRAMES_BETWEEN);
    }
}

/* --- rdma_cm that waits --------------------------------------------------------------------------
 */

/* Linux believes that the address is on the interface, at a MAC that nobody has. */
static void neighbour_invent(const char *interface, const char *address)
{
    struct arpreq ask = {.arp_flags = ATF_PERM | ATF_COM};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(address)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(&ask.arp_pa, &in, sizeof(in));
    ask.arp_ha.sa_family = ARPHRD_ETHER;
    memcpy(ask.arp_ha.sa_data, "\x52\x54\x00\x78\x00\x77", 6);
    (void)snprintf(ask.arp_dev, sizeof(ask.arp_dev), "%s", interface);
    assert_int_equal(ioctl(fd, SIOCSARP, &ask), 0);
    (void)close(fd);
}

static void event_expect(struct rdma_event_channel *channel, enum rdma_cm_event_type type)
{
    struct rdma_cm_event *event;

    assert_int_equal(rdma__verbs.get_cm_event(channel, &event), 0);
    assert_int_equal(event->event, type);
    assert_int_equal(rdma__verbs.ack_cm_event(event), 0);
}

static void an_asking_that_nobody_hears_holds_nobody(void **state)
{
    const char *interface = getenv("RDMA_INTERFACE");
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(port_of(0)->ipv4)};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = inet_addr("10.78.0.77"),
                             .sin_port = htons(40000)};
    uint8_t bytes[RDMA_ASKING_BYTES] = {0};
    struct rdma_conn_param parameters = {.private_data = bytes, .private_data_len = sizeof(bytes)};
    struct rdma_event_channel *channel;
    struct rdma_connecting *connecting;
    struct rdma_cm_id *id;
    uint64_t before;
    int error;

    (void)state;
    if (interface == NULL || !port_of(0)->iwarp) {
        skip();
    }
    neighbour_invent(interface, "10.78.0.77");
    rdma__peer_lost(port_of(0), peer_of(0), "by a test");
    UNTIL(peer_of(0)->qp != NULL);
    parameters.qp_num = peer_of(0)->qp->qp_num;
    bench.deaf = true; /* it stays as it is */
    channel = rdma__verbs.create_event_channel();
    assert_int_equal(rdma__verbs.create_id(channel, &id, NULL), 0);
    assert_int_equal(rdma__verbs.resolve_addr(id, &from, &to, 2000), 0);
    event_expect(channel, RDMA_CM_EVENT_ADDR_RESOLVED);
    assert_int_equal(rdma__verbs.resolve_route(id, 2000), 0);
    event_expect(channel, RDMA_CM_EVENT_ROUTE_RESOLVED);
    before = now_ms();
    connecting = rdma__verbs.connect_begin(id, &parameters);
    assert_non_null(connecting);
    (void)usleep(500000);
    assert_false(rdma__verbs.connect_done(connecting, &error)); /* TCP asks for a minute */
    rdma__verbs.connect_end(connecting);
    assert_in_range(now_ms() - before, 500, 10000);
    assert_int_equal(rdma__verbs.destroy_id(id), 0);
    rdma__verbs.destroy_event_channel(channel);
    bench.deaf = false;
    traffic(FRAMES_BETWEEN);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(a_queue_pair_in_error_is_made_anew),
        T(a_peer_that_does_not_answer_is_lost),
        T(a_peer_that_starts_anew_is_joined_again),
        T(nobody_writes_into_a_peers_memory),
        T(a_message_longer_than_the_buffers_breaks_that_pair_only),
        T(memory_that_is_not_registered_is_not_sent),
        T(a_port_that_goes_down_and_up_is_survived),
        T(an_asking_that_nobody_hears_holds_nobody),
    };
    int count = 0;
    struct ibv_device **list = rdma__verbs.get_device_list(&count);

    if (list != NULL) {
        rdma__verbs.free_device_list(list);
    }
    if (list == NULL || count == 0) {
        (void)printf("1..0 # SKIP this machine has no RDMA device\n");
        return 0;
    }
    return cmocka_run_group_tests_name("rdma-break", tests, NULL, NULL);
}
