# SPDX-License-Identifier: Apache-2.0
"""A bad wire between two namespaces, and what TCP makes of it: 1 % of the frames lost, 1 % doubled,
1 % out of order, in each direction.

    with BadWire() as wire:
        wire.nets.command("ping", [...])      # interface wire.device, addresses wire.nets.ip(side, mtu)

Where the kernel has `tc netem`, it does it, on both ends of one veth pair (`method` netem). Where
it has not, the program bad_wire does the same between two veth pairs in a third namespace (`method`
relay); it counts what it did (`counts`, after the `with`). The program takes processor time that netem would
not, so rates of the two methods are not comparable; of one method they are.

Segmentation and checksum offloads are off on both ends: else one "frame" would be 64 KiB of
TCP, and 1 % of these is another wire.

A driver that sends past the queueing discipline (net_af_packet does by default: qdisc_bypass)
is not touched by netem. The relay touches everything.
"""
import json
import os
import signal
import subprocess

from nets import Nets, run
from pairs import cores, json_metric, pinned, run_pair

BUILD = os.environ.get("SIPFABRIC_BUILD", "build")
PERMILLE = {"loss": 10, "double": 10, "reorder": 10}
# netem reorders by sparing some frames the delay that the others get.
NETEM = ("limit", "10000", "delay", "100us", "loss", "1%", "duplicate", "1%", "reorder", "1%")
MTU = 1500
SECONDS_MAX = 30  # of one measurement of TCP
WIRE_SECONDS_MAX = 3600
PORT = 7750


def netem_there():
    """Tried on a namespace of its own: the kernel says no only then."""
    with Nets(mtus=(MTU,)) as nets:
        done = subprocess.run(
            nets.command("ping", ["tc", "qdisc", "add", "dev", nets.device(MTU), "root", "netem",
                                  "loss", "1%"]), capture_output=True, check=False)
        return done.returncode == 0


class RelayNets(Nets):
    """Both sides reach the third namespace only."""

    def __init__(self):
        super().__init__(sides=("ping", "pong", "wire"), mtus=(MTU,))

    def join(self):
        for last, (side, end) in enumerate((("ping", "left"), ("pong", "right")), 1):
            self.veth(side, self.device(MTU), "wire", end, MTU)
            self.address(side, self.device(MTU), 0, last)


class BadWire:
    """seconds_max bounds how long the relay carries anything. seed: of its faults."""

    def __init__(self, seconds_max=180, seed=1, method=None):
        self.seconds_max, self.seed = min(seconds_max, WIRE_SECONDS_MAX), seed
        self.method = method or ("netem" if netem_there() else "relay")
        self.nets = Nets(mtus=(MTU,)) if self.method == "netem" else RelayNets()
        self.device = Nets.device(MTU)
        self.relay, self.counts = None, None

    def __enter__(self):
        self.nets.__enter__()
        try:
            for side in ("ping", "pong"):
                self.nets.offloads_off(side, self.device)
            if self.method == "netem":
                for side in ("ping", "pong"):
                    run(*self.nets.command(side, ["tc", "qdisc", "add", "dev", self.device, "root",
                                                  "netem", *NETEM]))
            else:
                self.relay_start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def relay_start(self):
        for end in ("left", "right"):
            self.nets.offloads_off("wire", end)
        words = [f"{BUILD}/tests/bench/link/bad_wire", "--left", "left", "--right", "right",
                 "--seed", str(self.seed), "--seconds", str(self.seconds_max)]
        for name, permille in PERMILLE.items():
            words += [f"--{name}", str(permille)]
        self.relay = subprocess.Popen(self.nets.command("wire", words), stdout=subprocess.PIPE,
                                      stdin=subprocess.DEVNULL, text=True)
        if self.relay.stdout.readline().strip() != "ready":
            raise RuntimeError("bad_wire does not start")

    def __exit__(self, *_):
        if self.relay is not None:
            self.relay.send_signal(signal.SIGTERM)
            try:
                text, _ = self.relay.communicate(timeout=10)
                self.counts = json.loads(text) if text.strip() else None
            except subprocess.TimeoutExpired:
                self.relay.kill()
                self.relay.wait()
            self.relay = None
        self.nets.__exit__()


def congestion_controls():
    """The one that this machine uses, and Linux's own default beside it."""
    def read(name):
        return run("sysctl", "-n", f"net.ipv4.tcp_{name}").split()
    used = read("congestion_control")
    return used + [name for name in read("available_congestion_control")
                   if name == "cubic" and name not in used]


def tcp_goodput(seconds, congestion, seed=1, method=None):
    """MB/s that a receiver of 1 MiB blocks over TCP saw, as one row of the link bench."""
    ping_core, pong_core = cores()
    with BadWire(seconds_max=seconds + 30, seed=seed, method=method) as wire:
        words = [f"{BUILD}/tests/bench/link/bench_peer", "--peer", "tcp", "--port", str(PORT),
                 "--address", wire.nets.ip("pong", MTU), "--seconds", str(seconds),
                 "--congestion", congestion]
        text = run_pair(
            pinned(pong_core, wire.nets.command("pong", [*words, "--role", "pong"])
                   + ["--core", str(pong_core)]),
            pinned(ping_core, wire.nets.command("ping", [*words, "--role", "ping", "--what", "bulk"])
                   + ["--core", str(ping_core)]),
            seconds_max=seconds * 1.2 + 20)
    figures = json_metric(text, "bulk")
    return {
        "suite": "link", "metric": f"tcp_goodput_lossy_{congestion}", "unit": "MB/s",
        "value": figures["value"], "n": figures["n"], "seconds": seconds, "method": wire.method,
        "mtu": MTU,
        "permille": PERMILLE, "counts": wire.counts,
    }
