/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance_side.h"

#include "conformance_remote.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOBODY 65534u
#define NODE_NOBODY 999u
#define ECHO_TRIES_MAX 1000000u
#define OVERSLEPT_MS 2000
#define TIMEOUT_MS_DEFAULT 60000u

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

struct link_peer link_conformance_address(uint16_t node_id)
{
    return (struct link_peer){
        .node_id = node_id,
        .mac = {2, 0, 0, 0, (uint8_t)(node_id >> 8), (uint8_t)node_id},
        .ipv4 = 0x0a4e0000u + node_id,
    };
}

/* --- frames
 * -------------------------------------------------------------------------------------*/

static uint8_t pattern(uint32_t number, uint32_t i)
{
    return (uint8_t)(number * 131u + i * 7u + (i >> 8));
}

void side_frame_fill(struct link_frame *frame, uint32_t number, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        frame->data[i] = pattern(number, i);
    }
    if (length >= sizeof(number)) {
        memcpy(frame->data, &number, sizeof(number));
    }
    frame->length = length;
}

/* Lengths of a run of frames: all sizes, large and small mixed. */
uint32_t side_length_of(const struct side_order *order, uint32_t number, uint32_t mtu_bytes)
{
    return order->length != 0 ? order->length : 4u + number * 2654435761u % (mtu_bytes - 3u);
}

/* Whatever a frame's tail was in; longer than any frame. */
static uint8_t tail_bytes[LINK_BURST_MAX][UINT16_MAX];

/* Moves the end of a payload out of the frame: at any place, all and nothing included. */
static void frame_cut(struct link_frame *frame, uint32_t number, uint32_t index)
{
    uint32_t keep = number % 11 == 0 ? 0 : number * 2246822519u % (frame->length + 1);

    frame->tail = tail_bytes[index];
    frame->tail_length = frame->length - keep;
    memcpy(tail_bytes[index], frame->data + keep, frame->tail_length);
    memset(frame->data + keep, 0x5a, frame->tail_length);
    frame->length = keep;
}

/* Nobody may look at the tails of frames that were taken. */
static void tails_spoil(uint32_t count, const uint32_t lengths[])
{
    for (uint32_t i = 0; i < count; i++) {
        memset(tail_bytes[i], 0xee, lengths[i]);
    }
}

bool side_frame_damaged(const struct link_frame *frame, uint32_t *out_number)
{
    if (frame->length < sizeof(*out_number)) {
        return true;
    }
    memcpy(out_number, frame->data, sizeof(*out_number));
    for (uint32_t i = sizeof(*out_number); i < frame->length; i++) {
        if (frame->data[i] != pattern(*out_number, i)) {
            return true;
        }
    }
    return false;
}

void side_frames_join(struct link_frame frames[], uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        if (frames[i].length + frames[i].tail_length > frames[i].capacity) {
            frames[i].length = 0; /* which is damage */
        } else if (frames[i].tail_length != 0) {
            memcpy(frames[i].data + frames[i].length, frames[i].tail, frames[i].tail_length);
            frames[i].length += frames[i].tail_length;
            frames[i].tail_length = 0;
        }
    }
}

static void frame_check(struct side *side, const struct link_frame *frame)
{
    struct side_answer *answer = &side->answer;
    uint32_t number = 0;

    answer->damage_count += side_frame_damaged(frame, &number);
    if (answer->received == 0) {
        answer->number_first = number;
    } else if (number != side->number_next) {
        answer->disorder_count++;
    }
    side->number_next = number + 1;
    answer->stranger_count += frame->peer != side->order.peer;
    answer->received++;
}

/* --- endpoints
 * ----------------------------------------------------------------------------------*/

/* One side writes, the other reads, perhaps in another process. An odd version is half written. */
struct note {
    _Atomic uint32_t version;
    struct link_endpoint endpoint;
};

static struct note *board; /* of side A, of side B */
static struct side *sides_here[2];

bool side_board_make(void)
{
    void *memory =
        mmap(NULL, 2 * sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    board = memory != MAP_FAILED ? memory : NULL;
    return board != NULL;
}

void side_board_clear(void)
{
    memset(board, 0, 2 * sizeof(*board));
}

static struct note *note_of(uint16_t node_id)
{
    return &board[node_id == LINK_CONFORMANCE_NODE_A ? 0 : 1];
}

void side_note_write(uint16_t node_id, const struct link_endpoint *endpoint)
{
    struct note *note = note_of(node_id);
    uint32_t version = atomic_load(&note->version) | 1u;

    atomic_store(&note->version, version);
    note->endpoint = *endpoint;
    atomic_store(&note->version, version + 1);
}

uint32_t side_note_read(uint16_t node_id, struct link_endpoint *out)
{
    struct note *note = note_of(node_id);
    uint32_t version = atomic_load(&note->version);

    if (version % 2 == 1) {
        return 0; /* it is being written */
    }
    *out = note->endpoint;
    return atomic_load(&note->version) == version ? version : 0;
}

static void endpoints_exchange(struct side *side)
{
    uint16_t peer = side->node_id == LINK_CONFORMANCE_NODE_A ? LINK_CONFORMANCE_NODE_B
                                                             : LINK_CONFORMANCE_NODE_A;
    struct link_endpoint endpoint;
    uint32_t version;

    if (!side->usable || side->link.ops->endpoint_get == NULL) {
        return;
    }
    if (side->link.ops->endpoint_get(&side->link, peer, &endpoint) == SF_OK &&
        memcmp(&endpoint, &side->told, sizeof(endpoint)) != 0) {
        side_note_write(side->node_id, &endpoint);
        side->told = endpoint;
    }
    version = side_note_read(peer, &endpoint);
    if (version != 0 && version != side->note_seen &&
        side->link.ops->endpoint_set(&side->link, peer, &endpoint) == SF_OK) {
        side->note_seen = version;
    }
}

/* --- steps: true when the order is done
 * ---------------------------------------------------------*/

/* A burst of whatever queue has one. */
static uint16_t receive(struct side *side, struct link_frame frames[], uint32_t wanted)
{
    uint16_t most = (uint16_t)(wanted < LINK_BURST_MAX ? wanted : LINK_BURST_MAX);
    uint16_t count = 0;

    for (uint16_t queue = 0; queue < side->queues && count == 0; queue++) {
        count = side->link.ops->rx_burst(&side->link, queue, frames, most);
    }
    side_frames_join(frames, count);
    return count;
}

static bool step_receive(struct side *side)
{
    const struct link_ops *ops = side->link.ops;
    struct link_frame frames[LINK_BURST_MAX];
    uint16_t count = receive(side, frames, side->order.receive_count - side->answer.received);

    for (uint16_t i = 0; i < count; i++) {
        frame_check(side, &frames[i]);
    }
    ops->frame_free(&side->link, frames, count);
    return side->answer.received == side->order.receive_count;
}

uint32_t side_to_nobody(uint32_t count)
{
    return (count + 5) / 7;
}

static bool step_send(struct side *side)
{
    const struct link_ops *ops = side->link.ops;
    const struct side_order *order = &side->order;
    struct link_frame frames[LINK_BURST_MAX];
    uint32_t left = order->send_count - side->answer.sent;
    uint16_t count = ops->frame_alloc(&side->link, frames,
                                      (uint16_t)(left < LINK_BURST_MAX ? left : LINK_BURST_MAX));
    uint32_t lengths[LINK_BURST_MAX] = {0};
    uint16_t taken;

    for (uint16_t i = 0; i < count; i++) {
        uint32_t index = side->answer.sent + i;
        uint32_t number = order->number + index - (order->mixed ? side_to_nobody(index) : 0);

        side_frame_fill(&frames[i], number, side_length_of(order, number, frames[i].capacity));
        frames[i].peer = order->mixed && index % 7 == 1 ? NODE_NOBODY : order->peer;
        if (order->tails) {
            frame_cut(&frames[i], number, i);
            lengths[i] = frames[i].tail_length;
        }
    }
    taken = ops->tx_burst(&side->link, side->order.queue, frames, count);
    tails_spoil(taken, lengths);
    if (side->answer.sent == 0) {
        side->answer.taken_first = taken;
    }
    side->answer.sent += taken;
    ops->frame_free(&side->link, frames + taken, count - taken);
    return side->answer.sent == order->send_count || (order->op == SIDE_FLOOD && taken < count);
}

static bool step_traffic(struct side *side)
{
    bool sent = side->answer.sent == side->order.send_count || step_send(side);
    bool received = side->answer.received == side->order.receive_count || step_receive(side);

    return sent && received;
}

/* Whatever the queue does not take at once is tried again: an echo loses nothing. */
static bool step_echo(struct side *side)
{
    const struct link_ops *ops = side->link.ops;
    struct link_frame frames[LINK_BURST_MAX];
    uint16_t count = receive(side, frames, side->order.receive_count - side->answer.received);
    uint32_t lengths[LINK_BURST_MAX] = {0};
    uint16_t sent = 0;

    for (uint16_t i = 0; i < count && side->order.tails; i++) {
        frame_cut(&frames[i], side->answer.received + i, i);
        lengths[i] = frames[i].tail_length;
    }
    for (uint32_t tries = 0; sent < count && tries < ECHO_TRIES_MAX; tries++) {
        uint16_t taken =
            ops->tx_burst(&side->link, side->order.queue, frames + sent, (uint16_t)(count - sent));

        sent = (uint16_t)(sent + taken);
        tails_spoil(sent, lengths);
    }
    ops->frame_free(&side->link, frames + sent, (uint16_t)(count - sent));
    side->answer.received += count;
    side->answer.sent += sent;
    return side->answer.received == side->order.receive_count;
}

/* Long enough for the other side to sleep, or so short that it is caught while it falls asleep. */
static void ping_pause(uint32_t number)
{
    uint32_t random = number * 2654435761u >> 20;

    if (number % 8 == 0) {
        (void)usleep(random / 16);
    }
    for (volatile uint32_t i = 0; i < random; i++) {
    }
}

static bool step_ping(struct side *side)
{
    struct side_answer *answer = &side->answer;

    if (answer->sent == answer->received) {
        ping_pause(answer->sent);
        if (side->link.ops->frame_alloc(&side->link, side->ping, 1) == 1) {
            side_frame_fill(&side->ping[0], answer->sent, 100);
            side->ping[0].peer = side->order.peer;
            answer->sent += side->link.ops->tx_burst(&side->link, side->order.queue, side->ping, 1);
        }
        return false;
    }
    side->order.receive_count = answer->received + 1;
    (void)step_receive(side);
    return answer->received == side->order.send_count;
}

/* Sleeps if every queue can wake it. */
static bool step_pong(struct side *side)
{
    const struct link_ops *ops = side->link.ops;
    struct pollfd waits[LINK_QUEUES_MAX];
    bool all = true;

    for (uint16_t queue = 0; queue < side->queues; queue++) {
        waits[queue] =
            (struct pollfd){.fd = ops->wait_fd(&side->link, queue, true), .events = POLLIN};
        all = all && waits[queue].fd >= 0;
    }
    if (all) {
        side->answer.slept++;
        side->answer.overslept += poll(waits, side->queues, OVERSLEPT_MS) == 0;
    }
    for (uint16_t queue = 0; queue < side->queues; queue++) {
        if (waits[queue].fd >= 0) {
            (void)ops->wait_fd(&side->link, queue, false);
        }
    }
    return step_echo(side);
}

static bool step_wait(struct side *side)
{
    side->answer.up = side->link.ops->is_up(&side->link);
    return side->answer.up == side->order.up;
}

static bool step_open(struct side *side)
{
    const struct side_order *order = &side->order;
    struct link_peer address = link_conformance_address(order->node_id);
    struct link_config config = {
        .name = side->driver->name,
        .device = order->device,
        .node_id = order->node_id,
        .ipv4 = address.ipv4,
        .mtu_bytes = order->mtu_bytes,
        .server = order->server,
        .shared = order->queues > 0,
        .queues = order->queues,
        .rx_tails = true,
        .seed = 1,
    };
    const char *text = "";

    memcpy(config.mac, address.mac, sizeof(config.mac));
    side->answer.status = SF_OK;
    if (!side->started && side->driver->start != NULL) {
        side->answer.status = side->driver->start(&text);
        side->started = side->answer.status == SF_OK;
    }
    if (side->answer.status == SF_OK && side->driver->ops != NULL) {
        side->link = (struct link){.ops = side->driver->ops};
    } else if (side->answer.status == SF_OK) {
        side->answer.status = link_init(&side->link, side->driver->name);
    }
    if (side->answer.status == SF_OK) {
        side->opened = true;
        side->node_id = order->node_id;
        side->note_seen = 0;
        memset(&side->told, 0, sizeof(side->told));
        side->answer.status = side->link.ops->open(&side->link, &config, &text);
        side->usable = side->answer.status == SF_OK;
    }
    if (side->usable) {
        struct link_caps caps;

        side->link.ops->query(&side->link, &caps);
        side->queues = caps.queues;
    }
    (void)snprintf(side->answer.text, sizeof(side->answer.text), "%s", text);
    return true;
}

static bool step_peer_add(struct side *side)
{
    struct link_peer peer = link_conformance_address(side->order.peer);

    side->answer.status = side->link.ops->peer_add(&side->link, &peer);
    side->note_seen = 0; /* who was forgotten has to be told again */
    return true;
}

static bool step_peer_remove(struct side *side)
{
    side->link.ops->peer_remove(&side->link, side->order.peer);
    return true;
}

/* taken_first: how many of one frame that is a byte too long were taken. */
static bool step_send_too_large(struct side *side)
{
    const struct link_ops *ops = side->link.ops;
    struct link_frame frame;

    if (ops->frame_alloc(&side->link, &frame, 1) != 1) {
        return false;
    }
    side_frame_fill(&frame, 0, frame.capacity);
    frame.length = frame.capacity + 1;
    if (side->order.tails) {
        frame.length = side->order.length;
        frame.tail = tail_bytes[0];
        frame.tail_length = frame.capacity + 1 - frame.length;
    }
    frame.peer = side->order.peer;
    side->answer.taken_first = ops->tx_burst(&side->link, side->order.queue, &frame, 1);
    ops->frame_free(&side->link, &frame, 1 - side->answer.taken_first);
    return true;
}

static bool step_garbage(struct side *side)
{
    return side->driver->garbage(&side->link, side->order.kind);
}

static bool step_hold(struct side *side)
{
    assert(side->held == NULL);
    side->held = calloc(SIDE_HELD_MAX, sizeof(*side->held));
    assert(side->held != NULL);
    side->held_count = 0;
    while (side->held_count < SIDE_HELD_MAX) {
        uint16_t count =
            side->link.ops->frame_alloc(&side->link, side->held + side->held_count, LINK_BURST_MAX);

        side->held_count += count;
        if (count < LINK_BURST_MAX) {
            break;
        }
    }
    side->answer.held = side->held_count;
    return true;
}

static bool step_release(struct side *side)
{
    side->link.ops->frame_free(&side->link, side->held, (uint16_t)side->held_count);
    free(side->held);
    side->held = NULL;
    return true;
}

static bool step_query(struct side *side)
{
    side->link.ops->query(&side->link, &side->answer.caps);
    side->link.ops->stats(&side->link, &side->answer.stats);
    return true;
}

static bool step_close(struct side *side)
{
    side->link.ops->close(&side->link);
    return true;
}

static bool step_stop(struct side *side)
{
    side->link.ops->stop(&side->link);
    return true;
}

static bool step_fini(struct side *side)
{
    side->link.ops->fini(&side->link);
    side->opened = false;
    side->usable = false;
    return true;
}

/* --- orders
 * -------------------------------------------------------------------------------------*/

static void order_begin(struct side *side, const struct side_order *order)
{
    side->order = *order;
    memset(&side->answer, 0, sizeof(side->answer));
    side->deadline_ms =
        now_ms() + (order->timeout_ms != 0 ? order->timeout_ms : TIMEOUT_MS_DEFAULT);
}

static bool order_step(struct side *side)
{
    static bool (*const steps[])(struct side *) = {
        [SIDE_OPEN] = step_open,
        [SIDE_PEER_ADD] = step_peer_add,
        [SIDE_PEER_REMOVE] = step_peer_remove,
        [SIDE_WAIT] = step_wait,
        [SIDE_TRAFFIC] = step_traffic,
        [SIDE_ECHO] = step_echo,
        [SIDE_FLOOD] = step_send,
        [SIDE_PING] = step_ping,
        [SIDE_PONG] = step_pong,
        [SIDE_QUEUES] = side_queues_step,
        [SIDE_SEND_TOO_LARGE] = step_send_too_large,
        [SIDE_GARBAGE] = step_garbage,
        [SIDE_HOLD] = step_hold,
        [SIDE_RELEASE] = step_release,
        [SIDE_QUERY] = step_query,
        [SIDE_CLOSE] = step_close,
        [SIDE_STOP] = step_stop,
        [SIDE_FINI] = step_fini,
    };
    bool done;

    done = steps[side->order.op](side);
    for (size_t i = 0; i < sizeof(sides_here) / sizeof(sides_here[0]); i++) {
        if (sides_here[i] != NULL) {
            endpoints_exchange(sides_here[i]);
        }
    }
    if (done) {
        return true;
    }
    side->answer.timed_out = now_ms() >= side->deadline_ms;
    return side->answer.timed_out;
}

static bool bytes_read(int fd, void *to, size_t count)
{
    for (size_t got = 0; got < count;) {
        ssize_t n = read(fd, (uint8_t *)to + got, count - got);

        if (n <= 0) {
            return false;
        }
        got += (size_t)n;
    }
    return true;
}

/* A side in its own process: orders in, answers out, and never deaf to its link. */
static void process_main(struct side *side)
{
    struct pollfd wait = {.fd = side->fd, .events = POLLIN};
    struct side_order order;

    for (;;) {
        if (poll(&wait, 1, side->opened ? 0 : 100) == 0) {
            if (side->usable) {
                (void)side->link.ops->is_up(&side->link);
                endpoints_exchange(side);
                (void)usleep(200);
            }
            continue;
        }
        if (!bytes_read(side->fd, &order, sizeof(order))) {
            _exit(0);
        }
        order_begin(side, &order);
        while (!order_step(side)) {
            (void)sched_yield();
        }
        if (write(side->fd, &side->answer, sizeof(side->answer)) != (ssize_t)sizeof(side->answer)) {
            _exit(1);
        }
    }
}

static void privileges_drop(void)
{
    if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) != 0 || prctl(PR_SET_DUMPABLE, 1) != 0) {
        perror("becoming nobody");
        _exit(1);
    }
}

_Noreturn void side_process(const struct link_conformance *driver, uint16_t node_id, int fd,
                            bool nobody)
{
    static struct side side;

    side.driver = driver;
    side.fd = fd;
    if (driver->enter != NULL && !driver->enter(node_id)) {
        perror("entering a node's place");
        _exit(1);
    }
    if (nobody) {
        privileges_drop();
    }
    sides_here[0] = &side;
    process_main(&side);
    _exit(0);
}

static void process_start(struct side *side, uint16_t node_id, bool nobody)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        abort();
    }
    side->pid = fork();
    if (side->pid < 0) {
        abort();
    }
    if (side->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(fds[0]);
        side_process(side->driver, node_id, fds[1], nobody);
    }
    (void)close(fds[1]);
    side->fd = fds[0];
}

void side_init(struct side *side, const struct link_conformance *driver, uint16_t node_id,
               bool nobody)
{
    memset(side, 0, sizeof(*side));
    side->driver = driver;
    side->fd = -1;
    if (!driver->processes) {
        sides_here[node_id == LINK_CONFORMANCE_NODE_A ? 0 : 1] = side;
    } else if (node_id == LINK_CONFORMANCE_NODE_B && remote_is_used()) {
        side->remote = true;
        side->fd = remote_side_connect();
    } else {
        process_start(side, node_id, nobody);
    }
}

void side_kill(struct side *side)
{
    if (side->pid != 0) {
        (void)kill(side->pid, SIGKILL);
        (void)waitpid(side->pid, NULL, 0);
    }
    if (side->pid != 0 || side->remote) {
        (void)close(side->fd); /* a remote one ends by it */
    }
    side->pid = 0;
    side->remote = false;
    side->fd = -1;
}

void side_fini(struct side *side)
{
    if (side->pid == 0 && side->opened) {
        if (side->held != NULL) {
            (void)step_release(side);
        }
        side->link.ops->close(&side->link);
        side->link.ops->stop(&side->link);
        side->link.ops->fini(&side->link);
    }
    side_kill(side);
    for (size_t i = 0; i < sizeof(sides_here) / sizeof(sides_here[0]); i++) {
        sides_here[i] = sides_here[i] != side ? sides_here[i] : NULL;
    }
    memset(side, 0, sizeof(*side));
}

static void answer_await(struct side *side)
{
    if (!bytes_read(side->fd, &side->answer, sizeof(side->answer))) {
        memset(&side->answer, 0, sizeof(side->answer));
        side->answer.status = SF_IO;
        side->answer.timed_out = true;
        (void)snprintf(side->answer.text, sizeof(side->answer.text), "the process has ended");
    }
}

static void order_send(struct side *side, const struct side_order *order)
{
    if (send(side->fd, order, sizeof(*order), MSG_NOSIGNAL) != (ssize_t)sizeof(*order)) {
        (void)fprintf(stderr, "# a side does not take orders\n");
    }
}

void sides_do(struct side *a, const struct side_order *order_a, struct side *b,
              const struct side_order *order_b)
{
    bool done_a = false;
    bool done_b = b == NULL;

    if (a->driver->processes) {
        order_send(a, order_a);
        if (b != NULL) {
            order_send(b, order_b);
            answer_await(b);
        }
        answer_await(a);
        return;
    }
    order_begin(a, order_a);
    if (b != NULL) {
        order_begin(b, order_b);
    }
    while (!done_a || !done_b) {
        done_a = done_a || order_step(a);
        done_b = done_b || order_step(b);
    }
}

struct side_answer side_do(struct side *side, const struct side_order *order)
{
    sides_do(side, order, NULL, NULL);
    return side->answer;
}
