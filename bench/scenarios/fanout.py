# SPDX-License-Identifier: Apache-2.0
"""What a delivery costs the server: one message at a time, with sixteen pending, to many sockets, to other dialects,
through TLS. Against a bare loop of send() in the same run."""

from parts import X25519, Certificate, baseline, baselines, broker, gateway, gateways, on_broker, processes_for, ratios, summary, swarm
from report.plot import Bar, Bars
from report.table import Table, number

from .scenario import Scenario, pairs_charts, pairs_of, pairs_table, short


# The clients sleep between looks at their sockets: no send has to wake them, whoever of the two is faster.
HARVEST = ["--harvest-us", 1000]
# An embedded broker holds an empty fetch for the whole wait, so by default it is asked 200 times a second; a real one 10 times.
SELDOM_ASKED = {"KAFKA_FETCH_WAIT_MAX_MS": 50}


def with_broker(*args, **env):
    with broker() as k, gateway(**on_broker(k), **SELDOM_ASKED, **env) as g:
        return swarm(g, False, *args, *HARVEST)


def with_baseline(*args, server=()):
    with baseline(*server) as b:
        return swarm(b, True, *args, *HARVEST)


def one_at_a_time(args, clients=None):
    return ["--clients", clients or args.clients, "--messages", short(args, 60, 10), "--timeout-s", 240]


def fanout(args):
    """CPU of the server process per delivery, one message at a time; the next is sent when all have the last."""
    common = one_at_a_time(args)
    return pairs_of(args, lambda: with_broker(*common), lambda: with_baseline(*common))


def burst(args):
    """Sixteen updates pending per client: CPU per update, against one at a time by the bare server. The producer gathers for
    5 ms, so that the sixteen are one batch and indeed pending together."""
    ours = ["--clients", args.clients, "--accounts", 16, "--per-client", 16, "--burst", 16, "--messages", short(args, 30, 5),
            "--linger-ms", 5, "--timeout-s", 240]
    return pairs_of(args, lambda: with_broker(*ours), lambda: with_baseline(*one_at_a_time(args)))


def tls_fanout(args):
    """The same as fanout through TLS 1.3 on both sides (X25519, P-256 certificate, no tickets)."""
    c = Certificate()
    common = [*one_at_a_time(args), "--tls", "--connect-per-s", 1000]
    return pairs_of(args, lambda: with_broker(*common, BGW_TLS_CERT=c.cert, BGW_TLS_KEY=c.key, BGW_TLS_GROUPS=X25519),
                    lambda: with_baseline(*common, server=("--cert", c.cert, "--key", c.key, "--groups", X25519)))


# ---- fanout-100k ----

def fleet_run(clients, raw, *args):
    count = processes_for(clients)
    if raw:
        with baselines(count) as b:
            return swarm(b, True, *args, *HARVEST)["cpu_ns_per_entry"]
    with broker() as k, gateways(count, k, BGW_MARK_S=60, **SELDOM_ASKED) as g:
        return swarm(g, False, *args, *HARVEST)["cpu_ns_per_entry"]


def fanout_100k(args):
    """CPU per delivery to 100,000 sockets (as many server processes as descriptors ask for) against 10,000 sockets in one
    process, one message at a time; the bare server likewise, for what the machine's caches do to anybody. Heartbeats go by the
    clock, not by deliveries, and one round to so many takes long: they come each minute here, in both."""
    few = max(1, args.clients // 10)
    rows = {name: [] for name in ("bgw few", "bgw many", "raw few", "raw many")}
    for i in range(args.pairs):
        for name, cpu in rows.items():
            clients = few if name.endswith("few") else args.clients
            messages = short(args, 60 if clients == few else 20, 5)
            cpu.append(fleet_run(clients, name.startswith("raw"), "--clients", clients, "--messages", messages, "--timeout-s", 600))
        print(f"  pair {i + 1}: " + ", ".join(f"{k} {v[-1]:.0f} ns" for k, v in rows.items())
              + f"; bgw few / many {rows['bgw few'][-1] / rows['bgw many'][-1]:.2f}", flush=True)
    return {"ratio": ratios(rows["bgw few"], rows["bgw many"]), "raw_ratio": ratios(rows["raw few"], rows["raw many"]),
            "against_raw_many": ratios(rows["raw many"], rows["bgw many"]), "cpu_ns": {k: summary(v) for k, v in rows.items()},
            "pairs": args.pairs, "clients": args.clients, "few": few, "processes": processes_for(args.clients)}


def fanout_100k_names(f):
    many, few = f"{f['clients']:,} sockets, {f['processes']} processes", f"{f['few']:,} sockets, one process"
    return {"bgw few": f"bgw, {few}", "bgw many": f"bgw, {many}", "raw few": f"bare server, {few}", "raw many": f"bare server, {many}"}


def fanout_100k_table(f):
    rows = [(fanout_100k_names(f)[k] + " (ns)", v) for k, v in f["cpu_ns"].items()]
    rows += [("bgw, few / many", f["ratio"]), ("bare server, few / many", f["raw_ratio"]), ("bare / bgw at many", f["against_raw_many"])]
    return Table(["CPU a delivery", "median", "least", "most"], [[n, number(s["median"]), number(s["min"]), number(s["max"])] for n, s in rows])


def fanout_100k_charts(f):
    return [Bars("Few sockets / many sockets, per delivery (more is better)", "",
                 [Bar.of("bgw", f["ratio"]), Bar.of("bare epoll server", f["raw_ratio"], 7)],
                 marks=[(0.85, "target 0.85"), (1.0, "no loss")]),
            Bars("CPU of the servers a delivery", "ns",
                 [Bar.of(fanout_100k_names(f)[k], v, 7 if k.startswith("raw") else 0) for k, v in f["cpu_ns"].items()])]


# ---- fanout-signalr ----

def fanout_signalr(args):
    """CPU of the server process per delivery to SignalR clients, one message at a time, against native clients."""
    rows = {"native": [], "signalr": []}
    for i in range(args.pairs):
        for name, cpu in rows.items():
            cpu.append(with_broker(*one_at_a_time(args), "--dialect", name)["cpu_ns_per_entry"])
        print(f"  pair {i + 1}: native {rows['native'][-1]:.0f} ns, signalr {rows['signalr'][-1]:.0f} ns", flush=True)
    return {"ratio": ratios(rows["native"], rows["signalr"]), "cpu_ns": {k: summary(v) for k, v in rows.items()},
            "pairs": args.pairs, "clients": args.clients}


def fanout_signalr_charts(f):
    return [Bars("Native / SignalR (more is better)", "", [Bar.of("native / SignalR", f["ratio"])], marks=[(0.9, "target 0.9"), (1.0, "as native")]),
            Bars("CPU of the server a delivery", "ns", [Bar.of(k, v) for k, v in f["cpu_ns"].items()])]


SCENARIOS = [
    Scenario("fanout", fanout, 10000, "3 min", pairs_table, pairs_charts((0.92, "target 0.92")), short_clients=1000),
    Scenario("fanout-100k", fanout_100k, 100000, "15 min", fanout_100k_table, fanout_100k_charts, short_clients=20000),
    Scenario("burst", burst, 10000, "4 min", pairs_table, pairs_charts((8.0, "target 8")), short_clients=1000),
    Scenario("fanout-signalr", fanout_signalr, 10000, "3 min", charts=fanout_signalr_charts, short_clients=1000),
    Scenario("tls-fanout", tls_fanout, 5000, "4 min", pairs_table, pairs_charts(None), short_clients=500),
]
