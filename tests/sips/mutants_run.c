/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mutants_run.c - runs a few SIPs in a real kernel and prints what they log: for mutants.py.
 *
 *   mutants_run SIP...     SIP: NAME IMAGE IMPORT TARGET KEY VALUE ("-" for none)
 *
 * The TCP service is there too, as "tcp.tcp".
 *
 * Ends when the last SIP given has ended, when nothing has happened for QUIET_MS, or after RUN_MS.
 * Lines on stdout: "log NAME: text", "ended NAME how H code C", "audit ok". Exit code 0 if the
 * kernel's audits are clean with all SIPs gone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "nk.h"
#include "services/services.h"

#define NODE 4u
#define QUIET_MS 400u
#define RUN_MS 4000u
#define WORDS 6
#define LINES_MAX 100u
#define TCP_NUMBER 1u
#define FIRST 2u

static struct nk_kernel *kernel;
static uv_loop_t loop; /* of the TCP service */
static char **names;
static uint64_t last; /* number of the last SIP given */
static uint32_t lines;
static bool over, active;

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static const char *name_of(uint64_t sip)
{
    return names[(sip - FIRST) * WORDS];
}

static void on_log(void *arg, uint64_t sip, const char *text, uint32_t bytes)
{
    (void)arg;
    active = true;
    if (sip >= FIRST && lines++ < LINES_MAX) {
        (void)printf("log %s: %.*s\n", name_of(sip), (int)bytes, text);
    }
}

static void on_ended(void *arg, const struct nk_sip_end *end)
{
    (void)arg;
    active = true;
    over = over || end->sip == last;
    (void)printf("ended %s how %d code %d\n", name_of(end->sip), (int)end->how, end->exit_code);
}

static int fail(const char *what, const char *text)
{
    (void)printf("mutants_run: %s: %s\n", what, text);
    return 1;
}

/* A SIP that holds nothing yet; wired and started when all are there. */
static int create(uint64_t number, char **words)
{
    const struct nk_config config = {words[4], words[5]};
    struct nk_sip_options options = {
        .number = number,
        .name = words[0],
        .config = &config,
        .config_count = strcmp(words[4], "-") != 0,
    };
    uint8_t digest[IMAGE_DIGEST_BYTES];
    char text[256] = "";
    uint8_t *bytes = malloc(IMAGE_BYTES_MAX);
    FILE *file = fopen(words[1], "rb");
    size_t length;
    sf_status st;

    if (file == NULL || bytes == NULL) {
        return fail(words[1], "cannot be read");
    }
    length = fread(bytes, 1, IMAGE_BYTES_MAX, file);
    (void)fclose(file);
    st = nk_image_add(kernel, bytes, length, digest, text, sizeof(text));
    free(bytes);
    if (st != SF_OK && st != SF_EXISTS) {
        return fail(words[1], text);
    }
    options.image_digest = digest;
    if (nk_sip_create(kernel, &options, text, sizeof(text)) != SF_OK) {
        return fail(words[0], text);
    }
    return 0;
}

static int start(uint64_t number, char **words)
{
    char text[256] = "";

    if (strcmp(words[2], "-") != 0 &&
        nk_sip_wire(kernel, number, words[2], NODE, words[3], text, sizeof(text)) != SF_OK) {
        return fail(words[0], text);
    }
    return nk_sip_start(kernel, number) == SF_OK ? 0 : fail(words[0], "cannot start");
}

static void run(void)
{
    const uint64_t begin = now_ns();
    uint64_t acted = begin;
    struct nk_stats stats = {0}, before = {0};

    while (!over && now_ns() - acted < QUIET_MS * 1000000ull &&
           now_ns() - begin < RUN_MS * 1000000ull) {
        struct timespec rest = {.tv_nsec = 50000};
        active = false;
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        while (nk_run(kernel, 64, now_ns()) && now_ns() - begin < RUN_MS * 1000000ull) {
        }
        nk_query(kernel, &stats);
        if (active || stats.messages != before.messages) {
            acted = now_ns();
        }
        before = stats;
        (void)nanosleep(&rest, NULL);
    }
}

static int finish(uint64_t count)
{
    const char *text = "";
    struct nk_stats stats;

    for (uint64_t i = 0; i < count; i++) {
        (void)!nk_sip_stop(kernel, FIRST + i, SF_CAUSE_OF(SHUTDOWN));
    }
    (void)!nk_service_destroy(kernel, TCP_NUMBER);
    for (uint32_t i = 0; i < 1000; i++) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        (void)nk_run(kernel, 64, now_ns());
    }
    nk_query(kernel, &stats);
    if (stats.sip_count != 0) {
        return fail("at the end", "a SIP is left");
    }
    if (fab_audit(nk_kernel_fabric(kernel), &text) != SF_OK ||
        xh_audit(nk_kernel_heap(kernel), &text) != SF_OK) {
        return fail("audit", text);
    }
    (void)puts("audit ok");
    return 0;
}

int main(int argc, char **argv)
{
    const uint64_t count = (uint64_t)(argc - 1) / WORDS;
    struct nk_options options = {
        .node_name = "node4",
        .node_id = NODE,
        .epoch = 1,
        .trust = &image_trust_anyone,
        .slot_first = 200,
        .slot_count = 8,
        .heap_bytes = 64u << 20,
        .events = {.log = on_log, .ended = on_ended},
    };
    char text[256] = "";
    int code = 0;

    if (argc < 1 + WORDS || (argc - 1) % WORDS != 0) {
        (void)fputs("usage: mutants_run (NAME IMAGE IMPORT TARGET KEY VALUE)...\n", stderr);
        return 2;
    }
    names = argv + 1;
    last = FIRST + count - 1;
    if (nk_kernel_create(&options, &kernel, text, sizeof(text)) != SF_OK) {
        return fail("kernel", text);
    }
    if (uv_loop_init(&loop) != 0 || nk_service_create(kernel, &nk_tcp_ops, TCP_NUMBER, "tcp", &loop,
                                                      NULL, 0, text, sizeof(text)) != SF_OK) {
        return fail("tcp service", text);
    }
    for (uint64_t i = 0; i < count && code == 0; i++) {
        code = create(FIRST + i, names + i * WORDS);
    }
    for (uint64_t i = 0; i < count && code == 0; i++) {
        code = start(FIRST + i, names + i * WORDS);
    }
    if (code == 0) {
        run();
        code = finish(count);
    }
    nk_kernel_destroy(kernel);
    return code;
}
