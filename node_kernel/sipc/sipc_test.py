#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests sipc from outside: one bad module per rule, the wasm2c injection hole, the command line.

sipc_test.py SIPC SOURCE_ROOT. Prints TAP. Needs wabt, gcc and binutils, as sipc itself does.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SIPC = os.path.abspath(sys.argv[1])
SOURCE = pathlib.Path(sys.argv[2]).resolve()
HERE = SOURCE / "node_kernel/sipc"
WORK = pathlib.Path(tempfile.mkdtemp(prefix="sipc-test-"))
PRIVATE = WORK / "tmp"  # TMPDIR of every sipc: what is left in it is a leak

MEMORY = '(memory (export "memory") 1)'
MAIN = '(func (export "sip_main") (result i32) (i32.const 0))'
GOOD = f"(module {MEMORY} {MAIN})"


def leb(number):
    out = bytearray()
    while True:
        byte = number & 0x7F
        number >>= 7
        out.append(byte | (0x80 if number else 0))
        if not number:
            return bytes(out)


def section(number, body):
    return bytes([number]) + leb(len(body)) + body


def module(*sections):
    return b"\0asm\1\0\0\0" + b"".join(sections)


TYPE = section(1, b"\1\x60\0\1\x7f")
FUNCTION = section(3, b"\1\0")
MEM = section(5, b"\1\0\1")
EXPORT = section(7, b"\2\6memory\2\0\x08sip_main\0\0")
CODE = section(10, b"\1\4\0\x41\0\x0b")


def with_main(body):
    """A module whose sip_main has that body (bytes between locals and end)."""
    code = b"\0" + body + b"\x0b"
    return module(TYPE, FUNCTION, MEM, EXPORT, section(10, b"\1" + leb(len(code)) + code))


def wat(text):
    return f"(module {text})"


def main_body(text):
    return wat(f'{MEMORY} (func (export "sip_main") (result i32) {text})')


# (rule, what, WebAssembly text or bytes)
BAD = [
    ("format", "not a module", b"\0asn\1\0\0\0"),
    ("format", "empty file", b""),
    ("format", "another version", b"\0asm\2\0\0\0"),
    ("format", "cut in a section", module(TYPE, FUNCTION)[:-1]),
    ("format", "a section with a tail", module(section(1, b"\1\x60\0\1\x7f\0"))),
    ("format", "sections out of order", module(FUNCTION, TYPE)),
    ("format", "a section twice", module(TYPE, TYPE)),
    ("format", "an unknown section", module(section(13, b"\0"))),
    ("format", "an over-long number", module(section(1, b"\x81\x80\x80\x80\x80\0\x60\0\1\x7f"))),
    ("format", "unused bits in a number", module(section(1, b"\x81\x80\x80\x80\x70\x60\0\1\x7f"))),
    ("format", "bodies are missing", module(TYPE, FUNCTION, MEM, EXPORT)),
    ("format", "a body is too short", module(TYPE, FUNCTION, MEM, EXPORT, section(10, b"\1\2\0\x41"))),
    ("format", "a body goes on after its end", with_main(b"\x41\0\x0b\x41\0")),
    ("format", "a local that is not there", with_main(b"\x20\7")),
    ("format", "a call to no function", with_main(b"\x10\7")),
    ("format", "a branch to no block", with_main(b"\x0c\5\x41\0")),
    ("format", "a memory that is larger than its limit", module(TYPE, FUNCTION, section(5, b"\1\1\2\1"), EXPORT, CODE)),
    ("format", "a memory of more than 4 GiB", module(TYPE, FUNCTION, section(5, b"\1\1\1\x81\x80\x04"), EXPORT, CODE)),
    ("format", "a table that is larger than its limit", module(TYPE, FUNCTION, section(4, b"\1\x70\1\2\1"), MEM, EXPORT, CODE)),
    ("format", "an else of a block", with_main(b"\x02\x40\x05\x0b\x41\0")),
    ("format", "a second else", with_main(b"\x41\0\x04\x40\x05\x05\x0b\x41\0")),
    ("format", "a constant that is set", module(TYPE, FUNCTION, MEM, section(6, b"\1\x7f\0\x41\0\x0b"), EXPORT, section(10, b"\1\x08\0\x41\1\x24\0\x41\0\x0b"))),
    ("format", "an alignment that is larger than natural", with_main(b"\x41\0\x2d\1\0")),
    ("format", "a data segment that was not counted", with_main(b"\xfc\x09\0\x41\0")),
    ("format", "a data segment that is not there", module(TYPE, FUNCTION, MEM, EXPORT, section(12, b"\1"), section(10, b"\1\x07\0\xfc\x09\1\x41\0\x0b"), section(11, b"\1\1\0"))),
    ("format", "data segments counted wrongly", module(TYPE, FUNCTION, MEM, EXPORT, section(12, b"\2"), CODE, section(11, b"\1\1\0"))),
    ("size", "more than 16 MiB", module(section(0, b"\1x" + bytes(16 << 20)))),
    ("types", "two results", wat(f"(func (result i32 i32) (i32.const 0) (i32.const 0)) {MEMORY} {MAIN}")),
    ("types", "a vector parameter", wat(f"(func (param v128)) {MEMORY} {MAIN}")),
    ("types", "a reference result", wat(f"(func (result funcref) (ref.null func)) {MEMORY} {MAIN}")),
    ("types", "a vector local", main_body("(local v128) (i32.const 0)")),
    ("types", "129 parameters", wat(f"(func (param {'i32 ' * 129})) {MEMORY} {MAIN}")),
    ("types", "a block that takes values",
     main_body("(i32.const 0) (block (param i32) (result i32))")),
    ("import-functions-only", "a memory", wat(f'(import "nk" "memory" (memory 1)) {MAIN}')),
    ("import-functions-only", "a table", wat(f'(import "nk" "t" (table 1 funcref)) {MEMORY} {MAIN}')),
    ("import-functions-only", "a global", wat(f'(import "nk" "g" (global i32)) {MEMORY} {MAIN}')),
    ("import-module", "env", wat(f'(import "env" "yield" (func)) {MEMORY} {MAIN}')),
    ("import-module", "wasi", wat(f'(import "wasi_snapshot_preview1" "proc_exit" (func (param i32))) {MEMORY} {MAIN}')),
    ("import-names", "a comment's end", wat(f'(import "nk" "*/int x;/*" (func)) {MEMORY} {MAIN}')),
    ("import-names", "an empty name", wat(f'(import "nk" "" (func)) {MEMORY} {MAIN}')),
    ("import-names", "65 letters", wat(f'(import "nk" "{"a" * 65}" (func)) {MEMORY} {MAIN}')),
    ("import-names", "a crafted module name", wat(f'(import "n k" "yield" (func)) {MEMORY} {MAIN}')),
    ("import-allow-list", "open_door", wat(f'(import "nk" "open_door" (func)) {MEMORY} {MAIN}')),
    ("import-allow-list", "call 0", wat(f'(import "nk" "trap" (func (param i32))) {MEMORY} {MAIN}')),
    ("import-allow-list", "a longer name", wat(f'(import "nk" "yield2" (func)) {MEMORY} {MAIN}')),
    ("import-signature", "too many parameters", wat(f'(import "nk" "yield" (func (param i32))) {MEMORY} {MAIN}')),
    ("import-signature", "a result too many", wat(f'(import "nk" "yield" (func (result i32))) {MEMORY} {MAIN}')),
    ("import-signature", "i64 for i32", wat(f'(import "nk" "close" (func (param i64) (result i32))) {MEMORY} {MAIN}')),
    ("functions", "too many", wat(f"(type $t (func)) {MEMORY} {MAIN} {'(func (type $t))' * 32768}")),
    ("table", "two tables", wat(f"(table 1 funcref) (table 1 funcref) {MEMORY} {MAIN}")),
    ("table", "of references", wat(f"(table 1 externref) {MEMORY} {MAIN}")),
    ("table", "too long", wat(f"(table 2049 funcref) {MEMORY} {MAIN}")),
    ("table", "call without table", with_main(b"\x41\0\x11\0\0")),
    ("memory", "none", wat(MAIN)),
    ("memory", "two", wat(f"(memory 1) {MEMORY} {MAIN}")),
    ("memory", "shared", wat(f'(memory (export "memory") 1 2 shared) {MAIN}')),
    ("memory", "64 bit", wat(f'(memory (export "memory") i64 1) {MAIN}')),
    ("memory-limit", "32 MiB and a page", wat(f'(memory (export "memory") 513) {MAIN}')),
    ("globals", "too many", wat(f"{MEMORY} {MAIN} {'(global i32 (i32.const 0))' * 1025}")),
    ("globals", "a reference", wat(f"{MEMORY} {MAIN} (global funcref (ref.null func))")),
    ("globals", "started by another global", wat(f"{MEMORY} {MAIN} (global $a i32 (i32.const 0)) (global i32 (global.get $a))")),
    ("export-names", "a comment's end", wat(f'{MEMORY} {MAIN} (func (export "*/ x"))')),
    ("export-names", "a newline", wat(f'{MEMORY} {MAIN} (func (export "a\\0ab"))')),
    ("exports", "another function", wat(f'{MEMORY} {MAIN} (func (export "helper"))')),
    ("exports", "no sip_main", wat(MEMORY)),
    ("exports", "no memory", wat(f"(memory 1) {MAIN}")),
    ("exports", "sip_main with a parameter", wat(f'{MEMORY} (func (export "sip_main") (param i32) (result i32) (i32.const 0))')),
    ("exports", "sip_main without result", wat(f'{MEMORY} (func (export "sip_main"))')),
    ("exports", "a kernel call as sip_main", wat(f'(import "nk" "yield" (func $y)) {MEMORY} (export "sip_main" (func $y))')),
    ("exports", "a global", wat(f'{MEMORY} {MAIN} (global (export "g") i32 (i32.const 0))')),
    ("no-start", "a start function", wat(f"{MEMORY} {MAIN} (func $s) (start $s)")),
    ("elements", "passive", wat(f"(table 1 funcref) {MEMORY} {MAIN} (elem func 0)")),
    ("elements", "without table", module(TYPE, FUNCTION, MEM, EXPORT, section(9, b"\1\0\x41\0\x0b\1\0"), CODE)),
    ("locals", "8193", main_body(f"(local {'i64 ' * 8193}) (i32.const 0)")),
    ("locals", "billions in one group", module(TYPE, FUNCTION, MEM, EXPORT, section(10, b"\1\x0a\1\xff\xff\xff\xff\x0f\x7f\x41\0\x0b"))),
    ("opcodes", "a vector", main_body("(drop (v128.const i32x4 0 0 0 0)) (i32.const 0)")),
    ("opcodes", "an atomic", main_body("(i32.atomic.load (i32.const 0))")),
    ("opcodes", "a reference", main_body("(drop (ref.null func)) (i32.const 0)")),
    ("opcodes", "table.get", wat(f'(table 1 funcref) {MEMORY} (func (export "sip_main") (result i32) (drop (table.get 0 (i32.const 0))) (i32.const 0))')),
    ("opcodes", "table.grow", wat(f'(table 1 funcref) {MEMORY} (func (export "sip_main") (result i32) (table.grow 0 (ref.null func) (i32.const 1)))')),
    ("opcodes", "a tail call", main_body("(return_call 0)")),
    ("opcodes", "an exception", main_body("(try (do) (catch_all)) (i32.const 0)")),
    ("opcodes", "0x06", with_main(b"\x06\x40\x0b\x41\0")),
    ("memarg-offset", "2 GiB", main_body("(i32.load offset=0x80000000 (i32.const 0))")),
    ("memarg-offset", "2 GiB in a store", main_body("(i64.store offset=0xffffffff (i32.const 0) (i64.const 0)) (i32.const 0)")),
    ("nesting", "512 blocks", with_main(b"\x02\x40" * 512 + b"\x0b" * 512 + b"\x41\0")),
    ("nesting", "a br_table of 65537 labels", with_main(b"\x41\0\x0e" + leb(65537) + bytes(65538))),
    ("data", "of a second memory", module(TYPE, FUNCTION, MEM, EXPORT, CODE, section(11, b"\1\2\0\x41\0\x0b\0"))),
    ("validate", "an empty stack", with_main(b"\x6a")),
    ("validate", "a wrong type", with_main(b"\x42\0")),
    ("validate", "a br_table to labels of different types",
     main_body("(block (result i32) (block (unreachable) (br_table 0 1 (i32.const 0))) (i32.const 1))")),
]

# Modules that use what is allowed up to its limit.
FINE = [
    ("the smallest", GOOD),
    ("custom sections of any content", module(section(0, b"\4name\1\x7f*/"), TYPE, FUNCTION, MEM, EXPORT, CODE, section(0, b"\3*/x"))),
    ("a table of 2048 and 1024 globals", wat(f"(table 2048 funcref) (elem (i32.const 3) 0) {MEMORY} {MAIN} {'(global (mut i64) (i64.const -1))' * 1024}")),
    ("32 MiB of memory", wat(f'(memory (export "memory") 512) {MAIN}')),
    ("8192 locals", main_body(f"(local {'i64 ' * 8192}) (i32.const 0)")),
    ("an offset just below 2 GiB", main_body("(i32.load offset=0x7fffffff (i32.const 0))")),
    ("bulk memory and passive data", main_body("(memory.init 0 (i32.const 0) (i32.const 0) (i32.const 1)) (data.drop 0) (memory.copy (i32.const 0) (i32.const 1) (i32.const 2)) (memory.fill (i32.const 0) (i32.const 1) (i32.const 2)) (i32.const 0)")[:-1] + '(data "x"))'),
    ("numbers that a linker exports", wat(f'{MEMORY} {MAIN} (global (export "__heap_base") i32 (i32.const 9)) (global (export "__data_end") (mut i32) (i32.const 9))')),
    ("sign extension and saturation", main_body("(i32.extend8_s (i32.trunc_sat_f64_s (f64.const 1e300)))")),
]

INJECTED = "static void pwn(void){__asm__(\"syscall\");}"
# A name that ends wasm2c's comment, adds a function, and begins a comment again.
HOLE = (b"*/\n#ifndef PWN\n#define PWN\n__attribute__((constructor)) " + INJECTED.encode() +
        b"\n#endif\n/*")

results = []


def check(name, ok, detail=""):
    results.append((name, bool(ok), detail))


def environment(**more):
    inherited = {name: value for name, value in os.environ.items() if name != "SIPC_KEY"}
    return dict(inherited, TMPDIR=str(PRIVATE), LC_ALL="C", **more)


def run(*args, env=None, **options):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True,
                          env=env or environment(), timeout=120, **options)


def write_module(name, content):
    path = WORK / name
    if isinstance(content, bytes):
        path.write_bytes(content)
        return path
    (WORK / "in.wat").write_text(content)
    made = run("wat2wasm", "--enable-all", "--no-check", WORK / "in.wat", "-o", path)
    if made.returncode != 0:
        raise RuntimeError(f"wat2wasm: {made.stderr}\n{content[:400]}")
    return path


def test_rules():
    for number, (rule, what, content) in enumerate(BAD):
        path = write_module(f"bad{number}.wasm", content)
        out = run(SIPC, "verify", path)
        good = out.returncode == 1 and f"rule {rule}: " in out.stderr
        check(f"rule {rule}: {what}", good, f"exit {out.returncode}: {out.stderr}")
        if rule == "validate":
            made = WORK / "bad.sip"
            out = run(SIPC, "build", path, "-o", made)
            good = out.returncode == 1 and "rule validate: " in out.stderr and not made.exists()
            check(f"rule validate, sipc build: {what}", good, f"exit {out.returncode}: {out.stderr}")
    for number, (what, content) in enumerate(FINE):
        path = write_module(f"fine{number}.wasm", content)
        out = run(SIPC, "verify", path)
        check(f"fine: {what}", out.returncode == 0 and out.stderr == "", out.stderr)


def test_rules_are_covered_and_documented():
    source = "".join((HERE / name).read_text() for name in ("verify.c", "verify_code.c", "sipc.c"))
    rules = set(re.findall(r'broken\(\s*v,\s*"([a-z-]+)"', source))
    rules |= set(re.findall(r'BROKEN\(\s*&?w,\s*"([a-z-]+)"', source))
    rules |= set(re.findall(r'check_name\(.*"([a-z]+-names)"', source))
    rules |= {"import-names", "export-names", "validate"}
    missing = rules - {rule for rule, _, _ in BAD}
    check("every rule of the verifier has a bad module", not missing, str(missing))
    page = (SOURCE / "docs/sips.md").read_text()
    missing = {rule for rule in rules if f"`{rule}`" not in page}
    check("every rule of the verifier is in docs/sips.md", not missing, str(missing))
    source = "".join(p.read_text() for p in (SOURCE / "node_kernel/image").glob("*.c")
                     if not p.name.endswith("_test.c"))
    rules = set(re.findall(r'image__broken\(\s*&?report,\s*SF_\w+,\s*"([a-z-]+)"', source))
    rules |= set(re.findall(r'image__broken\(\s*report,\s*st,\s*"([a-z-]+)"', source))
    missing = {rule for rule in rules if f"`{rule}`" not in page}
    check("every rule of images is in docs/sips.md", len(rules) > 15 and not missing, str(missing))


def test_injection_hole():
    """The name rule is not theory: without it the code is in the object file."""
    export = section(7, b"\3\6memory\2\0\x08sip_main\0\0" + leb(len(HOLE)) + HOLE + b"\0\0")
    path = write_module("hole.wasm", module(TYPE, FUNCTION, MEM, export, CODE))
    check("hole: wasm-validate accepts the module", run("wasm-validate", path).returncode == 0)
    made = run("wasm2c", "--module-name=sip", "--no-debug-names", path, "-o", WORK / "hole.c")
    check("hole: wasm2c accepts the module", made.returncode == 0, made.stderr)
    made = run("gcc", "-c", "-w", "-O2", WORK / "hole.c", "-o", WORK / "hole.o")
    check("hole: gcc compiles what wasm2c wrote", made.returncode == 0, made.stderr)
    code = run("objdump", "-d", WORK / "hole.o").stdout
    check("hole: the object file has our syscall instruction", re.search(r"<pwn>:\n.*syscall", code),
          code[:400])
    out = run(SIPC, "verify", path)
    check("hole: sipc verify refuses it", out.returncode == 1 and "rule export-names" in out.stderr,
          out.stderr)
    out = run(SIPC, "build", path, "-o", WORK / "hole.sip")
    check("hole: sipc build refuses it and writes nothing", out.returncode == 1 and
          "rule export-names" in out.stderr and not (WORK / "hole.sip").exists(), out.stderr)
    # The same through an import's name, which wasm2c copies, too.
    imports = section(2, b"\1\2nk" + leb(len(HOLE)) + HOLE + b"\0\0")
    path = write_module("hole2.wasm", module(TYPE, imports, FUNCTION, MEM,
                        section(7, b"\2\6memory\2\0\x08sip_main\0\1"), CODE))
    check("hole: wasm-validate accepts it in an import", run("wasm-validate", path).returncode == 0)
    out = run(SIPC, "build", path, "-o", WORK / "hole.sip")
    check("hole: sipc refuses it in an import", out.returncode == 1 and
          "rule import-names" in out.stderr, out.stderr)


HELLO = """#include "sip.h"
static int depth(int n) { volatile char b[8]; b[0] = (char)n; return n > 0 ? depth(n - 1) + b[0] : 0; }
int sip_main(void) { sip_log("at %s", __FILE__); return depth(3); }
"""


def test_build():
    one, two = WORK / "one", WORK / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "x.c").write_text(HELLO)
        out = run(SIPC, "build", folder / "x.c", "-o", folder / "x.sip")
        check(f"build in {folder.name}", out.returncode == 0 and out.stdout == "", out.stderr)
    check("same input, same bytes, in another folder",
          (one / "x.sip").read_bytes() == (two / "x.sip").read_bytes())
    out = run(SIPC, "build", "x.c", "-o", "y.sip", cwd=one)
    check("another name is another image with another place", out.returncode == 0 and
          place(one / "x.sip") != place(one / "y.sip"), out.stderr)
    out = run(SIPC, "build", "x.c", "-o", "z.sip", "--place", "77", cwd=one)
    check("--place", out.returncode == 0 and place(one / "z.sip") == "0x1004d000000", out.stderr)
    kept = WORK / "kept"
    out = run(SIPC, "build", one / "x.c", "-o", one / "k.sip", "--keep", kept)
    check("--keep leaves the stages", (kept / "module.c").exists(), out.stderr)
    linked = run("nm", "-u", kept / "module.elf").stdout
    relocations = run("readelf", "-rW", kept / "module.elf").stdout
    loads = run("readelf", "-lW", kept / "module.elf").stdout
    check("zero undefined symbols", linked == "", linked)
    check("zero relocations", "no relocations" in relocations, relocations)
    check("nothing writable", not re.search(r"LOAD.*RW", loads) and "INTERP" not in loads, loads)
    out = run(SIPC, "build", kept / "linked.wasm", "-o", one / "w.sip")
    check("build from a .wasm", out.returncode == 0, out.stderr)
    out = run(SIPC, "inspect", one / "w.sip", "-o", "json")
    check("inspect -o json", '"abi_version":\t2' in out.stdout, out.stdout + out.stderr)
    (one / "cpu.yaml").write_text("name: w\ncpu: 25%\nslot_class: large\nmemory: 1GiB\nstrict_blocks: true\n")
    out = run(SIPC, "build", kept / "linked.wasm", "--manifest", one / "cpu.yaml", "-o", one / "w.sip")
    check("a manifest with a cpu quota", out.returncode == 0, out.stderr)
    out = run(SIPC, "inspect", one / "w.sip", "-o", "json")
    check("so are class, memory and strict blocks", '"slot_class":\t"large"' in out.stdout and
          '"memory_pages_max":\t16384' in out.stdout and '"strict_blocks":\ttrue' in out.stdout,
          out.stdout)
    check("the quota is in the image", '"cpu_percent":\t25' in out.stdout, out.stdout + out.stderr)
    out = run(SIPC, "verify", one / "x.sip")
    check("verify an image", out.returncode == 0, out.stderr)
    damaged = bytearray((one / "x.sip").read_bytes())
    damaged[-1] ^= 1
    (WORK / "d.sip").write_bytes(damaged)
    for command in ("verify", "inspect"):
        out = run(SIPC, command, WORK / "d.sip")
        check(f"{command} a tampered image", out.returncode == 1 and "rule image-hash" in out.stderr and
              out.stdout == "", out.stderr)


def test_unmasked_accesses():
    """A wasm2c that writes one access in another way than sip_mem.h takes apart is refused."""
    tools = WORK / "tools"
    tools.mkdir()
    (WORK / "u.c").write_text(HELLO)
    real = shutil.which("wasm2c")
    for name, edit in (("no cast", r"s/(u64)(w2c_i0)/(w2c_i0)/"),
                       ("a sum of two bases", r"s/(u64)(w2c_i0)/(u64)(w2c_i0) + (u64)(w2c_i1)/"),
                       ("nothing", r"s/no such text//")):
        (tools / "wasm2c").write_text(f"#!/bin/sh\n{real} \"$@\" && sed -i '{edit}' module.c\n")
        (tools / "wasm2c").chmod(0o755)
        env = dict(environment(), PATH=f"{tools}:{os.environ['PATH']}")
        out = run(SIPC, "build", WORK / "u.c", "-o", WORK / "u.sip", env=env)
        check(f"an access with another address: {name}",
              out.returncode == 0 if name == "nothing" else
              out.returncode == 1 and "is not as wabt 1.0.32 writes it" in out.stderr, out.stderr)


DATA = """#include "sip.h"
static int two(void) { return 2; }
static int (*functions[])(void) = {two};
static const char *const words[] = {"a", "b"};
static volatile char room[ROOM];
int sip_main(void) { room[0] = words[functions[0]() - 1][0]; return room[0]; }
"""


def test_native():
    folder = WORK / "native"
    folder.mkdir()
    (folder / "x.c").write_text(DATA)
    (folder / "m.yaml").write_text("name: x\nmode: native\n")
    build = (SIPC, "build", "x.c", "-D", "ROOM=100000", "--manifest", "m.yaml")
    out = run(*build, "-o", "x.sip", "--keep", "kept", cwd=folder)
    check("native: build", out.returncode == 0, out.stderr)
    loads = run("readelf", "-lW", folder / "kept/module.elf").stdout
    check("native: nothing writable and executable", not re.search(r"LOAD.*RWE", loads), loads)
    out = run(*build, "-o", "again.sip", cwd=folder)
    check("native: same input, same bytes", (folder / "x.sip").read_bytes() ==
          (folder / "again.sip").read_bytes(), out.stderr)
    out = run(SIPC, "inspect", "x.sip", cwd=folder)
    check("native: inspect says so", re.search(r"mode +native: no checks", out.stdout), out.stdout)
    out = run(SIPC, "inspect", "x.sip", "-o", "json", cwd=folder)
    check("native: inspect -o json", '"mode":\t"native"' in out.stdout, out.stdout)
    out = run(SIPC, "verify", "x.sip", cwd=folder)
    check("native: verify", out.returncode == 0, out.stderr)
    out = run(*build, "--mode", "wasm", "-o", "w.sip", cwd=folder)
    shown = run(SIPC, "inspect", "w.sip", cwd=folder).stdout
    check("--mode goes before the manifest's", re.search(r"mode +wasm\n", shown), out.stderr + shown)
    out = run(SIPC, "build", "x.c", "-D", "ROOM=40000000", "--mode", "native", "-o", "l.sip", cwd=folder)
    check("native: too much data", out.returncode == 1 and "memory" in out.stderr and not (folder / "l.sip").exists(), out.stderr)
    for name, source, words in (
            ("thread-local data", "static _Thread_local int x;\nint sip_main(void) { return x++; }", "tls"),
            ("a system call", "int sip_main(void) { __asm__(\"syscall\"); return 0; }", ""),
    ):
        (folder / "y.c").write_text(source)
        out = run(SIPC, "build", "y.c", "--mode", "native", "-o", "y.sip", cwd=folder)
        check(f"native: {name} is refused", out.returncode == 1 and words in out.stderr and
              not (folder / "y.sip").exists(), out.stderr)
def test_exported_numbers():
    """What linkers export besides is left out: nothing of it reaches wasm2c or the image."""
    numbers = '(global i32 (i32.const 9)) {} (global (mut i32) (i32.const 7))'
    plain = write_module("plain.wasm", wat(f"{MEMORY} {MAIN} {numbers.format('')}"))
    more = write_module("more.wasm", wat(f"""{MEMORY} {MAIN} {numbers.format('')}
        (export "__heap_base" (global 0)) (export "__x" (global 1)) (export "__heap" (global 0))"""))
    for name in (plain, more):
        out = run(SIPC, "build", name, "-o", WORK / "n.sip", "--keep", WORK / f"{name.stem}.kept")
        check(f"exported numbers: {name.stem} builds", out.returncode == 0, out.stderr)
    check("exported numbers: the same module is left", (WORK / "plain.kept/module.wasm").read_bytes() ==
          (WORK / "more.kept/module.wasm").read_bytes() != more.read_bytes())
    for what, text in (("a function", f'(func (export "__f"))'), ("a number", '(global (export "g") i32 (i32.const 0))')):
        out = run(SIPC, "verify", write_module("refused.wasm", wat(f"{MEMORY} {MAIN} {text}")))
        check(f"exported numbers: but not {what}", out.returncode == 1 and "rule exports" in out.stderr,
              out.stderr)


def test_keys():
    folder = WORK / "keys"
    folder.mkdir()
    out = run(SIPC, "keygen", folder / "ours")
    secret, public = folder / "ours.key", folder / "ours.pub"
    check("keygen", out.returncode == 0 and re.fullmatch(r"[0-9a-f]{16}\n", out.stdout), out.stderr)
    check("only its owner may read a secret key", secret.stat().st_mode & 0o777 == 0o600)
    check("key files are as documented",
          re.fullmatch(r"sip-secret-key-1 [0-9a-f]{64} ours\n", secret.read_text()) and
          re.fullmatch(r"sip-public-key-1 [0-9a-f]{64} ours\n", public.read_text()))
    before = secret.read_text(), public.read_text()
    out = run(SIPC, "keygen", folder / "ours")
    check("keygen does not overwrite a key", out.returncode == 1 and "ours.key is there already" in
          out.stderr and (secret.read_text(), public.read_text()) == before, out.stderr)
    out = run(SIPC, "keygen", "--if-missing", folder / "ours")
    check("keygen --if-missing leaves a key", out.returncode == 0 and
          (secret.read_text(), public.read_text()) == before, out.stderr)
    public.unlink()
    out = run(SIPC, "keygen", "--if-missing", folder / "ours")
    check("keygen --if-missing makes the public half again", out.returncode == 0 and
          public.read_text() == before[1], out.stderr)
    secret.rename(folder / "away.key")
    for words in ((), ("--if-missing",)):
        out = run(SIPC, "keygen", *words, folder / "ours")
        check(f"keygen {' '.join(words)} does not overwrite a public key", out.returncode == 1 and
              "ours.pub is there already" in out.stderr and not secret.exists() and
              public.read_text() == before[1], out.stderr)
    (folder / "away.key").rename(secret)
    out = run(SIPC, "keygen", folder / "a key: x")
    check("a key's name is made to fit", " a-key--x\n" in (folder / "a key: x.pub").read_text(), out.stderr)
    out = run(SIPC, "keygen", folder / "no" / "such")
    check("keygen where there is no folder", out.returncode == 1 and "No such file" in out.stderr, out.stderr)


def test_reproducible(folder, key):
    """Same input and same key, same bytes: in another folder, by option, environment, or later."""
    made = []
    for name in ("one", "two/deep"):
        (folder / name).mkdir(parents=True)
        (folder / name / "x.c").write_text(HELLO)
        out = run(SIPC, "build", "x.c", "-o", "x.sip", "--key", key, cwd=folder / name)
        check(f"signed build in {name}", out.returncode == 0, out.stderr)
        made.append((folder / name / "x.sip").read_bytes())
    out = run(SIPC, "build", folder / "one/x.c", "-o", folder / "x.sip", env=environment(SIPC_KEY=str(key)))
    check("signed build by SIPC_KEY", out.returncode == 0, out.stderr)
    made.append((folder / "x.sip").read_bytes())
    out = run(SIPC, "build", folder / "one/x.c", "-o", folder / "x.sip", env=environment(SIPC_KEY=""))
    check("without a key an image is not signed", out.returncode == 0, out.stderr)
    bare = (folder / "x.sip").read_bytes()
    out = run(SIPC, "sign", folder / "x.sip", "--key", key)
    check("sign", out.returncode == 0 and out.stderr == "", out.stderr)
    made.append((folder / "x.sip").read_bytes())
    out = run(SIPC, "sign", folder / "x.sip", "--key", key)
    check("signing again says so", out.returncode == 0 and "replaced: signed with key" in out.stderr, out.stderr)
    made.append((folder / "x.sip").read_bytes())
    check("same input, same key, same bytes", all(one == made[0] for one in made))
    check("a signature adds 112 bytes and changes nothing but a size", len(made[0]) == len(bare) + 112 and
          made[0][:12] == bare[:12] and made[0][16:len(bare)] == bare[16:])
    return bare, made[0]


def test_signing():
    folder = WORK / "signing"
    folder.mkdir()
    ids = {}
    for name in ("ours", "theirs"):
        ids[name] = run(SIPC, "keygen", folder / name).stdout.strip()
    key, pub = folder / "ours.key", folder / "ours.pub"
    bare, signed = test_reproducible(folder, key)
    tampered = bytearray(signed)
    tampered[len(bare) - 1] ^= 1
    forged = signed[:-1] + bytes([signed[-1] ^ 1])
    for name, content in {"bare": bare, "x": signed, "tampered": tampered, "forged": forged}.items():
        (folder / f"{name}.sip").write_bytes(content)
    run(SIPC, "sign", folder / "x.sip", "--key", folder / "theirs.key", "-o", folder / "foreign.sip")

    def verify(what, code, said, *args):
        out = run(SIPC, "verify", *args, cwd=folder)
        check(f"verify: {what}", out.returncode == code and said in out.stderr and out.stdout == "",
              f"exit {out.returncode}: {out.stderr}")

    verify("trusted", 0, f"signed with key {ids['ours']} (ours), trusted", "x.sip", "--trust", pub)
    verify("one of two keys", 0, "(ours), trusted", "x.sip", "--trust", folder / "theirs.pub", "--trust", pub)
    verify("the right name", 0, "trusted", "x.sip", "--trust", pub, "--name", "x")
    verify("without --trust nobody is vouched for", 0, "give --trust FILE", "x.sip")
    verify("unsigned without --trust", 0, "bare.sip: not signed", "bare.sip")
    verify("unsigned", 1, "rule signature-missing: image is not signed", "bare.sip", "--trust", pub)
    verify("another's key", 1, f"rule signature-key: image is signed with key {ids['theirs']}", "foreign.sip",
           "--trust", pub)
    verify("another name", 1, "rule image-name: ", "x.sip", "--trust", pub, "--name", "web")
    verify("tampered", 1, "rule image-hash: ", "tampered.sip", "--trust", pub)
    verify("a changed signature", 1, "rule signature: ", "forged.sip", "--trust", pub)
    verify("a changed signature, nobody trusted", 1, "rule signature: ", "forged.sip")
    verify("the secret key as --trust", 1, "that is the secret key", "x.sip", "--trust", key)
    verify("no such key file", 1, "none.pub: No such file", "x.sip", "--trust", "none.pub")
    verify("a module with --trust", 1, "not a SIP image", write_module("m.wasm", GOOD), "--trust", pub)
    for args, said in (((), '"state":\t"signed"'), (("--trust", pub), '"state":\t"trusted"')):
        out = run(SIPC, "inspect", folder / "x.sip", "-o", "json", *args)
        check(f"inspect says who signed {' '.join(map(str, args[:1]))}", said in out.stdout and ids["ours"] in out.stdout,
              out.stdout + out.stderr)
    out = run(SIPC, "inspect", folder / "bare.sip")
    check("inspect says that nobody signed", "signature  not signed\n" in out.stdout, out.stdout)

    def sign_fails(what, said, *args, code=1):
        before = (folder / "x.sip").read_bytes()
        out = run(SIPC, "sign", *args, cwd=folder)
        check(f"sign: {what}", out.returncode == code and said in out.stderr and
              (folder / "x.sip").read_bytes() == before, f"exit {out.returncode}: {out.stderr}")

    sign_fails("a broken image is not signed", "tampered.sip is not signed", "tampered.sip", "--key", key)
    sign_fails("no key", "no key", "x.sip", code=2)
    sign_fails("no such key", "none.key: No such file", "x.sip", "--key", "none.key")
    (folder / "half.key").write_text(pub.read_text())
    (folder / "half.key").chmod(0o600)
    sign_fails("the public key", "not a file of one secret key", "x.sip", "--key", "half.key")
    key.chmod(0o640)
    sign_fails("a key that others may read", "chmod 600", "x.sip", "--key", key)
    out = run(SIPC, "build", folder / "one/x.c", "-o", folder / "y.sip", "--key", key)
    check("build: a key that others may read", out.returncode == 1 and not (folder / "y.sip").exists(), out.stderr)
    for args in (("keygen",), ("keygen", "a", "b"), ("keygen", "x", "-o", "y"), ("sign", "x.sip", "--trust", pub),
                 ("verify", "x.sip", "-o", "y"), ("verify", "x.sip", "--trust"), ("sign",)):
        out = run(SIPC, *args, cwd=folder)
        check(f"usage: {' '.join(map(str, args))[:30]}", out.returncode == 2 and "sipc" in out.stderr, out.stderr)


def place(image):
    out = run(SIPC, "inspect", image).stdout
    return re.search(r"place +(\S+)", out).group(1)


def test_build_errors():
    def fails(name, expect, *args, code=1, source=None, **files):
        folder = WORK / "errors"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "x.c").write_text(source or HELLO)
        for file_name, text in files.items():
            (folder / file_name.replace("_", ".")).write_text(text)
        out = run(SIPC, *args, cwd=folder)
        check(name, out.returncode == code and expect in out.stderr and
              not (folder / "x.sip").exists(), f"exit {out.returncode}: {out.stderr}")

    build = ("build", "x.c", "-o", "x.sip")
    with_manifest = build + ("--manifest", "m.yaml", "--contracts", SOURCE / "contracts/std")
    fails("error in C", "x.c:1:", *build, source="int sip_main(void) { return y; }")
    fails("no sip_main", "sip_main", *build, source="int x;")
    fails("a call outside the API", "rule import-allow-list: import nk.open_door is not in the API",
          *build, source='__attribute__((import_module("nk"), import_name("open_door"))) void o(void);'
          '\nint sip_main(void) { o(); return 0; }')
    fails("a function that does not exist", "undefined symbol: nowhere", *build,
          source="void nowhere(void);\nint sip_main(void) { nowhere(); return 0; }")
    fails("libc is not there", "stdio.h", *build, source="#include <stdio.h>\nint x;")
    fails("manifest: unknown key", "m.yaml:2: error: unknown key colour", *with_manifest,
          m_yaml="name: x\ncolour: red\n")
    fails("manifest: no name", "m.yaml:1: error: name is missing", *with_manifest,
          m_yaml="memory: 1MiB\n")
    fails("manifest: unknown contract", "m.yaml:3: error: there is no contract NoContract",
          *with_manifest, m_yaml="name: x\nimports:\n  a: NoContract\n")
    fails("manifest: a port twice", "m.yaml:4: error: a is there twice", *with_manifest,
          m_yaml="name: x\nimports:\n  a: TcpContract\n  a: TcpContract\n")
    fails("manifest: too much memory", "m.yaml:2: error: a size must be", *with_manifest,
          m_yaml="name: x\nmemory: 33MiB\n")
    fails("manifest: too much for a small slot", "`slot_class: large` allows more", *with_manifest,
          m_yaml="name: x\nmemory: 33MiB\n")
    fails("manifest: too many blocks", "m.yaml:3: error: a size must be above 0 and at most 1048576 KiB",
          *with_manifest, m_yaml="name: x\nslot_class: large\nblocks: 1025MiB\n")
    fails("manifest: too much for a large slot", "m.yaml:2: error: a size must be", *with_manifest,
          m_yaml="name: x\nmemory: 2049MiB\nslot_class: large\n")
    fails("manifest: no such class", "m.yaml:2: error: expected small or large", *with_manifest,
          m_yaml="name: x\nslot_class: huge\n")
    fails("manifest: strict or not", "m.yaml:2: error: expected false or true", *with_manifest,
          m_yaml="name: x\nstrict_blocks: maybe\n")
    fails("manifest: too little memory", "the manifest allows 64 KiB", *with_manifest,
          m_yaml="name: x\nmemory: 64KiB\n")
    fails("manifest: a mode that is not there yet", "m.yaml:2: error: mode is wasm (sealed, the default)"
          " or native", *with_manifest, m_yaml="name: x\nmode: process\n")
    fails("a mode that is not there yet", "--mode process: the mode is wasm", *build, "--mode", "process")
    fails("native: only from C", "mode native needs C sources", "build", "x.wasm", "-o", "x.sip",
          "--mode", "native", x_wasm="")
    for text in ("0%", "101%", "25", "x%", "1.5%", "[25%]"):
        fails(f"manifest: cpu {text}", "m.yaml:2: error: expected a share of one core, 1% to 100%",
              *with_manifest, m_yaml=f"name: x\ncpu: {text}\n")
    for line, what in (
            ("cpu_total: 5", "expected a time such as"), ("cpu_total: 0ms", "a time must be above 0"),
            ("slice: 5000000s", "a time must be above 0"), ("slice: [1ms]", "expected a time such as"),
            ("on_violation: maybe", "expected error"), ("movable: maybe", "expected true or false")):
        fails(f"manifest: {line}", f"m.yaml:2: error: {what}", *with_manifest,
              m_yaml=f"name: x\n{line}\n")
    fails("manifest: not YAML", "m.yaml:2: error:", *with_manifest, m_yaml="name: [x\n")
    fails("manifest: not there", "m.yaml: No such file", *with_manifest)
    fails("a broken contract", "error:", *build, "--contracts", "b.contract",
          b_contract="public contract B { in message X(); state Start : { Y? -> Start; } }\n")
    fails("no such contract file", "nowhere", *build, "--contracts", "nowhere")
    fails("not a C file", "x.txt", "build", "x.txt", "-o", "x.sip", x_txt="")
    fails("a missing file", "nothing.c", "build", "nothing.c", "-o", "x.sip")
    fails("no output folder", "nofolder/x.sip", "build", "x.c", "-o", "nofolder/x.sip")
    for name, args in {
        "no command": (), "unknown command": ("seal",), "no file": ("build", "-o", "x.sip"),
        "no output": ("build", "x.c"), "unknown option": build + ("--fast",),
        "a wrong place": build + ("--place", "524288"), "verify nothing": ("verify",),
        "inspect as xml": ("inspect", "x.sip", "-o", "xml"),
    }.items():
        fails(f"usage: {name}", "sipc", *args, code=2)
    out = run(SIPC, "--help")
    check("--help has examples", out.returncode == 0 and "Examples:" in out.stdout)


I32, I64, F32, F64 = 0x7F, 0x7E, 0x7D, 0x7C
# Opcode range, operand types, result: all arithmetic of WebAssembly 1.0 and sign extension.
OPERATORS = [
    (0x45, 0x45, (I32,), I32), (0x46, 0x4F, (I32, I32), I32), (0x50, 0x50, (I64,), I32),
    (0x51, 0x5A, (I64, I64), I32), (0x5B, 0x60, (F32, F32), I32), (0x61, 0x66, (F64, F64), I32),
    (0x67, 0x69, (I32,), I32), (0x6A, 0x78, (I32, I32), I32), (0x79, 0x7B, (I64,), I64),
    (0x7C, 0x8A, (I64, I64), I64), (0x8B, 0x91, (F32,), F32), (0x92, 0x98, (F32, F32), F32),
    (0x99, 0x9F, (F64,), F64), (0xA0, 0xA6, (F64, F64), F64), (0xA7, 0xA7, (I64,), I32),
    (0xA8, 0xA9, (F32,), I32), (0xAA, 0xAB, (F64,), I32), (0xAC, 0xAD, (I32,), I64),
    (0xAE, 0xAF, (F32,), I64), (0xB0, 0xB1, (F64,), I64), (0xB2, 0xB3, (I32,), F32),
    (0xB4, 0xB5, (I64,), F32), (0xB6, 0xB6, (F64,), F32), (0xB7, 0xB8, (I32,), F64),
    (0xB9, 0xBA, (I64,), F64), (0xBB, 0xBB, (F32,), F64), (0xBC, 0xBC, (F32,), I32),
    (0xBD, 0xBD, (F64,), I64), (0xBE, 0xBE, (I32,), F32), (0xBF, 0xBF, (I64,), F64),
    (0xC0, 0xC1, (I32,), I32), (0xC2, 0xC4, (I64,), I64),
]
SATURATING = [(0, 1, F32, I32), (2, 3, F64, I32), (4, 5, F32, I64), (6, 7, F64, I64)]
LOADS = [(0x28, I32), (0x29, I64), (0x2A, F32), (0x2B, F64)] + [
    (op, I32) for op in range(0x2C, 0x30)] + [(op, I64) for op in range(0x30, 0x36)]
STORES = [(0x36, I32), (0x37, I64), (0x38, F32), (0x39, F64), (0x3A, I32), (0x3B, I32),
          (0x3C, I64), (0x3D, I64), (0x3E, I64)]


def every_operator():
    """A module with one function for each operator, kept alive by the table."""
    functions = []
    for first, last, operands, result in OPERATORS:
        functions += [(operands, (result,), bytes([op])) for op in range(first, last + 1)]
    for first, last, operand, result in SATURATING:
        functions += [((operand,), (result,), b"\xfc" + bytes([op])) for op in range(first, last + 1)]
    functions += [((I32,), (result,), bytes([op, 0, 8])) for op, result in LOADS]
    functions += [((I32, value), (), bytes([op, 0, 8])) for op, value in STORES]
    functions += [((), (I32,), b"\x3f\0"), ((I32,), (I32,), b"\x40\0"),
                  ((I32, I32, I32), (), b"\xfc\x0a\0\0"), ((I32, I32, I32), (), b"\xfc\x0b\0")]
    functions.insert(0, ((), (I32,), b"\x41\0\x11\0\0"))  # main calls through the table
    types = b"".join(b"\x60" + leb(len(p)) + bytes(p) + leb(len(r)) + bytes(r)
                     for p, r, _ in functions)
    bodies = b""
    for params, _, code in functions:
        body = b"\0" + b"".join(b"\x20" + leb(i) for i in range(len(params))) + code + b"\x0b"
        bodies += leb(len(body)) + body
    count = len(functions)
    return count, module(
        section(1, leb(count) + types),
        section(3, leb(count) + b"".join(leb(i) for i in range(count))),
        section(4, b"\1\x70\0" + leb(count)), MEM, EXPORT,
        section(9, b"\1\0\x41\0\x0b" + leb(count) + b"".join(leb(i) for i in range(count))),
        section(10, leb(count) + bodies))


def test_every_operator():
    """Nothing that is allowed needs a library, or an instruction that images may not have."""
    count, content = every_operator()
    path = write_module("every.wasm", content)
    check(f"{count} functions, one for each operator: wasm-validate accepts them",
          run("wasm-validate", path).returncode == 0, run("wasm-validate", path).stderr)
    out = run(SIPC, "build", path, "-v", "-o", WORK / "every.sip")
    check("every operator builds", out.returncode == 0, out.stderr)
    check("and has its lines", "llvm-symbolizer" in out.stderr and "no source lines" not in out.stderr,
          out.stderr)
    out = run(SIPC, "inspect", WORK / "every.sip", "-o", "json")
    path = WORK / "sample.wasm"
    made = run("wat2wasm", HERE / "sample.wat", "-o", path)
    out2 = run(SIPC, "build", path, "-v", "-o", WORK / "sample.sip")
    check("bulk memory, passive data, tables and branches build", out2.returncode == 0,
          made.stderr + out2.stderr)
    check("and have their lines", "no source lines" not in out2.stderr, out2.stderr)
    damaged = WORK / "damaged.wasm"
    sections = b"".join(
        section(0, leb(len(name)) + name + bytes((i * 31 + len(name)) & 0xff for i in range(4000)))
        for name in (b".debug_info", b".debug_line", b".debug_abbrev", b".debug_str", b".debug_ranges"))
    damaged.write_bytes(content + sections)
    out2 = run(SIPC, "build", damaged, "-o", WORK / "damaged.sip")
    check("damaged debug information does no harm", out2.returncode == 0, out2.stderr)
    symbols = re.search(r'"symbols":\t(\d+)', out.stdout)
    check("and is in the image", symbols and int(symbols.group(1)) >= count, out.stdout)


# What is computed of one element; gcc makes vectors of it, in as many ways as there are types.
LOOPS = ["a[i] + b[i]", "a[i] * b[i]", "a[i] > b[i] ? a[i] : b[i]", "a[i] < b[i] ? a[i] : b[i]",
         "a[2 * i % N] - b[N - 1 - i]", "a[i] == b[i] ? a[i] : 7", "a[i] < 0 ? -a[i] : a[i]",
         "a[i % (N / 2) * 2 + 1] + a[i / 2 * 2]", "fi[i]", "fd[i]", "wi[i]", "wd[i]"]
WHOLE_LOOPS = ["a[i] << 3", "a[i] >> (k & 7)", "(a[i] ^ b[i]) & ~c[i]", "a[i] / 7",
               "b[i] ? a[i] % b[i] : 0", "__builtin_popcountll(a[i])", "(a[i] + b[i] + 1) >> 1",
               "__builtin_ctzll((uint64_t)a[i] | 1) + __builtin_clzll((uint64_t)a[i] | 1)"]
REAL_LOOPS = ["__builtin_sqrt(a[i])", "__builtin_floor(a[i]) + __builtin_ceil(b[i])", "a[i] / b[i]",
              "__builtin_trunc(a[i]) + __builtin_rint(b[i])", "__builtin_copysign(a[i], b[i])"]


def loops():
    text = ['#include "sip.h"\n#define N 256\nfloat fi[N]; double fd[N]; int32_t wi[N]; int64_t wd[N];']
    calls = []
    for kind in ("int8_t", "uint8_t", "int16_t", "uint16_t", "int32_t", "uint32_t", "int64_t",
                 "uint64_t", "float", "double"):
        text.append(f"struct {{ {kind} a[N], b[N], c[N], s; }} all_{kind};")
        for number, body in enumerate(LOOPS + (REAL_LOOPS if kind in ("float", "double") else WHOLE_LOOPS)):
            name = f"{kind}_{number}"
            text.append(f"__attribute__((noinline)) void {name}(int k) {{ {kind} *a = "
                        f"all_{kind}.a, *b = all_{kind}.b, *c = all_{kind}.c, s = 0; (void)a; (void)k;\n"
                        f"for (int i = 0; i < N; i++) c[i] = ({kind})({body});\n"
                        f"for (int i = 0; i < N; i++) s += c[i] * b[i];\nall_{kind}.s += s; }}")
            calls.append(f"{name}(k);")
    return "\n".join(text) + "\nint sip_main(void) { int k = (int)nk_clock_ns();\n" + \
        "\n".join(calls) + "\nreturn 0; }\n"


def test_vectors():
    """What gcc makes of ordinary loops is allowed in images."""
    (WORK / "loops.c").write_text(loops())
    out = run(SIPC, "build", WORK / "loops.c", "-o", WORK / "loops.sip")
    check("loops of every type build", out.returncode == 0, out.stderr)


# (what, body of sip_main with `struct HelloContract_Imp h` taken, what `sipc check` says)
FLOWS = [
    ("a send out of turn", "HelloContract_Imp_send_Bye(h);\nHelloContract_Imp_send_Bye(h);",
     r"flow\.c:9: error: HelloContract: the importer may not send Bye in state Done \[refuted\]\n"
     r".*flow\.c:6: take HelloContract\.Imp in state Start\n"
     r".*flow\.c:8: send HelloContract\.Imp Bye: Start -> Done\n"),
    ("a receive where nothing can come", "HelloContract_Imp_recv(h, &m, SIP_FOREVER);",
     r"flow\.c:8: error: HelloContract: nothing can come in state Start"),
    ("that receive with a time limit", "HelloContract_Imp_recv(h, &m, SIP_MS(1));",
     r"flow\.c:8: note: recv is left to the monitor"),
    ("use after close", "nk_close(h.h);\nHelloContract_Imp_send_Bye(h);",
     r"flow\.c:9: error: the endpoint of HelloContract \(importer\) was closed before"),
    ("a receive in a final state", "HelloContract_Imp_send_Bye(h);\nHelloContract_Imp_recv(h, &m, SIP_FOREVER);",
     r"2 proven, 0 refuted, 0 left"),
    ("a message on one of two ways", "if (nk_clock_ns() > 5) HelloContract_Imp_send_Bye(h);\n"
     "HelloContract_Imp_send_Bye(h);",
     r"flow\.c:9: note: send is left to the monitor: .* may not send Bye in state Done"),
    ("a handle out of an array", "all[nk_clock_ns() & 3] = h;\nHelloContract_Imp_send_Bye(all[nk_clock_ns() & 3]);",
     r"flow\.c:9: note: send is left to the monitor: its handle comes out of memory"),
    ("an operation on an unknown handle", "HelloContract_Imp_send_Bye(all[nk_clock_ns() & 3]);\n"
     "HelloContract_Imp_send_Bye(h);", r"0 proven, 0 refuted, 2 left"),
    ("a send that may have failed", "HelloContract_Imp_send_Hello(h, nk_block_alloc(1), 1);\n"
     "HelloContract_Imp_recv(h, &m, SIP_FOREVER);",
     r"flow\.c:9: note: recv is left to the monitor: HelloContract: nothing can come in state Start"),
    ("a tag that is looked at", "if (HelloContract_Imp_send_Hello(h, nk_block_alloc(1), 1) < 0) return 2;\n"
     "if (HelloContract_Imp_recv(h, &m, SIP_FOREVER) == 0 && m.tag != HelloContract_tag_Greeting)\n"
     "HelloContract_Imp_recv(h, &m, SIP_FOREVER);", r"3 operations: 3 proven"),
]


def test_static_check():
    folder = WORK / "flow"
    folder.mkdir()
    (folder / "flow.yaml").write_text("name: flow\nimports:\n  hello: HelloContract\n")
    options = ["--manifest", folder / "flow.yaml", "--contracts", SOURCE / "contracts/std"]
    for what, body, said in FLOWS:
        (folder / "flow.c").write_text(
            '#include "HelloContract.h"\nstruct HelloContract_Imp all[4];\nint sip_main(void)\n{\n'
            "struct HelloContract_Imp h; struct HelloContract_Imp_msg m;\n"
            'if (HelloContract_Imp_take("hello", &h) < 0) return 1;\n(void)m;\n' + body + "\nreturn 0;\n}\n")
        out = run(SIPC, "check", folder / "flow.c", *options)
        refused = "error" in said
        check(f"static check: {what}", re.search(said, out.stdout + out.stderr) and
              out.returncode == (1 if refused else 0), out.stdout + out.stderr)
        if "note" in said:
            out = run(SIPC, "check", "--strict", folder / "flow.c", *options)
            check(f"static check: {what}, --strict", out.returncode == 1 and ": error: " in out.stderr,
                  out.stdout + out.stderr)


def function_names(kept):
    text = run("wasm-objdump", "-x", "-j", "Function", kept / "linked.wasm").stdout
    return set(re.findall(r"<(\w+)>", text))


def test_unused_library_costs_nothing():
    """Of libsip, only what a program uses is in it."""
    folder = WORK / "unused"
    folder.mkdir()
    used = {
        "none": ("return 0;", set()),
        "map": ("static struct sip_map m; sip_map_init(&m, 9); return sip_map_put_number(&m, 1, 2);",
                {"sip_map_init", "sip_map_put_number", "sip_hash", "sip_realloc", "sip_alloc"}),
        "log": ('sip_info("x"); return 0;', {"sip_log_at", "sip_vformat", "sip_config"}),
    }
    for name, (body, wanted) in used.items():
        (folder / "x.c").write_text('#include "sip.h"\n#include "sip_map.h"\n#include "sip_loop.h"\n'
                                    "int sip_main(void) { " + body + " }\n")
        out = run(SIPC, "build", folder / "x.c", "-o", folder / f"{name}.sip", "--keep", folder / name)
        names = function_names(folder / name)
        check(f"unused: {name} has what it uses", out.returncode == 0 and wanted <= names,
              out.stderr + str(names))
        if name == "none":
            check("unused: none has nothing of libsip", names == {"sip_main"}, str(names))
        strangers = {n for n in names if re.match("sip_(loop|array|bytes|ring|pqueue|arena|double)", n)}
        check(f"unused: {name} has nothing else", not strangers, str(strangers))
    text = (folder / "none/module.c").read_text()
    check("unused: nothing of its data", "data_segment" not in text)
    sizes = {name: (folder / f"{name}.sip").stat().st_size for name in used}
    check("unused: the image is small", sizes["none"] < 13000 < sizes["map"] < 17000, str(sizes))


def test_sdk():
    folder = WORK / "sdk"
    (WORK / "sdk.yaml").write_text("name: s\nimports:\n  hello: HelloContract\n")
    options = ["--manifest", WORK / "sdk.yaml", "--contracts", SOURCE / "contracts/std"]
    out = run(SIPC, "sdk", *options, "-o", folder)
    check("sdk: written", out.returncode == 0 and out.stdout + out.stderr == "", out.stderr)
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    wanted = {p.name for p in (SOURCE / "sips").glob("sip*.h")}
    wanted |= {"libsip.o", "abi/nk_abi.h", "base/status.h", "HelloContract.h", "HelloContract_typed.h",
               "HelloContract.rs"}
    check("sdk: every header of sips/, libsip and the contract", wanted <= there, str(wanted - there))
    for header in sorted(p for p in there if p.endswith(".h") and not p.endswith("_typed.h")):
        (WORK / "one.c").write_text(f'#include "{header}"\n#include "{header}"\nint x;\n')
        for language in ("c", "c++"):
            made = run("clang", "-x", language, "--target=wasm32", "-ffreestanding", "-fsyntax-only",
                       "-Wall", "-Werror", "-I", folder, WORK / "one.c")
            check(f"sdk: {header} stands alone in {language}", made.returncode == 0, made.stderr)
    (folder / "mine.txt").write_text("mine")
    again = run(SIPC, "sdk", *options, "-o", folder)
    check("sdk: again, and what else is there stays", again.returncode == 0 and
          (folder / "mine.txt").read_text() == "mine", again.stderr)
    for what, arguments, code, words in (
            ("without a folder", options, 2, "-o DIR"),
            ("with a file", [*options, "-o", folder, "x.c"], 2, "no file"),
            ("with a file in the way", [*options, "-o", WORK / "sdk.yaml"], 1, "sdk.yaml"),
            ("without the contract", [*options[:2], "-o", folder], 1, "no contract HelloContract")):
        out = run(SIPC, "sdk", *arguments)
        check(f"sdk: {what}", out.returncode == code and words in out.stderr, out.stderr)


def test_rust_declares_the_api():
    """sips/rust/nk.rs is written by hand; its calls are those of the table, with its signatures."""
    table = (SOURCE / "node_kernel/abi/include/abi/nk_calls.def").read_text()
    wanted = dict(re.findall(r'^NK_\w+\(\s*[1-9]\d*,\s*(\w+),\s*"(\([iI]*\)[iIv])"', table, re.M))
    block = re.search(r'extern "C" \{(.*?)\n    \}', (SOURCE / "sips/rust/nk.rs").read_text(), re.S)[1]
    letters = {"i32": "i", "u32": "i", "i64": "I", "u64": "I", "": "v", "!": "v"}
    declared = {}
    for link, name, arguments, result in re.findall(
            r'(?:#\[link_name = "(\w+)"\]\s*)?pub fn (\w+)\(([^)]*)\)(?: -> ([^;]+))?;', block):
        kinds = [a.split(": ")[1] for a in arguments.split(", ") if a]
        code = ["i" if k.startswith("*") else letters[k] for k in [*kinds, result]]
        declared[link or name] = f"({''.join(code[:-1])}){code[-1]}"
    check("rust/nk.rs declares the calls of the API", len(wanted) >= 20 and declared == wanted,
          str(set(wanted.items()) ^ set(declared.items())))


def test_interrupt():
    """A build that is stopped takes its tools and its folder with it."""
    (WORK / "slow.c").write_text("#define A(x) x x x x x x x x\nstatic volatile int v;\n"
                                 "int sip_main(void) { A(A(A(A(A(v++;))))) return v; }\n")
    process = subprocess.Popen([SIPC, "build", WORK / "slow.c", "-o", WORK / "slow.sip"],
                               stderr=subprocess.PIPE, text=True, env=environment())
    for _ in range(200):
        if any(PRIVATE.glob("sipc-*/libsip/*")):
            break
        time.sleep(0.02)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    text = process.communicate(timeout=60)[1]
    check("stopped by a signal", process.returncode == 1 and not (WORK / "slow.sip").exists(), text)


def main():
    PRIVATE.mkdir()
    try:
        test_rules()
        test_rules_are_covered_and_documented()
        test_injection_hole()
        test_build()
        test_exported_numbers()
        test_unmasked_accesses()
        test_native()
        test_keys()
        test_signing()
        test_build_errors()
        test_every_operator()
        test_vectors()
        test_static_check()
        test_unused_library_costs_nothing()
        test_sdk()
        test_rust_declares_the_api()
        test_interrupt()
        left = sorted(p.name for p in PRIVATE.iterdir())
        check("no private folder is left", not left, str(left))
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    print(f"1..{len(results)}")
    for number, (name, ok, detail) in enumerate(results, 1):
        print(f"{'ok' if ok else 'not ok'} {number} - {name.replace('#', '')}")
        if not ok:
            for line in detail.splitlines()[:8]:
                print(f"# {line}")
    return 0 if all(ok for _, ok, _ in results) else 1


if __name__ == "__main__":  # fuzz/differential.py takes the modules from here
    sys.exit(main())
