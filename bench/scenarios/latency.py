# SPDX-License-Identifier: Apache-2.0
"""From a record in Kafka to the client that shows it: at rising rates until something gives way, and from the record in
the hub's hands to the shard that delivers it."""

from parts import gateway, gateways, kafka, metric_quantile, percent, processes_for, start_swarm, summary, swarm
from report.plot import Bar, Bars, Line, Lines
from report.table import Table, number

from .scenario import Scenario, short

FANS = 10  # clients of an account: 50,000 sockets on 5,000 accounts
RATES = (5000, 10000, 20000, 35000, 50000, 70000, 100000, 140000, 200000)
LINGER_MS = 5  # what a producer of Kafka 4 gathers for unless told otherwise
LOW_RATE = 1000  # deliveries: 100 records a second
ENOUGH_P99_US = 1000000
KEPT_UP = 0.97  # of the entries that were due


def times(us):
    return {k: us[k] / 1000 for k in ("p50", "p99", "p999")} | {"max": us.get("max", us["p999"]) / 1000}


def step(args, fleet, rate, number_of):
    """One rate: all clients connect, then the records come at their times whatever happens. An own prefix a step: versions
    begin at 1 again."""
    seconds, warm, records = short(args, 20, 4), short(args, 4, 1), max(1, rate // FANS)
    accounts = max(1, args.clients // FANS)
    with start_swarm(fleet, False, "--clients", args.clients, "--accounts", accounts, "--rate", records, "--seconds", seconds, "--warm-ms", 1000 * warm,
                     "--linger-ms", LINGER_MS, "--prefix", f"rt{number_of:03d}:", "--timeout-s", 240) as s:
        done = s.result(wrong_ok=True)
    if done["wrong"]:
        raise SystemExit(f"wrong run, no figure: {done}")
    due = records * seconds * FANS
    got = done["measured_entries"] + done.get("merged", 0)
    return {"rate": rate, "records_s": records, "kept_up_percent": percent(got, due), "completed": done["completed"],
            "feed_late_ms": done.get("feed", {}).get("late_ms_max", 0), "failed": done.get("feed", {}).get("failed", 0),
            "from_due_ms": times(done["latency_us"]), "from_commit_ms": times(done.get("commit_us", done["latency_us"])),
            "server_cores": done["server_cpu_ns"] / 1e9 / done["measured_s"], "client_cores": done.get("client_cpu_ns", 0) / 1e9 / done["measured_s"]}


def gave_way(r):
    return not r["completed"] or r["failed"] > 0 or r["kept_up_percent"] < 100 * KEPT_UP or r["from_due_ms"]["p99"] > ENOUGH_P99_US / 1000


def latency(args):
    """Kafka commit to client, a real Kafka 4, 50,000 sockets on 5,000 accounts (10 each) over as many gateways of one shard as
    descriptors ask for, all on the same cores as broker and clients; the producer gathers for 5 ms, as one of Kafka 4 does
    unless told otherwise: p50, p99, p99.9 at rising rates until one gives way."""
    rows = []
    with kafka() as k, gateways(processes_for(args.clients), k) as fleet:
        step(args, fleet, RATES[0], 999)  # unmeasured: a broker on a virtual machine is slow until its code is compiled
        for i, rate in enumerate((LOW_RATE, *RATES[:short(args, len(RATES), 2)])):
            rows.append(step(args, fleet, rate, i))
            r = rows[-1]
            print(f"  {rate:,} deliveries/s: from commit p50 {r['from_commit_ms']['p50']:.2f} p99 {r['from_commit_ms']['p99']:.2f} ms, from due "
                  f"p50 {r['from_due_ms']['p50']:.2f} p99 {r['from_due_ms']['p99']:.2f} p99.9 {r['from_due_ms']['p999']:.2f} ms; "
                  f"{r['kept_up_percent']:.1f} % of what was due, servers {r['server_cores']:.2f} cores", flush=True)
            if gave_way(r) and rate != LOW_RATE:
                break
    held = [r["rate"] for r in rows if not gave_way(r)]
    return {"clients": args.clients, "accounts": max(1, args.clients // FANS), "gateways": processes_for(args.clients), "steps": rows,
            "most_held": max(held, default=0), "gave_way_at": next((r["rate"] for r in rows if gave_way(r)), None)}


def latency_table(f):
    rows = [[f"{r['rate']:,}", *(number(r["from_commit_ms"][k]) for k in ("p50", "p99", "p999")),
             *(number(r["from_due_ms"][k]) for k in ("p50", "p99", "p999")), number(r["kept_up_percent"]), number(r["server_cores"])]
            for r in f["steps"]]
    return Table(["deliveries/s", "commit p50 (ms)", "p99", "p99.9", "due p50 (ms)", "p99", "p99.9", "kept up (%)", "server cores"], rows)


def latency_charts(f):
    def lines(key):
        return [Line(name, [(r["rate"], r[key][q]) for r in f["steps"]]) for name, q in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999"))]
    marks = [(3, "target p50 ≤ 3"), (15, "target p99 ≤ 15")]
    end = f"{f['gave_way_at']:,} was too many" if f["gave_way_at"] else "none was too many"
    what = f"deliveries a second to {f['clients']:,} sockets; kept up with {f['most_held']:,}, {end}"
    return [Lines("From the broker's confirmation to the client", what, "ms", lines("from_commit_ms"), True, True, marks),
            Lines("From when the record was due to the client", what, "ms", lines("from_due_ms"), True, True)]


# ---- handoff ----

def handoff(args):
    """From the record in the Kafka thread's hands to the shard that delivers it: the upper edge of the median's bucket."""
    rows = []
    for _ in range(args.pairs):
        with gateway() as g:
            swarm(g, False, "--clients", 100, "--accounts", 100, "--messages", short(args, 2000, 200), "--rate", 500)
            rows.append(metric_quantile(g, "bgw_handoff_seconds", 0.5) * 1e6)
            print(f"  hand-off p50 <= {rows[-1]:.0f} us", flush=True)
    return {"handoff_p50_us_upper_bound": summary(rows)}


def handoff_charts(f):
    return [Bars("Hand-off, p50 at most", "µs", [Bar.of("hub to shard", f["handoff_p50_us_upper_bound"])], marks=[(50, "target 50")])]


SCENARIOS = [
    Scenario("latency", latency, 50000, "8 min", latency_table, latency_charts, needs=("kafka",), short_clients=5000),
    Scenario("handoff", handoff, 100, "1 min", charts=handoff_charts),
]
