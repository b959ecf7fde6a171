# SPDX-License-Identifier: Apache-2.0
"""Whose images fabricd takes: cases of fabricd_test.py."""
import json
import subprocess

from fabricd_place import FABRICD, SIPC, SIPS, TOKEN, WEB, expect, kinds, refused


def sipc(*arguments):
    done = subprocess.run([SIPC, *arguments], capture_output=True, text=True, timeout=20, check=False)
    expect(done.returncode == 0, done.stderr)
    return done.stdout.strip()


def strip(image):
    """Without its signature: what anybody can do."""
    bare = bytearray(image[:-112])
    bare[12:16] = bytes(4)
    return bytes(bare)


def only_images_of_trusted_keys_are_taken(place):
    mine, theirs = place.root / "mine", place.root / "theirs"
    mine_id, theirs_id = sipc("keygen", mine), sipc("keygen", theirs)
    place.start(trust=["--trust", f"{mine}.pub"])
    nodes = place.join()
    for node in nodes:
        node.wait("trust 1 keys, signed only")
    image = place.root / "web.sip"  # beside the graph: found first
    image.write_bytes((SIPS / "web.sip").read_bytes())
    refused(place, 1, ["g.yaml:7: error: image", "signature-key: image web is signed with key",
                       f"trusted here: {mine_id} (mine)", "--trust"], WEB)
    sipc("sign", image, "--key", f"{theirs}.key")
    refused(place, 1, [f"signed with key {theirs_id}, which is not trusted"], WEB)
    sipc("sign", image, "--key", f"{mine}.key")
    good = image.read_bytes()
    image.write_bytes(strip(good))
    refused(place, 1, ["is refused: signature-missing: image web is not signed", "sipc sign"], WEB)
    for offset in (20, 40, 70, len(good) // 2, len(good) - 120, len(good) - 90, len(good) - 1):
        changed = bytearray(good)
        changed[offset] ^= 1
        image.write_bytes(changed)
        refused(place, 1, ["is refused: "], WEB)
    for node in nodes:
        expect(not kinds(node.heard(), "image", "create"), "a node was told")
    image.write_bytes(good)
    place.apply()
    signers = {sip["name"]: sip["signer"] for sip in place.get("sips")}
    expect(signers == {"tcp": "", "web2": f"{mine_id} mine", "web3": f"{mine_id} mine"}, signers)
    out, _ = place.ctl("get", "keys", "-o", "json")
    found = json.loads(out)
    expect([(key["id"], key["name"]) for key in found["keys"]] == [(mine_id, "mine")] and
           not found["allow_unsigned"], out)
    out, _ = place.ctl("get", "keys")
    expect(out.split() == ["ID", "NAME", mine_id, "mine"], out)


def a_wrongly_named_image_is_refused(place):
    place.start()
    nodes = place.join()
    (place.root / "web.sip").write_bytes((SIPS / "hello.sip").read_bytes())  # well signed, but not web
    refused(place, 1, ["g.yaml:7: error: image", "is refused: image-name: ", "'hello'", "'web'"], WEB)
    (place.root / "hello.sip").write_bytes((SIPS / "hello.sip").read_bytes())
    place.apply("graph: h\nsips:\n  h:\n    image: hello.sip\n    node: node1\n")
    for node in nodes:
        node.heard()
    # fabricd has that image already, by its right name.
    refused(place, 1, ["g.yaml:7: error: SIP 'web2': image 'web.sip' was built and signed as 'hello'"], WEB)
    expect(not kinds(nodes[0].heard(), "image", "create"), "a node was told")
    place.apply("graph: h2\nsips:\n  h2:\n    image: web.sip\n    image-name: hello\n    node: node1\n")
    nodes[0].wait("create h2")


def unsigned_images_are_taken_only_when_said(place):
    place.start(trust=["--allow-unsigned"])
    nodes = place.join()
    nodes[0].wait("trust 0 keys, unsigned too")
    image = place.root / "web.sip"
    good = (SIPS / "web.sip").read_bytes()
    damaged = bytearray(good)
    damaged[len(good) - 1] ^= 1  # a signature that is there must be right
    image.write_bytes(damaged)
    refused(place, 1, ["is refused: signature: it is not the signature that key"], WEB)
    image.write_bytes(strip(good))
    place.apply()
    signers = {sip["name"]: sip["signer"] for sip in place.get("sips")}
    expect(signers["web2"] == "unsigned", signers)
    out, _ = place.ctl("get", "keys")
    expect("any" in out and "no trusted key has signed are taken, too" in out, out)
    expect("warning: images that no trusted key" in (place.root / "fabricd.log").read_text(), "log")


def bad_key_files_do_not_start(place):
    (place.root / "bad.pub").write_text("sip-public-key-1 00 x\n")
    for what, words in (("none.pub", "none.pub: No such file"), ("bad.pub", "bad.pub: line 1: expected")):
        done = subprocess.run(
            [FABRICD, "--state-dir", place.root / "t", "--listen", "127.0.0.1:0", "--token", TOKEN,
             "--trust", place.root / what], capture_output=True, text=True, timeout=20, check=False)
        expect(done.returncode == 1 and words in done.stderr, done.stderr)
    place.start(trust=["--heartbeat-ms", "600"])  # nobody is trusted
    place.join()
    refused(place, 1, ["signed with key", "trusted here: no key"], WEB)
    out, _ = place.ctl("get", "keys")
    expect(out.split() == ["ID", "NAME"], out)
    expect("no key is trusted" in (place.root / "fabricd.log").read_text(), "log")


def a_node_that_refuses_an_image_undoes_the_apply(place):
    place.start()
    nodes = place.join()
    nodes[1].order("distrust create web2")
    _, err = place.apply(WEB, 1)
    expect("SIP web2 was not created on node2: told not to trust it" in err, err)
    expect(place.get("sips") == [], "SIPs are left")


TRUST_CASES = [
    only_images_of_trusted_keys_are_taken,
    a_wrongly_named_image_is_refused,
    unsigned_images_are_taken_only_when_said,
    bad_key_files_do_not_start,
    a_node_that_refuses_an_image_undoes_the_apply,
]
