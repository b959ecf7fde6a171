/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_contracts.h - two contracts for the fabric's tests, laid out by hand.
 *
 * Work: the importer asks and the exporter answers; three in a row fill the exporter's queue.
 *   Start:  Ask | Bytes -> Asked, Burst -> Burst1     (importer sends)
 *   Burst1: Burst -> Burst2                           (importer sends)
 *   Burst2: Burst -> Asked, End -> Over               (importer sends)
 *   Asked:  Answer | Give -> Start                    (exporter sends)
 *   Over:   final
 *
 * Carry: moves ends of Work channels, either way.
 *   Left:      TakeImp | TakeExp | TakeBusy -> LeftTold, Pass -> Right   (importer sends)
 *   LeftTold:  Done -> Left                                              (exporter sends)
 *   Right:     TakeImp | TakeExp | TakeBusy -> RightTold, Pass -> Left   (exporter sends)
 *   RightTold: Done -> Right                                             (importer sends)
 */
#ifndef FABRIC_TEST_CONTRACTS_H
#define FABRIC_TEST_CONTRACTS_H

#include "contracts/table.h"

enum { WORK_ASK, WORK_BYTES, WORK_BURST, WORK_END, WORK_ANSWER, WORK_GIVE, WORK_MESSAGES };
enum { WORK_START, WORK_BURST1, WORK_BURST2, WORK_ASKED, WORK_OVER, WORK_STATES };
enum { CARRY_TAKE_IMP, CARRY_TAKE_EXP, CARRY_PASS, CARRY_DONE, CARRY_TAKE_BUSY, CARRY_MESSAGES };
enum { CARRY_LEFT, CARRY_LEFT_TOLD, CARRY_RIGHT, CARRY_RIGHT_TOLD, CARRY_STATES };

/* Args: Ask(uint64, uint32, int8, bool), Bytes(block bytes, block uint32 optional), Burst(uint64),
 * Answer(uint64), Give(uint64, block bytes), TakeImp(uint64, Work.Imp:Start),
 * TakeExp(uint64, Work.Exp:Asked optional), TakeBusy(uint64, Work.Imp:Burst1). */
const struct ct_contract *test_work(void);
const struct ct_contract *test_carry(void);

#endif
