# SPDX-License-Identifier: Apache-2.0
"""This build of the gateway against an earlier one, in turns: what a change has brought, or cost."""

from parts import broker, gateway, gateways, kafka, on_broker, processes_for, ratios, summary, swarm
from report.plot import Bar, Bars
from report.table import Table, number

from .accept import GREETED, KINDS, arrival
from .fanout import HARVEST, SELDOM_ASKED, one_at_a_time
from .idle import idle_args
from .ingest import PARTITIONS, RECORDS, fill, unwatched
from .scenario import Scenario, short


def delivery(args, binary, _):
    with broker() as k, gateway(binary=binary, **on_broker(k), **SELDOM_ASKED) as g:
        return swarm(g, False, *one_at_a_time(args), *HARVEST)["cpu_ns_per_entry"]


def idle_bytes(accounts_of):
    def measure(args, binary, _):
        with broker() as k, gateways(processes_for(args.clients), k, binary=binary) as g:
            return swarm(g, False, *idle_args(args, args.clients, accounts_of(args)))["bytes_per_client"]
    return measure


def greeted_us(args, binary, _):
    with broker() as k, gateway(binary=binary, **on_broker(k), **SELDOM_ASKED) as g:
        return arrival(args, g, False, KINDS["greeted"][3], GREETED)[0]


def record_ns(args, binary, full):
    return unwatched(full, "full", short(args, RECORDS, 300000), binary=binary)["hub_ns_a_record"]


MEASURES = {  # name: (unit, function of (args, binary, a full topic))
    "CPU a delivery": ("ns", delivery),
    "memory an idle connection, one hot account": ("B", idle_bytes(lambda args: 1)),
    "memory an idle connection, an account each": ("B", idle_bytes(lambda args: args.clients)),
    "CPU an arrival, greeted": ("µs", greeted_us),
    "CPU of the hub a record": ("ns", record_ns),
}


def versus(args):
    """This build against another one (`--before FILE`, a bgw of an earlier commit), in turns: CPU a delivery one message at a
    time, memory an idle connection, CPU of an arrival until it is greeted, CPU of the hub's thread a record of a full topic."""
    if not args.before:
        raise SystemExit("which build to compare with? --before FILE, a bgw of an earlier commit")
    rows = {name: {"before": [], "now": []} for name in MEASURES}
    with kafka() as k:
        k.create("full", PARTITIONS)
        fill(k, "full", short(args, RECORDS, 300000))
        for i in range(args.pairs):
            for name, (unit, measure) in MEASURES.items():
                for which, binary in (("before", args.before), ("now", None)):
                    rows[name][which].append(measure(args, binary, k))
                before, now = (rows[name][which][-1] for which in ("before", "now"))
                print(f"  pair {i + 1}, {name}: {before:,.0f} -> {now:,.0f} {unit}", flush=True)
    return {"clients": args.clients, "pairs": args.pairs,
            "measures": {f"{name} ({MEASURES[name][0]})": {"before": summary(r["before"]), "now": summary(r["now"]),
                                                          "before_over_now": ratios(r["before"], r["now"])} for name, r in rows.items()}}


def table(f):
    rows = [[name, number(m["before"]["median"]), number(m["now"]["median"]), *(number(m["before_over_now"][k]) for k in ("median", "min", "max"))]
            for name, m in f["measures"].items()]
    return Table([f"{f['clients']:,} clients, {f['pairs']} pairs", "before", "now", "before / now", "least", "most"], rows)


def charts(f):
    return [Bars("Before / now, pair by pair (more is better)", "", [Bar.of(name, m["before_over_now"]) for name, m in f["measures"].items()],
                 marks=[(1.0, "as before")])]


SCENARIOS = [Scenario("versus", versus, 10000, "12 min", table, charts, needs=("kafka",), pairs=5, short_clients=500)]
