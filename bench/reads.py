# SPDX-License-Identifier: Apache-2.0
"""Scenarios of reads over REST: the estate's own load, how far hot reads go, what the cache spares the origin,
and many sockets that ask for one cold account at one moment. Called by bench/run."""

import contextlib
import json
import pathlib
import subprocess

from parts import Origin, Redis, cpu_s, gateway, ledger_that_says_so, read_load, reader_env, summary, swarm, switch, token, tool, wait_channel

ESTATE = {"requests_s": 10737, "p99_ms": 47, "failed_percent": 0}  # what the estate's own k6 run is said to have given
PROMISED = "60-90 %"  # of database calls that its cache is to spare
SOCKETS_MAX = 17000  # of one process, where a table holds 20,000 descriptors


def percent(part, whole):
    return 100 * part / whole if whole else 0.0


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

def threads_of(pid):
    """{name: (CPU seconds, switches)} of a process's threads, by name: what costs, where no profiler is at hand."""
    out = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        status = (task / "status").read_text().split("\n")
        switches = sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)
        cpu, before = int((task / "schedstat").read_text().split()[0]) / 1e9, out.get(name, (0, 0))
        out[name] = (before[0] + cpu, before[1] + switches)
    return out


def user_system(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) / 100, int(fields[12]) / 100


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
    short = args.short
    steps = [(500, 2 if short else 10), (3000, 6 if short else 40), (500, 2 if short else 10)]
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
    total = 3000 if args.short else args.clients
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


SCENARIOS = {"reads": (reads, 64), "reads-most": (reads_most, 64), "spike": (spike, 256), "cold": (cold, 50000)}
