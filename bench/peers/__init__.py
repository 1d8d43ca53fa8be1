# SPDX-License-Identifier: Apache-2.0
"""Other servers, on the same work as ours: how each is started with its best documented settings, what its clients and
its publisher speak (bgw-swarm's words), and what of ours it does not have. One module a server; PEERS lists them in the
order of the tables. Ports are chosen at the start, files are in a directory that goes with the process."""

import contextlib
import os
import pathlib
import resource
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from parts import Server, clean_env  # noqa: E402

# what a client of ours is given, and the words of the tables for it
FEATURES = {
    "snapshot": "the account's present value when it subscribes",
    "versions": "versions that a client can compare: older is never shown after newer",
    "conflation": "of many waiting updates of one account only the newest is sent, and how many it stands for",
    "access": "which accounts a client may see, by its token",
    "resume": "after a cut only what was missed",
    "bounded": "a client that stops reading holds a bounded amount, and goes on with the newest state",
}


def free_ports(count):
    """Distinct ones, all held until all are known."""
    with contextlib.ExitStack() as held:
        return [held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


class Peer(Server):
    """A server whose readiness is that it takes connections. A subclass writes its files in configure(), and says:
    name, dialect and publish (bgw-swarm's), version, settings {what: why}, has {feature: how} and lacks."""

    name = dialect = ""
    settings = {}
    has = {}
    processes = 1  # a server that listens before all of its processes are there says how many

    def __init__(self, accounts=1):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.accounts, self.files = accounts, hard
        self.home = tempfile.TemporaryDirectory(prefix="bgw-peer-")
        try:
            argv, env, self.ports = self.configure(pathlib.Path(self.home.name))
            super().__init__([str(a) for a in argv], clean_env() | env)
        except BaseException:
            self.home.cleanup()
            raise

    def configure(self, home):
        """Writes its files; (argv, environment, ports that it will listen on, the WebSocket's first)."""
        raise NotImplementedError

    def start(self):
        self.proc = subprocess.Popen(self.argv, env=self.env, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 30
            for port in self.ports:
                self.wait_for(lambda: self.answers(port), deadline)
            self.wait_for(lambda: len(self.pids) >= self.processes, deadline)
        except BaseException:
            self.end()
            raise
        self.info = {"listen": f"127.0.0.1:{self.ports[0]}"}

    @staticmethod
    def answers(port):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    def wait_for(self, ready, deadline):
        while not ready():
            if self.proc.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{self.name} did not become ready:\n{self.said()}")
            time.sleep(0.02)

    def end(self):
        super().end()
        self.home.cleanup()

    @property
    def url(self):
        return self.info["listen"]

    @property
    def lacks(self):
        return [f for f in FEATURES if f not in self.has]

    @property
    def pids(self):
        """It and the processes that it began: what it costs is the sum."""
        found, todo = [], [self.proc.pid]
        while todo:
            found.append(todo.pop())
            for task in pathlib.Path(f"/proc/{found[-1]}/task").iterdir():
                todo += [int(pid) for pid in (task / "children").read_text().split()]
        return found


def peers():
    from . import mosquitto, nats, nchan, node_ws, socketio
    return {p.name: p for p in (nats.Nats, nchan.Nchan, mosquitto.Mosquitto, node_ws.NodeWs, socketio.SocketIo)}
