# SPDX-License-Identifier: Apache-2.0
"""From the figures of all rounds to one JSON object a row, and to tables for people."""
import statistics

RTT_METRICS = ("rtt64",)
UNITS = {"rtt64": "us", "msgs64": "msg/s", "bulk": "MB/s"}


def kind(metric):
    return next(name for name in UNITS if metric.startswith(name))


def base_metric(metric):
    """rtt64_veth_plain and rtt64_encrypted are compared with what rtt64_veth and rtt64 are."""
    return metric.removesuffix("_plain").removesuffix("_encrypted")


def figure(row):
    """The one number of a row: us of a round trip, or a rate. None: nothing was measured."""
    values = [taken.get("p50", taken.get("value")) for taken in row.figures]
    return statistics.median(values) if values else None


def find(rows, name, metric):
    """The figure of that row, or None."""
    for row in rows:
        if row.name == name and row.metric == metric:
            return figure(row)
    return None


def ratios(rows, row, name="raw"):
    """Over the figures of that row, round by round: what the machine is like changes between rounds, not within."""
    base = next((other for other in rows if other.name == name and other.metric == base_metric(row.metric)), None)
    if base is None or not base.figures or len(base.figures) != len(row.figures):
        value, baseline = figure(row), find(rows, name, base_metric(row.metric))
        return [value / baseline] if value and baseline else []
    return [ours.get("p50", ours.get("value")) / raw.get("p50", raw.get("value"))
            for ours, raw in zip(row.figures, base.figures)]


def target(rows, row):
    """(text, met or None) for the rows of ours that have one."""
    ours, found = figure(row), ratios(rows, row)
    ratio = statistics.median(found) if found else None
    if row.metric == "rtt64":
        return "<= 1.5 x raw", None if ratio is None else ratio <= 1.5
    if row.metric == "msgs64":
        return ">= 4000000 msg/s", None if ours is None else ours >= 4e6
    if row.metric == "bulk":
        return ">= 0.8 x raw", None if ratio is None else ratio >= 0.8
    if row.metric in ("rtt64_veth", "rtt64_veth_plain"):
        # No peer encrypts: like beside like is ours in the clear. Sealed is what a cluster does.
        peers = [figure(other) for other in rows
                 if other.metric == "rtt64_veth" and other.name not in ("ours", "raw")]
        peers = [value for value in peers if value is not None]
        met = None if ours is None or not peers else ours < min(peers)
        return "< every peer on that veth", met
    return None, None


def number(value):
    return round(value, 3) if value < 1000 else round(value, 1)


def line(rows, row):
    """The JSON object of one row."""
    unit = UNITS[kind(row.metric)]
    out = {"suite": "link", "metric": row.key, "unit": unit}
    if row.missing:
        return out | {"not_measured": row.missing}
    if not row.figures:
        return out | {"failed": row.errors[-1] if row.errors else "not run"}
    rtt = kind(row.metric) in RTT_METRICS
    value = figure(row)
    out["p50" if rtt else "value"] = number(value)
    for name in ("min", "p99", "lost"):
        values = [taken[name] for taken in row.figures if name in taken]
        if values and (name != "lost" or max(values) > 0):
            out[name] = round(statistics.median(values), 4)
    values = [taken.get("p50", taken.get("value")) for taken in row.figures]
    out["rounds"] = len(values)
    out["spread"] = round(max(values) / min(values), 2) if min(values) > 0 else None
    if row.figures[0].get("mean"):
        out["note"] = "a mean: this tool gives no percentiles"
    baseline = find(rows, "raw", base_metric(row.metric))
    if row.name != "raw" and baseline:
        found = ratios(rows, row)
        out |= {"baseline": number(baseline), "ratio": round(statistics.median(found), 3),
                "ratios": [round(each, 3) for each in found]}
    if row.name == "ours":
        found = ratios(rows, row, "raw_copy")
        if found:
            out["ratio_copy"] = round(statistics.median(found), 3)
        text, met = target(rows, row)
        if text:
            out |= {"target": text, "target_met": met}
    if row.errors:
        out["failed_rounds"] = len(row.errors)
    return out


def encryption_lines(rows):
    """What encryption costs, for each of our metrics that was taken both ways."""
    lines = []
    for metric in dict.fromkeys(base_metric(row.metric) for row in rows if row.name == "ours"):
        veth = "_veth" in metric
        sealed = find(rows, "ours", metric if veth else metric + "_encrypted")
        plain = find(rows, "ours", metric + "_plain" if veth else metric)
        if sealed and plain:
            lines.append({
                "suite": "link", "metric": f"encryption_cost_{metric}", "unit": UNITS[kind(metric)],
                "value": number(sealed - plain), "baseline": number(plain),
                "ratio": round(sealed / plain, 3),
            })
    return lines


def shown(value, rtt):
    if value is None:
        return "-"
    return f"{value:,.2f}" if rtt else f"{value:,.0f}"


def verdict(rows, row):
    if row.missing:
        return f"not measured: {row.missing}"
    if not row.figures:
        return f"FAILED: {row.errors[-1] if row.errors else 'not run'}"
    words = []
    if row.name == "ours":
        text, met = target(rows, row)
        if text:
            words.append(f"target {text}: {'met' if met else 'unknown' if met is None else 'MISSED'}")
    lost = [taken["lost"] for taken in row.figures if "lost" in taken]
    if lost and statistics.median(lost) >= 0.0005:
        words.append(f"lost {statistics.median(lost) * 100:.1f} %")
    if row.errors:
        words.append(f"{len(row.errors)} rounds failed: {row.errors[-1]}")
    return "; ".join(words)


def table(rows):
    """Lines for people: a block a metric, ours and bare DPDK first, then the peers, best first."""
    out = []
    for metric in dict.fromkeys(base_metric(row.metric) for row in rows):
        rtt = kind(metric) in RTT_METRICS
        members = [row for row in rows if base_metric(row.metric) == metric]
        members.sort(key=lambda row: (
            ["ours", "raw", "raw_copy"].index(row.name) if row.name in ("ours", "raw", "raw_copy") else 3,
            (figure(row) or float("inf")) if rtt else -(figure(row) or 0)))
        out.append("")
        out.append(f"{metric}: {UNITS[kind(metric)]}, {'less' if rtt else 'more'} is better")
        for row in members:
            value = figure(row)
            found = ratios(rows, row)
            ratio = f"{statistics.median(found):8.2f} x raw" if value and found else " " * 14
            name = row.name + row.metric[len(metric):]
            text = f"  {name:16} {shown(value, rtt):>14} {ratio}  {verdict(rows, row)}"
            out.append(text.rstrip())
    return out


__all__ = ["encryption_lines", "figure", "line", "table"]
