/* SPDX-License-Identifier: Apache-2.0 */
#include "gate.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

_Static_assert(offsetof(struct nk_cpu, kernel_rsp) == NK_CPU_KERNEL_RSP, "gate.S");
_Static_assert(offsetof(struct nk_cpu, sip) == NK_CPU_SIP, "gate.S");
_Static_assert(offsetof(struct nk_cpu, head) == NK_CPU_HEAD, "gate.S");
_Static_assert(offsetof(struct nk_cpu, table) == NK_CPU_TABLE, "gate.S");
_Static_assert(offsetof(struct nk_cpu, calls) == NK_CPU_CALLS, "gate.S");
_Static_assert(offsetof(struct nk_cpu, resched) == NK_CPU_RESCHED, "gate.S");
_Static_assert(offsetof(struct nk_cpu, restored) == NK_CPU_RESTORED, "gate.S");
_Static_assert(offsetof(struct nk_cpu, restored_calls) == NK_CPU_RESTORED_CALLS, "gate.S");
_Static_assert(offsetof(struct nk_head, rsp) == 0, "gate.S");

#define GATE_BYTES 4096u

extern const uint8_t nk__gate_begin[], nk__gate_start[], nk__gate_started[], nk__gate_restore[],
    nk__gate_end[];

__thread struct nk_cpu nk__cpu;
static unsigned gate_users;

sf_status nk__gate_install(void)
{
    size_t bytes = (size_t)(nk__gate_end - nk__gate_begin);
    void *page;

    assert(bytes <= GATE_BYTES);
    if (gate_users > 0) {
        gate_users++;
        return SF_OK;
    }
    page = mmap((void *)NK_GATE_ADDRESS, GATE_BYTES, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (page == MAP_FAILED) {
        return errno == EEXIST ? SF_EXISTS : SF_NOMEM;
    }
    memset(page, 0xcc, GATE_BYTES); /* int3 */
    memcpy(page, nk__gate_begin, bytes);
    if (mprotect(page, GATE_BYTES, PROT_READ | PROT_EXEC) != 0) {
        (void)munmap(page, GATE_BYTES);
        return SF_IO;
    }
    gate_users = 1;
    return SF_OK;
}

void nk__gate_remove(void)
{
    assert(gate_users > 0);
    if (--gate_users == 0) {
        (void)munmap((void *)NK_GATE_ADDRESS, GATE_BYTES);
    }
}

uint64_t nk__gate_start_address(void)
{
    return NK_GATE_ADDRESS + (uint64_t)(nk__gate_start - nk__gate_begin);
}

uint64_t nk__gate_started_address(void)
{
    return NK_GATE_ADDRESS + (uint64_t)(nk__gate_started - nk__gate_begin);
}

uint64_t nk__gate_restore_address(void)
{
    return NK_GATE_ADDRESS + (uint64_t)(nk__gate_restore - nk__gate_begin);
}
