/* SPDX-License-Identifier: Apache-2.0 */
#include "dirty.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE_BYTES 4096u
#define HUGE_BYTES ((uint64_t)NK_DIRTY_HUGE_PAGES * PAGE_BYTES)
#define REGIONS 512u  /* of one PAGEMAP_SCAN */
#define ENTRIES 4096u /* of one read of pagemap: 16 MiB */
#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_SWAPPED (1ull << 62)
#define ENTRY_SOFT_DIRTY (1ull << 55)

/* Debian 12's headers do not have these yet: linux/fs.h, linux/userfaultfd.h. */
struct scan_region {
    uint64_t start, end, categories;
};
struct scan_args {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_args)
#define SCAN_IS_WRITTEN (1u << 1)
#define SCAN_IS_PRESENT (1u << 3)
#define SCAN_IS_SWAPPED (1u << 4)
#define SCAN_IS_HUGE (1u << 6)
#define SCAN_WATCH (1u << 0)       /* PM_SCAN_WP_MATCHING */
#define SCAN_CHECK_ASYNC (1u << 1) /* PM_SCAN_CHECK_WPASYNC */
#define FEATURE_WP_UNPOPULATED (1u << 13)
#define FEATURE_WP_ASYNC (1u << 15)
#define USER_MODE_ONLY 1

struct runs {
    uint64_t (*runs)[2];
    size_t count, capacity;
    size_t visited; /* of them */
};

struct nk_dirty {
    uint64_t first, end;
    uint64_t at; /* WRITE_PROTECT: up to here this look has come */
    enum nk_dirty_way way;
    int pagemap;
    int uffd;         /* WRITE_PROTECT */
    int refs;         /* SOFT_DIRTY: clear_refs */
    int watched;      /* SOFT_DIRTY: there was a mark */
    struct runs runs; /* SOFT_DIRTY: to be visited */
};

static int soft_dirty_used; /* by one; worker 0's thread */

/* --- a walk over pagemap ------------------------------------------------------------------------
 */

/* Runs of pages whose entry has one of these bits. */
static sf_status walk(int pagemap, uint64_t first, uint64_t end, uint64_t bits,
                      nk_dirty_visit visit, void *arg)
{
    uint64_t *entries = malloc(ENTRIES * sizeof(*entries));
    uint64_t run = 0; /* where it began; 0: there is none */
    sf_status st = entries == NULL ? SF_NOMEM : SF_OK;

    for (uint64_t at = first; st == SF_OK && at < end;) {
        uint64_t count = (end - at) / PAGE_BYTES;
        ssize_t got;

        count = count < ENTRIES ? count : ENTRIES;
        got = pread(pagemap, entries, count * sizeof(*entries),
                    (off_t)(at / PAGE_BYTES * sizeof(*entries)));
        if (got < (ssize_t)sizeof(*entries)) {
            st = SF_IO;
            break;
        }
        count = (uint64_t)got / sizeof(*entries);
        for (uint64_t i = 0; i < count && st == SF_OK; i++, at += PAGE_BYTES) {
            if ((entries[i] & bits) != 0) {
                run = run == 0 ? at : run;
            } else if (run != 0) {
                st = visit(arg, run, at);
                run = 0;
            }
        }
    }
    free(entries);
    return st == SF_OK && run != 0 ? visit(arg, run, end) : st;
}

/* Of pages of all of these categories, and of any of those. */
static struct scan_args scan_begin(uint64_t first, uint64_t end, uint64_t all, uint64_t any,
                                   uint64_t flags)
{
    return (struct scan_args){.size = sizeof(struct scan_args),
                              .flags = flags,
                              .end = end,
                              .walk_end = first,
                              .category_mask = all,
                              .category_anyof_mask = any,
                              .return_mask = all | any};
}

/* Some more, from where it has come to. UNSUPPORTED: the system cannot; nothing was visited. */
static sf_status scan_some(int pagemap, struct scan_args *args, nk_dirty_visit visit, void *arg)
{
    struct scan_region regions[REGIONS];
    int count;
    sf_status st = SF_OK;

    args->start = args->walk_end;
    args->vec = (uint64_t)regions;
    args->vec_len = REGIONS;
    do {
        count = ioctl(pagemap, SCAN_IOCTL, args);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        return errno == ENOTTY || errno == EINVAL ? SF_UNSUPPORTED : SF_IO;
    }
    for (int i = 0; i < count && st == SF_OK; i++) {
        st = visit(arg, regions[i].start, regions[i].end);
    }
    return st;
}

static sf_status scan_all(int pagemap, struct scan_args *args, nk_dirty_visit visit, void *arg)
{
    sf_status st = scan_some(pagemap, args, visit, arg);

    while (st == SF_OK && args->walk_end < args->end) {
        st = scan_some(pagemap, args, visit, arg);
        st = st == SF_UNSUPPORTED ? SF_IO : st;
    }
    return st;
}

static sf_status touched(int pagemap, uint64_t first, uint64_t end, nk_dirty_visit visit, void *arg)
{
    struct scan_args args = scan_begin(first, end, 0, SCAN_IS_PRESENT | SCAN_IS_SWAPPED, 0);
    sf_status st = scan_all(pagemap, &args, visit, arg);

    return st == SF_UNSUPPORTED
               ? walk(pagemap, first, end, ENTRY_PRESENT | ENTRY_SWAPPED, visit, arg)
               : st;
}

sf_status nk__pages_touched(uint64_t first, uint64_t end, nk_dirty_visit visit, void *arg)
{
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    sf_status st;

    if (pagemap < 0) {
        return SF_IO;
    }
    st = touched(pagemap, first, end, visit, arg);
    (void)close(pagemap);
    return st;
}

static sf_status bytes_add(void *arg, uint64_t first, uint64_t end)
{
    *(uint64_t *)arg += end - first;
    return SF_OK;
}

static sf_status own_scan(struct scan_args *args, nk_dirty_visit visit, void *arg)
{
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    sf_status st = pagemap < 0 ? SF_IO : scan_all(pagemap, args, visit, arg);

    if (pagemap >= 0) {
        (void)close(pagemap);
    }
    return st;
}

bool nk__pages_huge(uint64_t first, uint64_t end)
{
    struct scan_args args = scan_begin(first, end, SCAN_IS_HUGE, 0, 0);
    uint64_t bytes = 0;

    return own_scan(&args, bytes_add, &bytes) == SF_OK && bytes == end - first;
}

sf_status nk__pages_small(uint64_t first, uint64_t end, nk_dirty_visit visit, void *arg)
{
    struct scan_args args = scan_begin(first, end, SCAN_IS_PRESENT | SCAN_IS_HUGE, 0, 0);

    args.category_inverted = SCAN_IS_HUGE;
    return own_scan(&args, visit, arg);
}

/* --- write protection ---------------------------------------------------------------------------
 */

static int uffd_open(void)
{
    struct uffdio_api api = {.api = UFFD_API,
                             .features = FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED |
                                         UFFD_FEATURE_PAGEFAULT_FLAG_WP};
    int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

    if (uffd < 0) { /* the kernel's own writes do not wait for anybody either */
        uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | USER_MODE_ONLY);
    }
    if (uffd >= 0 && ioctl(uffd, UFFDIO_API, &api) != 0) {
        (void)close(uffd);
        uffd = -1;
    }
    return uffd;
}

static sf_status nothing(void *arg, uint64_t first, uint64_t end)
{
    (void)arg;
    (void)first;
    (void)end;
    return SF_OK;
}

static sf_status protect_begin(struct nk_dirty *dirty)
{
    struct uffdio_register range = {
        .range = {.start = dirty->first, .len = dirty->end - dirty->first},
        .mode = UFFDIO_REGISTER_MODE_WP};

    struct scan_args args =
        scan_begin(dirty->first, dirty->first + PAGE_BYTES, 0, SCAN_IS_WRITTEN, SCAN_CHECK_ASYNC);

    dirty->uffd = uffd_open();
    if (dirty->uffd < 0 || ioctl(dirty->uffd, UFFDIO_REGISTER, &range) != 0) {
        return SF_UNSUPPORTED;
    }
    dirty->way = NK_DIRTY_WRITE_PROTECT;
    /* Is there the other half? Watches nothing yet. */
    return scan_some(dirty->pagemap, &args, nothing, NULL);
}

/* --- soft dirty ---------------------------------------------------------------------------------
 */

static sf_status refs_clear(const struct nk_dirty *dirty)
{
    return pwrite(dirty->refs, "4", 1, 0) == 1 ? SF_OK : SF_IO;
}

static int page_is_dirty(const struct nk_dirty *dirty, const void *page)
{
    uint64_t entry = 0;

    return pread(dirty->pagemap, &entry, sizeof(entry),
                 (off_t)((uint64_t)page / PAGE_BYTES * sizeof(entry))) == sizeof(entry) &&
           (entry & ENTRY_SOFT_DIRTY) != 0;
}

/* Kernels without it have the file, and bits that say nothing: tries it with a page. */
static int soft_dirty_works(const struct nk_dirty *dirty)
{
    volatile uint8_t *page =
        mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int works;

    if (page == MAP_FAILED) {
        return 0;
    }
    page[0] = 1;
    works = refs_clear(dirty) == SF_OK && !page_is_dirty(dirty, (const void *)page);
    page[0] = 2;
    works = works && page_is_dirty(dirty, (const void *)page);
    (void)munmap((void *)page, PAGE_BYTES);
    return works;
}

static sf_status soft_begin(struct nk_dirty *dirty)
{
    if (soft_dirty_used) {
        return SF_AGAIN;
    }
    dirty->refs = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (dirty->refs < 0 || !soft_dirty_works(dirty)) {
        return SF_UNSUPPORTED;
    }
    dirty->way = NK_DIRTY_SOFT_DIRTY;
    soft_dirty_used = 1;
    return SF_OK;
}

/* --- both ---------------------------------------------------------------------------------------
 */

sf_status nk__dirty_begin(uint64_t first, uint64_t end, enum nk_dirty_way way,
                          struct nk_dirty **out_dirty)
{
    struct nk_dirty *dirty = malloc(sizeof(*dirty));
    sf_status st = SF_UNSUPPORTED;

    if (dirty == NULL) {
        return SF_NOMEM;
    }
    *dirty = (struct nk_dirty){.first = first, .end = end, .at = first, .uffd = -1, .refs = -1};
    dirty->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (dirty->pagemap < 0) {
        st = SF_IO;
    } else if (way != NK_DIRTY_SOFT_DIRTY) {
        st = protect_begin(dirty);
    }
    if (st == SF_UNSUPPORTED && way != NK_DIRTY_WRITE_PROTECT) {
        if (dirty->uffd >= 0) {
            (void)close(dirty->uffd);
            dirty->uffd = -1;
        }
        st = soft_begin(dirty);
    }
    if (st != SF_OK) {
        nk__dirty_end(dirty);
        return st;
    }
    *out_dirty = dirty;
    return SF_OK;
}

enum nk_dirty_way nk__dirty_way(const struct nk_dirty *dirty)
{
    return dirty->way;
}

static sf_status runs_add(void *arg, uint64_t first, uint64_t end)
{
    struct runs *runs = arg;

    if (runs->count == runs->capacity) {
        const size_t capacity = runs->capacity == 0 ? 64 : runs->capacity * 2;
        uint64_t(*grown)[2] = realloc(runs->runs, capacity * sizeof(*grown));

        if (grown == NULL) {
            return SF_NOMEM;
        }
        runs->runs = grown;
        runs->capacity = capacity;
    }
    runs->runs[runs->count][0] = first;
    runs->runs[runs->count++][1] = end;
    return SF_OK;
}

sf_status nk__dirty_mark(struct nk_dirty *dirty)
{
    sf_status st;

    if (dirty->way != NK_DIRTY_SOFT_DIRTY) {
        return SF_OK;
    }
    if (dirty->watched) {
        st = walk(dirty->pagemap, dirty->first, dirty->end, ENTRY_SOFT_DIRTY, runs_add,
                  &dirty->runs);
    } else {
        st = touched(dirty->pagemap, dirty->first, dirty->end, runs_add, &dirty->runs);
    }
    dirty->watched = 1;
    return st == SF_OK ? refs_clear(dirty) : st;
}

static sf_status soft_collect(struct nk_dirty *dirty, uint64_t pages_max, nk_dirty_visit visit,
                              void *arg, bool *out_over)
{
    struct runs *runs = &dirty->runs;
    sf_status st = SF_OK;

    while (st == SF_OK && runs->visited < runs->count && pages_max > 0) {
        uint64_t *run = runs->runs[runs->visited];
        const uint64_t first = run[0], pages = (run[1] - first) / PAGE_BYTES;

        if (pages <= pages_max) {
            runs->visited++;
            pages_max -= pages;
            st = visit(arg, first, run[1]);
        } else {
            run[0] = first + pages_max * PAGE_BYTES;
            pages_max = 0;
            st = visit(arg, first, run[0]);
        }
    }
    *out_over = runs->visited == runs->count;
    if (*out_over) {
        runs->count = runs->visited = 0;
    }
    return st;
}

/* Counts what it passes on. */
struct counted {
    nk_dirty_visit visit;
    void *arg;
    uint64_t pages;
};

static sf_status count(void *arg, uint64_t first, uint64_t end)
{
    struct counted *counted = arg;

    counted->pages += (end - first) / PAGE_BYTES;
    return counted->visit(counted->arg, first, end);
}

/* Where the last huge page ends that begins where it is, or after it, and is whole among so many
 * pages; or the first one. */
static uint64_t huge_end(const struct nk_dirty *dirty, uint64_t pages)
{
    uint64_t end = dirty->end;

    if (pages < (dirty->end - dirty->at) / PAGE_BYTES) {
        end = (dirty->at + pages * PAGE_BYTES) / HUGE_BYTES * HUGE_BYTES;
    }
    if (end <= dirty->at) {
        end = (dirty->at / HUGE_BYTES + 1) * HUGE_BYTES;
    }
    return end < dirty->end ? end : dirty->end;
}

/* Huge pages as a whole, if there may be as many: watching a part would split them. */
static sf_status protect_collect(struct nk_dirty *dirty, uint64_t pages_max, nk_dirty_visit visit,
                                 void *arg)
{
    struct counted counted = {visit, arg, 0};
    /* A page that was never touched counts as written, too, and there are many. */
    struct scan_args args = scan_begin(dirty->at, dirty->end, SCAN_IS_WRITTEN,
                                       SCAN_IS_PRESENT | SCAN_IS_SWAPPED, SCAN_WATCH);
    sf_status st;

    if (pages_max < NK_DIRTY_HUGE_PAGES) {
        args.max_pages = pages_max;
        st = scan_some(dirty->pagemap, &args, visit, arg);
        dirty->at = args.walk_end;
        return st;
    }
    do {
        args.end = huge_end(dirty, pages_max - counted.pages);
        st = scan_all(dirty->pagemap, &args, count, &counted);
        dirty->at = args.walk_end;
    } while (st == SF_OK && dirty->at < dirty->end &&
             counted.pages + NK_DIRTY_HUGE_PAGES <= pages_max);
    return st;
}

sf_status nk__dirty_collect(struct nk_dirty *dirty, uint64_t pages_max, nk_dirty_visit visit,
                            void *arg, bool *out_over)
{
    sf_status st;

    if (dirty->way == NK_DIRTY_SOFT_DIRTY) {
        return soft_collect(dirty, pages_max, visit, arg, out_over);
    }
    st = protect_collect(dirty, pages_max, visit, arg);
    *out_over = dirty->at >= dirty->end;
    if (*out_over) {
        dirty->at = dirty->first;
    }
    return st == SF_UNSUPPORTED ? SF_IO : st;
}

bool nk__dirty_forget(struct nk_dirty *dirty, uint64_t first, uint64_t end)
{
    struct uffdio_range range = {.start = first, .len = end - first};

    return dirty == NULL || dirty->way != NK_DIRTY_WRITE_PROTECT ||
           ioctl(dirty->uffd, UFFDIO_UNREGISTER, &range) == 0;
}

void nk__dirty_end(struct nk_dirty *dirty)
{
    if (dirty == NULL) {
        return;
    }
    if (dirty->way == NK_DIRTY_SOFT_DIRTY) {
        soft_dirty_used = 0;
    }
    if (dirty->uffd >= 0) {
        (void)close(dirty->uffd); /* ends the protection, too */
    }
    if (dirty->refs >= 0) {
        (void)close(dirty->refs);
    }
    if (dirty->pagemap >= 0) {
        (void)close(dirty->pagemap);
    }
    free(dirty->runs.runs);
    free(dirty);
}
