/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster_watch.c - shows how far each node has come, and says what to look at when one stays
 * behind.
 *
 * Stages come from what a node prints (SIPFABRIC-STAGE markers, from its iPXE script and from PID
 * 1) except the last one: a node has joined when fabricd says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.pb-c.h"
#include "ctl/cluster_nodes.h"

#define MARKER "SIPFABRIC-STAGE "
#define BANNER "iPXE"
#define KEY_PROMPT "for the iPXE command line"
#define LOOK_MS 50
#define ASK_EVERY_MS 200
#define KVM_SILENT_MS_MAX 5000
#define TAIL_LINES 20
#define PANIC "Kernel panic - "
#define PANIC_LINES_BEFORE 8
#define TAIL_BYTES 8192

static const struct {
    const char *name; /* as shown */
    const char *word; /* in the marker, or NULL */
    const char *hint; /* for a node that got no further */
} stages[] = {
    [CLUSTER_STAGE_OFF] = {"off", NULL, "it was never started"},
    [CLUSTER_STAGE_POWER_ON] = {"power on", NULL, "its firmware did not come to iPXE"},
    [CLUSTER_STAGE_IPXE] = {"ipxe", NULL, "iPXE got no address or no script"},
    [CLUSTER_STAGE_IPXE_SCRIPT] = {"ipxe script", "ipxe-script",
                                   "kernel or initramfs did not load over HTTP"},
    [CLUSTER_STAGE_IPXE_LOADED] = {"ipxe loaded", "ipxe-loaded",
                                   "the kernel did not come to PID 1"},
    [CLUSTER_STAGE_KERNEL] = {"kernel", "kernel", "PID 1 runs, but the control nic is not up"},
    [CLUSTER_STAGE_NETWORK] = {"network", "network", "the fabric nic did not open (DPDK)"},
    [CLUSTER_STAGE_FABRIC_NIC] = {"fabric-nic", "fabric-nic",
                                  "the node did not reach fabricd, or was refused"},
    [CLUSTER_STAGE_JOINED] = {"joined", NULL, ""},
};

/* File of the state folder that most likely tells why a node got no further than a stage. */
static const char *telling_file(const struct cluster_node *node, bool hosted)
{
    if (hosted || node->stage >= CLUSTER_STAGE_FABRIC_NIC) {
        return "fabricd.log";
    }
    switch (node->stage) {
    case CLUSTER_STAGE_IPXE:
        return "dnsmasq.log";
    case CLUSTER_STAGE_IPXE_SCRIPT:
        return "http.log";
    default:
        return NULL;
    }
}

void cluster_stage_set(struct cluster_plan *plan, struct cluster_node *node,
                       enum cluster_stage stage)
{
    if (stage <= node->stage) {
        return;
    }
    node->stage = stage;
    node->stage_ms = cluster_now_ms();
    ctl_note("%6.1f s  %-8s %s", (double)(node->stage_ms - plan->began_ms) / 1000, node->name,
             plan->cluster->hosted && stage == CLUSTER_STAGE_POWER_ON ? "started"
                                                                      : stages[stage].name);
}

static char *output_path(const struct cluster_plan *plan, const struct cluster_node *node,
                         char *out_path)
{
    return cluster_path(plan->cluster, out_path, "%s.%s", node->name,
                        plan->cluster->hosted ? "log" : "serial");
}

/* iPXE waits 2 s for a key before it goes on; any key ends the wait. */
static void feed_key(struct cluster_plan *plan, struct cluster_node *node)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[CLUSTER_PATH_MAX];

    node->key_fed = true;
    cluster_path(plan->cluster, path, "%s.console", node->name);
    if (strlen(path) >= sizeof(address.sun_path)) {
        return; /* costs 2 s, nothing else */
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    node->console_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (node->console_fd >= 0 &&
        connect(node->console_fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        (void)!write(node->console_fd, "x", 1);
    }
}

/*
 * What the machine prints goes to the connected console too. Each byte is a packet of its own
 * there: about 270 unread ones stop the machine until somebody reads, so this reads, and soon hangs
 * up.
 */
static void drain_console(struct cluster_node *node)
{
    char unread[4096];

    if (node->console_fd < 0) {
        return;
    }
    while (read(node->console_fd, unread, sizeof(unread)) > 0) {
    }
    if (node->stage >= CLUSTER_STAGE_IPXE_SCRIPT) {
        close(node->console_fd);
        node->console_fd = -1;
    }
}

/*
 * Finds markers anywhere in a line: firmware and kernel leave the cursor where they like. The last
 * marker in the text may still be without its end; it stays for the next look.
 */
static void scan_markers(struct cluster_plan *plan, struct cluster_node *node)
{
    const char *at = node->scan;
    const char *keep = node->scan_bytes > 128 ? node->scan + node->scan_bytes - 128 : node->scan;

    if (!plan->cluster->hosted && strstr(node->scan, BANNER) != NULL) {
        cluster_stage_set(plan, node, CLUSTER_STAGE_IPXE);
    }
    if (!plan->cluster->hosted && !node->key_fed && strstr(node->scan, KEY_PROMPT) != NULL) {
        feed_key(plan, node);
    }
    while ((at = strstr(at, MARKER)) != NULL) {
        const char *word = at + strlen(MARKER);
        size_t length = strcspn(word, " \t\r\n\033");

        if (word[length] == '\0') {
            keep = at < keep ? at : keep;
            break;
        }
        for (unsigned s = 0; s < sizeof(stages) / sizeof(stages[0]); s++) {
            if (stages[s].word != NULL && strlen(stages[s].word) == length &&
                memcmp(stages[s].word, word, length) == 0) {
                cluster_stage_set(plan, node, (enum cluster_stage)s);
            }
        }
        at = word + length;
        keep = at > keep ? at : keep;
    }
    node->scan_bytes -= (size_t)(keep - node->scan);
    memmove(node->scan, keep, node->scan_bytes + 1);
}

static void read_output(struct cluster_plan *plan, struct cluster_node *node)
{
    char path[CLUSTER_PATH_MAX];
    ssize_t got;

    if (node->output_fd < 0) {
        node->output_fd = open(output_path(plan, node, path), O_RDONLY | O_CLOEXEC);
    }
    while (node->output_fd >= 0) {
        if (node->scan_bytes >= CLUSTER_SCAN_BYTES) {
            node->scan_bytes = 0; /* a marker without end is longer than any of ours */
        }
        got = read(node->output_fd, node->scan + node->scan_bytes,
                   CLUSTER_SCAN_BYTES - node->scan_bytes);
        if (got <= 0) {
            return;
        }
        node->output_bytes += (uint64_t)got;
        for (ssize_t i = 0; i < got; i++) {
            char *byte = &node->scan[node->scan_bytes + (size_t)i];
            *byte = *byte == '\0' ? ' ' : *byte;
        }
        node->scan_bytes += (size_t)got;
        node->scan[node->scan_bytes] = '\0';
        scan_markers(plan, node);
    }
}

/* Starts a node again without KVM when it showed nothing with it. */
static sf_status leave_kvm(struct cluster_plan *plan, struct cluster_node *node, const char *why)
{
    ctl_note("warning: with KVM %s %s; starting it again with TCG", node->name, why);
    node->kvm = false;
    if (node->output_fd >= 0) {
        close(node->output_fd);
        node->output_fd = -1;
    }
    return cluster_boot_node(plan, node);
}

/* --- what a person gets to see when it failed
 * ------------------------------------------------------ */

/* Where the line begins that lies `lines` lines before `at`, the line of `at` itself being the
 * first. */
static char *lines_before(char *text, char *at, unsigned lines)
{
    for (; at > text; at--) {
        if (at[-1] == '\n' && --lines == 0) {
            break;
        }
    }
    return at;
}

/*
 * The part of a text worth showing: its last lines; after a kernel panic the lines around the panic
 * message, because what follows it is a stack trace.
 */
static char *worth_showing(char *text, size_t length)
{
    char *start = lines_before(text, text + length, TAIL_LINES);
    char *panic = strstr(text, PANIC);
    char *end;

    if (panic == NULL || panic >= start) {
        return start;
    }
    start = lines_before(text, panic, PANIC_LINES_BEFORE);
    end = start;
    for (unsigned line = 0; line < TAIL_LINES && end != NULL; line++) {
        end = strchr(end + 1, '\n');
    }
    if (end != NULL) {
        *end = '\0';
    }
    return start;
}

/* Without control characters: a console is full of them. */
void cluster_show_tail(const char *path, const char *title)
{
    static char text[TAIL_BYTES + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    off_t from = end > TAIL_BYTES ? end - TAIL_BYTES : 0;
    ssize_t got = fd >= 0 ? pread(fd, text, TAIL_BYTES, from) : 0;

    if (fd >= 0) {
        close(fd);
    }
    if (got <= 0) {
        ctl_note("  %s (%s): nothing", title, path);
        return;
    }
    while (got > 0 && (text[got - 1] == '\n' || text[got - 1] == '\r')) {
        got--;
    }
    text[got] = '\0';
    for (char *c = text; c < text + got; c++) {
        if ((*c >= 0 && *c < ' ' && *c != '\n' && *c != '\t') || *c == 127) {
            *c = *c == '\r' ? ' ' : '.';
        }
    }
    ctl_note("  %s (%s):", title, path);
    for (char *line = strtok(worth_showing(text, (size_t)got), "\n"); line != NULL;
         line = strtok(NULL, "\n")) {
        ctl_note("    | %s", line);
    }
}

static void show_node(struct cluster_plan *plan, struct cluster_node *node)
{
    char path[CLUSTER_PATH_MAX];
    bool hosted = plan->cluster->hosted;

    ctl_note("%s: last stage '%s', reached %.1f s ago: %s", node->name,
             hosted ? "started" : stages[node->stage].name,
             (double)(cluster_now_ms() - node->stage_ms) / 1000,
             stages[hosted ? CLUSTER_STAGE_FABRIC_NIC : node->stage].hint);
    cluster_show_tail(output_path(plan, node, path), hosted ? "its log" : "its console");
    if (node->stage <= CLUSTER_STAGE_POWER_ON && !hosted) {
        cluster_show_tail(cluster_path(plan->cluster, path, "%s.qemu", node->name), "QEMU says");
    }
}

/* The log that most likely tells more, once, however many nodes it is about. */
static void show_telling_files(struct cluster_plan *plan)
{
    char path[CLUSTER_PATH_MAX];
    const char *shown = NULL;

    for (unsigned i = 0; i < plan->cluster->node_count; i++) {
        const struct cluster_node *node = &plan->nodes[i];
        const char *file =
            node->stage != CLUSTER_STAGE_JOINED ? telling_file(node, plan->cluster->hosted) : NULL;

        if (file != NULL && (shown == NULL || strcmp(shown, file) != 0)) {
            cluster_show_tail(cluster_path(plan->cluster, path, "%s", file), "look at");
            shown = file;
        }
    }
    if (plan->ask_error[0] != '\0') {
        ctl_note("  fabricctl could not ask fabricd: %s", plan->ask_error);
    }
}

/* --- the watch
 * -------------------------------------------------------------------------------------- */

static struct cluster_node *find_node(struct cluster_plan *plan, const char *name)
{
    for (unsigned i = 0; i < plan->cluster->node_count; i++) {
        if (strcmp(plan->nodes[i].name, name) == 0) {
            return &plan->nodes[i];
        }
    }
    return NULL;
}

/* fabricd may be busy or not there for a moment: then nobody has joined yet. */
static void ask_joined(struct cluster_plan *plan)
{
    struct ctl_context context = *plan->cluster->context;
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__GetNodes get = SF__CONTROL__GET_NODES__INIT;
    Sf__Control__Envelope *reply = NULL;
    struct ctl_client *client = NULL;

    plan->ask_error[0] = '\0';
    if (ctl_connect(&context, true, &client) != CTL_OK) {
        snprintf(plan->ask_error, sizeof(plan->ask_error), "no connection to %s",
                 context.socket_path);
        return;
    }
    ctl_set_quiet(client, true);
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_GET_NODES;
    envelope.get_nodes = &get;
    if (ctl_call(client, &envelope, SF__CONTROL__ENVELOPE__BODY_NODE_LIST, 1000, &reply) ==
        CTL_OK) {
        for (size_t i = 0; i < reply->node_list->n_nodes; i++) {
            const Sf__Control__NodeInfo *info = reply->node_list->nodes[i];
            struct cluster_node *node = find_node(plan, info->name);
            if (node != NULL && strcmp(info->stage, "joined") == 0) {
                cluster_stage_set(plan, node, CLUSTER_STAGE_JOINED);
            }
        }
        ctl_reply_free(reply);
    } else {
        snprintf(plan->ask_error, sizeof(plan->ask_error), "%.500s", ctl_last_error(client));
    }
    ctl_disconnect(client);
}

/* True if the child has ended; out_how says how. */
static bool child_ended(pid_t pid, char *out_how, size_t capacity)
{
    int status;

    if (pid <= 0 || waitpid(pid, &status, WNOHANG) != pid) {
        return false;
    }
    if (WIFEXITED(status)) {
        snprintf(out_how, capacity, "exit code %d", WEXITSTATUS(status));
    } else {
        snprintf(out_how, capacity, "signal %d", WTERMSIG(status));
    }
    return true;
}

static sf_status check_helpers(struct cluster_plan *plan)
{
    const struct {
        const char *name;
        const char *log;
        pid_t *pid;
    } helpers[] = {
        {"fabricd", "fabricd.log", &plan->fabricd_pid},
        {"dnsmasq", "dnsmasq.log", &plan->dnsmasq_pid},
        {"lighttpd", "http.err", &plan->http_pid},
    };
    char path[CLUSTER_PATH_MAX];
    char how[32];

    for (size_t i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++) {
        if (child_ended(*helpers[i].pid, how, sizeof(how))) {
            *helpers[i].pid = 0;
            cluster_error(plan->cluster, "%s ended with %s", helpers[i].name, how);
            cluster_show_tail(cluster_path(plan->cluster, path, "%s", helpers[i].log), "its log");
            return SF_IO;
        }
    }
    return SF_OK;
}

static sf_status look_at_node(struct cluster_plan *plan, struct cluster_node *node)
{
    bool silent_with_kvm;
    char how[32];

    read_output(plan, node);
    drain_console(node);
    silent_with_kvm = node->kvm && node->output_bytes == 0;
    if (child_ended(node->pid, how, sizeof(how))) {
        node->pid = 0;
        if (silent_with_kvm) {
            return leave_kvm(plan, node, "ended at once");
        }
        read_output(plan, node);
        cluster_error(plan->cluster, "%s ended with %s before all nodes had joined", node->name,
                      how);
        show_node(plan, node);
        return SF_IO;
    }
    if (silent_with_kvm && cluster_now_ms() - node->started_ms >= KVM_SILENT_MS_MAX) {
        cluster_end_child(node->pid);
        return leave_kvm(plan, node, "showed nothing for 5 s");
    }
    return SF_OK;
}

static sf_status say_late(struct cluster_plan *plan)
{
    unsigned late = 0;

    for (unsigned i = 0; i < plan->cluster->node_count; i++) {
        late += plan->nodes[i].stage != CLUSTER_STAGE_JOINED ? 1 : 0;
    }
    cluster_error(plan->cluster, "%u of %u nodes did not join within %.1f s", late,
                  plan->cluster->node_count, (double)plan->timeout_ms / 1000);
    for (unsigned i = 0; i < plan->cluster->node_count; i++) {
        if (plan->nodes[i].stage != CLUSTER_STAGE_JOINED) {
            show_node(plan, &plan->nodes[i]);
        }
    }
    show_telling_files(plan);
    return SF_TIMEOUT;
}

sf_status cluster_watch(struct cluster_plan *plan)
{
    uint64_t asked_ms = 0;

    while (!cluster_interrupted) {
        uint64_t now = cluster_now_ms();
        unsigned joined = 0;
        sf_status st = check_helpers(plan);

        for (unsigned i = 0; i < plan->cluster->node_count && st == SF_OK; i++) {
            st = look_at_node(plan, &plan->nodes[i]);
        }
        if (st != SF_OK) {
            return st;
        }
        if (now - asked_ms >= ASK_EVERY_MS) {
            asked_ms = now;
            ask_joined(plan);
        }
        for (unsigned i = 0; i < plan->cluster->node_count; i++) {
            joined += plan->nodes[i].stage == CLUSTER_STAGE_JOINED ? 1 : 0;
        }
        if (joined == plan->cluster->node_count) {
            return SF_OK;
        }
        if (now - plan->began_ms >= plan->timeout_ms) {
            return say_late(plan);
        }
        cluster_sleep_ms(LOOK_MS);
    }
    return SF_AGAIN;
}

void cluster_watch_fini(struct cluster_plan *plan)
{
    for (unsigned i = 0; i < plan->cluster->node_count; i++) {
        if (plan->nodes[i].console_fd >= 0) {
            close(plan->nodes[i].console_fd);
        }
        if (plan->nodes[i].output_fd >= 0) {
            close(plan->nodes[i].output_fd);
        }
    }
}
