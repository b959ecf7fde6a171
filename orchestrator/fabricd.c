/* SPDX-License-Identifier: Apache-2.0 */
/* fabricd.c - options, listeners, the tick, the end. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "daemon.h"
#include "registry.h"
#include "trust.h"

#define STOP_MS 3000u
#define LAST_WORDS_MS 500u
#define TRUST_FILES_MAX 64u
#define STATE_DIR_BYTES_MAX 80u /* so that sockets in it have paths the system takes */

static const char usage[] =
    "fabricd: registry, placement and wiring of a sipfabric cluster\n"
    "\n"
    "usage: fabricd --state-dir DIR --listen IP:PORT --token T [--expect NAME,NAME...] [--hosted]\n"
    "               [--trust FILE]... [--allow-unsigned] [--allow-native]\n"
    "               [--encrypt all|ethernet|none] [--allow-rdma WHICH]... [--no-memif]\n"
    "               [--heartbeat-ms N]\n"
    "\n"
    "  --state-dir DIR     holds ctl.sock, fabricd.addr (the real address), fabricd.state\n"
    "  --listen IP:PORT    where nodes connect; port 0: any free one\n"
    "  --token T           join token of the cluster (or SIPFABRIC_TOKEN)\n"
    "  --expect NAMES      nodes that are shown before they join, ids 1, 2, ... in this order\n"
    "  --hosted            the expected nodes are ordinary processes\n"
    "  --trust FILE        public keys (sipc keygen) whose images are taken; may be given again\n"
    "  --allow-unsigned    take images that no trusted key has signed, too (development)\n"
    "  --allow-native      nodes take images of mode native, which have no checks at run time\n"
    "  --encrypt WHICH     sessions between nodes that are encrypted: all; over ethernet, not\n"
    "                      inside a machine (the default); none\n"
    "  --allow-rdma WHICH  links between nodes on which RDMA may be used, for it does not encrypt\n"
    "                      what it carries: all, NETWORK/BITS of both ends' addresses, or\n"
    "                      NODE:NODE; may be given again; without it RDMA is not used\n"
    "  --no-memif          hosted nodes of one machine get no memif links; like all others they\n"
    "                      talk over links they bring (sipnode --link)\n"
    "  --heartbeat-ms N    how often nodes report; 3 missing: lost (hosted 1000, booted 2000)\n"
    "\n"
    "example:\n"
    "  fabricd --state-dir /tmp/fab --listen 127.0.0.1:0 --token secret --expect node1,node2\n"
    "\n"
    "SIGTERM and SIGINT end fabricd alone; nodes and their SIPs run on.\n";

struct options {
    const char *state_dir;
    const char *listen;
    const char *token;
    const char *expect;
    const char *heartbeat;
    const char *encrypt_text;
    const char *trust[TRUST_FILES_MAX + 1];
    uint32_t trust_count;
    const char *rdma[ORCH_ALLOW_RULES_MAX + 1];
    uint32_t rdma_count;
    struct orch_allow allow_rdma;
    bool allow_unsigned;
    bool hosted;
    bool allow_native;
    bool no_memif;
    enum orch_encrypt encrypt;
};

uint64_t daemon_wall(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void daemon_log(const char *format, ...)
{
    char line[4096];
    struct timespec now;
    struct tm parts;
    va_list arguments;
    size_t bytes;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    bytes = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &parts);
    bytes +=
        (size_t)snprintf(line + bytes, sizeof(line) - bytes, ".%03ldZ ", now.tv_nsec / 1000000);
    va_start(arguments, format);
    vsnprintf(line + bytes, sizeof(line) - bytes, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s\n", line);
}

/* --- options ------------------------------------------------------------------------------------
 */

static int wrong(const char *what, const char *value)
{
    fprintf(stderr, "fabricd: error: %s%s%s; see: fabricd --help\n", what,
            value != NULL ? ": " : "", value != NULL ? value : "");
    return 2;
}

/* 0, or the exit code. */
static int check_options(struct options *options)
{
    if (options->token == NULL) {
        options->token = getenv("SIPFABRIC_TOKEN");
    }
    if (options->state_dir == NULL || options->listen == NULL || options->token == NULL) {
        return wrong("--state-dir, --listen and --token are needed", NULL);
    }
    if (options->token[0] == '\0' || strlen(options->token) > 127) {
        return wrong("a token has 1 to 127 bytes", NULL);
    }
    if (options->heartbeat != NULL &&
        (strspn(options->heartbeat, "0123456789") != strlen(options->heartbeat) ||
         atol(options->heartbeat) < 100 || atol(options->heartbeat) > 60000)) {
        return wrong("--heartbeat-ms takes 100 to 60000", options->heartbeat);
    }
    if (options->encrypt_text != NULL &&
        !orch_encrypt_parse(options->encrypt_text, &options->encrypt)) {
        return wrong("--encrypt takes " ORCH_ENCRYPT_RULE, options->encrypt_text);
    }
    for (uint32_t i = 0; i < options->rdma_count; i++) {
        if (!orch_allow_add(&options->allow_rdma, options->rdma[i])) {
            return wrong("--allow-rdma takes " ORCH_ALLOW_RULE, options->rdma[i]);
        }
    }
    return 0;
}

/* False: it is no option without a value. */
static bool parse_flag(struct options *options, const char *text)
{
    const struct {
        const char *name;
        bool *value;
    } known[] = {
        {"--hosted", &options->hosted},
        {"--allow-unsigned", &options->allow_unsigned},
        {"--allow-native", &options->allow_native},
        {"--no-memif", &options->no_memif},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, text) == 0) {
            *known[i].value = true;
            return true;
        }
    }
    return false;
}

#define OPTIONS 8u /* that take a value */

/* 0, or the exit code; -1: help was shown. */
static int parse_options(struct options *options, int argc, char **argv)
{
    int index;

    for (index = 1; index < argc; index++) {
        const struct {
            const char *name;
            const char **value;
        } known[OPTIONS] = {
            {"--state-dir", &options->state_dir},
            {"--listen", &options->listen},
            {"--token", &options->token},
            {"--expect", &options->expect},
            {"--heartbeat-ms", &options->heartbeat},
            {"--encrypt", &options->encrypt_text},
            {"--trust", &options->trust[options->trust_count]},
            {"--allow-rdma", &options->rdma[options->rdma_count]},
        };
        size_t option;

        if (strcmp(argv[index], "--help") == 0 || strcmp(argv[index], "-h") == 0) {
            fputs(usage, stdout);
            return -1;
        }
        if (parse_flag(options, argv[index])) {
            continue;
        }
        for (option = 0; option < OPTIONS && strcmp(known[option].name, argv[index]) != 0;
             option++) {
        }
        if (option == OPTIONS) {
            return wrong("no such option", argv[index]);
        }
        if (index + 1 == argc) {
            return wrong("a value is missing after", argv[index]);
        }
        *known[option].value = argv[++index];
        if (known[option].value == &options->trust[options->trust_count] &&
            ++options->trust_count > TRUST_FILES_MAX) {
            return wrong("--trust was given too often", NULL);
        }
        if (known[option].value == &options->rdma[options->rdma_count] &&
            ++options->rdma_count > ORCH_ALLOW_RULES_MAX) {
            return wrong("--allow-rdma was given too often", NULL);
        }
    }
    return check_options(options);
}
/* --- start --------------------------------------------------------------------------------------
 */

static bool fail(const char *what, const char *object, const char *why)
{
    fprintf(stderr, "fabricd: error: %s %s: %s\n", what, object, why);
    return false;
}

/* The folder is ours alone: a lock in it, held until we end. */
static bool take_state_dir(struct daemon *daemon, const char *path)
{
    char file[sizeof(daemon->state_dir) + 32];
    char text[600] = "";
    int fd;

    if (strlen(path) > STATE_DIR_BYTES_MAX) {
        return fail("cannot use state folder", path, "its path is over 80 bytes long");
    }
    snprintf(daemon->state_dir, sizeof(daemon->state_dir), "%s", path);
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return fail("cannot make state folder", path, strerror(errno));
    }
    snprintf(file, sizeof(file), "%s/fabricd.lock", path);
    fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail("cannot open", file, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return fail("cannot use state folder", path, "another fabricd runs on it");
    }
    snprintf(file, sizeof(file), "%s/fabricd.state", path);
    if (state_open(&daemon->state, file, text, sizeof(text)) != SF_OK) {
        return fail("cannot start on", file, text);
    }
    return true;
}

static bool read_trust(struct daemon *daemon, const struct options *options)
{
    char id[IMAGE_KEY_ID_CHARS + 1];
    char text[4600];
    uint32_t index;

    daemon->trust.allow_unsigned = options->allow_unsigned;
    for (index = 0; index < options->trust_count; index++) {
        if (trust_file_read(&daemon->trust, options->trust[index], text, sizeof(text)) != SF_OK) {
            return fail("cannot use", "--trust", text);
        }
    }
    for (index = 0; index < daemon->trust.key_count; index++) {
        image_key_id(daemon->trust.keys[index].bytes, id);
        daemon_log("images signed with key %s (%s) are trusted", id,
                   daemon->trust.keys[index].name);
    }
    if (options->allow_unsigned) {
        daemon_log("warning: images that no trusted key has signed are taken, too");
    } else if (daemon->trust.key_count == 0) {
        daemon_log("warning: no key is trusted, every image will be refused; see --trust");
    }
    return true;
}

static bool expect_nodes(struct daemon *daemon, const struct options *options)
{
    char *names = strdup(options->expect != NULL ? options->expect : "");
    char *place = NULL;
    char *name;
    bool good = names != NULL;

    for (name = good ? strtok_r(names, ",", &place) : NULL; good && name != NULL;
         name = strtok_r(NULL, ",", &place)) {
        struct world_node *node = NULL;

        if (!orch_name_ok(name)) {
            good = fail("--expect", name, ORCH_NAME_RULE);
        } else if (world_node_find(&daemon->world, name) != NULL) {
            good = fail("--expect", name, "it is there twice");
        } else {
            node = session_node_add(daemon, name);
            good = node != NULL || fail("cannot write", daemon->state.path, strerror(errno));
        }
        if (node != NULL) {
            node->stage_since_ms = daemon_now(daemon);
            snprintf(node->mode, sizeof(node->mode), "%s", options->hosted ? "hosted" : "booted");
        }
    }
    free(names);
    return good;
}

static void on_node(uv_stream_t *listener, int status)
{
    if (status == 0) {
        session_accept(listener->data, listener);
    }
}

static void on_console(uv_stream_t *listener, int status)
{
    if (status == 0) {
        console_accept(listener->data, listener);
    }
}

static bool parse_address(const char *text, struct sockaddr_in *out_address)
{
    char ip[64];
    const char *colon = strrchr(text, ':');
    char *end;
    unsigned long port;

    if (colon == NULL || (size_t)(colon - text) >= sizeof(ip) || colon[1] < '0' || colon[1] > '9') {
        return false;
    }
    snprintf(ip, sizeof(ip), "%.*s", (int)(colon - text), text);
    port = strtoul(colon + 1, &end, 10);
    return *end == '\0' && port <= 65535 && uv_ip4_addr(ip, (int)port, out_address) == 0;
}

/* Writes where nodes really connect, whole. */
static bool write_address(struct daemon *daemon)
{
    char path[sizeof(daemon->state_dir) + 32];
    char ip[32];
    char line[64];
    struct sockaddr_in address;
    int length = sizeof(address);

    if (uv_tcp_getsockname(&daemon->node_listener, (struct sockaddr *)&address, &length) != 0) {
        return fail("cannot read", "the listener's address", strerror(errno));
    }
    uv_ip4_name(&address, ip, sizeof(ip));
    snprintf(path, sizeof(path), "%s/fabricd.addr", daemon->state_dir);
    snprintf(line, sizeof(line), "%s:%u\n", ip, ntohs(address.sin_port));
    daemon_log("nodes connect to %s:%u", ip, ntohs(address.sin_port));
    if (state_write_file(path, line, strlen(line)) != SF_OK) {
        return fail("cannot write", path, strerror(errno));
    }
    return true;
}

static bool listen_nodes(struct daemon *daemon, const char *text)
{
    struct sockaddr_in address;
    int result;

    if (!parse_address(text, &address)) {
        return fail("--listen", text, "write IPv4:PORT, e.g. 127.0.0.1:7700");
    }
    uv_tcp_init(&daemon->loop, &daemon->node_listener);
    daemon->node_listener.data = daemon;
    result = uv_tcp_bind(&daemon->node_listener, (const struct sockaddr *)&address, 0);
    if (result == 0) {
        result = uv_listen((uv_stream_t *)&daemon->node_listener, 128, on_node);
    }
    if (result != 0) {
        return fail("cannot listen on", text, uv_strerror(result));
    }
    return true;
}

/* Before the address is written, so that whoever sees that file can use the socket. */
static bool listen_consoles(struct daemon *daemon)
{
    char path[sizeof(daemon->state_dir) + 32];
    mode_t mask;
    int result;

    snprintf(path, sizeof(path), "%s/ctl.sock", daemon->state_dir);
    unlink(path); /* of a fabricd that was killed: the lock says there is no other */
    uv_pipe_init(&daemon->loop, &daemon->console_listener, 0);
    daemon->console_listener.data = daemon;
    mask = umask(0077);
    result = uv_pipe_bind(&daemon->console_listener, path);
    umask(mask);
    if (result == 0) {
        result = uv_listen((uv_stream_t *)&daemon->console_listener, 32, on_console);
    }
    if (result != 0) {
        return fail("cannot listen on", path, uv_strerror(result));
    }
    return true;
}

/* --- running and the end ------------------------------------------------------------------------
 */

static bool any_node_connected(const struct daemon *daemon)
{
    uint32_t index;

    for (index = 0; index < daemon->world.node_count; index++) {
        if (daemon->world.nodes[index]->session != NULL) {
            return true;
        }
    }
    return false;
}

static void on_tick(uv_timer_t *timer)
{
    struct daemon *daemon = timer->data;

    session_tick(daemon);
    pairs_tick(daemon);
    drain_tick(daemon);
    moves_tick(daemon);
    apply_tick(daemon);
    restart_look(daemon);
    if (daemon->stop_at_ms != 0 &&
        (daemon->stop_at_ms <= daemon_now(daemon) || !any_node_connected(daemon))) {
        uv_stop(&daemon->loop);
    }
}

void daemon_stop(struct daemon *daemon)
{
    uint32_t index;

    if (daemon->stop_at_ms != 0) {
        return;
    }
    daemon_log("stopping with all nodes, as asked");
    daemon->stop_at_ms = daemon_now(daemon) + STOP_MS;
    for (index = 0; index < daemon->world.node_count; index++) {
        Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
        Sf__Control__NodeShutdown body = SF__CONTROL__NODE_SHUTDOWN__INIT;

        body.power_off = true;
        envelope.body_case = SF__CONTROL__ENVELOPE__BODY_NODE_SHUTDOWN;
        envelope.node_shutdown = &body;
        session_tell(daemon, daemon->world.nodes[index], &envelope);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct daemon *daemon = handle->data;

    daemon_log("ending on signal %d; nodes run on", number);
    uv_stop(&daemon->loop);
}

static void run(struct daemon *daemon)
{
    static const int numbers[2] = {SIGINT, SIGTERM};
    int index;

    uv_timer_init(&daemon->loop, &daemon->tick);
    daemon->tick.data = daemon;
    daemon->ticked_ms = daemon_now(daemon);
    uv_timer_start(&daemon->tick, on_tick, DAEMON_TICK_MS, DAEMON_TICK_MS);
    for (index = 0; index < 2; index++) {
        uv_signal_init(&daemon->loop, &daemon->signals[index]);
        daemon->signals[index].data = daemon;
        uv_signal_start(&daemon->signals[index], on_signal, numbers[index]);
    }
    uv_run(&daemon->loop, UV_RUN_DEFAULT);
    daemon->stop_at_ms = 1; /* nothing new is taken */
}

static void on_last_tick(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void tear_down(struct daemon *daemon)
{
    char path[sizeof(daemon->state_dir) + 32];

    session_close_all(daemon);
    console_close_all(daemon);
    apply_fini(daemon);
    moves_fini(daemon);
    pairs_fini(daemon);
    snprintf(path, sizeof(path), "%s/fabricd.addr", daemon->state_dir);
    unlink(path);
    world_fini(&daemon->world);
    uv_close((uv_handle_t *)&daemon->node_listener, NULL);
    uv_close((uv_handle_t *)&daemon->console_listener, NULL);
    uv_close((uv_handle_t *)&daemon->signals[0], NULL);
    uv_close((uv_handle_t *)&daemon->signals[1], NULL);
    uv_timer_start(&daemon->tick, on_last_tick, LAST_WORDS_MS, 0);
    uv_unref((uv_handle_t *)&daemon->tick);
    uv_run(&daemon->loop, UV_RUN_DEFAULT); /* last words go out, if their readers read */
}

int main(int argc, char **argv)
{
    static struct daemon daemon;
    struct options options = {0};
    bool good;
    int code = parse_options(&options, argc, argv);

    if (code != 0) {
        return code < 0 ? 0 : code;
    }
    signal(SIGPIPE, SIG_IGN);
    world_init(&daemon.world);
    if (sodium_init() < 0 || uv_loop_init(&daemon.loop) != 0) {
        fail("cannot start", "fabricd", "no memory or no randomness");
        return 1;
    }
    snprintf(daemon.token, sizeof(daemon.token), "%s", options.token);
    daemon.world.allow_native = options.allow_native;
    daemon.encrypt = options.encrypt;
    daemon.no_memif = options.no_memif;
    daemon.rdma = options.allow_rdma;
    daemon.heartbeat_ms = options.heartbeat != NULL ? (uint32_t)atol(options.heartbeat) : 0;
    daemon.started_ms = daemon_now(&daemon);
    good = read_trust(&daemon, &options) && take_state_dir(&daemon, options.state_dir) &&
           expect_nodes(&daemon, &options);
    if (good && registry_services(&daemon.world) != SF_OK) {
        good = fail("cannot read", "the standard contracts", "this build of fabricd is broken");
    }
    good = good && listen_nodes(&daemon, options.listen) && listen_consoles(&daemon) &&
           write_address(&daemon);
    if (good) {
        run(&daemon);
        tear_down(&daemon);
    }
    return good ? 0 : 1;
}
