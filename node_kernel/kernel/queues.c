/* SPDX-License-Identifier: Apache-2.0 */
#include "queues.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "line.h"
#include "link/dpdk.h"
#include "log.h"

#define TX_FRAMES_TURN 256u /* pulled from the fabric a turn */
#define LOCK_FRAMES 8u      /* received with the lock held at a stretch */

/* A worker's. Lines change while it stands still; the rest is its own, but the stats are read. */
struct lane {
    uint32_t line_count;
    uint64_t work_ns;  /* when something last came or went */
    uint64_t sleep_ns; /* length of the next sleep, if some queue cannot wake it */
    bool unsent;       /* frames wait for a driver */
    bool stuck;        /* a driver had no room in the last turn */
    struct queues_stats stats;
    struct line *lines[QUEUES_LINES_MAX];
    struct pollfd fds[QUEUES_LINES_MAX + 1];
} __attribute__((aligned(64)));

struct queues_link {
    struct link *link;
    uint16_t queue_count;
    uint8_t homes[LINK_QUEUES_MAX];      /* workers */
    struct line *lines[LINK_QUEUES_MAX]; /* NULL: worker 0's */
};

struct queues {
    struct nk_kernel *kernel;
    uint32_t worker_count;
    uint32_t queue_counts[NK_WORKERS_MAX]; /* of each worker, the first included */
    struct lane *lanes[NK_WORKERS_MAX];    /* by worker; [0]: NULL */
    /* Locked. */
    const struct link *peer_links[FAB_NODES_MAX]; /* NULL: not a peer */
    struct line *peer_lines[FAB_NODES_MAX];       /* NULL: not a peer, or worker 0 sends */
};

static void stat_add(uint64_t *stat, uint64_t count)
{
    __atomic_store_n(stat, *stat + count, __ATOMIC_RELAXED);
}

/* --- receiving -----------------------------------------------------------------------------------
 */

static void frames_take(struct queues *queues, struct lane *lane, const struct line *line,
                        const struct link_frame frames[], uint16_t count, uint64_t now_ns)
{
    struct fab_node *fabric = nk_kernel_fabric(queues->kernel);

    nk_lock(queues->kernel);
    for (uint16_t i = 0; i < count; i++) {
        uint16_t peer = frames[i].peer;

        if (peer > 0 && peer < FAB_NODES_MAX && queues->peer_links[peer] == line->link) {
            fab_rx_tailed(fabric, peer, frames[i].data, frames[i].length, frames[i].tail,
                          frames[i].tail_length, queues_now(fabric, now_ns));
        } else {
            stat_add(&lane->stats.rx_dropped, 1);
        }
        if (i % LOCK_FRAMES == LOCK_FRAMES - 1) { /* other workers wait for the lock */
            nk_unlock(queues->kernel);
            nk_lock(queues->kernel);
        }
    }
    nk_unlock(queues->kernel);
}

static bool lane_rx(struct queues *queues, struct lane *lane, uint64_t now_ns)
{
    struct link_frame frames[LINK_BURST_MAX];
    bool any = false;

    for (uint32_t i = 0; i < lane->line_count; i++) {
        struct line *line = lane->lines[i];
        struct link *link = line->link;
        uint16_t count = link->ops->rx_burst(link, line->queue, frames, line->burst_max);

        if (count > 0) {
            frames_take(queues, lane, line, frames, count, now_ns);
            link->ops->frame_free(link, frames, count);
            stat_add(&lane->stats.rx_frames, count);
            any = true;
        }
    }
    return any;
}

/* --- sending -------------------------------------------------------------------------------------
 */

/* Locked. Moves one frame of one peer. False: the driver has no room. */
static bool lane_tx_one(struct queues *queues, struct lane *lane, uint16_t peer, uint64_t now_ns)
{
    struct fab_node *fabric = nk_kernel_fabric(queues->kernel);
    struct line *line = queues->peer_lines[peer];

    if (line == NULL) { /* the peer is about to be removed; its frames must not stop the others */
        uint8_t nowhere[FAB_MTU_BYTES_MAX];

        (void)fab_tx(fabric, peer, nowhere, sizeof(nowhere), now_ns);
        stat_add(&lane->stats.tx_dropped, 1);
        return true;
    }
    return line_pull(line, fabric, peer, now_ns) != LINE_STUCK;
}

/* Locked, see the header. */
static void lines_flush_tails(struct lane *lane)
{
    for (uint32_t i = 0; i < lane->line_count; i++) {
        struct line *line = lane->lines[i];

        if (line_has_tails(line)) {
            (void)line_flush(line);
            line_settle(line);
        }
    }
}

static bool lane_tx(struct queues *queues, struct lane *lane, uint32_t worker, uint64_t now_ns)
{
    struct fab_node *fabric = nk_kernel_fabric(queues->kernel);
    uint32_t count = 0;
    uint32_t stuck = 0;

    if (!fab_lane_waits(fabric, worker) && !lane->unsent) {
        return false;
    }
    nk_lock(queues->kernel);
    now_ns = queues_now(fabric, now_ns);
    while (count + stuck < TX_FRAMES_TURN && stuck <= lane->line_count) {
        uint16_t peer = fab_lane_pending(fabric, worker);

        if (peer == 0) {
            break;
        }
        if (lane_tx_one(queues, lane, peer, now_ns)) {
            count++;
        } else {
            stuck++;
        }
    }
    lines_flush_tails(lane);
    nk_unlock(queues->kernel);
    lane->unsent = false;
    for (uint32_t i = 0; i < lane->line_count; i++) {
        (void)line_flush(lane->lines[i]);
        lane->unsent |= lane->lines[i]->filled > 0;
    }
    lane->stuck = stuck > 0;
    return count > 0;
}

/* --- the poller ----------------------------------------------------------------------------------
 */

static bool lane_poll(void *arg, uint32_t worker, uint64_t now_ns)
{
    struct queues *queues = arg;
    struct lane *lane = queues->lanes[worker];
    struct fab_node *fabric = nk_kernel_fabric(queues->kernel);
    bool any;

    if (lane->line_count == 0) {
        return false;
    }
    any = lane_rx(queues, lane, now_ns);
    if (now_ns >= fab_next(fabric)) {
        nk_lock(queues->kernel);
        (void)fab_tick(fabric, queues_now(fabric, now_ns));
        nk_unlock(queues->kernel);
    }
    any |= lane_tx(queues, lane, worker, now_ns);
    if (fab_settles(fabric)) {
        nk_lock(queues->kernel);
        fab_settle(fabric);
        nk_unlock(queues->kernel);
    }
    if (any) {
        lane->work_ns = now_ns;
        lane->sleep_ns = QUEUES_SLEEP_FIRST_NS;
    }
    return any;
}

/* Adds descriptors to sleep on. */
static enum line_armed lane_arm(struct lane *lane, nfds_t *count)
{
    enum line_armed all = LINE_ARMED;

    for (uint32_t i = 0; i < lane->line_count && all != LINE_READY; i++) {
        enum line_armed one = line_arm(lane->lines[i], lane->fds, count);

        all = one > all ? one : all;
    }
    return all;
}

static void lane_disarm(struct lane *lane)
{
    for (uint32_t i = 0; i < lane->line_count; i++) {
        line_disarm(lane->lines[i]);
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How long at most, but for what it is woken by. */
static uint64_t lane_sleep_ns(struct lane *lane, enum line_armed armed, uint64_t now_ns)
{
    bool quiet = now_ns - lane->work_ns >= QUEUES_QUIET_NS;
    uint64_t ns = lane->sleep_ns;

    if (armed == LINE_READY) {
        return 0;
    }
    if (lane->unsent || lane->stuck) {
        return QUEUES_SLEEP_FIRST_NS;
    }
    if (armed == LINE_ARMED) {
        return QUEUES_SLEEP_IDLE_NS;
    }
    lane->sleep_ns = earlier(2 * ns, quiet ? QUEUES_SLEEP_QUIET_NS : QUEUES_SLEEP_NS);
    return ns;
}

static void lane_sleep(void *arg, uint32_t worker, int wake_fd, uint64_t deadline_ns)
{
    struct queues *queues = arg;
    struct lane *lane = queues->lanes[worker];
    uint64_t now_ns = node_now_ns();
    struct timespec wait;
    nfds_t count = 1;

    lane->fds[0] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
    if (lane->line_count > 0) {
        uint64_t ns = lane_sleep_ns(lane, lane_arm(lane, &count), now_ns);

        deadline_ns = earlier(deadline_ns, now_ns + ns);
        deadline_ns = earlier(deadline_ns, fab_next(nk_kernel_fabric(queues->kernel)));
    }
    deadline_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    wait.tv_sec = (time_t)(deadline_ns / 1000000000u);
    wait.tv_nsec = (long)(deadline_ns % 1000000000u);
    /* EINTR and errors alike: whoever called looks at everything anyway. */
    (void)ppoll(lane->fds, count, &wait, NULL);
    lane_disarm(lane);
    stat_add(&lane->stats.sleeps, 1);
}

static const struct nk_poller poller = {
    .thread_begin = link_dpdk_thread_begin,
    .thread_end = link_dpdk_thread_end,
    .poll = lane_poll,
    .sleep = lane_sleep,
};

/* --- homes ---------------------------------------------------------------------------------------
 */

/* The worker that a queue goes to. */
static uint32_t home_of(const struct queues *queues, uint16_t queue_count, uint16_t queue)
{
    uint32_t home = 0;

    if (queue_count > 1) {
        return queue == 0 ? 0 : 1 + (queue - 1u) % (queues->worker_count - 1);
    }
    for (uint32_t i = 1; i < queues->worker_count; i++) {
        home = queues->queue_counts[i] < queues->queue_counts[home] ? i : home;
    }
    return home;
}

static bool line_make(struct queues_link *spread, struct lane *lane, uint16_t queue,
                      uint16_t burst_max)
{
    struct line *line = calloc(1, sizeof(*line));

    if (line == NULL) {
        return false;
    }
    line_init(line, spread->link, queue, burst_max, &lane->stats.tx_frames);
    spread->lines[queue] = line;
    return true;
}

static void spread_free(struct queues_link *spread)
{
    for (uint16_t i = 0; i < spread->queue_count; i++) {
        free(spread->lines[i]);
    }
    free(spread);
}

/* Chooses homes; the lines are not in use yet. NULL: no memory. */
static struct queues_link *spread_make(const struct queues *queues, struct link *link,
                                       const struct link_caps *caps)
{
    struct queues_link *spread = calloc(1, sizeof(*spread));
    bool made = true;

    if (spread == NULL) {
        return NULL;
    }
    spread->link = link;
    spread->queue_count = caps->queues;
    for (uint16_t i = 0; made && i < caps->queues; i++) {
        uint32_t home = home_of(queues, caps->queues, i);
        struct lane *lane = queues->lanes[home];

        spread->homes[i] = (uint8_t)home;
        made = lane == NULL || (lane->line_count + caps->queues <= QUEUES_LINES_MAX &&
                                line_make(spread, lane, i, caps->burst_max));
    }
    if (!made) {
        spread_free(spread);
        return NULL;
    }
    return spread;
}

sf_status queues_add(struct queues *queues, struct link *link, struct queues_link **out_link)
{
    struct queues_link *spread;
    struct link_caps caps;

    link->ops->query(link, &caps);
    if (!caps.shared) {
        return SF_UNSUPPORTED;
    }
    spread = spread_make(queues, link, &caps);
    if (spread == NULL) {
        return SF_NOMEM;
    }
    nk_pause(queues->kernel);
    for (uint16_t i = 0; i < spread->queue_count; i++) {
        struct lane *lane = queues->lanes[spread->homes[i]];

        queues->queue_counts[spread->homes[i]]++;
        if (spread->lines[i] != NULL) {
            lane->lines[lane->line_count++] = spread->lines[i];
        }
    }
    nk_resume(queues->kernel);
    *out_link = spread;
    return SF_OK;
}

static void line_forget(struct lane *lane, const struct line *line)
{
    uint32_t at = 0;

    while (lane->lines[at] != line) {
        at++;
        assert(at < lane->line_count);
    }
    lane->lines[at] = lane->lines[--lane->line_count];
}

void queues_remove(struct queues *queues, struct queues_link *link)
{
    nk_pause(queues->kernel);
    for (uint16_t i = 0; i < link->queue_count; i++) {
        struct line *line = link->lines[i];

        queues->queue_counts[link->homes[i]]--;
        if (line != NULL) {
            line_forget(queues->lanes[link->homes[i]], line);
            line_fini(line);
        }
    }
    nk_resume(queues->kernel);
    spread_free(link);
}

uint16_t queues_here(const struct queues_link *link)
{
    return link->homes[0] == 0 ? 1 : 0;
}

uint8_t queues_peer(struct queues *queues, uint16_t peer_id, struct queues_link *link)
{
    uint32_t queue;

    queues->peer_links[peer_id] = link != NULL ? link->link : NULL;
    queues->peer_lines[peer_id] = NULL;
    if (link == NULL) {
        return 0;
    }
    queue = (fab_node_id(nk_kernel_fabric(queues->kernel)) + (uint32_t)peer_id) % link->queue_count;
    queues->peer_lines[peer_id] = link->lines[queue];
    return link->homes[queue];
}

/* --- life ----------------------------------------------------------------------------------------
 */

static void queues_free(struct queues *queues)
{
    for (uint32_t i = 1; i < queues->worker_count; i++) {
        free(queues->lanes[i]);
    }
    free(queues);
}

static sf_status lanes_make(struct queues *queues)
{
    for (uint32_t i = 1; i < queues->worker_count; i++) {
        queues->lanes[i] = aligned_alloc(_Alignof(struct lane), sizeof(struct lane));
        if (queues->lanes[i] == NULL) {
            return SF_NOMEM;
        }
        memset(queues->lanes[i], 0, sizeof(struct lane));
        queues->lanes[i]->sleep_ns = QUEUES_SLEEP_FIRST_NS;
    }
    return SF_OK;
}

sf_status queues_create(struct nk_kernel *kernel, struct queues **out_queues)
{
    struct queues *queues = calloc(1, sizeof(*queues));
    struct nk_stats stats;
    sf_status st;

    if (queues == NULL) {
        return SF_NOMEM;
    }
    nk_query(kernel, &stats);
    assert(stats.worker_count > 1);
    queues->kernel = kernel;
    queues->worker_count = stats.worker_count;
    st = lanes_make(queues);
    if (st == SF_OK) {
        st = nk_poller_set(kernel, &poller, queues);
    }
    if (st != SF_OK) {
        queues_free(queues);
        return st;
    }
    *out_queues = queues;
    return SF_OK;
}

void queues_destroy(struct queues *queues)
{
    sf_status st;

    if (queues == NULL) {
        return;
    }
    st = nk_poller_set(queues->kernel, NULL, NULL);
    assert(st == SF_OK); /* taking away needs nothing */
    (void)st;
    queues_free(queues);
}

void queues_query(const struct queues *queues, struct queues_stats *out_stats)
{
    *out_stats = (struct queues_stats){0};
    for (uint32_t i = 1; i < queues->worker_count; i++) {
        const struct queues_stats *lane = &queues->lanes[i]->stats;

        out_stats->rx_frames += __atomic_load_n(&lane->rx_frames, __ATOMIC_RELAXED);
        out_stats->tx_frames += __atomic_load_n(&lane->tx_frames, __ATOMIC_RELAXED);
        out_stats->rx_dropped += __atomic_load_n(&lane->rx_dropped, __ATOMIC_RELAXED);
        out_stats->tx_dropped += __atomic_load_n(&lane->tx_dropped, __ATOMIC_RELAXED);
        out_stats->sleeps += __atomic_load_n(&lane->sleeps, __ATOMIC_RELAXED);
    }
}
