# SPDX-License-Identifier: Apache-2.0
"""A bad wire between two namespaces, and what TCP and our nodes make of it: 1 % of the frames lost,
1 % doubled, 1 % out of order, in each direction.

    with BadWire() as wire:
        wire.nets.command("ping", [...])      # interface wire.device, addresses wire.nets.ip(side, mtu)

Both ends reach a third namespace only. Where the kernel has `tc netem`, a bridge there joins them,
with netem on both of its ports (`method` netem): so it meets also what a driver sends past the
queueing discipline of its own interface, as net_af_packet does (qdisc_bypass). Where it has not,
the program bad_wire does the same (`method` relay). It takes processor time that netem would not,
so rates of the two methods are not comparable; of one method they are. What the wire did is in
`counts` after the `with`.

Segmentation and checksum offloads are off on both ends: else one "frame" would be 64 KiB of
TCP, and 1 % of these is another wire.
"""
import json
import os
import signal
import subprocess

from nets import Nets, run
from pairs import cores, json_lines, json_metric, pinned, run_both, run_pair

BUILD = os.environ.get("SIPFABRIC_BUILD", "build")
KERNEL = f"{BUILD}/node_kernel/kernel"
PERMILLE = {"loss": 10, "double": 10, "reorder": 10}
# netem reorders by sparing some frames the delay that the others get: they overtake what was sent
# within that time.
NETEM = ("limit", "10000", "delay", "1ms", "loss", "1%", "duplicate", "1%", "reorder", "1%")
MTU = 1500
SECONDS_MAX = 30  # of one measurement of a rate
WIRE_SECONDS_MAX = 3600
PORT = 7750
CHANNELS = 8
BLOCK_BYTES = 131072  # of our goodput: far more than a window on all channels, and seconds see many


def netem_there():
    """Tried on a namespace of its own: the kernel says no only then."""
    with Nets(mtus=(MTU,)) as nets:
        done = subprocess.run(
            nets.command("ping", ["tc", "qdisc", "add", "dev", nets.device(MTU), "root", "netem",
                                  "loss", "1%"]), capture_output=True, check=False)
        return done.returncode == 0


ENDS = ("left", "right")  # interfaces of the third namespace


class RelayNets(Nets):
    """Both sides reach the third namespace only."""

    def __init__(self):
        super().__init__(sides=("ping", "pong", "wire"), mtus=(MTU,))

    def join(self):
        for last, (side, end) in enumerate(zip(("ping", "pong"), ENDS), 1):
            self.veth(side, self.device(MTU), "wire", end, MTU)
            self.address(side, self.device(MTU), 0, last)


class BadWire:
    """seconds_max bounds how long the relay carries anything. seed: of its faults."""

    def __init__(self, seconds_max=180, seed=1, method=None):
        self.seconds_max, self.seed = min(seconds_max, WIRE_SECONDS_MAX), seed
        self.method = method or ("netem" if netem_there() else "relay")
        self.nets = RelayNets()
        self.device = Nets.device(MTU)
        self.relay, self.counts = None, None

    def __enter__(self):
        self.nets.__enter__()
        try:
            for side in ("ping", "pong"):
                self.nets.offloads_off(side, self.device)
            for end in ENDS:
                self.nets.offloads_off("wire", end)
            if self.method == "netem":
                self.bridge_start()
            else:
                self.relay_start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def bridge_start(self):
        """netem on a port meets what leaves there."""
        self.nets.inside("wire", "ip", "link", "add", "bridge", "type", "bridge")
        for end in ENDS:
            self.nets.inside("wire", "ip", "link", "set", end, "master", "bridge")
            if self.method == "netem":
                self.nets.inside("wire", "tc", "qdisc", "add", "dev", end, "root", "netem", *NETEM)
        self.nets.inside("wire", "ip", "link", "set", "bridge", "up")

    def bridge_counts(self):
        """`there` comes in at the left end and leaves at the right. netem tells how many frames it let
        out and how many it lost; what is more than came in, it doubled. Of reordering it tells nothing."""
        found = {}
        for way, entry, end in (("there", *ENDS), ("back", *reversed(ENDS))):
            link = json.loads(self.nets.inside("wire", "ip", "-s", "-j", "link", "show", "dev", entry))[0]
            qdiscs = json.loads(self.nets.inside("wire", "tc", "-s", "-j", "qdisc", "show", "dev", end))
            netem = next(qdisc for qdisc in qdiscs if qdisc["kind"] == "netem")
            frames, lost = link["stats64"]["rx"]["packets"], netem["drops"]
            found[way] = {"frames": frames, "lost": lost, "doubled": netem["packets"] + lost - frames}
        return found

    def relay_start(self):
        words = [f"{BUILD}/tests/bench/link/bad_wire", "--left", ENDS[0], "--right", ENDS[1],
                 "--seed", str(self.seed), "--seconds", str(self.seconds_max)]
        for name, permille in PERMILLE.items():
            words += [f"--{name}", str(permille)]
        self.relay = subprocess.Popen(self.nets.command("wire", words), stdout=subprocess.PIPE,
                                      stdin=subprocess.DEVNULL, text=True)
        if self.relay.stdout.readline().strip() != "ready":
            raise RuntimeError("bad_wire does not start")

    def relay_end(self):
        self.relay.send_signal(signal.SIGTERM)
        try:
            text, _ = self.relay.communicate(timeout=10)
            self.counts = json.loads(text) if text.strip() else None
        except subprocess.TimeoutExpired:
            self.relay.kill()
            self.relay.wait()
        self.relay = None

    def __exit__(self, *_):
        try:
            if self.relay is not None:
                self.relay_end()
            elif self.method == "netem" and self.counts is None:
                self.counts = self.bridge_counts()
        finally:
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
        "mtu": MTU, "permille": PERMILLE, "counts": wire.counts,
    }


# --- ours -----------------------------------------------------------------------------------------


def both_nodes(wire, words, seconds_max):
    """Runs bench_link on both ends; answers the JSON objects of node 1 and of node 2."""
    ping_core, pong_core = cores()
    words = [f"{KERNEL}/bench_link", "--driver", "af_packet", "--counters", *words]
    texts = run_both(
        pinned(pong_core, wire.nets.command("pong", [
            *words, "--node", "1", "--core", str(pong_core), *wire.nets.node_words("pong", "ping", MTU)])),
        pinned(ping_core, wire.nets.command("ping", [
            *words, "--node", "2", "--core", str(ping_core), *wire.nets.node_words("ping", "pong", MTU)])),
        seconds_max=seconds_max)
    return [json_lines(text) for text in texts]


def proof(seconds, encrypt, seed=1, method=None):
    """Both nodes send numbered messages and blocks for so long, and check all that comes. Answers what
    each side counted, `proof` and `session` of node 1 and 2, and `counts` of the wire; raises PairError
    if anything came otherwise than it was sent."""
    with BadWire(seconds_max=seconds + 60, seed=seed, method=method) as wire:
        nodes = both_nodes(wire, ["--image", f"{KERNEL}/linkproof.sip", "--mode", "proof", "--channels",
                                  str(CHANNELS), "--seconds", str(seconds), "--encrypt", encrypt],
                           seconds_max=seconds + 40)
    return {
        "proof": [next(line for line in lines if line.get("metric") == "proof") for lines in nodes],
        "session": [next(line for line in lines if line.get("metric") == "session") for lines in nodes],
        "counts": wire.counts, "method": wire.method,
    }


def our_goodput(seconds, encrypt, seed=1, method=None):
    """MB/s of blocks, one way, from SIP to SIP, as one row of the link bench."""
    with BadWire(seconds_max=seconds + 30, seed=seed, method=method) as wire:
        _, lines = both_nodes(wire, ["--image", f"{KERNEL}/linkbench.sip", "--mode", "bulk", "--channels",
                                     str(CHANNELS), "--bytes", str(BLOCK_BYTES), "--seconds", str(seconds),
                                     "--encrypt", encrypt],
                              seconds_max=seconds * 1.2 + 20)
    figures = next(line for line in lines if line.get("mode") == "bulk")
    session = next(line for line in lines if line.get("metric") == "session")
    return {
        "suite": "link", "metric": "goodput_lossy" + ("" if encrypt == "on" else "_plain"),
        "unit": "MB/s", "value": figures["value"], "n": figures["n"], "seconds": seconds,
        "method": wire.method, "mtu": MTU, "permille": PERMILLE, "counts": wire.counts,
        "session": session,
    }
