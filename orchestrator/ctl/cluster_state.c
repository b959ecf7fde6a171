/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/cluster_state.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_BYTES_MAX 8192

void cluster_error(struct cluster *cluster, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (cluster->error_said) {
        ctl_note("fabricctl: error: %s", text);
    } else {
        cluster->error_said = true;
        ctl_error(cluster->context, CTL_ERROR, "%s", text);
    }
}

bool cluster_name_ok(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > CLUSTER_NAME_MAX || name[0] < 'a' || name[0] > 'z') {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

char *cluster_path(const struct cluster *cluster, char *out_path, const char *format, ...)
{
    va_list args;
    int length = snprintf(out_path, CLUSTER_PATH_MAX, "%s/", cluster->dir);

    assert(length > 0 && length < CLUSTER_PATH_MAX);
    va_start(args, format);
    vsnprintf(out_path + length, (size_t)(CLUSTER_PATH_MAX - length), format, args);
    va_end(args);
    return out_path;
}

/* First line of a small file, without its end; "" when it cannot be read. */
static void read_line(const char *path, char *out_text, size_t capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, out_text, capacity - 1) : 0;

    if (fd >= 0) {
        close(fd);
    }
    out_text[length > 0 ? length : 0] = '\0';
    out_text[strcspn(out_text, "\n")] = '\0';
}

static sf_status random_hex(char out_hex[33])
{
    unsigned char bytes[16];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        return SF_IO;
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        snprintf(out_hex + 2 * i, 3, "%02x", bytes[i]);
    }
    return SF_OK;
}

static sf_status make_folders(struct cluster *cluster, const char base[CLUSTER_DIR_MAX])
{
    char path[CLUSTER_DIR_MAX];

    memcpy(path, base, sizeof(path));
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST) {
            cluster_error(cluster, "cannot make folder %s: %s", path, strerror(errno));
            return SF_IO;
        }
        *slash = '/';
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        cluster_error(cluster, "cannot make folder %s: %s", path, strerror(errno));
        return SF_IO;
    }
    return SF_OK;
}

/* In /tmp somebody else could have made a folder first: then it is not used. */
static sf_status check_owner(struct cluster *cluster, const char base[CLUSTER_DIR_MAX])
{
    struct stat info;
    char parent[CLUSTER_DIR_MAX];

    memcpy(parent, base, sizeof(parent));
    *strrchr(parent, '/') = '\0';
    if (strncmp(parent, "/tmp/", 5) == 0 &&
        (lstat(parent, &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != geteuid())) {
        cluster_error(cluster, "folder %s is not yours; set XDG_RUNTIME_DIR to one that is",
                      parent);
        return SF_IO;
    }
    if (lstat(base, &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != geteuid()) {
        cluster_error(cluster, "folder %s is not yours; set XDG_RUNTIME_DIR to one that is", base);
        return SF_IO;
    }
    return SF_OK;
}

/* Name and folder. BADARG: the folder's path is too long for the sockets in it. */
static sf_status set_place(struct cluster *cluster, const char *name)
{
    int length =
        snprintf(cluster->dir, sizeof(cluster->dir), "%s/%s", cluster->context->state_root, name);

    snprintf(cluster->name, sizeof(cluster->name), "%s", name);
    if (length < 0 || (size_t)length >= sizeof(cluster->dir)) {
        cluster_error(cluster,
                      "state folder %s/%s: over %u bytes, too long for the sockets in it; set a "
                      "shorter XDG_RUNTIME_DIR",
                      cluster->context->state_root, name, CLUSTER_DIR_MAX - 1);
        return SF_BADARG;
    }
    return SF_OK;
}

sf_status cluster_new(struct cluster *cluster, const char *name)
{
    char base[CLUSTER_DIR_MAX];
    sf_status st;

    assert(cluster_name_ok(name));
    cluster->lock_fd = -1;
    st = set_place(cluster, name);
    if (st != SF_OK) {
        return st;
    }
    memcpy(base, cluster->dir, sizeof(base));
    *strrchr(base, '/') = '\0';
    snprintf(cluster->netns, sizeof(cluster->netns), "%s%s", cluster->networked ? "sipfabric-" : "",
             cluster->networked ? name : "");
    read_line("/proc/sys/kernel/random/boot_id", cluster->boot_id, sizeof(cluster->boot_id));
    st = make_folders(cluster, base);
    if (st == SF_OK) {
        st = check_owner(cluster, base);
    }
    if (st != SF_OK) {
        return st;
    }
    if (random_hex(cluster->instance) != SF_OK || random_hex(cluster->token) != SF_OK) {
        cluster_error(cluster, "no random numbers from the kernel");
        return SF_IO;
    }
    if (mkdir(cluster->dir, 0700) != 0) {
        if (errno == EEXIST) {
            cluster_error(
                cluster,
                "cluster '%s' exists already (%s); 'fabricctl cluster destroy %s' removes "
                "it, --name NAME makes another",
                name, cluster->dir, name);
            return SF_EXISTS;
        }
        cluster_error(cluster, "cannot make folder %s: %s", cluster->dir, strerror(errno));
        return SF_IO;
    }
    st = cluster_lock(cluster);
    return st == SF_OK ? cluster_save(cluster) : st;
}

static char *record_text(const struct cluster *cluster)
{
    cJSON *record = cJSON_CreateObject();
    char *text;

    cJSON_AddNumberToObject(record, "version", 1);
    cJSON_AddStringToObject(record, "name", cluster->name);
    cJSON_AddStringToObject(record, "mode", cluster->hosted ? "hosted" : "booted");
    cJSON_AddBoolToObject(record, "allow_native", cluster->allow_native);
    cJSON_AddNumberToObject(record, "nodes", cluster->node_count);
    cJSON_AddBoolToObject(record, "complete", cluster->complete);
    cJSON_AddStringToObject(record, "instance", cluster->instance);
    cJSON_AddStringToObject(record, "token", cluster->token);
    cJSON_AddStringToObject(record, "boot_id", cluster->boot_id);
    cJSON_AddStringToObject(record, "namespace", cluster->netns);
    text = cJSON_Print(record);
    cJSON_Delete(record);
    return text;
}

sf_status cluster_save(struct cluster *cluster)
{
    char path[CLUSTER_PATH_MAX];
    char part[CLUSTER_PATH_MAX];
    char *text = record_text(cluster);
    FILE *file = NULL;
    bool written = false;

    cluster_path(cluster, path, "cluster.json");
    cluster_path(cluster, part, "cluster.json.part");
    if (text != NULL && (file = fopen(part, "we")) != NULL) {
        written = fprintf(file, "%s\n", text) > 0;
        written = fclose(file) == 0 && written;
    }
    free(text);
    if (!written || rename(part, path) != 0) {
        cluster_error(cluster, "cannot write %s: %s", path, strerror(errno));
        return SF_IO;
    }
    return SF_OK;
}

/* Copies a string member; answers false when it is missing or does not fit. */
static bool take_string(const cJSON *record, const char *key, char *out_text, size_t capacity)
{
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, key));

    if (value == NULL || strlen(value) >= capacity) {
        return false;
    }
    memcpy(out_text, value, strlen(value) + 1);
    return true;
}

static bool parse_record(struct cluster *cluster, const char *text)
{
    cJSON *record = cJSON_Parse(text);
    char mode[16] = "";
    const cJSON *nodes = cJSON_GetObjectItemCaseSensitive(record, "nodes");
    bool ok = record != NULL && cJSON_IsNumber(nodes) && nodes->valueint >= 0 &&
              nodes->valueint <= CLUSTER_NODES_MAX &&
              take_string(record, "instance", cluster->instance, sizeof(cluster->instance)) &&
              take_string(record, "token", cluster->token, sizeof(cluster->token)) &&
              take_string(record, "boot_id", cluster->boot_id, sizeof(cluster->boot_id)) &&
              take_string(record, "namespace", cluster->netns, sizeof(cluster->netns)) &&
              take_string(record, "mode", mode, sizeof(mode));

    if (ok) {
        cluster->node_count = (unsigned)nodes->valueint;
        cluster->hosted = strcmp(mode, "hosted") == 0;
        cluster->allow_native =
            cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(record, "allow_native")) != 0;
        cluster->complete = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(record, "complete")) != 0;
        ok = strlen(cluster->instance) == 32;
    }
    cJSON_Delete(record);
    return ok;
}

sf_status cluster_load(struct cluster *cluster, const struct ctl_context *context, const char *name)
{
    char path[CLUSTER_PATH_MAX];
    char text[RECORD_BYTES_MAX];
    ssize_t length;
    sf_status st;
    int fd;

    assert(cluster_name_ok(name));
    memset(cluster, 0, sizeof(*cluster));
    cluster->context = context;
    cluster->lock_fd = -1;
    st = set_place(cluster, name);
    if (st != SF_OK) {
        return st;
    }
    if (access(cluster->dir, F_OK) != 0) {
        return SF_NOTFOUND;
    }
    fd = open(cluster_path(cluster, path, "cluster.json"), O_RDONLY | O_CLOEXEC);
    length = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    if (length <= 0) {
        return SF_FORMAT; /* create was stopped before it wrote: nothing else was made yet */
    }
    text[length] = '\0';
    return parse_record(cluster, text) ? SF_OK : SF_FORMAT;
}

sf_status cluster_lock(struct cluster *cluster)
{
    char path[CLUSTER_PATH_MAX];
    int fd = open(cluster_path(cluster, path, "lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        cluster_error(cluster, "cannot open %s: %s", path, strerror(errno));
        return SF_IO;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        cluster_error(cluster,
                      "cluster '%s' is being created or destroyed by another fabricctl right now; "
                      "end that one (Ctrl-C cleans up) or wait for it",
                      cluster->name);
        return SF_AGAIN;
    }
    cluster->lock_fd = fd;
    return SF_OK;
}

bool cluster_is_locked(const struct cluster *cluster)
{
    char path[CLUSTER_PATH_MAX];
    int fd = open(cluster_path(cluster, path, "lock"), O_RDONLY | O_CLOEXEC);
    bool locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0;

    if (fd >= 0) {
        close(fd);
    }
    return locked;
}

void cluster_close(struct cluster *cluster)
{
    if (cluster->lock_fd >= 0) {
        close(cluster->lock_fd);
        cluster->lock_fd = -1;
    }
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path) != 0 && errno != ENOENT ? -1 : 0;
}

sf_status cluster_remove_dir(struct cluster *cluster)
{
    if (nftw(cluster->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0 &&
        errno != ENOENT) {
        cluster_error(cluster, "cannot remove %s: %s", cluster->dir, strerror(errno));
        return SF_IO;
    }
    return SF_OK;
}

/* --- processes
 * ------------------------------------------------------------------------------------ */

unsigned long long cluster_process_start(pid_t pid)
{
    char path[64];
    char line[1024];
    char *field;
    unsigned long long start = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    read_line(path, line, sizeof(line));
    field = strrchr(line, ')'); /* the name may hold anything, also spaces and brackets */
    if (field == NULL || field[1] != ' ' || field[2] == 'Z' || field[2] == 'X') {
        return 0;
    }
    field += 2;
    for (int number = 3; number < 22; number++) { /* field 3 is the state, 22 the start time */
        field = strchr(field, ' ');
        if (field == NULL) {
            return 0;
        }
        field++;
    }
    start = strtoull(field, NULL, 10);
    return start;
}

sf_status cluster_record_process(struct cluster *cluster, pid_t pid, const char *what)
{
    char path[CLUSTER_PATH_MAX];
    char line[128];
    int length =
        snprintf(line, sizeof(line), "%d %llu %.31s\n", (int)pid, cluster_process_start(pid), what);
    int fd =
        open(cluster_path(cluster, path, "pids"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    bool written = fd >= 0 && write(fd, line, (size_t)length) == length;

    if (fd >= 0) {
        close(fd);
    }
    if (!written) {
        cluster_error(cluster, "cannot write %s: %s", path, strerror(errno));
        return SF_IO;
    }
    return SF_OK;
}

/* Whether the process has our instance number in its environment. */
static bool carries_instance(const struct cluster *cluster, pid_t pid)
{
    char path[64];
    char wanted[64];
    static char environment[64 * 1024];
    ssize_t length;
    int wanted_length =
        snprintf(wanted, sizeof(wanted), "%s=%s", CLUSTER_INSTANCE_ENV, cluster->instance);
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    length = read(fd, environment, sizeof(environment) - 1);
    close(fd);
    if (length <= 0) {
        return false;
    }
    environment[length] = '\0';
    for (char *entry = environment; entry < environment + length; entry += strlen(entry) + 1) {
        if (strncmp(entry, wanted, (size_t)wanted_length + 1) == 0) {
            return true;
        }
    }
    return false;
}

static bool listed(const struct cluster_process *processes, size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++) {
        if (processes[i].pid == pid) {
            return true;
        }
    }
    return false;
}

static size_t recorded_processes(const struct cluster *cluster,
                                 struct cluster_process *out_processes, size_t capacity)
{
    char path[CLUSTER_PATH_MAX];
    char line[128];
    size_t count = 0;
    FILE *file = fopen(cluster_path(cluster, path, "pids"), "re");

    if (file == NULL) {
        return 0;
    }
    while (count < capacity && fgets(line, sizeof(line), file) != NULL) {
        struct cluster_process process = {0};
        int pid;

        if (sscanf(line, "%d %llu %31s", &pid, &process.start_time, process.what) != 3 ||
            process.start_time == 0 || cluster_process_start(pid) != process.start_time) {
            continue;
        }
        process.pid = pid;
        out_processes[count++] = process;
    }
    fclose(file);
    return count;
}

size_t cluster_processes(const struct cluster *cluster, struct cluster_process *out_processes,
                         size_t capacity)
{
    char boot_id[sizeof(cluster->boot_id)];
    struct dirent *entry;
    size_t count;
    DIR *proc;

    read_line("/proc/sys/kernel/random/boot_id", boot_id, sizeof(boot_id));
    if (strcmp(boot_id, cluster->boot_id) != 0) {
        return 0; /* the host was restarted: everything is gone */
    }
    count = recorded_processes(cluster, out_processes, capacity);
    proc = opendir("/proc");
    while (proc != NULL && count < capacity && (entry = readdir(proc)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        struct cluster_process process = {.pid = pid, .what = "unrecorded"};

        if (pid <= 1 || pid == getpid() || listed(out_processes, count, pid) ||
            !carries_instance(cluster, pid)) {
            continue;
        }
        process.start_time = cluster_process_start(pid);
        if (process.start_time != 0) {
            out_processes[count++] = process;
        }
    }
    if (proc != NULL) {
        closedir(proc);
    }
    return count;
}
