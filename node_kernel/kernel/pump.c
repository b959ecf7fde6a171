/* SPDX-License-Identifier: Apache-2.0 */
#include "pump.h"

#include <assert.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "pump_private.h"

#define RUN_BUDGET 64u      /* resumptions of SIPs a turn */
#define TX_FRAMES_TURN 256u /* frames pulled from the fabric a turn, over all links */
#define IDLE_POLLS 7u
#define LOCK_FRAMES 8u /* received with the lock held at a stretch */
#define SLEEP_FIRST_NS 50000u
#define YIELDS_UNUSED_MAX 8u

static void on_said(void *arg);

/* --- links --------------------------------------------------------------------------------------
 */

struct pump_link *pump__link_find(struct pump *pump, uint32_t number)
{
    for (uint32_t i = 0; i < pump->link_count; i++) {
        if (pump->links[i]->number == number) {
            return pump->links[i];
        }
    }
    return NULL;
}

/* What was received goes back to the driver: late, because an answer may be on its way first. */
static void frames_give_back(struct pump *pump)
{
    if (pump->received_count > 0) {
        struct link *link = &pump->received_on->link;

        link->ops->frame_free(link, pump->received, pump->received_count);
        pump->received_count = 0;
    }
}

/* Other workers get their queues of it, if there are any. */
static void link_spread(struct pump *pump, struct pump_link *l)
{
    l->polled = l->caps.queues;
    if (pump->queues != NULL && queues_add(pump->queues, &l->link, &l->spread) == SF_OK) {
        l->polled = queues_here(l->spread);
    }
}

static void link_gather(struct pump *pump, struct pump_link *l)
{
    if (l->spread != NULL) {
        queues_remove(pump->queues, l->spread);
        l->spread = NULL;
        l->polled = l->caps.queues;
    }
}

void pump__link_close(struct pump *pump, struct pump_link *l)
{
    uint32_t at = 0;

    pump__peers_forget(pump, l);
    reads_remove(&pump->reads, &l->link);
    link_gather(pump, l);
    frames_give_back(pump);
    line_fini(&l->line);
    l->link.ops->close(&l->link);
    l->link.ops->stop(&l->link);
    l->link.ops->fini(&l->link);
    while (pump->links[at] != l) {
        at++;
        assert(at < pump->link_count);
    }
    pump->links[at] = pump->links[--pump->link_count];
    free(l);
}

static bool link_same(const struct pump_link *l, const char *driver,
                      const struct link_config *config)
{
    return strcmp(l->driver, driver) == 0 && strcmp(l->device, config->device) == 0 &&
           l->config.server == config->server && l->config.node_id == config->node_id;
}

static sf_status link_make(struct pump *pump, uint32_t number, const char *driver,
                           const struct link_config *config, char *text, size_t text_capacity)
{
    struct pump_link *l = calloc(1, sizeof(*l));
    struct link_config wanted = *config;
    const char *why = "";
    sf_status st;

    if (l == NULL) {
        return SF_NOMEM;
    }
    wanted.rx_tails = true;
    st = link_init(&l->link, driver);
    if (st != SF_OK) {
        snprintf(text, text_capacity, "this build has no link driver '%s'", driver);
        free(l);
        return SF_UNSUPPORTED;
    }
    st = l->link.ops->open(&l->link, &wanted, &why);
    if (st != SF_OK) {
        snprintf(text, text_capacity, "link %u (%s %s): %s", number, driver, config->device,
                 why != NULL ? why : sf_status_text(st));
        l->link.ops->fini(&l->link);
        free(l);
        return st;
    }
    l->link.ops->query(&l->link, &l->caps);
    if (l->caps.mtu_bytes < FAB_MTU_BYTES_MIN) {
        snprintf(text, text_capacity,
                 "link %u (%s %s): frames of %u bytes; the fabric needs %u: ask for more, or raise "
                 "the network's MTU",
                 number, driver, config->device, l->caps.mtu_bytes, FAB_MTU_BYTES_MIN);
        l->link.ops->close(&l->link);
        l->link.ops->stop(&l->link);
        l->link.ops->fini(&l->link);
        free(l);
        return SF_UNSUPPORTED;
    }
    if (l->caps.burst_max > LINK_BURST_MAX) {
        l->caps.burst_max = LINK_BURST_MAX;
    }
    snprintf(l->driver, sizeof(l->driver), "%s", driver);
    snprintf(l->device, sizeof(l->device), "%s", config->device);
    l->config = *config;
    l->number = number;
    line_init(&l->line, &l->link, 0, (uint16_t)l->caps.burst_max, &pump->stats.tx_frames);
    link_spread(pump, l);
    pump->links[pump->link_count++] = l;
    return SF_OK;
}

sf_status pump_link_open(struct pump *pump, uint32_t number, const char *driver,
                         const struct link_config *config, char *text, size_t text_capacity)
{
    struct pump_link *l = pump__link_find(pump, number);

    if (number == 0 || number > UINT16_MAX || strlen(config->device) > PUMP_DEVICE_BYTES_MAX) {
        snprintf(text, text_capacity, "link number or device name out of range");
        return SF_BADARG;
    }
    if (l != NULL) {
        if (link_same(l, driver, config)) {
            return SF_OK;
        }
        pump__link_close(pump, l);
    }
    if (pump->link_count == PUMP_LINKS_MAX) {
        snprintf(text, text_capacity, "there are %u links already", PUMP_LINKS_MAX);
        return SF_LIMIT;
    }
    return link_make(pump, number, driver, config, text, text_capacity);
}

void pump_link_walk(struct pump *pump, void (*visit)(void *arg, const struct pump_link_info *info),
                    void *arg)
{
    for (uint32_t i = 0; i < pump->link_count; i++) {
        struct pump_link *l = pump->links[i];
        struct pump_link_info info = {
            .number = l->number,
            .driver = l->driver,
            .device = l->device,
            .ipv4 = l->config.ipv4,
            .mtu_bytes = l->caps.mtu_bytes,
            .up = l->link.ops->is_up(&l->link),
            .many_peers = l->caps.many_peers,
            .queues = l->caps.queues,
            .peer = !l->caps.many_peers && l->peer_count > 0 ? l->peer : 0,
        };
        struct link_stats stats;

        info.about = l->link.ops->about != NULL ? l->link.ops->about(&l->link) : "";
        l->link.ops->stats(&l->link, &stats);
        info.up_events = stats.up_events;
        info.down_events = stats.down_events;
        memcpy(info.mac, l->caps.mac, sizeof(info.mac));
        visit(arg, &info);
    }
}

/* Whoever cannot have help does it alone. */
static void kernel_spread(struct pump *pump)
{
    struct nk_stats stats;

    nk_query(pump->kernel, &stats);
    if (stats.worker_count == 1) {
        return;
    }
    if (queues_create(pump->kernel, &pump->queues) != SF_OK) {
        node_log("links: no memory or descriptors for more than one worker");
        return;
    }
    for (uint32_t i = 0; i < pump->link_count; i++) {
        link_spread(pump, pump->links[i]);
    }
}

void pump_set_kernel(struct pump *pump, struct nk_kernel *kernel)
{
    for (uint32_t id = 1; id < FAB_NODES_MAX; id++) {
        pump__peer_forget(pump, (uint16_t)id);
    }
    reads_kernel(&pump->reads, pump, kernel);
    for (uint32_t i = pump->link_count; i > 0; i--) {
        link_gather(pump, pump->links[i - 1]);
        if (kernel == NULL && !pump->links[i - 1]->caps.many_peers) {
            pump__link_close(pump, pump->links[i - 1]);
        }
    }
    if (pump->kernel != NULL) {
        nk_when_said(pump->kernel, NULL, NULL);
    }
    queues_destroy(pump->queues);
    pump->queues = NULL;
    pump->kernel = kernel;
    if (kernel != NULL) {
        nk_when_said(kernel, on_said, pump);
        kernel_spread(pump);
    }
}

/* --- frames -------------------------------------------------------------------------------------
 */

/* Gives the burst received to the fabric. A node's frames are taken only from the link it was added
 * on. */
static void frames_take(struct pump *pump, uint64_t now_ns)
{
    struct fab_node *fabric = nk_kernel_fabric(pump->kernel);
    const struct link_frame *frames = pump->received;
    const struct pump_link *l = pump->received_on;

    now_ns = pump__lock(pump, now_ns);
    for (uint16_t i = 0; i < pump->received_count; i++) {
        uint16_t peer = frames[i].peer;

        pump->content_frames += fab_frame_has_records(frames[i].data, frames[i].length);
        if (peer > 0 && peer < FAB_NODES_MAX && pump__peer_heard(pump, peer, l, now_ns)) {
            fab_rx_tailed(fabric, peer, frames[i].data, frames[i].length, frames[i].tail,
                          frames[i].tail_length, now_ns);
        } else {
            pump->stats.rx_dropped++;
        }
        if (i % LOCK_FRAMES == LOCK_FRAMES - 1) { /* other workers wait for the lock */
            nk_unlock(pump->kernel);
            now_ns = pump__lock(pump, now_ns);
        }
    }
    nk_unlock(pump->kernel);
}

static bool queue_rx(struct pump *pump, struct pump_link *l, uint16_t queue, uint64_t now_ns)
{
    uint16_t count;

    frames_give_back(pump);
    count = l->link.ops->rx_burst(&l->link, queue, pump->received, l->caps.burst_max);
    if (count == 0) {
        return false;
    }
    pump->received_on = l;
    pump->received_count = count;
    if (pump->kernel != NULL) {
        frames_take(pump, now_ns);
    } else {
        pump->stats.rx_dropped += count;
    }
    pump->stats.rx_frames += count;
    return true;
}

static bool pump_rx(struct pump *pump, uint64_t now_ns)
{
    bool any = false;

    for (uint32_t i = 0; i < pump->link_count; i++) {
        for (uint16_t queue = 0; queue < pump->links[i]->polled; queue++) {
            any |= queue_rx(pump, pump->links[i], queue, now_ns);
        }
    }
    return reads_take(&pump->reads, now_ns) || any;
}

/* Locked. The agent is about to remove that peer; its frames must not stop the others. */
static void frame_nowhere(struct pump *pump, struct fab_node *fabric, uint16_t peer,
                          uint64_t now_ns)
{
    uint8_t nowhere[FAB_MTU_BYTES_MAX];

    (void)fab_tx(fabric, peer, nowhere, sizeof(nowhere), now_ns);
    pump->stats.tx_dropped++;
}

/* Locked. Moves one frame of one peer. False: the driver has no room. */
static bool pump_tx_one(struct pump *pump, struct fab_node *fabric, uint16_t peer, uint64_t now_ns)
{
    struct pump_link *l = pump->peer_links[peer];
    enum line_pulled pulled;

    if (l == NULL) {
        frame_nowhere(pump, fabric, peer, now_ns);
        return true;
    }
    pulled = line_pull(&l->line, fabric, peer, now_ns);
    if (pulled == LINE_FILLED) {
        const struct link_frame *frame = &l->line.frames[l->line.filled - 1];

        pump->content_frames += fab_frame_has_records(frame->data, frame->length);
    }
    return pulled != LINE_STUCK;
}

/* Locked. Other workers may free a tail's block as soon as they have the lock; see queues.h. */
static void tails_send(struct pump *pump)
{
    for (uint32_t i = 0; i < pump->link_count; i++) {
        struct line *line = &pump->links[i]->line;

        if (line_has_tails(line)) {
            (void)line_flush(line);
            line_settle(line);
        }
    }
}

static bool pump_tx(struct pump *pump, uint64_t now_ns)
{
    struct fab_node *fabric = nk_kernel_fabric(pump->kernel);
    struct pump_link *first = NULL;
    uint32_t stuck = 0;
    uint32_t count = 0;

    if (!fab_tx_waits(fabric) && !pump->unsent) {
        return false;
    }
    now_ns = pump__lock(pump, now_ns);
    while (count + stuck < TX_FRAMES_TURN && stuck <= pump->peer_count) {
        uint16_t peer = fab_tx_pending(fabric);

        if (peer == 0) {
            break;
        }
        if (pump_tx_one(pump, fabric, peer, now_ns)) {
            struct pump_link *l = pump->peer_links[peer];

            if (++count == 1 && pump->tx_count == 1 && l != NULL &&
                (pump->queues == NULL || !line_has_tails(&l->line))) {
                first = l; /* likely the only one: off with it */
                nk_unlock(pump->kernel);
                (void)line_flush(&first->line);
                nk_lock(pump->kernel);
            }
        } else {
            stuck++;
        }
    }
    if (pump->queues != NULL) {
        tails_send(pump);
    }
    nk_unlock(pump->kernel);
    pump->unsent = false;
    for (uint32_t i = 0; i < pump->link_count; i++) {
        struct line *line = &pump->links[i]->line;

        if (line->filled > 0) {
            (void)line_flush(line);
            line_settle(line);
            pump->unsent |= line->filled > 0;
            line_lend(line, 1); /* now, not when the next message waits for it */
        }
    }
    if (first != NULL) {
        line_lend(&first->line, 1);
    }
    pump->tx_stuck = stuck > 0;
    pump->tx_count = count;
    return count > 0;
}

/* A SIP waits for an answer now. If that is all this turn is about, the frame need not wait for its
 * end; if there tends to be more, frames are better filled. */
static void on_said(void *arg)
{
    struct pump *pump = arg;

    if (pump->tx_count <= 1 && !pump->tx_early) {
        pump->tx_early = true;
        (void)pump_tx(pump, pump->turn_ns);
    }
}

/* --- turns and sleeps ---------------------------------------------------------------------------
 */

/* No SIP or service has run for a while: whoever talks to us next waits for a longer sleep. */
static bool pump_quiet(const struct pump *pump, uint64_t now_ns)
{
    return now_ns - pump->run_ns >= PUMP_QUIET_NS;
}

/* The fabric's timers. */
static void pump_tick(struct pump *pump, uint64_t now_ns)
{
    now_ns = pump__lock(pump, now_ns);
    (void)fab_tick(nk_kernel_fabric(pump->kernel), now_ns);
    nk_unlock(pump->kernel);
}

/* True if there may be more to do soon: on a quiet node, heart-beats are no reason to stay up. */
static bool pump_work(struct pump *pump, uint64_t now_ns)
{
    uint64_t content = pump->content_frames;
    bool any = pump_rx(pump, now_ns);

    pump->turn_ns = now_ns;
    pump->tx_early = false;
    /* While nothing happens, most of the time is spent looking for the frame that ends that; not
     * so hard that whoever is about to write it, next to us, has to wait for its cache line. */
    for (uint32_t i = 0; !any && pump->idle_ns != 0 && i < IDLE_POLLS; i++) {
        __builtin_ia32_pause();
        any = pump_rx(pump, now_ns);
    }
    if (pump->pair_count > 0 && now_ns >= pump->ways_next_ns) {
        pump__ways_look(pump, now_ns);
    }
    if (pump->kernel != NULL) {
        if ((any || nk_next_deadline(pump->kernel) <= now_ns) &&
            nk_run(pump->kernel, RUN_BUDGET, now_ns)) {
            pump->run_ns = now_ns;
            any = true;
        }
        if (pump->each != NULL) {
            any |= pump->each(pump->each_arg, now_ns);
        }
        if (now_ns >= fab_next(nk_kernel_fabric(pump->kernel))) {
            pump_tick(pump, now_ns);
        }
        any |= pump_tx(pump, now_ns);
        if (fab_settles(nk_kernel_fabric(pump->kernel))) {
            nk_lock(pump->kernel);
            fab_settle(nk_kernel_fabric(pump->kernel));
            nk_unlock(pump->kernel);
        }
    }
    frames_give_back(pump);
    return any && (!pump_quiet(pump, now_ns) || pump->content_frames != content);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t pump_sleep_max_ns(const struct pump *pump, uint64_t now_ns)
{
    if (pump->peer_count == 0) {
        return PUMP_SLEEP_IDLE_NS;
    }
    if (!pump_quiet(pump, now_ns)) {
        return PUMP_SLEEP_SESSION_NS;
    }
    return now_ns - pump->run_ns < PUMP_STILL_NS ? PUMP_SLEEP_QUIET_NS : PUMP_SLEEP_STILL_NS;
}

/* How long nothing needs us; 0: there is something to do now. */
static uint64_t pump_free_ns(struct pump *pump, uint64_t now_ns)
{
    int loop_ms = uv_backend_timeout(pump->loop);
    uint64_t deadline_ns = now_ns + PUMP_SLEEP_IDLE_NS;

    if (loop_ms == 0 || !pump->running) {
        return 0;
    }
    if (loop_ms > 0) {
        deadline_ns = earlier(deadline_ns, now_ns + (uint64_t)loop_ms * 1000000u);
    }
    if (pump->kernel != NULL) {
        struct fab_node *fabric = nk_kernel_fabric(pump->kernel);
        uint64_t tick_ns;
        bool pending;

        now_ns = pump__lock(pump, now_ns);
        (void)fab_tick(fabric, now_ns);
        tick_ns = fab_next_exact(fabric);
        pending = fab_tx_pending(fabric) != 0;
        nk_unlock(pump->kernel);
        if (pending && !pump->tx_stuck) {
            return 0;
        }
        deadline_ns = earlier(deadline_ns, tick_ns);
        deadline_ns = earlier(deadline_ns, nk_next_deadline(pump->kernel));
    }
    return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

/* Adds descriptors to sleep on. */
static enum line_armed links_arm(struct pump *pump, nfds_t *count)
{
    enum line_armed all = LINE_ARMED;

    for (uint32_t i = 0; i < pump->link_count && all != LINE_READY; i++) {
        struct pump_link *l = pump->links[i];

        if (l->polled > 0) {
            enum line_armed one =
                l->polled == 1 ? line_arm(&l->line, pump->fds, count) : LINE_BLIND;

            all = one > all ? one : all;
        }
    }
    return all;
}

static void links_disarm(struct pump *pump)
{
    for (uint32_t i = 0; i < pump->link_count; i++) {
        line_disarm(&pump->links[i]->line);
    }
}

/* At most ns; less if a link cannot wake us. EINTR and errors alike: the next turn looks at
 * everything anyway. */
static void pump_wait(struct pump *pump, nfds_t count, uint64_t ns, uint64_t now_ns)
{
    enum line_armed armed = links_arm(pump, &count);

    if (armed == LINE_ARMED) {
        uint64_t began_ns;

        pump->fds[count++] =
            (struct pollfd){.fd = alarm_at(&pump->alarm, now_ns + ns, now_ns), .events = POLLIN};
        began_ns = node_now_ns(); /* arming may take longer than polling */
        (void)ppoll(pump->fds, count, NULL, NULL);
        poll_window_slept(&pump->window, node_now_ns() - began_ns);
    } else if (armed == LINE_READY) {
        poll_window_slept(&pump->window, 0);
    } else if (armed == LINE_BLIND) {
        struct timespec wait = {0};

        ns = earlier(ns, earlier(pump_sleep_max_ns(pump, now_ns), pump->sleep_ns));
        wait.tv_sec = (time_t)(ns / 1000000000u);
        wait.tv_nsec = (long)(ns % 1000000000u);
        (void)ppoll(pump->fds, count, &wait, NULL);
    }
    links_disarm(pump);
}

static void pump_sleep(struct pump *pump, uint64_t ns, uint64_t now_ns)
{
    pump->fds[0] = (struct pollfd){.fd = uv_backend_fd(pump->loop), .events = POLLIN};
    if (pump->kernel == NULL) {
        pump_wait(pump, 1, ns, now_ns);
    } else if (nk_sleep_begin(pump->kernel)) {
        pump->fds[1] = (struct pollfd){.fd = nk_kernel_fd(pump->kernel), .events = POLLIN};
        pump_wait(pump, 2, ns, now_ns);
        nk_sleep_end(pump->kernel);
    }
    pump->stats.sleeps++;
    pump->sleep_ns *= 2;
    if (pump->sleep_ns > PUMP_SLEEP_IDLE_NS) {
        pump->sleep_ns = PUMP_SLEEP_IDLE_NS;
    }
    pump->loop_ns = 0;
}

static void pump_loop(struct pump *pump, uint64_t now_ns)
{
    uv_run(pump->loop, UV_RUN_NOWAIT);
    pump->loop_ns = now_ns;
}

/*
 * If who had the core meanwhile has sent us a frame, they get it at every empty turn for a while;
 * not if nobody takes it then.
 */
static void pump_yield(struct pump *pump, uint64_t now_ns)
{
    sched_yield();
    if (node_now_ns() - now_ns < PUMP_YIELD_NS) {
        if (++pump->yields_unused >= YIELDS_UNUSED_MAX) {
            pump->shared_ns = 0;
        }
        return;
    }
    pump->yields_unused = 0;
    if (pump_rx(pump, now_ns)) {
        pump->shared_ns = now_ns + PUMP_SHARED_NS;
    }
}

void pump_turn(struct pump *pump)
{
    uint64_t now_ns = node_now_ns();
    uint64_t free_ns;

    pump->stats.turns++;
    if (pump_work(pump, now_ns)) {
        pump->idle_ns = 0;
        pump->sleep_ns = SLEEP_FIRST_NS;
        if (now_ns - pump->loop_ns >= PUMP_LOOP_INTERVAL_NS) {
            pump_loop(pump, now_ns);
        }
        return;
    }
    if (pump->idle_ns == 0) {
        pump->idle_ns = now_ns;
    }
    if (now_ns - pump->idle_ns < poll_window_ns(&pump->window) || now_ns < pump->awake_ns) {
        if (now_ns - pump->loop_ns >= PUMP_LOOP_INTERVAL_NS) {
            pump_loop(pump, now_ns);
        }
        if (now_ns - pump->idle_ns >= PUMP_SPIN_NS || now_ns < pump->shared_ns) {
            pump_yield(pump, now_ns);
        }
        return;
    }
    /* What callbacks began must be known to the system before we sleep on its descriptor. */
    pump_loop(pump, now_ns);
    free_ns = pump_free_ns(pump, now_ns);
    if (free_ns > 0) {
        pump_sleep(pump, free_ns, now_ns);
    }
}

void pump_each_turn(struct pump *pump, bool (*turn)(void *arg, uint64_t now_ns), void *arg)
{
    pump->each = turn;
    pump->each_arg = arg;
}

void pump_stay_awake(struct pump *pump, uint64_t until_ns)
{
    pump->awake_ns = until_ns;
}

void pump_run(struct pump *pump)
{
    pump->running = true;
    while (pump->running) {
        pump_turn(pump);
    }
}

void pump_stop(struct pump *pump)
{
    pump->running = false;
}

static bool peer_query(const struct pump *pump, uint16_t id, struct fab_peer_info *out_info)
{
    sf_status st;

    nk_lock(pump->kernel);
    st = fab_peer_query(nk_kernel_fabric(pump->kernel), id, out_info);
    nk_unlock(pump->kernel);
    return st == SF_OK;
}

static bool pump_drained(const struct pump *pump)
{

    for (uint16_t id = pump_peer_next(pump, 0); id != 0; id = pump_peer_next(pump, id)) {
        struct pump_link *l = pump->peer_links[id];
        struct fab_peer_info info;

        if (peer_query(pump, id, &info) && info.alive && !info.drained &&
            l->link.ops->is_up(&l->link)) {
            return false;
        }
    }
    return true;
}

void pump_flush(struct pump *pump, uint32_t ms)
{
    static const struct timespec pause = {.tv_nsec = SLEEP_FIRST_NS};
    uint64_t now_ns = node_now_ns();
    uint64_t end_ns = now_ns + ms * 1000000ull;

    if (pump->kernel == NULL) {
        return;
    }
    while (!pump_drained(pump) && now_ns < end_ns) {
        bool any = pump_rx(pump, now_ns);

        pump_tick(pump, now_ns);
        frames_give_back(pump);
        if (!pump_tx(pump, now_ns) && !any) {
            (void)nanosleep(&pause, NULL);
        }
        now_ns = node_now_ns();
    }
}

void pump_query(const struct pump *pump, struct pump_stats *out_stats)
{
    *out_stats = pump->stats;
    if (pump->queues != NULL) {
        struct queues_stats others;

        queues_query(pump->queues, &others);
        out_stats->sleeps += others.sleeps;
        out_stats->rx_frames += others.rx_frames;
        out_stats->tx_frames += others.tx_frames;
        out_stats->rx_dropped += others.rx_dropped;
        out_stats->tx_dropped += others.tx_dropped;
        out_stats->others_rx_frames = others.rx_frames;
        out_stats->others_tx_frames = others.tx_frames;
    }
}

sf_status pump_create(uv_loop_t *loop, struct pump **out_pump)
{
    struct pump *pump = calloc(1, sizeof(*pump));

    if (pump == NULL) {
        return SF_NOMEM;
    }
    if (alarm_init(&pump->alarm) != SF_OK) {
        free(pump);
        return SF_IO;
    }
    pump->loop = loop;
    pump->sleep_ns = SLEEP_FIRST_NS;
    pump->running = true;
    *out_pump = pump;
    return SF_OK;
}

void pump_destroy(struct pump *pump)
{
    if (pump == NULL) {
        return;
    }
    pump_set_kernel(pump, NULL);
    while (pump->link_count > 0) {
        pump__link_close(pump, pump->links[pump->link_count - 1]);
    }
    alarm_fini(&pump->alarm);
    free(pump);
}
