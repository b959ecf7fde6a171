#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Breaks the calls of the example SIPs in every way listed below; none may get through.

mutants.py SIPC CONTRACTC MUTANTS_RUN SOURCE_ROOT [WORD]. Prints TAP. WORD: only mutants whose name
has it, with what was said of each.

web listens through the TCP service of that kernel; its mutants are those of its calls of TcpContract.
Each mutant is given to `sipc check`. It counts as
  refuted   when that is an error that says [refuted];
  stopped   otherwise, if in a real kernel, with the unchanged example on the other side, it tried at
            least one thing that its contract forbids, and each of these was answered with an error,
            or (a receive where nothing can come) was never answered;
  legal     if it asked the kernel for nothing that is forbidden: it is another program, not a wrong
            one (or the numbers in typed calls ended it before the kernel), and does not count;
  through   if one thing that the contract forbids was done. There must be none.
What a mutant tries is seen by watch.h, which is compiled into it: before each kernel call it looks
into a table that contractc wrote (as JSON) and compares that with what the kernel then answers.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SIPC, CONTRACTC, RUN = (os.path.abspath(path) for path in sys.argv[1:4])
SOURCE = pathlib.Path(sys.argv[4]).resolve()
ONLY = sys.argv[5] if len(sys.argv) > 5 else ""
STD = SOURCE / "contracts/std"
BUILT = pathlib.Path(os.environ.get("SIPFABRIC_BUILD", SOURCE / "build")) / "sips"
WORK = pathlib.Path(tempfile.mkdtemp(prefix="sip-mutants-"))
MUTANTS_MIN = 50

# name: (source, manifest, contract, side it has)
SIPS = {
    "hello": ("sips/hello/hello.c", "sips/hello/hello.yaml", "HelloContract", "Exp"),
    "hello-client": ("sips/hello/hello-client.c", "sips/hello/hello-client.yaml", "HelloContract", "Imp"),
    "echo": ("sips/bench/echo.c", "sips/bench/echo.yaml", "EchoContract", "Exp"),
    "ping": ("sips/bench/ping.c", "sips/bench/ping.yaml", "EchoContract", "Imp"),
    "web": ("sips/web/web.c", "sips/web/web.yaml", "TcpContract", "Imp"),
}
# What runs, with IMAGE in the mutant's place. The last one's end is the end.
PAIRS = {
    "hello": [("hello", None, "-", "-", "-", "-"),
              ("client", "hello-client.sip", "hello", "hello.hello", "count", "2")],
    "hello-client": [("hello", "hello.sip", "-", "-", "-", "-"),
                     ("client", None, "hello", "hello.hello", "count", "2")],
    "echo": [("echo", None, "-", "-", "-", "-"), ("ping", "ping.sip", "echo", "echo.echo", "count", "3")],
    "ping": [("echo", "echo.sip", "-", "-", "-", "-"), ("ping", None, "echo", "echo.echo", "count", "3")],
    "web": [("web", None, "tcp", "tcp.tcp", "port", "18473")],
}

WATCH = """
#include "sip.h"
static const uint8_t watch_next[2][%(states)d][%(messages)d] = {%(next)s};
static const bool watch_final[%(states)d] = {%(final)s};
static __attribute__((noinline)) int32_t watch_send(uint32_t handle, const struct nk_msg *msg)
{
    const int32_t state = nk_state(handle);
    const uint32_t tag = msg->tag;
    const uint8_t next = state < 0 || tag >= %(messages)d ? 255 : watch_next[%(side)d][state][tag];
    const int32_t result = nk_send(handle, msg);
    if (next == 255) {
        sip_log(result < 0 ? "watch: stopped: send, %%s" : "watch: THROUGH: send", sip_status_text(result));
    } else if (result == 0 && nk_state(handle) != next) {
        sip_log("watch: THROUGH: wrong state after send");
    }
    return result;
}
static __attribute__((noinline)) int32_t watch_recv(uint32_t handle, struct nk_msg *msg, int64_t ns)
{
    const int32_t state = nk_state(handle);
    bool can = state >= 0 && watch_final[state];
    for (uint32_t tag = 0; tag < %(messages)d && state >= 0; tag++) {
        can = can || watch_next[1 - %(side)d][state][tag] != 255;
    }
    if (!can) {
        sip_log("watch: stopped: recv in state %%d", state);
    }
    const int32_t result = nk_recv(handle, msg, ns);
    if (result == 0 && (!can || msg->tag >= %(messages)d ||
                        watch_next[1 - %(side)d][state][msg->tag] == 255)) {
        sip_log("watch: THROUGH: recv");
    }
    return result;
}
static __attribute__((noinline)) int32_t watch_close(uint32_t handle)
{
    const int32_t state = nk_state(handle);
    const int32_t result = nk_close(handle);
    if (state < 0) {
        sip_log(result < 0 ? "watch: stopped: close, %%s" : "watch: THROUGH: close", sip_status_text(result));
    }
    return result;
}
#define nk_send watch_send
#define nk_recv watch_recv
#define nk_close watch_close
"""


def contract(name):
    out = subprocess.run([CONTRACTC, "compile", "-I", STD, "--emit", "json", STD / f"{name}.contract"],
                         check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def watch(table, side):
    """watch.h for one contract, for a SIP that has that side."""
    tags = {message["name"]: message["tag"] for message in table["messages"]}
    states = {state["name"]: state["index"] for state in table["states"]}
    sides = []
    for sender in ("importer", "exporter"):
        rows = []
        for state in sorted(table["states"], key=lambda state: state["index"]):
            row = [255] * len(tags)
            for move in state["transitions"]:
                if move["sender"] == sender:
                    row[tags[move["message"]]] = states[move["to"]]
            rows.append("{" + ", ".join(map(str, row)) + "}")
        sides.append("{" + ", ".join(rows) + "}")
    final = ["true" if state["final"] else "false"
             for state in sorted(table["states"], key=lambda state: state["index"])]
    return WATCH % {"states": len(states), "messages": len(tags), "next": ", ".join(sides),
                    "final": ", ".join(final), "side": 0 if side == "Imp" else 1}


def arguments(message):
    """Some that are right by their types; None: an endpoint, which is not made up."""
    out = []
    for arg in message["args"]:
        if arg["kind"] == "endpoint":
            return None
        out.append("nk_block_alloc(8), 8" if arg["kind"] == "block" else "1")
    return out


def calls(text, name, side):
    """(kind, message, handle, arguments, begin, end) of each call on an endpoint, in order."""
    pattern = re.compile(rf"\b{name}_{side}(?:_\w+?)?_(?:send_(\w+)|(recv)|(close))\(")
    for match in pattern.finditer(text):
        depth, at, parts, begin = 1, match.end(), [], match.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            if (text[at] == "," and depth == 1) or depth == 0:
                parts.append(text[begin:at].strip())
                begin = at + 1
            at += 1
        yield ("send" if match.group(1) else match.group(2) or match.group(3), match.group(1), parts[0],
               parts[1:], match.start(), at)


def sends(table, name, side, handle, but=None):
    """One call for each message that a side may send."""
    for message in table["messages"]:
        args = arguments(message)
        if args is None or message["name"] == but:
            continue
        if message["direction"] != ("out" if side == "Imp" else "in"):
            yield message["name"], f"{name}_{side}_send_{message['name']}({', '.join([handle] + args)})"


def mutants_of_call(table, name, side, call, text):
    """(what, replacement) for one call."""
    kind, message, handle, args, begin, end = call
    same = text[begin:end]
    other = "Exp" if side == "Imp" else "Imp"
    wrong = f"(struct {name}_{other}){{.h = ({handle}).h}}"
    handle = f"(struct {name}_{side}){{.h = ({handle}).h}}"  # also where the types have states
    listen = f"({{ struct {name}_{side}_msg m_; (void){name}_{side}_recv({handle}, &m_, SIP_FOREVER); }})"
    peer_sends = [m for m in table["messages"] if m["direction"] != ("in" if side == "Imp" else "out")]
    if kind == "close":
        yield "close twice", f"((void){same}, {same})"
        for what, send in sends(table, name, side, handle):
            yield f"send {what} after close", f"({same}, {send})"
        yield "recv after close", f"({same}, {listen}, 0)"
        return
    yield f"close before {kind}", f"((void)nk_close(({handle}).h), {same})"
    if kind == "send":
        yield "send twice", f"((void){same}, {same})"
        yield "no send", "0"
        yield "recv first", f"({listen}, {same})"
        for what, send in sends(table, name, side, handle, but=message):
            yield f"{what} for {message}", send
        for what, send in sends(table, name, other, wrong):
            yield f"{what} from the wrong side", send
    else:
        yield "recv twice", f"((void){same}, {same})"
        for what, send in sends(table, name, side, handle):
            yield f"{what} before recv", f"((void){send}, {same})"
        for m in peer_sends:
            clear = f"memset({args[0]}, 0, sizeof(*({args[0]})))"
            yield f"no recv, but {m['name']}", f"({clear}, ({args[0]})->tag = {m['tag']}, 0)"


def mutants():
    """(sip, what, mutated text), always in the same order."""
    for sip, (source, _, name, side) in SIPS.items():
        text = (SOURCE / source).read_text()
        text = text.replace(f'#include "{name}_typed.h"', f'#include "{name}.h"\n#include "{name}_typed.h"')
        table = contract(name)
        for call in calls(text, name, side):
            line = text.count("\n", 0, call[4]) + 1
            for what, new in mutants_of_call(table, name, side, call, text):
                yield sip, f"{sip}.c:{line}: {what}", text[:call[4]] + new + text[call[5]:]


def sipc(command, sip, text, *more):
    source, manifest, _, _ = SIPS[sip]
    path = WORK / f"{sip}.c"
    path.write_text(text)
    others = [SOURCE / "sips/web/http.c"] if sip == "web" else []
    return subprocess.run([SIPC, command, path, *others, "-I", (SOURCE / source).parent, "--manifest",
                           SOURCE / manifest, "--contracts", STD, *more], capture_output=True, text=True,
                          check=False)


def run_watched(sip, text):
    """What the SIP and its peer said, and how the kernel was left."""
    _, _, name, side = SIPS[sip]
    image = WORK / "mutant.sip"
    include = f'#include "{name}.h"'
    watched = text.replace(include, '#include "watch.h"\n' + include, 1)
    (WORK / "watch.h").write_text(watch(contract(name), side))
    out = sipc("build", sip, watched, "-I", WORK, "-o", image)
    if out.returncode != 0:
        return None, out.stderr
    words = []
    for pair in PAIRS[sip]:
        words += [pair[0], image if pair[1] is None else BUILT / pair[1], *pair[2:]]
    run = subprocess.run([RUN, *words], capture_output=True, text=True, check=False, timeout=60)
    return run, run.stdout + run.stderr


def judge(sip, text):
    """(verdict, what was said)"""
    out = sipc("check", sip, text)
    if out.returncode != 0:
        return ("refuted" if "[refuted]" in out.stderr else "broken"), out.stderr
    run, said = run_watched(sip, text)
    said = out.stdout + said
    if run is None and "[refuted]" in said:
        return "refuted", said
    if run is None or run.returncode != 0:
        return "broken", said
    if "watch: THROUGH" in said:
        return "through", said
    if "watch: stopped" in said:
        return ("unsound" if " 0 left to the monitor" in out.stdout else "stopped"), said
    return "legal", said


def check(number, name, good, detail=""):
    print(f"{'ok' if good else 'not ok'} {number} - {name}", flush=True)
    if not good:
        print("".join(f"# {line}\n" for line in detail.splitlines()), end="", flush=True)
    return good


def originals():
    """Without a mutation, nothing is refuted and nothing is tried that is forbidden."""
    for sip, (source, *_) in SIPS.items():
        verdict, said = judge(sip, (SOURCE / source).read_text())
        good = verdict == "legal" and " 0 refuted" in said
        if sip == "hello-client":
            good = good and "log client: hello, world" in said and "ended client how 0 code 0" in said
        if sip == "web":
            good = good and "log web: serving port 18473" in said
        yield f"{sip} as it is", good, said


def main():
    counts, wrong, results = {}, "", []
    for name, good, said in originals():
        results.append(check(len(results) + 1, name, good, said))
    for sip, what, text in mutants():
        if ONLY not in what:
            continue
        verdict, said = judge(sip, text)
        counts[verdict] = counts.get(verdict, 0) + 1
        if ONLY or verdict in ("through", "broken", "unsound"):
            wrong += f"{verdict}: {what}\n{said}\n"
        print(f"# {verdict}: {what}", flush=True)
    refuted, stopped = counts.get("refuted", 0), counts.get("stopped", 0)
    print(f"# refuted {refuted}, stopped by the monitor {stopped}, got through {counts.get('through', 0)}; "
          f"not counted: {counts.get('legal', 0)} legal programs")
    results.append(check(len(results) + 1, f"no mutant of {refuted + stopped} gets through",
                         not wrong and refuted + stopped >= MUTANTS_MIN, wrong))
    print(f"1..{len(results)}")
    return 0 if all(results) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
