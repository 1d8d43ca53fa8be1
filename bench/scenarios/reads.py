# SPDX-License-Identifier: Apache-2.0
"""Scenarios of reads over REST: the estate's own load, how far hot reads go, what the cache spares the origin,
a mixture of both, and many sockets that ask for one cold account at one moment."""

import contextlib
import json
import re
import subprocess

from parts import (Origin, Redis, broker, cpu_s, gateway, ledger_that_says_so, micros, on_broker, percent, read_load, reader_env, summary,
                   swarm, switch, threads_of, token, tool, user_system, wait_channel)
from report.plot import Bar, Bars, Line, Lines
from report.table import Table, number

from .fanout import SELDOM_ASKED
from .scenario import Scenario, short

ESTATE = {"requests_s": 10737, "p99_ms": 47, "failed_percent": 0}  # what the estate's own k6 run is said to have given
PROMISED = "60-90 %"  # of database calls that its cache is to spare
SOCKETS_MAX = 17000  # of one process, where a table holds 20,000 descriptors


def row(step):
    us = step["latency_us"]
    tried = step["asked"] + step["failures"]["unsent"]
    return {"rate": step["rate"], "requests_s": step["requests_s"], "p50_ms": us["p50"] / 1000, "p99_ms": us["p99"] / 1000,
            "p999_ms": us["p999"] / 1000, "max_ms": us["max"] / 1000, "failed": step["failed"], "failed_percent": percent(step["failed"], tried),
            "failures": step["failures"], "refusal": step["refusal"], "cache": step["cache"], "source": step["source"], "server_cpu_us": step["server_cpu_us"],
            "client_cpu_us": step["client_cpu_us"]}


def print_row(name, r):
    print(f"  {name:<22} {r['requests_s']:>9.0f}/s  p50 {r['p50_ms']:>7.2f} ms  p99 {r['p99_ms']:>7.2f} ms  p99.9 {r['p999_ms']:>7.2f} ms"
          f"  failed {r['failed_percent']:.2f} %" + (f" {({k: v for k, v in r['failures'].items() if v})} {r['refusal']}" if r["failed"] else ""), flush=True)


# ---- reads ----

def reads(args):
    """The estate's k6 shape, 2,000 -> 5,000 -> 10,000 requests/s over 180 s in open loop: one hot key, then 10,000 keys.
    A real Redis, an origin whose values change each second, and a ledger that says so of ten accounts a second."""
    seconds, out = (5 if args.short else 60), {"estate": ESTATE}
    steps = [(rate, seconds) for rate in (2000, 5000, 10000)]
    for name, keys in (("one hot key", 1), ("10,000 keys", 10000)):
        with Redis() as redis, Origin() as origin, gateway(shards=2, **reader_env(redis, origin)) as g:
            wait_channel(g)
            with ledger_that_says_so(redis, keys, 10):
                done = read_load(g, steps, "--spread", "uniform", "--keys", keys, "--connections", args.clients, "--period-ms", origin.period_ms)
            rows = [row(step) for step in done]
            out[name] = {"steps": rows, "origin_calls": origin.calls()}
        for r in rows:
            print_row(f"{name}, {r['rate']}/s", r)
        print(f"  {name}: {out[name]['origin_calls']} origin calls for {sum(s['ok'] for s in done)} answers, sources {rows[-1]['source']}")
    print(f"  {'the estate, by k6':<22} {ESTATE['requests_s']:>9}/s  p99 {ESTATE['p99_ms']} ms, failed {ESTATE['failed_percent']} %")
    return out | {"seconds_a_step": seconds, "connections": args.clients}


# ---- reads-most ----

def reads_most(args):
    """How far hot reads go in closed loop, client and gateway on the same cores: balances that the stream brought, one key
    and 100. Beside each figure where the gateway's CPU went: a request's microseconds by thread, user and system."""
    seconds, out = (3 if args.short else 10), {"asked_for": 100000}
    for name, keys in (("one key", 1), ("100 keys", 100)):
        rows, profile = [], {}
        with gateway(shards=2) as g:
            swarm(g, False, "--clients", 1, "--accounts", keys, "--per-client", keys, "--messages", keys)  # they have values
            for i in range(args.pairs):
                threads, (user, system), cpu = threads_of(g.proc.pid), user_system(g.proc.pid), cpu_s(g.proc.pid)
                step, = read_load(g, [(0, seconds)], "--spread", "uniform", "--keys", keys, "--connections", args.clients)
                if step["failed"]:
                    raise SystemExit(f"failed reads, no figure: {step}")
                rows.append(row(step))
                now, (user_now, system_now) = threads_of(g.proc.pid), user_system(g.proc.pid)
                us = 1e6 / step["ok"]
                profile = {"user_us": (user_now - user) * us, "system_us": (system_now - system) * us,
                           "total_us": (cpu_s(g.proc.pid) - cpu) * us,
                           "threads_us": {k: (v[0] - threads.get(k, (0, 0))[0]) * us for k, v in now.items()},
                           "switches_per_request": sum(v[1] - threads.get(k, (0, 0))[1] for k, v in now.items()) / step["ok"]}
                print_row(f"{name}, run {i + 1}", rows[-1])
        out[name] = {k: summary([r[k] for r in rows]) for k in ("requests_s", "p50_ms", "p99_ms", "server_cpu_us", "client_cpu_us")}
        out[name]["profile_of_last_run"] = profile
        busiest = sorted(profile["threads_us"].items(), key=lambda x: -x[1])[:4]
        print(f"  {name}: a request costs the gateway {profile['total_us']:.2f} us (user {profile['user_us']:.2f}, system {profile['system_us']:.2f}), "
              f"the client {rows[-1]['client_cpu_us']:.2f} us; by thread: " + ", ".join(f"{k} {v:.2f}" for k, v in busiest))
    return out | {"connections": args.clients, "seconds": seconds}


# ---- spike ----

def spike_run(args, cache):
    steps = [(500, short(args, 10, 2)), (3000, short(args, 40, 6)), (500, short(args, 10, 2))]
    with Redis() as redis, Origin(delay_ms=5) as origin, gateway(shards=2, **reader_env(redis, origin, BGW_ORIGIN_CONNECTIONS=48)) as g:
        wait_channel(g)
        switch(g, l1=cache, l2=cache)
        with ledger_that_says_so(redis, 10000, 10):
            done = read_load(g, steps, "--spread", "zipf", "--keys", 10000, "--connections", args.clients, "--period-ms", origin.period_ms)
        answered, failed = sum(s["ok"] for s in done), sum(s["failed"] for s in done)
        return {"origin_calls": origin.calls(), "answers": answered, "failed": failed, "spike": row(done[1])}


def spike(args):
    """Origin calls during a spike of reads (500 -> 3,000 -> 500 a second, Zipf over 10,000 accounts, 5 ms an origin call), with
    the flags l1 and l2 off and on; the origin counts. Coalescing and hedging stay on in both."""
    rows, reductions = {"off": [], "on": []}, []
    for i in range(1 if args.short else min(args.pairs, 3)):
        for name in rows:
            r = spike_run(args, name == "on")
            rows[name].append(r)
            print_row(f"cache {name}, at 3,000/s", r["spike"])
            print(f"    {r['origin_calls']} origin calls for {r['answers']} answers, {r['failed']} failed", flush=True)
        reductions.append(percent(rows["off"][i]["origin_calls"] - rows["on"][i]["origin_calls"], rows["off"][i]["origin_calls"]))
        print(f"  pair {i + 1}: {reductions[-1]:.1f} % fewer origin calls; the estate promises {PROMISED}", flush=True)
    return {"fewer_origin_calls_percent": summary(reductions), "promised": PROMISED, "runs": rows}


# ---- cold ----

def start_cold(server, clients, rate):
    argv = [tool("bgw-swarm", "BGW_SWARM"), "cold", "--url", server.info["listen"], "--token", token(), "--clients", str(clients),
            "--connect-per-s", str(rate), "--timeout-s", "180"]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def end_all(processes):
    for p in processes:
        p.kill()
        p.wait()
        p.stdin.close()
        p.stdout.close()


def cold(args):
    """Sockets that subscribe at one moment to one account that nobody has asked for, with an origin that takes 1 s: how often
    the origin is asked, and when all have their value. A replica for each 17,000, all on one Redis, for a process may be
    capped at 20,000 descriptors."""
    total = args.clients
    replicas = max(2, -(-total // SOCKETS_MAX))
    with contextlib.ExitStack() as stack:
        redis, origin = stack.enter_context(Redis()), stack.enter_context(Origin(delay_ms=1000))
        env = reader_env(redis, origin, BGW_ORIGIN_TIMEOUT_MS=3000, BGW_SWEEP_PER_S=0, BGW_EPOCH="one", BGW_REWIND="beginning")
        gateways = [stack.enter_context(gateway(**env))]
        for _ in range(replicas - 1):
            gateways.append(stack.enter_context(gateway(KAFKA_BOOTSTRAP=gateways[0].info["kafka"], **env)))
        for g in gateways:
            wait_channel(g)
        shares = [total // replicas + (i < total % replicas) for i in range(replicas)]
        swarms = []
        stack.callback(end_all, swarms)
        swarms += [start_cold(g, n, 6000 // replicas) for g, n in zip(gateways, shares)]
        armed = [p.stdout.readline() for p in swarms]
        if sum(json.loads(line or '{"armed":0}')["armed"] for line in armed) != total or origin.calls():
            raise SystemExit(f"not all sockets were greeted, or the origin was asked already: {armed}, {origin.calls()} calls")
        for p in swarms:
            p.stdin.write("\n")
            p.stdin.flush()
        results = [json.loads(p.stdout.readline()) for p in swarms]
        calls = origin.calls()
    if calls != 1 or any(r["wrong"] or not r["completed"] for r in results):
        raise SystemExit(f"{calls} origin calls, no figure: {results}")
    all_ms = max(r["all_ms"] for r in results)
    print(f"  {total} sockets on {replicas} replicas: {calls} origin call, all had the value after {all_ms:.0f} ms "
          f"(asking alone took {max(r['asking_ms'] for r in results):.0f} ms)")
    return {"sockets": total, "replicas": replicas, "origin_calls": calls, "all_ms": all_ms, "swarms": results}


# ---- rest: as wrk sees it ----

WRK_ROWS = {"requests_s": r"Requests/sec:\s+([\d.]+)", "p50": r"50%\s+([\d.]+[mu]?s)", "p99": r"99%\s+([\d.]+[mu]?s)"}


SHAPES = {"a core each": (1, 1), "both on both cores": (2, 2)}  # shards of the gateway, threads of wrk


def wrk(args, g, threads):
    url = f"http://{g.info['listen']}/ledger/accounts/bench:000000/balance"
    done = subprocess.run(["wrk", f"-t{threads}", f"-c{args.clients}", f"-d{short(args, 8, 2)}s", "--latency",
                           "-H", f"Authorization: Bearer {token()}", url], capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout:
        raise SystemExit(f"wrong run, no figure: {done.stdout}")
    found = {k: re.search(v, done.stdout).group(1) for k, v in WRK_ROWS.items()}
    return {"requests_s": float(found["requests_s"]), "p50_us": micros(found["p50"]), "p99_us": micros(found["p99"])}


def rest(args):
    """REST reads of one balance that its shard watches, asked for by wrk on the same two cores (-c64, 8 s a run): requests a
    second and latency, with one shard and one thread of wrk, a core for each, and with two of both, which take turns."""
    rows = {name: [] for name in SHAPES}
    for i in range(args.pairs):
        for name, (shards, threads) in SHAPES.items():
            with broker() as k, gateway(shards=shards, **on_broker(k), **SELDOM_ASKED) as g:
                swarm(g, False, "--clients", 1, "--messages", 1)  # the account has a value
                rows[name].append(wrk(args, g, threads))
            r = rows[name][-1]
            print(f"  run {i + 1}, {name}: {r['requests_s']:,.0f} requests/s, p50 {r['p50_us']:.0f} us, p99 {r['p99_us']:.0f} us", flush=True)
    return {name: {key: summary([r[key] for r in runs]) for key in runs[0]} for name, runs in rows.items()}


# ---- reads-mixed ----

def mixed_run(args, origin_delay_ms):
    """Zipf over 100,000 accounts, a cold start: the first are hot, most of the others are asked for once."""
    seconds = short(args, 30, 3)
    with Redis() as redis, Origin(delay_ms=origin_delay_ms) as origin, \
            gateway(shards=2, **reader_env(redis, origin, BGW_ORIGIN_CONNECTIONS=48)) as g:
        wait_channel(g)
        with ledger_that_says_so(redis, 100000, 10):
            done = read_load(g, [(rate, seconds) for rate in (1000, 2000, 5000)], "--spread", "zipf", "--keys", 100000,
                             "--connections", args.clients, "--period-ms", origin.period_ms)
        return {"steps": [row(step) for step in done], "origin_calls": origin.calls(), "answers": sum(s["ok"] for s in done)}


def reads_mixed(args):
    """Hot and cold reads together (Zipf over 100,000 accounts from a cold start, 5 ms an origin call), 1,000 -> 2,000 -> 5,000
    requests/s in open loop: p50, p99, how many the origin was spared."""
    out = mixed_run(args, 5)
    for r in out["steps"]:
        print_row(f"mixed, {r['rate']}/s", r)
    print(f"  {out['origin_calls']} origin calls for {out['answers']} answers", flush=True)
    return out | {"connections": args.clients}


# ---- tables and plots ----

def series(figures):
    """[(name, steps)] of all that were measured in steps."""
    if "steps" in figures:
        return [("mixed", figures["steps"])]
    return [(name, value["steps"]) for name, value in figures.items() if isinstance(value, dict) and "steps" in value]


def steps_table(figures):
    return Table(["reads", "asked a second", "answered a second", "p50 (ms)", "p99 (ms)", "p99.9 (ms)", "failed (%)"],
                 [[name, f"{r['rate']:,}", number(r["requests_s"]), number(r["p50_ms"]), number(r["p99_ms"]), number(r["p999_ms"]),
                   number(r["failed_percent"])] for name, steps in series(figures) for r in steps])


def steps_charts(figures):
    lines = [Line(f"{name}, {what}", [(r["rate"], r[key]) for r in steps])
             for name, steps in series(figures) for what, key in (("p50", "p50_ms"), ("p99", "p99_ms"))]
    marks = [(figures["estate"]["p99_ms"], "the estate's p99")] if "estate" in figures else []
    return [Lines("Latency of a read from when it was due", "requests a second", "ms", lines, y_log=True, marks=marks)]


def most_charts(figures):
    kinds = [(name, f) for name, f in figures.items() if isinstance(f, dict) and "requests_s" in f]
    return [Bars("Hot reads a second (more is better)", "", [Bar.of(name, f["requests_s"]) for name, f in kinds],
                 marks=[(figures["asked_for"], f"target {figures['asked_for']:,}")]),
            Bars("p99", "ms", [Bar.of(name, f["p99_ms"]) for name, f in kinds], marks=[(5, "target 5")]),
            Bars("CPU a request", "µs", [Bar.of(f"{name}, {who}", f[key], colour) for name, f in kinds
                                         for who, key, colour in (("gateway", "server_cpu_us", 0), ("client", "client_cpu_us", 7))])]


def rest_charts(figures):
    return [Bars("Reads a second, asked for by wrk (more is better)", "", [Bar.of(name, f["requests_s"]) for name, f in figures.items()],
                 marks=[(100000, "target 100,000")]),
            Bars("Latency", "ms", [Bar.of(f"{what}, {name}", {k: v / 1000 for k, v in f[key].items() if k != "n"})
                                   for name, f in figures.items() for what, key in (("p50", "p50_us"), ("p99", "p99_us"))],
                 marks=[(5, "target 5")])]


def spike_table(figures):
    rows = [[f"cache {name}, run {i + 1}", f"{r['origin_calls']:,}", f"{r['answers']:,}", str(r["failed"]), number(r["spike"]["p50_ms"]),
             number(r["spike"]["p99_ms"])] for name, runs in figures["runs"].items() for i, r in enumerate(runs)]
    rows.append(["fewer origin calls (%)", number(figures["fewer_origin_calls_percent"]["median"]), "", "", "", ""])
    return Table(["spike to 3,000 reads a second", "origin calls", "answers", "failed", "p50 (ms)", "p99 (ms)"], rows)


def spike_charts(figures):
    bars = [Bar.of(f"cache {name}", summary([r["origin_calls"] for r in runs]), 7 if name == "off" else 0)
            for name, runs in figures["runs"].items()]
    return [Bars("Origin calls during the spike (less is better)", "", bars)]


def cold_table(figures):
    return Table(["sockets that ask at one moment", "replicas", "origin calls", "all have the value after (ms)"],
                 [[f"{figures['sockets']:,}", str(figures["replicas"]), str(figures["origin_calls"]), number(figures["all_ms"])]])


def cold_charts(figures):
    asking = max(r["asking_ms"] for r in figures["swarms"])
    return [Bars(f"{figures['sockets']:,} sockets ask for one cold account", "ms",
                 [Bar("asking alone", asking, colour=7), Bar("all have the value", figures["all_ms"])], marks=[(1000, "the origin takes 1,000")])]


SCENARIOS = [
    Scenario("reads", reads, 64, "7 min", steps_table, steps_charts),
    Scenario("reads-most", reads_most, 64, "3 min", charts=most_charts),
    Scenario("reads-mixed", reads_mixed, 64, "2 min", steps_table, steps_charts),
    Scenario("rest", rest, 64, "3 min", charts=rest_charts),
    Scenario("spike", spike, 256, "7 min", spike_table, spike_charts, pairs=3),
    Scenario("cold", cold, 50000, "1 min", cold_table, cold_charts, short_clients=3000),
]
