/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - fabricctl: global flags, the table of commands, help. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/ctl_private.h"

static const struct ctl_command get_commands[] = {
    {
        .name = "nodes",
        .aliases = "node no",
        .summary = "machines, their stage, and their links",
        .usage = "get nodes [NAME]... [--watch]",
        .examples = "  fabricctl get nodes\n"
                    "  fabricctl get nodes -o wide --watch\n",
        .run = ctl_get_nodes,
    },
    {
        .name = "links",
        .aliases = "link li",
        .summary = "what nodes talk over: devices, who is reached by each, and why",
        .usage = "get links [NODE]... [--watch]",
        .examples = "  fabricctl get links\n"
                    "  fabricctl get links node2 -o wide\n",
        .run = ctl_get_links,
    },
    {
        .name = "keys",
        .aliases = "key trust",
        .summary = "whose images the cluster takes",
        .usage = "get keys",
        .examples = "  fabricctl get keys\n"
                    "  fabricctl get keys -o json\n",
        .run = ctl_get_keys,
    },
    {
        .name = "sips",
        .aliases = "sip si",
        .summary = "programs: where they run, or how they ended",
        .usage = "get sips [NAME]... [--watch]",
        .examples = "  fabricctl get sips\n"
                    "  fabricctl get sip web2 -o json\n",
        .run = ctl_get_sips,
    },
    {
        .name = "channels",
        .aliases = "channel ch edges edge",
        .summary = "channels: both ends, contract state, and what they run over",
        .usage = "get channels [SIP]... [--all] [--watch]\n\n"
                 "  --all    also channels that SIPs made at run time (so does -o wide)",
        .examples = "  fabricctl get channels\n"
                    "  fabricctl get channels web2 --all\n",
        .run = ctl_get_channels,
    },
    {
        .name = "sessions",
        .aliases = "session se",
        .summary = "what goes between nodes: each session as each side sees it",
        .usage = "get sessions [NODE]... [--watch]",
        .examples = "  fabricctl get sessions\n"
                    "  fabricctl get sessions node2 -o json\n",
        .run = ctl_get_sessions,
    },
    {
        .name = "moves",
        .aliases = "move mo",
        .summary = "SIPs that change nodes, and the last ones that have",
        .usage = "get moves [SIP]... [--watch]",
        .examples = "  fabricctl get moves\n"
                    "  fabricctl get moves web2 -o json\n",
        .run = ctl_get_moves,
    },
    {0},
};

static const struct ctl_command verify_commands[] = {
    {
        .name = "ownership",
        .summary = "each endpoint and each block of all nodes has one owner",
        .usage = "verify ownership\n\n"
                 "  Nodes stand still for as long as each goes through its endpoints and blocks. "
                 "What is\n"
                 "  wrong is looked at again for a second: something may have been on its way.",
        .examples = "  fabricctl verify ownership\n",
        .run = ctl_verify_ownership,
    },
    {0},
};

static const struct ctl_command test_commands[] = {
    {
        .name = "contract",
        .summary = "walk through all of a contract against a SIP that exports it",
        .usage = "test contract NAME --exporter SIP[.EXPORT] --from NODE [--timeout 60s] "
                 "[--images DIR]...\n\n"
                 "  Runs walk-NAME.sip, a SIP generated from the contract, as a graph of its own\n"
                 "  on NODE, shows what it says, and deletes it. Exit code 0: the exporter keeps\n"
                 "  the contract.",
        .examples = "  fabricctl test contract TcpConnectionContract --exporter tcp --from node3\n",
        .run = ctl_test_contract,
    },
    {0},
};

static const struct ctl_command commands[] = {
    {
        .name = "apply",
        .summary = "make the cluster run a graph as its file says",
        .usage = "apply -f FILE [--images DIR]... [--dry-run]\n\n"
                 "  -f, --file FILE   the graph (docs/formats.md)\n"
                 "  --images DIR      where to look for images, after the file's own folder\n"
                 "  --dry-run         check and place, say what would be done, do nothing",
        .examples = "  fabricctl apply -f sips/web/graph.yaml\n"
                    "  fabricctl apply -f graph.yaml --images build/sips --dry-run\n",
        .run = ctl_apply,
    },
    {
        .name = "cluster",
        .summary = "make, list and remove clusters on this machine",
        .usage = "cluster COMMAND",
        .examples = "  fabricctl cluster create --nodes 3\n"
                    "  fabricctl cluster list\n"
                    "  fabricctl cluster destroy\n",
        .subcommands = ctl_cluster_commands,
    },
    {
        .name = "cordon",
        .summary = "place nothing more on a node; what runs there stays",
        .usage = "cordon NODE",
        .examples = "  fabricctl cordon node2\n"
                    "  fabricctl uncordon node2\n",
        .run = ctl_cordon,
    },
    {
        .name = "delete",
        .summary = "stop all SIPs of a graph and forget it",
        .usage = "delete graph/NAME | -f FILE [--ignore-not-found]",
        .examples = "  fabricctl delete graph/web\n"
                    "  fabricctl delete -f sips/web/graph.yaml --ignore-not-found\n",
        .run = ctl_delete,
    },
    {
        .name = "doctor",
        .summary = "check what links need on this machine, and say what to do",
        .usage =
            "doctor [--driver memif|af_packet|virtio|dpdk|rdma [--device DEV]] [--root DIR]\n\n"
            "  One line a check: ok, warn, fail or skip, what was found, and what to do.\n"
            "  Changes nothing and needs neither a cluster nor root. If the cluster can be\n"
            "  reached, also what each pair of nodes talks over. Exit code 1: a check failed.\n\n"
            "  -d, --driver NAME   only what that driver needs; what it lacks is a failure then\n"
            "  --device DEV        PCI address (virtio, dpdk), interface (af_packet), device\n"
            "                      (rdma), or the path of a socket (memif)\n"
            "  --root DIR          read proc, sys, lib and dev below DIR: of a copy, for tests",
        .examples = "  fabricctl doctor\n"
                    "  fabricctl doctor --driver af_packet --device eth1\n"
                    "  fabricctl doctor --driver virtio --device 0000:00:04.0 -o json\n",
        .run = ctl_doctor,
    },
    {
        .name = "drain",
        .summary = "cordon a node and move its SIPs to others while they talk",
        .usage = "drain NODE [--budget TIME]\n\n"
                 "  --budget TIME    the longest that a SIP may stand still: else it stays\n\n"
                 "  Ctrl-C stops it after the moves at hand; drain again to go on.",
        .examples = "  fabricctl drain node2\n"
                    "  fabricctl drain node2 --budget 5ms\n",
        .run = ctl_drain,
    },
    {
        .name = "get",
        .summary = "list nodes, sips, channels, sessions, moves or keys",
        .usage = "get nodes|sips|channels|sessions|moves|keys [NAME]... [--watch]",
        .examples = "  fabricctl get nodes\n"
                    "  fabricctl get sips -o json\n"
                    "  fabricctl get channels -o wide\n",
        .subcommands = get_commands,
    },
    {
        .name = "logs",
        .summary = "show what a SIP or a node said",
        .usage = "logs SIP|node/NAME [--tail N] [--follow] [--timestamps]\n\n"
                 "  -n, --tail N       only the last N lines\n"
                 "  -f, --follow       go on until the SIP ends\n"
                 "  -t, --timestamps   each line with its time (UTC)",
        .examples = "  fabricctl logs web2\n"
                    "  fabricctl logs node/node1 --tail 20\n",
        .run = ctl_logs,
    },
    {
        .name = "move",
        .summary = "move a SIP to another node while it talks",
        .usage = "move sip/NAME --to NODE [--budget TIME]\n\n"
                 "  --to NODE        where it is to run\n"
                 "  --budget TIME    the longest that it may stand still (5ms): else it stays",
        .examples = "  fabricctl move sip/web2 --to node3\n"
                    "  fabricctl move web2 --to node1 --budget 5ms\n",
        .run = ctl_move,
    },
    {
        .name = "test",
        .summary = "test what runs in the cluster",
        .usage = "test contract NAME --exporter SIP[.EXPORT] --from NODE",
        .examples = "  fabricctl test contract TcpConnectionContract --exporter tcp --from node3\n",
        .subcommands = test_commands,
    },
    {
        .name = "top",
        .summary = "what nodes, sessions and channels do now, every second",
        .usage = "top [--once] [--count N] [--interval TIME] [--rows N] [--sort KEY]\n\n"
                 "  --once           one second, then end\n"
                 "  -n, --count N    end after N times\n"
                 "  --interval TIME  instead of every second (500ms, 10s)\n"
                 "  --rows N         at most so many channels\n"
                 "  --sort KEY       channels by messages (default), bytes, queue, latency or name",
        .examples = "  fabricctl top\n"
                    "  fabricctl top --once --sort bytes\n"
                    "  fabricctl top --once -o json\n",
        .run = ctl_top,
    },
    {
        .name = "trace",
        .summary = "show the messages of a channel as they go through it",
        .usage =
            "trace CHANNEL [--both] [--count N] [--for TIME] [--bytes N] [--pcap FILE]\n\n"
            "  CHANNEL        its importer (web2.tcp), or the id of an end (get channels -o wide)\n"
            "  --both         what both ends see, not only the importer's (or the id's)\n"
            "  -n, --count N  end after N messages\n"
            "  --for TIME     end after that time (500ms, 60s, 2m)\n"
            "  --bytes N      so many bytes of each block (default 64, at most 512)\n"
            "  --pcap FILE    also as a file for Wireshark, of one end; `-` is stdout, and no "
            "lines",
        .examples = "  fabricctl trace web2.tcp\n"
                    "  fabricctl trace web2.tcp --both --count 20 -o json\n"
                    "  fabricctl trace 40000c0000000f --for 10s --pcap web2.pcap\n",
        .run = ctl_trace,
    },
    {
        .name = "uncordon",
        .summary = "let SIPs be placed on a node again",
        .usage = "uncordon NODE",
        .examples = "  fabricctl uncordon node2\n",
        .run = ctl_uncordon,
    },
    {
        .name = "verify",
        .summary = "check what must always hold",
        .usage = "verify ownership",
        .examples = "  fabricctl verify ownership\n",
        .subcommands = verify_commands,
    },
    {
        .name = "version",
        .summary = "show the versions of fabricctl and of the cluster's fabricd",
        .usage = "version",
        .examples = "  fabricctl version\n"
                    "  fabricctl version -o json\n",
        .run = ctl_version,
    },
    {0},
};

static const char global_flags[] =
    "global flags:\n"
    "  --cluster NAME           which cluster (else SIPFABRIC_CLUSTER, else \"default\")\n"
    "  --socket PATH            fabricd's socket (else ctl.sock in the cluster's state folder)\n"
    "  -o table|wide|json|name  form of the output\n"
    "  -h, --help               help for any command\n";

static void print_commands(FILE *out, const struct ctl_command *table)
{
    for (; table->name != NULL; table++) {
        fprintf(out, "  %-12s %s\n", table->name, table->summary);
    }
}

static void print_help(FILE *out, const struct ctl_command *command)
{
    if (command == NULL) {
        fputs("fabricctl drives a sipfabric cluster: its nodes, SIPs and channels.\n\n"
              "usage: fabricctl [GLOBAL FLAG]... COMMAND [ARGUMENT]...\n\ncommands:\n",
              out);
        print_commands(out, commands);
        fputs("\nexamples:\n"
              "  fabricctl cluster create --nodes 3\n"
              "  fabricctl apply -f sips/web/graph.yaml\n"
              "  fabricctl get channels\n\n",
              out);
        fputs(global_flags, out);
        fputs("\nfabricctl COMMAND --help tells more about one command.\n", out);
        return;
    }
    fprintf(out, "%s: %s\n\nusage: fabricctl %s\n", command->name, command->summary,
            command->usage);
    if (command->subcommands != NULL) {
        fputs("\ncommands:\n", out);
        print_commands(out, command->subcommands);
    }
    fprintf(out, "\nexamples:\n%s\n%s", command->examples, global_flags);
}

/* True if `name` is the command's name or one of its blank-separated aliases. */
static bool is_named(const struct ctl_command *command, const char *name)
{
    const char *alias = command->aliases;
    size_t length = strlen(name);

    if (strcmp(command->name, name) == 0) {
        return true;
    }
    while (alias != NULL && *alias != '\0') {
        size_t span = strcspn(alias, " ");
        if (span == length && memcmp(alias, name, length) == 0) {
            return true;
        }
        alias += span;
        alias += strspn(alias, " ");
    }
    return false;
}

static const struct ctl_command *find_command(const struct ctl_command *table, const char *name)
{
    for (; table->name != NULL; table++) {
        if (is_named(table, name)) {
            return table;
        }
    }
    return NULL;
}

static int parse_output(struct ctl_context *context, const char *text)
{
    static const char *const names[] = {"table", "wide", "json", "name"};
    size_t index;

    for (index = 0; index < sizeof(names) / sizeof(names[0]); index++) {
        if (strcmp(names[index], text) == 0) {
            context->output = (enum ctl_output)index;
            return CTL_OK;
        }
    }
    return ctl_error(context, CTL_USAGE,
                     "-o %s: no such form of output; there are table, wide, json and name", text);
}

struct globals {
    const char *cluster;
    const char *socket;
    const char *output;
    bool help;
};

/* Value of a flag written `--name VALUE` or `--name=VALUE`; NULL if argv[*index] is not it. */
static const char *flag_value(int argc, char **argv, int *index, const char *name, bool *out_lacks)
{
    size_t length = strlen(name);

    if (strncmp(argv[*index], name, length) != 0) {
        return NULL;
    }
    if (argv[*index][length] == '=') {
        return argv[*index] + length + 1;
    }
    if (argv[*index][length] != '\0') {
        return NULL;
    }
    if (*index + 1 >= argc) {
        *out_lacks = true;
        return NULL;
    }
    *index += 1;
    return argv[*index];
}

/* Moves global flags out of argv. Answers the new argc, or -1. */
static int take_globals(struct ctl_context *context, int argc, char **argv,
                        struct globals *out_globals)
{
    struct {
        const char *name;
        const char **value;
    } flags[] = {
        {"--cluster", &out_globals->cluster},
        {"--socket", &out_globals->socket},
        {"--output", &out_globals->output},
        {"-o", &out_globals->output},
    };
    int kept = 1;
    int index;

    for (index = 1; index < argc; index++) {
        bool taken = false;
        size_t flag;

        if (strcmp(argv[index], "--") == 0) {
            while (index < argc) {
                argv[kept++] = argv[index++];
            }
            break;
        }
        if (strcmp(argv[index], "--help") == 0 || strcmp(argv[index], "-h") == 0) {
            out_globals->help = true;
            continue;
        }
        for (flag = 0; flag < sizeof(flags) / sizeof(flags[0]) && !taken; flag++) {
            bool lacks = false;
            const char *value = flag_value(argc, argv, &index, flags[flag].name, &lacks);
            if (lacks) {
                ctl_error(context, CTL_USAGE, "%s needs a value", flags[flag].name);
                return -1;
            }
            if (value != NULL) {
                *flags[flag].value = value;
                taken = true;
            }
        }
        if (!taken) {
            argv[kept++] = argv[index];
        }
    }
    argv[kept] = NULL;
    return kept;
}

static bool cluster_name_ok(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

    return length > 0 && length <= 32 && name[length] == '\0' && name[0] >= 'a' && name[0] <= 'z';
}

#define RUNTIME_BYTES_MAX 300u /* room in state_root; clusters want less still */

static int find_folders(struct ctl_context *context, const struct globals *globals)
{
    static char program[PATH_MAX];
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    char *slash;

    program[length > 0 ? length : 0] = '\0';
    slash = strrchr(program, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    context->program_dir = slash != NULL ? program : ".";
    context->cluster = globals->cluster != NULL ? globals->cluster : getenv("SIPFABRIC_CLUSTER");
    if (context->cluster == NULL || context->cluster[0] == '\0') {
        context->cluster = "default";
    }
    if (!cluster_name_ok(context->cluster)) {
        return ctl_error(context, CTL_USAGE,
                         "cluster name '%s': write a-z, 0-9 and -, a letter first, at most 32",
                         context->cluster);
    }
    if (geteuid() == 0) {
        snprintf(context->state_root, sizeof(context->state_root), "/run/sipfabric");
    } else if (runtime != NULL && strlen(runtime) >= RUNTIME_BYTES_MAX) {
        return ctl_error(context, CTL_USAGE,
                         "XDG_RUNTIME_DIR has %zu bytes; a state folder's path is not over 79 "
                         "bytes, because sockets live in it: set a shorter one",
                         strlen(runtime));
    } else if (runtime != NULL && runtime[0] == '/') {
        snprintf(context->state_root, sizeof(context->state_root), "%s/sipfabric", runtime);
    } else {
        snprintf(context->state_root, sizeof(context->state_root), "/tmp/sipfabric-%u/sipfabric",
                 (unsigned)geteuid());
    }
    snprintf(context->state_dir, sizeof(context->state_dir), "%s/%s", context->state_root,
             context->cluster);
    context->socket_given = globals->socket != NULL;
    if (globals->socket != NULL && strlen(globals->socket) >= sizeof(context->socket_path)) {
        return ctl_error(context, CTL_USAGE, "--socket: the path is too long");
    }
    snprintf(context->socket_path, sizeof(context->socket_path), "%s%s",
             globals->socket != NULL ? globals->socket : context->state_dir,
             globals->socket != NULL ? "" : "/ctl.sock");
    return CTL_OK;
}

static int dispatch(struct ctl_context *context, int argc, char **argv, bool help)
{
    const struct ctl_command *table = commands;
    const struct ctl_command *command = NULL;

    if (argc > 1 && strcmp(argv[1], "help") == 0) {
        help = true;
        argc -= 1;
        argv += 1;
    }
    while (table != NULL && argc > 1) {
        const struct ctl_command *next = find_command(table, argv[1]);
        if (next == NULL) {
            return ctl_error(context, CTL_USAGE,
                             "no command '%s'; fabricctl %s%s--help lists the commands", argv[1],
                             command != NULL ? command->name : "", command != NULL ? " " : "");
        }
        command = next;
        table = next->subcommands;
        argc -= 1;
        argv += 1;
    }
    if (help) {
        print_help(stdout, command);
        return CTL_OK;
    }
    if (command == NULL || command->run == NULL) {
        print_help(stderr, command);
        return CTL_USAGE;
    }
    return command->run(context, argc, argv);
}

int main(int argc, char **argv)
{
    struct ctl_context context = {0};
    struct globals globals = {0};
    int code;

    signal(SIGPIPE, SIG_IGN);
    argc = take_globals(&context, argc, argv, &globals);
    if (argc < 0) {
        return CTL_USAGE;
    }
    if (globals.output != NULL) {
        code = parse_output(&context, globals.output);
        if (code != CTL_OK) {
            return code;
        }
    }
    code = find_folders(&context, &globals);
    if (code != CTL_OK) {
        return code;
    }
    code = dispatch(&context, argc, argv, globals.help);
    if (fflush(stdout) != 0 && code == CTL_OK) {
        fprintf(stderr, "fabricctl: error: cannot write the output: %s\n", strerror(errno));
        code = CTL_ERROR;
    }
    return code;
}
