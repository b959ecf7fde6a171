/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.h - what the files of the probe share. The probe is one SIP with many behaviours; the
 * config value "mode" chooses one. It ends with 0 if all that it expected held, else with the
 * number of the line that did not.
 */
#ifndef PROBE_H
#define PROBE_H

#include "ProbeContract.h"
#include "sip.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            sip_log("%s:%d: %s", __FILE__, __LINE__, #condition);                                  \
            nk_exit(__LINE__);                                                                     \
        }                                                                                          \
    } while (0)

#define NAME(text) (text), sizeof(text) - 1

int probe_hostile(void);
int probe_fault(const char *mode);
int probe_recycle(const char *mode);
int probe_slots(const char *mode); /* -1: not one of its modes */
int probe_report(const char *mode);
int probe_wait(const char *mode); /* -1: not one of its modes */

#endif
