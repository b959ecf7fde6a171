/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIPs that go from one process to another and back, between kernels with other node ids and other
 * leases of slots: argv = mover.sip, mover_large.sip, ... (test_sips/mover.c).
 *
 * The other process is this program with a descriptor as its first argument. Both sides do the
 * same: run the SIP for a while, freeze it, send its capture, and get it back. What is sent is a
 * word (COMES, ENDED, QUIT), then the capture as it is made.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_hop.h"

#define MOVER 1u
#define FAR_NODE 9u

enum word { COMES = 1, ENDED, QUIT };

static const char **image_paths;
static int image_count;
static uint8_t digests[2][IMAGE_DIGEST_BYTES];
static int wire_fd;
static bool precopies;
static uint64_t precopied, left; /* pages, before and after they were frozen */

static void world_make_of(bool far, uint32_t worker_count)
{
    const struct world_options options = {
        .kernel = {.node_id = far ? FAR_NODE : 0,
                   .slot_first = far ? 5000 : 100,
                   .slot_count = 16,
                   .heap_bytes = 64u << 20,
                   .worker_count = worker_count,
                   .tick_ns = 300000},
        .config = {"rounds", "70"},
        .run_seconds_max = 60,
    };

    world_make(&options);
    world.quiet = far;
    for (int i = 0; i < 2; i++) {
        struct bytes image = file_read(image_paths[i]);

        image_add(&image, digests[i]);
        free(image.data);
    }
}

/* --- the way ------------------------------------------------------------------------------------
 */

static sf_status all_sent(const void *bytes, size_t length)
{
    const uint8_t *from = bytes;

    while (length > 0) {
        ssize_t sent = send(wire_fd, from, length, MSG_NOSIGNAL);

        if (sent <= 0) {
            return SF_IO;
        }
        from += sent;
        length -= (size_t)sent;
    }
    return SF_OK;
}

static void all_got(void *bytes, size_t length)
{
    uint8_t *to = bytes;

    while (length > 0) { /* the tick interrupts it */
        ssize_t got = recv(wire_fd, to, length, 0);

        assert_true(got > 0);
        to += got;
        length -= (size_t)got;
    }
}

/* A piece with its length. */
static sf_status sink(void *arg, const void *bytes, size_t length)
{
    const uint32_t count = (uint32_t)length;
    sf_status st = all_sent(&count, sizeof(count));

    (void)arg;
    return st == SF_OK ? all_sent(bytes, length) : st;
}

static void say(enum word word)
{
    const uint8_t byte = (uint8_t)word;

    assert_int_equal(all_sent(&byte, 1), SF_OK);
}

static enum word hear(void)
{
    uint8_t byte = 0;

    all_got(&byte, 1);
    return (enum word)byte;
}

/* --- endpoints: what the fabric will do ---------------------------------------------------------
 * All channels of the SIP have both ends in its own hands, in pairs, and it never uses them for
 * more than to wait. So any channels will do.
 */

static void eps_make(const struct nk_restore_info *info)
{
    struct fab_node *fabric = nk_kernel_fabric(world.kernel);

    hop.ep_count = info->ep_count;
    for (uint32_t i = 0; i < info->ep_count; i += 2) {
        const struct ct_contract *contract = fab_contract_find(fabric, info->eps[i].contract);
        struct fab_ep *ends[2];

        assert_non_null(contract);
        assert_int_equal(fab_chan_create(fabric, contract, 0, &ends[CT_IMP], &ends[CT_EXP]), SF_OK);
        assert_int_not_equal(info->eps[i].side, info->eps[i + 1].side);
        hop.eps[i] = ends[info->eps[i].side];
        hop.eps[i + 1] = ends[info->eps[i + 1].side];
    }
}

static void eps_close(void)
{
    for (uint32_t i = 0; i < hop.ep_count; i++) {
        fab_ep_close(hop.eps[i], SF_CAUSE_OF(CLOSED_BY_PEER));
    }
}

/* --- one side -----------------------------------------------------------------------------------
 */

static void run_for(uint64_t ns)
{
    const uint64_t until = now() + ns;

    while (now() < until && end_of(MOVER) == NULL) {
        (void)nk_run(world.kernel, 20, now());
    }
}

/* NULL: not this time, or it is not possible here. */
static struct nk_precopy *precopy(void)
{
    struct nk_precopy *made = NULL;
    struct nk_capture_stats stats;
    sf_status st;

    if (!precopies || rand() % 2 == 0) {
        return NULL;
    }
    st = nk_precopy_create(world.kernel, MOVER, &made);
    if (st != SF_OK) {
        assert_true(st == SF_UNSUPPORTED || st == SF_NOTFOUND);
        return NULL;
    }
    say(COMES);
    for (uint32_t i = 0; i < 3; i++) {
        bool over = false;

        do { /* some steps are rounds; with the last round the capture may be in the middle of one
              */
            st = nk_precopy_step(made, (uint64_t)rand() % 41, sink, NULL, &stats, &over);
            assert_true(st == SF_OK || st == SF_NOTFOUND); /* it has ended */
            precopied += stats.page_count;
            run_for(100000);
        } while (!over && st == SF_OK && (i < 2 || rand() % 4 != 0));
    }
    return made;
}

/* False: it has ended. */
static bool send_away(void)
{
    const uint32_t nothing = 0;
    struct nk_precopy *made = precopy();

    if (!hop_freeze(MOVER)) {
        nk_precopy_destroy(made);
        if (made != NULL) { /* it is half way */
            assert_int_equal(all_sent(&nothing, sizeof(nothing)), SF_OK);
        }
        return false;
    }
    if (made == NULL) {
        say(COMES);
    }
    assert_int_equal(nk_sip_endpoints(world.kernel, MOVER, hop.eps, HOP_EPS_MAX, &hop.ep_count),
                     SF_OK);
    assert_int_equal(nk_sip_capture(world.kernel, MOVER, NULL, made, sink, NULL, &hop.stats),
                     SF_OK);
    left += made == NULL ? 0 : hop.stats.page_count;
    assert_int_equal(nk_sip_release(world.kernel, MOVER), SF_OK);
    nk_precopy_destroy(made);
    eps_close();
    hop.count++;
    return true;
}

/* As it comes. False: it ended before all of it had come. */
static bool take_in(void)
{
    static uint8_t piece[NK_CAPTURE_PIECE_BYTES_MAX];
    struct nk_restore *restore = hop_restore();
    struct nk_restore_info info;
    char text[256] = "";
    uint32_t length;
    size_t streamed;

    while (!nk_restore_complete(restore)) {
        all_got(&length, sizeof(length));
        if (length == 0) {
            nk_restore_destroy(restore);
            return false;
        }
        assert_true(length <= sizeof(piece));
        all_got(piece, length);
        streamed = hop.count % 2 == 0 ? nk_restore_stream(restore, piece, length) : 0;
        hop.streamed += streamed;
        if (streamed < length && nk_restore_feed(restore, piece + streamed, length - streamed, text,
                                                 sizeof(text)) != SF_OK) {
            fail_msg("%s", text);
        }
    }
    nk_restore_query(restore, &info);
    eps_make(&info);
    if (nk_restore_finish(restore, hop.eps, hop.ep_count, text, sizeof(text)) != SF_OK) {
        fail_msg("%s", text);
    }
    assert_int_equal(nk_sip_thaw(world.kernel, MOVER), SF_OK);
    return true;
}

/* It is here; until it has ended, here or there. */
static void go_to_and_fro(void)
{
    for (;;) {
        run_for(500000);
        if (end_of(MOVER) != NULL || !send_away()) {
            while (end_of(MOVER) == NULL) { /* another worker has to tell */
                (void)nk_run(world.kernel, 20, now());
            }
            assert_exited(MOVER, 0);
            say(ENDED);
            return;
        }
        if (hear() == ENDED) {
            return;
        }
        if (!take_in()) {
            assert_int_equal(hear(), ENDED);
            return;
        }
        if (hop.count % 20 == 0) {
            assert_audits();
        }
    }
}

/* --- the other process --------------------------------------------------------------------------
 */

static void the_far_side(void **state)
{
    enum word word;

    (void)state;
    world_make_of(true, 2);
    precopies = true;
    while ((word = hear()) != QUIT) {
        world.ends[MOVER] = (struct end){0};
        if (word == COMES && take_in()) {
            go_to_and_fro();
        }
    }
    world_end();
}

static pid_t far_start(void)
{
    char number[16];
    const char *args[8] = {"/proc/self/exe", number};
    int fds[2];
    pid_t pid;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    (void)snprintf(number, sizeof(number), "%d", fds[1]);
    for (int i = 0; i < image_count && i < 5; i++) {
        args[2 + i] = image_paths[i];
    }
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(fds[0]);
        (void)dup2(STDERR_FILENO, STDOUT_FILENO); /* its results are not this program's */
        (void)execv(args[0], (char *const *)args);
        _exit(127);
    }
    (void)close(fds[1]);
    wire_fd = fds[0];
    return pid;
}

static void far_stop(pid_t pid)
{
    int status = -1;

    say(QUIT);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)close(wire_fd);
}

static void goes(uint32_t image, const char *mode, bool precopied_too, uint64_t hops_min)
{
    char line[160];

    precopies = precopied_too;
    precopied = left = 0;
    hop.count = hop.streamed = 0;
    sip_create(MOVER, "m", digests[image], mode, 0);
    start(MOVER);
    go_to_and_fro();
    (void)snprintf(line, sizeof(line),
                   "%s %s: went away %u times; %u pages before, %u while it stood still",
                   image == 0 ? "small" : "large", mode, (unsigned)hop.count, (unsigned)precopied,
                   (unsigned)left);
    show(line);
    assert_true(hop.count >= hops_min);
    assert_true(precopied == 0 || hop.count < 2 || hop.streamed > 0);
}

static void a_sip_goes_to_another_process_and_back(void **state)
{
    pid_t pid = far_start();

    (void)state;
    world_make_of(false, 1);
    for (uint32_t image = 0; image < 2; image++) {
        goes(image, "sleep", false, 15);
        goes(image, "timeout", false, 15);
        goes(image, "spin", false, 30);
        goes(image, "sleep", true, 10);
        goes(image, "timeout", true, 10);
        goes(image, "spin", true, 20);
    }
    world_end();
    far_stop(pid);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest near[] = {
        cmocka_unit_test(a_sip_goes_to_another_process_and_back),
    };
    static const struct CMUnitTest far[] = {
        cmocka_unit_test(the_far_side),
    };
    const bool is_far = argc > 1 && argv[1][0] >= '0' && argv[1][0] <= '9';

    image_paths = (const char **)argv + (is_far ? 2 : 1);
    image_count = argc - (is_far ? 2 : 1);
    if (image_count < 2) {
        return 2;
    }
    if (is_far) {
        wire_fd = atoi(argv[1]);
        return cmocka_run_group_tests(far, NULL, NULL);
    }
    return cmocka_run_group_tests(near, NULL, NULL);
}
