# SPDX-License-Identifier: Apache-2.0
"""How many records the hub's thread takes in a second of its own CPU. The topic is full before it is read and nobody
writes meanwhile. With nobody watching, a gateway starts on the full topic. With watchers, it must be ready before they
are let in: it starts on an empty topic, stands still (SIGSTOP) while the topic is filled, and goes on."""

import contextlib
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

from parts import Server, clean_env, free_port, gateway, kafka, metrics, on_broker, summary, threads_of, token, tool
from report.plot import Bar, Bars
from report.table import Table, number

from .scenario import Scenario, short

ACCOUNTS = 100000
PARTITIONS = 4
RECORDS = 3000000
WATCHED_EVERY = 100  # one account in so many: 1 %
ACCOUNTS_PER_CLIENT = 100
FROM, TO = 0.1, 0.9  # of the records: the share that is measured
LOOK_S = 0.02
ENOUGH_S = 180


class Starting(Server):
    """A gateway on a full topic: it is asked for its metrics long before it is ready, so its admin port is chosen here."""

    def wait_ready(self, path):
        return {}

    @property
    def urls(self):
        return []


def counted(address, name="bgw_records_consumed_total"):
    """None: it does not answer yet."""
    try:
        found = re.search(rf"^{name}(?:{{.*}})? (\d+)$", metrics_at(address), re.M)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None
    if not found:
        raise SystemExit(f"the gateway has no {name}")
    return int(found.group(1))


def metrics_at(address):
    return urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read().decode()


def fill(k, topic, records):
    argv = [tool("bgw-feed", "BGW_FEED"), "--publish", f"kafka:{k.kafka}", "--topic", topic, "--accounts", ACCOUNTS, "--records", records,
            "--linger-ms", 20]
    subprocess.run([str(a) for a in argv], check=True, stdout=subprocess.DEVNULL)


def reach(address, count, server):
    """Waits until so many are consumed; the exact count, and the CPU of each thread at that moment."""
    deadline = time.monotonic() + ENOUGH_S
    while True:
        done = counted(address)
        cpu = {name: seconds for name, (seconds, _) in threads_of(server.proc.pid).items()}
        if done is not None and done >= count:
            return done, cpu, time.monotonic()
        if server.proc.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"no figure: {done} records of {count} after {ENOUGH_S} s")
        time.sleep(LOOK_S)


def measure(server, address, records):
    first, before, began = reach(address, int(records * FROM), server)
    applied = counted(address, "bgw_records_applied_total")
    last, after, ended = reach(address, int(records * TO), server)
    count = last - first
    cpu = {name: after[name] - before.get(name, 0) for name in after}
    watched = (counted(address, "bgw_records_applied_total") - applied) / count
    rejected = sum(int(n) for n in re.findall(r"^bgw_records_rejected_total\S* (\d+)$", metrics_at(address), re.M))
    if rejected:
        raise SystemExit(f"no figure: {rejected} records were rejected")
    return {"records_hub_cpu_s": count / cpu["bgw-hub"], "hub_ns_a_record": cpu["bgw-hub"] * 1e9 / count,
            "process_ns_a_record": sum(cpu.values()) * 1e9 / count, "records_s": count / (ended - began),
            "of_watched_percent": 100 * watched}


def settings(k, topic):
    return on_broker(k) | {"TOPIC_BALANCE_UPDATES": topic, "BGW_REWIND": "beginning"}


def unwatched(k, topic, records, **more):
    address = f"127.0.0.1:{free_port()}"
    with gateway(make=Starting, **settings(k, topic), BGW_ADMIN_LISTEN=address, **more) as g:
        return measure(g, address, records)


@contextlib.contextmanager
def watchers(g):
    """Clients of the command line, which print what they are told; it returns when all have their first answers."""
    accounts = [f"bench:{i:06d}" for i in range(0, ACCOUNTS, WATCHED_EVERY)]
    argv = [tool("bgw", "BGW_RELEASE_BIN"), "sub", "--url", f"ws://{g.info['listen']}/ws", "--token", token()]
    groups = [accounts[i:i + ACCOUNTS_PER_CLIENT] for i in range(0, len(accounts), ACCOUNTS_PER_CLIENT)]
    running = [subprocess.Popen([*argv, *group], env=clean_env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for group in groups]
    try:
        deadline = time.monotonic() + 30
        while not re.search(rf"^bgw_book_keys {len(accounts)}$", metrics(g), re.M):
            if time.monotonic() > deadline or any(p.poll() is not None for p in running):
                raise SystemExit("no figure: the watchers were not let in")
            time.sleep(LOOK_S)
        yield
        if any(p.poll() is not None for p in running):
            raise SystemExit("no figure: a watcher was sent away")
    finally:
        for p in running:
            p.kill()
            p.wait()


def watched(k, topic, records):
    k.create(topic, PARTITIONS)
    with gateway(**settings(k, topic)) as g, watchers(g):
        os.kill(g.proc.pid, signal.SIGSTOP)
        try:
            fill(k, topic, records)
        finally:
            os.kill(g.proc.pid, signal.SIGCONT)
        return measure(g, g.info["admin"], records)


def ingest(args):
    """Records that the hub's thread takes in a second of its own CPU: a full topic of a real Kafka 4 (100,000 accounts in turn, four
    partitions), producer stopped; nobody watches, or clients watch 1 % of the accounts."""
    rows, records = {"none watched": [], "1 % watched": []}, short(args, RECORDS, 300000)
    with kafka() as k:
        k.create("full", PARTITIONS)
        fill(k, "full", records)
        for i in range(args.pairs):
            rows["none watched"].append(unwatched(k, "full", records))
            rows["1 % watched"].append(watched(k, f"full-{i}", records // 2))
            print(f"  pair {i + 1}: " + "; ".join(
                f"{name}: {r[-1]['records_hub_cpu_s']:,.0f} records a CPU second of the hub ({r[-1]['hub_ns_a_record']:.0f} ns), "
                f"{r[-1]['process_ns_a_record']:.0f} ns of the process, {r[-1]['records_s']:,.0f}/s" for name, r in rows.items()), flush=True)
    return {"records": records, "accounts": ACCOUNTS, "pairs": args.pairs,
            **{name: {key: summary([r[key] for r in runs]) for key in runs[0]} for name, runs in rows.items()}}


NAMES = ("none watched", "1 % watched")
FIGURES = {"records_hub_cpu_s": "records a CPU second of the hub", "hub_ns_a_record": "CPU of the hub a record (ns)",
           "process_ns_a_record": "CPU of the process a record (ns)", "records_s": "records a second",
           "of_watched_percent": "of them watched (%)"}


def table(f):
    rows = [[f"{name}: {text}", *(number(f[name][key][k]) for k in ("median", "min", "max"))] for name in NAMES for key, text in FIGURES.items()]
    return Table([f"{f['records']:,} records of {f['accounts']:,} accounts", "median", "least", "most"], rows)


def charts(f):
    marks = [(600000, "target, none watched"), (400000, "target, 1 % watched")]
    return [Bars("Records a CPU second of the hub's thread", "", [Bar.of(name, f[name]["records_hub_cpu_s"]) for name in NAMES], marks=marks)]


SCENARIOS = [Scenario("ingest", ingest, 1, "6 min", table, charts, needs=("kafka",))]
