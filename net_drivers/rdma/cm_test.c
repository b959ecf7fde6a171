/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining by rdma_cm, on fake devices: who is refused, what waits, and what is told.
 *
 * Model: two links of this process; node 1 asks, for its address is the lower one. Endpoints are
 * carried when a test says so. --iwarp: on iWARP.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "port.h"

#define TURNS_MAX 200000u

static bool iwarp; /* how this program was called */

static struct link links[2];

/* --- what the tests are made of ------------------------------------------------------------------
 */

static struct rdma_port *port_of(uint32_t i)
{
    return links[i].impl;
}

static struct rdma_peer *peer_of(uint32_t i)
{
    return rdma__peer_find(port_of(i), (uint16_t)(2 - i));
}

static sf_status open_as(uint32_t i, const char *device, uint32_t ipv4, bool cm, const char **text)
{
    struct link_config config = {.name = "rdma",
                                 .device = device,
                                 .node_id = (uint16_t)(i + 1),
                                 .ipv4 = ipv4,
                                 .mtu_bytes = 1500,
                                 .cm = cm};

    links[i] = (struct link){.ops = link_driver_find("rdma")};
    return rdma__open(&links[i], &config, &fake__verbs, text);
}

static void node_open(uint32_t i, bool cm)
{
    struct link_peer peer = {.node_id = (uint16_t)(2 - i)};
    const char *text = "";

    assert_int_equal(open_as(i, i == 0 ? "fake0" : "fake1", FAKE_ADDRESS + i, cm, &text), SF_OK);
    assert_int_equal(links[i].ops->peer_add(&links[i], &peer), SF_OK);
}

static int begin(void **state)
{
    (void)state;
    fake_reset();
    if (iwarp) {
        fake_iwarp();
    }
    node_open(0, true);
    node_open(1, true);
    return 0;
}

static int end(void **state)
{
    (void)state;
    links[0].ops->fini(&links[0]);
    links[1].ops->fini(&links[1]);
    if (fake_live() != 0 || fake_misuse() != NULL) {
        (void)printf("# %u objects are left; %s\n", fake_live(),
                     fake_misuse() != NULL ? fake_misuse() : "no misuse");
        return -1;
    }
    return 0;
}

/* What node from says of itself now is told to the other. AGAIN: it has no queue pair yet. */
static sf_status carry(uint32_t from)
{
    struct link_endpoint now;
    sf_status st = links[from].ops->endpoint_get(&links[from], (uint16_t)(2 - from), &now);

    if (st != SF_OK) {
        return st;
    }
    return links[1 - from].ops->endpoint_set(&links[1 - from], (uint16_t)(from + 1), &now);
}

static void turn(void)
{
    (void)links[0].ops->is_up(&links[0]);
    (void)links[1].ops->is_up(&links[1]);
    assert_null(fake_misuse());
}

static void turns(uint32_t count)
{
    for (; count > 0; count--) {
        turn();
    }
}

#define UNTIL(condition)                                                                           \
    for (uint32_t turns_ = 0; !(condition); turns_++) {                                            \
        turn();                                                                                    \
        assert_in_range(turns_, 0, TURNS_MAX);                                                     \
    }

static bool both_up(void)
{
    return links[0].ops->peer_up(&links[0], 2) && links[1].ops->peer_up(&links[1], 1);
}

/* From whatever state: endpoints are carried now. */
static void joins(void)
{
    for (uint32_t i = 0; !both_up(); i++) {
        for (uint32_t k = 0; k < 2; k++) {
            sf_status st = carry(k);

            assert_true(st == SF_OK || st == SF_AGAIN);
        }
        turns(100);
        assert_in_range(i, 0, TURNS_MAX / 100);
    }
}

/* As somebody on that network who asks node i's port; answers the id. */
static struct rdma_cm_id *stranger_asks(struct rdma_event_channel *channel, uint32_t i,
                                        const void *bytes, uint8_t length)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(FAKE_ADDRESS + 2)};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(FAKE_ADDRESS + i),
                             .sin_port = htons(port_of(i)->cm_port)};
    struct rdma_conn_param parameters = {
        .qp_num = 0x999, .private_data = bytes, .private_data_len = length};
    struct rdma_connecting *connecting;
    struct rdma_cm_event *event;
    struct rdma_cm_id *id;

    assert_int_equal(fake__verbs.create_id(channel, &id, NULL), 0);
    assert_int_equal(fake__verbs.resolve_addr(id, &from, &to, 1), 0);
    assert_int_equal(fake__verbs.get_cm_event(channel, &event), 0);
    assert_int_equal(fake__verbs.ack_cm_event(event), 0);
    connecting = fake__verbs.connect_begin(id, &parameters);
    assert_non_null(connecting);
    fake__verbs.connect_end(connecting);
    return id;
}

/* --- joining ------------------------------------------------------------------------------------
 */

static void both_are_joined_by_what_they_were_told(void **state)
{
    (void)state;
    assert_int_equal(carry(0), SF_OK);
    assert_int_equal(carry(1), SF_OK);
    UNTIL(both_up());
    assert_int_equal(peer_of(0)->mate, peer_of(1)->token);
    assert_int_equal(peer_of(1)->mate, peer_of(0)->token);
    assert_non_null(strstr(links[0].ops->about(&links[0]), "joined by rdma_cm"));
}

/* Node 1 knows node 2's queue pair and asks; node 2 has not been told of node 1's yet. */
static void an_asking_waits_for_the_endpoint_that_it_names(void **state)
{
    (void)state;
    assert_int_equal(carry(1), SF_OK);
    UNTIL(peer_of(1)->cm != NULL);
    turns(1000);
    assert_int_equal(peer_of(1)->state, RDMA_PEER_FRESH);
    assert_int_equal(carry(0), SF_OK);
    UNTIL(both_up());
}

/* What was told is of a queue pair before that one: the newest comes last. */
static void an_older_endpoint_is_not_what_was_asked_for(void **state)
{
    struct link_endpoint older;

    (void)state;
    assert_int_equal(links[0].ops->endpoint_get(&links[0], 2, &older), SF_OK);
    rdma__peer_lost(port_of(0), peer_of(0), "by a test");
    UNTIL(peer_of(0)->qp != NULL);
    assert_int_equal(carry(1), SF_OK);
    UNTIL(peer_of(1)->cm != NULL);
    assert_int_equal(links[1].ops->endpoint_set(&links[1], 1, &older), SF_OK);
    turns(1000);
    assert_int_equal(peer_of(1)->state, RDMA_PEER_FRESH);
    assert_int_equal(carry(0), SF_OK);
    UNTIL(both_up());
}

static void who_asks_gives_up_after_a_while_and_asks_anew(void **state)
{
    uint32_t serial = peer_of(0)->serial;

    (void)state;
    assert_int_equal(carry(1), SF_OK);
    UNTIL(peer_of(0)->serial != serial);
    assert_non_null(strstr(port_of(0)->text, "no answer within 3 s"));
    assert_null(peer_of(1)->cm); /* and what waited is gone, too */
    joins();
}

static void an_asking_that_gets_lost_is_asked_anew(void **state)
{
    (void)state;
    assert_int_equal(carry(0), SF_OK);
    assert_int_equal(carry(1), SF_OK);
    UNTIL(peer_of(0)->state == RDMA_PEER_JOINING);
    fake_port(1, false);
    UNTIL(peer_of(0)->state == RDMA_PEER_LOST);
    fake_port(1, true);
    joins();
}

static void who_is_left_hears_of_it_at_once(void **state)
{
    uint64_t before;

    (void)state;
    joins();
    before = fake__verbs.now_ns();
    rdma__peer_lost(port_of(1), peer_of(1), "by a test");
    UNTIL(peer_of(0)->state == RDMA_PEER_LOST);
    assert_non_null(strstr(port_of(0)->text, "it has left"));
    assert_true(fake__verbs.now_ns() - before < FAKE_RETRY_NS / 10);
    joins();
}

/* On iWARP a send that completes proves nothing. */
static void who_is_not_heard_is_lost(void **state)
{
    (void)state;
    joins();
    fake_port(1, false);
    for (uint32_t i = 0; peer_of(0)->state == RDMA_PEER_UP; i++) { /* node 2 does nothing */
        (void)links[0].ops->is_up(&links[0]);
        assert_in_range(i, 0, TURNS_MAX);
    }
    fake_port(1, true);
    joins();
}

/* --- who is refused -----------------------------------------------------------------------------
 */

static void who_names_no_queue_pair_of_ours_is_refused(void **state)
{
    struct rdma_event_channel *channel = fake__verbs.create_event_channel();
    struct rdma_asking asking = {.token = 1, .mate = peer_of(1)->token};
    uint8_t bytes[RDMA_ASKING_BYTES];

    (void)state;
    joins();
    rdma__asking_encode(&asking, bytes); /* the last one as it is: of a queue pair that is joined */
    for (uint32_t i = 0; i <= RDMA_ASKING_BYTES; i++) {
        uint64_t rejected = port_of(1)->stats.rx_rejected;
        struct rdma_cm_event *event;
        struct rdma_cm_id *id;

        if (i < RDMA_ASKING_BYTES) {
            bytes[i] ^= 0x40;
        }
        id = stranger_asks(channel, 1, bytes, RDMA_ASKING_BYTES);
        if (i < RDMA_ASKING_BYTES) {
            bytes[i] ^= 0x40;
        }
        UNTIL(port_of(1)->stats.rx_rejected > rejected);
        assert_int_equal(fake__verbs.get_cm_event(channel, &event), 0);
        assert_int_equal(event->event, RDMA_CM_EVENT_REJECTED);
        assert_int_equal(fake__verbs.ack_cm_event(event), 0);
        assert_int_equal(fake__verbs.destroy_id(id), 0);
    }
    turns(1000);
    assert_true(both_up());
    fake__verbs.destroy_event_channel(channel);
}

/* Even who knows a token is answered only if the peer says that it is its asking. */
static void who_asks_in_the_place_of_a_peer_is_not_answered(void **state)
{
    struct rdma_event_channel *channel = fake__verbs.create_event_channel();
    struct rdma_asking asking = {.token = 77, .mate = peer_of(1)->token};
    uint8_t bytes[RDMA_ASKING_BYTES];
    struct rdma_cm_id *id;

    (void)state;
    rdma__asking_encode(&asking, bytes);
    assert_int_equal(carry(0), SF_OK);
    id = stranger_asks(channel, 1, bytes, sizeof(bytes));
    UNTIL(peer_of(1)->cm != NULL);
    turns(1000);
    assert_int_equal(peer_of(1)->state, RDMA_PEER_FRESH);
    joins(); /* the peer's own takes its place */
    assert_int_equal(fake__verbs.destroy_id(id), 0);
    fake__verbs.destroy_event_channel(channel);
}

/* Node 1's device sends what its driver never would. */
static void post_raw(const void *bytes, uint32_t length)
{
    struct rdma_peer *peer = peer_of(0);
    struct ibv_sge sge = {.addr = (uintptr_t)bytes, .length = length};
    struct ibv_send_wr wr = {.wr_id = (uint64_t)peer->serial << 32,
                             .opcode = IBV_WR_SEND,
                             .send_flags = IBV_SEND_INLINE,
                             .sg_list = &sge,
                             .num_sge = 1};
    struct ibv_send_wr *bad;

    assert_int_equal(fake__verbs.post_send(peer->qp, &wr, &bad), 0);
}

/* Who says that it has given more buffers than it was sent messages, or takes some back. */
static void a_trailer_that_lies_costs_its_pair_and_nothing_else(void **state)
{
    static const struct {
        uint32_t given, length;
    } lies[] = {{1000, 4}, {UINT32_MAX, 4}, {0x80000000u, 4}, {0, 3}, {0, 1}, {0, 0}};

    (void)state;
    if (!iwarp) {
        skip();
    }
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        uint32_t serial;

        joins();
        turns(1000);
        serial = peer_of(1)->serial;
        post_raw(&lies[i].given, lies[i].length);
        UNTIL(peer_of(1)->serial != serial);
        assert_non_null(strstr(port_of(1)->text, "what it sent is not of this kind of link"));
    }
    joins();
}

static void bytes_of_an_asking(void **state)
{
    const struct rdma_asking asking = {.token = 0x1122334455667788u, .mate = 0x99aabbccddeeff01u};
    uint8_t bytes[RDMA_ASKING_BYTES];
    struct rdma_asking got;

    (void)state;
    rdma__asking_encode(&asking, bytes);
    assert_int_equal(rdma__asking_decode(bytes, sizeof(bytes), &got), SF_OK);
    assert_memory_equal(&got, &asking, sizeof(got));
    assert_int_equal(rdma__asking_decode(bytes, sizeof(bytes) - 1, &got), SF_FORMAT);
    assert_int_equal(rdma__asking_decode(NULL, 0, &got), SF_FORMAT);
    memset(bytes + 4, 0, 8);
    assert_int_equal(rdma__asking_decode(bytes, sizeof(bytes), &got), SF_FORMAT);
}

/* --- what is told -------------------------------------------------------------------------------
 */

static void one_end_with_and_one_without_is_said(void **state)
{
    (void)state;
    if (iwarp) {
        skip(); /* always with */
    }
    links[1].ops->fini(&links[1]);
    node_open(1, false);
    assert_int_equal(carry(1), SF_BADARG);
    assert_string_equal(links[0].ops->about(&links[0]),
                        "node 2 joins without rdma_cm, we do; alike both");
    assert_int_equal(carry(0), SF_BADARG);
    assert_string_equal(links[1].ops->about(&links[1]),
                        "node 1 joins by rdma_cm, we do not; alike both");
}

static void our_own_address_is_no_peers(void **state)
{
    struct link_endpoint own;

    (void)state;
    assert_int_equal(links[0].ops->endpoint_get(&links[0], 2, &own), SF_OK);
    assert_int_equal(links[0].ops->endpoint_set(&links[0], 2, &own), SF_BADARG);
    assert_string_equal(links[0].ops->about(&links[0]), "node 2 says our own address");
    joins();
}

static void an_open_that_fails_says_why(void **state)
{
    static const struct {
        uint32_t ipv4;
        const char *text;
    } wrongs[] = {
        {0, "rdma: rdma_cm needs the link's own address (address=IPV4)"},
        {FAKE_ADDRESS + 1, "rdma: the link's address is on fake1, not on fake0"},
        {FAKE_ADDRESS + 99, "rdma: rdma_cm does not know the link's address: Cannot assign "
                            "requested address (is it on the device's interface?)"},
    };

    (void)state;
    links[0].ops->fini(&links[0]);
    for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
        const char *text = "";

        assert_int_not_equal(open_as(0, "fake0", wrongs[i].ipv4, true, &text), SF_OK);
        assert_string_equal(text, wrongs[i].text);
        links[0].ops->fini(&links[0]);
    }
    node_open(0, true);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        T(both_are_joined_by_what_they_were_told),
        T(an_asking_waits_for_the_endpoint_that_it_names),
        T(an_older_endpoint_is_not_what_was_asked_for),
        T(who_asks_gives_up_after_a_while_and_asks_anew),
        T(an_asking_that_gets_lost_is_asked_anew),
        T(who_is_left_hears_of_it_at_once),
        T(who_is_not_heard_is_lost),
        T(who_names_no_queue_pair_of_ours_is_refused),
        T(who_asks_in_the_place_of_a_peer_is_not_answered),
        T(a_trailer_that_lies_costs_its_pair_and_nothing_else),
        T(bytes_of_an_asking),
        T(one_end_with_and_one_without_is_said),
        T(our_own_address_is_no_peers),
        T(an_open_that_fails_says_why),
    };

    iwarp = argc > 1 && strcmp(argv[1], "--iwarp") == 0;
    return cmocka_run_group_tests_name("rdma-cm", tests, NULL, NULL);
}
