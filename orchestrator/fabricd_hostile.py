# SPDX-License-Identifier: Apache-2.0
"""Bytes that no honest peer sends: cases of fabricd_test.py."""
import os
import random
import socket

from fabricd_place import TOKEN, Node, expect


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def frame(body):
    return len(body).to_bytes(4, "little") + body


def hello(name):
    return field(1, 1) + field(10, field(1, 1) + field(2, TOKEN) + field(3, name) + field(4, "u"))


def samples():
    """Valid messages of both kinds of peers."""
    restart = field(1, 1) + field(2, 100) + field(3, 1000) + field(4, 5) + field(5, 60000) + field(6, 1)
    sip = field(1, "a") + field(2, b"\1" * 32) + field(3, "a.sip") + field(7, 3) + field(20, restart)
    graph = field(1, "g") + field(2, "g.yaml") + field(3, sip) + field(4, field(1, "a.b") + field(2, "a.c"))
    return [
        hello("node1"),
        field(12, field(1, 1) + field(6, 2)),
        field(13, field(1, 1) + field(2, 3) + field(4, field(1, 3) + field(5, "x")) + field(5, "f")),
        field(14, field(1, 0) + field(3, "text")),
        field(1, 5) + field(24, field(1, field(1, 9) + field(2, 8) + field(5, "imp"))),
        field(1, 5) + field(24, field(1, field(1, 9) + field(2, 8) + field(20, field(1, 4)))
                            + field(2, field(1, 1) + field(2, 2) + field(28, field(1, 5)))
                            + field(3, field(1, 1) + field(8, 7))),
        field(1, 2) + field(26, field(1, 3) + field(2, "no")),
        field(1, 1) + field(82, field(1, 9) + field(7, field(1, "C") + field(2, b"\3" * 32))),
        field(83, field(1, 1) + field(3, field(1, 1) + field(4, 200) + field(7, field(1, 99)))),
        field(83, field(1, 2) + field(4, "the end")),
        field(1, 11) + field(84, field(1, "a.b") + field(2, 1) + field(3, 1 << 31)),
        field(1, 3) + field(40, field(1, b"\2" * 32)),
        field(1, 4) + field(18, field(1, b"\2" * 32) + field(2, b"SIPIMG\0\1" + bytes(80))),
        field(1, 5) + field(42, field(1, graph)),
        field(1, 6) + field(44, field(1, "g")),
        field(1, 7) + field(45, b""),
        field(1, 8) + field(47, b""),
        field(1, 9) + field(49, b""),
        field(1, 10) + field(51, field(1, "node/node1") + field(2, 1 << 31) + field(3, 1 << 60)),
    ]


def mutate(rng, body):
    body = bytearray(body)
    for _ in range(rng.randrange(0, 5)):
        if not body:
            break
        at = rng.randrange(len(body))
        how = rng.randrange(4)
        if how == 0:
            body[at] = rng.randrange(256)
        elif how == 1:
            body[at] ^= 1 << rng.randrange(8)
        elif how == 2:
            del body[at]
        else:
            body.insert(at, rng.randrange(256))
    return bytes(body)


def hostile_bytes_are_survived(place):
    seed = int(os.environ.get("SIPFABRIC_SEED", "20"))
    print(f"# seed {seed} (SIPFABRIC_SEED)")
    rng = random.Random(seed)
    place.start()
    good = Node(place, "node3")
    good.wait("welcome")
    host, port = place.address.rsplit(":", 1)
    bodies = samples()
    for turn in range(600):
        to_node_port = turn % 2 == 0
        if to_node_port:
            peer = socket.create_connection((host, int(port)), timeout=5)
        else:
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(str(place.root / "s/ctl.sock"))
        data = frame(hello(f"guest{turn % 9}")) if to_node_port and rng.randrange(3) else b""
        for _ in range(rng.randrange(1, 8)):
            data += frame(mutate(rng, rng.choice(bodies)))
        if rng.randrange(4) == 0:
            data = mutate(rng, data)
        try:
            peer.sendall(data)
            peer.settimeout(0.002)
            peer.recv(65536)
        except OSError:
            pass
        peer.close()
        expect(place.daemon.poll() is None, f"fabricd died in turn {turn}: {place.daemon.poll()}")
    expect(place.stages()["node3"] == "joined", "the good node was hurt")
    good.order("say still here")
    expect("still here" in place.ctl("logs", "node/node3")[0], "the good node is not heard")


def a_frame_too_long_is_refused_before_it_comes(place):
    place.start()
    host, port = place.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=5) as peer:
        peer.sendall((1 << 20).to_bytes(4, "little") + b"x")
        expect(peer.recv(10) == b"", "a stranger may send a megabyte")


HOSTILE_CASES = [
    hostile_bytes_are_survived,
    a_frame_too_long_is_refused_before_it_comes,
]
