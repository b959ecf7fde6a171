#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whose images a hosted cluster takes, from the operator's command line: own keys only, every kind
of wrong image with the text of its refusal and nothing half-applied, a change of keys, and what a
cluster says that takes anything. Speaks TAP. As root, fabricctl, and all that it starts, runs as
nobody.
"""
import json
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
import staging
from staging import BUILD, expect

SIPC = BUILD / "node_kernel/sipc/sipc"
SIGNATURE_BYTES = 112

GRAPH = """graph: good
sips:
  hello:
    image: hello.sip
    node: node1
  client:
    image: hello-client.sip
    node: node2
channels:
  - from: client.hello
    to: hello.hello
"""

OTHER = """graph: other
sips:
  one:
    image: hello.sip
    node: node2
  two:
    image: web.sip
    node: node1
  tcp:
    service: tcp
    node: node1
channels:
  - from: two.tcp
    to: tcp.tcp
"""


def strip(image):
    """Without its signature: what anybody can do."""
    bare = bytearray(image[:-SIGNATURE_BYTES])
    bare[12:16] = bytes(4)
    return bytes(bare)


class TrustPlace(staging.Place):
    """And two keys, and images signed by the first."""

    def __init__(self):
        super().__init__("trust")
        self.ids = {name: self.sipc("keygen", self.root / name) for name in ("ours", "theirs")}
        for name in ("hello.sip", "hello-client.sip", "web.sip"):
            shutil.copy(BUILD / "sips" / name, self.root)
            self.sign(name, "ours")
        self.good = {path.name: path.read_bytes() for path in self.root.glob("*.sip")}
        self.graph = self.write("g.yaml", GRAPH)
        self.other = self.write("o.yaml", OTHER)
        self.before = None

    def sipc(self, *arguments):
        done = subprocess.run([SIPC, *arguments], capture_output=True, text=True, timeout=30, check=False)
        expect(done.returncode == 0, f"sipc {arguments}: {done.stderr}")
        return done.stdout.strip()

    def sign(self, image, key):
        self.sipc("sign", self.root / image, "--key", self.root / f"{key}.key")
        (self.root / image).chmod(0o644)

    def seen(self):
        sips = json.loads(self.ctl("get", "sips", "-o", "json")[0])["sips"]
        return sorted((sip["name"], sip["number"], sip["signer"]) for sip in sips)

    def refused(self, words, image, content):
        """An apply with that image in the place of the good one: said why, and nothing has changed."""
        before = self.seen()
        self.write(image, content)
        try:
            for more in ((), ("--dry-run",)):
                _, err = self.ctl("apply", "-f", self.other, *more, code=1)
                for word in words:
                    expect(word in err, f"'{word}' is missing in: {err}")
        finally:
            self.write(image, self.good[image])
        expect(self.seen() == before, f"half-applied: {self.seen()}, before: {before}")


def an_operator_trusts_only_an_own_key(place):
    err = place.create("--trust", "ours.pub")
    expect(f"images signed with key {place.ids['ours']} (ours) are trusted" in err, err)
    out, _ = place.ctl("get", "keys")
    expect(out.split() == ["ID", "NAME", place.ids["ours"], "ours"], out)
    place.ctl("apply", "-f", place.graph)
    out, _ = place.ctl("get", "sips", "-o", "wide")
    expect(out.count(f"{place.ids['ours']} ours") == 2, out)


def the_builds_own_key_is_nothing_special(place):
    place.refused(["o.yaml:7: error: image ", "web.sip is refused: signature-key: image web is signed with",
                   f"trusted here: {place.ids['ours']} (ours)", "--trust"],
                  "web.sip", (BUILD / "sips/web.sip").read_bytes())


def an_image_of_another_key(place):
    place.sign("web.sip", "theirs")
    place.refused([f"signature-key: image web is signed with key {place.ids['theirs']}, which is not trusted"],
                  "web.sip", (place.root / "web.sip").read_bytes())


def an_unsigned_image(place):
    place.refused(["signature-missing: image web is not signed", "sipc sign"], "web.sip",
                  strip(place.good["web.sip"]))


def altered_images(place):
    image = place.good["web.sip"]
    elf = int.from_bytes(image[16:24], "little")
    for at, rule in ((3, "header: "), (9, "header: "), (13, "header: "), (18, "header: "), (26, "header: "),
                     (32, "signature: "), (63, "signature: "), (64, "image-hash: "), (elf - 1, "image-hash: "),
                     (elf, "image-hash: "), (len(image) - SIGNATURE_BYTES - 1, "image-hash: "),
                     (len(image) - SIGNATURE_BYTES, "signature-format: "), (len(image) - 90, "signature: "),
                     (len(image) - 64, "signature: "), (len(image) - 1, "signature: ")):
        changed = bytearray(image)
        changed[at] ^= 0x10
        before = place.seen()
        place.write("web.sip", bytes(changed))
        _, err = place.ctl("apply", "-f", place.other, code=1)
        expect(f"web.sip is refused: {rule}" in err, f"byte {at}: {err}")
        expect(place.seen() == before, "half-applied")
    place.write("web.sip", image)


def a_wrongly_named_image(place):
    hello = place.good["hello.sip"]  # fabricd knows it already, by its right name
    place.refused(["o.yaml:7: error: SIP 'two': image 'web.sip' was built and signed as 'hello', not as 'web'"],
                  "web.sip", hello)
    place.refused(["image-name: the image was built and signed as 'web', but 'hello' was asked for"],
                  "hello.sip", place.good["web.sip"])
    before = place.seen()
    graph = OTHER.replace("image: web.sip", "image: web.sip\n    image-name: webb")
    _, err = place.ctl("apply", "-f", place.write("n.yaml", graph), code=1)
    expect("n.yaml:7: error: image" in err and "'web', but 'webb' was asked for" in err, err)
    expect(place.seen() == before, "half-applied")
    place.write("renamed.sip", place.good["web.sip"])
    graph = OTHER.replace("image: web.sip", "image: renamed.sip\n    image-name: web")
    place.ctl("apply", "-f", place.write("n.yaml", graph))
    place.ctl("delete", "graph/other")


def the_good_ones_still_run(place):
    place.ctl("apply", "-f", place.other)
    expect({"one", "two"} <= {name for name, _, _ in place.seen()}, str(place.seen()))
    place.ctl("cluster", "destroy")


def without_trust_every_image_is_refused(place):
    err = place.create()
    expect("warning: no key is trusted, every image will be refused" in err, err)
    _, err = place.ctl("apply", "-f", place.graph, code=1)
    expect("signature-key" in err and "trusted here: no key" in err, err)
    out, _ = place.ctl("get", "keys", "-o", "json")
    expect(json.loads(out) == {"format": 1, "allow_unsigned": False, "keys": []}, out)
    place.ctl("apply", "-f", place.write("s.yaml", "graph: s\nsips:\n  tcp:\n    service: tcp\n"))
    place.ctl("cluster", "destroy")


def unsigned_images_only_when_said_and_shown(place):
    err = place.create("--allow-unsigned", "--trust", "ours.pub")
    expect("warning: images that no trusted key has signed are taken, too" in err, err)
    for name in ("hello.sip", "hello-client.sip"):
        place.write(name, strip(place.good[name]))
    place.ctl("apply", "-f", place.graph)
    out, _ = place.ctl("get", "sips", "-o", "wide")
    expect(out.count("unsigned") == 2, out)
    out, _ = place.ctl("get", "keys")
    expect("any " in out and "ours" in out, out)
    out, _ = place.ctl("logs", "node/node1")
    expect("warning: images that no trusted key has signed are taken, too" in out, out)
    web = place.good["web.sip"]
    place.refused(["signature: it is not the signature that key"], "web.sip", web[:-1] + bytes([web[-1] ^ 1]))
    place.refused(["'web.sip' was built and signed as 'hello', not as 'web'"], "web.sip",
                  strip(place.good["hello.sip"]))
    for name in ("hello.sip", "hello-client.sip"):
        place.write(name, place.good[name])
    place.ctl("cluster", "destroy")


def two_keys_so_that_they_can_be_changed(place):
    place.create("--trust", "ours.pub", "--trust", "theirs.pub")
    place.ctl("apply", "-f", place.graph)
    for name in ("hello.sip", "hello-client.sip"):
        place.sign(name, "theirs")
    out, _ = place.ctl("apply", "-f", place.graph)  # the same code on the same nodes
    expect("2 replaced" in out, out)
    out, _ = place.ctl("get", "sips", "-o", "wide")
    expect(out.count(f"{place.ids['theirs']} theirs") == 2, out)
    place.ctl("cluster", "destroy")


def bad_key_files_make_no_cluster(place):
    place.write("bad.pub", "sip-public-key-1 zz x\n")
    for words, code, said in ((("--trust", "none.pub"), 3, "none.pub: No such file"),
                              (("--trust", "bad.pub"), 2, "bad.pub: line 1: expected"),
                              (("--trust",), 2, "--trust needs a value")):
        _, err = place.ctl("cluster", "create", "--hosted", *words, code=code)
        expect(said in err, err)
    place.write("secret.pub", (place.root / "ours.key").read_bytes())
    _, err = place.ctl("cluster", "create", "--hosted", "--trust", "secret.pub", code=2)
    expect("that is the secret key" in err, err)
    _, err = place.ctl("cluster", "destroy", code=3)


CASES = [
    an_operator_trusts_only_an_own_key,
    the_builds_own_key_is_nothing_special,
    an_image_of_another_key,
    an_unsigned_image,
    altered_images,
    a_wrongly_named_image,
    the_good_ones_still_run,
    without_trust_every_image_is_refused,
    unsigned_images_only_when_said_and_shown,
    two_keys_so_that_they_can_be_changed,
    bad_key_files_make_no_cluster,
]


sys.exit(staging.run_cases(TrustPlace, CASES))
