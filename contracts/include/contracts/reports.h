/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reports.h - what contractc bounds and contractc compat say, as text for people and as JSON.
 *
 * Compatibility, model: a channel has an importer and an exporter, each built from its own version
 * of a contract. Both machines are run against each other with their queues (messages are known by
 * name, arguments by type and place; argument names do not matter), once with the old importer and
 * the new exporter, once the other way. They are compatible in a state if, from that state at both
 * ends with nothing under way, nothing can go wrong: no message arrives that is not expected or
 * that has other arguments, no queue gets full, nobody waits for ever.
 *
 *   YES     in the start state and in every named state of the old contract: open channels may
 *           change over at any time
 *   STATES  only in the states that are listed: a channel must be in one of them (or begin anew,
 *           if the start state is among them)
 *   NO      in no state that has a step
 *
 * Arguments fit if the receiver understands all that the sender may send: the same kind and
 * element, `?` at the receiver if at the sender, every value of the sender's enum known by the same
 * name and number, and for endpoints the same side and state of a contract of the same name that
 * is compatible from that state on. There the receiver's version is at the end that travels, the
 * sender's at the other.
 *
 * Ownership: texts are malloced, the caller frees. Memory: as compiler.h.
 */
#ifndef CONTRACTS_REPORTS_H
#define CONTRACTS_REPORTS_H

#include "contracts/compiler.h"

enum ctc_format { CTC_FORMAT_TEXT, CTC_FORMAT_JSON };

/* Bounds of all given contracts. After a successful ctc_check. */
char *ctc_bounds(const struct ctc *ctc, enum ctc_format format);

enum ctc_compatible { CTC_COMPATIBLE_YES, CTC_COMPATIBLE_STATES, CTC_COMPATIBLE_NO };

/*
 * Compares all given contracts of the old compilation with those of the same name in the new one;
 * a single one on either side is compared whatever the names. *out_worst is the worst answer; a
 * contract that is gone is NO. Both after a successful ctc_check.
 */
char *ctc_compat(const struct ctc *old, const struct ctc *new, enum ctc_format format,
                 enum ctc_compatible *out_worst);

#endif
