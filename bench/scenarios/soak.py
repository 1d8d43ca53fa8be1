# SPDX-License-Identifier: Apache-2.0
"""The same load for a long time: does memory grow, does anybody ever see something wrong, does the latency creep? The load runs
in one piece; beside it a few clients of their own say once a minute what the latency is."""

import time

from parts import broker, gateway, on_broker, rss_kib, sample_every, slope_a_minute, start_swarm, swarm
from report.plot import Line, Lines
from report.table import Table, number

from .scenario import Scenario, short

RATE, CHURN, SLOW_PERCENT = 500, 20, 5
PROBES = 100
LEAD_S = 30  # what is filled once, is filled by then: caches, arenas, pools


def load(args, seconds):
    return ["--clients", args.clients, "--accounts", max(1, args.clients // 10), "--rate", RATE, "--seconds", int(seconds), "--churn-per-s", CHURN,
            "--slow-percent", SLOW_PERCENT, "--slow-bytes-per-s", 1000, "--timeout-s", int(seconds + 240)]


def probe(g, seconds, number_of):
    done = swarm(g, False, "--clients", PROBES, "--accounts", PROBES, "--rate", PROBES, "--seconds", seconds, "--prefix", f"pr{number_of:03d}:",
                 "--timeout-s", seconds + 60)
    return {k: done["latency_us"][k] / 1000 for k in ("p50", "p99")}


def soak(args):
    """Ten minutes (--minutes) of 500 records/s to 10,000 clients of which 20 a second leave and come back and every twentieth
    reads slowly: the gateway's memory each 10 s and its slope, p99 each minute, and that nobody was ever wrong."""
    seconds, minutes = (20, []) if args.short else (args.minutes * 60, [])
    each, lead = short(args, 60, 8), short(args, LEAD_S, 4)
    with broker() as k, gateway(**on_broker(k)) as g:
        with sample_every(short(args, 10, 1), lambda: rss_kib(g.pids)) as points, start_swarm(g, False, *load(args, seconds)) as s:
            if not s.wait_phase("feed", 240):
                raise SystemExit(f"the clients were never live: {s.result(wrong_ok=True)}")
            live, began = len(points), time.monotonic()
            while time.monotonic() - began < seconds - each:
                minutes.append(probe(g, each - 2, len(minutes)))
                print(f"  after {time.monotonic() - began:.0f} s: RSS {rss_kib(g.pids)} KiB, p50 {minutes[-1]['p50']:.2f} ms, "
                      f"p99 {minutes[-1]['p99']:.2f} ms", flush=True)
            fed = len(points)
            done = s.result()
    fed_points = points[live:fed]
    settled = [p for p in fed_points if p[0] >= fed_points[0][0] + lead]
    return {"clients": args.clients, "seconds": seconds, "rss_kib": fed_points, "rss_growth_kib_a_minute": slope_a_minute(settled),
            "minutes": minutes, "entries": done["entries"], "wrong": done["wrong"], "connects": done["connects"], "each_s": each,
            "digests_checked": done["digests_checked"]}


def table(f):
    rss = [kib for _, kib in f["rss_kib"]]
    p99 = [m["p99"] for m in f["minutes"]]
    return Table([f"{f['clients']:,} clients, {f['seconds']:,.0f} s", ""], [
        ["deliveries checked, none wrong", f"{f['entries']:,}"], ["digests checked", f"{f['digests_checked']:,}"],
        ["connections made", f"{f['connects']:,}"], ["RSS, first and last (KiB)", f"{number(rss[0])} and {number(rss[-1])}"],
        ["RSS growth once filled (KiB a minute)", number(f["rss_growth_kib_a_minute"])],
        ["p99 of the best and the worst minute (ms)", f"{number(min(p99))} and {number(max(p99))}"]])


def charts(f):
    first = f["rss_kib"][0][0]
    return [Lines("Memory of the gateway", "seconds", "MiB", [Line("RSS", [(at - first, kib / 1024) for at, kib in f["rss_kib"]])]),
            Lines("Latency from due to the client", "seconds", "ms",
                  [Line(q, [((i + 1) * f["each_s"], m[q]) for i, m in enumerate(f["minutes"])]) for q in ("p50", "p99")], y_log=True)]


SCENARIOS = [Scenario("soak", soak, 10000, "12 min", table, charts, short_clients=500)]
