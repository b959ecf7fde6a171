/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect.c - rdma_connect, which on soft-iWARP answers only when TCP has reached the other end, or
 * has given up, which takes it minutes. So there it has a thread of its own, which a signal ends:
 * CONNECT_SIGNAL, which the process must not use for anything else. Elsewhere it answers at once.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "verbs.h"

#define CONNECT_SIGNAL (SIGRTMIN + 8)
#define PRIVATE_BYTES_MAX 255u /* as private_data_len has it */
#define STACK_BYTES (64u << 10)

struct rdma_connecting {
    struct rdma_cm_id *id;
    struct rdma_conn_param parameters;
    uint8_t bytes[PRIVATE_BYTES_MAX];
    bool threaded;
    pthread_t thread;
    _Atomic bool done;
    int error; /* once done */
};

static void nothing(int number)
{
    (void)number;
}

static void call(struct rdma_connecting *connecting)
{
    connecting->error = rdma_connect(connecting->id, &connecting->parameters) != 0 ? errno : 0;
    atomic_store(&connecting->done, true);
}

static void *thread_main(void *argument)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, CONNECT_SIGNAL);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    call(argument);
    return NULL;
}

/* Other signals of the process are not for the thread. */
static int thread_start(struct rdma_connecting *connecting)
{
    struct sigaction action = {.sa_handler = nothing}; /* no SA_RESTART: the call ends */
    sigset_t all, before;
    pthread_attr_t attr;
    int error;

    if (sigaction(CONNECT_SIGNAL, &action, NULL) != 0) {
        return errno;
    }
    error = pthread_attr_init(&attr);
    if (error != 0) {
        return error;
    }
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&connecting->thread, &attr, thread_main, connecting);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    return error;
}

struct rdma_connecting *rdma__connect_begin(struct rdma_cm_id *id,
                                            const struct rdma_conn_param *parameters)
{
    struct rdma_connecting *connecting = calloc(1, sizeof(*connecting));
    int error = 0;

    if (connecting == NULL) {
        return NULL;
    }
    connecting->id = id;
    connecting->parameters = *parameters;
    memcpy(connecting->bytes, parameters->private_data, parameters->private_data_len);
    connecting->parameters.private_data = connecting->bytes;
    connecting->threaded = id->verbs->device->transport_type == IBV_TRANSPORT_IWARP;
    if (connecting->threaded) {
        error = thread_start(connecting);
    } else {
        call(connecting);
    }
    if (error != 0) {
        free(connecting);
        errno = error;
        return NULL;
    }
    return connecting;
}

bool rdma__connect_done(const struct rdma_connecting *connecting, int *out_error)
{
    bool done = atomic_load(&connecting->done);

    *out_error = done ? connecting->error : 0;
    return done;
}

void rdma__connect_end(struct rdma_connecting *connecting)
{
    static const struct timespec pause = {.tv_nsec = 200000};

    if (connecting->threaded) {
        /* Again and again, for it may come before the call has begun. */
        while (!atomic_load(&connecting->done)) {
            (void)pthread_kill(connecting->thread, CONNECT_SIGNAL);
            (void)nanosleep(&pause, NULL);
        }
        (void)pthread_join(connecting->thread, NULL);
    }
    free(connecting);
}
