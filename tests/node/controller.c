/* SPDX-License-Identifier: Apache-2.0 */
#include "controller.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#define SECONDS_MAX 20u
#define SLOTS_PER_NODE 64u
#define TOKEN "secret"
#define LOG_LINES_SHOWN 15u

struct controller controller;

/* --- waiting
 * -------------------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t controller_deadline(void)
{
    return now_ms() + SECONDS_MAX * 1000;
}

/* The last lines, as TAP comments. */
static void node_show_log(const struct controller_node *node)
{
    char path[160], line[512];
    uint32_t count = 0;

    snprintf(path, sizeof(path), "%s/%s.log", controller.folder, node->name);
    for (int round = 0; round < 2; round++) { /* counts them, then shows the last */
        FILE *log = fopen(path, "re");
        uint32_t at = 0;

        while (log != NULL && fgets(line, sizeof(line), log) != NULL) {
            at++;
            if (round == 1 && at + LOG_LINES_SHOWN > count) {
                printf("# %s: %.*s\n", node->name, (int)strcspn(line, "\n"), line);
            }
        }
        count = at;
        if (log != NULL) {
            fclose(log);
        }
    }
    fflush(stdout);
}

static void nodes_reap(void)
{
    for (uint32_t i = 0; i < controller.node_count; i++) {
        struct controller_node *node = &controller.nodes[i];
        if (node->pid != 0 && waitpid(node->pid, &node->exit_status, WNOHANG) == node->pid) {
            node->pid = 0;
        }
    }
}

static void endpoints_pass(void)
{
    for (uint32_t i = 0; i < controller.node_count; i++) {
        struct controller_node *node = &controller.nodes[i];
        Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
        Sf__Control__PeerEndpoint message = SF__CONTROL__PEER_ENDPOINT__INIT;

        if (!node->endpoint_new || node->linked_to == NULL || node->linked_to->stream == NULL) {
            continue;
        }
        node->endpoint_new = false;
        message.node_id = node->node_id;
        message.endpoint.data = node->endpoint;
        message.endpoint.len = node->endpoint_bytes;
        envelope.body_case = SF__CONTROL__ENVELOPE__BODY_PEER_ENDPOINT;
        envelope.peer_endpoint = &message;
        node_send(node->linked_to, &envelope);
    }
}

void controller_turn(uint64_t deadline, const char *what)
{
    struct timespec rest = {.tv_nsec = 200000};
    uv_run(&controller.loop, UV_RUN_NOWAIT);
    endpoints_pass();
    nodes_reap();
    nanosleep(&rest, NULL);
    if (now_ms() > deadline) {
        for (uint32_t i = 0; i < controller.node_count; i++) {
            node_show_log(&controller.nodes[i]);
        }
        fail_msg("not within %u s: %s", SECONDS_MAX, what);
    }
}

void controller_run_ms(uint32_t ms)
{
    uint64_t end = now_ms() + ms;
    while (now_ms() < end) {
        controller_turn(UINT64_MAX, "");
    }
}

/* --- messages
 * ------------------------------------------------------------------------------------- */

static void take_hello(struct controller_node *node, const Sf__Control__NodeHello *hello)
{
    assert_int_equal(hello->protocol, 1);
    node->hello_node_id = hello->node_id;
    node->hello_epoch = hello->epoch;
    snprintf(node->hello_mode, sizeof(node->hello_mode), "%s", hello->mode);
    snprintf(node->hello_token, sizeof(node->hello_token), "%s", hello->token);
    assert_int_equal(hello->key.len, sizeof(node->hello_key));
    memcpy(node->hello_key, hello->key.data, sizeof(node->hello_key));
    node->hellos++;
}

static void take_beat(struct controller_node *node, const Sf__Control__NodeHeartbeat *beat)
{
    node->sip_count = beat->sip_count;
    node->endpoint_count = beat->endpoint_count;
    node->block_count = beat->block_count;
    node->peer_count = (uint32_t)beat->n_peers_alive;
    for (uint32_t i = 0; i < node->peer_count && i < CONTROLLER_NODES_MAX; i++) {
        node->peers_alive[i] = beat->peers_alive[i];
    }
    node->beats++;
}

static void take_line(struct controller_node *node, const Sf__Control__LogLine *line)
{
    uint32_t at = node->line_count++ % CONTROLLER_LINES_MAX;
    node->line_sips[at] = line->sip;
    snprintf(node->lines[at], sizeof(node->lines[at]), "%s", line->text);
}

static void take_report(struct controller_node *node, const Sf__Control__SipReport *report)
{
    uint32_t at = node->report_count++ % CONTROLLER_REPORTS_MAX;
    node->reports[at].sip = report->sip;
    node->reports[at].state = report->state;
    node->reports[at].exit_code = report->exit_code;
    snprintf(node->reports[at].fault_report, sizeof(node->reports[at].fault_report), "%s",
             report->fault_report);
}

static void take_channels(struct controller_node *node, const Sf__Control__ChannelList *list)
{
    node->channel_count = (uint32_t)list->n_channels;
    if (list->n_channels > 0) {
        const Sf__Control__ChannelInfo *info = list->channels[0];
        snprintf(node->channel_contract, sizeof(node->channel_contract), "%s", info->contract);
        snprintf(node->channel_driver, sizeof(node->channel_driver), "%s", info->driver);
        snprintf(node->channel_state, sizeof(node->channel_state), "%s", info->state);
        snprintf(node->channel_port, sizeof(node->channel_port), "%s", info->port);
    }
}

/* Until its hello a stream belongs to no node: arg is NULL. */
static void on_message(void *arg, struct control_stream *stream,
                       const Sf__Control__Envelope *envelope)
{
    struct controller_node *node = arg;
    if (envelope->body_case == SF__CONTROL__ENVELOPE__BODY_NODE_HELLO) {
        for (uint32_t i = 0; i < controller.node_count; i++) {
            if (strcmp(controller.nodes[i].name, envelope->node_hello->name) == 0) {
                node = &controller.nodes[i];
            }
        }
        assert_non_null(node);
        node->stream = stream;
        node->request = envelope->request;
        control_stream_set_arg(stream, node);
        take_hello(node, envelope->node_hello);
        return;
    }
    assert_non_null(node);
    switch (envelope->body_case) {
    case SF__CONTROL__ENVELOPE__BODY_NODE_HEARTBEAT:
        take_beat(node, envelope->node_heartbeat);
        break;
    case SF__CONTROL__ENVELOPE__BODY_LOG_LINE:
        take_line(node, envelope->log_line);
        break;
    case SF__CONTROL__ENVELOPE__BODY_PEER_ENDPOINT:
        assert_in_range(envelope->peer_endpoint->endpoint.len, 1, sizeof(node->endpoint));
        node->endpoint_bytes = (uint32_t)envelope->peer_endpoint->endpoint.len;
        memcpy(node->endpoint, envelope->peer_endpoint->endpoint.data, node->endpoint_bytes);
        node->endpoint_new = true;
        break;
    case SF__CONTROL__ENVELOPE__BODY_SIP_REPORT:
        take_report(node, envelope->sip_report);
        break;
    case SF__CONTROL__ENVELOPE__BODY_CHANNEL_LIST:
        node->answered = envelope->request;
        take_channels(node, envelope->channel_list);
        break;
    case SF__CONTROL__ENVELOPE__BODY_RESULT:
        node->answered = envelope->request;
        node->status = envelope->result->status;
        snprintf(node->text, sizeof(node->text), "%s", envelope->result->text);
        break;
    default:
        fail_msg("a node sent message %d", (int)envelope->body_case);
    }
}

static void on_ended(void *arg, struct control_stream *stream, sf_status status, const char *text)
{
    struct controller_node *node = arg;
    (void)status;
    (void)text;
    if (node != NULL && node->stream == stream) {
        node->stream = NULL;
    }
    control_stream_close(stream);
}

static void on_connection(uv_stream_t *listener, int status)
{
    static const struct control_stream_events events = {NULL, on_message, on_ended};
    struct control_stream *stream;
    assert_int_equal(status, 0);
    assert_int_equal(
        control_stream_create(&controller.loop, CONTROL_STREAM_TCP, &events, NULL, &stream), SF_OK);
    assert_int_equal(uv_accept(listener, control_stream_handle(stream)), 0);
    assert_int_equal(control_stream_start(stream), SF_OK);
}

/* --- life
 * ------------------------------------------------------------------------------------------ */

void controller_begin(void)
{
    struct sockaddr_in address;
    int length = sizeof(address);
    memset(&controller, 0, sizeof(controller));
    signal(SIGPIPE, SIG_IGN);
    snprintf(controller.folder, sizeof(controller.folder), "/tmp/sipnode-test-XXXXXX");
    assert_non_null(mkdtemp(controller.folder));
    uv_loop_init(&controller.loop);
    uv_tcp_init(&controller.loop, &controller.listener);
    uv_ip4_addr("127.0.0.1", 0, &address);
    assert_int_equal(uv_tcp_bind(&controller.listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&controller.listener, 8, on_connection), 0);
    assert_int_equal(uv_tcp_getsockname(&controller.listener, (struct sockaddr *)&address, &length),
                     0);
    controller.port = ntohs(address.sin_port);
    controller.listening = true;
}

static int file_remove(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

void controller_end(void)
{
    for (uint32_t i = 0; i < controller.node_count; i++) {
        struct controller_node *node = &controller.nodes[i];
        if (node->pid != 0) {
            kill(node->pid, SIGKILL);
            waitpid(node->pid, &node->exit_status, 0);
        }
        control_stream_close(node->stream);
    }
    if (controller.listening) {
        uv_close((uv_handle_t *)&controller.listener, NULL);
    }
    for (int i = 0; i < 50 && uv_run(&controller.loop, UV_RUN_NOWAIT) != 0; i++) {
        usleep(1000);
    }
    (void)uv_loop_close(&controller.loop);
    assert_int_equal(nftw(controller.folder, file_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void link_name(char *text, size_t capacity)
{
    const char *number = controller.link != NULL ? strstr(controller.link, "%u") : NULL;

    if (number != NULL) {
        snprintf(text, capacity, "%.*s%u%s", (int)(number - controller.link), controller.link,
                 controller.node_count, number + 2);
    } else if (controller.link != NULL) {
        snprintf(text, capacity, "%s", controller.link);
    }
}

struct controller_node *node_start(const char *name)
{
    char link[128] = "";
    struct controller_node *node = &controller.nodes[controller.node_count++];
    const char *program = getenv("SIPNODE");
    char log[128], address[32];
    pid_t parent = getpid();
    assert_non_null(program);
    snprintf(node->name, sizeof(node->name), "%s", name);
    snprintf(log, sizeof(log), "%s/%s.log", controller.folder, name);
    snprintf(address, sizeof(address), "127.0.0.1:%u", controller.port);
    link_name(link, sizeof(link));
    fflush(stdout);
    node->pid = fork();
    if (node->pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent) {
            execl(program, "sipnode", "--controller", address, "--token", TOKEN, "--name", name,
                  "--state-dir", controller.folder, controller.link != NULL ? "--link" : NULL, link,
                  (char *)NULL);
        }
        _exit(127);
    }
    return node;
}

void node_wait_hello(struct controller_node *node, uint32_t hellos)
{
    CONTROLLER_UNTIL(node->hellos >= hellos && node->stream != NULL);
    assert_int_equal(node->hellos, hellos);
    assert_string_equal(node->hello_token, TOKEN);
}

void node_welcome(struct controller_node *node, uint32_t node_id, uint32_t epoch)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__NodeWelcome welcome = SF__CONTROL__NODE_WELCOME__INIT;
    Sf__Control__TrustedKey keys[IMAGE_KEYS_MAX], *pointers[IMAGE_KEYS_MAX];
    uint32_t beats = node->beats;
    node->node_id = node_id;
    welcome.node_id = node_id;
    welcome.epoch = epoch;
    welcome.name = node->name;
    welcome.slot_first = node_id * SLOTS_PER_NODE;
    welcome.slot_count = SLOTS_PER_NODE;
    welcome.heartbeat_ms = 50;
    welcome.allow_unsigned = controller.trust == NULL;
    for (uint32_t i = 0; controller.trust != NULL && i < controller.trust->key_count; i++) {
        sf__control__trusted_key__init(&keys[i]);
        keys[i].public_key.data = (uint8_t *)controller.trust->keys[i].bytes;
        keys[i].public_key.len = IMAGE_KEY_BYTES;
        keys[i].name = (char *)controller.trust->keys[i].name;
        pointers[welcome.n_trusted_keys++] = &keys[i];
    }
    welcome.trusted_keys = pointers;
    envelope.request = node->request;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_NODE_WELCOME;
    envelope.node_welcome = &welcome;
    node_send(node, &envelope);
    CONTROLLER_UNTIL(node->beats > beats + 1);
}

struct controller_node *node_join(const char *name, uint32_t node_id, uint32_t epoch)
{
    struct controller_node *node = node_start(name);
    node_wait_hello(node, 1);
    node_welcome(node, node_id, epoch);
    return node;
}

void node_send(struct controller_node *node, Sf__Control__Envelope *envelope)
{
    assert_non_null(node->stream);
    assert_int_equal(control_stream_send(node->stream, envelope), SF_OK);
}

uint32_t node_ask(struct controller_node *node, Sf__Control__Envelope *envelope)
{
    envelope->request = ++node->request;
    node_send(node, envelope);
    CONTROLLER_UNTIL(node->answered == node->request);
    return node->status;
}

void node_disconnect(struct controller_node *node)
{
    control_stream_close(node->stream);
    node->stream = NULL;
}

int node_wait_end(struct controller_node *node)
{
    CONTROLLER_UNTIL(node->pid == 0);
    return WIFEXITED(node->exit_status) ? WEXITSTATUS(node->exit_status)
                                        : -WTERMSIG(node->exit_status);
}

/* --- commands
 * -------------------------------------------------------------------------------------- */

static void ask_ok(struct controller_node *node, Sf__Control__Envelope *envelope)
{
    if (node_ask(node, envelope) != SF_OK) {
        node_show_log(node);
        fail_msg("%s refused command %d: %u %s", node->name, (int)envelope->body_case, node->status,
                 node->text);
    }
}

void node_put_image(struct controller_node *node, const char *path, uint8_t out_digest[32])
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__ImagePut put = SF__CONTROL__IMAGE_PUT__INIT;
    struct stat info;
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &info), 0);
    put.content.len = (size_t)info.st_size;
    put.content.data = malloc(put.content.len);
    assert_int_equal(fread(put.content.data, 1, put.content.len, file), put.content.len);
    fclose(file);
    crypto_generichash(out_digest, 32, put.content.data, put.content.len, NULL, 0);
    put.digest.data = out_digest;
    put.digest.len = 32;
    snprintf(node->image_name, sizeof(node->image_name), "%s", strrchr(path, '/') + 1);
    node->image_name[strcspn(node->image_name, ".")] = '\0';
    put.name = node->image_name;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_IMAGE_PUT;
    envelope.image_put = &put;
    ask_ok(node, &envelope);
    free(put.content.data);
}

void node_create(struct controller_node *node, uint64_t sip, const char *name,
                 const uint8_t digest[32], const char *service, const char *key, const char *value)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__SipCreate create = SF__CONTROL__SIP_CREATE__INIT;
    Sf__Control__ConfigEntry entry = SF__CONTROL__CONFIG_ENTRY__INIT, *entries[1] = {&entry};
    create.sip = sip;
    create.name = (char *)name;
    create.service = (char *)service;
    if (digest != NULL) {
        create.image.data = (uint8_t *)digest;
        create.image.len = 32;
        create.image_name = node->image_name;
    }
    if (key != NULL) {
        entry.key = (char *)key;
        entry.value = (char *)value;
        create.n_config = 1;
        create.config = entries;
    }
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_SIP_CREATE;
    envelope.sip_create = &create;
    ask_ok(node, &envelope);
}

void node_wire(struct controller_node *node, uint64_t sip, const char *import,
               uint32_t exporter_node, const char *export_name)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__SipWire wire = SF__CONTROL__SIP_WIRE__INIT;
    wire.sip = sip;
    wire.import = (char *)import;
    wire.exporter_node = exporter_node;
    wire.export_name = (char *)export_name;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_SIP_WIRE;
    envelope.sip_wire = &wire;
    ask_ok(node, &envelope);
}

void node_sip_start(struct controller_node *node, uint64_t sip)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__SipStart start = SF__CONTROL__SIP_START__INIT;
    start.sip = sip;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_SIP_START;
    envelope.sip_start = &start;
    ask_ok(node, &envelope);
}

void node_channels(struct controller_node *node)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__ChannelsGet get = SF__CONTROL__CHANNELS_GET__INIT;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_CHANNELS_GET;
    envelope.channels_get = &get;
    (void)node_ask(node, &envelope);
}

static void link_open(struct controller_node *node, uint32_t link, bool server)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__LinkOpen open = SF__CONTROL__LINK_OPEN__INIT;
    Sf__Control__LinkInfo info = SF__CONTROL__LINK_INFO__INIT;
    char device[96];
    snprintf(device, sizeof(device), "%s/m%u.sock", controller.folder, link);
    info.driver = (char *)"memif";
    info.device = device;
    open.link = link;
    open.info = &info;
    open.server = server;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_LINK_OPEN;
    envelope.link_open = &open;
    ask_ok(node, &envelope);
}

static void peer_add(struct controller_node *node, uint32_t id, uint32_t epoch, uint32_t link)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__PeerAdd add = SF__CONTROL__PEER_ADD__INIT;
    add.node_id = id;
    add.epoch = epoch;
    add.link = link;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_PEER_ADD;
    envelope.peer_add = &add;
    ask_ok(node, &envelope);
}

void nodes_connect(struct controller_node *server, uint32_t server_id, uint32_t server_epoch,
                   struct controller_node *client, uint32_t client_id, uint32_t client_epoch,
                   uint32_t link)
{
    link_open(server, link, true);
    link_open(client, link, false);
    peer_add(server, client_id, client_epoch, link);
    peer_add(client, server_id, server_epoch, link);
    CONTROLLER_UNTIL(server->peer_count > 0 && client->peer_count > 0);
}

void nodes_connect_own(struct controller_node *one, uint32_t one_id, uint32_t one_epoch,
                       struct controller_node *two, uint32_t two_id, uint32_t two_epoch)
{
    peer_add(one, two_id, two_epoch, 1);
    peer_add(two, one_id, one_epoch, 1);
    one->linked_to = two;
    two->linked_to = one;
    CONTROLLER_UNTIL(one->peer_count > 0 && two->peer_count > 0);
}

bool node_reported(const struct controller_node *node, uint64_t sip, uint32_t state)
{
    for (uint32_t i = 0; i < node->report_count && i < CONTROLLER_REPORTS_MAX; i++) {
        if (node->reports[i].sip == sip && node->reports[i].state == state) {
            return true;
        }
    }
    return false;
}

bool node_said(const struct controller_node *node, uint64_t sip, const char *text)
{
    for (uint32_t i = 0; i < node->line_count && i < CONTROLLER_LINES_MAX; i++) {
        if (node->line_sips[i] == sip && strstr(node->lines[i], text) != NULL) {
            return true;
        }
    }
    return false;
}
