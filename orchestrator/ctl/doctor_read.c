/* SPDX-License-Identifier: Apache-2.0 */
/* doctor_read.c - bounded reads of /proc and /sys below a folder. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/doctor.h"

/* root and the path; false: too long. */
static bool path_make(const struct doctor *doctor, char path[PATH_MAX], const char *format,
                      va_list arguments)
{
    int length = snprintf(path, PATH_MAX, "%s", doctor->root);
    int more;

    if (length < 0 || length >= PATH_MAX) {
        return false;
    }
    more = vsnprintf(path + length, PATH_MAX - (size_t)length, format, arguments);
    return more >= 0 && length + more < PATH_MAX;
}

/* A file of /sys answers all it has in one read, /proc in pieces. */
static bool file_read(const char *path, char *buffer, size_t capacity)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t used = 0;
    ssize_t got = 0;

    if (file < 0) {
        return false;
    }
    while (used + 1 < capacity) {
        got = read(file, buffer + used, capacity - 1 - used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
    }
    close(file);
    while (used > 0 && (buffer[used - 1] == '\n' || buffer[used - 1] == ' ')) {
        used -= 1;
    }
    buffer[used] = '\0';
    return got >= 0;
}

bool doctor_read(const struct doctor *doctor, char *buffer, size_t capacity, const char *format,
                 ...)
{
    char path[PATH_MAX];
    va_list arguments;
    bool made;

    va_start(arguments, format);
    made = path_make(doctor, path, format, arguments);
    va_end(arguments);
    return made && file_read(path, buffer, capacity);
}

bool doctor_read_number(const struct doctor *doctor, int64_t *out_number, const char *format, ...)
{
    char path[PATH_MAX];
    char text[64];
    char *end;
    va_list arguments;
    bool made;
    long long number;

    va_start(arguments, format);
    made = path_make(doctor, path, format, arguments);
    va_end(arguments);
    if (!made || !file_read(path, text, sizeof(text))) {
        return false;
    }
    errno = 0;
    number = strtoll(text, &end, 0);
    if (end == text || *end != '\0' || errno != 0) {
        return false;
    }
    *out_number = number;
    return true;
}

static bool path_access(const struct doctor *doctor, int mode, const char *format,
                        va_list arguments)
{
    char path[PATH_MAX];

    return path_make(doctor, path, format, arguments) && access(path, mode) == 0;
}

bool doctor_has(const struct doctor *doctor, const char *format, ...)
{
    va_list arguments;
    bool there;

    va_start(arguments, format);
    there = path_access(doctor, F_OK, format, arguments);
    va_end(arguments);
    return there;
}

bool doctor_may_open(const struct doctor *doctor, const char *format, ...)
{
    va_list arguments;
    bool may;

    va_start(arguments, format);
    may = path_access(doctor, R_OK | W_OK, format, arguments);
    va_end(arguments);
    return may;
}

bool doctor_link_name(const struct doctor *doctor, char *buffer, size_t capacity,
                      const char *format, ...)
{
    char path[PATH_MAX];
    char target[PATH_MAX];
    const char *last;
    va_list arguments;
    ssize_t length;
    bool made;

    va_start(arguments, format);
    made = path_make(doctor, path, format, arguments);
    va_end(arguments);
    length = made ? readlink(path, target, sizeof(target) - 1) : -1;
    if (length <= 0) {
        return false;
    }
    target[length] = '\0';
    last = strrchr(target, '/');
    snprintf(buffer, capacity, "%s", last != NULL ? last + 1 : target);
    return buffer[0] != '\0';
}

bool doctor_file_has(const struct doctor *doctor, const char *text, const char *path)
{
    char whole[PATH_MAX];
    char *line = NULL;
    size_t capacity = 0;
    bool found = false;
    FILE *file;
    int descriptor;

    if ((size_t)snprintf(whole, sizeof(whole), "%s%s", doctor->root, path) >= sizeof(whole)) {
        return false;
    }
    descriptor = open(whole, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe does not hold us up */
    file = descriptor >= 0 ? fdopen(descriptor, "rb") : NULL;
    if (file == NULL) {
        if (descriptor >= 0) {
            close(descriptor);
        }
        return false;
    }
    while (!found && getline(&line, &capacity, file) >= 0) {
        found = strstr(line, text) != NULL;
    }
    free(line);
    fclose(file);
    return found;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

void doctor_list_read(const struct doctor *doctor, struct doctor_list *out_list, const char *format,
                      ...)
{
    char path[PATH_MAX];
    va_list arguments;
    const struct dirent *entry;
    DIR *folder = NULL;

    *out_list = (struct doctor_list){0};
    va_start(arguments, format);
    if (path_make(doctor, path, format, arguments)) {
        folder = opendir(path);
    }
    va_end(arguments);
    if (folder == NULL) {
        return;
    }
    out_list->names = calloc(DOCTOR_LIST_MAX, sizeof(*out_list->names));
    while (out_list->names != NULL && out_list->count < DOCTOR_LIST_MAX &&
           (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        out_list->names[out_list->count] = strdup(entry->d_name);
        if (out_list->names[out_list->count] == NULL) {
            break;
        }
        out_list->count += 1;
    }
    closedir(folder);
    if (out_list->count > 1) {
        qsort(out_list->names, out_list->count, sizeof(*out_list->names), by_name);
    }
}

void doctor_list_fini(struct doctor_list *list)
{
    size_t index;

    for (index = 0; index < list->count; index++) {
        free(list->names[index]);
    }
    free(list->names);
    *list = (struct doctor_list){0};
}

bool doctor_has_word(const char *text, const char *word)
{
    static const char between[] = " ,\t\n";
    const size_t bytes = strlen(word);
    const char *at = text;

    while ((at = strstr(at, word)) != NULL) {
        bool begins = at == text || strchr(between, at[-1]) != NULL;
        bool ends = at[bytes] == '\0' || strchr(between, at[bytes]) != NULL;
        if (begins && ends) {
            return true;
        }
        at += bytes;
    }
    return false;
}

uint32_t doctor_cpu_count(const char *list)
{
    uint32_t count = 0;

    while (*list >= '0' && *list <= '9') {
        char *end;
        unsigned long first = strtoul(list, &end, 10);
        unsigned long last = first;

        if (*end == '-') {
            list = end + 1;
            last = strtoul(list, &end, 10);
        }
        if (end == list || last < first || last - first > 65535) {
            return 0;
        }
        count += (uint32_t)(last - first + 1);
        list = *end == ',' ? end + 1 : end;
    }
    return count;
}

bool doctor_cpu_flags(const struct doctor *doctor, char *buffer, size_t capacity)
{
    char text[16384];
    const char *flags;
    size_t length;

    if (!doctor_read(doctor, text, sizeof(text), "/proc/cpuinfo")) {
        return false;
    }
    flags = strstr(text, "\nflags\t");
    flags = flags != NULL ? strchr(flags, ':') : NULL;
    if (flags == NULL) {
        return false;
    }
    length = strcspn(flags + 1, "\n");
    snprintf(buffer, capacity, "%.*s", (int)length, flags + 1);
    return true;
}

bool doctor_capabilities(const struct doctor *doctor, uint64_t *out_bits)
{
    char text[8192];
    const char *line;
    char *end;

    if (!doctor_read(doctor, text, sizeof(text), "/proc/self/status")) {
        return false;
    }
    line = strstr(text, "\nCapEff:\t");
    if (line == NULL) {
        return false;
    }
    line += strlen("\nCapEff:\t");
    *out_bits = strtoull(line, &end, 16);
    return end != line;
}

bool doctor_limit_read(const struct doctor *doctor, const char *title, uint64_t *out_soft,
                       uint64_t *out_hard)
{
    uint64_t *const values[] = {out_soft, out_hard};
    char text[8192];
    const char *at;
    size_t index;

    if (!doctor_read(doctor, text, sizeof(text), "/proc/self/limits")) {
        return false;
    }
    at = strstr(text, title);
    if (at == NULL) {
        return false;
    }
    at += strlen(title);
    for (index = 0; index < 2; index++) {
        char *end;

        at += strspn(at, " ");
        if (strncmp(at, "unlimited", 9) == 0) {
            *values[index] = UINT64_MAX;
            at += 9;
            continue;
        }
        *values[index] = strtoull(at, &end, 10);
        if (end == at) {
            return false;
        }
        at = end;
    }
    return true;
}

bool doctor_module_there(const struct doctor *doctor, const char *file)
{
    static const char *const lists[] = {"modules.dep", "modules.builtin"};
    char release[128];
    char path[256];
    size_t index;

    if (!doctor_read(doctor, release, sizeof(release), "/proc/sys/kernel/osrelease")) {
        return false;
    }
    for (index = 0; index < 2; index++) {
        snprintf(path, sizeof(path), "/lib/modules/%s/%s", release, lists[index]);
        if (doctor_file_has(doctor, file, path)) {
            return true;
        }
    }
    return false;
}
