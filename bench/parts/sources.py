# SPDX-License-Identifier: Apache-2.0
"""What balances are read from: a real Redis, the stub of the ledger's internal address, and a ledger that says what changed."""

import contextlib
import json
import random
import re
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

from .children import Server, tool
from .measure import metrics


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


def switch(server, **flags):
    request = urllib.request.Request(f"http://{server.info['admin']}/flags", json.dumps(flags).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()
