#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The link bench without its figures: that it compares the right rows, and leaves nothing behind."""
import os
import signal
import subprocess
import sys
import time

import lossy
import nets
import pairs
import report
from link import chosen
from peers import PROGRAMS, Row, cores_state, ucx_figures

HERE = os.path.dirname(os.path.abspath(__file__))


def row(name, metric, *values, missing=None):
    made = Row(name, metric, "veth" if "_veth" in metric else "memif", dict, missing)
    word = "p50" if metric.startswith("rtt") else "value"
    made.figures = [{word: value} for value in values]
    return made


def figures_are_medians_over_the_raw_row_of_their_metric():
    ours = row("ours", "rtt64", 3.0, 9.0, 2.8)
    rows = [row("raw", "rtt64", 2.0, 2.2, 2.1), ours, row("raw", "rtt64_veth", 50.0)]
    line = report.line(rows, ours)
    assert line["metric"] == "rtt64" and line["p50"] == 3.0, line
    assert line["baseline"] == 2.1 and line["ratios"] == [1.5, 4.091, 1.333] and line["ratio"] == 1.5, line
    assert line["target_met"] is True and line["spread"] == 3.21, line
    assert report.line(rows, rows[0]).get("ratio") is None


def ratios_are_of_one_round():
    """The machine was another one in the second: medians of each would say 2.6 / 2.0."""
    ours = row("ours", "rtt64", 2.6, 0.8, 2.7)
    rows = [row("raw", "rtt64", 2.0, 0.5, 2.25), ours]
    assert report.line(rows, ours)["ratio"] == 1.3, report.line(rows, ours)
    rows[0].figures.pop()  # a round that failed: nothing to pair
    assert report.line(rows, ours)["ratio"] == 2.08, report.line(rows, ours)


def targets_can_be_missed():
    slow = [row("raw", "rtt64", 2.0), row("ours", "rtt64", 3.1)]
    assert report.line(slow, slow[1])["target_met"] is False
    few = [row("raw", "msgs64", 9e6), row("ours", "msgs64", 3.9e6)]
    assert report.line(few, few[1])["target_met"] is False
    veth = [row("raw", "rtt64_veth", 4.0), row("ours", "rtt64_veth", 7.0), row("udp", "rtt64_veth", 6.9)]
    assert report.line(veth, veth[1])["target_met"] is False
    veth[2].figures = [{"p50": 7.1}]
    assert report.line(veth, veth[1])["target_met"] is True
    alone = [row("ours", "rtt64_veth", 7.0)]
    assert report.line(alone, alone[0])["target_met"] is None


def encryption_is_compared_with_the_same_without_it():
    rows = [row("ours", "rtt64_veth", 9.0), row("ours", "rtt64_veth_plain", 8.0),
            row("ours", "bulk", 5000.0), row("ours", "bulk_encrypted", 3000.0)]
    costs = {line["metric"]: line for line in report.encryption_lines(rows)}
    assert costs["encryption_cost_rtt64_veth"]["value"] == 1.0, costs
    assert costs["encryption_cost_bulk"]["ratio"] == 0.6, costs


def what_was_not_measured_says_why():
    gone = row("nng", "rtt64_veth", missing="package libnng-dev is not installed")
    broken = row("tcp", "rtt64_veth")
    broken.errors = ["exit code 1: no answer"]
    assert report.line([gone], gone)["not_measured"] == gone.missing
    assert report.line([broken], broken)["failed"] == "exit code 1: no answer"
    text = "\n".join(report.table([gone, broken]))
    assert "not measured: package libnng-dev is not installed" in text, text
    assert "FAILED: exit code 1: no answer" in text, text


def rows_can_be_chosen_by_name_place_and_metric():
    rows = [row("tcp", "rtt64_veth", 1.0), row("raw", "rtt64", 1.0), row("tcp", "bulk_veth", 1.0)]
    assert chosen(rows, []) == rows
    assert chosen(rows, ["tcp"]) == [rows[0], rows[2]]
    assert chosen(rows, ["tcp", "raw", "rtt64", "rtt64_veth"]) == rows[:2]
    assert chosen(rows, ["memif"]) == [rows[1]]
    try:
        chosen(rows, ["tpc"])
    except SystemExit as error:
        assert "tpc" in str(error)
        return
    raise AssertionError("a row that does not exist was taken")


def ucx_half_round_trips_are_doubled():
    text = "iterations,50.0_percentile_lat\n100000,0.195,0.202,0.202,302.25,302.25,4952099,4952099\n"
    assert ucx_figures(text, "rtt", 64) == {"p50": 0.39}
    assert ucx_figures(text, "bulk", 1 << 20)["value"] > 5192000


def a_failing_pair_says_why_and_leaves_no_process():
    server = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
    client = [sys.executable, "-c", "import sys; sys.exit('it broke')"]
    begin = time.monotonic()
    try:
        pairs.run_pair(server, client)
    except pairs.PairError as error:
        assert "it broke" in str(error), error
        assert time.monotonic() - begin < 10
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            assert file.read().split() == [], "a child is left"
        return
    raise AssertionError("a failing client was taken for a good one")


def namespaces_left():
    return [line for line in nets.run("ip", "netns", "list").splitlines() if line.startswith(nets.PREFIX)]


def hold_namespaces():
    code = ("import nets, time, signal, sys\n"
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\n"
            "with nets.Nets():\n    print('made', flush=True)\n    time.sleep(60)\n")
    holder = subprocess.Popen([sys.executable, "-c", code], cwd=HERE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "made\n"
    return holder


def namespaces_go_when_the_run_is_ended():
    if nets.possible():
        return nets.possible()
    for number, remains in ((signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGKILL, True)):
        holder = hold_namespaces()
        holder.send_signal(number)
        holder.wait(30)
        left = [line for line in namespaces_left() if f"-{holder.pid}-" in line]
        assert bool(left) == remains, (number, left)
    nets.sweep()
    assert not [line for line in namespaces_left() if f"-{holder.pid}-" in line]
    return None


def a_bad_wire_does_what_it_says_and_tcp_survives_it():
    if nets.possible():
        return nets.possible()
    line = lossy.tcp_goodput(1, lossy.congestion_controls()[0], method="relay")
    for way, counts in line["counts"].items():
        if way == "metric":
            continue
        assert counts["frames"] > 2000, line
        for kind in ("lost", "doubled", "reordered"):
            assert 0.004 < counts[kind] / counts["frames"] < 0.018, (way, kind, line)
    assert line["value"] > 1 and line["n"] >= 2, line
    return None


def the_cores_are_measured():
    first, second = pairs.cores()
    states = cores_state()
    if first == second:
        assert states == [], states
        return "there is one core"
    assert len(states) == 1 and 0 < states[0]["speed"] < 2 and states[0]["line_ns"] > 1, states
    bad = subprocess.run([PROGRAMS["bench_cores"], "--cores", f"{first},{first}"], capture_output=True, check=False)
    assert bad.returncode == 2, bad
    return None


CASES = (
    figures_are_medians_over_the_raw_row_of_their_metric, ratios_are_of_one_round, targets_can_be_missed,
    encryption_is_compared_with_the_same_without_it, what_was_not_measured_says_why,
    rows_can_be_chosen_by_name_place_and_metric, ucx_half_round_trips_are_doubled,
    a_failing_pair_says_why_and_leaves_no_process, namespaces_go_when_the_run_is_ended,
    a_bad_wire_does_what_it_says_and_tcp_survives_it, the_cores_are_measured,
)


def main():
    print(f"1..{len(CASES)}")
    failed = False
    for number, case in enumerate(CASES, 1):
        title = case.__name__.replace("_", " ")
        try:
            skip = case()
            print(f"ok {number} - {title}" + (f" # SKIP {skip}" if skip else ""))
        except (AssertionError, OSError, RuntimeError) as error:
            failed = True
            print(f"not ok {number} - {title}\n# {error!r}")
    return 1 if failed else 0


sys.exit(main())
