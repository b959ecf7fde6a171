/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a manifest limits with death as the consequence: processor time in all, computing without a
 * kernel call, sending against a contract. (More memory or blocks than allowed are not there: the
 * call answers so, and the SIP goes on.)
 *
 * Time is charged by the tick, to the SIP that runs then, with the thread's processor time since
 * the tick before: nothing is paid for it between ticks. So a SIP is charged up to a tick too much
 * or too little each time it is resumed, and one that is over a limit ends at the next tick that
 * finds it.
 *
 * A share (cpu_percent) is a limit without death: a SIP that has used more of the last second or
 * two than its share rests, from the tick that finds it so, until it has not.
 */
#include "internal.h"

#include "image.pb-c.h"

#include <time.h>

#define NS_PER_MS 1000000ull
#define SHARE_WINDOW_NS                                                                            \
    1000000000ull /* what a SIP did longer ago counts half, then a quarter...                      \
                   */

static uint64_t thread_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void nk__quota_init(struct nk_sip *sip)
{
    const struct Sf__Image__Manifest *manifest = sip->image->image->manifest;

    sip->cpu_ns_max = manifest->cpu_ms_max * NS_PER_MS;
    sip->slice_ns_max = manifest->slice_ms_max * NS_PER_MS;
    sip->violation_faults = manifest->violation_faults != 0;
}

void nk__quota_skip(void)
{
    nk__cpu.charged_ns = thread_ns();
}

uint8_t nk__quota_tick(struct nk_sip *sip)
{
    uint64_t before = nk__cpu.charged_ns;

    nk__quota_skip();
    sip->cpu_ns += nk__cpu.charged_ns - before;
    sip->share_used_ns += nk__cpu.charged_ns - before;
    if (nk__cpu.restored == sip && nk__cpu.restored_calls == nk__cpu.calls) {
        sip->slice_ns += nk__cpu.charged_ns - before;
    } else {
        sip->slice_ns = 0; /* it began somewhere since the tick before */
    }
    if (nk__quota_cpu_over(sip)) {
        return SF_FAULT_QUOTA;
    }
    if (sip->slice_ns_max != 0 && sip->slice_ns >= sip->slice_ns_max) {
        return SF_FAULT_ENDLESS_LOOP;
    }
    return SF_FAULT_NONE;
}

uint64_t nk__quota_rest(struct nk_sip *sip)
{
    uint64_t now_ns, since_ns;

    if (sip->cpu_percent == 0) {
        return 0;
    }
    now_ns = nk__now();
    if (sip->share_from_ns == 0) {
        sip->share_from_ns = now_ns - sip->share_used_ns;
    }
    since_ns = now_ns - sip->share_from_ns;
    while (since_ns > SHARE_WINDOW_NS) {
        since_ns /= 2;
        sip->share_used_ns /= 2;
    }
    sip->share_from_ns = now_ns - since_ns;
    if (sip->share_used_ns * 100 <= since_ns * sip->cpu_percent) {
        return 0;
    }
    return sip->share_from_ns + sip->share_used_ns * 100 / sip->cpu_percent;
}

int64_t nk__send_refused(struct nk_sip *sip, const struct nk_port *port, uint32_t tag,
                         sf_status status)
{
    if (status == SF_CONTRACT && sip->violation_faults) {
        sip->where = (struct nk_fault){.handle = port->handle,
                                       .tag = tag < UINT8_MAX ? (uint8_t)tag : UINT8_MAX,
                                       .state = fab_ep_state(port->ep)};
        nk__fault_from_call(sip, SF_FAULT_CONTRACT);
    }
    return -(int64_t)status;
}
