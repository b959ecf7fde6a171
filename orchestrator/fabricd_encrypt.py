# SPDX-License-Identifier: Apache-2.0
"""Which sessions fabricd has nodes encrypt, and that each is told the other's key."""
import subprocess

from fabricd_place import FABRICD, Node, expect


def key(name):
    return ("k" + name).ljust(32, "-")


def session(place, mode, *more, key_bytes=32):
    """What two nodes are told about the session with each other."""
    place.start(*more)
    first = Node(place, "node1", mode=mode, key_bytes=key_bytes)
    first.wait("welcome")
    second = Node(place, "node2", mode=mode, key_bytes=key_bytes)
    return first.wait("session node2"), second.wait("session node1")


def told(how):
    return tuple(f"session {name} {how} {key(name)}" for name in ("node2", "node1"))


def sessions_over_ethernet_are_encrypted(place):
    expect(session(place, "booted") == told("encrypted"), "by default")


def sessions_inside_a_machine_are_not(place):
    expect(session(place, "hosted") == told("clear"), "by default")


def all_sessions_can_be_encrypted(place):
    expect(session(place, "hosted", "--encrypt", "all") == told("encrypted"), "--encrypt all")


def encryption_can_be_switched_off(place):
    expect(session(place, "booted", "--encrypt", "none") == told("clear"), "--encrypt none")


def ethernet_is_what_it_is_by_default(place):
    expect(session(place, "booted", "--encrypt", "ethernet") == told("encrypted"), "ethernet")


def without_a_key_there_is_no_session_rather_than_a_clear_one(place):
    place.start()
    first = Node(place, "node1", mode="booted")
    first.wait("welcome")
    second = Node(place, "node2", mode="booted", key_bytes=0)
    second.wait("welcome")
    place.wait(lambda: "told no key" in place.ctl("logs", "node/node1")[0], "the reason in the log")
    lines = first.heard() + second.heard()
    expect(not [line for line in lines if line.startswith(("session", "peer"))], lines)


def without_a_key_clear_sessions_are_made(place):
    expect(session(place, "hosted", key_bytes=0) == ("session node2 clear ", "session node1 clear "),
           "no key is needed")


def keys_of_another_length_are_refused(place):
    place.start()
    for key_bytes in (1, 31, 33, 64):
        Node(place, "node1", key_bytes=key_bytes).wait("refused the node's key")
    place.join(1)


def a_node_that_starts_again_has_its_new_key_told(place):
    place.start()
    first = Node(place, "node1", mode="booted")
    first.wait("welcome")
    second = Node(place, "node2", mode="booted", key_bytes=0)
    second.wait("welcome")
    second.end()
    again = Node(place, "node2", mode="booted")
    expect(first.wait("session node2") == told("encrypted")[0], "the new key")
    expect(again.wait("session node1") == told("encrypted")[1], "the old node's key")


def other_words_are_refused(place):
    place.start()
    done = subprocess.run(
        [FABRICD, "--state-dir", place.root / "t", "--listen", "127.0.0.1:0", "--token", "t",
         "--encrypt", "some"], capture_output=True, text=True, timeout=20, check=False)
    expect(done.returncode == 2, done)
    expect("--encrypt takes all, ethernet or none: some" in done.stderr, done.stderr)


ENCRYPT_CASES = [
    sessions_over_ethernet_are_encrypted,
    sessions_inside_a_machine_are_not,
    all_sessions_can_be_encrypted,
    encryption_can_be_switched_off,
    ethernet_is_what_it_is_by_default,
    without_a_key_there_is_no_session_rather_than_a_clear_one,
    without_a_key_clear_sessions_are_made,
    keys_of_another_length_are_refused,
    a_node_that_starts_again_has_its_new_key_told,
    other_words_are_refused,
]
