# SPDX-License-Identifier: Apache-2.0
"""The machine that netem_test.py boots: Debian's kernel of the node image, and an initramfs with this
Python, lossy_test.py and what that runs, all taken from this machine and this build.

    kernel = netem_image.build(cache, target)     # writes the initramfs, answers the path of vmlinuz

Programs and libraries keep their paths; of Python's library there is what is imported, compiled.
"""
import encodings.ascii  # asked for by name: no import tells of it
import modulefinder
import os
import pathlib
import py_compile
import shutil
import sys
import tempfile

import netem_guest

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[2]
BUILD = pathlib.Path(os.environ.get("SIPFABRIC_BUILD", SOURCE / "build"))
sys.path.insert(0, str(SOURCE / "deploy/image"))
import build_image  # pylint: disable=wrong-import-position

PYTHON = os.path.realpath(sys.executable)
SCRIPTS = ("lossy_test.py", "netem_guest.py")
PROGRAMS = ("ip", "sysctl", "taskset", "tc")
OURS = {  # of the build
    "node_kernel/kernel/bench_link": True, "tests/bench/link/bench_peer": True,
    "node_kernel/kernel/linkbench.sip": False, "node_kernel/kernel/linkproof.sip": False,
}


def imported():
    """Files of all modules that the scripts import, and of those that Python itself starts with."""
    found = {module.__file__ for module in list(sys.modules.values())
             if getattr(module, "__file__", None)}
    for script in SCRIPTS:
        finder = modulefinder.ModuleFinder([str(HERE), *sys.path])
        finder.run_script(str(HERE / script))
        found |= {module.__file__ for module in finder.modules.values() if module.__file__}
    library = os.path.dirname(os.path.realpath(os.__file__))
    return sorted(name for name in map(os.path.realpath, found) if name.startswith(library + "/"))


def compiled(path, work):
    target = work / "module.pyc"
    py_compile.compile(path, cfile=str(target), doraise=True,
                       invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    return target.read_bytes()


def python_files(work):
    files = {}
    for path in imported():
        if path.endswith(".py"):
            files[path.lstrip("/") + "c"] = compiled(path, work)
        else:
            files[path.lstrip("/")] = pathlib.Path(path).read_bytes()
            files.update(build_image.collect_libraries(path))
    for path in HERE.glob("*.py"):
        files[f"{netem_guest.FOLDER}/{path.name}".lstrip("/")] = path.read_bytes()
    return files


def program_files(work):
    files, programs = {}, []
    paths = [(PYTHON, PYTHON)]
    for name in PROGRAMS:
        path = shutil.which(name, path=build_image.TOOL_PATH)
        if path is None:
            raise build_image.ImageError(f"{name} is not installed; run ./run setup")
        paths.append((path, f"/usr/bin/{name}"))
    for name, program in OURS.items():
        target = f"{netem_guest.BUILD}/{name}"
        if program:
            paths.append((str(BUILD / name), target))
        else:
            files[target.lstrip("/")] = (BUILD / name).read_bytes()
    for path, target in paths:
        files.update(build_image.collect_program(path, target, work))
        programs.append(target.lstrip("/"))
    return files, programs


def build(cache, target):
    """ImageError: one line that says what is missing and what to do."""
    cache.mkdir(parents=True, exist_ok=True)
    package = build_image.wanted_package(SOURCE / "deploy/packages.txt")
    kernel, modules, version = build_image.kernel_of(build_image.unpacked_kernel(cache, package))
    with tempfile.TemporaryDirectory(prefix="sf-netem-") as work:
        files, programs = program_files(pathlib.Path(work))
        files.update(python_files(pathlib.Path(work)))
    wanted = build_image.module_names(HERE / "netem_modules.txt")
    files.update(build_image.collect_modules(modules, version, wanted))
    build_image.write_archive(files, target, programs)
    return kernel
