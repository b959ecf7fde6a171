#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs sips/README.md: writes the files that its code blocks are, types its commands into one shell as
an ordinary user, and compares what they print with what the page shows.

A code block whose first line is a comment with a file name is that file. A `console` block has
commands ("$ ", continued by a backslash) and below each what it prints, stdout and stderr. In the
output of the page, a line "..." is any lines and "..." in a line any text; the number of spaces does not
matter. A command must succeed exactly if its output has no word of an error of sipc. TAP, a line for
each console block. `tutorial_test.py --self` only tests how this program reads and compares.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
import staging

COMMAND_SECONDS_MAX = 60
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
FILE_LINE = re.compile(r"^(?:/\*|#|//) ([\w.-]+\.\w+)(?: \*/)?$")


def steps(text):
    """("file", name, content) and ("run", heading, [(command, [expected line])]) in their order."""
    found = []
    for match in BLOCK.finditer(text):
        language, body = match.groups()
        lines = body.splitlines()
        if language != "console":
            named = FILE_LINE.match(lines[0])
            if named:
                found.append(("file", named.group(1), body))
            continue
        headings = re.findall(r"^##+ (.*)$", text[: match.start()], re.M)
        found.append(("run", headings[-1], commands(lines)))
    return found


def commands(lines):
    result = []
    continued = False
    for line in lines:
        if continued:
            result[-1][0] += "\n" + line
        elif line.startswith("$ "):
            result.append([line[2:], []])
        else:
            result[-1][1].append(line)
            continue
        continued = line.endswith("\\")
    return result


def squeeze(line):
    return re.sub(r"\s+", " ", line.strip())


def line_matches(expected, line):
    pattern = ".*".join(re.escape(part) for part in squeeze(expected).split("..."))
    return re.fullmatch(pattern, squeeze(line)) is not None


def matches(expected, lines):
    if not expected:
        return not lines
    if expected[0].strip() == "...":
        return any(matches(expected[1:], lines[skip:]) for skip in range(len(lines) + 1))
    return bool(lines) and line_matches(expected[0], lines[0]) and matches(expected[1:], lines[1:])


class Shell:
    """One bash, as whoever reads the page would have it."""

    def __init__(self, folder, env):
        self.process = subprocess.Popen(
            ["bash", "--norc"], cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
            **staging.ordinary_user(),
        )

    def run(self, command):
        """Answers (exit code, lines)."""
        late = threading.Timer(COMMAND_SECONDS_MAX, self.end)
        late.start()
        lines = []
        try:
            self.process.stdin.write(f"{{ {command}\n}} </dev/null; echo \"@@$?\"\n")
            self.process.stdin.flush()
            for line in self.process.stdout:
                line = line.rstrip("\n")
                if line.startswith("@@"):
                    return int(line[2:]), lines
                lines.append(line)
        except BrokenPipeError:
            pass
        finally:
            late.cancel()
        raise RuntimeError(f"the shell ended, or took longer than {COMMAND_SECONDS_MAX} s")

    def end(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def stage(root):
    """What of the repository the page needs, at its place, under root/sipfabric."""
    repository = root / "sipfabric"
    repository.mkdir()
    staging.stage(repository)
    for name in ("node_kernel/sipc/sipc", "contracts/compiler/contractc"):
        target = repository / "build" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(staging.BUILD / name, target)
    for name in ("sips/cpp", "sips/rust"):
        shutil.copytree(staging.SOURCE / name, repository / name)
    for name in ("node_kernel/sipc/sipc", "contracts/compiler/contractc", "orchestrator/fabricctl"):
        (repository / "build" / pathlib.Path(name).name).symlink_to(name) # as ./run build does
    key = repository / "build/sips/dev.key"
    shutil.copy(staging.BUILD / "sips/dev.key", key) # with its mode: nobody else may read it
    os.chmod(root, 0o755)
    if os.geteuid() == 0:
        os.chown(root, staging.NOBODY, staging.NOBODY)
        os.chown(key, staging.NOBODY, staging.NOBODY)
    return repository


def run_block(shell, block):
    """Answers what went wrong, or None."""
    for command, expected in block:
        code, lines = shell.run(command)
        refused = any(re.search(r"^sipc: |error: .*\[", line) for line in expected)
        said = "\n".join(lines[-40:])
        if (code != 0) != refused:
            return f"$ {command}\nexit {code}\n{said}"
        if not matches(expected, lines):
            return f"$ {command}\nthe page shows:\n" + "\n".join(expected) + f"\nit printed:\n{said}"
    return None


def run_page(page, root):
    repository = stage(root)
    env = {
        "HOME": str(root), "TMPDIR": str(root), "XDG_RUNTIME_DIR": str(root), "LC_ALL": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }
    folder = root / "counter" # where the page's first block goes
    todo = steps(page)
    blocks = [step for step in todo if step[0] == "run"]
    print(f"1..{len(blocks)}", flush=True)
    shell = Shell(repository, env)
    number = failed = 0
    try:
        for kind, name, content in todo:
            if kind == "file":
                (folder / name).write_text(content)
                continue
            number += 1
            wrong = run_block(shell, content)
            print(f"{'not ok' if wrong else 'ok'} {number} - {name}", flush=True)
            if wrong:
                failed += 1
                print("\n".join(f"# {line}" for line in wrong.splitlines()), flush=True)
                break
        for rest in range(number + 1, len(blocks) + 1):
            print(f"not ok {rest} - after the one that failed")
    finally:
        shell.end()
        subprocess.run([repository / "build/fabricctl", "cluster", "destroy", "--all"], env=env,
                       capture_output=True, check=False, timeout=60, **staging.ordinary_user())
    return failed


def check_self():
    """This program's reading and comparing, without which the rest would prove nothing."""
    page = "## A\n```c\n/* a.c */\nint x;\n```\n```c\nint y;\n```\n## B\n```console\n$ a \\\n  b\n1\n$ c\n```\n"
    parsed = steps(page)
    results = [
        ("blocks", parsed == [("file", "a.c", "/* a.c */\nint x;\n"),
                              ("run", "B", [["a \\\n  b", ["1"]], ["c", []]])]),
        ("equal lines", matches(["a  b", "c"], ["a b", "c "])),
        ("a line more", not matches(["a"], ["a", "b"])),
        ("a line less", not matches(["a", "b"], ["a"])),
        ("another line", not matches(["a"], ["b"])),
        ("any lines", matches(["...", "x", "..."], ["1", "x", "2", "3"]) and matches(["..."], [])),
        ("any lines but one that must come", not matches(["...", "x"], ["1", "2"])),
        ("any text", matches(["a ... c"], ["a 12 c"]) and not matches(["a ... c"], ["a 12 d"])),
        ("no pattern", not matches(["a.c"], ["abc"])),
    ]
    print(f"1..{len(results)}")
    for number, (name, good) in enumerate(results, 1):
        print(f"{'ok' if good else 'not ok'} {number} - {name}")
    return sum(not good for _, good in results)


def main():
    if sys.argv[1:] == ["--self"]:
        return 1 if check_self() else 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    root = pathlib.Path(tempfile.mkdtemp(prefix="sft-", dir="/tmp"))
    try:
        return 1 if run_page((staging.SOURCE / "sips/README.md").read_text(), root) else 0
    finally:
        shutil.rmtree(root, ignore_errors=True)


sys.exit(main())
