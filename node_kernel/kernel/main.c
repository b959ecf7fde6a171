/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sipnode - the node kernel. One program, two ways to start it: as PID 1 of a booted machine, or as
 * an ordinary process ("hosted") on a developer's machine.
 *
 * Exit codes (hosted): 0 ended by the controller, SIGTERM or SIGINT; 1 could not start or was
 * refused; 2 wrong command line.
 */
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent.h"
#include "boot.h"
#include "link/dpdk.h"
#include "log.h"
#include "options.h"
#include "pump.h"

#define TEXT_BYTES 512u
#define TIMER_SLACK_NS 10000ul

struct node {
    uv_loop_t loop;
    struct pump *pump;
    struct agent *agent;
    uv_signal_t signals[3];
    uv_timer_t join;
    bool booted;
    bool power_off; /* booted: how to end */
    int exit_code;
};

static const char usage[] =
    "sipnode - node kernel of sipfabric: hosts sealed programs and joins a cell\n"
    "\n"
    "usage: sipnode --controller IP:PORT --token T --name NAME --state-dir DIR [--slot-count N]\n"
    "               [--workers N] [--link LINK]...\n"
    "\n"
    "  --controller IP:PORT  where fabricd listens for nodes\n"
    "  --token T             join token of the cluster; better given as SIPFABRIC_TOKEN in the\n"
    "                        environment, where other users cannot read it\n"
    "  --name NAME           wanted name, [a-z][a-z0-9-]{0,30}\n"
    "  --state-dir DIR       folder for sockets of links; it must exist\n"
    "  --slot-count N        use at most N of the slots that fabricd leases\n"
    "  --workers N           threads that run SIPs; default: one for each core\n"
    "  --link LINK           a link to other nodes that this one brings (up to 8):\n"
    "                        DRIVER:DEVICE,address=IPV4[,mtu=BYTES][,mac=MAC]\n"
    "                        [,queues=N][,reads=BYTES][,cm=on|off][,soft=rxe|siw];\n"
    "                        DRIVER af_packet (network interface), virtio (PCI address), dpdk\n"
    "                        (PCI address or virtual device) or rdma; mtu: of a frame, the\n"
    "                        network's MTU less 28; soft: what a booted node makes of a nic\n"
    "  --help, --version\n"
    "\n"
    "examples:\n"
    "  sipnode --controller 127.0.0.1:7700 --token secret --name node1 --state-dir /run/sf\n"
    "  sipnode --controller 127.0.0.1:7700 --token secret --name node2 --state-dir /run/sf \\\n"
    "          --slot-count 64 2>node2.log\n"
    "  sipnode --controller 10.0.0.1:7700 --token secret --name node3 --state-dir /run/sf \\\n"
    "          --link af_packet:eth1,address=10.78.0.3,mtu=8972\n"
    "\n"
    "Runs in the foreground and logs to stderr. SIGTERM ends it. fabricctl cluster create "
    "--hosted\n"
    "starts a whole cluster of these. As PID 1 it reads the kernel's command line instead\n"
    "(docs/formats.md).\n";

/* --- events --------------------------------------------------------------------------------------
 */

static void node_joined(void *arg, const char *name, uint16_t node_id, bool first)
{
    struct node *node = arg;
    (void)name;
    (void)node_id;

    uv_timer_stop(&node->join);
    if (node->booted && first) {
        boot_stage("joined");
    }
}

static void node_refused(void *arg, const char *text)
{
    struct node *node = arg;

    node_log("%s", text);
    if (!node->booted) {
        node->exit_code = 1;
        pump_stop(node->pump);
    }
}

static void node_shutdown(void *arg, bool power_off)
{
    struct node *node = arg;

    node->power_off = power_off;
    pump_stop(node->pump);
}

static void node_signal(uv_signal_t *handle, int number)
{
    struct node *node = handle->data;

    if (number == SIGCHLD) {
        boot_reap();
        return;
    }
    node_log("ended by signal %d", number);
    node->power_off = true;
    pump_stop(node->pump);
}

static void node_late(uv_timer_t *timer)
{
    struct node *node = timer->data;
    char why[TEXT_BYTES + 64];

    snprintf(why, sizeof(why), "not joined within %u s: %s", BOOT_JOIN_MS / 1000,
             agent_last_error(node->agent)[0] != '\0' ? agent_last_error(node->agent)
                                                      : "no answer from the controller");
    boot_give_up(why);
}

/* --- life ----------------------------------------------------------------------------------------
 */

static void node_handles_start(struct node *node)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGCHLD};
    uint32_t count = node->booted ? 3 : 2;

    uv_timer_init(&node->loop, &node->join);
    node->join.data = node;
    for (uint32_t i = 0; i < count; i++) {
        uv_signal_init(&node->loop, &node->signals[i]);
        node->signals[i].data = node;
        uv_signal_start(&node->signals[i], node_signal, numbers[i]);
    }
    if (node->booted) {
        uv_timer_start(&node->join, node_late, BOOT_JOIN_MS, 0);
    }
}

static void node_handles_close(struct node *node)
{
    for (uint32_t i = 0; i < (node->booted ? 3u : 2u); i++) {
        uv_close((uv_handle_t *)&node->signals[i], NULL);
    }
    uv_close((uv_handle_t *)&node->join, NULL);
}

/* A connection of the TCP service is a descriptor; the usual soft limit is made for select(). */
static void descriptors_allow(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Runs until it is told to end, or text says why it cannot start. */
static sf_status node_run(struct node *node, struct agent_options *options, char *text,
                          size_t text_capacity)
{
    sf_status st = uv_loop_init(&node->loop) == 0 ? SF_OK : SF_IO;

    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
    descriptors_allow();
    if (st == SF_OK) {
        st = pump_create(&node->loop, &node->pump);
    }
    if (st != SF_OK) {
        snprintf(text, text_capacity, "%s", sf_status_text(st));
        return st;
    }
    options->loop = &node->loop;
    options->pump = node->pump;
    options->events = (struct agent_events){node_joined, node_refused, node_shutdown};
    options->events_arg = node;
    options->booted = node->booted;
    /* First: once the agent says what links it opened, SIGTERM is heard. */
    node_handles_start(node);
    st = agent_create(options, &node->agent, text, text_capacity);
    if (st == SF_OK) {
        pump_run(node->pump);
        agent_destroy(node->agent);
    }
    node_handles_close(node);
    pump_destroy(node->pump);
    /* Lets closing handles finish and the last answer go out; bounded, a peer may not read. */
    for (uint32_t i = 0; i < 100 && uv_run(&node->loop, UV_RUN_NOWAIT) != 0; i++) {
        usleep(1000);
    }
    return st;
}

/* Cores this process may run on, at most NK_WORKERS_MAX. */
static uint32_t core_count(void)
{
    cpu_set_t cores;
    int count = sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : 1;

    return count > (int)NK_WORKERS_MAX ? NK_WORKERS_MAX : (uint32_t)count;
}

static void agent_options_fill(struct agent_options *to, const struct node_options *from)
{
    to->controller = from->controller;
    to->controller_text = from->controller_text;
    to->token = from->token;
    to->name = from->name;
    to->uuid = from->uuid;
    to->links = from->links;
    to->link_count = from->link_count;
    to->slot_count_max = from->slot_count_max;
    to->worker_count = from->worker_count == 0 ? core_count() : from->worker_count;
    memcpy(to->mac, from->mac, sizeof(to->mac));
}

/* EAL pins the thread that starts it to one core; nodes of one machine must be free to move. */
static sf_status dpdk_start(const struct link_dpdk_options *options, const char **out_text)
{
    cpu_set_t cores;
    bool known = sched_getaffinity(0, sizeof(cores), &cores) == 0;
    sf_status st = link_dpdk_start(options, out_text);

    if (known) {
        (void)sched_setaffinity(0, sizeof(cores), &cores);
    }
    return st;
}

/* --- hosted --------------------------------------------------------------------------------------
 */

static int hosted(const struct node_options *options)
{
    static struct node node;
    /* Else fabricd sees by itself where we are. */
    bool near = ntohl(options->controller.sin_addr.s_addr) >> 24 == 127;
    struct agent_options agent = {.address = near ? "127.0.0.1" : ""};
    struct link_dpdk_options dpdk;
    char pci[LINKS_PCI_BYTES], text[TEXT_BYTES] = "";
    const char *why = "";
    sf_status st;

    signal(SIGPIPE, SIG_IGN);
    if (chdir(options->state_dir) != 0) {
        fprintf(stderr, "sipnode: --state-dir %s: %s\n", options->state_dir, strerror(errno));
        return 1;
    }
    links_dpdk(options->links, options->link_count, pci, &dpdk);
    if (dpdk_start(&dpdk, &why) != SF_OK) {
        fprintf(stderr, "sipnode: DPDK does not start: %s\n", why);
        return 1;
    }
    agent_options_fill(&agent, options);
    st = node_run(&node, &agent, text, sizeof(text));
    if (st != SF_OK) {
        fprintf(stderr, "sipnode: cannot start: %s\n", text);
        return 1;
    }
    link_dpdk_stop();
    return node.exit_code;
}

/* --- booted --------------------------------------------------------------------------------------
 */

static sf_status booted_dpdk(const struct node_options *options, char *text, size_t text_capacity)
{
    uint32_t pages = BOOT_HUGEPAGES;
    struct link_dpdk_options dpdk;
    char pci[LINKS_PCI_BYTES];
    const char *why = "";
    sf_status st;

    if (!links_any_dpdk(options->links, options->link_count)) {
        boot_stage("fabric-nic");
        return SF_OK;
    }
    links_dpdk(options->links, options->link_count, pci, &dpdk);
    if (dpdk.hugepages) {
        pages += (links_pci_count(options->links, options->link_count) - 1) * BOOT_HUGEPAGES_MORE;
        dpdk.memory_mib = pages * 2 - 8;
    }
    st = dpdk_start(&dpdk, &why);
    if (st != SF_OK) {
        snprintf(text, text_capacity, "DPDK does not start%s%s: %s", pci[0] != '\0' ? " on " : "",
                 pci, why);
        return st;
    }
    boot_stage("fabric-nic");
    return SF_OK;
}

static sf_status booted_prepare(struct node_options *options, char *text, size_t text_capacity)
{
    static char cmdline[OPTIONS_CMDLINE_BYTES_MAX + 2];
    sf_status st;

    st = boot_begin(text, text_capacity);
    if (st == SF_OK) {
        st = boot_cmdline(cmdline, text, text_capacity);
    }
    if (st == SF_OK) {
        st = options_from_cmdline(cmdline, options, text, text_capacity);
    }
    if (st == SF_OK) {
        st = boot_network(options, text, text_capacity);
    }
    if (st == SF_OK) {
        st = boot_links(options, text, text_capacity);
    }
    return st != SF_OK || options->link_count == 0 ? st : booted_dpdk(options, text, text_capacity);
}

static _Noreturn void booted(void)
{
    static struct node node = {.booted = true};
    static struct node_options options;
    struct agent_options agent = {.address = ""};
    char text[TEXT_BYTES] = "", address[INET_ADDRSTRLEN];
    uint32_t ip;
    sf_status st = booted_prepare(&options, text, sizeof(text));

    if (st != SF_OK) {
        boot_give_up(text[0] != '\0' ? text : sf_status_text(st));
    }
    ip = options.ip;
    snprintf(address, sizeof(address), "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255,
             ip & 255);
    agent_options_fill(&agent, &options);
    agent.address = address;
    st = node_run(&node, &agent, text, sizeof(text));
    if (st != SF_OK) {
        boot_give_up(text);
    }
    if (node.power_off) {
        node_log("power off");
        boot_power_off();
    }
    node_log("restart");
    boot_restart();
}

int main(int argc, char *argv[])
{
    static struct node_options options; /* the agent keeps pointers into it */
    char text[TEXT_BYTES];

    if (getpid() == 1) {
        booted();
    }
    if (options_from_args(argc, argv, &options, text, sizeof(text)) != SF_OK) {
        fprintf(stderr, "sipnode: %s\nTry: sipnode --help\n", text);
        return 2;
    }
    if (options.help) {
        fputs(usage, stdout);
        return 0;
    }
    if (options.version) {
        puts("sipnode " SIPFABRIC_VERSION);
        return 0;
    }
    return hosted(&options);
}
