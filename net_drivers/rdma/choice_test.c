/* SPDX-License-Identifier: Apache-2.0 */
/* Which device is taken and why, and the bytes of an endpoint. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "port.h"

static void gid_of(union ibv_gid *gid, uint8_t first, uint8_t last)
{
    memset(gid, 0, sizeof(*gid));
    gid->raw[0] = first;
    gid->raw[15] = last;
    if (first == 0) {
        gid->raw[10] = gid->raw[11] = 0xff;
        gid->raw[12] = 10;
        gid->raw[13] = 78;
    }
}

static void the_own_address_is_the_best_gid(void **state)
{
    union ibv_gid ipv4, ipv6, local;

    (void)state;
    gid_of(&ipv4, 0, 1);
    gid_of(&ipv6, 0x20, 1);
    gid_of(&local, 0xfe, 1);
    local.raw[1] = 0x80;
    assert_true(rdma__gid_rank(RDMA_GID_ROCE_V2, &ipv4, 0x0a4e0001) >
                rdma__gid_rank(RDMA_GID_ROCE_V2, &ipv4, 0x0a4e0002));
    assert_true(rdma__gid_rank(RDMA_GID_ROCE_V2, &ipv4, 0) >
                rdma__gid_rank(RDMA_GID_ROCE_V2, &ipv6, 0));
    assert_true(rdma__gid_rank(RDMA_GID_ROCE_V2, &ipv6, 0) >
                rdma__gid_rank(RDMA_GID_ROCE_V2, &local, 0));
    assert_true(rdma__gid_rank(RDMA_GID_ROCE_V2, &local, 0) >
                rdma__gid_rank(RDMA_GID_ROCE_V1, &ipv4, 0x0a4e0001));
    assert_int_equal(rdma__gid_rank(RDMA_GID_NONE, &ipv4, 0x0a4e0001), 0);
}

static sf_status open_as(const char *device, uint32_t ipv4, struct link *link, const char **text)
{
    struct link_config config = {.name = "rdma1", .device = device, .node_id = 1, .ipv4 = ipv4};

    *link = (struct link){.ops = link_driver_find("rdma")};
    *text = "";
    return rdma__open(link, &config, &fake__verbs, text);
}

static void the_device_with_the_links_address_is_taken_and_it_says_so(void **state)
{
    struct link link;
    const char *text;

    (void)state;
    fake_reset();
    assert_int_equal(open_as("auto", 0x0a4e0002, &link, &text), SF_OK);
    assert_string_equal(link.ops->about(&link),
                        "fake1 port 1, GID 1 ::ffff:10.78.0.2 (RoCE v2, the link's own address), "
                        "1024 byte packets; not: fake2 port 1 is no better");
    link.ops->fini(&link);
    assert_int_equal(open_as(NULL, 0, &link, &text), SF_OK);
    assert_memory_equal(link.ops->about(&link), "fake0 port 1, GID 1", 19);
    link.ops->fini(&link);
    assert_int_equal(open_as("fake2/1/0", 0, &link, &text), SF_OK);
    assert_string_equal(link.ops->about(&link),
                        "fake2 port 1, GID 0 fe80::ffff:a4e:3 (RoCE v1), 1024 byte packets");
    link.ops->fini(&link);
    assert_int_equal(fake_live(), 0);
}

static void a_device_that_does_not_fit_is_named_with_the_reason(void **state)
{
    struct link link;
    const char *text;

    (void)state;
    fake_reset();
    fake_port(0, false);
    assert_int_equal(open_as("fake0", 0, &link, &text), SF_IO);
    assert_string_equal(text, "rdma: no device fits: fake0 port 1 is down");
    link.ops->fini(&link);
    assert_int_equal(open_as("mlx5_0", 0, &link, &text), SF_IO);
    assert_string_equal(text, "rdma: of 3 devices none is called mlx5_0");
    link.ops->fini(&link);
    for (uint32_t i = 0; i < 5; i++) {
        static const char *const wrong[] = {"fake0/0", "fake0/x", "fake0/1/", "fake0/1/1x", "/1"};

        assert_int_equal(open_as(wrong[i], 0, &link, &text), SF_BADARG);
        link.ops->fini(&link);
    }
    fake_remove(1, false);
    assert_int_equal(open_as("fake1", 0, &link, &text), SF_IO);
    assert_string_equal(text, "rdma: no device fits: fake1 port 1 cannot be opened");
    link.ops->fini(&link);
    assert_int_equal(fake_live(), 0);
}

/* Each call that can fail does, once; then nothing is left, and text says what it was. */
static void an_open_that_fails_anywhere_leaves_nothing(void **state)
{
    struct link_peer peer = {.node_id = 2};
    uint32_t failures = 0;

    (void)state;
    for (uint32_t number = 1;; number++) {
        struct link link;
        const char *text;
        sf_status st;

        fake_reset();
        fake_refuse(number);
        st = open_as("fake0", 0, &link, &text);
        if (st != SF_OK) {
            assert_true(text[0] != '\0');
        } else {
            st = link.ops->peer_add(&link, &peer);
        }
        link.ops->fini(&link);
        assert_int_equal(fake_live(), 0);
        assert_null(fake_misuse());
        if (!fake_refused()) {
            assert_int_equal(st, SF_OK);
            break;
        }
        failures += st != SF_OK;
        assert_in_range(number, 1, 1000);
    }
    assert_in_range(failures, 10, 1000);
}

static void an_endpoint_is_the_same_after_its_bytes(void **state)
{
    struct rdma_endpoint in = {.token = 0x1122334455667788, .mate = 9, .qp_number = 0xabcdef};
    struct rdma_endpoint out;
    struct link_endpoint bytes;

    (void)state;
    in.psn = 0x123456;
    in.frame_bytes_max = 9000;
    in.lid = 0x1234;
    in.read_key = 0xfedcba98;
    in.path_mtu = IBV_MTU_4096;
    in.by_gid = true;
    memset(in.gid, 0x5a, sizeof(in.gid));
    rdma__endpoint_encode(&in, &bytes);
    memset(&out, 0, sizeof(out));
    assert_int_equal(rdma__endpoint_decode(&bytes, &out), SF_OK);
    assert_int_equal(out.token, in.token);
    assert_int_equal(out.mate, in.mate);
    assert_int_equal(out.qp_number, in.qp_number);
    assert_int_equal(out.psn, in.psn);
    assert_int_equal(out.frame_bytes_max, in.frame_bytes_max);
    assert_int_equal(out.read_key, in.read_key);
    assert_int_equal(out.lid, in.lid);
    assert_int_equal(out.path_mtu, in.path_mtu);
    assert_int_equal(out.by_gid, in.by_gid);
    assert_memory_equal(out.gid, in.gid, sizeof(in.gid));
}

static void bytes_that_are_no_endpoint_are_refused(void **state)
{
    /* Where, and what makes it wrong: magic, version, path MTU, flags, reserved, numbers. */
    static const struct {
        uint32_t at;
        uint8_t value;
    } wrong[] = {{0, 0}, {2, 1}, {3, 0}, {3, 6}, {6, 2}, {7, 1}, {11, 1}, {15, 1}};
    struct rdma_endpoint good = {.token = 5, .path_mtu = IBV_MTU_1024}, out;
    struct link_endpoint bytes;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        rdma__endpoint_encode(&good, &bytes);
        bytes.bytes[wrong[i].at] = wrong[i].value;
        assert_int_equal(rdma__endpoint_decode(&bytes, &out), SF_FORMAT);
    }
    for (uint32_t length = 0; length < 256; length++) {
        rdma__endpoint_encode(&good, &bytes);
        bytes.length = (uint8_t)length;
        assert_int_equal(rdma__endpoint_decode(&bytes, &out),
                         length == RDMA_ENDPOINT_BYTES ? SF_OK : SF_FORMAT);
    }
    good.token = 0;
    rdma__endpoint_encode(&good, &bytes);
    assert_int_equal(rdma__endpoint_decode(&bytes, &out), SF_FORMAT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_own_address_is_the_best_gid),
        cmocka_unit_test(the_device_with_the_links_address_is_taken_and_it_says_so),
        cmocka_unit_test(a_device_that_does_not_fit_is_named_with_the_reason),
        cmocka_unit_test(an_open_that_fails_anywhere_leaves_nothing),
        cmocka_unit_test(an_endpoint_is_the_same_after_its_bytes),
        cmocka_unit_test(bytes_that_are_no_endpoint_are_refused),
    };

    return cmocka_run_group_tests_name("rdma-choice", tests, NULL, NULL);
}
