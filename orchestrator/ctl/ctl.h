/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl.h - what every sub-command of fabricctl is made of.
 *
 * Model: main.c takes the global flags out of argv (they may stand anywhere before `--`), walks the
 * tables of struct ctl_command and calls `run` of the entry it ends at. `--help` and `-h` are
 * answered from the table, so no command parses them. A command answers its exit code.
 *
 * Output: data goes to stdout; progress, warnings and errors go to stderr. With `-o json` stdout
 * holds exactly one JSON document (or one a line, for commands that follow something), and an error
 * is that document: {"error": {"code": "...", "message": "..."}}.
 *
 * Threads: one. Ownership: strings in ctl_context live as long as the process.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control.pb-c.h"

/* Exit codes; docs/fabricctl.md promises them to scripts. */
enum ctl_exit {
    CTL_OK = 0,
    CTL_ERROR = 1,       /* refused or failed; the message says what to do next */
    CTL_USAGE = 2,       /* the command line or a file of the user is wrong */
    CTL_NOT_FOUND = 3,   /* no such node, SIP, graph, image or file */
    CTL_UNREACHABLE = 4, /* no fabricd, or no answer in time */
};

enum ctl_output { CTL_TABLE = 0, CTL_WIDE, CTL_JSON, CTL_NAME };

struct ctl_context {
    const char *cluster;     /* --cluster, SIPFABRIC_CLUSTER or "default" */
    const char *program_dir; /* folder that fabricctl itself is in */
    char state_root[400];    /* <run>/sipfabric: one folder a cluster; may not exist */
    char state_dir[480];     /* <run>/sipfabric/<cluster> (docs/formats.md); may not exist */
    char socket_path[500];   /* --socket or <state_dir>/ctl.sock */
    bool socket_given;
    enum ctl_output output;
};

/*
 * One command. Tables end with an entry whose name is NULL. Either `run` or `subcommands` is set.
 * argv[0] is the command's own name; global flags are gone already.
 */
struct ctl_command {
    const char *name;
    const char *summary;  /* one line, lower case, no full stop */
    const char *usage;    /* "cluster create [--nodes N] ..."; may be several lines: options too */
    const char *examples; /* whole lines, each with its own newline */
    int (*run)(struct ctl_context *context, int argc, char **argv);
    const struct ctl_command *subcommands;
    const char *aliases; /* other names, separated by blanks; or NULL */
};

/* cluster.c: `fabricctl cluster create|list|destroy`. */
extern const struct ctl_command ctl_cluster_commands[];

/* --- options of one command ---------------------------------------------------------------------
 * `--name VALUE`, `--name=VALUE`, `-n VALUE`, flags without value, `--` ends options.
 */
enum ctl_option_kind {
    CTL_OPT_FLAG,
    CTL_OPT_TEXT,
    CTL_OPT_COUNT,
    CTL_OPT_MILLISECONDS,
    CTL_OPT_LIST
};

#define CTL_LIST_MAX 16u
struct ctl_list {
    const char *items[CTL_LIST_MAX];
    uint32_t count;
};

struct ctl_option {
    const char *name; /* "--nodes" */
    char letter;      /* 'n', or 0 */
    enum ctl_option_kind kind;
    /* FLAG: bool; TEXT: const char *; COUNT, MILLISECONDS: uint32_t; LIST: struct ctl_list.
     * MILLISECONDS reads 500ms, 60s, 2m, or seconds if there is no unit. */
    void *value;
};

/*
 * Reads argv (options table ends with name NULL) and moves what is no option to the front of argv;
 * argv[0] stays. Answers the new argc, or -1 after it said what is wrong (exit with CTL_USAGE).
 */
int ctl_options(struct ctl_context *context, int argc, char **argv,
                const struct ctl_option *options);

/* --- talking to fabricd --------------------------------------------------------------------------
 * One connection, one request at a time; waiting runs an event loop of its own.
 */
struct ctl_client;

#define CTL_CONNECT_MS 3000u
#define CTL_QUICK_MS 15000u   /* requests that only look */
#define CTL_CHANGE_MS 180000u /* requests that change something on nodes */

/*
 * Connects to context->socket_path. CTL_UNREACHABLE otherwise, after it said so; `quiet` says
 * nothing (for those who poll until fabricd is up).
 */
int ctl_connect(struct ctl_context *context, bool quiet, struct ctl_client **out_client);
void ctl_disconnect(struct ctl_client *client); /* takes NULL */

/*
 * Sends `body` (its request number is filled in) and waits for the answer. Progress goes to stderr
 * (to `progress` if one is set). A Result with a status is said as an error and answered as its
 * exit code: NOTFOUND as CTL_NOT_FOUND, BADARG as CTL_USAGE, TIMEOUT as CTL_UNREACHABLE, others as
 * CTL_ERROR. On CTL_OK
 * *out_reply has the wanted kind of body; free it with ctl_reply_free. No answer in time, or a
 * connection that ends: CTL_UNREACHABLE. After an interrupt (below): CTL_INTERRUPTED, said nothing.
 */
#define CTL_INTERRUPTED 130
int ctl_call(struct ctl_client *client, Sf__Control__Envelope *body,
             Sf__Control__Envelope__BodyCase wanted, uint32_t timeout_ms,
             Sf__Control__Envelope **out_reply);
void ctl_reply_free(Sf__Control__Envelope *reply); /* takes NULL */

/* Does not print errors of ctl_call from now on; ctl_last_error gives the text of the last one. */
void ctl_set_quiet(struct ctl_client *client, bool quiet);
const char *ctl_last_error(const struct ctl_client *client);
void ctl_set_progress(struct ctl_client *client,
                      void (*progress)(void *arg, const Sf__Control__Progress *progress),
                      void *arg);
/*
 * For calls that are answered more than once: `take` sees every message of the call's request.
 * PASS: it is an answer like any other. MORE: it was taken, and more may come. END: ctl_take_more
 * is over.
 */
enum ctl_take { CTL_TAKE_PASS, CTL_TAKE_MORE, CTL_TAKE_END };
void ctl_set_take(struct ctl_client *client,
                  enum ctl_take (*take)(void *arg, const Sf__Control__Envelope *envelope),
                  void *arg);
/* After ctl_call: waits until `take` ends it or the time is over (0: no limit): CTL_OK. Or
 * CTL_INTERRUPTED, or CTL_UNREACHABLE after it said so. */
int ctl_take_more(struct ctl_client *client, uint32_t timeout_ms);
/* SIGINT and SIGTERM end a waiting call (once; call again to clear) instead of the process. */
int ctl_watch_interrupts(struct ctl_client *client);
/* Waits; CTL_OK, or CTL_INTERRUPTED. */
int ctl_sleep(struct ctl_client *client, uint32_t milliseconds);

/* Is the word in a list that ends with NULL? */
bool ctl_one_of(const char *word, const char *const words[]);

/* --- saying things -------------------------------------------------------------------------------
 */

/* One error: what failed, which object, why, what next. Answers `code`, for `return ctl_error(..)`.
 */
int ctl_error(const struct ctl_context *context, enum ctl_exit code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* One progress or warning line on stderr. */
void ctl_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
