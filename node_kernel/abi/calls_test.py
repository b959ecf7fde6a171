#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of kernel calls and what is made of it agree: calls_test.py SIPC SOURCE_ROOT. TAP."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SIPC = os.path.abspath(sys.argv[1])
SOURCE = pathlib.Path(sys.argv[2]).resolve()
HERE = SOURCE / "node_kernel/abi"
TABLE = HERE / "include/abi/nk_calls.def"
WORK = pathlib.Path(tempfile.mkdtemp(prefix="calls-test-"))
results = []


def check(name, ok, detail=""):
    results.append((name, bool(ok), str(detail)))


def run(*args):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, TMPDIR=str(WORK)))


def made(what, table=TABLE):
    return run(sys.executable, HERE / "calls.py", what, table)


def test_page():
    page = made("page").stdout
    check("docs/kernel-calls.md is what the table gives (else: ./run calls)",
          page == (SOURCE / "docs/kernel-calls.md").read_text())


def test_golden():
    """Numbers and signatures are compiled into images: nothing there may change."""
    now = ["\t".join(line.split("\t")[:3]) for line in made("list").stdout.splitlines()]
    frozen = (HERE / "calls.golden").read_text().splitlines()
    check("no number or signature of a call has changed", now[:len(frozen)] == frozen,
          "\n".join(set(frozen) ^ set(now[:len(frozen)])))
    check("every call is in calls.golden (append new ones)", now == frozen, now[len(frozen):])


BAD_ROWS = [
    ("another signature", '"(i)i", int32_t, (uint32_t handle), "", "OK", "x"', "(i)i", "(ii)i",
     "the signature says"),
    ("an unknown status", '"(i)i", int32_t, (uint32_t handle), "", "OK", "x"', '"OK"', '"OK FINE"',
     "unknown status FINE"),
    ("statuses out of order", '"(i)i", int32_t, (uint32_t handle), "", "OK", "x"', '"OK"',
     '"BADARG OK"', "order of status.def"),
    ("a pointer without a length", '"(i)i", int32_t, (uint32_t handle), "", "OK", "x"',
     "uint32_t handle", "const char *text", "has no length"),
    ("an unknown type", '"(i)i", int32_t, (uint32_t handle), "", "OK", "x"', "uint32_t handle",
     "short handle", "is not known"),
]


def test_contradictions():
    text = TABLE.read_text()
    count = len(made("list").stdout.splitlines())
    good = WORK / "good.def"
    for name, row, old, new, said in BAD_ROWS:
        good.write_text(text + f"NK_API({count}, extra, {row})\n")
        check(f"a row is appended before: {name}", made("list", good).returncode == 0,
              made("list", good).stderr)
        good.write_text(text + f"NK_API({count}, extra, {row.replace(old, new)})\n")
        out = made("list", good)
        check(f"refused: {name}", out.returncode == 1 and said in out.stderr, out.stderr)
    row = BAD_ROWS[0][1]
    for name, number, call, said in (("a hole in the numbers", count + 1, "extra", "append only"),
                                     ("a number twice", count - 1, "extra", "append only"),
                                     ("a name twice", count, "send", "is there twice")):
        good.write_text(text + f"NK_API({number}, {call}, {row})\n")
        out = made("list", good)
        check(f"refused: {name}", out.returncode == 1 and said in out.stderr, out.stderr)


def test_declarations():
    """sip.h declares every call, with the signature that the verifier wants."""
    calls = [c for c in json.loads(made("json").stdout) if not c["internal"]]
    names = ", ".join(f"(void (*)(void))nk_{c['name']}" for c in calls)
    (WORK / "all.c").write_text(
        f'#include "sip.h"\nvoid (*volatile all[])(void) = {{{names}}};\n'
        "int sip_main(void) { all[nk_clock_ns() & 7](); return 0; }\n")
    out = run(SIPC, "build", WORK / "all.c", "-o", WORK / "all.sip", "--keep", WORK / "kept")
    check("a SIP that takes the address of every call builds", out.returncode == 0, out.stderr)
    text = run("wasm-objdump", "-x", "-j", "Import", WORK / "kept/linked.wasm").stdout
    imports = set(re.findall(r"<- nk\.(\w+)", text))
    check("and imports exactly the calls of the table", imports == {c["name"] for c in calls},
          imports ^ {c["name"] for c in calls})
    (WORK / "trap.c").write_text('#include "sip.h"\nint sip_main(void) { nk_trap(1); return 0; }\n')
    out = run(SIPC, "build", WORK / "trap.c", "-o", WORK / "trap.sip")
    check("call 0 is not declared", out.returncode == 1 and "nk_trap" in out.stderr, out.stderr)


def test_listings():
    calls = json.loads(made("json").stdout)
    rust = made("rust").stdout
    missing = [c["name"] for c in calls if not c["internal"] and f"pub fn nk_{c['name']}(" not in rust]
    check("the Rust listing has every call", not missing and "nk_trap" not in rust, missing)
    out = run(sys.executable, HERE / "calls.py", "list")
    check("wrong use is told", out.returncode == 2 and "calls.py page TABLE" in out.stderr, out.stderr)


def main():
    try:
        test_page()
        test_golden()
        test_contradictions()
        test_declarations()
        test_listings()
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    print(f"1..{len(results)}")
    for number, (name, ok, detail) in enumerate(results, 1):
        print(f"{'ok' if ok else 'not ok'} {number} - {name}")
        for line in [] if ok else detail.splitlines()[:8]:
            print(f"# {line}")
    return 0 if all(ok for _, ok, _ in results) else 1


sys.exit(main())
