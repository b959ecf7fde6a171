/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait.c - an import again, after its exporter ended and was made again.
 */
#include "sip.h"

#define PAUSE_NS_MIN SIP_MS(1)
#define PAUSE_NS_MAX SIP_MS(50)

int32_t sip_endpoint_wait(const char *name, int64_t timeout_ns)
{
    const int64_t start_ns = nk_clock_ns();
    int64_t pause_ns = PAUSE_NS_MIN;

    for (;;) {
        const int32_t handle = sip_endpoint(name);
        const int64_t waited_ns = nk_clock_ns() - start_ns;

        if (handle != -SF_NOTFOUND) {
            return handle;
        }
        if (timeout_ns >= 0 && waited_ns >= timeout_ns) {
            return -SF_TIMEOUT;
        }
        if (timeout_ns >= 0 && pause_ns > timeout_ns - waited_ns) {
            pause_ns = timeout_ns - waited_ns;
        }
        sip_sleep_ns(pause_ns);
        pause_ns = pause_ns * 2 < PAUSE_NS_MAX ? pause_ns * 2 : PAUSE_NS_MAX;
    }
}
