# SPDX-License-Identifier: Apache-2.0
"""Other servers on the same work, by the same load client: NATS, Nchan, mosquitto, a server on Node's ws and Socket.IO
(bench/peers), the bare epoll server, and ours. In turns, A B C … A B C …; each round's ratio is made of that round alone.
A server that cannot do the work, or does it wrongly, is a row that says so. The broker of ours is another process."""

import pathlib
import threading
import time

import peers
from parts import SOCKETS_MAX, baseline, broker, gateway, kafka, on_broker, ratios, summary, swarm
from report.plot import Bar, Bars
from report.table import Table, number

from .fanout import HARVEST, SELDOM_ASKED
from .scenario import Scenario, short

OURS, BARE = "bgw", "bare epoll server"
# ours / theirs, at most: what is asked for
FANOUT = {"nats": 0.7, "nchan": 0.85, "mosquitto": 1 / 3, "socketio": 1 / 5}
IDLE = {"nats": 1 / 25, "nchan": 1 / 5, "socketio": 1 / 10}
BURST_BEST = 0.5
PATIENCE = ["--timeout-s", 900]  # mosquitto takes minutes to greet 10,000 WebSockets


class Board:
    """The rows that the rounds fill: values by server and figure; why a server has none; who each server is."""

    def __init__(self, names):
        self.names, self.values, self.not_done, self.who = list(names), {n: {} for n in names}, {}, {}

    def go(self, rounds, run, tell):
        """`run(name)` -> ({figure: value}, server). A server of others that fails is out; ours may not."""
        for i in range(rounds):
            for name in self.names:
                if name in self.not_done:
                    continue
                try:
                    found = run(name)
                except SystemExit as why:
                    if name == OURS:
                        raise
                    self.not_done[name] = " ".join(str(why).split())[:300]
                    print(f"  round {i + 1}: {name}: {self.not_done[name]}", flush=True)
                    continue
                for figure, value in found.items():
                    self.values[name].setdefault(figure, []).append(value)
                print(f"  round {i + 1}: {name}: {tell(found)}", flush=True)

    def figures(self, ratio_of):
        """Of each server: its figures' summaries, who it is, and ours / theirs round by round."""
        ours, out = self.values[OURS], {}
        for name in self.names:
            row = dict(self.who.get(name, {}))
            if name in self.not_done:
                row["not_done"] = self.not_done[name]
            else:
                row |= {figure: summary(values) for figure, values in self.values[name].items()}
                row["ours_over"] = {f: ratios(ours[f], self.values[name][f]) for f in ratio_of if all(self.values[name][f])}
            out[name] = row
        return out


def all_names():
    return [OURS, *peers.peers(), BARE]


def once(board, name, args, accounts=1, at_phase=lambda server, phase: None):
    """One run of the load client against a fresh server; `at_phase` is called while it stands."""
    args = [*args, *PATIENCE, "--accounts", accounts]
    if name == OURS:
        with broker() as k, gateway(**on_broker(k), **SELDOM_ASKED) as g:
            return swarm(g, False, *args, on_phase=lambda phase: at_phase(g, phase))
    if name == BARE:
        with baseline() as b:
            return swarm(b, True, *args, on_phase=lambda phase: at_phase(b, phase))
    with peers.peers()[name](accounts) as p:
        board.who[name] = {"version": p.version, "settings": p.settings, "has": p.has, "lacks": p.lacks}
        # the last word counts: these take the place of what `raw` says
        return swarm(p, True, *args, "--dialect", p.dialect, "--publish", p.publish, on_phase=lambda phase: at_phase(p, phase))


def result(args, board, ratio_of, **more):
    return {"servers": board.figures(ratio_of), "features": peers.FEATURES, "rounds": args.pairs, "clients": args.clients, **more}


# ---- peers-fanout, peers-burst: CPU ----

def cpu_of(done):
    return {"cpu_ns": done["cpu_ns_per_entry"]}


def tell_cpu(found):
    return f"{found['cpu_ns']:.0f} ns"


def fanout(args):
    """CPU of the server's processes a delivery, one message at a time to every socket, on one account: ours against
    others in the same rounds."""
    board = Board(all_names())
    one = ["--clients", args.clients, "--messages", short(args, 60, 10), *HARVEST]
    board.go(args.pairs, lambda name: cpu_of(once(board, name, one)), tell_cpu)
    return result(args, board, ["cpu_ns"])


def burst(args):
    """CPU of the server's processes an update with sixteen pending for each client, an account each: ours against others
    in the same rounds."""
    board = Board(all_names()[:-1])
    many = ["--clients", args.clients, "--per-client", 16, "--burst", 16, "--messages", short(args, 30, 5), "--linger-ms", 5, *HARVEST]
    board.go(args.pairs, lambda name: cpu_of(once(board, name, many, 16)), tell_cpu)
    return result(args, board, ["cpu_ns"])


# ---- peers-idle: memory ----

def idle(args):
    """Memory (growth of the RSS of all its processes) an idle connection that is subscribed to one account."""
    board = Board(all_names()[:-1])
    still = ["--clients", args.clients, "--messages", 0, "--idle-ms", short(args, 3000, 500)]
    board.go(args.pairs, lambda name: {"bytes": once(board, name, still)["bytes_per_client"]}, lambda f: f"{f['bytes']:.0f} B")
    return result(args, board, ["bytes"])


# ---- peers-latency ----

def latency(args):
    """From the moment a record is due to the client that has it, at an equal rate: 500 records a second over 100 accounts,
    each watched by a hundredth of the clients. Ours reads a real Kafka; the others are published to directly."""
    board = Board(all_names()[:-1])
    steady = ["--clients", args.clients, "--rate", 500, "--seconds", short(args, 20, 3)]
    turn = iter(range(args.pairs + 1))

    def ours(k):  # one Kafka for all rounds, and so a prefix a round: versions begin at 1 again
        with gateway(**on_broker(k)) as g:
            return swarm(g, False, *steady, *PATIENCE, "--accounts", 100, "--prefix", f"rt{next(turn):03d}:")

    with kafka() as k:
        ours(k)  # a Java program that has just begun is slow
        def run(name):
            done = ours(k) if name == OURS else once(board, name, steady, 100)
            commit = {"commit_p99_us": done["commit_us"]["p99"]} if name == OURS else {}
            us = done["latency_us"]
            return {"p50_us": us["p50"], "p99_us": us["p99"], "cpu_ns": done["cpu_ns_per_entry"], **commit}
        board.go(args.pairs, run, lambda f: f"p50 {f['p50_us']:.0f} us, p99 {f['p99_us']:.0f} us, CPU {f['cpu_ns']:.0f} ns")
    return result(args, board, ["p50_us", "p99_us", "cpu_ns"], records_per_s=500, accounts=100)


# ---- peers-slow ----

def connected(server):
    """How many connections the server itself still holds: those that it cut are not among them, whether or not the other
    side has noticed."""
    port = f":{int(server.urls[0].rsplit(':', 1)[1]):04X}"
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(r[1].endswith(port) and r[3] == "01" for r in rows)


def grown(done):
    return done["server_rss_peak_kib"] - done["rss_live_kib"]


class Held:
    """How many connections the server holds while the records come: at first, and a second before they end."""

    def __init__(self):
        self.looks, self.until, self.ended = [], None, threading.Event()

    def at_phase(self, server, phase):
        if phase == "feed":
            self.look(server)
            threading.Thread(target=self.go, args=(server,), daemon=True).start()
        elif phase == "settle":
            self.until = time.monotonic() - 1
            self.ended.set()

    def look(self, server):
        self.looks.append((time.monotonic(), connected(server)))

    def go(self, server):
        while not self.ended.wait(0.3):
            self.look(server)

    @property
    def cut(self):
        return self.looks[0][1] - [n for at, n in self.looks if not self.until or at <= self.until or at == self.looks[0][0]][-1]


def slow(args):
    """A tenth of the clients stop reading: the others' p99 with them and without, how much more memory the server comes to
    hold for each, and how many of them it cuts. One account, 600 records a second to every client: in 45 s more than the
    kernel keeps for a socket."""
    board = Board(all_names()[:-1])
    steady = ["--clients", args.clients, "--rate", 600, "--seconds", short(args, 45, 4)]

    def run(name):
        held = Held()
        without = once(board, name, steady)
        stalled = once(board, name, [*steady, "--slow-percent", 10, "--slow-bytes-per-s", 0], 1, held.at_phase)
        count = max(1, stalled["slow"]["clients"])
        more = 1024 * (grown(stalled) - grown(without))
        p99, p99_without = stalled["latency_us"]["p99"], without["latency_us"]["p99"]
        return {"p99_us_without": p99_without, "p99_us": p99, "p99_with_over_without": p99 / max(1, p99_without),
                "bytes_a_stalled_client": more / count, "stalled": stalled["slow"]["clients"],
                "cut": held.cut}
    board.go(args.pairs, run, lambda f: f"others' p99 {f['p99_us_without']:.0f} -> {f['p99_us']:.0f} us, "
             f"{f['bytes_a_stalled_client'] / 1024:.0f} KiB more a stalled client, {f['cut']} of {f['stalled']} cut")
    return result(args, board, [], records_per_s=600)


# ---- tables and plots ----

def lacks_of(row):
    return ", ".join(row.get("lacks", [])) or "-"


def table_of(columns, ratio=None, targets=None):
    """columns: [(head, figure, divisor)]; ratio: the figure whose ours / theirs is shown beside its target."""
    def table(f):
        heads = [f"{f['clients']:,} clients, {f['rounds']} rounds", *(c[0] for c in columns)]
        heads += ["ours / theirs", "least", "most", "asked for"] if ratio else []
        rows = []
        for name, row in f["servers"].items():
            if "not_done" in row:
                cells = ["n/a"] * (len(heads) - 1)
            else:
                cells = [number(row[figure]["median"] / by) if figure in row else "-" for _, figure, by in columns]
                if ratio:
                    r, asked = row["ours_over"].get(ratio), (targets or {}).get(name)
                    cells += [number(r[k]) if r and name != OURS else "-" for k in ("median", "min", "max")]
                    cells.append(f"≤ {asked:.2f}" if asked else "-")
            rows.append([f"{name} {row.get('version', '')}".strip(), *cells, lacks_of(row)])
        rows += [[f"{name}: {row['not_done']}", *[""] * len(heads)] for name, row in f["servers"].items() if "not_done" in row]
        return Table([*heads, "lacks"], rows)
    return table


def bars(f, figure, divisor=1):
    for i, (name, row) in enumerate(f["servers"].items()):
        if figure in row:
            scaled = {k: row[figure][k] / divisor for k in ("min", "median", "max")}
            yield Bar.of(name, scaled, 7 if name == BARE else 0 if name == OURS else 1 + i % 5)


def charts_of(title, unit, figure, divisor=1, log=False, marks=()):
    def charts(f):
        out = [Bars(title, unit, list(bars(f, figure, divisor)), log=log)]
        over = [(name, row["ours_over"][figure]) for name, row in f["servers"].items() if name != OURS and figure in row.get("ours_over", {})]
        if over:
            out.append(Bars("Ours / theirs, round by round (less is better)", "", [Bar.of(name, s) for name, s in over],
                            marks=[*marks, (1.0, "as much")], log=log))
        return out
    return charts


def latency_charts(f):
    return [Bars("p50", "µs", list(bars(f, "p50_us")), log=True), Bars("p99", "µs", list(bars(f, "p99_us")), log=True),
            Bars("CPU of the server a delivery", "ns", list(bars(f, "cpu_ns")))]


def slow_charts(f):
    return [Bars("The others' p99 with a tenth stalled / without", "", list(bars(f, "p99_with_over_without")), marks=[(1.05, "target 1.05")]),
            Bars("Memory a client that stopped reading", "KiB", list(bars(f, "bytes_a_stalled_client", 1024)), marks=[(64, "target 64")])]


CPU = [("CPU (ns)", "cpu_ns", 1)]
MAX = min(10000, SOCKETS_MAX)

SCENARIOS = [
    Scenario("peers-fanout", fanout, MAX, "15 min", table_of(CPU, "cpu_ns", FANOUT), charts_of("CPU a delivery", "ns", "cpu_ns"),
             needs=("tools",), short_clients=500),
    Scenario("peers-burst", burst, MAX, "20 min", table_of(CPU, "cpu_ns", {n: BURST_BEST for n in ("nats", "nchan", "mosquitto", "ws", "socketio")}),
             charts_of("CPU an update, sixteen pending", "ns", "cpu_ns", marks=[(BURST_BEST, "target 0.5")]), needs=("tools",), short_clients=500),
    Scenario("peers-idle", idle, MAX, "3 min", table_of([("B a connection", "bytes", 1)], "bytes", IDLE),
             charts_of("Memory an idle connection", "B", "bytes", log=True), needs=("tools",), pairs=3, short_clients=500),
    Scenario("peers-latency", latency, 1000, "5 min", table_of([("p50 (µs)", "p50_us", 1), ("p99 (µs)", "p99_us", 1), ("p99 from commit (µs)", "commit_p99_us", 1),
                                                                ("CPU (ns)", "cpu_ns", 1)]),
             latency_charts, needs=("tools", "kafka"), pairs=3, short_clients=200),
    Scenario("peers-slow", slow, 40, "20 min", table_of([("others' p99 (µs)", "p99_us", 1), ("without (µs)", "p99_us_without", 1),
                                                          ("with / without", "p99_with_over_without", 1),
                                                          ("KiB more a stalled client", "bytes_a_stalled_client", 1024),
                                                          ("stalled", "stalled", 1), ("cut", "cut", 1)]),
             slow_charts, needs=("tools",), pairs=2, short_clients=40),
]
