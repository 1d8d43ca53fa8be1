# SPDX-License-Identifier: Apache-2.0
"""A gateway that dies under its clients, and half of the clients that are cut at once: how long until they are current again.
That they are, each client checks itself: versions, values and digests, and that nobody is behind at the end."""

import contextlib
import time

from parts import Fleet, free_port, gateway, gauge, kafka, on_broker, processes_for, start_swarm, summary
from report.plot import Bar, Bars
from report.table import Table, number

from .scenario import Scenario, short

ENOUGH = 0.99
CONNECT_PER_S = 4000


def feed_args(args, seconds):
    return ["--clients", args.clients, "--accounts", max(1, args.clients // 10), "--rate", 200, "--seconds", seconds,
            "--connect-per-s", CONNECT_PER_S, "--timeout-s", 240]


def fleet_at_ports(args, k):
    """At ports of their own, so that they come back where their clients look for them."""
    count = max(2, processes_for(args.clients))
    return Fleet([lambda: gateway(**on_broker(k), BGW_LISTEN=f"127.0.0.1:{free_port()}")] * count)


def subscribed(fleet):
    total = 0
    for g in fleet.members:
        with contextlib.suppress(OSError):  # it may be too busy to answer at this moment
            total += gauge(g, "bgw_subscriptions")
    return total


def killed(args, k, prefix):
    with fleet_at_ports(args, k) as fleet:
        with start_swarm(fleet, False, *feed_args(args, short(args, 40, 12)), "--prefix", prefix) as s:
            if not s.wait_phase("feed", 120):
                raise SystemExit(f"the clients were never live: {s.result(wrong_ok=True)}")
            time.sleep(short(args, 5, 1))
            began = time.monotonic()
            for g in fleet.members:
                g.kill()
            for g in fleet.members:
                g.start()
            ready_s = time.monotonic() - began
            while subscribed(fleet) < ENOUGH * args.clients:
                if time.monotonic() - began > 120:
                    raise SystemExit(f"after two minutes {subscribed(fleet):.0f} of {args.clients} are back")
                time.sleep(0.05)
            back_s = time.monotonic() - began
            done = s.result()
    return {"ready_s": ready_s, "back_s": back_s, "lost": done["lost"], "refused": done["refused"], "snapshots": done["snapshots"],
            "missed": done.get("missed", 0)}


def cut(args, k, prefix):
    with fleet_at_ports(args, k) as fleet:
        with start_swarm(fleet, False, *feed_args(args, short(args, 20, 6)), "--storm-percent", 50, "--storm-at-s", short(args, 5, 2),
                         "--prefix", prefix) as s:
            done = s.result()
    return {"cut": done["storm"]["cut"], "back_s": done["storm"]["back_ms"] / 1000}


def storm(args):
    """Two gateways with 20,000 clients on a real Kafka, killed (kill -9) and started again at the same ports: time until 99 % of
    the clients are subscribed and current again, from the kill; and the same after half of the clients were cut at once."""
    kills, cuts = [], []
    with kafka() as k:
        for i in range(args.pairs):
            kills.append(killed(args, k, f"st{i:03d}:"))
            print(f"  run {i + 1}: gateways ready again after {kills[-1]['ready_s']:.2f} s, 99 % back after {kills[-1]['back_s']:.2f} s, "
                  f"{kills[-1]['lost']} connections lost", flush=True)
            cuts.append(cut(args, k, f"sc{i:03d}:"))
            print(f"  run {i + 1}: {cuts[-1]['cut']} clients cut, all back after {cuts[-1]['back_s']:.2f} s", flush=True)
    return {"clients": args.clients, "connect_per_s": CONNECT_PER_S, "killed": kills, "half_cut": cuts,
            "ready_s": summary([r["ready_s"] for r in kills]), "killed_back_s": summary([r["back_s"] for r in kills]),
            "cut_back_s": summary([r["back_s"] for r in cuts])}


def rows(f):
    return [("killed: gateways ready again", f["ready_s"], 7), ("killed: 99 % of clients current", f["killed_back_s"], 0),
            ("half of the clients cut: all current", f["cut_back_s"], 1)]


def table(f):
    return Table([f"{f['clients']:,} clients (s)", "median", "least", "most"],
                 [[name, number(s["median"]), number(s["min"]), number(s["max"])] for name, s, _ in rows(f)])


def charts(f):
    return [Bars(f"{f['clients']:,} clients, time until", "s", [Bar.of(*row) for row in rows(f)], marks=[(10, "target 10")])]


SCENARIOS = [Scenario("storm", storm, 20000, "6 min", table, charts, needs=("kafka",), pairs=3, short_clients=2000)]
