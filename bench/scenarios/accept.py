# SPDX-License-Identifier: Apache-2.0
"""What a client's arrival costs the server: accept, upgrade, token, hello, then subscribe and snapshot; and TLS handshakes
alone. Against a bare server that answers the same client: the upgrade with a hello, a subscription with what is ready-made."""

import re
import subprocess
import time

from parts import X25519, Certificate, baseline, broker, cpu_s, gateway, on_broker, ratios, start_swarm, summary, token
from report.plot import Bar, Bars
from report.table import Table, number

from .fanout import SELDOM_ASKED
from .scenario import Scenario, short

SETTLE_S = 1  # what a server does after it has begun is no part of an idle window
GREETED = ("--greet-only",)
KINDS = {  # what the client asks for, the gateway's settings, through TLS, arrivals a second
    "greeted": (GREETED, {}, False, 2000),
    "greeted, no token cache": (GREETED, {"BGW_TOKEN_CACHE": 0}, False, 2000),
    "live": ((), {}, False, 2000),
    "live, TLS": ((), {}, True, 1000),  # the client's half of a handshake needs these two cores too
}
FIGURES = ("bgw_us", "raw_us", "bgw_over_raw")


def tls_env(c):
    return dict(BGW_TLS_CERT=c.cert, BGW_TLS_KEY=c.key, BGW_TLS_GROUPS=X25519)


def tls_args(c):
    return ("--cert", c.cert, "--key", c.key, "--groups", X25519)


# ---- accept ----

def idle_cores(server, seconds):
    """CPU seconds a second of a server that nobody has come to."""
    before, began = cpu_s(server.proc.pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_s(server.proc.pid) - before) / (time.monotonic() - began)


def without_idle(whole_us, cores, seconds, clients):
    """The CPU an arrival less what the server would have used in the same seconds without any."""
    return whole_us - cores * seconds * 1e6 / clients


def arrival(args, server, raw, per_s, asked):
    """(CPU an arrival without the idle process's, with it) in microseconds. The bare server is spoken to as the gateway is:
    the native dialect, a token of the same length."""
    spoken = ("--dialect", "native", "--token", token()) if raw else ()
    time.sleep(SETTLE_S)
    cores = idle_cores(server, args.clients / per_s)
    with start_swarm(server, raw, "--clients", args.clients, "--messages", 0, "--connect-per-s", per_s, "--timeout-s", 240,
                     *spoken, *asked) as s:
        whole_us = s.result()["connect_cpu_us"]
    return without_idle(whole_us, cores, s.phases["live"] - s.phases["connect"], args.clients), whole_us


def arrivals(args, kind, c):
    """One pair: the bare server's two figures, the gateway's two."""
    asked, env, tls, per_s = KINDS[kind]
    asked = (*asked, "--tls") if tls else asked
    with baseline("--dialogue", *(tls_args(c) if tls else ())) as b:
        raw = arrival(args, b, True, per_s, asked)
    with broker() as k, gateway(**on_broker(k), **SELDOM_ASKED, **env, **(tls_env(c) if tls else {})) as g:
        ours = arrival(args, g, False, per_s, asked)
    return raw, ours


def figures_of(raw, ours):
    return dict(zip(FIGURES, (summary(ours), summary(raw), ratios(ours, raw))))


def accept(args):
    """CPU of the server for a client that connects, upgrades with a token and is greeted (what the target of 1.6 is about),
    the same with every token verified anew, as if each client had one of its own (BGW_TOKEN_CACHE=0), and for a whole arrival
    with subscription, snapshot and live, plain and through TLS; against a bare server that answers the same client with as many
    messages, ready-made. What a process uses while it is idle (threads of the Kafka client, timers) is measured in a window of
    the arrivals' length right before them and subtracted, for both servers alike; figures with it stand beside."""
    c, out = Certificate(), {}
    for kind in KINDS:
        pairs = []
        for i in range(args.pairs):
            pairs.append(arrivals(args, kind, c))
            (raw, raw_whole), (ours, ours_whole) = pairs[-1]
            print(f"  {kind}, pair {i + 1}: bgw {ours:.1f} us ({ours_whole:.1f} with idle threads), raw {raw:.1f} us ({raw_whole:.1f}), "
                  f"ratio {ours / raw:.2f} ({ours_whole / raw_whole:.2f})", flush=True)
        net, whole = (figures_of([raw[n] for raw, _ in pairs], [ours[n] for _, ours in pairs]) for n in (0, 1))
        out[kind] = net | {"with_idle": whole, "connect_per_s": KINDS[kind][3]}
    return {"arrivals": out, "clients": args.clients, "pairs": args.pairs}


def accept_table(f):
    names = list(zip(FIGURES, ("bgw (µs)", "bare server (µs)", "bgw / bare")))
    rows = [[f"{kind}, {what}", *(number(one[key][n]) for n in ("median", "min", "max")), number(one["with_idle"][key]["median"])]
            for kind, one in f["arrivals"].items() for key, what in names]
    return Table([f"CPU an arrival, {f['clients']:,} clients", "median", "least", "most", "median with idle threads"], rows)


def accept_charts(f):
    rows = f["arrivals"].items()
    ratio = [Bar.of(kind, one["bgw_over_raw"]) for kind, one in rows]
    ratio += [Bar.of(f"{kind}, with idle threads", one["with_idle"]["bgw_over_raw"], 7) for kind, one in rows]
    bars = [Bar.of(f"{kind}, {who}", one[key], colour) for kind, one in rows
            for who, key, colour in (("bgw", "bgw_us", 0), ("bare server", "raw_us", 7))]
    return [Bars("bgw / bare server, pair by pair (less is better)", "", ratio, marks=[(1.6, "target 1.6, greeted")]),
            Bars("CPU of the server an arrival", "µs", bars)]


# ---- handshakes ----

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
    Scenario("accept", accept, 10000, "11 min", accept_table, accept_charts, pairs=5, short_clients=500),
    Scenario("handshakes", handshakes, 1, "2 min", charts=handshakes_charts),
]
