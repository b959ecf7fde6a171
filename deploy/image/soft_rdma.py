#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds rdma_rxe.ko (soft-RoCE) and siw.ko (soft-iWARP) for the kernel of the node image, which Debian
builds without them.

The modules are in the kernel's own source: the files of drivers/infiniband/sw/rxe and .../siw are taken
out of Debian's package linux-source of the same version, and built against the kernel's packages of
headers. All of them come with `apt-get download` into the cache and are only unpacked there (140 MB
to load, about a minute to build); the modules are kept under the kernel's version, and a second call
needs neither network nor compiler. Only what is not kept is built. No step needs root.

With --part FILE also the part of the node image for RDMA: an initramfs that is loaded behind the
ordinary one, so that this one stays as it is. It holds the modules of modules-rdma.txt with what they
need, rdma_rxe and siw, but for what the ordinary one has, and /lib/modules/order.rdma.

Exit: 0 done, the last lines are the paths of the modules, or the last one is that of the part; 1 they
cannot be built, 2 a package cannot be had; with one line that says why.
"""

import argparse
import importlib.util
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
_spec = importlib.util.spec_from_file_location("build_image", HERE / "build_image.py")
build_image = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build_image)


class Missing(Exception):
    """A package that is not in the cache and cannot be downloaded."""


FOLDER = "drivers/infiniband/sw"
# Module, and how its folder and its option of the kernel's configuration are named, in the order of loading.
MODULES = {"rdma_rxe": ("rxe", "CONFIG_RDMA_RXE"), "siw": ("siw", "CONFIG_RDMA_SIW")}


def package_version(cache, kernel_package):
    """Debian's version of the kernel package in the cache."""
    archive = next(iter(sorted(cache.glob(f"{kernel_package}_*.deb"))), None)
    if archive is None:
        raise build_image.ImageError(f"{cache}: the archive of {kernel_package} is gone; remove {cache}")
    return build_image.run(["dpkg-deb", "-f", str(archive), "Version"]).strip()


def revision_of(package, version):
    """That version; or, if it cannot be had, another Debian revision of the same upstream version. While Debian
    publishes a kernel, unsigned parts of it take the place of those before, sooner than the signed image does."""
    lines = build_image.run(["apt-cache", "madison", package]).splitlines()
    found = [line.split("|")[1].strip() for line in lines if line.count("|") >= 2]
    near = [name for name in found if name.rpartition("-")[0] == version.rpartition("-")[0]]
    if version in found or not near:
        return version
    print(f"soft RDMA: {package} {near[0]} instead of {version}, which is gone", flush=True)
    return near[0]


def archive_of(cache, package, version, any_revision=False):
    """The package's file, downloaded when it is not in the cache. any_revision: it is source, or tools."""
    pattern = f"{package}_{version.replace(':', '%3a')}_*.deb"
    found = next(iter(cache.glob(pattern)), None)
    if found is None and any_revision:
        return archive_of(cache, package, revision_of(package, version))
    if found is None:
        print(f"soft RDMA: downloading {package}", flush=True)
        try:
            build_image.run(["apt-get", "download", f"{package}={version}"], cwd=cache)
        except build_image.ImageError as error:
            raise Missing(f"{package} {version}: {error}; see 'apt-get update'") from error
        found = next(iter(cache.glob(pattern)), None)
    if found is None:
        raise build_image.ImageError(f"apt-get download {package}={version} left no file in {cache}")
    return found


def unpack_source(archive, series, folders, target):
    """The folders of modules out of the source package, without unpacking the other 1.2 GB."""
    top = f"linux-source-{series}"
    wanted = [f"{top}/{FOLDER}/{folder}" for folder in folders]
    commands = (
        ["dpkg-deb", "--fsys-tarfile", str(archive)],
        ["tar", "-xO", f"./usr/src/{top}.tar.xz"],
        ["tar", "-xJ", "-C", str(target), "--strip-components=4", *wanted],
    )
    running = []
    source = None
    for command in commands:
        process = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE)
        if source is not None:
            source.close()
        source = process.stdout
        running.append(process)
    source.close()
    if any([process.wait() for process in running]):
        raise build_image.ImageError(f"{archive.name} cannot be unpacked")


def build(cache, kernel, version, names, work):
    """Answers the paths of those modules, in the work folder."""
    series = ".".join(kernel.split(".")[:2])
    common = kernel.replace("-cloud-amd64", "").replace("-amd64", "") + "-common"
    work.mkdir()
    archives = [archive_of(cache, f"linux-headers-{name}", version) for name in (kernel, common)]
    archives.append(archive_of(cache, f"linux-kbuild-{series}", version, any_revision=True))
    for archive in archives:
        build_image.run(["dpkg-deb", "-x", str(archive), str(work / "root")])
    sources = work / "root/usr/src"
    # Its makefile names the other package by the place where it would be installed.
    headers = sources / f"linux-headers-{kernel}"
    (headers / "Makefile").write_text(f"include {sources}/linux-headers-{common}/Makefile\n")
    source = archive_of(cache, f"linux-source-{series}", version, any_revision=True)
    unpack_source(source, series, [MODULES[name][0] for name in names], work)
    built = []
    for name in names:
        folder, option = MODULES[name]
        build_image.run(["make", "-C", str(headers), f"M={work}/{folder}", f"{option}=m", "modules"], cwd=work)
        built.append(work / folder / f"{name}.ko")
        build_image.run(["strip", "--strip-debug", str(built[-1])])
    return built


def built_modules(cache):
    """Answers the paths of the modules for the kernel in the cache, building those that are not there."""
    kernel_package = build_image.wanted_package(HERE.parent / "packages.txt")
    try:
        root = build_image.unpacked_kernel(cache, kernel_package)
    except build_image.ImageError as error:
        raise Missing(str(error)) from error
    _, _, kernel = build_image.kernel_of(root)
    version = package_version(cache, f"linux-image-{kernel}")
    kept = {name: cache / f"{name}-{kernel}-{version}.ko" for name in MODULES}
    missing = [name for name in MODULES if not kept[name].exists()]
    if missing:
        work = cache / f"soft-rdma-{kernel}"
        shutil.rmtree(work, ignore_errors=True)
        for name, path in zip(missing, build(cache, kernel, version, missing, work)):
            part = kept[name].with_suffix(".part")
            shutil.copyfile(path, part)
            part.replace(kept[name])
        shutil.rmtree(work)
    return list(kept.values())


def write_part(cache, modules, target):
    root = build_image.unpacked_kernel(cache, build_image.wanted_package(HERE.parent / "packages.txt"))
    _, folder, version = build_image.kernel_of(root)
    there = build_image.collect_modules(folder, version, build_image.module_names(HERE / "modules.txt"))
    names = build_image.module_names(HERE / "modules-rdma.txt")
    files = build_image.collect_modules(folder, version, names, modules)
    order = files.pop("lib/modules/order").decode().split()
    files = {name: data for name, data in files.items() if name not in there}
    own = [name for name in order if name.lstrip("/") in files]
    files["lib/modules/order.rdma"] = ("\n".join(own) + "\n").encode()
    target.parent.mkdir(parents=True, exist_ok=True)
    build_image.write_archive(files, target)
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", required=True, type=pathlib.Path, help="downloaded packages")
    parser.add_argument("--part", type=pathlib.Path, help="also write that initramfs")
    options = parser.parse_args()
    try:
        options.cache.mkdir(parents=True, exist_ok=True)
        cache = options.cache.resolve()
        modules = built_modules(cache)
        if options.part is not None:
            print(write_part(cache, modules, options.part.resolve()))
        else:
            print(*modules, sep="\n")
    except (Missing, build_image.ImageError, OSError) as error:
        print(f"soft RDMA: {error}", file=sys.stderr)
        return 2 if isinstance(error, Missing) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
