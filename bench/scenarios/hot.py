# SPDX-License-Identifier: Apache-2.0
"""One account that a hundred thousand watch: how long one update takes to reach them."""

from parts import broker, gateways, processes_for, swarm
from report.plot import Bar, Bars
from report.table import Table, number

from .scenario import Scenario, short

MOMENTS = (("first", "min"), ("half", "p50"), ("90 %", "p90"), ("99 %", "p99"), ("last", "max"))


def hot(args):
    """One account, 100,000 subscribers over as many gateways as descriptors ask for, one update a second: time from the
    broker's confirmation until half of them, 99 % and the last have it (over all updates), and the servers' CPU."""
    seconds, count = short(args, 20, 3), processes_for(args.clients)
    with broker() as k, gateways(count, k) as g:
        done = swarm(g, False, "--clients", args.clients, "--accounts", 1, "--rate", 1, "--seconds", seconds, "--timeout-s", 300)
    us = done.get("commit_us") or done["latency_us"]
    out = {"clients": args.clients, "gateways": count, "updates": seconds, "entries": done["measured_entries"],
           "from_commit_ms": {name: us[key] / 1000 for name, key in MOMENTS if key in us},
           "from_due_ms": {name: done["latency_us"][key] / 1000 for name, key in MOMENTS if key in done["latency_us"]},
           "cpu_ns_per_delivery": done["cpu_ns_per_entry"], "server_cores": done["server_cpu_ns"] / 1e9 / done["measured_s"]}
    print(f"  {out['entries']:,} deliveries of {seconds} updates: " + ", ".join(f"{k} after {v:.1f} ms" for k, v in out["from_commit_ms"].items())
          + f"; {out['cpu_ns_per_delivery']:.0f} ns of CPU a delivery", flush=True)
    return out


def table(f):
    rows = [[f"{name} (ms)", number(value), number(f["from_due_ms"].get(name))] for name, value in f["from_commit_ms"].items()]
    rows += [["CPU of the servers a delivery (ns)", number(f["cpu_ns_per_delivery"]), ""], ["cores that the servers used", number(f["server_cores"]), ""]]
    return Table([f"one update to {f['clients']:,} sockets", "from commit", "from due"], rows)


def charts(f):
    return [Bars(f"One update to {f['clients']:,} subscribers of one account, from commit until", "ms",
                 [Bar(f"{name} of the deliveries" if name.endswith("%") or name == "half" else f"the {name} delivery", value)
                  for name, value in f["from_commit_ms"].items()])]


SCENARIOS = [Scenario("hot", hot, 100000, "2 min", table, charts, short_clients=20000)]
