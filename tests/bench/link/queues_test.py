#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two nodes whose workers each look after a queue of the link between them.

Each node is a process with kernel, main loop, session and driver (bench_link); a SIP on every worker
talks to one of the other node, and both know what has to come (proof_sip.c): what is lost, doubled,
reordered or altered ends them.
"""
import json
import os
import signal
import sys
import tempfile

import nets
from pairs import PairError, json_lines, run_both

BUILD = os.environ.get("SIPFABRIC_BUILD") or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "../../../build")
KERNEL = f"{BUILD}/node_kernel/kernel"
MTU = 1500
SECONDS_MAX = 40
CUTS_MS = (40, 90, 170, 260, 350)


def note(text):
    print(f"# {text}", flush=True)


def words(workers, pairs, seconds, *more):
    return [f"{KERNEL}/bench_link", "--image", f"{KERNEL}/linkproof.sip", "--mode", "proof", "--counters",
            "--channels", "3", "--seconds", str(seconds), "--workers", str(workers),
            "--pairs", str(pairs), *more]


def over_memif(of_node, *more):
    with tempfile.TemporaryDirectory(prefix="sfqueues-") as folder:
        beside = ["--beside", f"{folder}/b"] if "--beside" in more else []
        more = [word for word in more if word != "--beside"]
        texts = run_both(*([*of_node, "--driver", "memif", "--device", f"{folder}/s", *beside, *more,
                            "--node", str(node)] for node in (1, 2)), seconds_max=SECONDS_MAX)
    return [json_lines(text) for text in texts]


def over_af_packet(of_node, *more):
    with nets.Nets(mtus=(MTU,)) as net:
        texts = run_both(
            net.command("pong", [*of_node, "--driver", "af_packet", *more, "--node", "1",
                                 *net.node_words("pong", "ping", MTU)]),
            net.command("ping", [*of_node, "--driver", "af_packet", *more, "--node", "2",
                                 *net.node_words("ping", "pong", MTU)]),
            seconds_max=SECONDS_MAX)
    return [json_lines(text) for text in texts]


def only(lines, metric):
    return [line for line in lines if line.get("metric") == metric]


def check(found, pairs):
    """Answers the frames that other workers than the first received and sent, of both nodes."""
    first, second = (only(lines, "proof") for lines in found)
    assert len(first) == len(second) == pairs, found
    for way, back in (("sent", "received"), ("received", "sent")):
        assert sorted(line[way] for line in first) == sorted(line[back] for line in second), found
    assert all(line["sent"] > 50 for line in first + second), found
    for lines in found:
        assert only(lines, "session")[0]["losses"] == 0, found
        note(json.dumps(only(lines, "frames")[0]))
    frames = [only(lines, "frames")[0] for lines in found]
    return [(line["others_rx"], line["others_tx"]) for line in frames]


def memif_two_queues_the_session_is_another_workers():
    # (1 + 2) % 2: both nodes send on queue 1, which is worker 1's.
    for encrypt in ("off", "on"):
        others = check(over_memif(words(3, 6, 2, "--queues", "2", "--encrypt", encrypt)), 6)
        assert all(rx > 100 and tx > 100 for rx, tx in others), others


def memif_three_queues_the_session_is_the_first_workers():
    others = check(over_memif(words(3, 3, 1, "--queues", "3")), 3)
    assert all(rx == 0 and tx == 0 for rx, tx in others), others


def memif_two_links_of_one_queue_have_two_homes():
    others = check(over_memif(words(2, 2, 1), "--beside"), 2)
    assert all(rx > 100 and tx > 100 for rx, tx in others), others


def af_packet_queues_receive_what_the_kernel_chose():
    for queues, encrypt in ((2, "off"), (2, "on"), (3, "on")):
        others = check(over_af_packet(words(3, 6, 2, "--queues", str(queues), "--encrypt", encrypt)), 6)
        assert all((tx > 100) == (queues == 2) for _, tx in others), others


def one_worker_is_alone_with_its_link():
    others = check(over_memif(words(1, 2, 1)), 2)
    assert others == [(0, 0), (0, 0)], others


def a_link_is_removed_while_all_workers_use_it():
    for ms in CUTS_MS:
        over_memif(words(3, 6, 20, "--queues", "2", "--cut", str(ms)))


def a_peer_is_removed_while_all_workers_use_its_link():
    for ms in CUTS_MS[:3]:
        over_af_packet(words(3, 6, 20, "--queues", "3", "--encrypt", "on", "--cut", str(ms)))


MEMIF = (
    memif_two_queues_the_session_is_another_workers,
    memif_three_queues_the_session_is_the_first_workers,
    memif_two_links_of_one_queue_have_two_homes, one_worker_is_alone_with_its_link,
    a_link_is_removed_while_all_workers_use_it,
)
AF_PACKET = (
    af_packet_queues_receive_what_the_kernel_chose, a_peer_is_removed_while_all_workers_use_its_link,
)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cases = MEMIF + AF_PACKET
    print(f"1..{len(cases)}", flush=True)
    failed, why_not = False, nets.possible()
    for number, case in enumerate(cases, 1):
        title = case.__name__.replace("_", " ")
        if why_not and case in AF_PACKET:
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
