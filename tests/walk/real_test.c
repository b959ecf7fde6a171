/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract walk for real, on one node: the sealed SIP in the node kernel's core against its TCP
 * service on loopback. argv[1]: the image.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <uv.h>

#include "kernel/nk.h"
#include "kernel/services/services.h"

#define SIP 7u
#define SERVICE 8u
#define SECONDS_MAX 20u

static const char *image_path;

struct run {
    bool ended;
    struct nk_sip_end end;
    char report[2048];
    char log[1 << 16];
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void on_log(void *arg, uint64_t sip, const char *text, uint32_t bytes)
{
    struct run *run = arg;
    size_t length = strlen(run->log);

    (void)sip;
    snprintf(run->log + length, sizeof(run->log) - length, "%.*s\n", (int)bytes, text);
}

static void on_ended(void *arg, const struct nk_sip_end *end)
{
    struct run *run = arg;

    if (end->sip == SIP) {
        run->ended = true;
        run->end = *end;
        snprintf(run->report, sizeof(run->report), "%s", end->report == NULL ? "" : end->report);
    }
}

static void on_session_lost(void *arg, uint16_t peer_id, struct sf_cause cause)
{
    (void)arg;
    (void)peer_id;
    (void)cause;
}

static void add_image(struct nk_kernel *kernel, uint8_t digest[IMAGE_DIGEST_BYTES])
{
    char text[256] = "";
    FILE *stream = fopen(image_path, "rb");
    uint8_t *bytes = malloc(1 << 20);

    assert_non_null(stream);
    assert_non_null(bytes);
    size_t length = fread(bytes, 1, 1 << 20, stream);
    fclose(stream);
    if (nk_image_add(kernel, bytes, length, digest, text, sizeof(text)) != SF_OK) {
        fail_msg("%s", text);
    }
    free(bytes);
}

static void start(struct nk_kernel *kernel, uv_loop_t *loop)
{
    uint8_t digest[IMAGE_DIGEST_BYTES];
    char text[256] = "";

    add_image(kernel, digest);
    const struct nk_service_ops *tcp = nk_service_find("tcp");
    assert_non_null(tcp);
    assert_int_equal(
        nk_service_create(kernel, tcp, SERVICE, "tcp", loop, NULL, 0, text, sizeof(text)), SF_OK);
    const struct nk_sip_options options = {.number = SIP, .name = "walk", .image_digest = digest};
    assert_int_equal(nk_sip_create(kernel, &options, text, sizeof(text)), SF_OK);
    assert_int_equal(nk_sip_wire(kernel, SIP, "exporter", 1, "tcp.tcp", text, sizeof(text)), SF_OK);
    assert_int_equal(nk_sip_start(kernel, SIP), SF_OK);
}

static void the_tcp_service_keeps_its_contract(void **state)
{
    static struct run run;
    uv_loop_t loop;
    struct nk_kernel *kernel = NULL;
    char text[256] = "";
    const char *audit = NULL;
    const struct nk_options options = {
        .node_name = "node1",
        .node_id = 1,
        .epoch = 1,
        .trust = &image_trust_anyone,
        .slot_first = 1,
        .slot_count = 2,
        .heap_bytes = 32u << 20,
        .events = {.log = on_log, .ended = on_ended, .session_lost = on_session_lost},
        .events_arg = &run,
    };

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(nk_kernel_create(&options, &kernel, text, sizeof(text)), SF_OK);
    start(kernel, &loop);
    uint64_t begin = now_ns();
    while (!run.ended && now_ns() - begin < SECONDS_MAX * 1000000000ull) {
        struct timespec rest = {.tv_nsec = 50000};
        bool ran = nk_run(kernel, 64, now_ns());
        uv_run(&loop, UV_RUN_NOWAIT);
        if (!ran) {
            nanosleep(&rest, NULL);
        }
    }
    fprintf(stderr, "%s%s# %.3f s\n", run.log, run.report, (double)(now_ns() - begin) / 1e9);
    assert_true(run.ended);
    assert_int_equal(run.end.how, NK_END_EXITED);
    assert_int_equal(run.end.exit_code, 0);
    if (strstr(run.log, "states 37 of 37, transitions 85 of 85, illegal messages refused 1104 of "
                        "1104\n") == NULL) {
        fail_msg("the walk did not see all");
    }
    if (fab_audit(nk_kernel_fabric(kernel), &audit) != SF_OK) {
        fail_msg("%s", audit);
    }
    nk_kernel_destroy(kernel);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_tcp_service_keeps_its_contract)};

    if (argc != 2) {
        fprintf(stderr, "usage: %s IMAGE\n", argv[0]);
        return 2;
    }
    image_path = argv[1];
    return cmocka_run_group_tests_name("contract walk of the tcp service", tests, NULL, NULL);
}
