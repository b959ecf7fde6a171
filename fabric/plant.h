/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plant.h - private to fabric: bugs on purpose, for the test that shows that the simulator finds
 * such bugs (tests/sim/bugs_test.c, moves_bugs_test.c).
 *
 * FAB__PLANTED(bug) is false, and costs nothing, unless the fabric is compiled a second time with
 * FAB_PLANT defined, which that test does for itself. There fab__plant says which bug is there.
 * One line at each place, none anywhere else.
 */
#ifndef FABRIC_PLANT_H
#define FABRIC_PLANT_H

#include <stdbool.h>
#include <stdint.h>

enum fab__plant {
    FAB__PLANT_NONE = 0,
    /* receive.c: the records of a frame that was had before are taken once more. */
    FAB__PLANT_DEDUP,
    /* Not in the fabric: the simulated orchestrator boots a node with the epoch it had. */
    FAB__PLANT_EPOCH,
    /*
     * window.c: a place in the window is a session's credit. That of a frame which the peer had
     * seen beyond a hole is not given back when the hole is filled.
     */
    FAB__PLANT_CREDIT,
    /* outbox.c: a block is freed for each of its frames that is acknowledged, not for the last one.
     */
    FAB__PLANT_FREE,
    /* endpoint.c: a tombstone whose channel was closed does not tell where the endpoint went. */
    FAB__PLANT_CLOSE,
    /* Of SIPs that move (tests/sim/moves_bugs_test.c). */
    /* outbox.c: HELD is said in the middle of a message. */
    FAB__PLANT_HELD,
    /* sip_move.c: the target begins when it has all, and does not wait for COMMIT. */
    FAB__PLANT_EARLY,
    /* sip_move.c: the source goes on by itself when it hears nothing after COMMIT. */
    FAB__PLANT_DOUBT,
    /* held.c: a witness forgets what it has seen. */
    FAB__PLANT_SEEN,
    /* held.c: nobody asks the target when the source is gone. */
    FAB__PLANT_ASK,
    FAB__PLANTS,
};

#ifdef FAB_PLANT
extern enum fab__plant fab__plant;
#define FAB__PLANTED(bug) (fab__plant == (bug))
#else
#define FAB__PLANTED(bug) false
#endif

#endif
