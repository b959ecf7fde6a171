/* SPDX-License-Identifier: Apache-2.0 */
/* rte_intr_fd_get is new in this version of DPDK. */
#define ALLOW_EXPERIMENTAL_API
#include "intr.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int __real_rte_intr_callback_register(const struct rte_intr_handle *handle,
                                      rte_intr_callback_fn call, void *arg);
int __real_rte_intr_callback_unregister(const struct rte_intr_handle *handle,
                                        rte_intr_callback_fn call, void *arg);
int __real_rte_intr_callback_unregister_pending(const struct rte_intr_handle *handle,
                                                rte_intr_callback_fn call, void *arg,
                                                rte_intr_unregister_callback_fn undo);
int __wrap_rte_intr_callback_register(const struct rte_intr_handle *handle,
                                      rte_intr_callback_fn call, void *arg);
int __wrap_rte_intr_callback_unregister(const struct rte_intr_handle *handle,
                                        rte_intr_callback_fn call, void *arg);
int __wrap_rte_intr_callback_unregister_pending(const struct rte_intr_handle *handle,
                                                rte_intr_callback_fn call, void *arg,
                                                rte_intr_unregister_callback_fn undo);

int __real_rte_intr_fd_set(struct rte_intr_handle *handle, int fd);
int __wrap_rte_intr_fd_set(struct rte_intr_handle *handle, int fd);
void *__real_mmap64(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *address, size_t bytes, int protection, int flags, int fd, off_t offset);

static _Thread_local struct dpdk_intr_set *current;

void dpdk__intr_enter(struct dpdk_intr_set *set)
{
    assert(current == NULL);
    current = set;
}

void dpdk__intr_leave(void)
{
    assert(current != NULL);
    current = NULL;
}

uint32_t dpdk__intr_count(const struct dpdk_intr_set *set)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < DPDK_INTR_MAX; i++) {
        count += set->slots[i].serial != 0;
    }
    return count;
}

static struct dpdk_intr *slot_find(struct dpdk_intr_set *set, rte_intr_callback_fn call,
                                   const void *arg)
{
    for (uint32_t i = 0; i < DPDK_INTR_MAX; i++) {
        struct dpdk_intr *slot = &set->slots[i];

        if (slot->serial != 0 && slot->call == call && slot->arg == arg) {
            return slot;
        }
    }
    return NULL;
}

int __wrap_rte_intr_callback_register(const struct rte_intr_handle *handle,
                                      rte_intr_callback_fn call, void *arg)
{
    if (current == NULL) {
        return __real_rte_intr_callback_register(handle, call, arg);
    }
    for (uint32_t i = 0; i < DPDK_INTR_MAX; i++) {
        struct dpdk_intr *slot = &current->slots[i];

        if (slot->serial == 0) {
            *slot = (struct dpdk_intr){
                .handle = handle,
                .call = call,
                .arg = arg,
                .serial = ++current->serial,
                .fd = rte_intr_fd_get(handle),
            };
            return 0;
        }
    }
    return -ENOSPC;
}

/* As EAL: how many were removed, or -EAGAIN from inside the callback itself. */
int __wrap_rte_intr_callback_unregister(const struct rte_intr_handle *handle,
                                        rte_intr_callback_fn call, void *arg)
{
    struct dpdk_intr *slot;

    if (current == NULL) {
        return __real_rte_intr_callback_unregister(handle, call, arg);
    }
    slot = slot_find(current, call, arg);
    if (slot == NULL) {
        return -ENOENT;
    }
    if (slot->calling) {
        return -EAGAIN;
    }
    memset(slot, 0, sizeof(*slot));
    return 1;
}

int __wrap_rte_intr_callback_unregister_pending(const struct rte_intr_handle *handle,
                                                rte_intr_callback_fn call, void *arg,
                                                rte_intr_unregister_callback_fn undo)
{
    struct dpdk_intr *slot;

    if (current == NULL) {
        return __real_rte_intr_callback_unregister_pending(handle, call, arg, undo);
    }
    slot = slot_find(current, call, arg);
    if (slot == NULL) {
        return -ENOENT;
    }
    slot->leaving = true;
    slot->undo = undo;
    return 1;
}

int __wrap_rte_intr_fd_set(struct rte_intr_handle *handle, int fd)
{
    if (current != NULL) {
        current->handle_last = handle;
    }
    return __real_rte_intr_fd_set(handle, fd);
}

void *__wrap_mmap64(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    void *memory = __real_mmap64(address, bytes, protection, flags, fd, offset);

    if (current != NULL && memory != MAP_FAILED && fd >= 0 && (flags & MAP_SHARED) != 0) {
        current->shared = memory;
        current->shared_bytes = bytes;
        current->shared_count++;
    }
    return memory;
}

static void slot_call(struct dpdk_intr *slot)
{
    slot->calling = true;
    slot->call(slot->arg);
    slot->calling = false;
    if (slot->leaving) {
        struct dpdk_intr gone = *slot;

        memset(slot, 0, sizeof(*slot));
        if (gone.undo != NULL) {
            gone.undo((struct rte_intr_handle *)(uintptr_t)gone.handle, gone.arg);
        }
    }
}

static bool poll_set(const struct dpdk_intr_set *set, struct pollfd fds[DPDK_INTR_MAX])
{
    for (uint32_t i = 0; i < DPDK_INTR_MAX; i++) {
        fds[i] = (struct pollfd){
            .fd = set->slots[i].serial != 0 ? set->slots[i].fd : -1,
            .events = POLLIN,
        };
    }
    return poll(fds, DPDK_INTR_MAX, 0) > 0;
}

bool dpdk__intr_ready(const struct dpdk_intr_set *set)
{
    struct pollfd fds[DPDK_INTR_MAX];

    return poll_set(set, fds);
}

bool dpdk__intr_poll(struct dpdk_intr_set *set)
{
    struct pollfd fds[DPDK_INTR_MAX];
    uint64_t serials[DPDK_INTR_MAX];

    assert(current == set);
    for (uint32_t i = 0; i < DPDK_INTR_MAX; i++) {
        serials[i] = set->slots[i].serial;
    }
    if (!poll_set(set, fds)) {
        return false;
    }
    for (uint32_t i = 0; i < DPDK_INTR_MAX; i++) {
        /* A callback may have removed this one, or put another in its place. */
        if (fds[i].revents != 0 && set->slots[i].serial == serials[i]) {
            slot_call(&set->slots[i]);
        }
    }
    return true;
}

void dpdk__intr_clear(struct dpdk_intr_set *set)
{
    for (uint32_t i = 0; i < DPDK_INTR_MAX; i++) {
        if (set->slots[i].serial != 0) {
            (void)close(set->slots[i].fd);
            memset(&set->slots[i], 0, sizeof(set->slots[i]));
        }
    }
}
