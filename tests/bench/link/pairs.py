# SPDX-License-Identifier: Apache-2.0
"""Runs a server and its client once, each on its own core, and gives back what the client printed.

Every run is bounded (RUN_SECONDS_MAX); both processes are gone when `run_pair` returns or raises,
and they die with this process if that is killed.
"""
import ctypes
import json
import os
import select
import signal
import subprocess
import tempfile
import time

RUN_SECONDS_MAX = 20
READY_SECONDS_MAX = 10
PR_SET_PDEATHSIG = 1


class PairError(RuntimeError):
    pass


def cores():
    """Ping's and pong's; the same one twice if there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[min(1, len(allowed) - 1)]


def core_share(core, seconds=0.2):
    """How much of a core this process gets when it wants all of it, 0 to 1."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        begin, used = time.monotonic(), time.process_time()
        while time.monotonic() - begin < seconds:
            pass
        return (time.process_time() - used) / (time.monotonic() - begin)
    finally:
        os.sched_setaffinity(0, before)


def pinned(core, words):
    return ["taskset", "-c", str(core), *words]


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _start(words, env, stdout, stderr):
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, text=True,
                            env=dict(os.environ, **env), preexec_fn=die_with_parent)


def _tail(file):
    file.seek(0)
    lines = [line.strip() for line in file.read().splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _await_word(server, errors):
    """Until the server prints `ready`."""
    end = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < end:
        if select.select([server.stdout], [], [], 0.1)[0]:
            line = server.stdout.readline()
            if line.strip() == "ready":
                return
            if not line:
                break
    raise PairError(f"the server does not get ready: {_tail(errors)}")


def _listening(pid, port):
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as file:
        for line in file.readlines()[1:]:
            words = line.split()
            if words[3] == "0A" and int(words[1].split(":")[1], 16) == port:
                return True
    return False


def _await_port(server, port, errors):
    """Until something listens there in the server's namespace."""
    end = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < end and server.poll() is None:
        if _listening(server.pid, port):
            return
        time.sleep(0.01)
    raise PairError(f"the server does not listen on port {port}: {_tail(errors)}")


def _end(process):
    if process is not None:
        if process.poll() is None:
            process.kill()
        process.communicate()


def run_pair(server_words, client_words, env=None, port=None, ready=True,
             seconds_max=RUN_SECONDS_MAX):
    """Answers the client's stdout. The client starts once the server has printed `ready`; or, with
    port, once it listens there; or, with ready=False, at once."""
    env = env or {}
    server = client = None
    with tempfile.TemporaryFile("w+") as server_errors, tempfile.TemporaryFile("w+") as errors:
        try:
            server = _start(server_words, env, subprocess.PIPE, server_errors)
            if port:
                _await_port(server, port, server_errors)
            elif ready:
                _await_word(server, server_errors)
            client = _start(client_words, env, subprocess.PIPE, errors)
            try:
                text, _ = client.communicate(timeout=seconds_max)
            except subprocess.TimeoutExpired:
                raise PairError(f"no end within {seconds_max} s") from None
            if client.returncode != 0:
                raise PairError(f"exit code {client.returncode}: {_tail(errors)}"
                                + (f"; the server: {_tail(server_errors)}" if server.poll() else ""))
            return text
        except OSError as error:
            raise PairError(str(error)) from error
        finally:
            _end(client)
            _end(server)


def run_both(server_words, client_words, seconds_max=RUN_SECONDS_MAX):
    """Starts both at once, and answers what both printed. Both have to end well by themselves."""
    server = client = None
    end = time.monotonic() + seconds_max
    with tempfile.TemporaryFile("w+") as server_errors, tempfile.TemporaryFile("w+") as errors:
        try:
            server = _start(server_words, {}, subprocess.PIPE, server_errors)
            client = _start(client_words, {}, subprocess.PIPE, errors)
            text, _ = client.communicate(timeout=seconds_max)
            server_text, _ = server.communicate(timeout=max(1, end - time.monotonic()))
            if client.returncode != 0 or server.returncode != 0:
                raise PairError(f"exit codes {client.returncode} and {server.returncode}: "
                                f"{_tail(errors)}; {_tail(server_errors)}")
            return server_text, text
        except subprocess.TimeoutExpired:
            raise PairError(f"no end within {seconds_max} s: {_tail(errors)}; {_tail(server_errors)}") from None
        finally:
            _end(client)
            _end(server)


def json_lines(text):
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            found.append(json.loads(line))
    return found


def json_metric(text, metric):
    for line in json_lines(text):
        if line.get("metric") == metric:
            return line
    raise PairError(f"it printed no line with the metric {metric}")
