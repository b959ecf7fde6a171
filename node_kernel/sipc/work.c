/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"

static volatile sig_atomic_t stopped;
static volatile sig_atomic_t child;

sf_status sipc_fail(sf_status status, const char *format, ...)
{
    va_list list;

    (void)fputs("sipc: ", stderr);
    va_start(list, format);
    (void)vfprintf(stderr, format, list);
    va_end(list);
    (void)fputc('\n', stderr);
    return status;
}

static void on_signal(int number)
{
    const pid_t pid = child;

    stopped = number;
    if (pid > 0) {
        (void)kill(-pid, SIGKILL); /* compilers start programs of their own */
    }
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGHUP, SIGINT, SIGTERM};
    struct sigaction action = {.sa_handler = on_signal};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        (void)sigaction(numbers[i], &action, NULL);
    }
}

const char *work_path(const struct work *work, const char *name, char *buffer)
{
    (void)snprintf(buffer, WORK_PATH_MAX, "%s/%s", work->folder, name);
    return buffer;
}

/* Makes the folders above a file of the work folder. */
static void make_parents(char *path, size_t from)
{
    for (char *slash = strchr(path + from, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
}

static sf_status write_embedded(const struct work *work)
{
    char path[WORK_PATH_MAX];

    for (const struct sipc_file *file = sipc_files; file->name != NULL; file++) {
        sf_status st;
        (void)work_path(work, file->name, path);
        make_parents(path, strlen(work->folder) + 1);
        st = file_write(path, file->bytes, file->length);
        if (st != SF_OK) {
            return st;
        }
    }
    return SF_OK;
}

sf_status work_open(struct work *work, const char *keep_folder, bool verbose)
{
    const char *parent = getenv("TMPDIR");
    char real[PATH_MAX];

    catch_signals();
    work->verbose = verbose;
    work->keep = keep_folder != NULL;
    if (keep_folder != NULL) {
        if (mkdir(keep_folder, 0777) != 0 && errno != EEXIST) {
            return sipc_fail(SF_IO, "%s: %s", keep_folder, strerror(errno));
        }
        if (realpath(keep_folder, real) == NULL || strlen(real) >= sizeof(work->folder)) {
            return sipc_fail(SF_IO, "%s: cannot be used: %s", keep_folder, strerror(errno));
        }
        memcpy(work->folder, real, strlen(real) + 1);
        return write_embedded(work);
    }
    if (parent == NULL || parent[0] != '/' || strlen(parent) > WORK_FOLDER_MAX / 2) {
        parent = "/tmp";
    }
    (void)snprintf(work->folder, sizeof(work->folder), "%s/sipc-XXXXXX", parent);
    if (mkdtemp(work->folder) == NULL) {
        const sf_status st = sipc_fail(SF_IO, "%s: %s", work->folder, strerror(errno));
        work->folder[0] = '\0';
        return st;
    }
    return write_embedded(work);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    (void)remove(path);
    return 0;
}

void work_close(struct work *work)
{
    if (work->folder[0] != '\0' && !work->keep) {
        (void)nftw(work->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    work->folder[0] = '\0';
}

void work_arg(struct work_args *args, const char *text)
{
    if (args->count >= WORK_ARGS_MAX) {
        args->overflow = true;
        return;
    }
    args->list[args->count++] = text;
    args->list[args->count] = NULL;
}

struct run {
    const char *folder;         /* NULL: where sipc runs */
    const char *input, *output; /* NULL: nothing, and stderr */
};

static void run_child(const struct work *work, const struct run *run, const struct work_args *args)
{
    static const char *const unwanted[] = {"CPATH", "C_INCLUDE_PATH", "COMPILER_PATH",
                                           "GCC_EXEC_PREFIX", "LIBRARY_PATH"};
    const char *input = run->input != NULL ? run->input : "/dev/null";
    int in, out = STDERR_FILENO;
    char *list[WORK_ARGS_MAX + 1];

    for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++) {
        (void)unsetenv(unwanted[i]); /* what is built depends on its input only */
    }
    for (size_t i = 0; i <= args->count; i++) {
        list[i] = (char *)(uintptr_t)args->list[i];
    }
    (void)setpgid(0, 0);
    (void)setenv("TMPDIR", work->folder, 1);
    (void)setenv("LC_ALL", "C", 1);
    if (run->folder != NULL && chdir(run->folder) != 0) {
        _exit(126);
    }
    in = open(input, O_RDONLY | O_CLOEXEC);
    if (run->output != NULL) {
        out = open(run->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    }
    if (in < 0 || out < 0) {
        _exit(126);
    }
    (void)dup2(in, STDIN_FILENO);
    (void)dup2(out, STDOUT_FILENO);
    (void)execvp(list[0], list);
    _exit(127);
}

static sf_status run_tool(const struct work *work, const struct run *run,
                          const struct work_args *args)
{
    const char *tool = args->list[0];
    int status = 0;
    pid_t pid;

    if (args->overflow) {
        return sipc_fail(SF_LIMIT, "too many files or folders (at most about %u)", WORK_ARGS_MAX);
    }
    if (stopped != 0) {
        return SF_AGAIN;
    }
    if (work->verbose) {
        for (size_t i = 0; i < args->count; i++) {
            (void)fprintf(stderr, "%s%s", i == 0 ? "+ " : " ", args->list[i]);
        }
        (void)fputc('\n', stderr);
    }
    pid = fork();
    if (pid < 0) {
        return sipc_fail(SF_IO, "cannot run %s: %s", tool, strerror(errno));
    }
    if (pid == 0) {
        run_child(work, run, args);
    }
    (void)setpgid(pid, pid); /* whoever of us two comes first */
    child = (sig_atomic_t)pid;
    if (stopped != 0) { /* came before the line above */
        (void)kill(-pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    child = 0;
    if (stopped != 0) {
        return sipc_fail(SF_AGAIN, "stopped by signal %d", (int)stopped);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        return sipc_fail(SF_NOTFOUND, "%s is not installed (./run setup installs it)", tool);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return sipc_fail(SF_FORMAT, "%s failed (see above)", tool);
    }
    return SF_OK;
}

sf_status work_run(const struct work *work, const char *folder, const struct work_args *args)
{
    const struct run run = {.folder = folder};

    return run_tool(work, &run, args);
}

sf_status work_run_files(const struct work *work, const struct work_args *args, const char *input,
                         const char *output)
{
    const struct run run = {.folder = work->folder, .input = input, .output = output};

    return run_tool(work, &run, args);
}

sf_status file_read(const char *path, size_t bytes_max, uint8_t **out_bytes, size_t *out_length)
{
    FILE *file = fopen(path, "rbe");
    uint8_t *bytes = NULL;
    size_t length = 0, capacity = 0;
    sf_status st = SF_OK;

    if (file == NULL) {
        return sipc_fail(SF_IO, "%s: %s", path, strerror(errno));
    }
    while (st == SF_OK) {
        uint8_t *grown;
        size_t got;
        if (length + 1 >= capacity) {
            capacity = capacity == 0 ? 65536 : capacity * 2;
            grown = realloc(bytes, capacity);
            if (grown == NULL) {
                st = sipc_fail(SF_NOMEM, "%s: no memory left", path);
                break;
            }
            bytes = grown;
        }
        got = fread(bytes + length, 1, capacity - length - 1, file);
        length += got;
        if (length > bytes_max) {
            st = sipc_fail(SF_LIMIT, "%s: more than %zu bytes", path, bytes_max);
        } else if (ferror(file)) {
            st = sipc_fail(SF_IO, "%s: %s", path, strerror(errno));
        } else if (got == 0) {
            break;
        }
    }
    (void)fclose(file);
    if (st != SF_OK) {
        free(bytes);
        return st;
    }
    bytes[length] = 0;
    *out_bytes = bytes;
    *out_length = length;
    return SF_OK;
}

sf_status file_write(const char *path, const void *bytes, size_t length)
{
    char partial[WORK_PATH_MAX + 32];
    FILE *file;
    bool ok;

    (void)snprintf(partial, sizeof(partial), "%s.%ld.part", path, (long)getpid());
    file = fopen(partial, "wbe");
    if (file == NULL) {
        return sipc_fail(SF_IO, "%s: %s", path, strerror(errno));
    }
    ok = fwrite(bytes, 1, length, file) == length;
    ok = fclose(file) == 0 && ok;
    if (!ok || rename(partial, path) != 0) {
        const sf_status st = sipc_fail(SF_IO, "%s: %s", path, strerror(errno));
        (void)unlink(partial);
        return st;
    }
    return SF_OK;
}

sf_status file_create(const char *path, const void *bytes, size_t length, unsigned mode)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    const uint8_t *at = bytes;
    size_t left = length;

    if (fd < 0 && errno == EEXIST) {
        return SF_EXISTS;
    }
    while (fd >= 0 && left > 0) {
        const ssize_t wrote = write(fd, at, left);
        if (wrote < 0) {
            break;
        }
        at += wrote;
        left -= (size_t)wrote;
    }
    if (fd < 0 || left > 0 || close(fd) != 0) {
        const sf_status st = sipc_fail(SF_IO, "%s: %s", path, strerror(errno));
        if (fd >= 0) {
            (void)unlink(path);
        }
        return st;
    }
    return SF_OK;
}
