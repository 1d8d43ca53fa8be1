# SPDX-License-Identifier: Apache-2.0
"""A Redis or Valkey server as a child process that can be paused, stopped, killed and started again
on the same port; and a client of it: plain RESP over a socket."""

import contextlib
import pathlib
import signal
import socket
import ssl
import subprocess
import tempfile

from .certs import Authority
from .kafka import free_port
from .wait import until

SERVERS = ("redis-server", "valkey-server")


class RedisError(Exception):
    """The server's `-ERR …`."""


class Resp:
    """One connection. call() sends one command and returns its answer: bytes, int, None or a list."""

    def __init__(self, port, tls=None, user=None, password=None, timeout=10):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self.reader = self.sock.makefile("rb")
        if password:
            self.call("AUTH", *([user] if user else []), password)

    def call(self, *words):
        self.send(*words)
        return self.answer()

    def send(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))

    def answer(self):
        line = self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.reader.read(int(rest) + 2)[:-2]
        assert kind == b"*", line
        return None if rest == b"-1" else [self.answer() for _ in range(int(rest))]

    def close(self):
        self.sock.close()


class Redis:
    spawn = staticmethod(subprocess.Popen)
    appendonly = "no"  # "yes": a killed one comes back with what it had

    def __init__(self, server="redis-server", user=None, password=None, tls=False, port=0):
        """user, password: an ACL user besides the default one, which stays ours; tls: that port alone; port: 0 for a free one."""
        self.server, self.user, self.password = server, user, password
        self.dir = tempfile.TemporaryDirectory(prefix="redis-it-")
        self.port = port or free_port()
        self.authority = self.tls = None
        if tls:
            self.authority = Authority(self.dir.name)
            self.certified = self.authority.server("localhost", "127.0.0.1")
            self.tls = ssl.create_default_context(cafile=self.authority.cert)
        self.log = open(f"{self.dir.name}/log", "ab")
        self.connection = self.proc = None
        self.start()

    def start(self):
        argv = [self.server, "--bind", "127.0.0.1", "--save", "", "--appendonly", self.appendonly, "--dir", self.dir.name]
        if self.tls:
            argv += ["--port", "0", "--tls-port", str(self.port), "--tls-cert-file", str(self.certified.cert), "--tls-key-file",
                     str(self.certified.key), "--tls-ca-cert-file", str(self.authority.cert), "--tls-auth-clients", "no"]
        else:
            argv += ["--port", str(self.port)]
        if self.user:
            argv += ["--user", self.user, "on", f">{self.password}", "~*", "&*", "+@all"]
        self.proc = self.spawn(argv, stdout=self.log, stderr=self.log)
        until(self.answers, 20, "Redis to answer")

    def answers(self):
        assert self.proc.poll() is None, "Redis ended"
        try:
            return self.call("PING") == b"PONG"
        except (OSError, RedisError):  # or it still reads what it has kept
            return False

    def connect(self, user=None, password=None):
        return Resp(self.port, self.tls, user, password)

    def call(self, *words):
        """One command over a connection that is kept, and opened again where Redis has closed it."""
        if not self.connection:
            self.connection = self.connect()
        try:
            return self.connection.call(*words)
        except OSError:
            self.connection.close()
            self.connection = None
            self.connection = self.connect()
        return self.connection.call(*words)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        """For REDIS."""
        who = f"{self.user}:{self.password}@" if self.user else ""
        return f"{'rediss' if self.tls else 'redis'}://{who}{'localhost' if self.tls else '127.0.0.1'}:{self.port}"

    @property
    def settings(self):
        """A gateway's."""
        return {"REDIS": self.url} | ({"REDIS_CA": self.authority.cert} if self.tls else {})

    def is_master(self):
        """Over a connection of its own, for a server that becomes one closes those it has."""
        with contextlib.suppress(OSError), contextlib.closing(self.connect()) as connection:
            return b"role:master" in connection.call("INFO", "replication")
        return False

    # ---- what a ledger and a projector do ----

    def invalidate(self, payload):
        """How many heard it."""
        return self.call("PUBLISH", "balance:invalidate", payload)

    def hash(self, account, minor, v, currency="NGN", tenant="tnt_demo", ts=1700000000000):
        key = f"balance:{tenant}:{account}:{currency}"
        self.call("HSET", key, "minor", minor, "v", v, "ts", ts)
        self.call("PEXPIRE", key, 300000)
        return key

    def body(self, account):
        """The short string of the default tenant and currency."""
        return self.call("GET", f"bal:{account}")

    # ---- trouble ----

    def pause(self, ms):
        """Nobody's command is answered for so long."""
        assert self.call("CLIENT", "PAUSE", ms, "ALL") == b"OK"

    @contextlib.contextmanager
    def stalled(self):
        """It accepts connections, and says nothing."""
        self.proc.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.proc.send_signal(signal.SIGCONT)

    def cut_subscribers(self):
        return self.call("CLIENT", "KILL", "TYPE", "pubsub")

    def kill9(self):
        if self.connection:
            self.connection.close()
            self.connection = None
        self.proc.kill()
        self.proc.wait()

    def restart(self):
        """Empty, as after a failover to nothing."""
        if self.proc.poll() is None:
            self.kill9()
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.kill9()
        self.log.close()
        self.dir.cleanup()


class Sentinel:
    """One sentinel that watches a master and its replicas, and makes another the master when it is gone."""

    def __init__(self, master, name="balances"):
        self.name, self.port = name, free_port()
        self.dir = tempfile.TemporaryDirectory(prefix="sentinel-it-")
        config = pathlib.Path(self.dir.name, "sentinel.conf")
        config.write_text(f"""bind 127.0.0.1\nport {self.port}\ndir {self.dir.name}\nsentinel monitor {name} 127.0.0.1 {master.port} 1
sentinel down-after-milliseconds {name} 400\nsentinel failover-timeout {name} 2000\n""")
        self.log = open(f"{self.dir.name}/log", "ab")
        self.proc = subprocess.Popen([master.server, str(config), "--sentinel"], stdout=self.log, stderr=self.log)
        until(lambda: self.call("PING"), 20, "the sentinel to answer")
        until(lambda: b"slaves=1" in self.call("INFO", "sentinel"), 20, "the sentinel to see the replica")

    def call(self, *words):
        try:
            with contextlib.closing(Resp(self.port)) as connection:
                return connection.call(*words)
        except OSError:
            return None

    def master(self):
        """The port of the one there is."""
        return int(self.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)[1])

    @property
    def url(self):
        return f"redis+sentinel://127.0.0.1:{self.port}/{self.name}/0"

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.proc.kill()
        self.proc.wait()
        self.log.close()
        self.dir.cleanup()
