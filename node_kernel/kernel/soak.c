/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soak SOAK.sip SOAK_STRICT.sip SECONDS [SEED [WORKERS]] - random kills, faults, restarts and new
 * wires among some 200 SIPs and a service on two workers, all talking with blocks and endpoints.
 * Many are also captured, released and restored (capture.h) in the middle of what they do.
 *
 * Every 100 ms the workers stand still and the audit of ownership must be clean. It runs twice: a
 * fifth of the time (at most a minute) to warm up, then the rest. After each, all SIPs are stopped;
 * audit clean, no SIP, block or endpoint may be left, and the process may not have grown between
 * the two: open files, mappings, private memory. Progress goes to stderr each 10 s. The seed fixes
 * what the driver does and what SIPs choose, not how threads meet.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "capture.h"
#include "image.pb-c.h"
#include "internal.h"

#define POPULATION 200u
#define SLOTS 256u
#define NODE 5u
#define MS 1000000ull
#define PRIVATE_KIB_MAX (16u << 10) /* growth after the warm-up */
#define MAPPINGS_MAX 64u
#define SERVICE_NUMBER 1u
#define EPS_MAX 1024u

enum kind { SERVES, TALKS, COMPUTES, FAULTS, GOES, KIND_COUNT };

struct one {
    enum kind kind;
    uint64_t number; /* 0: not there */
    uint64_t again;  /* when it is made again */
};

struct usage {
    uint32_t files, mappings;
    uint64_t private_kib, shared_kib;
};

static struct soak {
    struct nk_kernel *kernel;
    uint8_t digests[2][IMAGE_DIGEST_BYTES];
    struct one all[POPULATION];
    uint64_t next_number, random;
    uint64_t started, exited, faulted, killed, wired, moved, audits, shown;
    uint8_t *capture;
    size_t capture_bytes, capture_capacity;
    uint64_t begin;
    const char *program, *images[2];
    unsigned seconds, seed, workers;
} soak;

/* --- help ---------------------------------------------------------------------------------------
 */

static uint64_t now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t chance(uint32_t of)
{
    soak.random ^= soak.random << 13;
    soak.random ^= soak.random >> 7;
    soak.random ^= soak.random << 17;
    return (uint32_t)(soak.random >> 20) % of;
}

static _Noreturn void failed(const char *what, const char *text)
{
    (void)printf("not ok 1 - soak: %s: %s\n", what, text);
    (void)fflush(stdout);
    (void)fprintf(stderr, "soak: %s: %s; to repeat: %s %s %s %u %u %u\n", what, text, soak.program,
                  soak.images[0], soak.images[1], soak.seconds, soak.seed, soak.workers);
    _exit(1);
}

static FILE *open_or_fail(const char *path)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL) {
        failed("cannot read", path);
        abort();
    }
    return file;
}

static struct usage usage_now(void)
{
    struct usage usage = {0};
    char line[512];
    FILE *file = open_or_fail("/proc/self/status");
    DIR *files = opendir("/proc/self/fd");

    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "RssAnon:", 8) == 0) {
            usage.private_kib = strtoull(line + 8, NULL, 10);
        } else if (strncmp(line, "RssShmem:", 9) == 0) {
            usage.shared_kib = strtoull(line + 9, NULL, 10);
        }
    }
    (void)fclose(file);
    while (files != NULL && readdir(files) != NULL) {
        usage.files++;
    }
    (void)closedir(files);
    file = open_or_fail("/proc/self/maps");
    while (fgets(line, sizeof(line), file) != NULL) {
        usage.mappings++;
    }
    (void)fclose(file);
    return usage;
}

/* --- events -------------------------------------------------------------------------------------
 */

static void on_log(void *arg, uint64_t sip, const char *text, uint32_t bytes)
{
    (void)arg;
    (void)fprintf(stderr, "soak: SIP %llu says: %.*s\n", (unsigned long long)sip, (int)bytes, text);
}

static void on_ended(void *arg, const struct nk_sip_end *end)
{
    (void)arg;
    for (uint32_t i = 0; i < POPULATION; i++) {
        struct one *one = &soak.all[i];

        if (one->number != end->sip) {
            continue;
        }
        one->number = 0;
        one->again = now() + chance(30) * MS;
        if (end->how == NK_END_EXITED && (end->exit_code != 0 || one->kind <= COMPUTES)) {
            failed(end->name, "found something wrong: its last line above says what");
        }
        if (end->how == NK_END_FAULTED && one->kind != FAULTS) {
            failed(end->name, end->report);
        }
        soak.exited += end->how == NK_END_EXITED;
        soak.faulted += end->how == NK_END_FAULTED;
        soak.killed += end->how == NK_END_STOPPED;
        return;
    }
    failed(end->name, "ended, but is not one of ours");
}

/* --- a service ----------------------------------------------------------------------------------
 * Answers as the SIPs that serve do.
 */

static sf_status echo_create(struct nk_service *service, void *loop, const struct nk_config *config,
                             uint32_t config_count, void **out_impl, char *text,
                             size_t text_capacity)
{
    (void)loop;
    (void)config;
    (void)config_count;
    (void)text;
    (void)text_capacity;
    *out_impl = service;
    return SF_OK;
}

static void echo_destroy(void *impl)
{
    (void)impl;
}

static sf_status echo_answer(struct nk_service *service, struct fab_ep *ep, struct fab_msg *msg)
{
    const struct ct_message *messages = fab_ep_contract(ep)->messages;
    const char *name = messages[msg->tag].name;
    const char *reply = "Took";

    if (strcmp(name, "Ping") == 0) {
        reply = "Pong";
    } else if (strcmp(name, "Add") == 0) {
        msg->args[0].scalar += msg->args[1].scalar;
        msg->args[1].scalar = 0;
        msg->arg_count = 2;
        reply = "Sum";
    } else if (strcmp(name, "Give") == 0) {
        if (nk_service_hold(service, msg->args[0].ep, NULL) != SF_OK) {
            failed("service", "cannot hold an endpoint");
        }
        nk_service_close(service, msg->args[0].ep, SF_CAUSE_OF(CLOSED_BY_PEER));
        msg->arg_count = 0;
    } else {
        return SF_CLOSED;
    }
    while (strcmp(messages[msg->tag].name, reply) != 0) {
        msg->tag = (uint8_t)((msg->tag + 1) % fab_ep_contract(ep)->message_count);
    }
    return nk_service_send(service, ep, msg);
}

static void echo_ready(void *impl, struct fab_ep *ep, void *user)
{
    struct fab_msg msg;
    sf_status st;

    (void)user;
    while ((st = nk_service_recv(impl, ep, &msg)) == SF_OK) {
        struct xh_block *block = strcmp(fab_ep_contract(ep)->messages[msg.tag].name, "Ping") == 0
                                     ? msg.args[0].block
                                     : NULL;

        st = echo_answer(impl, ep, &msg);
        if (st != SF_OK) {
            if (block != NULL) {
                (void)xh_free(nk_kernel_heap(nk_service_kernel(impl)), block,
                              nk_service_owner(impl));
            }
            break;
        }
    }
    if (st != SF_AGAIN) {
        nk_service_close(impl, ep, SF_CAUSE_OF(CLOSED_BY_PEER));
    }
}

static void echo_opened(void *impl, struct fab_ep *ep)
{
    (void)impl;
    (void)ep; /* ready says the rest */
}

static const struct nk_service_ops echo_ops = {.name = "echo",
                                               .export_name = "test",
                                               .contract_name = "ProbeContract",
                                               .create = echo_create,
                                               .destroy = echo_destroy,
                                               .opened = echo_opened,
                                               .ready = echo_ready};

/* --- the driver ---------------------------------------------------------------------------------
 */

static void wire(const struct one *one)
{
    char export_name[32], text[256] = "";
    uint32_t to = chance(POPULATION / 5 + 1) * 5;
    sf_status st;

    (void)snprintf(export_name, sizeof(export_name), to < POPULATION ? "s%u.test" : "echo.test",
                   to);
    st = nk_sip_wire(soak.kernel, one->number, "peer", NODE, export_name, text, sizeof(text));
    if (st != SF_OK && st != SF_NOTFOUND && st != SF_EXISTS) {
        failed("wire", text);
    }
    soak.wired += st == SF_OK;
}

static void make(uint32_t index)
{
    static const char *const modes[KIND_COUNT] = {"serve", "talk", "compute", "fault", "go"};
    struct one *one = &soak.all[index];
    char name[16], seed[16], text[256] = "";
    struct nk_config config[] = {{"mode", modes[one->kind]}, {"seed", seed}};
    struct nk_sip_options options = {.number = soak.next_number++,
                                     .name = name,
                                     .image_digest = soak.digests[chance(4) == 0],
                                     .config = config,
                                     .config_count = 2,
                                     .worker = chance(2) == 0 ? 0 : 1 + chance(soak.workers)};

    (void)snprintf(name, sizeof(name), "s%u", index);
    (void)snprintf(seed, sizeof(seed), "%u", chance(1000000) + 1);
    if (nk_sip_create(soak.kernel, &options, text, sizeof(text)) != SF_OK) {
        failed("create", text);
    }
    one->number = options.number;
    if (one->kind == TALKS && chance(4) != 0) {
        wire(one);
    }
    if (nk_sip_start(soak.kernel, one->number) != SF_OK) {
        failed("start", name);
    }
    soak.started++;
}

static void audit(const char *when)
{
    const char *text = "";

    nk_pause(soak.kernel);
    if (nk_audit(soak.kernel, &text) != SF_OK) {
        failed(when, text);
    }
    nk_resume(soak.kernel);
    soak.audits++;
}

static void stop(struct one *one)
{
    sf_status st = SF_NOTFOUND;

    if (one->number != 0) {
        st = nk_sip_stop(soak.kernel, one->number, SF_CAUSE_OF(REVOKED));
    }
    if (st != SF_OK && st != SF_NOTFOUND) {
        failed("stop", sf_status_text(st));
    }
}

static sf_status keep(void *arg, const void *bytes, size_t length)
{
    (void)arg;
    if (soak.capture_bytes + length > soak.capture_capacity) {
        soak.capture_capacity = (soak.capture_bytes + length) * 2;
        soak.capture = realloc(soak.capture, soak.capture_capacity);
        if (soak.capture == NULL) {
            return SF_NOMEM;
        }
    }
    memcpy(soak.capture + soak.capture_bytes, bytes, length);
    soak.capture_bytes += length;
    return SF_OK;
}

static void must(sf_status st, const char *what, const char *text)
{
    if (st != SF_OK) {
        failed(what, text[0] != '\0' ? text : sf_status_text(st));
    }
}

/* Out of the kernel, and back. */
static void move(const struct one *one)
{
    static struct fab_ep *eps[EPS_MAX];
    struct nk_restore *restore = NULL;
    uint32_t ep_count = 0;
    char text[256] = "";
    sf_status st = one->number == 0 ? SF_NOTFOUND
                                    : nk_sip_freeze(soak.kernel, one->number, text, sizeof(text));

    if (st == SF_NOTFOUND) {
        return;
    }
    must(st, "freeze", text);
    soak.capture_bytes = 0;
    must(nk_sip_endpoints(soak.kernel, one->number, eps, EPS_MAX, &ep_count), "endpoints", "");
    must(nk_sip_capture(soak.kernel, one->number, NULL, NULL, keep, NULL, NULL), "capture", "");
    must(nk_sip_release(soak.kernel, one->number), "release", "");
    must(nk_restore_create(soak.kernel, NULL, &restore), "restore", "");
    must(nk_restore_feed(restore, soak.capture, soak.capture_bytes, text, sizeof(text)), "feed",
         text);
    must(nk_restore_finish(restore, eps, ep_count, text, sizeof(text)), "finish", text);
    must(nk_sip_thaw(soak.kernel, one->number), "thaw", "");
    soak.moved++;
}

static void act(uint64_t t)
{
    struct one *one = &soak.all[chance(POPULATION)];

    if (chance(2) == 0) {
        move(&soak.all[chance(POPULATION)]);
    }
    if (chance(3) == 0) {
        stop(one);
    } else if (one->kind == TALKS && one->number != 0) {
        wire(one);
    }
    for (uint32_t i = 0; i < POPULATION; i++) {
        if (soak.all[i].number == 0 && t >= soak.all[i].again) {
            make(i);
        }
    }
}

static void progress(uint64_t t)
{
    struct nk_stats stats;

    if (t - soak.shown < 10000 * MS) {
        return;
    }
    soak.shown = t;
    nk_query(soak.kernel, &stats);
    (void)fprintf(stderr,
                  "soak: %4llu s: %llu SIPs started, %llu exited, %llu faulted, %llu killed, %llu "
                  "moved; %llu messages, %llu audits clean\n",
                  (unsigned long long)((t - soak.begin) / 1000 / MS),
                  (unsigned long long)soak.started, (unsigned long long)soak.exited,
                  (unsigned long long)soak.faulted, (unsigned long long)soak.killed,
                  (unsigned long long)soak.moved, (unsigned long long)stats.messages,
                  (unsigned long long)soak.audits);
}

static void run_until(uint64_t end)
{
    uint64_t act_at = 0, audit_at = 0;

    for (uint64_t t = now(); t < end; t = now()) {
        if (!nk_run(soak.kernel, 200, t)) {
            struct timespec wait = {0, 100000};

            (void)nanosleep(&wait, NULL);
        }
        if (t >= act_at) {
            act(t);
            act_at = t + MS / 2 + chance(MS);
        }
        if (t >= audit_at) {
            audit("audit");
            audit_at = t + 100 * MS;
        }
        progress(t);
    }
}

static void count_ep(void *arg, const struct fab_ep *ep)
{
    (void)ep;
    ++*(uint32_t *)arg;
}

/* Nothing is left of anybody. */
static void all_stop(void)
{
    uint64_t end = now() + 20000 * MS;
    uint32_t endpoints = 0;
    struct nk_stats stats;
    struct xh_stats heap;
    char text[128];

    for (uint32_t i = 0; i < POPULATION; i++) {
        stop(&soak.all[i]);
    }
    do {
        (void)nk_run(soak.kernel, 1000, now());
        nk_query(soak.kernel, &stats);
        endpoints = 0;
        nk_pause(soak.kernel);
        fab_ep_walk(nk_kernel_fabric(soak.kernel), count_ep, &endpoints);
        xh_query(nk_kernel_heap(soak.kernel), &heap);
        nk_resume(soak.kernel);
    } while ((stats.sip_count > 0 || endpoints > 0 || heap.block_count > 0) && now() < end);
    audit("audit at the end");
    if (stats.sip_count > 0 || endpoints > 0 || heap.block_count > 0 ||
        soak.kernel->slots[NK_SMALL].free_count != SLOTS) {
        (void)snprintf(text, sizeof(text),
                       "%u SIPs, %u endpoints, %llu blocks, %u slots of %u free", stats.sip_count,
                       endpoints, (unsigned long long)heap.block_count,
                       soak.kernel->slots[NK_SMALL].free_count, SLOTS);
        failed("left at the end", text);
    }
}

/* --- start and end ------------------------------------------------------------------------------
 */

static void image_load(uint32_t index)
{
    static uint8_t bytes[4u << 20];
    FILE *file = open_or_fail(soak.images[index]);
    size_t length;
    char text[256] = "";

    length = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    if (nk_image_add(soak.kernel, bytes, length, soak.digests[index], text, sizeof(text)) !=
        SF_OK) {
        failed("image", text);
    }
    if (index == 0) {
        const Sf__Image__Manifest *manifest =
            nk__image_find(soak.kernel, soak.digests[0])->image->manifest;

        if (nk_contract_add(soak.kernel, manifest->contracts[0].data, manifest->contracts[0].len,
                            text, sizeof(text)) != SF_OK) {
            failed("contract", text);
        }
    }
}

static void begin(void)
{
    struct nk_options options = {
        .node_name = "soak",
        .node_id = NODE,
        .epoch = 1,
        .trust = &image_trust_anyone,
        .worker_count = soak.workers,
        .slot_first = 1000,
        .slot_count = SLOTS,
        .heap_bytes = 128u << 20,
        .tick_ns = 1 * MS,
        .events = {.log = on_log, .ended = on_ended},
    };
    char text[256] = "";

    soak.random = 0x9e3779b97f4a7c15ull ^ soak.seed;
    soak.next_number = 100;
    soak.begin = soak.shown = now();
    if (nk_kernel_create(&options, &soak.kernel, text, sizeof(text)) != SF_OK) {
        failed("kernel", text);
    }
    image_load(0);
    image_load(1);
    if (nk_service_create(soak.kernel, &echo_ops, SERVICE_NUMBER, "echo", NULL, NULL, 0, text,
                          sizeof(text)) != SF_OK) {
        failed("service", text);
    }
    for (uint32_t i = 0; i < POPULATION; i++) { /* every fifth serves */
        static const enum kind others[] = {TALKS, TALKS, TALKS, COMPUTES, FAULTS, GOES};

        soak.all[i].kind = i % 5 == 0 ? SERVES : others[i % 6];
    }
}

static void summary(const struct usage *before, const struct usage *after)
{
    struct nk_stats stats;

    nk_query(soak.kernel, &stats);
    (void)printf("# {\"suite\": \"soak\", \"seconds\": %u, \"seed\": %u, \"workers\": %u, "
                 "\"sips_started\": %llu, \"exited\": %llu, \"faulted\": %llu, \"killed\": %llu, "
                 "\"wired\": %llu, \"moved\": %llu, \"messages\": %llu, \"switches\": %llu, "
                 "\"audits\": %llu, "
                 "\"private_kib\": [%llu, %llu], \"shared_kib\": [%llu, %llu], \"files\": [%u, "
                 "%u], \"mappings\": [%u, %u]}\n",
                 soak.seconds, soak.seed, soak.workers, (unsigned long long)soak.started,
                 (unsigned long long)soak.exited, (unsigned long long)soak.faulted,
                 (unsigned long long)soak.killed, (unsigned long long)soak.wired,
                 (unsigned long long)soak.moved, (unsigned long long)stats.messages,
                 (unsigned long long)stats.switches, (unsigned long long)soak.audits,
                 (unsigned long long)before->private_kib, (unsigned long long)after->private_kib,
                 (unsigned long long)before->shared_kib, (unsigned long long)after->shared_kib,
                 before->files, after->files, before->mappings, after->mappings);
}

int main(int argc, char **argv)
{
    struct usage before, after;
    uint64_t warm_ms;

    if (argc < 4 || argc > 6 || atoi(argv[3]) < 1) {
        (void)fprintf(stderr, "usage: soak SOAK.sip SOAK_STRICT.sip SECONDS [SEED [WORKERS]]\n");
        return 2;
    }
    soak.program = argv[0];
    soak.images[0] = argv[1];
    soak.images[1] = argv[2];
    soak.seconds = (unsigned)atoi(argv[3]);
    soak.seed = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : (unsigned)(now() & 0x7fffffff);
    soak.workers = argc > 5 ? (unsigned)atoi(argv[5]) : 2;
    (void)printf("1..1\n# seed %u\n", soak.seed);
    (void)fflush(stdout);
    (void)alarm(soak.seconds * 2 + 120); /* it hangs: die of it */
    warm_ms = soak.seconds > 300 ? 60000 : soak.seconds * 200ull;
    begin();
    run_until(now() + warm_ms * MS);
    all_stop();
    xh_cool(nk_kernel_heap(soak.kernel)); /* what is kept on purpose is not counted */
    before = usage_now();
    run_until(soak.begin + soak.seconds * 1000 * MS);
    all_stop();
    xh_cool(nk_kernel_heap(soak.kernel));
    after = usage_now();
    summary(&before, &after);
    if (after.files > before.files || after.mappings > before.mappings + MAPPINGS_MAX ||
        after.private_kib > before.private_kib + PRIVATE_KIB_MAX) {
        failed("it grew", "see the numbers above");
    }
    nk_kernel_destroy(soak.kernel);
    free(soak.capture);
    (void)printf("ok 1 - soak: %u s\n", soak.seconds);
    return 0;
}
