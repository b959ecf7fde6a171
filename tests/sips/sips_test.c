/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sips_test.c - the example SIPs, as sipc built them, in a real kernel core with the real TCP
 * service; the browser is plain sockets on loopback. And semantics.sip, which tries what sipc's
 * memory access and run-time stub promise.
 *
 * Every test has a kernel of its own and ends with clean audits, no SIP and no block left. The
 * kernel is made in the test, not in its setup: cmocka takes the fault signals for itself before
 * each of the two.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "nk.h"
#include "services/services.h"

#define NODE 4u
#define SIPS_MAX 16u
#define LINES_BYTES 8192u
#define SECONDS_MAX 20u
#define TCP_NUMBER 1u

struct end {
    bool over;
    int how;
    int32_t exit_code;
    uint8_t fault;
    char report[4096];
};

static struct world {
    uv_loop_t loop;
    struct nk_kernel *kernel;
    bool has_loop, has_tcp;
    struct end ends[SIPS_MAX]; /* by SIP number */
    char log[LINES_BYTES];     /* all lines of all SIPs */
} world;

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void turn(void)
{
    struct timespec rest = {.tv_nsec = 50000};

    while (nk_run(world.kernel, 64, now_ns())) {
    }
    if (world.has_loop) {
        (void)uv_run(&world.loop, UV_RUN_NOWAIT);
    }
    while (nk_run(world.kernel, 64, now_ns())) {
    }
    (void)nanosleep(&rest, NULL);
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        const uint64_t end_ = now_ns() + SECONDS_MAX * 1000000000ull;                              \
        while (!(condition)) {                                                                     \
            turn();                                                                                \
            if (now_ns() > end_) {                                                                 \
                fail_msg("timed out: %s; log: %s", #condition, world.log);                         \
            }                                                                                      \
        }                                                                                          \
    } while (0)

/* --- kernel --------------------------------------------------------------------------------------
 */

static void on_log(void *arg, uint64_t sip, const char *text, uint32_t bytes)
{
    const size_t used = strlen(world.log);

    (void)arg;
    (void)snprintf(world.log + used, sizeof(world.log) - used, "%u: %.*s\n", (unsigned)sip,
                   (int)bytes, text);
}

static void on_ended(void *arg, const struct nk_sip_end *end)
{
    struct end *mine = &world.ends[end->sip];

    (void)arg;
    assert_true(end->sip < SIPS_MAX);
    mine->over = true;
    mine->how = (int)end->how;
    mine->exit_code = end->exit_code;
    mine->fault = end->fault;
    (void)snprintf(mine->report, sizeof(mine->report), "%s",
                   end->report != NULL ? end->report : "");
}

static void world_make(bool has_tcp)
{
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

    (void)signal(SIGPIPE, SIG_IGN);
    memset(&world, 0, sizeof(world));
    if (nk_kernel_create(&options, &world.kernel, text, sizeof(text)) != SF_OK) {
        fail_msg("%s", text);
    }
    if (!has_tcp) {
        return;
    }
    assert_int_equal(uv_loop_init(&world.loop), 0);
    world.has_loop = true;
    if (nk_service_create(world.kernel, &nk_tcp_ops, TCP_NUMBER, "tcp", &world.loop, NULL, 0, text,
                          sizeof(text)) != SF_OK) {
        fail_msg("%s", text);
    }
    world.has_tcp = true;
}

static void tcp_stop(void)
{
    if (world.has_tcp) {
        world.has_tcp = false;
        assert_int_equal(nk_service_destroy(world.kernel, TCP_NUMBER), SF_OK);
    }
}

static int world_end(void **state)
{
    const char *text = "";
    struct nk_stats stats;
    struct xh_stats heap;

    (void)state;
    tcp_stop();
    for (uint64_t number = 2; number < SIPS_MAX; number++) {
        (void)!nk_sip_stop(world.kernel, number, SF_CAUSE_OF(SHUTDOWN));
    }
    turn();
    nk_query(world.kernel, &stats);
    assert_int_equal(stats.sip_count, 0);
    if (fab_audit(nk_kernel_fabric(world.kernel), &text) != SF_OK ||
        xh_audit(nk_kernel_heap(world.kernel), &text) != SF_OK) {
        fail_msg("%s", text);
    }
    xh_query(nk_kernel_heap(world.kernel), &heap);
    assert_int_equal(heap.block_count, 0);
    nk_kernel_destroy(world.kernel);
    if (world.has_loop) {
        while (uv_run(&world.loop, UV_RUN_NOWAIT) != 0) {
        }
        assert_int_equal(uv_loop_close(&world.loop), 0);
    }
    return 0;
}

/* --- SIPs ----------------------------------------------------------------------------------------
 */

static void sip_create(uint64_t number, const char *name, const char *image,
                       const struct nk_config *config, uint32_t config_count)
{
    struct nk_sip_options options = {
        .number = number,
        .name = name,
        .config = config,
        .config_count = config_count,
    };
    uint8_t digest[IMAGE_DIGEST_BYTES];
    char path[4096], text[256] = "";
    uint8_t *bytes = malloc(IMAGE_BYTES_MAX);
    size_t length;
    FILE *file;
    sf_status st;

    (void)snprintf(path, sizeof(path), "%s/%s", getenv("SIPFABRIC_BUILD"), image);
    file = fopen(path, "rb");
    assert_non_null(file);
    assert_non_null(bytes);
    length = fread(bytes, 1, IMAGE_BYTES_MAX, file);
    (void)fclose(file);
    st = nk_image_add(world.kernel, bytes, length, digest, text, sizeof(text));
    free(bytes);
    if (st != SF_OK && st != SF_EXISTS) {
        fail_msg("%s: %s", image, text);
    }
    options.image_digest = digest;
    if (nk_sip_create(world.kernel, &options, text, sizeof(text)) != SF_OK) {
        fail_msg("%s: %s", name, text);
    }
}

static void wire_and_start(uint64_t number, const char *import, const char *to)
{
    char text[256] = "";

    if (import != NULL &&
        nk_sip_wire(world.kernel, number, import, NODE, to, text, sizeof(text)) != SF_OK) {
        fail_msg("%s", text);
    }
    assert_int_equal(nk_sip_start(world.kernel, number), SF_OK);
}

static void expect_exit(uint64_t number, int32_t code)
{
    UNTIL(world.ends[number].over);
    if (world.ends[number].how != NK_END_EXITED || world.ends[number].exit_code != code) {
        fail_msg("SIP %u: how %d, exit code %d, expected %d; %s%s", (unsigned)number,
                 world.ends[number].how, world.ends[number].exit_code, code, world.log,
                 world.ends[number].report);
    }
}

static void expect_fault(uint64_t number, uint8_t fault)
{
    UNTIL(world.ends[number].over);
    if (world.ends[number].how != NK_END_FAULTED || world.ends[number].fault != fault) {
        fail_msg("SIP %u: how %d, exit code %d, %s; expected %s", (unsigned)number,
                 world.ends[number].how, world.ends[number].exit_code,
                 sf_fault_text(world.ends[number].fault), sf_fault_text(fault));
    }
}

static void semantics(uint64_t number, const char *what)
{
    struct nk_config config[] = {{"do", what}, {"number", "4000000000"}};

    sip_create(number, "semantics", "tests/sips/semantics.sip", config, what == NULL ? 0 : 2);
    wire_and_start(number, NULL, NULL);
}

static void promises_hold(void **state)
{
    (void)state;
    world_make(false);
    semantics(2, "checks");
    expect_exit(2, 0);
}

static void faults_are_named(void **state)
{
    static const struct {
        const char *what;
        uint8_t fault;
    } cases[] = {
        {"null-call", SF_FAULT_BAD_INDIRECT_CALL},
        {"wrong-call", SF_FAULT_BAD_INDIRECT_CALL},
        {"divide", SF_FAULT_DIV_BY_ZERO},
        {"overflow", SF_FAULT_INT_OVERFLOW},
        {"fill", SF_FAULT_OUT_OF_BOUNDS},
        {"copy", SF_FAULT_OUT_OF_BOUNDS},
        {"between", SF_FAULT_OUT_OF_BOUNDS},
        {"behind", SF_FAULT_OUT_OF_BOUNDS},
        {"recurse", SF_FAULT_STACK_OVERFLOW},
        {"free", SF_FAULT_UNREACHABLE},
        {"trap", SF_FAULT_UNREACHABLE},
    };

    (void)state;
    world_make(false);
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        semantics(2 + i, cases[i].what);
        expect_fault(2 + i, cases[i].fault);
    }
    /* The report knows C's names. */
    assert_non_null(strstr(world.ends[11].report, "sip_free"));
}

static void hello_greets_its_client(void **state)
{
    static const struct nk_config config[] = {{"name", "fabric"}, {"count", "3"}};

    (void)state;
    world_make(false);
    sip_create(2, "hello", "sips/hello.sip", NULL, 0);
    sip_create(3, "client", "sips/hello-client.sip", config, 2);
    wire_and_start(2, NULL, NULL);
    wire_and_start(3, "hello", "hello.hello");
    expect_exit(3, 0);
    UNTIL(strstr(world.log, "2: client said bye after 3 greetings\n") != NULL);
    assert_non_null(strstr(world.log, "3: hello, fabric\n3: hello, fabric\n3: hello, fabric\n"));
    assert_false(world.ends[2].over);
}

static void typed_endpoints_are_good_for_one_use(void **state)
{
    (void)state;
    world_make(false);
    sip_create(2, "typed", "tests/sips/typed.sip", NULL, 0);
    wire_and_start(2, NULL, NULL);
    expect_exit(2, 0);
}

static void libsip_works_in_a_sip(void **state)
{
    (void)state;
    world_make(false);
    sip_create(2, "library", "tests/sips/library.sip", NULL, 0);
    wire_and_start(2, NULL, NULL);
    expect_exit(2, 0);
}

/* One loop, many clients: they are greeted in turn, and one that says nothing is let go. */
static void one_loop_greets_many_clients(void **state)
{
    static const struct nk_config idle[] = {{"idle_ms", "300"}, {"log_level", "debug"}};
    static const struct nk_config config[] = {{"name", "fabric"}, {"count", "40"}};
    static const struct nk_config quiet[] = {{"do", "quiet"}};

    (void)state;
    world_make(false);
    sip_create(2, "hello", "sips/hello-many.sip", idle, 2);
    wire_and_start(2, NULL, NULL);
    sip_create(3, "quiet", "tests/sips/library.sip", quiet, 1);
    wire_and_start(3, "hello", "hello.hello");
    for (uint64_t number = 4; number < 8; number++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "client%u", (unsigned)number);
        sip_create(number, name, "sips/hello-client.sip", config, 2);
        wire_and_start(number, "hello", "hello.hello");
    }
    for (uint64_t number = 4; number < 8; number++) {
        expect_exit(number, 0);
    }
    assert_non_null(strstr(world.log, ": hello, fabric (1)\n"));
    assert_non_null(strstr(world.log, ": hello, fabric (160)\n"));
    assert_false(world.ends[3].over);
    expect_exit(3, 0);
    assert_non_null(strstr(world.log, "3: let go: closed by peer\n"));
    assert_non_null(strstr(world.log, "idle for too long\n"));
    assert_false(world.ends[2].over);
}

static uint32_t lines_with(const char *text)
{
    uint32_t count = 0;

    for (const char *at = strstr(world.log, text); at != NULL; at = strstr(at + 1, text)) {
        count++;
    }
    return count;
}

/* One exporter in C, importers in C++ and in Rust, over one contract. */
static void other_languages_speak_the_same_contract(void **state)
{
    static const struct nk_config config[] = {{"names", "Fabric,ann,Ole Ivar"}};

    (void)state;
    world_make(false);
    sip_create(2, "hello", "sips/hello-many.sip", NULL, 0);
    wire_and_start(2, NULL, NULL);
    sip_create(3, "cpp", "sips/hello-cpp.sip", config, 1);
    wire_and_start(3, "hello", "hello.hello");
    sip_create(4, "rust", "sips/hello-rust.sip", config, 1);
    wire_and_start(4, "hello", "hello.hello");
    expect_exit(3, 0);
    expect_exit(4, 0);
    assert_non_null(strstr(world.log, "3: cpp: 1. hello, ann ("));
    assert_non_null(strstr(world.log, "3: cpp: 3. hello, Ole Ivar ("));
    assert_non_null(strstr(world.log, "4: Fabric: \"hello, Fabric ("));
    assert_non_null(strstr(world.log, "4: F1 I1 O1 a3 b1 c1 e4 h3 i1 l7 n2 o3 r2 v1\n"));
    assert_int_equal(lines_with(", ann (1)"), 1); /* both came to the same exporter */
    assert_int_equal(lines_with(", ann (2)"), 1);
    assert_false(world.ends[2].over);
}

static void a_panic_in_rust_is_a_fault_with_a_place(void **state)
{
    static const struct nk_config config[] = {{"panic", "yes"}};

    (void)state;
    world_make(false);
    sip_create(2, "hello", "sips/hello.sip", NULL, 0);
    wire_and_start(2, NULL, NULL);
    sip_create(3, "rust", "sips/hello-rust.sip", config, 1);
    wire_and_start(3, "hello", "hello.hello");
    expect_fault(3, SF_FAULT_UNREACHABLE);
    assert_non_null(strstr(world.log, "3: panicked at 'as the configuration says', "));
    assert_non_null(strstr(world.log, "hello_rust.rs:"));
    assert_non_null(strstr(world.ends[3].report, "sip_main"));
    UNTIL(strstr(world.log, "2: client said bye after 1 greetings\n") != NULL);
}

static void other_languages_without_server_say_why(void **state)
{
    (void)state;
    world_make(false);
    sip_create(2, "hello", "sips/hello.sip", NULL, 0);
    sip_create(3, "cpp", "sips/hello-cpp.sip", NULL, 0);
    sip_create(4, "rust", "sips/hello-rust.sip", NULL, 0);
    wire_and_start(3, "hello", "hello.hello");
    wire_and_start(4, "hello", "hello.hello");
    turn();
    assert_int_equal(nk_sip_stop(world.kernel, 2, SF_CAUSE_OF(REVOKED)), SF_OK);
    expect_exit(3, 1);
    expect_exit(4, 1);
    assert_non_null(strstr(world.log, "3: error: not greeted: the channel is closed, revoked\n"));
    assert_non_null(strstr(world.log, "4: error: the channel is closed\n"));
}

static void a_client_without_server_says_why(void **state)
{
    (void)state;
    world_make(false);
    sip_create(2, "hello", "sips/hello.sip", NULL, 0);
    sip_create(3, "client", "sips/hello-client.sip", NULL, 0);
    wire_and_start(3, "hello", "hello.hello");
    assert_int_equal(nk_sip_stop(world.kernel, 2, SF_CAUSE_OF(REVOKED)), SF_OK);
    expect_exit(3, 1);
    assert_non_null(strstr(world.log, "revoked"));
}

/* --- web -----------------------------------------------------------------------------------------
 */

/* A port of loopback that is free now. */
static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const int yes = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

static uint16_t web_start(uint64_t number, const char *name, uint16_t port)
{
    char text[16], line[64];
    const struct nk_config config = {"port", text};

    (void)snprintf(text, sizeof(text), "%u", port);
    sip_create(number, name, "sips/web.sip", &config, 1);
    wire_and_start(number, "tcp", "tcp.tcp");
    (void)snprintf(line, sizeof(line), "%u: serving port %u\n", (unsigned)number, port);
    UNTIL(strstr(world.log, line) != NULL);
    return port;
}

static int web_connect(uint16_t port, uint16_t *out_local)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    if (out_local != NULL) {
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
        *out_local = ntohs(address.sin_port);
    }
    return fd;
}

static void web_send(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All that comes until the end of the connection; closes it. */
static const char *web_read(int fd)
{
    static char answer[8192];
    size_t used = 0;
    const uint64_t end = now_ns() + SECONDS_MAX * 1000000000ull;

    for (;;) {
        const ssize_t got = recv(fd, answer + used, sizeof(answer) - used - 1, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            break;
        }
        used += got > 0 ? (size_t)got : 0;
        turn();
        assert_true(now_ns() < end);
    }
    (void)close(fd);
    answer[used] = '\0';
    return answer;
}

static const char *web_ask(uint16_t port, const char *request)
{
    const int fd = web_connect(port, NULL);

    web_send(fd, request);
    return web_read(fd);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void web_answers_with_what_it_knows(void **state)
{
    uint16_t port;
    char peer[64];
    const char *answer;
    uint16_t local;
    int fd;

    (void)state;
    world_make(true);
    port = web_start(2, "web4", free_port());
    for (unsigned i = 1; i <= 3; i++) {
        char served[64];
        fd = web_connect(port, &local);
        web_send(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        answer = web_read(fd);
        assert_true(begins(answer, "HTTP/1.1 200 OK\r\n"));
        (void)snprintf(peer, sizeof(peer), "<p>peer: 127.0.0.1:%u</p>", local);
        (void)snprintf(served, sizeof(served), "<p>requests served: %u</p>", i);
        assert_non_null(strstr(answer, peer));
        assert_non_null(strstr(answer, served));
        assert_non_null(strstr(answer, "<p>node: node4</p>"));
        assert_non_null(strstr(answer, "<p>sip: web4</p>"));
        assert_non_null(strstr(answer, "Connection: close\r\n"));
    }
    answer = web_ask(port, "HEAD / HTTP/1.0\r\n\r\n");
    assert_true(begins(answer, "HTTP/1.1 200 OK\r\n"));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    assert_true(begins(web_ask(port, "GET /?a=b HTTP/1.1\n\n"), "HTTP/1.1 200 "));
    assert_true(begins(web_ask(port, "GET /other HTTP/1.1\r\n\r\n"), "HTTP/1.1 404 "));
    answer = web_ask(port, "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    assert_true(begins(answer, "HTTP/1.1 405 "));
    assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD\r\n"));
    assert_true(begins(web_ask(port, "nonsense\r\n\r\n"), "HTTP/1.1 400 "));
    assert_true(begins(web_ask(port, "GET / SPDY/9\r\n\r\n"), "HTTP/1.1 400 "));
}

static void a_request_too_long_is_refused(void **state)
{
    uint16_t port;
    char request[6000];

    (void)state;
    world_make(true);
    port = web_start(2, "web4", free_port());
    (void)snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nX: %05000d\r\n\r\n", 0);
    assert_true(begins(web_ask(port, request), "HTTP/1.1 431 "));
    (void)snprintf(request, sizeof(request), "GET /%0300d HTTP/1.1\r\n\r\n", 0);
    assert_true(begins(web_ask(port, request), "HTTP/1.1 414 "));
}

static void a_slow_client_stops_nobody(void **state)
{
    uint16_t port;
    int slow[5];
    uint16_t local;
    char peer[64];
    const char *answer;

    (void)state;
    world_make(true);
    port = web_start(2, "web4", free_port());
    for (unsigned i = 0; i < 5; i++) {
        slow[i] = web_connect(port, i == 0 ? &local : NULL);
        web_send(slow[i], i == 1 ? "G" : "GET / HT");
    }
    for (unsigned i = 0; i < 20; i++) {
        assert_true(begins(web_ask(port, "GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 "));
    }
    web_send(slow[0], "TP/1.1\r\n");
    turn();
    web_send(slow[0], "\r\n");
    answer = web_read(slow[0]);
    (void)snprintf(peer, sizeof(peer), "<p>peer: 127.0.0.1:%u</p>", local);
    assert_non_null(strstr(answer, peer));
    for (unsigned i = 1; i < 5; i++) {
        (void)close(slow[i]);
    }
    assert_true(begins(web_ask(port, "GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 "));
    assert_false(world.ends[2].over);
}

/* More than it has room for: the rest wait their turn in the listener's queue. */
static void more_connections_than_room(void **state)
{
    uint16_t port;
    int fds[60];

    (void)state;
    world_make(true);
    port = web_start(2, "web4", free_port());
    for (unsigned i = 0; i < 60; i++) {
        fds[i] = web_connect(port, NULL);
        turn();
    }
    for (unsigned i = 0; i < 60; i++) {
        web_send(fds[i], "GET / HTTP/1.1\r\n\r\n");
    }
    for (unsigned i = 0; i < 60; i++) {
        assert_true(begins(web_read(fds[i]), "HTTP/1.1 200 "));
    }
}

static void a_crash_ends_one_of_two(void **state)
{
    uint16_t port;
    unsigned two = 0, three = 0;
    const char *answer;

    (void)state;
    world_make(true);
    port = web_start(2, "web2", free_port());
    (void)web_start(3, "web3", port);
    for (unsigned i = 0; i < 20; i++) {
        answer = web_ask(port, "GET / HTTP/1.1\r\n\r\n");
        two += strstr(answer, "<p>sip: web2</p>") != NULL;
        three += strstr(answer, "<p>sip: web3</p>") != NULL;
    }
    assert_int_equal(two, 10);
    assert_int_equal(three, 10);
    answer = web_ask(port, "GET /crash HTTP/1.1\r\n\r\n");
    assert_string_equal(answer, "");
    UNTIL(world.ends[2].over || world.ends[3].over);
    assert_true(world.ends[2].over != world.ends[3].over);
    expect_fault(world.ends[2].over ? 2 : 3, SF_FAULT_UNREACHABLE);
    for (unsigned i = 0; i < 10; i++) {
        answer = web_ask(port, "GET / HTTP/1.1\r\n\r\n");
        assert_non_null(strstr(answer, world.ends[2].over ? "sip: web3" : "sip: web2"));
    }
}

static void the_service_ends_and_web_says_why(void **state)
{
    uint16_t port;
    int fd;

    (void)state;
    world_make(true);
    port = web_start(2, "web4", free_port());
    fd = web_connect(port, NULL);
    turn();
    tcp_stop();
    expect_exit(2, 1);
    assert_non_null(strstr(world.log, "tcp service gone: "));
    assert_non_null(strstr(world.log, sf_cause_text(SF_CAUSE_REVOKED)));
    (void)close(fd);
}

static void a_taken_port_is_said(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    char port[16];
    const struct nk_config config = {"port", port};

    (void)state;
    world_make(true);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    (void)snprintf(port, sizeof(port), "%u", ntohs(address.sin_port));
    sip_create(2, "web4", "sips/web.sip", &config, 1);
    wire_and_start(2, "tcp", "tcp.tcp");
    expect_exit(2, 1);
    assert_non_null(strstr(world.log, "cannot listen on port"));
    (void)close(fd);
}

#define TEST(test) cmocka_unit_test_teardown(test, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(promises_hold),
        TEST(faults_are_named),
        TEST(hello_greets_its_client),
        TEST(typed_endpoints_are_good_for_one_use),
        TEST(libsip_works_in_a_sip),
        TEST(one_loop_greets_many_clients),
        TEST(other_languages_speak_the_same_contract),
        TEST(a_panic_in_rust_is_a_fault_with_a_place),
        TEST(other_languages_without_server_say_why),
        TEST(a_client_without_server_says_why),
        TEST(web_answers_with_what_it_knows),
        TEST(a_request_too_long_is_refused),
        TEST(a_slow_client_stops_nobody),
        TEST(more_connections_than_room),
        TEST(a_crash_ends_one_of_two),
        TEST(a_taken_port_is_said),
        TEST(the_service_ends_and_web_says_why),
    };

    return cmocka_run_group_tests_name("sips", tests, NULL, NULL);
}
