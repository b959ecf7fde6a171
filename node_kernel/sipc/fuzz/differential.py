#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the verifier and the image checks, and compares what they accept with other tools.

differential.py VERIFY_FUZZ CODE_FUZZ SIPC SOURCE_ROOT [--seconds N] [--builds N] [--seed N] [--keep DIR]

- What wasm_verify accepts, wasm-validate must accept, or refuse for its types only: types are its
  part. Seeds are the modules of sipc's tests and of the example SIPs.
- Some of what both accept is built: sipc makes an image, or ends with a rule. The image's code has
  no forbidden instruction, as objdump reads it.
- Instructions that image__check_code accepts are as long as objdump says, and none is forbidden.

Prints TAP. What is found is kept in DIR (default: a folder that is named). Exit code 1: found.
"""
import argparse
import collections
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# What wasm-validate says of modules that our verifier leaves to it: every wording of a wrong type that
# an operator we allow can bring about (wabt: PrintError in src/type-checker.cc, CheckType in
# src/shared-validator.cc; "return signatures have inconsistent types" is of tail calls, which the
# verifier refuses). Anything else is a finding.
TYPES = re.compile(r"type mismatch (in|at) |br_table labels have inconsistent types: expected ")
FORBIDDEN = re.compile(
    r"^(\(bad\)|syscall|sysenter|sysexit\w*|sysret\w*|int\w*|iret\w*|hlt|ins[bwl]?|outs?[bwl]?|in|"
    r"wrpkru|rdpkru|xsetbv|xgetbv|xrstor\w*|xsave\w*|fxrstor\w*|fxsave\w*|wrmsr|rdmsr|rdtsc\w*|rdpmc|"
    r"cpuid|wr[fg]sbase|rd[fg]sbase|swapgs|[ls]gdt\w*|[ls]idt\w*|[ls]ldt|[ls]msw|ltr|str|ljmp\w*|"
    r"lcall\w*|lret\w*|retf\w*|lock|std|cli|sti|popf\w*|pushf\w*|ldmxcsr|stmxcsr|f\w+|v[a-z]\w+|"
    r"emms|invlpg|wbinvd|invd|clts|monitor|mwait|xbegin|xabort|xend|xtest|rsm|getsec|enclu|encls|"
    r"les|lds|lss|lfs|lgs|verr|verw|clac|stac|rdrand|rdseed|loop\w*|j[er]?cxz|enter\w*|bound|"
    r"cmpxchg\w*|xadd\w*|k\w+[bwdq]|movnt\w*|maskmov\w*|clflush\w*|prefetch\w*|endbr64|notrack)$")
# movnt* and cmpxchg do no harm but are not in the allow-list: seeing one is a sign of a wrong length.
OPERANDS = re.compile(r"%(mm[0-7]|st\b|[yz]mm|cr[0-9]|db[0-9]|dr[0-9]|[fg]s\b|[cdes]s\b(?!:)|k[0-7]\b|bnd)")
PREFIX_ONLY = re.compile(r"^(rex(\.\w+)?|data16|addr32|cs|ds|es|ss|fs|gs|repn?z?|repne|repe|bnd)$")
SLOT = 32

results = []


def check(name, ok, detail=""):
    results.append((name, bool(ok), str(detail)))


def run(*args, cwd=None, timeout=120, tmp=None):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, errors="replace",
                          cwd=cwd, timeout=timeout,
                          env=dict(os.environ, **({"TMPDIR": str(tmp)} if tmp else {})))


# --- seeds ----------------------------------------------------------------------------------------


def seeds_of_tests(options, folder):
    """The modules of sipc_test.py: good, bad and one with every operator."""
    argv, sys.argv = sys.argv, ["sipc_test.py", str(options.sipc), str(options.source)]
    sys.path.insert(0, str(options.source / "node_kernel/sipc"))
    sys.dont_write_bytecode = True
    import sipc_test
    sys.argv = argv
    try:
        sipc_test.PRIVATE.mkdir()
        for number, (_, _, content) in enumerate(sipc_test.BAD):
            if not isinstance(content, bytes) or len(content) < 100000:
                shutil.copy(sipc_test.write_module("x.wasm", content), folder / f"bad{number}.wasm")
        for number, (_, content) in enumerate(sipc_test.FINE):
            shutil.copy(sipc_test.write_module("x.wasm", content), folder / f"fine{number}.wasm")
        (folder / "every.wasm").write_bytes(sipc_test.every_operator()[1])
    finally:
        shutil.rmtree(sipc_test.WORK, ignore_errors=True)
    for name in ("sample", "flow_sample"):
        run("wat2wasm", "--debug-names", options.source / f"node_kernel/sipc/{name}.wat", "-o",
            folder / f"{name}.wasm")


SIPS = {
    "hello": ["sips/hello/hello.c", "--manifest", "sips/hello/hello.yaml"],
    "echo": ["sips/bench/echo.c", "--manifest", "sips/bench/echo.yaml"],
    "web": ["sips/web/web.c", "sips/web/http.c", "--manifest", "sips/web/web.yaml"],
}


def seeds_of_sips(options, folder, images):
    for name in SIPS if options.seconds > 60 else ("hello", "web"):
        kept = folder / f"{name}.kept"
        out = run(options.sipc, "build", *SIPS[name], "--contracts", "contracts/std", "-o",
                  images / f"{name}.sip", "--keep", kept, cwd=options.source, tmp=folder)
        if out.returncode != 0:
            raise RuntimeError(out.stderr)
        shutil.copy(kept / "linked.wasm", folder / f"{name}.wasm")
        shutil.copy(kept / "module.wasm", folder / f"{name}-stripped.wasm")
        shutil.rmtree(kept)


# --- code -----------------------------------------------------------------------------------------


def lines_of(text):
    """(address, mnemonic, operands) of objdump's lines, prefixes of their own line joined."""
    pending = None
    for line in text.splitlines():
        match = re.match(r"^\s*([0-9a-f]+):\t(.*)$", line)
        if not match:
            continue
        address, body = int(match.group(1), 16), match.group(2).strip()
        words = body.split(None, 1)
        while words and PREFIX_ONLY.match(words[0]) and len(words) > 1:
            if words[0] in ("fs", "gs"):
                yield address, words[0], "prefix"
            words = words[1].split(None, 1)
        address = pending if pending is not None else address
        if words and PREFIX_ONLY.match(words[0]):
            pending = address
            continue
        pending = None
        yield address, words[0] if words else "(bad)", words[1] if len(words) > 1 else ""


def is_forbidden(mnemonic, operands):
    if mnemonic in ("fs", "gs") or FORBIDDEN.match(mnemonic):
        return True
    return bool(OPERANDS.search(operands.split("#")[0]))


def forbidden_in(path, *options):
    out = run("objdump", *options, "--no-show-raw-insn", path)
    return [f"{a:x}: {m} {o}" for a, m, o in lines_of(out.stdout) if is_forbidden(m, o)]


def test_code(options, work, seed, seconds):
    """Instructions that are accepted, against objdump."""
    images = sorted((work / "images").glob("*.sip"))
    out = run(options.code_fuzz, *images, "--seconds", seconds, "--seed", seed, "--out",
              work / "code.bin", "--out-max", 60000, timeout=seconds + 120)
    if out.returncode != 0:
        check("image checks survive damage", False, out.stdout + out.stderr[-3000:])
        shutil.copytree(work, options.kept / "code", dirs_exist_ok=True)
        return 0, out.stdout
    lengths = (work / "code.bin.lengths").read_bytes()
    text = run("objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "--no-show-raw-insn", "-z",
               work / "code.bin").stdout
    rows = [row for row in lines_of(text)]
    ends = {a: rows[i + 1][0] if i + 1 < len(rows) else SLOT * len(lengths)
            for i, (a, _, _) in enumerate(rows)}
    by_address = {a: (m, o) for a, m, o in rows}
    code, bad = (work / "code.bin").read_bytes(), []
    for slot, length in enumerate(lengths):
        at = slot * SLOT
        mnemonic, operands = by_address.get(at, ("(no instruction)", ""))
        seen = ends.get(at, at) - at
        if seen != length or is_forbidden(mnemonic, operands):
            bad.append(f"{code[at:at + 16].hex(' ')}: {length} bytes here, {seen} for objdump: "
                       f"{mnemonic} {operands}")
    if bad:
        (options.kept / "instructions.txt").write_text("\n".join(bad) + "\n")
    for line in bad[:12]:
        check(f"instruction {line.split(':')[0]}", False, line)
    return len(lengths), out.stdout


# --- modules --------------------------------------------------------------------------------------


class Modules:
    def __init__(self, options, work):
        self.options, self.work = options, work
        self.valid = self.types = self.built = self.refused = 0
        self.inputs = self.accepted = 0
        self.said = collections.Counter()
        self.last_build = time.monotonic()

    def keep(self, name, path, detail):
        shutil.copy(path, self.options.kept)
        check(f"{name}: {path.name}", False, f"kept in {self.options.kept}: {detail}")

    def validate(self, path):
        out = run("wasm-validate", "--disable-simd", path)
        text = out.stderr
        if out.returncode == 0:
            self.valid += 1
            return True
        said = re.sub(r"^.*?: error: ", "", text.splitlines()[0] if text else f"exit {out.returncode}")
        self.said[re.sub(r"\[.*|[0-9]+", "", said)] += 1
        errors = re.findall(r"error: (.*)", text)
        if out.returncode == 1 and errors and all(TYPES.match(error) for error in errors):
            self.types += 1
        else:
            self.keep("accepted here, refused by wasm-validate", path, text[:500])
        return False

    def build(self, path):
        kept = self.work / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        try:
            out = run(self.options.sipc, "build", path, "-o", self.work / "fuzz.sip", "--keep", kept,
                      timeout=120, tmp=self.work)
        except subprocess.TimeoutExpired:
            self.keep("sipc build takes longer than two minutes", path, "")
            return
        if out.returncode == 0:
            self.built += 1
            bad = forbidden_in(kept / "module.elf", "-d")
            if bad:
                self.keep("forbidden instruction in an image", path, bad[:5])
        elif out.returncode == 1 and re.search(r"rule [a-z-]+: |the manifest allows|contracts: ",
                                               out.stderr):
            self.refused += 1
        else:
            self.keep("sipc build fails without a rule", path, f"{out.returncode} {out.stderr[-800:]}")

    def chunk(self, seed, seconds, count):
        """One run of verify_fuzz and what it accepted."""
        folder = self.work / "out"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        out = run(self.options.verify_fuzz, self.work / "seeds", "--seconds", seconds, "--seed", seed,
                  "--out", folder, "--out-max", count, timeout=seconds + 120)
        if out.returncode != 0:
            check("the verifier survives damage", False,
                  f"verify_fuzz --seed {seed}: {out.stdout}{out.stderr[-3000:]}")
            return []
        numbers = re.search(r"# (\d+) modules, (\d+) accepted", out.stdout)
        self.inputs += int(numbers.group(1))
        self.accepted += int(numbers.group(2))
        return sorted(folder.glob("*.wasm"))


def test_modules(options, work):
    """For as long as was asked for, and until something has been seen, on a slow machine, too."""
    modules = Modules(options, work)
    seed, builds, begin = options.seed, 0, time.monotonic()
    end, late = begin + options.seconds, begin + options.seconds + 90
    while sum(not ok for _, ok, _ in results) < 20 and (
            time.monotonic() < end or
            (modules.valid <= 20 or modules.built == 0) and time.monotonic() < late):
        valid = []
        for path in modules.chunk(seed, 5, 300):
            path = path.rename(path.with_name(f"{seed}-{path.name}"))
            if modules.validate(path):
                valid.append(path)
            if time.monotonic() > end and len(valid) > 20:
                break
        # Spread over the time there is.
        share = min(1.0, 0.2 + (time.monotonic() - begin) / options.seconds)
        for path in valid[:: max(1, len(valid) // 8)]:
            if builds < options.builds * share:
                modules.build(path)
                builds += 1
        seed += 1
    return modules


def main():
    parser = argparse.ArgumentParser()
    for name in ("verify_fuzz", "code_fuzz", "sipc", "source"):
        parser.add_argument(name, type=lambda p: pathlib.Path(p).resolve())
    parser.add_argument("--seconds", type=int, default=10, help="of modules; a quarter more for code")
    parser.add_argument("--builds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--seeds", type=pathlib.Path, help="only write the seeds there")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and the folder goes
    if options.seeds:
        seeds_of_tests(options, options.seeds.resolve())
        seeds_of_sips(options, options.seeds.resolve(), options.seeds.resolve())
        return 0
    work = pathlib.Path(tempfile.mkdtemp(prefix="verify-fuzz-"))
    options.kept = options.keep or pathlib.Path(tempfile.gettempdir()) / f"verify-fuzz-found-{os.getpid()}"
    options.kept.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    try:
        for name in ("seeds", "images"):
            (work / name).mkdir()
        seeds_of_tests(options, work / "seeds")
        seeds_of_sips(options, work / "seeds", work / "images")
        instructions, said = test_code(options, work, options.seed, max(2, options.seconds // 4))
        check(f"{instructions} instructions are what objdump says, none is forbidden",
              instructions > 1000 and not any(not ok for _, ok, _ in results), said)
        modules = test_modules(options, work)
        print("#", said.splitlines()[0].lstrip("# ") if said else "")
        print(f"# {modules.inputs} modules, {modules.accepted} accepted; of those looked at "
              f"{modules.valid} valid, {modules.types} not type safe; {modules.built} built, "
              f"{modules.refused} refused by a later stage; {time.monotonic() - begin:.0f} s")
        for text, count in modules.said.most_common(20):
            print(f"#   wasm-validate, {count} times: {text}")
        check("what the verifier accepts is valid but for its types",
              modules.valid > 20 and not any(not ok for _, ok, _ in results),
              f"{modules.valid} valid")
        check("what is valid is built, or refused by a rule", modules.built > 0, modules.built)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if not any(options.kept.iterdir()) and options.keep is None:
            options.kept.rmdir()
    print(f"1..{len(results)}")
    for number, (name, ok, detail) in enumerate(results, 1):
        print(f"{'ok' if ok else 'not ok'} {number} - {name.replace('#', '')}")
        for line in [] if ok else detail.splitlines()[:12]:
            print(f"# {line}")
    return 0 if all(ok for _, ok, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
