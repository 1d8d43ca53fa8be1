# SPDX-License-Identifier: Apache-2.0
"""Clients that stop reading: what the others notice of them, and what one costs the server."""

from parts import broker, gateway, on_broker, ratios, start_swarm, summary
from report.plot import Bar, Bars
from report.table import Table, number

from .scenario import Scenario, short

SLOW_PERCENT = 10
ACCOUNTS = 50  # that every client watches: much is pending for one that does not read


def one(args, *more):
    """Small send buffers, so that what is not read waits in the server and not in the kernel."""
    common = ["--clients", args.clients, "--accounts", ACCOUNTS, "--per-client", ACCOUNTS, "--rate", short(args, 100, 50),
              "--seconds", short(args, 20, 5), "--timeout-s", 120, *more]
    with broker() as k, gateway(**on_broker(k), BGW_SO_SNDBUF=16384) as g, start_swarm(g, False, *common) as s:
        done = s.result()
    return done["latency_us"]["p99"] / 1000, done["server_rss_peak_kib"], done.get("slow", {})


def slow(args):
    """Every tenth client reads nothing after it is live: the others' p99 with them and without, in turns; and how much more
    memory the server held, a stalled client."""
    p99, rss, stalled = {"without": [], "with": []}, {"without": [], "with": []}, {}
    more = {"without": (), "with": ("--slow-percent", SLOW_PERCENT, "--slow-bytes-per-s", 0)}
    for i in range(args.pairs):
        for name in p99:
            ms, kib, found = one(args, *more[name])
            p99[name].append(ms)
            rss[name].append(kib)
            stalled = found if name == "with" else stalled
        print(f"  pair {i + 1}: others' p99 {p99['with'][-1]:.2f} ms with, {p99['without'][-1]:.2f} ms without; "
              f"RSS {rss['with'][-1]} KiB with, {rss['without'][-1]} KiB without", flush=True)
    count = stalled.get("clients") or args.clients * SLOW_PERCENT // 100
    return {"clients": args.clients, "stalled": count, "p99_ms": {k: summary(v) for k, v in p99.items()},
            "with_over_without": ratios(p99["with"], p99["without"]), "rss_peak_kib": {k: summary(v) for k, v in rss.items()},
            "kib_a_stalled_client": summary([(a - b) / count for a, b in zip(rss["with"], rss["without"])]), "last_stalled": stalled}


def table(f):
    rows = [(f"others' p99 {name} stalled clients (ms)", f["p99_ms"][name]) for name in ("without", "with")]
    rows += [("with / without", f["with_over_without"]), ("server memory a stalled client (KiB)", f["kib_a_stalled_client"])]
    return Table([f"{f['stalled']:,} of {f['clients']:,} clients read nothing", "median", "least", "most"],
                 [[n, number(s["median"]), number(s["min"]), number(s["max"])] for n, s in rows])


def charts(f):
    return [Bars("p99 of the clients that read", "ms", [Bar.of("nobody stalled", f["p99_ms"]["without"], 7),
                                                        Bar.of(f"{f['stalled']:,} of {f['clients']:,} stalled", f["p99_ms"]["with"])]),
            Bars("With / without, pair by pair", "", [Bar.of("p99 of the others", f["with_over_without"])], marks=[(1.05, "target 1.05")]),
            Bars("Memory of the server a stalled client", "KiB", [Bar.of("more RSS at the most", f["kib_a_stalled_client"])],
                 marks=[(64, "target 64")])]


SCENARIOS = [Scenario("slow", slow, 1000, "6 min", table, charts, short_clients=200)]
