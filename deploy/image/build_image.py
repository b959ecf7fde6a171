#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the node image: vmlinuz and initramfs.cpio.

The kernel is Debian's: the package behind the line "unpack NAME" of packages.txt is downloaded
with `apt-get download` into the cache and unpacked there; it is never installed, and no step
needs root. What is in the cache is used again, so that a second build needs no network.

The initramfs is a plain newc archive:
  /init                sipnode: PID 1, there is nothing else to run
  /lib/modules/*.ko    the modules of modules.txt and what they depend on
  /lib/modules/order   absolute paths in the order in which they must be loaded
  /dev/console         the kernel gives it to PID 1 before /dev is mounted
  and the shared libraries of /init, if it has any.
For tests also a program more (--program, as /program, with its libraries), other files (--file), and
modules that are not Debian's (--module, loaded last).
It is not compressed (boot time over HTTP is the same, and the kernel unpacks it faster), its
files are sorted, with owner 0 and time 0: the same input gives the same bytes.

Exit: 0 done, 1 with one line that says what is missing and what to do.
"""

import argparse
import lzma
import os
import pathlib
import re
import shutil
import stat
import struct
import subprocess
import sys

TOOL_PATH = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"


class ImageError(Exception):
    """A sentence for the person who runs the build."""


def run(command, **options):
    """Runs a program and answers what it printed; its errors become ours."""
    environment = dict(os.environ, PATH=TOOL_PATH, LC_ALL="C")
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, **options
        )
    except FileNotFoundError as error:
        raise ImageError(f"{command[0]} is not installed; run ./run setup") from error
    if done.returncode != 0:
        detail = done.stderr.decode(errors="replace").strip().splitlines()
        raise ImageError(f"{' '.join(command[:2])} failed: {' | '.join(detail[-3:]) or 'no message'}")
    return done.stdout.decode(errors="replace")


# --- the kernel package ---------------------------------------------------------------------------


def wanted_package(packages_file):
    for line in packages_file.read_text().splitlines():
        match = re.fullmatch(r"unpack\s+(linux-image-\S+)", line.split("#")[0].strip())
        if match:
            return match.group(1)
    raise ImageError(f"{packages_file}: no line 'unpack linux-image-...'")


def real_package(name):
    """linux-image-cloud-amd64 is empty and depends on the package with the kernel."""
    text = run(["apt-cache", "depends", name])
    for match in re.finditer(r"^\s*Depends:\s*(linux-image-[0-9]\S*)", text, re.MULTILINE):
        return match.group(1)
    raise ImageError(
        f"apt knows no kernel behind {name}; run 'apt-get update' as root, then build again"
    )


def unpacked_kernel(cache, name):
    """Answers the folder with the unpacked package, downloading it when it is not in the cache."""
    stamp = cache / f"{name}.unpacked"
    if stamp.exists():
        root = cache / stamp.read_text().strip()
        if root.is_dir():
            return root
    package = real_package(name)
    archive = next(iter(sorted(cache.glob(f"{package}_*.deb"))), None)
    if archive is None:
        print(f"node image: downloading {package}", flush=True)
        try:
            run(["apt-get", "download", package], cwd=cache)
        except ImageError as error:
            raise ImageError(
                f"{package} cannot be had: {error}; look at the network and 'apt-get update', "
                f"or put its .deb into {cache}"
            ) from error
        archive = next(iter(sorted(cache.glob(f"{package}_*.deb"))), None)
        if archive is None:
            raise ImageError(f"apt-get download {package} left no file in {cache}")
    part = cache / f"{package}.part"
    root = cache / package
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)
    run(["dpkg-deb", "-x", str(archive), str(part)])
    part.rename(root)
    stamp.write_text(package + "\n")
    return root


def kernel_of(root):
    """(vmlinuz, modules folder, version) of an unpacked package."""
    images = sorted((root / "boot").glob("vmlinuz-*"))
    if len(images) != 1:
        raise ImageError(f"{root}/boot: expected one vmlinuz, found {len(images)}")
    version = images[0].name[len("vmlinuz-") :]
    for base in (root / "lib/modules", root / "usr/lib/modules"):
        if (base / version).is_dir():
            return images[0], base / version, version
    raise ImageError(f"{root}: no modules of kernel {version}")


# --- modules --------------------------------------------------------------------------------------


def module_name(path):
    """virtio-rng and virtio_rng are one module to the kernel."""
    return re.sub(r"\.ko(\.(xz|gz|zst))?$", "", os.path.basename(path)).replace("-", "_")


def read_dependencies(folder, version):
    """modules.dep as {name: (path, [paths it needs])}; depmod writes it, the package has none."""
    table = folder / "modules.dep"
    if not table.exists():
        base = folder.parents[2]
        run(["depmod", "-b", str(base), version])
    dependencies = {}
    for line in table.read_text().splitlines():
        path, _, needs = line.partition(":")
        dependencies[module_name(path)] = (path, needs.split())
    return dependencies


def load_order(wanted, dependencies, built_in):
    """Paths of the wanted modules and all they need, each after everything it needs."""
    order = []
    open_names = set()

    def visit(name, needed_by):
        if name in built_in:
            return
        if name not in dependencies:
            raise ImageError(f"the kernel has no module {name} (wanted by {needed_by})")
        path, needs = dependencies[name]
        if path in order:
            return
        if name in open_names:
            raise ImageError(f"modules.dep: {name} depends on itself")
        open_names.add(name)
        for need in sorted(needs):
            visit(module_name(need), name)
        open_names.discard(name)
        order.append(path)

    for name in wanted:
        visit(name.replace("-", "_"), "modules.txt")
    return order


def module_bytes(path):
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix != ".ko":
        raise ImageError(f"{path.name}: do not know how to decompress {path.suffix}")
    return data


def module_names(wanted_file):
    names = [line.split("#")[0].strip() for line in wanted_file.read_text().splitlines()]
    return [name for name in names if name]


def collect_modules(root_folder, version, wanted, more=()):
    built_in_file = root_folder / "modules.builtin"
    built_in = {module_name(line) for line in built_in_file.read_text().splitlines()}
    dependencies = read_dependencies(root_folder, version)
    files = {}
    order = []
    for path in load_order(wanted, dependencies, built_in):
        name = "lib/modules/" + re.sub(r"\.xz$", "", os.path.basename(path))
        files[name] = module_bytes(root_folder / path)
        order.append("/" + name)
    for path in more:
        files["lib/modules/" + path.name] = module_bytes(path)
        order.append("/lib/modules/" + path.name)
    files["lib/modules/order"] = ("\n".join(order) + "\n").encode()
    return files


# --- init -----------------------------------------------------------------------------------------


def elf_interpreter(data):
    """The dynamic loader an ELF file names, or None for a static one."""
    if data[:4] != b"\x7fELF" or data[4] != 2:
        raise ImageError("init is not a 64-bit ELF program")
    offset, = struct.unpack_from("<Q", data, 32)
    entry_bytes, count = struct.unpack_from("<HH", data, 54)
    for index in range(count):
        kind, _, start, _, _, length = struct.unpack_from("<IIQQQQ", data, offset + index * entry_bytes)
        if kind == 3:
            return data[start : start + length].rstrip(b"\0").decode()
    return None


def stripped(path, work):
    """Symbols stay, debug sections go: half the bytes, and fault reports keep their names."""
    copy = work / "program.stripped"
    run(["strip", "--strip-debug", "-o", str(copy), str(path)])
    data = copy.read_bytes()
    copy.unlink()
    return data


def collect_libraries(path):
    """What an ELF file (a program, or a library) loads before it runs, and the loader itself."""
    files = {}
    for library in re.findall(r"(?:=> )?(/\S+) \(0x", run(["ldd", str(path)])):
        files[library.lstrip("/")] = pathlib.Path(library).read_bytes()
    return files


def collect_program(path, name, work):
    """A program, as `name` in the image, and all that it loads."""
    data = stripped(path, work)
    files = {name.lstrip("/"): data}
    loader = elf_interpreter(data)
    if loader is not None:
        files.update(collect_libraries(path))
        files[loader.lstrip("/")] = pathlib.Path(loader).read_bytes()
    return files


# --- the archive ----------------------------------------------------------------------------------


def cpio_entry(number, name, mode, data=b"", device=(0, 0)):
    """One newc record. Fields: inode mode uid gid nlink mtime size maj min rmaj rmin name check."""
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


def write_archive(files, target, programs=("init",)):
    """files: bytes by path; of them, programs (and libraries) may be executed."""
    folders = {"dev", "proc", "sys", "run", "tmp", "etc"}
    for name in files:
        for parent in pathlib.PurePosixPath(name).parents:
            if str(parent) != ".":
                folders.add(str(parent))
    records = [(name, stat.S_IFDIR | 0o755, b"", (0, 0)) for name in folders]
    records.append(("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)))
    records.append(("dev/null", stat.S_IFCHR | 0o666, b"", (1, 3)))
    for name, data in files.items():
        program = name in programs or ".so" in name
        records.append((name, stat.S_IFREG | (0o755 if program else 0o644), data, (0, 0)))
    records.sort(key=lambda record: record[0])
    part = target.with_suffix(".part")
    with part.open("wb") as out:
        for number, (name, mode, data, device) in enumerate(records, start=1):
            out.write(cpio_entry(number, name, mode, data, device))
        out.write(cpio_entry(0, "TRAILER!!!", 0))
        out.write(b"\0" * (-out.tell() % 512))
    part.replace(target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = pathlib.Path(__file__).resolve().parent
    parser.add_argument("--init", required=True, type=pathlib.Path, help="program for PID 1")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder for the two files")
    parser.add_argument("--cache", required=True, type=pathlib.Path, help="downloaded packages")
    parser.add_argument("--packages", type=pathlib.Path, default=here.parent / "packages.txt")
    parser.add_argument("--modules", type=pathlib.Path, default=here / "modules.txt")
    parser.add_argument("--program", type=pathlib.Path, help="a program more, as /program")
    parser.add_argument("--module", type=pathlib.Path, action="append", default=[], help="a .ko more")
    parser.add_argument("--file", action="append", default=[], metavar="NAME=FILE", help="a file more")
    options = parser.parse_args()
    try:
        options.cache.mkdir(parents=True, exist_ok=True)
        options.out.mkdir(parents=True, exist_ok=True)
        root = unpacked_kernel(options.cache.resolve(), wanted_package(options.packages))
        kernel, folder, version = kernel_of(root)
        files = collect_program(options.init, "init", options.out)
        if options.program is not None:
            files.update(collect_program(options.program, "program", options.out))
        for name, _, path in (text.partition("=") for text in options.file):
            files[name.lstrip("/")] = pathlib.Path(path).read_bytes()
        files.update(collect_modules(folder, version, module_names(options.modules), options.module))
        programs = {name for name, data in files.items() if data[:4] == b"\x7fELF" and name[-3:] != ".ko"}
        write_archive(files, options.out / "initramfs.cpio", programs)
        shutil.copyfile(kernel, options.out / "vmlinuz")
    except (ImageError, OSError) as error:
        print(f"node image: {error}", file=sys.stderr)
        return 1
    sizes = [(options.out / name).stat().st_size for name in ("vmlinuz", "initramfs.cpio")]
    print(
        f"node image: kernel {version} {sizes[0] / 1e6:.1f} MB, initramfs {sizes[1] / 1e6:.1f} MB "
        f"(init {len(files['init']) / 1e6:.1f} MB, {sum(n.endswith('.ko') for n in files)} modules)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
