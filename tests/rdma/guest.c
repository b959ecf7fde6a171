/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest.c - PID 1 of a machine that runs one test program on soft-RoCE or soft-iWARP.
 *
 * Loads the modules of the image, gives the first nic the address of the kernel command line
 * (rdma.address=10.78.0.1), makes rxe0 of it, or siw0 (rdma.kind=siw; without it rxe), runs
 * /program with what follows rdma.run= (words separated by commas), and powers off. The program's
 * environment has RDMA_INTERFACE, RDMA_ADDRESS, RDMA_KIND and, with rdma.cm=on, RDMA_CM. What the
 * program prints goes to the console line by line behind "> ", so that nothing of the kernel's is
 * taken for it; the last line is "> exit N".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link/rdma.h"

#define INTERFACE "eth0"
#define WORDS_MAX 32

static char command_line[2048];

static void end(int code)
{
    printf("> exit %d\n", code);
    fflush(stdout);
    sync();
    (void)reboot(RB_POWER_OFF);
    for (;;) {
        pause();
    }
}

static void give_up(const char *what, const char *detail)
{
    printf("> # guest: %s %s: %s\n", what, detail, strerror(errno));
    end(99);
}

static void mounts_make(void)
{
    static const char *const mounts[][2] = {
        {"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/tmp"}};

    for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        (void)mkdir(mounts[i][1], 0755);
        if (mount(mounts[i][0], mounts[i][1], mounts[i][0], 0, NULL) != 0 && errno != EBUSY) {
            give_up("mount", mounts[i][1]);
        }
    }
}

static void modules_load(void)
{
    FILE *order = fopen("/lib/modules/order", "re");
    char path[256];

    if (order == NULL) {
        give_up("open", "/lib/modules/order");
        return;
    }
    while (fgets(path, sizeof(path), order) != NULL) {
        int fd;

        path[strcspn(path, "\n")] = '\0';
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)) {
            give_up("load", path);
        }
        (void)close(fd);
    }
    (void)fclose(order);
}

/* The value of a key on the kernel command line, or other; NULL: the key must be there. */
static const char *option(const char *key, const char *other)
{
    static char value[1024];
    const char *at = strstr(command_line, key);

    if (at == NULL && other != NULL) {
        return other;
    }
    if (at == NULL) {
        give_up("no option", key);
    }
    at += strlen(key);
    (void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, " \n"), at);
    return value;
}

static void interface_up(const char *name, const char *address)
{
    struct ifreq ask = {.ifr_flags = 0};
    struct sockaddr_in in = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)snprintf(ask.ifr_name, sizeof(ask.ifr_name), "%s", name);
    if (inet_pton(AF_INET, address, &in.sin_addr) != 1) {
        give_up("address", address);
    }
    memcpy(&ask.ifr_addr, &in, sizeof(in));
    if (ioctl(fd, SIOCSIFADDR, &ask) != 0) {
        give_up("address of", name);
    }
    in.sin_addr.s_addr = htonl(0xffffff00);
    memcpy(&ask.ifr_netmask, &in, sizeof(in));
    if (ioctl(fd, SIOCSIFNETMASK, &ask) != 0 || ioctl(fd, SIOCGIFFLAGS, &ask) != 0) {
        give_up("mask of", name);
    }
    ask.ifr_flags |= IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &ask) != 0) {
        give_up("bring up", name);
    }
    (void)close(fd);
}

static void node_wait(const char *path)
{
    for (int i = 0; access(path, R_OK | W_OK) != 0; i++) {
        if (i == 100) {
            give_up("no", path);
        }
        (void)usleep(50000);
    }
}

static void device_make(const char *kind)
{
    bool siw = strcmp(kind, "siw") == 0;
    char text[200] = "";

    if (link_rdma_soft_add(siw ? LINK_RDMA_SOFT_SIW : LINK_RDMA_SOFT_RXE, siw ? "siw0" : "rxe0",
                           INTERFACE, text, sizeof(text)) != SF_OK) {
        printf("> # guest: %s\n", text);
        end(99);
    }
    node_wait("/dev/infiniband/uverbs0");
    node_wait("/dev/infiniband/rdma_cm");
}

static int program_run(char *words)
{
    char *arguments[WORDS_MAX + 2] = {(char *)"/program"};
    char line[1024];
    int fds[2], status = 0, count = 1;
    FILE *from;
    pid_t pid;

    for (char *word = strtok(words, ","); word != NULL && count <= WORDS_MAX;
         word = strtok(NULL, ",")) {
        arguments[count++] = word;
    }
    if (pipe(fds) != 0 || (pid = fork()) < 0) {
        give_up("start", "/program");
    }
    if (pid == 0) {
        (void)dup2(fds[1], 1);
        (void)dup2(fds[1], 2);
        (void)close(fds[0]);
        (void)close(fds[1]);
        (void)setenv("CMOCKA_MESSAGE_OUTPUT", "TAP", 1);
        (void)setenv("SIPNODE", "/sipnode", 1);
        (void)setenv("RDMA_INTERFACE", INTERFACE, 1);
        (void)execv(arguments[0], arguments);
        perror("/program");
        _exit(127);
    }
    (void)close(fds[1]);
    from = fdopen(fds[0], "r");
    while (from != NULL && fgets(line, sizeof(line), from) != NULL) {
        printf("> %s%s", line, strchr(line, '\n') != NULL ? "" : "\n");
        fflush(stdout);
    }
    (void)waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(void)
{
    static const struct rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    char words[1024], address[64], kind[16];
    FILE *file;

    mounts_make();
    (void)setrlimit(RLIMIT_MEMLOCK, &none); /* siw keeps it to the letter, of root, too */
    file = fopen("/proc/cmdline", "re");
    if (file == NULL || fgets(command_line, sizeof(command_line), file) == NULL) {
        give_up("read", "/proc/cmdline");
        return 1;
    }
    (void)fclose(file);
    modules_load();
    interface_up("lo", "127.0.0.1");
    (void)snprintf(address, sizeof(address), "%s", option("rdma.address=", NULL));
    (void)snprintf(kind, sizeof(kind), "%s", option("rdma.kind=", "rxe"));
    interface_up(INTERFACE, address);
    device_make(kind);
    (void)setenv("RDMA_ADDRESS", address, 1);
    (void)setenv("RDMA_KIND", kind, 1);
    if (strcmp(option("rdma.cm=", ""), "on") == 0) {
        (void)setenv("RDMA_CM", "on", 1);
    }
    (void)snprintf(words, sizeof(words), "%s", option("rdma.run=", NULL));
    end(program_run(words));
    return 0;
}
