# SPDX-License-Identifier: Apache-2.0
"""The rows of the link bench: what each opponent is, and how one figure of it is taken.

A row has a name (ours, raw, tcp, ...), a metric, a place (memif: shared memory; veth: the pair
between two namespaces), and a function that takes the figure once and answers a dictionary: `p50`
(us, with `min` and `p99` where there is one) or `value` (a rate). `missing` says why it cannot be
taken here.
"""
import functools
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from typing import Callable

from pairs import PairError, cores, json_lines, json_metric, pinned, run_pair

BUILD = os.environ.get("SIPFABRIC_BUILD", "build")
HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = {
    "bench_link": f"{BUILD}/node_kernel/kernel/bench_link",
    "link_raw": f"{BUILD}/net_drivers/bench/link_raw",
    "bench_peer": f"{BUILD}/tests/bench/link/bench_peer",
    "bench_cores": f"{BUILD}/tests/bench/link/bench_cores",
    "bench_grpc": f"{BUILD}/tests/bench/link/bench_grpc",
    "peer_erlang": f"{HERE}/peer_erlang.escript",
    "ucx": "/usr/bin/ucx_perftest",
    "libfabric": "/usr/bin/fi_pingpong",
    "erlang": "/usr/bin/escript",
}
PACKAGES = {
    "zmq": "libzmq3-dev", "nng": "libnng-dev", "ucx": "ucx-utils", "libfabric": "libfabric-bin",
    "bench_grpc": "libgrpc++-dev", "erlang": "erlang-base",
}
SECONDS = "0.3"
BLOCK_BYTES = 1 << 20
PORT = 7750
TRIES_MAX = 3
ETHERNET_BYTES = 14
LINK_SIP = f"{BUILD}/node_kernel/kernel/linkbench.sip"
# Ours: how many (round trips, windows of 64 messages, blocks) make about 0.3 s, over how many channels: a stream
# of TCP has more than one block under way, too.
OURS = {
    ("memif", "rtt64"): (100000, 1), ("memif", "msgs64"): (20000, 1), ("memif", "bulk"): (3000, 4),
    ("veth", "rtt64"): (40000, 1), ("veth", "msgs64"): (5000, 1), ("veth", "bulk"): (600, 4),
}


@dataclass
class Row:
    name: str
    metric: str
    place: str
    take: Callable[[], dict]
    missing: str | None = None
    figures: list = field(default_factory=list)
    errors: list = field(default_factory=list)

    @property
    def key(self):
        """What the row is called in the output: ours has no prefix."""
        if self.name == "ours":
            return self.metric
        if self.name == "raw_copy":
            return "raw_" + self.metric.replace("bulk", "bulk_copy", 1)
        return f"{self.name}_{self.metric}"


def installed(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package],
                          capture_output=True, text=True, check=False)
    return done.stdout == "installed"


def not_there(program):
    """Why a program cannot be used, or None."""
    if os.access(PROGRAMS[program], os.X_OK):
        return None
    package = PACKAGES.get(program)
    if package and not installed(package):
        return f"package {package} is not installed"
    return f"{PROGRAMS[program]} is not built"


@functools.cache
def takes_encrypt():
    """Whether bench_link can switch encryption."""
    done = subprocess.run([PROGRAMS["bench_link"], "--encrypt", "off"], capture_output=True, text=True,
                          check=False, timeout=10)
    return "unrecognized option" not in done.stderr


def ours_missing(encrypt):
    why = not_there("bench_link")
    if why is None and encrypt == "on" and not takes_encrypt():
        return "bench_link has no encryption"
    return why


def cores_state():
    """One line of bench_cores in a list; an empty one if there is only one core, or no such program."""
    first, second = cores()
    if first == second or not_there("bench_cores"):
        return []
    done = subprocess.run([PROGRAMS["bench_cores"], "--cores", f"{first},{second}"], capture_output=True,
                          text=True, check=True)
    return json_lines(done.stdout)


def built_peers():
    """The transports that bench_peer has."""
    if not_there("bench_peer"):
        return []
    return subprocess.run([PROGRAMS["bench_peer"], "--list"], capture_output=True, text=True,
                          check=True).stdout.split()


def transport_missing(name, built):
    if name in built:
        return None
    package = PACKAGES.get(name)
    if package and not installed(package):
        return f"package {package} is not installed"
    if not built:
        return not_there("bench_peer")
    return f"bench_peer was built before {package} was installed; ./run bench link builds it again"


class Bench:
    """nets: the namespaces, or None, and then there are no rows of the place veth."""

    def __init__(self, nets):
        self.nets = nets
        self.ping_core, self.pong_core = cores()
        self.built = built_peers()

    def pair(self, ping, pong, veth=True, **options):
        """ping, pong: commands. Both pinned; in their namespaces if they talk over the veth."""
        if veth:
            ping, pong = self.nets.command("ping", ping), self.nets.command("pong", pong)
        return run_pair(pinned(self.pong_core, pong), pinned(self.ping_core, ping), **options)

    # --- bare DPDK and ours: two roles of one program ---

    def memif_raw(self, metric, ping, pong):
        """DPDK's memif sometimes makes no link at all; then both start anew."""
        for attempt in range(TRIES_MAX):
            with tempfile.TemporaryDirectory(prefix="sfbench-") as folder:
                device = ["--device", f"{folder}/link.sock"]
                try:
                    return json_metric(self.pair([PROGRAMS["link_raw"], *ping, *device],
                                                 [PROGRAMS["link_raw"], *pong, *device], veth=False),
                                       metric)
                except PairError as error:
                    if attempt + 1 == TRIES_MAX or "no link" not in str(error):
                        raise

    def raw(self, what, metric, mtu=None):
        options = ["--driver", "af_packet" if mtu else "memif", "--seconds", SECONDS,
                   "--frame-bytes", str(mtu + ETHERNET_BYTES if mtu else 9000)]
        ping = ["--role", "ping", "--what", what, "--core", str(self.ping_core), *options]
        pong = ["--role", "pong", "--core", str(self.pong_core), *options]
        if mtu is None:
            return self.memif_raw(metric, ping, pong)
        device = ["--device", self.nets.device(mtu)]
        return json_metric(self.pair([PROGRAMS["link_raw"], *ping, *device],
                                     [PROGRAMS["link_raw"], *pong, *device]), metric)

    def ours(self, metric, encrypt, mtu=None):
        """bench_link: node 1 serves, node 2 measures; either may start first."""
        place = "veth" if mtu else "memif"
        count, channels = OURS[place, metric]
        words = [PROGRAMS["bench_link"], "--driver", "af_packet" if mtu else "memif",
                 "--image", LINK_SIP, "--mode", metric, "--count", str(count),
                 "--bytes", str(BLOCK_BYTES), "--channels", str(channels)]
        if takes_encrypt():
            words += ["--encrypt", encrypt]
        ping = [*words, "--node", "2", "--core", str(self.ping_core)]
        pong = [*words, "--node", "1", "--core", str(self.pong_core)]
        if mtu is None:
            with tempfile.TemporaryDirectory(prefix="sfbench-") as folder:
                device = ["--device", f"{folder}/link.sock"]
                text = self.pair([*ping, *device], [*pong, *device], veth=False, ready=False)
        else:
            text = self.pair([*ping, *self.nets.node_words("ping", "pong", mtu)],
                             [*pong, *self.nets.node_words("pong", "ping", mtu)], ready=False)
        for line in json_lines(text):
            if line.get("mode") == metric:
                if line["unit"] == "M/s":
                    line["value"] *= 1e6
                return line
        raise PairError(f"bench_link printed no line with the mode {metric}")

    # --- peers ---

    def ring(self, what, metric):
        with tempfile.TemporaryDirectory(prefix="sfbench-", dir="/dev/shm") as folder:
            words = [PROGRAMS["bench_peer"], "--peer", "ring", "--address", f"{folder}/ring",
                     "--seconds", SECONDS]
            return json_metric(
                self.pair([*words, "--role", "ping", "--what", what, "--core", str(self.ping_core)],
                          [*words, "--role", "pong", "--core", str(self.pong_core)], veth=False),
                metric)

    def transport(self, name, what, metric, mtu, *extra):
        words = [PROGRAMS["bench_peer"], "--peer", name, "--address", self.nets.ip("pong", mtu),
                 "--port", str(PORT), "--mtu", str(mtu), "--seconds", SECONDS, *extra]
        return json_metric(
            self.pair([*words, "--role", "ping", "--what", what, "--core", str(self.ping_core)],
                      [*words, "--role", "pong", "--core", str(self.pong_core)]), metric)

    def grpc(self, what, metric, mtu):
        address = f"{self.nets.ip('pong', mtu)}:{PORT}"
        return json_metric(
            self.pair([PROGRAMS["bench_grpc"], "ping", address, str(self.ping_core), what, SECONDS],
                      [PROGRAMS["bench_grpc"], "pong", address, str(self.pong_core)]), metric)

    def erlang(self, what, metric, mtu):
        escript = [PROGRAMS["erlang"], PROGRAMS["peer_erlang"]]
        ping, pong = self.nets.ip("ping", mtu), self.nets.ip("pong", mtu)
        env = {"ERL_FLAGS": f"-start_epmd false -erl_epmd_port {PORT} -setcookie linkbench"}
        return json_metric(self.pair([*escript, "ping", ping, pong, what, SECONDS],
                                     [*escript, "pong", pong], env=env), metric)

    def ucx(self, what, mtu=None):
        """mtu None: shared memory. The counts make about 0.3 s."""
        shm = mtu is None
        test, size, count, warm = {
            "rtt": ("tag_lat", 64, 400000 if shm else 20000, 4000),
            "msgs": ("tag_bw", 64, 4000000 if shm else 60000, 4000),
            "bulk": ("tag_bw", BLOCK_BYTES, 3000 if shm else 1000, 50),
        }[what]
        port = 20000 + os.getpid() % 10000
        server = [PROGRAMS["ucx"], "-p", str(port)]
        client = [*server, "127.0.0.1" if shm else self.nets.ip("pong", mtu), "-t", test, "-s",
                  str(size), "-n", str(count), "-w", str(warm), "-v", "-f"]
        env = {"UCX_TLS": "posix,sysv,cma,self" if shm else "tcp,self", "UCX_LOG_LEVEL": "error",
               "UCX_WARN_UNUSED_ENV_VARS": "n"}
        if not shm:
            env["UCX_NET_DEVICES"] = self.nets.device(mtu)
        return ucx_figures(self.pair(client, server, veth=not shm, env=env, port=port), what, size)

    def libfabric(self, provider, mtu):
        port = 47592
        words = [PROGRAMS["libfabric"], "-p", provider, "-e", "dgram" if provider == "udp" else "msg",
                 "-I", "20000", "-S", "64"]
        env = {"FI_UDP_IFACE": self.nets.device(mtu), "FI_TCP_IFACE": self.nets.device(mtu)}
        text = self.pair([*words, self.nets.ip("pong", mtu)], words, env=env, port=port)
        for line in text.splitlines():
            found = line.split()
            if len(found) == 8 and found[0] == "64":
                return {"p50": round(2 * float(found[6]), 3), "mean": True}
        raise PairError("fi_pingpong printed no figure")


def ucx_figures(text, what, size):
    """-v: iterations, then half round trips (median, average, overall), MiB/s and messages/s."""
    match = re.findall(r"^\d+(?:,[\d.]+){7}$", text, re.MULTILINE)
    if not match:
        raise PairError("ucx_perftest printed no figure")
    _, median, _, _, _, _, _, rate = (float(word) for word in match[-1].split(","))
    if what == "rtt":
        return {"p50": round(2 * median, 3)}
    return {"value": rate if what == "msgs" else rate * size / 1e6}


def memif_rows(bench):
    raw = not_there("link_raw")
    rows = []
    for what, metric in (("rtt", "rtt64"), ("msgs", "msgs64"), ("bulk", "bulk")):
        def row(name, take, missing, metric=metric, suffix=""):
            rows.append(Row(name, metric + suffix, "memif", take, missing))
        raw_what = {"rtt": "rtt", "msgs": "burst", "bulk": "bulk"}[what]
        row("raw", lambda w=raw_what, m=metric: bench.raw(w, m), raw)
        row("ours", lambda m=metric: bench.ours(m, "off"), ours_missing("off"))
        row("ours", lambda m=metric: bench.ours(m, "on"), ours_missing("on"), suffix="_encrypted")
        if what == "bulk":
            row("raw_copy", lambda: bench.raw("bulk-copy", "bulk-copy"), raw)
        row("ring", lambda w=what, m=metric: bench.ring(w, m), transport_missing("ring", bench.built))
        row("ucx_shm", lambda w=what: bench.ucx(w), not_there("ucx"))
    return rows


def veth_rows(bench, what, metric, mtu, suffix):
    rows, raw = [], not_there("link_raw")
    full = metric + suffix
    def row(name, take, missing, metric_name=full):
        rows.append(Row(name, metric_name, "veth", take, missing))
    raw_what = {"rtt": "rtt", "msgs": "burst", "bulk": "bulk"}[what]
    row("raw", lambda: bench.raw(raw_what, metric, mtu), raw)
    row("ours", lambda: bench.ours(metric, "on", mtu), ours_missing("on"))
    row("ours", lambda: bench.ours(metric, "off", mtu), ours_missing("off"), full + "_plain")
    if what == "bulk":
        row("raw_copy", lambda: bench.raw("bulk-copy", "bulk-copy", mtu), raw)
    for name in ("tcp", "udp", "zmq", "nng"):
        row(name, lambda n=name: bench.transport(n, what, metric, mtu),
            transport_missing(name, bench.built))
    if what == "rtt":
        for name in ("tcp", "udp"):
            row(name + "_spin", lambda n=name: bench.transport(n, what, metric, mtu, "--spin"),
                transport_missing(name, bench.built))
        for provider in ("udp", "tcp"):
            row("libfabric_" + provider, lambda p=provider: bench.libfabric(p, mtu),
                not_there("libfabric"))
    if what == "msgs":
        row("tcp_batch", lambda: bench.transport("tcp", what, metric, mtu, "--batch"),
            transport_missing("tcp", bench.built))
    row("ucx_tcp", lambda: bench.ucx(what, mtu), not_there("ucx"))
    row("grpc", lambda: bench.grpc(what, metric, mtu), not_there("bench_grpc"))
    row("erlang", lambda: bench.erlang(what, metric, mtu), not_there("erlang"))
    return rows


def all_rows(bench):
    """In the order in which a round takes them: rows that are compared stand side by side."""
    rows = memif_rows(bench)
    for what, metric, mtu, suffix in (
        ("rtt", "rtt64", 1500, "_veth"),
        ("msgs", "msgs64", 1500, "_veth"),
        ("bulk", "bulk", 1500, "_veth"),
        ("bulk", "bulk", 9000, "_veth_9000"),
    ):
        rows += veth_rows(bench, what, metric, mtu, suffix)
    return rows
