#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The RDMA bench without its machines: what is made of the lines of its steps."""
import rdma


def lat(results, name, us, code=0):
    text = f" 64 1000 {us / 2} {us * 9} {us} {us * 1.5} 1 1 1"  # as perftest: min, max, typical, average
    if name.startswith("rtt"):
        text = f'{{"p50":{us},"average":{us * 2}}}'
    for line in (f"begin {name}", "# said before", text, f"end {name} {code}"):
        results.line(line)


def row_of(results, metric):
    return next(row for row in rdma.rows_of(results) if row["metric"] == metric)


def figures_are_medians_and_ratios_of_one_round():
    """The machine was slower in the second round, and perftest did not come to its end there."""
    results = rdma.Results()
    for ours, spins, sleeps in ((10.0, 4.0, 5.0), (30.0, None, 12.0), (20.0, 10.0, 9.0)):
        lat(results, "rtt64", ours, code=1)  # the server is not there yet
        lat(results, "rtt64", ours)
        if spins is not None:
            lat(results, "send_lat", spins)
        lat(results, "send_lat_sleeping", sleeps)
    row = row_of(results, "rtt64")
    assert row["p50"] == 20.0 and row["rounds"] == 3 and row["spread"] == 3.0, row
    assert row["baseline"] == 14.0 and row["ratio"] == 1.125 and row["target_met"] is True, row
    assert row["ratio_average"] == 1.5 and row["ratio_sleeping"] == 1.111, row


def a_target_can_be_missed():
    results = rdma.Results()
    lat(results, "rtt64", 27.0)
    lat(results, "send_lat", 10.0)
    row = row_of(results, "rtt64")
    assert row["ratio"] == 1.35 and row["target_met"] is False, row


def a_bandwidth_of_nothing_is_no_figure():
    """perftest rounds what stood still to 0.00."""
    results = rdma.Results()
    for line in ("begin write_bw_1m", " 1048576 20 0.00 0.00 0.000000", "end write_bw_1m 0"):
        results.line(line)
    row = row_of(results, "ib_write_bw_1m")
    assert "not_measured" in row and "p50" not in row and "value" not in row, row


def what_failed_says_its_last_words():
    results = rdma.Results()
    for line in ("begin rtt64", "no link: no device", "end rtt64 3"):
        results.line(line)
    rows = {row["metric"]: row for row in rdma.rows_of(results)}
    assert rows["rtt64"]["not_measured"] == "exit code 3: no link: no device", rows["rtt64"]
    assert rows["bulk_1m"]["not_measured"] == "not reached"


TESTS = [figures_are_medians_and_ratios_of_one_round, a_target_can_be_missed,
         a_bandwidth_of_nothing_is_no_figure, what_failed_says_its_last_words]


def main():
    print(f"1..{len(TESTS)}")
    for number, test in enumerate(TESTS, 1):
        test()
        print(f"ok {number} - {test.__name__}")


if __name__ == "__main__":
    main()
