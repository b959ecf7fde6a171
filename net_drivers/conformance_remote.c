/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance_remote.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance_side.h"

#define RELAY_MS 1
#define SERVE_MS 200

enum { WANTS_RELAY = 'r', WANTS_SIDE = 's' };

static struct sockaddr_in other;
static bool used;

/* Carries one board's note of our side there, and their side's here, until the connection ends. */
static _Noreturn void relay(int fd, uint16_t ours)
{
    uint16_t theirs =
        ours == LINK_CONFORMANCE_NODE_A ? LINK_CONFORMANCE_NODE_B : LINK_CONFORMANCE_NODE_A;
    struct link_endpoint sent = {.length = 0};
    struct link_endpoint note;
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        if (poll(&wait, 1, RELAY_MS) == 1) {
            if (recv(fd, &note, sizeof(note), MSG_WAITALL) != (ssize_t)sizeof(note)) {
                _exit(0);
            }
            side_note_write(theirs, &note);
        }
        if (side_note_read(ours, &note) != 0 && memcmp(&note, &sent, sizeof(note)) != 0) {
            if (send(fd, &note, sizeof(note), MSG_NOSIGNAL) != (ssize_t)sizeof(note)) {
                _exit(0);
            }
            sent = note;
        }
    }
}

static int connect_as(char what)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (const struct sockaddr *)&other, sizeof(other)) != 0 ||
        send(fd, &what, 1, MSG_NOSIGNAL) != 1) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

bool remote_begin(const char *address)
{
    int fd = -1;
    pid_t pid;

    other = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(REMOTE_PORT)};
    if (inet_pton(AF_INET, address, &other.sin_addr) != 1) {
        return false;
    }
    for (int i = 0; fd < 0 && i < REMOTE_SECONDS_MAX; i++) {
        fd = connect_as(WANTS_RELAY);
        if (fd < 0) {
            (void)sleep(1);
        }
    }
    pid = fd >= 0 ? fork() : -1;
    if (pid == 0) {
        relay(fd, LINK_CONFORMANCE_NODE_A);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    used = pid > 0;
    return used;
}

bool remote_is_used(void)
{
    return used;
}

int remote_side_connect(void)
{
    int fd = connect_as(WANTS_SIDE);

    if (fd < 0) {
        perror("the other machine");
        exit(1);
    }
    return fd;
}

/* Answers the process that came of it; *out_relay: it is the relay. */
static pid_t connection_take(const struct link_conformance *driver, int listener, bool *out_relay)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    int one = 1;
    char what = 0;
    pid_t pid = -1;

    if (fd >= 0 && recv(fd, &what, 1, 0) == 1) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        pid = fork();
        if (pid == 0) {
            (void)close(listener);
            if (what == WANTS_RELAY) {
                relay(fd, LINK_CONFORMANCE_NODE_B);
            }
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            side_process(driver, LINK_CONFORMANCE_NODE_B, fd, false);
        }
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    *out_relay = what == WANTS_RELAY;
    return pid;
}

int remote_serve(const struct link_conformance *driver)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(REMOTE_PORT)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct pollfd wait = {.fd = listener, .events = POLLIN};
    pid_t relay_pid = 0;
    int one = 1;

    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (const struct sockaddr *)&any, sizeof(any)) != 0 ||
        listen(listener, 8) != 0) {
        perror("serving the other machine");
        return 1;
    }
    for (;;) {
        bool is_relay = false;
        pid_t pid;

        if (poll(&wait, 1, SERVE_MS) == 1) {
            pid = connection_take(driver, listener, &is_relay);
            relay_pid = is_relay ? pid : relay_pid;
        }
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
            if (pid == relay_pid) {
                (void)close(listener);
                return 0;
            }
        }
    }
}
