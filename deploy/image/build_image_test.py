#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""build_image.py on a small made-up kernel package; no network. Speaks TAP."""
import importlib.util
import lzma
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BUILDER = HERE / "build_image.py"
sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("build_image", BUILDER)
build_image = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build_image)

PACKAGE = "linux-image-9.9-cloud-amd64"


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def program(path, text, shebang="#!/bin/sh\n"):
    path.write_text(shebang + text)
    path.chmod(0o755)


class Place:
    """Fake apt, a .deb made of a folder tree, and the lists the builder reads."""

    def __init__(self, root):
        self.root = root
        self.cache, self.out, self.bin = root / "cache", root / "out", root / "bin"
        self.bin.mkdir()
        tree = root / "tree"
        modules = tree / "lib/modules/9.9"
        (modules / "kernel").mkdir(parents=True)
        (tree / "boot").mkdir()
        (tree / "boot/vmlinuz-9.9").write_bytes(b"kernel")
        for name in ("a", "b-b"):
            (modules / "kernel" / f"{name}.ko").write_bytes(name.encode())
        (modules / "kernel/c.ko.xz").write_bytes(lzma.compress(b"c"))
        (modules / "modules.builtin").write_text("kernel/in.ko\n")
        (modules / "modules.dep").write_text(
            "kernel/a.ko: kernel/c.ko.xz kernel/b-b.ko\nkernel/b-b.ko: kernel/c.ko.xz\n"
            "kernel/c.ko.xz:\n"
        )
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN/control").write_text(
            f"Package: {PACKAGE}\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@x>\n"
            "Description: x\n"
        )
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-b", tree, root / f"{PACKAGE}_1_amd64.deb"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        program(self.bin / "apt-cache", f"echo '  Depends: {PACKAGE}'\n")
        program(self.bin / "apt-get", f"cp {root}/*.deb . && echo got >>{root}/downloads\n")
        (root / "packages.txt").write_text("gcc\nunpack linux-image-cloud-amd64\n")
        (root / "modules.txt").write_text("# wanted\na\nin\nb_b\n")
        (root / "init.c").write_text("int main(void) { return 0; }\n")
        subprocess.run(["cc", "-static", "-o", root / "init", root / "init.c"], check=True)

    def build(self, out=None, more=()):
        env = dict(os.environ, PATH=f"{self.bin}:{os.environ['PATH']}")
        return subprocess.run(
            [sys.executable, BUILDER, "--init", self.root / "init", "--out", out or self.out,
             "--cache", self.cache, "--packages", self.root / "packages.txt",
             "--modules", self.root / "modules.txt", *more],
            env=env, capture_output=True, text=True, check=False,
        )

    def listing(self, *options):
        with (self.out / "initramfs.cpio").open("rb") as archive:
            return subprocess.run(
                ["cpio", "--quiet", *options], stdin=archive, capture_output=True, check=True
            ).stdout.decode()


def builds_and_loads_in_order(place):
    done = place.build()
    expect(done.returncode == 0, done.stderr)
    order = place.listing("-i", "--to-stdout", "lib/modules/order").split()
    expect(order == ["/lib/modules/c.ko", "/lib/modules/b-b.ko", "/lib/modules/a.ko"], str(order))
    expect(place.listing("-i", "--to-stdout", "lib/modules/c.ko") == "c", "c.ko is still packed")
    expect((place.out / "vmlinuz").read_bytes() == b"kernel", "the kernel")


def has_init_console_and_no_shell(place):
    place.build()
    names = place.listing("-t").split()
    expect("init" in names and "dev/console" in names and names == sorted(names), str(names))
    expect(not [n for n in names if n.endswith("/sh") or n.startswith("bin/")], str(names))
    expect("-rwxr-xr-x" in place.listing("-tv", "init"), "init cannot be run")


def same_input_gives_same_bytes(place):
    place.build()
    place.build(place.root / "again")
    first = (place.out / "initramfs.cpio").read_bytes()
    expect(first == (place.root / "again/initramfs.cpio").read_bytes(), "the bytes differ")


def downloads_once(place):
    place.build()
    place.build()
    expect((place.root / "downloads").read_text() == "got\n", "downloaded twice")


def no_network_is_said(place):
    program(place.bin / "apt-get", "echo 'E: Could not resolve host' >&2; exit 100\n")
    done = place.build()
    expect(done.returncode == 1 and "resolve host" in done.stderr, done.stderr)
    expect("apt-get update" in done.stderr and "Traceback" not in done.stderr, done.stderr)
    expect(not (place.out / "vmlinuz").exists(), "half an image is left")


def no_package_lists_is_said(place):
    program(place.bin / "apt-cache", "exit 0\n")
    done = place.build()
    expect(done.returncode == 1 and "apt-get update" in done.stderr, done.stderr)


def unknown_module_is_said(place):
    (place.root / "modules.txt").write_text("nosuch\n")
    done = place.build()
    expect(done.returncode == 1 and "no module nosuch" in done.stderr, done.stderr)


def a_module_and_a_program_more(place):
    (place.root / "own.ko").write_bytes(b"own")
    done = place.build(more=["--module", place.root / "own.ko", "--program", "/bin/ls"])
    expect(done.returncode == 0, done.stderr)
    order = place.listing("-i", "--to-stdout", "lib/modules/order").split()
    expect(order[-1] == "/lib/modules/own.ko" and len(order) == 4, str(order))
    names = place.listing("-t").split()
    expect("program" in names and any("libc.so" in name for name in names), str(names))
    expect("-rwxr-xr-x" in place.listing("-tv", "program"), "it cannot be run")


def broken_init_is_said(place):
    (place.root / "init").write_text("not a program")
    done = place.build()
    expect(done.returncode == 1 and "Traceback" not in done.stderr, done.stderr)


def circular_dependencies_are_an_error(_place):
    table = {"a": ("a.ko", ["b.ko"]), "b": ("b.ko", ["a.ko"])}
    try:
        build_image.load_order(["a"], table, set())
    except build_image.ImageError as error:
        expect("itself" in str(error), str(error))
        return
    raise AssertionError("accepted")


CASES = [
    builds_and_loads_in_order,
    has_init_console_and_no_shell,
    same_input_gives_same_bytes,
    downloads_once,
    no_network_is_said,
    no_package_lists_is_said,
    unknown_module_is_said,
    a_module_and_a_program_more,
    broken_init_is_said,
    circular_dependencies_are_an_error,
]


def main():
    print(f"1..{len(CASES)}")
    failed = 0
    for number, function in enumerate(CASES, start=1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                function(Place(pathlib.Path(folder)))
                print(f"ok {number} - {function.__name__}", flush=True)
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                failed += 1
                print(f"not ok {number} - {function.__name__}")
                print("\n".join("# " + line for line in str(error).splitlines()), flush=True)
    return 1 if failed else 0


sys.exit(main())
