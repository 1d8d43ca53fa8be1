# SPDX-License-Identifier: Apache-2.0
"""What a client's arrival costs the server: accept, upgrade, token, hello, subscribe, snapshot; and TLS handshakes alone."""

import re
import subprocess

from parts import X25519, Certificate, baseline, broker, cpu_s, gateway, on_broker, ratios, summary, swarm
from report.plot import Bar, Bars
from report.table import Table, number

from .scenario import Scenario, short


def tls_env(c):
    return dict(BGW_TLS_CERT=c.cert, BGW_TLS_KEY=c.key, BGW_TLS_GROUPS=X25519)


def tls_args(c):
    return ("--cert", c.cert, "--key", c.key, "--groups", X25519)


def accept(args):
    """CPU of the server for a client that connects, upgrades, says hello and subscribes, against the bare server's
    accept and 101; plain and through TLS."""
    c, out = Certificate(), {}
    for name, env, server, more in (("plain", {}, (), []), ("tls", tls_env(c), tls_args(c), ["--tls"])):
        ours, raw = [], []
        for i in range(args.pairs):
            common = ["--clients", args.clients, "--messages", 0, "--timeout-s", 240, "--connect-per-s", 1000, *more]
            with baseline(*server) as b:
                raw.append(swarm(b, True, *common)["connect_cpu_us"])
            with broker() as k, gateway(**on_broker(k), **env) as g:
                ours.append(swarm(g, False, *common)["connect_cpu_us"])
            print(f"  {name}, pair {i + 1}: bgw {ours[-1]:.1f} us, raw {raw[-1]:.1f} us", flush=True)
        out[name] = {"bgw_us": summary(ours), "raw_us": summary(raw), "bgw_over_raw": ratios(ours, raw)}
    return {**out, "clients": args.clients}


def accept_table(f):
    rows = [[f"{kind}, {what}", number(s["median"]), number(s["min"]), number(s["max"])]
            for kind in ("plain", "tls") for what, s in (("bgw (µs)", f[kind]["bgw_us"]), ("bare server (µs)", f[kind]["raw_us"]),
                                                         ("bgw / bare", f[kind]["bgw_over_raw"]))]
    return Table(["CPU an arrival", "median", "least", "most"], rows)


def accept_charts(f):
    bars = [Bar.of(f"{kind}, {who}", f[kind][key], colour) for kind in ("plain", "tls")
            for who, key, colour in (("bgw", "bgw_us", 0), ("bare server", "raw_us", 7))]
    return [Bars("CPU of the server an arrival", "µs", bars),
            Bars("bgw / bare server (less is better)", "", [Bar.of(kind, f[kind]["bgw_over_raw"]) for kind in ("plain", "tls")],
                 marks=[(1.6, "target 1.6")])]


def s_time(address, seconds):
    """Full handshakes that `openssl s_time` counts."""
    done = subprocess.run(["openssl", "s_time", "-connect", address, "-new", "-time", str(seconds)],
                          capture_output=True, text=True)
    rows = re.search(r"(\d+) connections in ([\d.]+) real seconds", done.stdout)
    if not rows:
        raise SystemExit(f"s_time said: {done.stdout[-500:]} {done.stderr[-500:]}")
    return int(rows.group(1))


def handshakes(args):
    """Full TLS 1.3 handshakes a second and core, asked for by `openssl s_time`: handshakes / the server's CPU seconds,
    against the bare TLS server in the same run."""
    c, out = Certificate(), {"bgw": [], "raw": []}
    for i in range(args.pairs):
        for name, make in (("raw", lambda: baseline(*tls_args(c))), ("bgw", lambda: gateway(**tls_env(c)))):
            with make() as server:
                before = cpu_s(server.proc.pid)
                count = s_time(server.info["listen"], short(args, 5, 2))
                out[name].append(count / (cpu_s(server.proc.pid) - before))
        print(f"  pair {i + 1}: raw {out['raw'][-1]:.0f}/s, bgw {out['bgw'][-1]:.0f}/s a core", flush=True)
    return {"per_core_second": {k: summary(v) for k, v in out.items()}, "ratio": ratios(out["bgw"], out["raw"])}


def handshakes_charts(f):
    return [Bars("Full handshakes a CPU second (more is better)", "",
                 [Bar.of("bgw", f["per_core_second"]["bgw"]), Bar.of("bare TLS server", f["per_core_second"]["raw"], 7)],
                 marks=[(1900, "target 1,900")])]


SCENARIOS = [
    Scenario("accept", accept, 5000, "4 min", accept_table, accept_charts, short_clients=500),
    Scenario("handshakes", handshakes, 1, "2 min", charts=handshakes_charts),
]
