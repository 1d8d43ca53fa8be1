# SPDX-License-Identifier: Apache-2.0
"""What an idle, authenticated, subscribed connection holds: user memory as the growth of the servers' RSS, and what the
kernel holds beside it. At a million, one broadcast that all must receive."""

import statistics

from parts import X25519, Certificate, broker, gateway, gateways, memory_kib, on_broker, processes_for, summary, swarm
from report.plot import Bar, Bars
from report.table import Table, number

from .scenario import Scenario, short

MILLION_KIB_A_SOCKET = 14  # two sockets' buffers and structures in the kernel, a client and a session


def repeats(args):
    return max(1, args.pairs // 3)


def idle_args(args, clients, accounts):
    return ["--clients", clients, "--accounts", accounts, "--messages", 0, "--idle-ms", short(args, 3000, 500), "--timeout-s", 900]


class Kernel:
    """The machine's slab while the sockets stand: both ends of each, for client and server share it."""

    def __init__(self):
        self.before, self.seen = memory_kib(), {}

    def on_phase(self, name):
        self.seen[name] = memory_kib()

    def bytes_a_connection(self, clients):
        most = max((m["Slab"] for m in self.seen.values()), default=self.before["Slab"])
        return 1024 * (most - self.before["Slab"]) / clients


def idle_run(args, clients, accounts, *more):
    with broker() as k, gateways(processes_for(clients), k, **dict(more)) as g:
        kernel = Kernel()
        done = swarm(g, False, *idle_args(args, clients, accounts), *(("--tls", "--connect-per-s", 1000) if more else ()),
                     on_phase=kernel.on_phase)
    return done["bytes_per_client"], kernel.bytes_a_connection(clients)


def idle_rows(args, kinds):
    out = {}
    for name, (clients, accounts, more) in kinds.items():
        rows = [idle_run(args, clients, accounts, *more) for _ in range(repeats(args))]
        out[name] = {"rss": summary([r[0] for r in rows]), "kernel_slab": summary([r[1] for r in rows]), "clients": clients}
        print(f"  {name}: {out[name]['rss']['median']:.0f} B a connection (kernel {out[name]['kernel_slab']['median']:.0f} B for both ends)",
              flush=True)
    return {"bytes_per_connection": out, "clients": args.clients}


def idle(args):
    """User memory (RSS growth) an idle, authenticated, subscribed connection; and the kernel's slab beside it."""
    return idle_rows(args, {"one hot account": (args.clients, 1, ()), "an account each": (args.clients, args.clients, ())})


def tls_idle(args):
    """User memory (RSS growth) an idle TLS 1.3 connection, authenticated and subscribed, by group list."""
    c, kinds = Certificate(), {}
    for groups in (X25519, "X25519MLKEM768:X25519:P-256"):
        env = (("BGW_TLS_CERT", c.cert), ("BGW_TLS_KEY", c.key), ("BGW_TLS_GROUPS", groups))
        kinds[groups] = (args.clients, 1, env)
    return idle_rows(args, kinds)


def idle_table(f):
    rows = [[name, f"{r['clients']:,}", number(r["rss"]["median"]), number(r["rss"]["min"]), number(r["rss"]["max"]),
             number(r["kernel_slab"]["median"])] for name, r in f["bytes_per_connection"].items()]
    return Table(["bytes a connection", "sockets", "RSS median", "least", "most", "kernel slab, both ends"], rows)


def idle_charts(*targets):
    def charts(f):
        rows = f["bytes_per_connection"]
        return [Bars("User memory an idle connection", "B", [Bar.of(name, r["rss"]) for name, r in rows.items()], marks=list(targets)),
                Bars("Kernel slab a connection, both ends", "B", [Bar.of(name, r["kernel_slab"], 7) for name, r in rows.items()])]
    return charts


# ---- idle-dialects ----

def idle_dialects(args):
    """User memory (RSS growth) an idle, authenticated, subscribed connection of each dialect: one hot account, an account each."""
    out = {}
    for name in ("native", "signalr", "app", "sse"):
        for what, accounts in (("one hot account", 1), ("an account each", args.clients)):
            rows = []
            for _ in range(repeats(args)):
                with broker() as k, gateway(**on_broker(k)) as g:
                    rows.append(swarm(g, False, *idle_args(args, args.clients, accounts), "--dialect", name)["bytes_per_client"])
            out[f"{name}, {what}"] = summary(rows)
            print(f"  {name}, {what}: {statistics.median(rows):.0f} B a connection", flush=True)
    return {"bytes_per_connection": out, "clients": args.clients}


def idle_dialects_charts(f):
    bars = [Bar.of(name, s, 0 if name.endswith("hot account") else 1) for name, s in f["bytes_per_connection"].items()]
    return [Bars("User memory an idle connection", "B", bars)]


# ---- idle-1m ----

def refuse_without_memory(clients):
    have, need = memory_kib()["MemAvailable"], clients * MILLION_KIB_A_SOCKET
    if have < need:
        raise SystemExit(f"{clients:,} sockets with both ends on this machine need about {need / 2**20:.1f} GiB of memory, "
                         f"{have / 2**20:.1f} GiB are available: free some, or ask for fewer with --clients")


def idle_1m(args):
    """A million sockets held at once, both ends on this machine, a gateway process for each 18,000, on one broker; then one
    broadcast that everyone must receive: bytes a connection, and the time until the last one has it. Heartbeats come each
    minute: each five seconds, as without a word, they would be 200,000 writes a second, more than the two cores can make."""
    refuse_without_memory(args.clients)
    count, kernel = processes_for(args.clients), None
    with broker() as k, gateways(count, k, BGW_MARK_S=60) as g:
        kernel = Kernel()
        done = swarm(g, False, "--clients", args.clients, "--accounts", 1, "--messages", 1, "--idle-ms", short(args, 5000, 500),
                     "--connect-per-s", 4000, "--timeout-s", 1800, on_phase=kernel.on_phase)
    memory = {name: m["MemAvailable"] for name, m in kernel.seen.items()}
    us = done["latency_us"]
    out = {"clients": args.clients, "processes": count, "bytes_per_connection": done["bytes_per_client"],
           "kernel_slab_per_connection": kernel.bytes_a_connection(args.clients),
           "machine_bytes_per_connection": 1024 * (kernel.before["MemAvailable"] - min(memory.values(), default=kernel.before["MemAvailable"]))
           / args.clients, "received": done["measured_entries"], "broadcast_ms": {"p50": us["p50"] / 1000, "p99": us["p99"] / 1000,
                                                                        "last": us.get("max", us["p999"]) / 1000},
           "live": done["live"]}
    print(f"  {out['live']:,} sockets live on {count} processes, one broadcast received by {out['received']:,}, "
          f"the last after {out['broadcast_ms']['last']:.0f} ms", flush=True)
    return out


def idle_1m_table(f):
    b = f["broadcast_ms"]
    return Table([f"{f['clients']:,} sockets, {f['processes']} processes", ""], [
        ["live at once", f"{f['live']:,}"], ["received the broadcast", f"{f['received']:,}"],
        ["broadcast: half have it after (ms)", number(b["p50"])], ["99 % (ms)", number(b["p99"])], ["the last (ms)", number(b["last"])],
        ["RSS growth of the gateways a connection (B)", number(f["bytes_per_connection"])],
        ["kernel slab a connection, both ends (B)", number(f["kernel_slab_per_connection"])],
        ["everything a connection, client too (B)", number(f["machine_bytes_per_connection"])]])


def idle_1m_charts(f):
    b = f["broadcast_ms"]
    return [Bars(f"One broadcast to {f['clients']:,} sockets: time until", "ms",
                 [Bar("half have it", b["p50"]), Bar("99 % have it", b["p99"]), Bar("the last has it", b["last"])]),
            Bars("Memory a connection", "B", [Bar("gateways, RSS growth", f["bytes_per_connection"]),
                                              Bar("kernel slab, both ends", f["kernel_slab_per_connection"], colour=7),
                                              Bar("everything, client too", f["machine_bytes_per_connection"], colour=7)])]


PLAIN = idle_charts((1800, "target, one account: 1,800"), (2300, "target, an account each: 2,300"))

SCENARIOS = [
    Scenario("idle", idle, 10000, "1 min", idle_table, PLAIN, short_clients=1000),
    Scenario("idle-100k", idle, 100000, "4 min", idle_table, PLAIN, short_clients=20000),
    Scenario("idle-1m", idle_1m, 1000000, "8 min", idle_1m_table, idle_1m_charts, short_clients=40000),
    Scenario("idle-dialects", idle_dialects, 15000, "4 min", charts=idle_dialects_charts, short_clients=1000),
    Scenario("tls-idle", tls_idle, 10000, "2 min", idle_table, idle_charts((26 * 1024, "target 26 KiB")), short_clients=500),
]
