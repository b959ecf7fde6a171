#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two nodes over a wire that loses, doubles and reorders: everything arrives, once and in order.

usage: lossy_test.py [SECONDS [METHOD]]     of the sealed run (120); the others take a sixth, as far as 5
METHOD: netem or relay, which says what makes the wire bad (lossy.py); else netem where there is one.
With netem asked for, the others take a twelfth: setting up takes its time in emulation.

Each node is a process with kernel, main loop, session and af_packet driver (bench_link); the SIPs
on both know what has to come (proof_sip.c), so what is lost, doubled, reordered or altered above
the session ends them. Here is checked that they got through, that both count the same, and that
the wire was as bad as it says. Then our goodput beside TCP's over the same wire, for people.
"""
import json
import os
import signal
import subprocess
import sys
import time

import lossy
import nets
from pairs import PairError

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 120
METHOD = sys.argv[2] if len(sys.argv) > 2 else None
SHORT_SECONDS = max(5, SECONDS // (12 if METHOD == "netem" else 6))
GOODPUT_SECONDS = 5
# Each way: a hundredth of what a machine does that is busy with other things; under emulation, which is
# where netem is, a tenth.
MESSAGES_MIN = 300 if METHOD == "netem" else 1000


def note(text):
    print(f"# {text}", flush=True)


def wire_was_bad(counts):
    """As often as it should: within six standard deviations, so that chance alone never fails this."""
    for way in ("there", "back"):
        of = counts[way]
        for kind, permille in (("lost", "loss"), ("doubled", "double"), ("reordered", "reorder")):
            if kind in of:  # netem does not count what it reordered
                wanted = of["frames"] * lossy.PERMILLE[permille] / 1000
                assert of[kind] > 0 and abs(of[kind] - wanted) < 6 * wanted ** 0.5 + 1, (way, kind, counts)


def check(found, sealed):
    first, second = found["proof"]
    for one, other in ((first, second), (second, first)):
        assert one["sent"] == other["received"] and one["bytes_sent"] == other["bytes_received"], found
        assert one["sent"] > MESSAGES_MIN, found
    for session in found["session"]:
        assert session["losses"] == 0 and session["resent"] > 0, found
        assert (session["cipher"] == "none") != sealed, found
        # A sealed session takes no frame twice, whatever is in it.
        assert session["rejected" if sealed else "duplicate"] > 0, found
    wire_was_bad(found["counts"])


def tell(found):
    second = found["proof"][1]
    rate = (second["bytes_sent"] + second["bytes_received"]) * 1e3 / second["ns"]
    note(f"{found['method']}: {second['sent']} messages there, {second['received']} back, "
         f"{rate:.1f} MB/s in both directions together")
    for session in found["session"]:
        note(f"session {json.dumps(session)}")
    note(f"wire {json.dumps(found['counts'])}")


def sealed_nothing_is_lost_doubled_reordered_or_altered():
    found = lossy.proof(SECONDS, "on", method=METHOD)
    tell(found)
    check(found, True)


def clear_nothing_is_lost_doubled_reordered_or_altered():
    found = lossy.proof(SHORT_SECONDS, "off", seed=2, method=METHOD)
    tell(found)
    check(found, False)


def goodput_beside_tcp():
    lines = [lossy.our_goodput(GOODPUT_SECONDS, encrypt, method=METHOD) for encrypt in ("on", "off")]
    lines += [lossy.tcp_goodput(GOODPUT_SECONDS, name, method=METHOD)
              for name in lossy.congestion_controls()]
    for line in lines:
        note(f"{line['metric']}: {line['value']:.1f} {line['unit']}")
        note(json.dumps(line))
        assert line["value"] > 0.1, line


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def is_there(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def nothing_is_left_when_it_is_ended():
    code = ("import lossy, signal, sys\n"
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\n"
            f"lossy.proof(60, 'on', method={METHOD!r})\n")
    run = subprocess.Popen([sys.executable, "-c", code], cwd=HERE, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    try:
        # Both nodes, and the relay if there is one.
        wanted = 3 if lossy.BadWire(method=METHOD).method == "relay" else 2
        end = time.monotonic() + 30
        while len(children_of(run.pid)) < wanted and time.monotonic() < end:
            time.sleep(0.05)
        children = children_of(run.pid)
        assert len(children) >= 2, children
    finally:
        run.send_signal(signal.SIGTERM)
        run.wait(30)
    end = time.monotonic() + 10
    while any(map(is_there, children)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_there, children)), children
    names = nets.run("ip", "netns", "list")
    assert f"{nets.PREFIX}-{run.pid}-" not in names, names


CASES = (
    sealed_nothing_is_lost_doubled_reordered_or_altered,
    clear_nothing_is_lost_doubled_reordered_or_altered,
    goodput_beside_tcp, nothing_is_left_when_it_is_ended,
)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"1..{len(CASES)}", flush=True)
    failed, why_not = False, nets.possible()
    for number, case in enumerate(CASES, 1):
        title = case.__name__.replace("_", " ")
        if why_not:
            print(f"ok {number} - {title} # SKIP {why_not}")
            continue
        try:
            case()
            print(f"ok {number} - {title}", flush=True)
        except (AssertionError, OSError, RuntimeError, PairError) as error:
            failed = True
            print(f"not ok {number} - {title}\n# {error!r}", flush=True)
    return 1 if failed else 0


sys.exit(main())
