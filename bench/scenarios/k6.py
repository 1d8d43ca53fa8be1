# SPDX-License-Identifier: Apache-2.0
"""Runs the scripts of bench/k6 against a gateway of its own. k6 is not among the packages: BGW_K6 names it, or it is on
PATH. The thresholds of a script are part of its result."""

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from parts import Origin, Redis, gateway, ledger_that_says_so, reader_env, token, tool, wait_channel
from report.plot import Bar, Bars
from report.table import Table, number

from .scenario import Scenario

SCRIPTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "k6")
TRENDS = ("http_req_duration", "bgw_live_ms", "bgw_commit_to_client_ms")


def run(script, seconds, **env):
    """k6's own summary; a threshold that was crossed is part of it."""
    binary = shutil.which(tool("k6", "BGW_K6"))
    if not binary:
        raise SystemExit("no k6: `go install go.k6.io/k6@v1.8.1`, then BGW_K6=…/k6")
    with tempfile.TemporaryDirectory() as folder:
        summary = os.path.join(folder, "summary.json")
        argv = [binary, "run", "--quiet", "--no-usage-report", "--summary-export", summary]
        for name, value in env.items():
            argv += ["-e", f"{name}={value}"]
        done = subprocess.run([*argv, os.path.join(SCRIPTS, script)], capture_output=True, text=True, timeout=seconds + 120)
        if done.returncode not in (0, 99):
            raise SystemExit(f"k6 ended with {done.returncode}: {done.stderr[-2000:]}")
        with open(summary, encoding="utf-8") as f:
            metrics = json.load(f)["metrics"]
    crossed = [f"{name} {text}" for name, m in metrics.items() for text, bad in m.get("thresholds", {}).items() if bad]
    return {"crossed": crossed, "metrics": metrics}


def show(name, result):
    m = result["metrics"]
    times = ", ".join(f"{k} p50 {m[k]['med']:.2f} p99 {m[k]['p(99)']:.2f} ms" for k in TRENDS if k in m)
    rate = f"{m['http_reqs']['rate']:.0f} requests/s, {m['http_req_failed']['value'] * 100:.2f} % failed, " if "http_reqs" in m else ""
    sockets = f"{m['bgw_live']['count']} sockets, {m['bgw_updates']['count']} updates, " if "bgw_live" in m else ""
    print(f"  {name}: {rate}{sockets}{times}; checks {m['checks']['passes']} good, {m['checks']['fails']} bad; "
          f"thresholds crossed: {', '.join(result['crossed']) or 'none'}", flush=True)


def wait_value(server, account):
    """Until the stream has brought it: a subscriber is to find a value."""
    request = urllib.request.Request(f"http://{server.info['listen']}/ledger/accounts/{account}/balance", headers={"Authorization": f"Bearer {token()}"})
    deadline = time.monotonic() + 10
    while True:
        try:
            urllib.request.urlopen(request, timeout=10).close()
            return
        except urllib.error.HTTPError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def k6(args):
    """The scripts for people who use k6, once each: reads.js with one hot key and with 10,000, sockets.js on 100 accounts
    that change 100 times a second. k6 shares the cores, and needs more of them than what it loads."""
    out = {}
    stages, seconds = ("500:5", 5) if args.short else ("2000:60,5000:60,10000:60", 180)
    for name, keys in (("reads.js, one key", 1), ("reads.js, 10,000 keys", 10000)):
        with Redis() as redis, Origin() as origin, gateway(shards=2, **reader_env(redis, origin)) as g:
            wait_channel(g)
            with ledger_that_says_so(redis, keys, 10):
                out[name] = run("reads.js", seconds, BGW_URL=f"http://{g.info['listen']}", BGW_TOKEN=token(), BGW_KEYS=keys, BGW_STAGES=stages)
            show(name, out[name])
    hold, ramp = (5, 2) if args.short else (15, 5)
    with gateway(shards=2) as g:
        feed = subprocess.Popen([tool("bgw-swarm", "BGW_SWARM"), "--url", g.info["listen"], "--kafka", g.info["kafka"], "--token", token(),
                                 "--clients", "1", "--accounts", "100", "--per-client", "100", "--messages", str((hold + ramp + 5) * 100),
                                 "--rate", "100"], stdout=subprocess.DEVNULL)
        try:
            wait_value(g, "bench:000099")
            out["sockets.js"] = run("sockets.js", hold + ramp, BGW_URL=f"ws://{g.info['listen']}/ws", BGW_TOKEN=token(), BGW_KEYS=100,
                                    BGW_SOCKETS=args.clients, BGW_RAMP_S=ramp, BGW_HOLD_S=hold, BGW_MOVING=1)
        finally:
            feed.kill()
            feed.wait()
    show("sockets.js", out["sockets.js"])
    return out


def trends(figures):
    """[(script, trend, k6's numbers)] of those that have them."""
    return [(name, trend, run["metrics"][trend]) for name, run in figures.items() if isinstance(run, dict) and "metrics" in run
            for trend in TRENDS if trend in run["metrics"]]


def table(figures):
    rows = [[f"{name}, {trend}", number(m["med"]), number(m["p(99)"]),
             f"{figures[name]['metrics']['checks']['passes']:,} / {figures[name]['metrics']['checks']['fails']:,}",
             ", ".join(figures[name]["crossed"]) or "none"] for name, trend, m in trends(figures)]
    return Table(["k6 (ms)", "p50", "p99", "checks good / bad", "thresholds crossed"], rows)


def charts(figures):
    bars = [Bar(f"{name}, {trend}, {what}", m[key], colour=colour) for name, trend, m in trends(figures)
            for what, key, colour in (("p50", "med", 0), ("p99", "p(99)", 1))]
    return [Bars("Latency as k6 saw it, on the cores that it loads itself", "ms", bars, log=True)]


SCENARIOS = [Scenario("k6", k6, 500, "7 min", table, charts, short_clients=50)]
