#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SIPs that log without end, in a hosted cluster: their node, its disk and those beside them do not
suffer, and the log says what is missing. Speaks TAP. As root, fabricctl, and all that it starts, runs
as nobody.
"""
import re
import shutil
import sys

sys.dont_write_bytecode = True
import staging
from staging import BUILD, expect

LOG_BYTES_MAX = 16 << 20  # 2 x 10,000 lines of some 100 bytes, and those of one more half minute

ENDLESS = """graph: endless
sips:
  noisy1:
    image: chatty.sip
    node: node1
  noisy2:
    image: chatty.sip
    node: node1
  hello:
    image: build/sips/hello.sip
    node: node1
  hello-client:
    image: build/sips/hello-client.sip
    node: node2
channels:
  - from: hello-client.hello
    to: hello.hello
"""

MUCH = """graph: much
sips:
  chatty:
    image: chatty.sip
    node: node2
    config:
      lines: "12000"
"""


class LogsPlace(staging.Place):
    def __init__(self):
        super().__init__("logs")
        shutil.copy(BUILD / "tests/e2e/chatty.sip", self.root)
        self.write("endless.yaml", ENDLESS)
        self.write("much.yaml", MUCH)
        self.create(*staging.TRUST)

    def log(self, name):
        return self.out("logs", name).splitlines()

    def wait_end(self, name, code):
        self.wait(lambda: self.sip(name)["state"] == "exited", f"{name} ends")
        expect(self.sip(name)["exit_code"] == code, str(self.sip(name)))

    def wait_line(self, name, pattern):
        self.wait(lambda: any(re.search(pattern, line) for line in self.log(name)), f"{name} says: {pattern}")


def those_that_log_without_end_leave_the_others_alone(place):
    place.ctl("apply", "-f", "endless.yaml")
    place.wait_end("hello-client", 0)
    for name in ("noisy1", "noisy2"):
        place.wait_line(name, r"over 10000 lines in 30 s: those of the next \d+ s are lost$")
    node_log = place.root / "sipfabric/logs/node1.log"
    expect(node_log.stat().st_size < LOG_BYTES_MAX, f"{node_log}: {node_log.stat().st_size} bytes")
    place.ctl("delete", "endless")


def what_is_missing_is_counted(place):
    place.ctl("apply", "-f", "much.yaml")
    place.wait_end("chatty", 3)
    lost = [int(found.group(1)) for found in (re.search(r"(\d+) lines lost here", line) for line in place.log("chatty"))
            if found]
    expect(sum(lost) >= 2000 and len(place.log("chatty")) == 1000, f"{lost}, {place.log('chatty')[-3:]}")


CASES = [those_that_log_without_end_leave_the_others_alone, what_is_missing_is_counted]


sys.exit(staging.run_cases(LogsPlace, CASES))
