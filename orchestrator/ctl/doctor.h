/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor.h - fabricctl doctor: what of this machine makes a link impossible, slow or unsafe.
 *
 * Why: most trouble with user-space networking is set-up, and the worst of it is silent: a driver
 * that is not the one that was meant, a clock that costs a system call, memory that is not there.
 *
 * Model: a table of checks (doctor_checks), each with the drivers it matters for. A check reads
 * /proc, /sys and /dev below `root`, says what it found and what to do, and may block drivers:
 * until the fix it named is done, or for good. Nothing is changed, no device is opened. What is
 * read is untrusted text: bounded, and made printable.
 *
 * Severity: what a driver lacks is a warning, and a failure if the user asked for that driver
 * (doctor_bad). What every node needs is a failure always.
 *
 * Threads: one. Memory: findings live until doctor_fini. Limits: DOCTOR_TEXT_BYTES a text,
 * DOCTOR_LIST_MAX entries of a folder.
 */
#ifndef CTL_DOCTOR_H
#define CTL_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/ctl.h"

#define DOCTOR_TEXT_BYTES 640u
#define DOCTOR_LIST_MAX 4096u

enum doctor_status { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_SKIP, DOCTOR_STATUS_COUNT };

/* Bits, for masks. */
enum doctor_driver {
    DOCTOR_MEMIF = 1,
    DOCTOR_AF_PACKET = 2,
    DOCTOR_VIRTIO = 4,
    DOCTOR_DPDK = 8, /* an Ethernet device with a poll-mode driver */
    DOCTOR_RDMA = 16,
};
#define DOCTOR_DRIVER_COUNT 5u
#define DOCTOR_PCI (DOCTOR_VIRTIO | DOCTOR_DPDK)
#define DOCTOR_ALL (DOCTOR_MEMIF | DOCTOR_AF_PACKET | DOCTOR_PCI | DOCTOR_RDMA)

enum doctor_reach { DOCTOR_WORKS, DOCTOR_AFTER_FIXES, DOCTOR_NOT_HERE };

struct doctor_finding {
    enum doctor_status status;
    char name[48];
    char found[DOCTOR_TEXT_BYTES];
    char fix[DOCTOR_TEXT_BYTES]; /* empty: nothing to do */
};

struct doctor {
    struct ctl_context *context;
    const char *root;   /* "" is this machine */
    const char *device; /* NULL: all */
    unsigned drivers;   /* that are looked at */
    bool asked;         /* for one driver in particular */

    struct doctor_finding *findings;
    size_t count;
    struct {
        enum doctor_reach reach;
        char why[160];
    } driver[DOCTOR_DRIVER_COUNT]; /* by bit */

    /* What later checks want to know. */
    bool vfio_ready;      /* loaded, and there is an IOMMU or no-IOMMU mode */
    bool vfio_can;        /* can be made so */
    bool uio_ready;       /* loaded and not locked down */
    bool uio_can;         /* can be made so */
    uint64_t huge_free;   /* 2 MiB pages */
    uint64_t iommu_count; /* groups */
    unsigned rdma_count;  /* devices that were looked at */
    unsigned rdma_iwarp;  /* of them, those joined by rdma_cm only */
    bool rdma_siw;        /* soft-iWARP is among them */
};

struct doctor_check {
    const char *name;
    unsigned drivers;
    void (*run)(struct doctor *doctor, const char *name);
};
extern const struct doctor_check doctor_checks[]; /* ends with a name of NULL */

/* --- saying -------------------------------------------------------------------------------------
 */

/* One line. Without memory the process ends, as fabricctl's tables do. */
void doctor_say(struct doctor *doctor, enum doctor_status status, const char *name,
                const char *format, ...) __attribute__((format(printf, 4, 5)));
/* A check that cannot be made, for want of that file: skipped. */
void doctor_say_unreadable(struct doctor *doctor, const char *name, const char *path);
/* What to do about the line that was said last. */
void doctor_fix(struct doctor *doctor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* These drivers do not work: until a fix, or here at all. The worst first reason is kept. */
void doctor_block(struct doctor *doctor, unsigned drivers, enum doctor_reach reach,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* FAIL if the user asked for a driver, else WARN. */
enum doctor_status doctor_bad(const struct doctor *doctor);

/* A text that is put together; what does not fit is cut. */
struct doctor_text {
    char bytes[DOCTOR_TEXT_BYTES];
    size_t used;
};
void doctor_add(struct doctor_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* --- reading below root (doctor_read.c) ---------------------------------------------------------
 */

/* The beginning of a file, without the newline at its end. False: it cannot be read. */
bool doctor_read(const struct doctor *doctor, char *buffer, size_t capacity, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));
/* A whole number, also negative, decimal or with 0x. False: no file, or no number in it. */
bool doctor_read_number(const struct doctor *doctor, int64_t *out_number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool doctor_has(const struct doctor *doctor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* This user may read and write it. */
bool doctor_may_open(const struct doctor *doctor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Last part of what a symbolic link names; it need not exist. */
bool doctor_link_name(const struct doctor *doctor, char *buffer, size_t capacity,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));
/* True if some line of a file (of any length) has that text in it. */
bool doctor_file_has(const struct doctor *doctor, const char *text, const char *path);

struct doctor_list {
    char **names;
    size_t count;
};
/* Entries of a folder, sorted, without those that begin with a dot; none if there is no folder. */
void doctor_list_read(const struct doctor *doctor, struct doctor_list *out_list, const char *format,
                      ...) __attribute__((format(printf, 3, 4)));
void doctor_list_fini(struct doctor_list *list);

/* True if `word` stands in `text` between blanks, commas or its ends. */
bool doctor_has_word(const char *text, const char *word);
/* How many processors a list such as "0-3,8" names. */
uint32_t doctor_cpu_count(const char *list);

/* --- facts of the machine that several checks use -----------------------------------------------
 */

/* Flags of the first processor, with a blank at both ends. False: cannot be read. */
bool doctor_cpu_flags(const struct doctor *doctor, char *buffer, size_t capacity);
/* Effective capabilities (capability.h numbers them). False: cannot be read. */
bool doctor_capabilities(const struct doctor *doctor, uint64_t *out_bits);
/* Soft and hard value of a line of /proc/self/limits; UINT64_MAX: unlimited. */
bool doctor_limit_read(const struct doctor *doctor, const char *title, uint64_t *out_soft,
                       uint64_t *out_hard);
/* Of the running kernel: can be loaded, or is built in. `file` has a slash in front. */
bool doctor_module_there(const struct doctor *doctor, const char *file);
#define DOCTOR_CAP_NET_RAW 13u
#define DOCTOR_CAP_IPC_LOCK 14u
#define DOCTOR_CAP_SYS_ADMIN 21u

/* --- checks that stand in files of their own ----------------------------------------------------
 */
void doctor_check_hugepages(struct doctor *doctor, const char *name);
void doctor_check_gigapages(struct doctor *doctor, const char *name);
void doctor_check_iommu(struct doctor *doctor, const char *name);
void doctor_check_vfio(struct doctor *doctor, const char *name);
void doctor_check_uio(struct doctor *doctor, const char *name);
void doctor_check_nics(struct doctor *doctor, const char *name);
void doctor_check_interfaces(struct doctor *doctor, const char *name);
void doctor_check_rdma(struct doctor *doctor, const char *name);
void doctor_check_rdma_cm(struct doctor *doctor, const char *name);
void doctor_check_rdma_memory(struct doctor *doctor, const char *name);
void doctor_check_cluster(struct doctor *doctor, const char *name);

/* --- interfaces (doctor_net.c) ------------------------------------------------------------------
 */
struct doctor_interface {
    char name[32];
    bool ethernet;
    bool up;
    bool carrier;
    int64_t mtu_bytes;
    char use[160]; /* what the kernel uses it for: addresses, routes, a bridge; empty: nothing */
};
/* False: there is no such interface. */
bool doctor_interface_read(const struct doctor *doctor, const char *name,
                           struct doctor_interface *out_interface);

#endif
