#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the demo as a test: `demo_test.py hosted` as user nobody, `demo_test.py booted` as root, and
`demo_test.py booted rdma` (dpdk, mixed) with that --link.

demo.sh prints TAP itself; this adds the user, a runtime folder, how long the hosted one takes,
and that Ctrl-C in the middle leaves nothing.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import staging

HOSTED_SECONDS_MAX = 20  # on a machine that starts 200 times curl in 3 s
HOSTED_SECONDS_HANGS = 90  # no machine is so slow


def start(mode, root):
    env = dict(os.environ, DEMO_TAP="1", TMPDIR=str(root))
    user = {}
    command = [staging.HERE / "demo.sh", *(["--link", *sys.argv[2:]] if len(sys.argv) > 2 else [])]
    if mode == "hosted":
        env.update(HOME=str(root), XDG_RUNTIME_DIR=str(root), SIPFABRIC_BUILD=str(root / "build"))
        user = staging.ordinary_user()
        command = [root / "tests/e2e/demo.sh", "--hosted"]
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True, **user
    )


def left_over(root):
    """Live processes that were started with our TMPDIR."""
    wanted = f"TMPDIR={root}".encode()
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(f"{entry.name} {(entry / 'comm').read_text().strip()}")
        except OSError:
            pass
    return found


def relay(process):
    """Passes TAP lines on, without the plan; answers how many."""
    count = 0
    for line in process.stdout:
        if line.startswith("1.."):
            continue
        count += line.startswith(("ok", "not ok"))
        print(line, end="", flush=True)
    process.wait()
    return count


def interrupt_in_the_middle(mode, root):
    """Ctrl-C after the third step: the whole session gets the signal, as from a terminal."""
    process = start(mode, root)
    for line in process.stdout:
        if line.startswith("ok 3"):
            os.killpg(process.pid, signal.SIGINT)
            break
    began = time.monotonic()
    rest = process.stdout.read()
    code = process.wait()
    print(f"# ended {time.monotonic() - began:.1f} s after Ctrl-C; steps after it: {rest.count(chr(10) + 'ok ')}")
    return code, left_over(root)


def unavailable():
    """Why the module for soft-RoCE cannot be had; "": it can, or is not needed."""
    if sys.argv[2:] not in (["rdma"], ["mixed"]):
        return ""
    made = subprocess.run(
        [sys.executable, staging.SOURCE / "deploy/image/soft_rdma.py", "--cache", staging.BUILD / "cache"],
        capture_output=True, text=True, check=False,
    )
    return made.stderr.strip() if made.returncode == 2 else ""


def main():
    mode = sys.argv[1]
    if unavailable():
        print(f"1..0 # SKIP {unavailable()}")
        return 0
    root = pathlib.Path(tempfile.mkdtemp(prefix="sfd-", dir="/tmp"))
    running = []

    def stop(*_):
        for process in running:
            process.terminate()

    signal.signal(signal.SIGTERM, stop)
    if mode == "hosted":
        staging.stage(root)
    try:
        began = time.monotonic()
        process = start(mode, root)
        running.append(process)
        number = relay(process) + 1
        seconds = time.monotonic() - began
        code = process.returncode
        if mode == "hosted":
            word = "ok" if code == 0 and seconds < HOSTED_SECONDS_HANGS else "not ok"
            print(f"{word} {number} - all steps in {seconds:.1f} s")
            if seconds >= HOSTED_SECONDS_MAX:
                print(f"# more than the {HOSTED_SECONDS_MAX} s that it takes at most on a quick machine")
            number += 1
            code_of_interrupted, left = interrupt_in_the_middle(mode, root)
            word = "ok" if code_of_interrupted == 130 and not left else "not ok"
            print(f"{word} {number} - Ctrl-C in the middle leaves nothing")
            print(f"# exit {code_of_interrupted}, left: {left}")
            code = code or (word != "ok")
            number += 1
        left = left_over(root)
        print(f"{'ok' if not left else 'not ok'} {number} - no process is left")
        print(f"1..{number}", flush=True)
        return 1 if code or left else 0
    finally:
        shutil.rmtree(root, ignore_errors=True)


sys.exit(main())
