#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fabricctl cluster create|list|destroy, on programs that misbehave on request (standin/).

What must hold: whatever way create ends, nothing that it started is left; destroy undoes also what
a killed create left; and nothing that is not the cluster's is ever touched. Speaks TAP. As root, the
cases run as user nobody.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from staging import BUILD, HERE, NOBODY, ordinary_user


class Case:
    """One folder with fabricctl, the stand-ins, and a runtime folder of its own."""

    def __init__(self, root):
        self.root = root
        self.fabricctl = root / "fabricctl"
        self.env = dict(os.environ, HOME=str(root), XDG_RUNTIME_DIR=str(root))
        self.env.pop("SIPFABRIC_CLUSTER", None)

    def start(self, *args, **env):
        return subprocess.Popen(
            [str(self.fabricctl), *args],
            env=dict(self.env, **env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **ordinary_user(),
        )

    def run(self, *args, **env):
        process = self.start(*args, **env)
        try:
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return process.returncode, out, err

    def state(self, name):
        return self.root / "sipfabric" / name

    def live(self):
        """Processes (not zombies) whose environment says that they belong to this folder."""
        wanted = f"XDG_RUNTIME_DIR={self.root}".encode()
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                pass
        return found

    def gone(self, name):
        expect(not self.state(name).exists(), f"state folder of {name} is left")
        expect(self.live() == [], f"processes are left: {self.live()}")


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def create(case, *args, **env):
    return case.run("cluster", "create", "--hosted", *args, **env)


def all_join_and_list_says_running(case):
    code, _, err = create(case, "--nodes", "2")
    expect(code == 0 and err.count("joined") >= 2, f"exit {code}: {err}")
    code, out, _ = case.run("cluster", "list", "-o", "json")
    (item,) = json.loads(out)
    expect(code == 0 and item["state"] == "running" and item["processes"] == 3, out)
    code, _, _ = case.run("cluster", "destroy")
    expect(code == 0, "destroy")
    case.gone("default")


def what_to_encrypt_reaches_fabricd(case):
    for options, which in (((), "ethernet"), (("--encrypt", "none"), "none"),
                           (("--encrypt", "all"), "all")):
        code, _, err = create(case, "--nodes", "1", *options)
        expect(code == 0, f"exit {code}: {err}")
        log = (case.root / "sipfabric/default/fabricd.log").read_text()
        expect(f"encrypt {which}\n" in log, log)
        expect(case.run("cluster", "destroy")[0] == 0, "destroy")


def destroy_twice_says_not_found(case):
    create(case, "--nodes", "1")
    expect(case.run("cluster", "destroy")[0] == 0, "first destroy")
    code, _, err = case.run("cluster", "destroy")
    expect(code == 3 and "no cluster 'default'" in err, f"exit {code}: {err}")


def a_taken_name_is_refused_and_left_alone(case):
    create(case, "--nodes", "1")
    before = sorted(case.live())
    code, _, err = create(case, "--nodes", "1")
    expect(code == 1 and "exists already" in err and "destroy" in err, f"exit {code}: {err}")
    expect(sorted(case.live()) == before, "the first cluster changed")
    expect(case.run("cluster", "destroy")[0] == 0, "destroy")
    case.gone("default")


def two_clusters_do_not_touch_each_other(case):
    create(case, "--nodes", "1", "--name", "one")
    create(case, "--nodes", "1", "--name", "two")
    expect(len(case.live()) == 4, "two processes each")
    expect(case.run("cluster", "destroy", "one")[0] == 0, "destroy one")
    expect(len(case.live()) == 2, "the other one lives")
    expect(case.run("cluster", "destroy", "--all")[0] == 0, "destroy all")
    case.gone("two")


def a_node_that_ends_fails_create_with_its_words(case):
    code, _, err = create(case, STANDIN_node2="exit")
    expect(code == 1 and "node2 ended with exit code 3" in err, f"exit {code}: {err}")
    expect("stand-in was told to end" in err, f"its last words are missing: {err}")
    case.gone("default")


def a_late_node_fails_create_in_time(case):
    began = time.monotonic()
    code, _, err = create(case, "--timeout", "1500ms", STANDIN_node3="silent")
    expect(code == 1 and "1 of 3 nodes did not join" in err, f"exit {code}: {err}")
    expect("node3: last stage 'started'" in err and "fabricd.log" in err, err)
    expect("node1: last stage" not in err, "node1 had joined")
    expect(time.monotonic() - began < 20, "too slow")
    case.gone("default")


def keep_on_failure_keeps_and_destroy_removes(case):
    code, _, err = create(case, "--timeout", "1s", "--keep-on-failure", STANDIN_node1="silent")
    expect(code == 1 and "cluster destroy default" in err, f"exit {code}: {err}")
    expect(len(case.live()) == 4, "all kept")
    expect(case.run("cluster", "destroy")[0] == 0, "destroy")
    case.gone("default")


def fabricd_that_ends_fails_create(case):
    code, _, err = create(case, STANDIN_FABRICD="exit", STANDIN_node1="silent")
    expect(code == 1 and "fabricd ended" in err and "told to end" in err, f"exit {code}: {err}")
    case.gone("default")


def wait_for_nodes(case, count):
    for _ in range(200):
        pids = case.state("default") / "pids"
        if pids.exists() and len(pids.read_text().splitlines()) > count:
            return
        time.sleep(0.05)
    raise AssertionError("create started no nodes")


def interrupted(case, number):
    process = case.start("cluster", "create", "--hosted", STANDIN_node3="silent")
    wait_for_nodes(case, 3)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=30)
    return process.returncode, err


def ctrl_c_cleans_up(case):
    code, err = interrupted(case, signal.SIGINT)
    expect(code == 130 and "interrupted" in err, f"exit {code}: {err}")
    case.gone("default")


def sigterm_cleans_up(case):
    code, err = interrupted(case, signal.SIGTERM)
    expect(code == 130 and "interrupted" in err, f"exit {code}: {err}")
    case.gone("default")


def destroy_undoes_a_killed_create(case):
    interrupted(case, signal.SIGKILL)
    for _ in range(100):  # the last one may just have been forked
        if len(case.live()) == 4:
            break
        time.sleep(0.05)
    expect(len(case.live()) == 4, f"fabricd and three nodes run on: {case.live()}")
    (item,) = json.loads(case.run("cluster", "list", "-o", "json")[1])
    expect(item["state"] == "unfinished", str(item))
    expect(case.run("cluster", "destroy")[0] == 0, "destroy")
    case.gone("default")


def destroy_finds_what_was_not_recorded_yet(case):
    create(case, "--nodes", "2")
    (case.state("default") / "pids").write_text("")
    expect(case.run("cluster", "destroy")[0] == 0, "destroy")
    case.gone("default")


def a_reused_number_is_not_ended(case):
    create(case, "--nodes", "1")
    with subprocess.Popen(["sleep", "60"], **ordinary_user()) as stranger:
        start = pathlib.Path(f"/proc/{stranger.pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
        with (case.state("default") / "pids").open("a") as pids:
            pids.write(f"{stranger.pid} {int(start) - 1} node7\n")
        code, _, _ = case.run("cluster", "destroy")
        alive = stranger.poll() is None
        stranger.kill()
    expect(code == 0 and alive, "another process with a recorded number was ended")
    case.gone("default")


def destroy_waits_for_nobody_who_creates(case):
    process = case.start("cluster", "create", "--hosted", STANDIN_node3="silent")
    wait_for_nodes(case, 3)
    code, _, err = case.run("cluster", "destroy")
    expect(code == 1 and "right now" in err, f"exit {code}: {err}")
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    case.gone("default")


def a_damaged_record_removes_nothing(case):
    create(case, "--nodes", "1")
    record = case.state("default") / "cluster.json"
    good = record.read_text()
    record.write_text('{"version": 1, "name"')
    code, _, err = case.run("cluster", "destroy")
    expect(code == 1 and "damaged" in err and len(case.live()) == 2, f"exit {code}: {err}")
    record.write_text(good)
    expect(case.run("cluster", "destroy")[0] == 0, "destroy")
    case.gone("default")


def programs_inherit_no_files(case):
    """Whoever waits for the end of a pipe that fabricctl was given must not wait for the cluster."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    done = subprocess.run(
        [str(case.fabricctl), "cluster", "create", "--hosted", "--nodes", "1"],
        env=case.env, pass_fds=[writer], capture_output=True, timeout=60, check=False,
        **ordinary_user(),
    )
    os.close(writer)
    os.set_blocking(reader, False)
    try:
        ended = os.read(reader, 1) == b""
    except BlockingIOError:
        ended = False
    os.close(reader)
    expect(done.returncode == 0 and ended, "a process of the cluster keeps our pipe open")
    expect(case.run("cluster", "destroy")[0] == 0, "destroy")
    case.gone("default")


RDMA = ("--link-driver", "rdma", "--allow-rdma", "all")


def bad_arguments_make_nothing(case):
    for args, code, words in [
        (["--hosted", "--nodes", "0"], 2, "from 1 to"),
        (["--hosted", "--nodes", "many"], 2, "whole number"),
        (["--hosted", "--name", "No Name"], 2, "cluster name"),
        (["--hosted", "--memory-mib", "1"], 2, "--memory-mib"),
        (["--hosted", "--accel", "warp"], 2, "auto, kvm or tcg"),
        (["--hosted", "--encrypt", "some"], 2, "all, ethernet or none"),
        (["--hosted", "--link-driver", "virtio"], 2, "memif or af_packet"),
        (["--link-driver", "memif"], 2, "memif is for --hosted"),
        (["--hosted", "--iommu"], 2, "for machines"),
        (["--hosted", "--nic", "e1000"], 2, "for machines"),
        (["--link-driver", "dpdk", "--nic", "ne2000"], 2, "e1000, e1000e or vmxnet3"),
        (["--link-driver", "virtio", "--nic", "e1000"], 2, "needs --link-driver dpdk"),
        (["--hosted", "--mtu", "1400"], 2, "--mtu is for --hosted --link-driver af_packet"),
        (["--hosted", "--link-driver", "af_packet", "--mtu", "511"], 2, "from 512 to 9216"),
        (["--hosted", "--cpus", "0"], 2, "from 1 to"),
        (["--link-driver", "virtio", "--rdma-reads", "65536"], 2, "needs --link-driver rdma or mixed"),
        ([*RDMA, "--rdma-reads", "64", "--encrypt", "none"], 2, "from 4096 bytes"),
        ([*RDMA, "--rdma-reads", "65536"], 2, "--encrypt none"),
        ([*RDMA, "--rdma-reads", "65536", "--encrypt", "none"], 2, "--memory-mib 768"),
        (["--link-driver", "virtio", "--rdma-cm"], 2, "--rdma-cm needs --link-driver rdma or mixed"),
        (["--hosted", "--rdma-soft", "siw"], 2, "--rdma-soft needs --link-driver rdma or mixed"),
        ([*RDMA, "--rdma-soft", "iwarp"], 2, "rxe (RoCE) or siw (iWARP)"),
        (["--hosted", "stray"], 2, "no argument"),
    ]:
        got, _, err = case.run("cluster", "create", *args)
        expect(got == code and words in err, f"{args}: exit {got}: {err}")
    expect(not (case.root / "sipfabric").exists(), "something was made")


def booting_without_root_names_the_other_way(case):
    code, _, err = case.run("cluster", "create")
    expect(code == 1 and "root" in err and "--hosted" in err, f"exit {code}: {err}")


def too_long_a_folder_is_refused_with_the_limit(case):
    for length in (60, 600):
        code, _, err = create(case, "--nodes", "1", XDG_RUNTIME_DIR=f"{case.root}/{'x' * length}")
        expect(code != 0 and "over 79 bytes" in err and "shorter" in err, f"exit {code}: {err}")
    expect(not list(case.root.glob("x*")), "something was made")


def a_missing_program_says_what_to_do(case):
    (case.root / "sipnode").unlink()
    code, _, err = create(case)
    expect(code == 3 and "no sipnode" in err and "./run build" in err, f"exit {code}: {err}")
    case.gone("default")


CASES = [
    all_join_and_list_says_running,
    what_to_encrypt_reaches_fabricd,
    destroy_twice_says_not_found,
    a_taken_name_is_refused_and_left_alone,
    two_clusters_do_not_touch_each_other,
    a_node_that_ends_fails_create_with_its_words,
    a_late_node_fails_create_in_time,
    keep_on_failure_keeps_and_destroy_removes,
    fabricd_that_ends_fails_create,
    ctrl_c_cleans_up,
    sigterm_cleans_up,
    destroy_undoes_a_killed_create,
    destroy_finds_what_was_not_recorded_yet,
    a_reused_number_is_not_ended,
    destroy_waits_for_nobody_who_creates,
    a_damaged_record_removes_nothing,
    programs_inherit_no_files,
    bad_arguments_make_nothing,
    booting_without_root_names_the_other_way,
    too_long_a_folder_is_refused_with_the_limit,
    a_missing_program_says_what_to_do,
]


def run_case(number, function):
    root = pathlib.Path(tempfile.mkdtemp(prefix="sfc-", dir="/tmp"))
    case = Case(root)
    try:
        shutil.copy(BUILD / "orchestrator" / "fabricctl", root)
        for name in ("fabricd", "sipnode"):
            shutil.copy(HERE / "standin" / name, root)
        if os.geteuid() == 0:
            os.chown(root, NOBODY, NOBODY)
        function(case)
        print(f"ok {number} - {function.__name__}", flush=True)
        return True
    except (AssertionError, OSError, ValueError, subprocess.TimeoutExpired) as error:
        print(f"not ok {number} - {function.__name__}")
        for line in str(error).splitlines():
            print(f"# {line}")
        sys.stdout.flush()
        return False
    finally:
        for pid in case.live():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(root, ignore_errors=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"1..{len(CASES)}")
    results = [run_case(number, function) for number, function in enumerate(CASES, start=1)]
    return 0 if all(results) else 1


sys.exit(main())
