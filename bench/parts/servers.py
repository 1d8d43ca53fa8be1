# SPDX-License-Identifier: Apache-2.0
"""The servers that are measured, and brokers beside them. A broker is a process of its own, so that its CPU is not the
gateway's; the gateway's own Kafka threads count. Several gateways on one broker carry what one process's table of
descriptors cannot."""

import os
import pathlib
import random
import socket
import subprocess
import tempfile
import threading
import time

from .children import SECRET, Server, clean_env, tool

X25519 = "X25519:P-256"
SOCKETS_MAX = 18000  # of one process, where a table holds 20,000 descriptors
TOPIC = "balance-updates"


# ---- gateways ----

def gateway(shards=1, make=Server, binary=None, **more):
    """With a broker inside, unless KAFKA_BOOTSTRAP says otherwise (see on_broker)."""
    ready = tempfile.mktemp(prefix="bgw-bench-")
    env = clean_env() | dict(KAFKA_BOOTSTRAP="embedded", BGW_JWT_SECRET=SECRET, BGW_LISTEN="127.0.0.1:0",
                             BGW_ADMIN_LISTEN="127.0.0.1:0", BGW_SHARDS=str(shards), BGW_READY_FILE=ready,
                             BGW_LOG_LEVEL="warn", BGW_DRAIN_S="1", BGW_HANDSHAKES_PER_S="100000", BGW_PING_S="600")
    env.update({k: str(v) for k, v in more.items()})
    return make([binary or tool("bgw", "BGW_RELEASE_BIN"), "serve"], env, ready)


class Fleet:
    """Servers that one swarm uses together; what they cost is summed."""

    def __init__(self, makers):
        self.members, self.trigger = [], None
        try:
            for make in makers:
                self.members.append(make())
        except BaseException:
            self.end()
            raise

    @property
    def info(self):
        return self.members[0].info

    @property
    def urls(self):
        return [url for m in self.members for url in m.urls]

    @property
    def pids(self):
        return [pid for m in self.members for pid in m.pids]

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.end()

    def end(self):
        if self.trigger:
            self.trigger.end()
        for m in self.members:
            m.proc.terminate()  # all at once: each may take its second
        for m in self.members:
            m.end()


def gateways(count, on, shards=1, **more):
    """`count` processes that all read from the broker `on`."""
    return Fleet([lambda: gateway(shards, **on_broker(on), **more)] * count)


def processes_for(clients):
    return -(-clients // SOCKETS_MAX)


# ---- the bare server ----

def baseline(*args):
    return Server([tool("bgw-baseline", "BGW_BASELINE"), *args])


class Triggers:
    """What the load client says to one trigger is said to all of them: it knows one address alone."""

    def __init__(self, ports):
        self.outs = [socket.create_connection(("127.0.0.1", int(port))) for port in ports]
        for s in self.outs:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = str(self.listener.getsockname()[1])
        self.thread = threading.Thread(target=self.go, daemon=True)
        self.thread.start()

    def go(self):
        try:
            conn, _ = self.listener.accept()
            with conn:
                while data := conn.recv(65536):
                    for s in self.outs:
                        s.sendall(data)
        except OSError:
            return  # a server or the run is ending

    def end(self):
        self.listener.close()
        for s in self.outs:
            s.close()


def baselines(count, *args):
    fleet = Fleet([lambda: baseline(*args)] * count)
    fleet.trigger = Triggers([m.info["trigger"] for m in fleet.members])
    return fleet


# ---- brokers ----

class Broker(Server):
    """The embedded broker in a gateway that nobody else connects to: quick to start, and it keeps nothing."""

    @property
    def kafka(self):
        return self.info["kafka"]


def broker():
    return gateway(make=Broker)


def on_broker(on):
    """A gateway's settings to read from it. The embedded broker has no topic ids and no offsets of times."""
    env = {"KAFKA_BOOTSTRAP": on.kafka}
    return env | {"BGW_EPOCH": "one", "BGW_REWIND": "beginning"} if isinstance(on, Broker) else env


def free_port():
    """Below the range that outgoing connections get theirs from."""
    for _ in range(1000):
        port = random.randrange(16384, 32768)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("no free port")


class Kafka:
    """One node of Apache Kafka 4 from the jars in KAFKA_DIST, with the topics that a gateway reads."""

    def __init__(self, partitions=4):
        if not os.environ.get("KAFKA_DIST"):
            raise SystemExit("no Apache Kafka: KAFKA_DIST names the folder with its jars; `./dev bench NAME` provides it")
        self.dir = tempfile.TemporaryDirectory(prefix="bgw-bench-kafka-")
        self.port, self.controller, self.proc = free_port(), free_port(), None
        self.kafka = f"127.0.0.1:{self.port}"
        self.classpath = str(pathlib.Path(os.environ["KAFKA_DIST"]) / "*")
        self.log = open(os.path.join(self.dir.name, "log"), "w+b")
        try:
            self.start()
            self.create(TOPIC, partitions)
            self.create("bgw-revocations", 1, "cleanup.policy=compact")
        except BaseException:
            self.end()
            raise

    def start(self):
        file = pathlib.Path(self.dir.name, "server.properties")
        file.write_text("\n".join([
            "process.roles=broker,controller", "node.id=1", f"controller.quorum.voters=1@127.0.0.1:{self.controller}",
            f"listeners=PLAINTEXT://{self.kafka},CONTROLLER://127.0.0.1:{self.controller}",
            f"advertised.listeners=PLAINTEXT://{self.kafka}", "controller.listener.names=CONTROLLER",
            f"log.dirs={self.dir.name}/data", "offsets.topic.replication.factor=1",
            "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
            "group.initial.rebalance.delay.ms=0", "auto.create.topics.enable=false", ""]))
        cluster = self.java("kafka.tools.StorageTool", "random-uuid").strip().splitlines()[-1]
        self.java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(file))
        self.proc = subprocess.Popen(["java", "-Xmx512m", "-cp", self.classpath, "kafka.Kafka", str(file)],
                                     stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 60
        while True:
            if self.proc.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                raise SystemExit("Kafka did not start:\n" + self.log.read().decode(errors="replace")[-2000:])
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)

    def java(self, main, *args):
        done = subprocess.run(["java", "-Xmx256m", "-cp", self.classpath, main, *args], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{main}: {done.stdout}{done.stderr}"[-2000:])
        return done.stdout

    def create(self, topic, partitions, *config):
        self.java("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", self.kafka, "--create", "--topic", topic,
                  "--partitions", str(partitions), *[x for c in config for x in ("--config", c)])

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.end()

    def end(self):
        if self.proc:
            self.proc.kill()
            self.proc.wait()
        self.log.close()
        self.dir.cleanup()


def kafka(partitions=4):
    return Kafka(partitions)


def token():
    argv = [tool("bgw", "BGW_RELEASE_BIN"), "token", "--sub", "bench", "--scope", "accounts.read accounts.read.all",
            "--ttl", "86400", "--secret", SECRET]
    return subprocess.run(argv, check=True, capture_output=True, text=True, env=clean_env()).stdout.strip()
