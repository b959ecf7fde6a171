/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#include "link/dpdk.h"
#include "log.h"

#define ARGUMENTS_MAX (16 + 2 * LINK_DPDK_PCI_MAX)
#define PCI_ALLOW_BYTES_MAX (LINK_DPDK_PCI_MAX * 16)
#define MEMORY_MIB_DEFAULT 64u

struct arguments {
    char bytes[1024];
    size_t used;
    char *list[ARGUMENTS_MAX + 1];
    int count;
};

static bool started;
static char start_text[640];

static void argument_add(struct arguments *arguments, const char *text)
{
    size_t bytes = strlen(text) + 1;

    assert(arguments->count < ARGUMENTS_MAX);
    assert(arguments->used + bytes <= sizeof(arguments->bytes));
    arguments->list[arguments->count] = arguments->bytes + arguments->used;
    memcpy(arguments->list[arguments->count], text, bytes);
    arguments->used += bytes;
    arguments->count++;
}

/*
 * One lcore that may run on every processor this process may run on: EAL pins its main thread to
 * the lcore's set, and pinning would put all hosted nodes of a machine on one core.
 */
static void lcore_write(const cpu_set_t *set, char *text, size_t capacity)
{
    size_t used = (size_t)snprintf(text, capacity, "0@(");
    const char *comma = "";

    for (int first = 0; first < CPU_SETSIZE; first++) {
        int last = first;

        if (!CPU_ISSET(first, set)) {
            continue;
        }
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set)) {
            last++;
        }
        if (used + 16 >= capacity) {
            break;
        }
        used += (size_t)snprintf(text + used, capacity - used, "%s%d-%d", comma, first, last);
        comma = ",";
        first = last;
    }
    (void)snprintf(text + used, capacity - used, ")");
}

/* One -a for each address; addresses: checked, or NULL. */
static void pci_fill(struct arguments *arguments, const char *addresses)
{
    char copy[PCI_ALLOW_BYTES_MAX + 1] = "";
    char *rest = copy;
    const char *address;

    if (addresses == NULL) {
        argument_add(arguments, "--no-pci");
        return;
    }
    (void)snprintf(copy, sizeof(copy), "%s", addresses);
    while ((address = strtok_r(rest, " ", &rest)) != NULL) {
        argument_add(arguments, "-a");
        argument_add(arguments, address);
    }
}

static bool pci_fits(const char *addresses)
{
    uint32_t count = 1;

    for (const char *at = addresses; *at != '\0'; at++) {
        count += *at == ' ';
    }
    return strlen(addresses) <= PCI_ALLOW_BYTES_MAX && count <= LINK_DPDK_PCI_MAX;
}

static void arguments_fill(struct arguments *arguments, const struct link_dpdk_options *options,
                           const cpu_set_t *set)
{
    uint32_t memory_mib;
    char text[256];

    argument_add(arguments, "sipfabric");
    argument_add(arguments, "--no-telemetry");
    argument_add(arguments, "--log-level=error");
    lcore_write(set, text, sizeof(text));
    argument_add(arguments, "--lcores");
    argument_add(arguments, text);
    if (options->file_prefix != NULL) {
        (void)snprintf(text, sizeof(text), "--file-prefix=%s", options->file_prefix);
    } else {
        (void)snprintf(text, sizeof(text), "--file-prefix=sipfabric%d", (int)getpid());
    }
    argument_add(arguments, text);
    pci_fill(arguments, options->pci_allow);
    if (options->hugepages) {
        argument_add(arguments, "--in-memory");
        memory_mib = options->memory_mib;
    } else {
        argument_add(arguments, "--no-huge");
        argument_add(arguments, "--no-shconf");
        memory_mib = options->memory_mib != 0 ? options->memory_mib : MEMORY_MIB_DEFAULT;
    }
    if (memory_mib != 0) {
        (void)snprintf(text, sizeof(text), "%u", memory_mib);
        argument_add(arguments, "-m");
        argument_add(arguments, text);
    }
}

static sf_status options_check(const struct link_dpdk_options *options, const char **out_text)
{
    if (started) {
        *out_text = "dpdk: started already";
        return SF_EXISTS;
    }
    if (!__builtin_cpu_supports("ssse3") || !__builtin_cpu_supports("sse4.2")) {
        *out_text = "dpdk: the processor has no SSSE3 or SSE4.2 (QEMU: -cpu max or Nehalem)";
        return SF_UNSUPPORTED;
    }
    if (options->pci_allow != NULL && !options->hugepages) {
        *out_text = "dpdk: a PCI device needs hugepages";
        return SF_BADARG;
    }
    if ((options->pci_allow != NULL && !pci_fits(options->pci_allow)) ||
        (options->file_prefix != NULL && strlen(options->file_prefix) > 64)) {
        *out_text = "dpdk: more than 8 PCI addresses, or a file prefix over 64 bytes";
        return SF_BADARG;
    }
    return SF_OK;
}

/* Signals a fault of the code itself raises: EAL probes hugepages with SIGBUS. */
static void signals_block(sigset_t *out_before)
{
    static const int faults[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t set;

    (void)sigfillset(&set);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        (void)sigdelset(&set, faults[i]);
    }
    (void)pthread_sigmask(SIG_SETMASK, &set, out_before);
}

sf_status link_dpdk_start(const struct link_dpdk_options *options, const char **out_text)
{
    struct arguments arguments = {0};
    const char *said;
    cpu_set_t affinity;
    sigset_t signals;
    sf_status st;
    int result;

    assert(options != NULL);
    assert(out_text != NULL);

    st = options_check(options, out_text);
    if (st != SF_OK) {
        return st;
    }
    if (sched_getaffinity(0, sizeof(affinity), &affinity) != 0) {
        *out_text = "dpdk: cannot read the processors this process may use";
        return SF_IO;
    }
    arguments_fill(&arguments, options, &affinity);
    dpdk__log_install();
    dpdk__log_catch();
    /* EAL's own threads start with these signals blocked, so that none lands there. */
    signals_block(&signals);
    result = rte_eal_init(arguments.count, arguments.list);
    (void)pthread_sigmask(SIG_SETMASK, &signals, NULL);
    (void)sched_setaffinity(0, sizeof(affinity), &affinity);
    said = dpdk__log_caught();
    if (result < 0) {
        (void)snprintf(start_text, sizeof(start_text),
                       "dpdk: EAL did not start: %s (%s); look at %s", rte_strerror(rte_errno),
                       said,
                       options->hugepages
                           ? "/proc/sys/vm/nr_hugepages and the driver the PCI device is bound to"
                           : "ulimit -v and free memory");
        *out_text = start_text;
        return SF_IO;
    }
    started = true;
    return SF_OK;
}

/* A pool's cache goes with the lcore id that a thread gets here; without one, it goes to the pool.
 */
void link_dpdk_thread_begin(void)
{
    if (started && rte_lcore_id() == LCORE_ID_ANY) {
        (void)rte_thread_register();
    }
}

void link_dpdk_thread_end(void)
{
    if (started && rte_lcore_id() != LCORE_ID_ANY) {
        rte_thread_unregister();
    }
}

void link_dpdk_stop(void)
{
    if (started) {
        (void)rte_eal_cleanup();
        started = false;
    }
}
