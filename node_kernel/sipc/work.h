/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work.h - sipc's dealings with the outside: its private work folder, files, tools.
 *
 * Errors: all functions print "sipc: ..." to stderr themselves and answer what failed.
 * Signals: after work_open, SIGINT, SIGTERM and SIGHUP stop the running tool, and every further
 * tool is refused, so that the caller comes to work_close.
 * Threads: one; there is one work folder at a time.
 */
#ifndef SIPC_WORK_H
#define SIPC_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define WORK_PATH_MAX 4096u
#define WORK_FOLDER_MAX 2048u
#define WORK_ARGS_MAX 512u

struct work {
    char folder[WORK_FOLDER_MAX];
    bool keep;
    bool verbose;
};

/* One line on stderr, "sipc: " before it. Answers status. */
sf_status sipc_fail(sf_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Makes the folder (keep_folder, or a private one) and writes the embedded files into it. */
SF_MUST_CHECK sf_status work_open(struct work *work, const char *keep_folder, bool verbose);
/* Removes the folder unless it is to be kept. Also after a failed work_open. */
void work_close(struct work *work);

/* "<folder>/<name>" in `buffer` of WORK_PATH_MAX bytes. Answers buffer. */
const char *work_path(const struct work *work, const char *name, char *buffer);

/* A list of arguments for a tool; too many are an error when it runs. Strings are not copied. */
struct work_args {
    const char *list[WORK_ARGS_MAX + 1];
    size_t count;
    bool overflow;
};
void work_arg(struct work_args *args, const char *text);

/* Runs a tool in `folder` (NULL: where sipc runs); its output goes to stderr. */
SF_MUST_CHECK sf_status work_run(const struct work *work, const char *folder,
                                 const struct work_args *args);

/* The same, with its input and output in files of the work folder. */
SF_MUST_CHECK sf_status work_run_files(const struct work *work, const struct work_args *args,
                                       const char *input, const char *output);

/* *out_bytes is malloc'ed, the caller's, with a zero byte behind it. */
SF_MUST_CHECK sf_status file_read(const char *path, size_t bytes_max, uint8_t **out_bytes,
                                  size_t *out_length);
/* A file that must not be there yet, whole or not at all. EXISTS is answered without a word. */
SF_MUST_CHECK sf_status file_create(const char *path, const void *bytes, size_t length,
                                    unsigned mode);
/* Writes beside the target and renames: a reader never sees half a file. */
SF_MUST_CHECK sf_status file_write(const char *path, const void *bytes, size_t length);

#endif
