# SPDX-License-Identifier: Apache-2.0
"""What the scenarios of the bench are made of: child processes that are always ended, the servers that
are measured and the load client. A scenario uses them in `with`; nothing outlives the run."""

import contextlib
import json
import os
import pathlib
import random
import re
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

X25519 = "X25519:P-256"
OURS = ("BGW_", "KAFKA_", "TOPIC_", "REDIS", "LEDGER_", "LS_")
SECRET = "bench-secret-bench-secret-bench-secret"


def tool(name, variable):
    return os.environ.get(variable) or name


class Server:
    """A child process that says where it listens and is always ended."""

    def __init__(self, argv, env=None, ready_file=None):
        self.dir = tempfile.TemporaryDirectory()
        self.log = open(os.path.join(self.dir.name, "log"), "w+b")
        out = subprocess.PIPE if ready_file is None else self.log
        self.proc = subprocess.Popen(argv, env=env, stdout=out, stderr=self.log)
        try:
            self.info = json.loads(self.proc.stdout.readline()) if ready_file is None else self.wait_ready(ready_file)
        except BaseException:
            self.end()
            raise

    def wait_ready(self, path):
        deadline = time.monotonic() + 30
        while not os.path.exists(path):
            if self.proc.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                raise SystemExit("server did not become ready:\n" + self.log.read().decode()[-2000:])
            time.sleep(0.02)
        return json.loads(pathlib.Path(path).read_text())

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.end()

    def end(self):
        self.proc.terminate()
        try:
            self.proc.wait(5)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        self.log.close()
        self.dir.cleanup()


class Certificate:
    """A self-signed P-256 certificate for one run."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory()
        self.cert, self.key = (os.path.join(self.dir.name, n) for n in ("cert.pem", "key.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                        "-keyout", self.key, "-out", self.cert], check=True, capture_output=True)


def clean_env():
    """Without what configures a gateway, which refuses keys that it does not know."""
    return {k: v for k, v in os.environ.items() if not k.startswith(OURS)}


def gateway(shards=1, **more):
    ready = tempfile.mktemp(prefix="bgw-bench-")
    env = clean_env() | dict(KAFKA_BOOTSTRAP="embedded", BGW_JWT_SECRET=SECRET, BGW_LISTEN="127.0.0.1:0",
                             BGW_ADMIN_LISTEN="127.0.0.1:0", BGW_SHARDS=str(shards), BGW_READY_FILE=ready,
                             BGW_LOG_LEVEL="warn", BGW_DRAIN_S="1", BGW_HANDSHAKES_PER_S="100000", BGW_PING_S="600")
    env.update({k: str(v) for k, v in more.items()})
    return Server([tool("bgw", "BGW_RELEASE_BIN"), "serve"], env, ready)


def baseline(*args):
    return Server([tool("bgw-baseline", "BGW_BASELINE"), *args])


def token():
    argv = [tool("bgw", "BGW_RELEASE_BIN"), "token", "--sub", "bench", "--scope", "accounts.read accounts.read.all",
            "--ttl", "3600", "--secret", SECRET]
    return subprocess.run(argv, check=True, capture_output=True, text=True, env=clean_env()).stdout.strip()


def swarm(server, raw, *args):
    argv = [tool("bgw-swarm", "BGW_SWARM"), "--url", server.info["listen"], "--server-pid", str(server.proc.pid)]
    if raw:
        argv += ["--raw", "--trigger", server.info["trigger"]]
    else:
        argv += ["--kafka", server.info["kafka"], "--token", token()]
    done = subprocess.run(argv + [str(a) for a in args], capture_output=True, text=True)
    if not done.stdout:
        raise SystemExit(f"swarm said nothing: {done.stderr}")
    result = json.loads(done.stdout)
    if done.returncode != 0:
        raise SystemExit(f"wrong or incomplete run, no figure: {result}")
    return result


def metric_quantile(server, name, q):
    text = metrics(server)
    rows = [(float(le), int(n)) for le, n in re.findall(name + r'_bucket{le="([0-9.e+-]+)"} (\d+)', text)]
    total = int(re.search(name + r"_count (\d+)", text).group(1))
    return next((le for le, n in rows if n >= q * total), float("inf"))


def summary(values):
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def cpu_s(pid):
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


# ---- what balances are read from ----

class Redis:
    """A redis-server that keeps nothing, and one connection to it for what a ledger says."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory()
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.port = s.getsockname()[1]
        argv = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", self.dir.name]
        self.proc = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.sock = None
        try:
            self.connect(time.monotonic() + 10)
        except BaseException:
            self.end()
            raise

    def connect(self, deadline):
        while self.sock is None:
            if self.proc.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("redis-server does not answer")
            with contextlib.suppress(OSError):
                self.sock = socket.create_connection(("127.0.0.1", self.port), 1)
            time.sleep(0.02)

    def publish(self, channel, text):
        words = [b"PUBLISH", channel.encode(), text.encode()]
        self.sock.sendall(b"*3\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        self.sock.recv(64)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.end()

    def end(self):
        if self.sock:
            self.sock.close()
        self.proc.kill()
        self.proc.wait()
        self.dir.cleanup()


class Origin(Server):
    """The stub of the ledger's internal address (bench/swarm/origin.c). Every account has a new version each `period_ms`."""

    def __init__(self, period_ms=1000, delay_ms=0):
        self.period_ms = period_ms
        super().__init__([tool("bgw-swarm", "BGW_SWARM"), "origin", "--period-ms", str(period_ms), "--delay-ms", str(delay_ms)])

    @property
    def url(self):
        return f"http://{self.info['listen']}"

    def calls(self):
        return json.loads(urllib.request.urlopen(f"{self.url}/_calls", timeout=10).read())["calls"]


@contextlib.contextmanager
def ledger_that_says_so(redis, accounts, per_s, prefix="bench:"):
    """Meanwhile the ledger says `per_s` times a second that an account has changed, each time another one."""
    ended, numbers = threading.Event(), random.Random(1)

    def go():
        while not ended.wait(1 / per_s):
            redis.publish("balance:invalidate", f"{prefix}{numbers.randrange(accounts):06d}")
    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def reader_env(redis, origin, **more):
    """A gateway's settings that reads from these, and whose budget is not what is measured."""
    return dict(REDIS=redis.address, LEDGER_INTERNAL=origin.url, LS_RATE_PER_SEC=1000000, LS_BURST=1000000) | more


def wait_channel(server):
    """Until the gateway hears invalidations: before that it stores nothing."""
    deadline = time.monotonic() + 10
    while not re.search(r"^bgw_channel_up 1$", metrics(server), re.M):
        if time.monotonic() > deadline:
            raise SystemExit("the gateway does not hear Redis")
        time.sleep(0.05)


def metrics(server):
    return urllib.request.urlopen(f"http://{server.info['admin']}/metrics", timeout=10).read().decode()


def switch(server, **flags):
    request = urllib.request.Request(f"http://{server.info['admin']}/flags", json.dumps(flags).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


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
