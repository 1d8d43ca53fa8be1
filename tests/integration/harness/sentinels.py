# SPDX-License-Identifier: Apache-2.0
"""One primary, two replicas and three sentinels that elect among them, all as child processes. Each knows the same
user and password, and the sentinels answer nobody without it."""

import contextlib
import pathlib
import subprocess
import tempfile

from .kafka import free_port
from .redis import Redis, Resp
from .wait import until

USER, PASSWORD, NAME = "bgw", "of/the@estate", "balances"
QUOTED = "of%2Fthe%40estate"
REPLICAS = 2


class Watchdog:
    """One sentinel."""

    def __init__(self, server, primary_port):
        self.port, self.dir = free_port(), tempfile.TemporaryDirectory(prefix="sentinel-it-")
        config = pathlib.Path(self.dir.name, "sentinel.conf")
        config.write_text(f"""bind 127.0.0.1\nport {self.port}\ndir {self.dir.name}\nrequirepass {PASSWORD}
user {USER} on >{PASSWORD} ~* &* +@all\nsentinel monitor {NAME} 127.0.0.1 {primary_port} 2
sentinel auth-user {NAME} {USER}\nsentinel auth-pass {NAME} {PASSWORD}
sentinel down-after-milliseconds {NAME} 1500\nsentinel failover-timeout {NAME} 5000\nsentinel parallel-syncs {NAME} 2\n""")
        self.log = open(f"{self.dir.name}/log", "ab")
        self.proc = subprocess.Popen([server, str(config), "--sentinel"], stdout=self.log, stderr=self.log)

    def call(self, *words):
        with contextlib.closing(Resp(self.port, password=PASSWORD)) as connection:
            return connection.call(*words)

    def primary(self):
        """The port of the one that it believes in; None: it does not answer."""
        with contextlib.suppress(OSError):
            return int(self.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])

    def sees_everybody(self):
        with contextlib.suppress(OSError):
            return f"slaves={REPLICAS},sentinels=3".encode() in self.call("INFO", "sentinel")

    def end(self):
        self.proc.kill()
        self.proc.wait()
        self.log.close()
        self.dir.cleanup()


class Sentinels:
    def __init__(self, server="redis-server"):
        self.stack = contextlib.ExitStack()
        self.nodes = [self.stack.enter_context(Redis(server, user=USER, password=PASSWORD)) for _ in range(1 + REPLICAS)]
        for node in self.nodes:
            node.call("CONFIG", "SET", "repl-diskless-sync-delay", 0)
        for node in self.nodes[1:]:
            node.call("REPLICAOF", "127.0.0.1", self.nodes[0].port)
        for node in self.nodes[1:]:
            until(lambda n=node: b"master_link_status:up" in n.call("INFO", "replication"), 20, "the replicas")
        self.watchdogs = [Watchdog(server, self.nodes[0].port) for _ in range(3)]
        for w in self.watchdogs:
            self.stack.callback(w.end)
        for w in self.watchdogs:
            until(w.sees_everybody, 20, "the sentinels to see each other and the replicas")

    @property
    def url(self):
        """For REDIS."""
        hosts = ",".join(f"127.0.0.1:{w.port}" for w in self.watchdogs)
        return f"redis+sentinel://{USER}:{QUOTED}@{hosts}/{NAME}/0"

    def primary(self):
        """The node on which they agree and that knows it itself; None: there is none at the moment."""
        ports = {w.primary() for w in self.watchdogs}
        found = [n for n in self.nodes if ports == {n.port}]
        return found[0] if found and found[0].proc.poll() is None and found[0].is_master() else None

    @staticmethod
    def visitors(node):
        """How many connections of gateways a node has."""
        return sum(b"user=" + USER.encode() + b" " in line and b"flags=S" not in line and b"flags=M" not in line and b"name=sentinel" not in line
                   for line in node.call("CLIENT", "LIST").splitlines())

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stack.close()
