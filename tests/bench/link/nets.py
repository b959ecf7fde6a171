# SPDX-License-Identifier: Apache-2.0
"""Two network namespaces with veth pairs between them, made and removed again.

    with Nets() as nets:
        nets.command("ping", ["ip", "addr"])    # the same command inside the ping side

Sides: "ping" (10.98.N.1) and "pong" (10.98.N.2). Interfaces: one pair for each MTU, named
sf1500 and sf9000 on both sides. MAC addresses are 02:00:00:00:0N:01 and :02, without IPv6, so that
no traffic is there that nobody asked for.

The namespaces are called sfbench-PID-ping and -pong. Leaving the `with` removes them; a run that was
killed leaves them, and the next one removes what belongs to no living process.
"""
import ctypes
import os
import re
import socket
import struct
import subprocess

PREFIX = "sfbench"
SIDES = ("ping", "pong")
MTUS = (1500, 9000)
IP_UDP_BYTES = 28
CLONE_NEWNET = 0x40000000
SIOCETHTOOL = 0x8946
# Receive and transmit checksums, scatter-gather, segmentation in both forms, receive merging.
ETHTOOL_OFF = (0x15, 0x17, 0x19, 0x1F, 0x24, 0x2C)

libc = ctypes.CDLL(None, use_errno=True)


class NetsError(RuntimeError):
    pass


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise NetsError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def possible():
    """Why namespaces cannot be made here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    return None


def sweep():
    """Removes what earlier runs left that were killed."""
    for line in run("ip", "netns", "list").splitlines():
        match = re.match(rf"({PREFIX}-(\d+)-\w+)", line)
        if match and not os.path.exists(f"/proc/{match.group(2)}"):
            subprocess.run(["ip", "netns", "del", match.group(1)], check=False)


def enter(namespace):
    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise NetsError(f"setns: {os.strerror(ctypes.get_errno())}")


def offloads_off(name):
    """Every frame as long as the wire, with its checksum in it: for relays and netem."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for command in ETHTOOL_OFF:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP", name.encode(), ctypes.addressof(value)).ljust(40, b"\0")
            if libc.ioctl(handle.fileno(), SIOCETHTOOL, request) != 0:
                raise NetsError(f"{name}: offload {command:#x}: {os.strerror(ctypes.get_errno())}")


def mac_of(network, last):
    return f"02:00:00:00:{network:02x}:{last:02x}"


class Nets:
    """sides: names of the namespaces; the first two are joined by the veth pairs."""

    def __init__(self, sides=SIDES, mtus=MTUS):
        self.sides, self.mtus = sides, mtus
        self.names = {side: f"{PREFIX}-{os.getpid()}-{side}" for side in sides}

    def __enter__(self):
        sweep()
        try:
            for side in self.sides:
                run("ip", "netns", "add", self.names[side])
                self.inside(side, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
                            "net.ipv6.conf.default.disable_ipv6=1")
                self.inside(side, "ip", "link", "set", "lo", "up")
            self.join()
        except BaseException:
            self.__exit__()
            raise
        return self

    def join(self):
        for number, mtu in enumerate(self.mtus):
            self.veth(self.sides[0], self.device(mtu), self.sides[1], self.device(mtu), mtu)
            for last, side in enumerate(self.sides[:2], 1):
                self.address(side, self.device(mtu), number, last)

    def __exit__(self, *_):
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], check=False,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def veth(self, left, left_device, right, right_device, mtu):
        run("ip", "-n", self.names[left], "link", "add", "name", left_device, "mtu", str(mtu),
            "type", "veth", "peer", "name", right_device, "mtu", str(mtu),
            "netns", self.names[right])
        for side, device in ((left, left_device), (right, right_device)):
            run("ip", "-n", self.names[side], "link", "set", device, "up")

    def address(self, side, device, network, last):
        run("ip", "-n", self.names[side], "link", "set", device, "address", mac_of(network, last))
        run("ip", "-n", self.names[side], "addr", "add", f"10.98.{network}.{last}/24", "dev", device)

    def command(self, side, words):
        return ["ip", "netns", "exec", self.names[side], *words]

    def inside(self, side, *words):
        return run(*self.command(side, list(words)))

    def offloads_off(self, side, device):
        """This thread goes in and comes back: a program there would have to be started each time."""
        with open("/proc/thread-self/ns/net", "rb") as here, \
                open(f"/run/netns/{self.names[side]}", "rb") as there:
            enter(there)
            try:
                offloads_off(device)
            finally:
                enter(here)

    @staticmethod
    def device(mtu):
        return f"sf{mtu}"

    def ip(self, side, mtu):
        return f"10.98.{self.mtus.index(mtu)}.{self.sides.index(side) + 1}"

    def mac(self, side, mtu):
        return mac_of(self.mtus.index(mtu), self.sides.index(side) + 1)

    def node_words(self, side, other, mtu):
        """What bench_link has to be told of that interface."""
        return ["--device", self.device(mtu), "--mtu", str(mtu - IP_UDP_BYTES),
                "--address", self.ip(side, mtu), "--mac", self.mac(side, mtu),
                "--peer-address", self.ip(other, mtu), "--peer-mac", self.mac(other, mtu)]
