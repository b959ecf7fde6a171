/* SPDX-License-Identifier: Apache-2.0 */
/* The order SIDE_QUEUES: a thread for each queue of a link; see conformance_side.h. */
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "conformance_side.h"
#include "link/dpdk.h"

#define CUT_US 30000u /* from the begin to close, from close to stop, and from there to the end */
#define NODE_PASSING 700u

struct run {
    struct side *side;
    uint64_t deadline_ns;
    uint32_t received; /* atomic: by all */
    uint32_t over;     /* atomic: all shall end */
};

struct user {
    struct run *run;
    pthread_t thread;
    uint16_t queue;
    uint32_t sent, received, damage_count, disorder_count, stranger_count;
    uint32_t seen[LINK_QUEUES_MAX]; /* of each flow: how many came here */
    uint32_t next[LINK_QUEUES_MAX]; /* the least number that may come */
};

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void user_send(struct user *user)
{
    struct side *side = user->run->side;
    const struct link_ops *ops = side->link.ops;
    const struct side_order *order = &side->order;
    uint32_t left = order->cut ? LINK_BURST_MAX : order->send_count - user->sent;
    struct link_frame frames[LINK_BURST_MAX];
    uint16_t count = ops->frame_alloc(&side->link, frames,
                                      (uint16_t)(left < LINK_BURST_MAX ? left : LINK_BURST_MAX));
    uint16_t taken;

    for (uint16_t i = 0; i < count; i++) {
        uint32_t number =
            user->queue * SIDE_FLOW + order->number + (user->sent + i) % (SIDE_FLOW / 2);

        side_frame_fill(&frames[i], number, side_length_of(order, number, frames[i].capacity));
        frames[i].peer = order->peer;
    }
    taken = ops->tx_burst(&side->link, user->queue, frames, count);
    user->sent += taken;
    ops->frame_free(&side->link, frames + taken, count - taken);
}

static void frame_take(struct user *user, const struct link_frame *frame)
{
    uint32_t number = 0;
    uint32_t flow;

    user->damage_count += side_frame_damaged(frame, &number);
    user->stranger_count += frame->peer != user->run->side->order.peer;
    flow = number / SIDE_FLOW;
    if (flow >= LINK_QUEUES_MAX) {
        user->damage_count++;
        return;
    }
    user->disorder_count += number < user->next[flow];
    user->next[flow] = number + 1;
    user->seen[flow]++;
}

static void user_receive(struct user *user)
{
    struct side *side = user->run->side;
    struct link_frame frames[LINK_BURST_MAX];
    uint16_t count = side->link.ops->rx_burst(&side->link, user->queue, frames, LINK_BURST_MAX);

    side_frames_join(frames, count);
    for (uint16_t i = 0; i < count; i++) {
        frame_take(user, &frames[i]);
    }
    side->link.ops->frame_free(&side->link, frames, count);
    user->received += count;
    if (count > 0) {
        (void)__atomic_add_fetch(&user->run->received, count, __ATOMIC_RELAXED);
    }
}

static bool user_done(const struct user *user)
{
    const struct side_order *order = &user->run->side->order;

    if (__atomic_load_n(&user->run->over, __ATOMIC_RELAXED) != 0) {
        return true;
    }
    return !order->cut && user->sent == order->send_count &&
           __atomic_load_n(&user->run->received, __ATOMIC_RELAXED) >= order->receive_count;
}

static void *user_main(void *arg)
{
    struct user *user = arg;

    link_dpdk_thread_begin();
    while (!user_done(user) && now_ns() < user->run->deadline_ns) {
        if (user->run->side->order.cut || user->sent < user->run->side->order.send_count) {
            user_send(user);
        }
        user_receive(user);
        (void)sched_yield();
    }
    link_dpdk_thread_end();
    return NULL;
}

/* What the link's own thread does meanwhile. */
static void control_use(struct side *side)
{
    const struct link_ops *ops = side->link.ops;
    struct link_peer passing = link_conformance_address(NODE_PASSING);
    struct link_stats stats;

    side->answer.up = ops->is_up(&side->link);
    ops->stats(&side->link, &stats);
    if (ops->peer_add(&side->link, &passing) == SF_OK) {
        ops->peer_remove(&side->link, NODE_PASSING);
    }
    (void)usleep(200);
}

static void control_until_done(struct run *run)
{
    const struct side_order *order = &run->side->order;

    while (__atomic_load_n(&run->received, __ATOMIC_RELAXED) < order->receive_count &&
           now_ns() < run->deadline_ns) {
        control_use(run->side);
    }
}

static void control_cut(struct run *run)
{
    uint64_t end_ns = now_ns() + CUT_US * 1000ull;

    while (now_ns() < end_ns) {
        control_use(run->side);
    }
    run->side->link.ops->close(&run->side->link);
    (void)usleep(CUT_US);
    run->side->link.ops->stop(&run->side->link);
    (void)usleep(CUT_US);
    __atomic_store_n(&run->over, 1, __ATOMIC_RELAXED);
}

/* A flow that came on two queues has no order. */
static void answer_sum(struct side_answer *answer, const struct user users[], uint16_t count)
{
    uint32_t places[LINK_QUEUES_MAX] = {0};

    for (uint16_t i = 0; i < count; i++) {
        answer->sent += users[i].sent;
        answer->received += users[i].received;
        answer->damage_count += users[i].damage_count;
        answer->disorder_count += users[i].disorder_count;
        answer->stranger_count += users[i].stranger_count;
        answer->queue_received[i] = users[i].received;
        for (uint32_t flow = 0; flow < LINK_QUEUES_MAX; flow++) {
            places[flow] += users[i].seen[flow] > 0;
        }
    }
    for (uint32_t flow = 0; flow < LINK_QUEUES_MAX; flow++) {
        answer->disorder_count += places[flow] > 1;
    }
}

bool side_queues_step(struct side *side)
{
    struct user users[LINK_QUEUES_MAX];
    struct run run = {
        .side = side,
        .deadline_ns = now_ns() + side->order.timeout_ms * 1000000ull,
    };

    memset(users, 0, sizeof(users));
    for (uint16_t i = 0; i < side->queues; i++) {
        users[i].run = &run;
        users[i].queue = i;
        if (pthread_create(&users[i].thread, NULL, user_main, &users[i]) != 0) {
            side->answer.status = SF_NOMEM;
            _exit(1);
        }
    }
    if (side->order.cut) {
        control_cut(&run);
    } else {
        control_until_done(&run);
    }
    for (uint16_t i = 0; i < side->queues; i++) {
        (void)pthread_join(users[i].thread, NULL);
    }
    answer_sum(&side->answer, users, side->queues);
    return true;
}
