#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same input gives the same image, byte by byte: reproducible_test.py SIPC SOURCE_ROOT. TAP.

The same sources are built in other folders, at other times, beside each other, by relative and
absolute names, with other umasks, locales, time zones, homes, TMPDIRs, and with variables that
change what compilers do. Then one bit of each input is changed, and the image must differ.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

SIPC = os.path.abspath(sys.argv[1])
SOURCE = pathlib.Path(sys.argv[2]).resolve()
WORK = pathlib.Path(tempfile.mkdtemp(prefix="reproducible-"))
PATH = os.environ["PATH"]

MAIN = """#include "HelloContract.h"
#include "sip.h"
#include "part/part.h"
int sip_main(void)
{
    struct HelloContract_Imp server;
    if (HelloContract_Imp_take("hello", &server) < 0) __builtin_trap();
    sip_log("%s %d %s %s", __FILE__, __LINE__, __func__, part(WORD));
    return HelloContract_Imp_send_Bye(server);
}
"""
PART = """#include "part.h"
#include "sip.h"
const char *part(int n) { return n > 3 ? __FILE__ : __func__; }
"""
MANIFEST = "name: same\nimports:\n  hello: HelloContract\nmemory: 1MiB\n"

# What differs: folder, environment (None: nothing but PATH), umask, whether names are relative.
PLAIN = {"PATH": PATH, "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}
BUILDS = {
    "plain": ("a", PLAIN, 0o022, False, []),
    "another folder, umask and TMPDIR": (
        "another folder/with a rather long name " + "x" * 60,
        dict(PLAIN, TMPDIR=str(WORK / "tmp two" / "deep" / "er")), 0o077, False, []),
    "relative names, no environment": ("b", {"PATH": PATH}, 0o000, True, []),
    "another locale, home and time zone": (
        "c", {"PATH": PATH, "HOME": "/nonexistent", "LANG": "tr_TR.UTF-8", "LC_ALL": "de_DE.UTF-8",
              "LANGUAGE": "de", "TZ": "Asia/Kolkata", "USER": "other", "COLUMNS": "20"},
        0o027, True, []),
    "variables for compilers": (
        "d", dict(PLAIN, SOURCE_DATE_EPOCH="1", CPATH="/usr/include", LIBRARY_PATH="/usr/lib",
                  C_INCLUDE_PATH="/usr/include", COMPILER_PATH="/usr/bin", GCC_COLORS="error=1",
                  CCACHE_DISABLE="1"),
        0o022, False, []),
    "shown and kept": ("e", PLAIN, 0o022, True, ["-v", "--keep", str(WORK / "kept")]),
}

results = []


def check(name, ok, detail=""):
    results.append((name, bool(ok), str(detail)))


def write(folder, **changed):
    folder.mkdir(parents=True)
    (folder / "part").mkdir()
    (folder / "std").mkdir()
    shutil.copy(SOURCE / "contracts/std/HelloContract.contract", folder / "std")
    (folder / "main.c").write_text(changed.get("main", MAIN))
    (folder / "part/part.c").write_text(changed.get("part", PART))
    (folder / "part/part.h").write_text("const char *part(int n);\n")
    (folder / "same.yaml").write_text(changed.get("manifest", MANIFEST))
    if "contract" in changed:
        path = folder / "std/HelloContract.contract"
        path.write_text(path.read_text().replace(*changed["contract"]))


def start(folder, environment, umask, relative, options, word=5):
    root = pathlib.Path(".") if relative else folder
    if "TMPDIR" in environment:
        pathlib.Path(environment["TMPDIR"]).mkdir(parents=True, exist_ok=True)
    command = [SIPC, "build", root / "main.c", root / "part/part.c", "--manifest", root / "same.yaml",
               "--contracts", root / "std", "-I", root, "-D", f"WORD={word}", "-o", root / "same.sip",
               *options]
    return subprocess.Popen([str(c) for c in command], cwd=folder, env=environment, umask=umask,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            errors="replace")


def finish(process, folder):
    text = process.communicate(timeout=120)[0]
    image = folder / "same.sip"
    return (image.read_bytes() if process.returncode == 0 else None), text


def where(one, two):
    if one is None or two is None:
        return "no image"
    at = next((i for i, (a, b) in enumerate(zip(one, two)) if a != b), min(len(one), len(two)))
    return f"{len(one)} and {len(two)} bytes, first difference at {at}"


def test_same():
    images = {}
    first = None
    running = []
    for name, (place, environment, umask, relative, options) in BUILDS.items():
        folder = WORK / place
        write(folder)
        process = start(folder, environment, umask, relative, options)
        if first is None:  # the first alone, the others later and all at once
            first = name
            images[name] = finish(process, folder)
            time.sleep(1.1)
        else:
            running.append((name, process, folder))
    for name, process, folder in running:
        images[name] = finish(process, folder)
    check("builds", images[first][0] is not None, images[first][1])
    for name in list(BUILDS)[1:]:
        check(f"the same bytes: {name}", images[name][0] is not None and
              images[name][0] == images[first][0],
              where(images[first][0], images[name][0]) + "\n" + images[name][1])
    return images[first][0]


def test_differs(image):
    """Or else the test above could not fail."""
    running = []
    for number, (name, changed, word) in enumerate([
            ("a source", {"main": MAIN.replace("%d", "%u")}, 5),
            ("the second source", {"part": PART.replace("> 3", "> 2")}, 5),
            ("the manifest", {"manifest": MANIFEST.replace("1MiB", "2MiB")}, 5),
            ("the contract", {"contract": ("Done", "Gone")}, 5),
            ("a define", {}, 3)]):
        folder = WORK / f"differs{number}"
        write(folder, **changed)
        running.append((name, start(folder, PLAIN, 0o022, False, [], word), folder))
    for name, process, folder in running:
        other, text = finish(process, folder)
        check(f"other bytes: {name} is another", other is not None and other != image, text)


def main():
    try:
        test_differs(test_same())
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    print(f"1..{len(results)}")
    for number, (name, ok, detail) in enumerate(results, 1):
        print(f"{'ok' if ok else 'not ok'} {number} - {name}")
        for line in [] if ok else detail.splitlines()[:8]:
            print(f"# {line}")
    return 0 if all(ok for _, ok, _ in results) else 1


sys.exit(main())
