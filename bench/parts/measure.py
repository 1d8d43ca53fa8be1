# SPDX-License-Identifier: Apache-2.0
"""What is measured, and by whom: the load client and what it says, /proc, and a gateway's own metrics. A run whose
answers were not all right gives no figure: it ends the scenario."""

import contextlib
import json
import pathlib
import re
import subprocess
import threading
import time
import urllib.request

from .children import tool
from .servers import token


# ---- the load client ----

class Swarm:
    """One run of bgw-swarm against a server or a fleet. `phases` fills while it runs: what it has begun, and when."""

    def __init__(self, server, raw, args, on_phase=None):
        argv = [tool("bgw-swarm", "BGW_SWARM")]
        for url in server.urls:
            argv += ["--url", url]
        for pid in server.pids:
            argv += ["--server-pid", str(pid)]
        if raw:
            trigger = getattr(server, "trigger", None)
            argv += ["--raw", "--trigger", trigger.port if trigger else server.info.get("trigger", "0")]
        else:
            argv += ["--kafka", server.info["kafka"], "--token", token()]
        self.phases, self.rest, self.on_phase = {}, [], on_phase
        self.proc = subprocess.Popen(argv + [str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        for line in self.proc.stderr:
            if line.startswith("phase "):
                name = line.split()[1]
                self.phases.setdefault(name, time.monotonic())
                if self.on_phase:
                    self.on_phase(name)
            else:
                self.rest = [*self.rest[-20:], line]

    def wait_phase(self, name, timeout_s):
        """False if the run ended, or the time, before it came so far."""
        deadline = time.monotonic() + timeout_s
        while name not in self.phases:
            if self.proc.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def result(self, wrong_ok=False):
        out = self.proc.stdout.read()
        self.proc.wait()
        self.thread.join(5)
        if not out:
            raise SystemExit(f"swarm said nothing: {''.join(self.rest)}")
        result = json.loads(out)
        if self.proc.returncode != 0 and not wrong_ok:
            raise SystemExit(f"wrong or incomplete run, no figure: {result} {''.join(self.rest)}")
        return result

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.proc.kill()
        self.proc.wait()
        self.thread.join(5)
        self.proc.stdout.close()
        self.proc.stderr.close()


def start_swarm(server, raw, *args, on_phase=None):
    return Swarm(server, raw, args, on_phase)


def swarm(server, raw, *args, on_phase=None):
    with Swarm(server, raw, args, on_phase) as s:
        return s.result()


def read_load(server, steps, *args):
    """The read load of bgw-swarm. Failed reads are figures; a wrong one is an error of the run."""
    argv = [tool("bgw-swarm", "BGW_SWARM"), "reads", "--url", server.info["listen"], "--server-pid", server.proc.pid, "--token", token(),
            "--steps", ",".join(f"{rate}:{seconds}" for rate, seconds in steps), *args]
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True)
    if not done.stdout:
        raise SystemExit(f"swarm said nothing: {done.stderr}")
    result = json.loads(done.stdout)
    if done.returncode != 0:
        raise SystemExit(f"wrong run, no figure: {result}")
    return result["steps"]


# ---- the system ----

def cpu_s(pid):
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


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


def rss_kib(pids):
    total = 0
    for pid in pids:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
        total += int(re.search(r"VmRSS:\s+(\d+)", text).group(1))
    return total


def memory_kib():
    """{"MemAvailable": KiB, "Slab": …, …}: the machine's, so it says something only while nothing else moves."""
    rows = re.findall(r"^(\w+):\s+(\d+) kB", pathlib.Path("/proc/meminfo").read_text(), re.M)
    return {name: int(value) for name, value in rows}


@contextlib.contextmanager
def sample_every(seconds, read):
    """A list that fills with (seconds since the start, read()) until the block ends."""
    points, ended, began = [], threading.Event(), time.monotonic()

    def go():
        while not ended.wait(seconds):
            points.append((round(time.monotonic() - began, 1), read()))
    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        yield points
    finally:
        ended.set()
        thread.join()


# ---- a gateway's own figures ----

def metrics(server):
    return urllib.request.urlopen(f"http://{server.info['admin']}/metrics", timeout=10).read().decode()


def gauge(server, name):
    """The sum over a metric's rows."""
    return sum(float(x) for x in re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+-]+)$", metrics(server), re.M))


def metric_quantile(server, name, q):
    text = metrics(server)
    rows = [(float(le), int(n)) for le, n in re.findall(name + r'_bucket{le="([0-9.e+-]+)"} (\d+)', text)]
    total = int(re.search(name + r"_count (\d+)", text).group(1))
    return next((le for le, n in rows if n >= q * total), float("inf"))
