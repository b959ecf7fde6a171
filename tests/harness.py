#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs test programs and adds up their TAP, or runs benchmarks and passes their JSON lines on.

Which programs there are comes from meson. A suite is meson's suite; SLOW ones are left out by
--quick. Those of SIDE_BY_SIDE, which ask no clock, run on all processors first, the others one after the
other. A slow one that fails while a processor of this machine stood still is run once more, and that is said: clusters
on real clocks lose nodes then. Of one that does not end in its time, what its threads did then is printed. The last
line of a test run is `N passed, N failed, N skipped`.
"""
import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

SLOW = {"boot", "slow"}
SIDE_BY_SIDE = {"contracts", "sim", "untimed"}
running = set()  # processes, each with a session of its own
STANDSTILL_S = 2.0
TAP_LINE = re.compile(r"^(not )?ok\b\s*(\d+)?\s*(?:- )?(.*)$")


class Standstill:
    """Notices when a processor runs nothing for a while, as a virtual one does that its host has no time for: a
    thread on each looks at the clock ten times a second. longest: seconds, the most since it was set to 0."""

    def __init__(self):
        self.longest = 0.0
        for processor in os.sched_getaffinity(0):
            threading.Thread(target=self.watch, args=[processor], daemon=True).start()

    def watch(self, processor):
        os.sched_setaffinity(threading.get_native_id(), {processor})
        before = time.monotonic()
        while True:
            time.sleep(0.1)
            now = time.monotonic()
            self.longest = max(self.longest, now - before - 0.1)
            before = now


def programs(build, kind):
    text = subprocess.run(
        ["meson", "introspect", f"--{kind}", build], check=True, capture_output=True, text=True
    ).stdout
    found = []
    for entry in json.loads(text):
        entry["suites"] = [s.split(":")[-1] for s in entry["suite"]]
        entry["build"] = build
        found.append(entry)
    return found


def end(process, signum):
    """All of its session, if there is anything left of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signum)


def read_text(path):
    with contextlib.suppress(OSError):
        return path.read_text().rstrip("\n")
    return "?"


def whereabouts(session):
    """What each thread of a session's processes does, in lines: what the system knows of it."""
    lines = []
    for task in pathlib.Path("/proc").glob("[0-9]*/task/[0-9]*"):
        name, _, fields = read_text(task / "stat").rpartition(")")
        fields = fields.split()
        if len(fields) < 13 or int(fields[3]) != session:
            continue
        lines.append(f"  | {name}), state {fields[0]}, {fields[11]} + {fields[12]} jiffies, system call {read_text(task / 'syscall')}")
        lines += [f"  |   {line}" for line in read_text(task / "stack").splitlines()[:6]]
    return lines


def run_program(entry, on_line):
    """Runs one program in its own session; ends all of it at the time limit. Answers its exit code, and what its
    threads did then."""
    env = dict(os.environ, **entry["env"])
    process = subprocess.Popen(
        entry["cmd"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if on_line.mix else None,
        stdin=subprocess.DEVNULL,
        cwd=entry.get("workdir") or entry["build"],
        env=env,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    running.add(process)
    late = []

    def expire():
        late.extend(["  its threads:", *whereabouts(process.pid)])
        # First a polite end, so that the program can undo what it made.
        end(process, signal.SIGTERM)

    limit = int(entry["timeout"]) or 60
    timers = [threading.Timer(limit, expire), threading.Timer(limit + 20, end, [process, signal.SIGKILL])]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        for line in process.stdout:
            on_line(line.rstrip("\n"))
        process.wait()
    finally:
        for timer in timers:
            timer.cancel()
        if process.poll() is None:
            end(process, signal.SIGTERM)
            process.wait()
        running.discard(process)
    return process.returncode, late


class TapReader:
    mix = True

    def __init__(self, name, verbose):
        self.name, self.verbose = name, verbose
        self.passed, self.failed, self.skipped = 0, 0, 0
        self.planned, self.tail, self.notes = None, [], []
        self.around, self.after = [], 0  # what was printed around failures; so many lines more

    def __call__(self, line):
        self.tail = (self.tail + [line])[-40:]
        if self.after:
            self.around.append(line)
            self.after -= 1
        if self.verbose:
            print("    " + line, flush=True)
        plan = re.match(r"^1\.\.(\d+)", line)
        if plan:
            self.planned = (self.planned or 0) + int(plan.group(1))
        whole = re.match(r"^1\.\.0\s*#\s*skip\s*(.*)", line, re.I)
        if whole:
            self.skipped += 1
            self.notes.append(f"  skipped, all of it: {whole.group(1) or 'no reason given'}")
        match = TAP_LINE.match(line)
        if not match:
            return
        title = match.group(3)
        if re.search(r"#\s*skip", title, re.I):
            self.skipped += 1
            self.notes.append(f"  skipped: {title}")
        elif match.group(1):
            self.failed += 1
            self.notes.append(f"  FAILED: {title}")
            self.look_around()
        else:
            self.passed += 1

    def look_around(self):
        """cmocka says why before the line of a failed case and where after it."""
        if not self.after and len(self.around) < 200:
            self.around += ["...", *self.tail[-8:]]
        self.after = 4

    def finish(self, code, late, limit):
        if late:
            self.failed += 1
            self.notes += [f"  FAILED: still running after {limit} s", *late]
        elif code != 0 and self.failed == 0:
            self.failed += 1
            self.notes.append(f"  FAILED: exit code {code} though no test case failed")
        if self.passed + self.failed + self.skipped == 0:
            self.failed += 1
            self.notes.append("  FAILED: printed no test result")
        elif self.planned is not None and not late:
            seen = self.passed + self.failed + self.skipped
            if seen < self.planned:
                self.failed += 1
                self.notes.append(f"  FAILED: {self.planned} planned, only {seen} reported")


def label(entry):
    return f"{entry['suites'][0]}/{entry['name']}"


def run_test(entry, verbose):
    """Answers what to print, and how many passed, failed and were skipped."""
    reader = TapReader(entry["name"], verbose)
    print(f"{label(entry):38} ...\n", end="", flush=True)  # in one piece: others print, too
    start = time.monotonic()
    code, late = run_program(entry, reader)
    reader.finish(code, late, entry["timeout"])
    seconds = time.monotonic() - start
    lines = [
        f"{label(entry):38} {reader.passed} passed, {reader.failed} failed, "
        f"{reader.skipped} skipped  {seconds:.1f} s",
        *reader.notes,
    ]
    if reader.failed and not verbose:
        lines += ["  around what failed:", *("  | " + line for line in reader.around)] if reader.around else []
        lines += ["  the last lines it printed:", *("  | " + line for line in reader.tail)]
    return lines, (reader.passed, reader.failed, reader.skipped)


def run_alone(entry, verbose, standstill):
    """As run_test; once more if it failed and the machine is why, as far as can be told."""
    standstill.longest = 0.0
    lines, counts = run_test(entry, verbose)
    if counts[1] and set(entry["suites"]) & SLOW and standstill.longest >= STANDSTILL_S:
        print("\n".join(lines), flush=True)
        print(f"  a processor of this machine stood still for {standstill.longest:.1f} s meanwhile: once more")
        lines, counts = run_test(entry, verbose)
    return lines, counts


def run_tests(args):
    entries = programs(args.build, "tests")
    suites = sorted({s for e in entries for s in e["suites"]})
    if args.list:
        for suite in suites:
            members = [e["name"] for e in entries if suite in e["suites"]]
            print(f"{suite:14} {' '.join(members)}")
        return 0
    unknown = sorted(set(args.suites) - set(suites))
    if unknown:
        print(f"no such suite: {', '.join(unknown)}; there are: {', '.join(suites)}", file=sys.stderr)
        return 2
    chosen = [e for e in entries if not args.suites or set(e["suites"]) & set(args.suites)]
    if args.quick:
        chosen = [e for e in chosen if not set(e["suites"]) & SLOW]
    chosen.sort(key=lambda e: (bool(set(e["suites"]) & SLOW), e["suites"], e["name"]))
    beside = [e for e in chosen if set(e["suites"]) & SIDE_BY_SIDE and not args.verbose]
    beside.sort(key=lambda e: -e["timeout"])  # long ones first
    total = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for lines, counts in pool.map(lambda entry: run_test(entry, args.verbose), beside):
                print("\n".join(lines), flush=True)
                total = [a + b for a, b in zip(total, counts)]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(running):
                end(process, signal.SIGTERM)
            raise
    standstill = Standstill()
    for entry in (e for e in chosen if e not in beside):
        lines, counts = run_alone(entry, args.verbose, standstill)
        print("\n".join(lines), flush=True)
        total = [a + b for a, b in zip(total, counts)]
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] or not total[0] else 0


class JsonReader:
    mix = False

    def __init__(self, out):
        self.out, self.count, self.bad = out, 0, 0

    def __call__(self, line):
        try:
            json.loads(line)
        except ValueError:
            self.bad += 1
            print(f"not JSON: {line}", file=sys.stderr)
            return
        self.count += 1
        print(line, flush=True)
        if self.out:
            self.out.write(line + "\n")


def run_benchmarks(args):
    entries = programs(args.build, "benchmarks")
    suites = sorted({s for e in entries for s in e["suites"]})
    if args.list:
        print("\n".join(suites))
        return 0
    unknown = sorted(set(args.suites) - set(suites))
    if unknown:
        print(f"no such suite: {', '.join(unknown)}; there are: {', '.join(suites)}", file=sys.stderr)
        return 2
    failed = 0
    out = open(args.json, "w", encoding="utf-8") if args.json else None
    for entry in entries:
        if args.suites and not set(entry["suites"]) & set(args.suites):
            continue
        print(f"{entry['name']} ...", file=sys.stderr)
        reader = JsonReader(out)
        code, late = run_program(entry, reader)
        if code != 0 or late or not reader.count or reader.bad:
            failed += 1
            print(f"{entry['name']}: failed (exit code {code})", *late, sep="\n", file=sys.stderr)
    if out:
        out.close()
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(prog="./run", description=__doc__)
    parser.add_argument("what", choices=["test", "bench"])
    parser.add_argument("--build", required=True)
    parser.add_argument("--list", action="store_true", help="name the suites and what is in them")
    parser.add_argument("--quick", action="store_true", help="leave out: " + ", ".join(sorted(SLOW)))
    parser.add_argument("--json", metavar="FILE", help="benchmarks: keep the lines in FILE")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what the tests print")
    parser.add_argument("suites", nargs="*", metavar="SUITE")
    args = parser.parse_intermixed_args()
    # Whoever starts us with & in a script has Ctrl-C ignored, and so would have all that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return run_tests(args) if args.what == "test" else run_benchmarks(args)


if __name__ == "__main__":
    sys.exit(main())
