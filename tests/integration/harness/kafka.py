# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka, one node, KRaft, from the jars in KAFKA_DIST; and a producer for any broker."""

import json
import os
import pathlib
import random
import socket
import subprocess
import tempfile
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from .wait import until

TOPIC = "balance-updates"


def free_port():
    """Below the range that the system gives to outgoing connections, so that it is still free at the next start; runs
    side by side have a part of it each."""
    run = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8
    for _ in range(1000):
        port = random.randrange(16384 + 2048 * run, 16384 + 2048 * (run + 1))
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("no free port")


class Kafka:
    """A real broker that can be stopped, killed and started again on the same port and data."""

    spawn = staticmethod(subprocess.Popen)
    java_options = ["-Xmx512m"]

    def __init__(self, port=0, properties=()):
        """port: 0 for a free one; properties: more lines of the broker's."""
        self.dir = tempfile.TemporaryDirectory(prefix="kafka-it-")
        self.port, self.controller = port or free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.classpath = str(pathlib.Path(os.environ["KAFKA_DIST"]) / "*")
        self.properties = pathlib.Path(self.dir.name, "server.properties")
        self.properties.write_text("\n".join([
            "process.roles=broker,controller", "node.id=1",
            f"controller.quorum.voters=1@127.0.0.1:{self.controller}",
            f"listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller}",
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names=CONTROLLER", f"log.dirs={self.dir.name}/data",
            "offsets.topic.replication.factor=1", "transaction.state.log.replication.factor=1",
            "transaction.state.log.min.isr=1", "group.initial.rebalance.delay.ms=0",
            "auto.create.topics.enable=false", "num.partitions=1", "log.retention.check.interval.ms=1000",
            "controlled.shutdown.enable=false", *properties, ""]))
        self.log = open(os.path.join(self.dir.name, "log"), "ab")
        cluster = self.java("kafka.tools.StorageTool", "random-uuid").strip().splitlines()[-1]
        self.java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self.properties))
        self.proc = None
        self.start()

    def java(self, main, *args):
        done = subprocess.run(["java", "-Xmx256m", "-cp", self.classpath, main, *args], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self):
        self.proc = self.spawn(
            ["java", *self.java_options, "-cp", self.classpath, "kafka.Kafka", str(self.properties)],
            stdout=self.log, stderr=self.log)
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 200})
        until(self.answers, 60, "Kafka to answer")

    def answers(self):
        assert self.proc.poll() is None, "Kafka ended"
        try:
            return bool(self.admin.list_topics(timeout=1).brokers)
        except Exception:  # noqa: BLE001 - not up yet
            return False

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def pause(self):
        self.proc.send_signal(19)

    def resume(self):
        self.proc.send_signal(18)

    def create(self, topic=None, partitions=3, **config):
        name = topic or f"balances-{time.monotonic_ns()}"
        new = NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)
        self.admin.create_topics([new])[name].result(20)
        until(lambda: name in self.admin.list_topics(timeout=5).topics, 20, "the topic")
        return name

    def delete(self, topic):
        self.admin.delete_topics([topic])[topic].result(20)
        until(lambda: topic not in self.admin.list_topics(timeout=5).topics, 20, "the topic to go")

    def grow(self, topic, partitions):
        self.admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(20)

    def close(self):
        self.kill()
        self.log.close()
        self.dir.cleanup()


class Feed:
    """Publishes balances the way the estate's ledger does, or whatever bytes a test wants."""

    def __init__(self, bootstrap, topic=TOPIC, readers=()):
        """readers: gateways that flush() waits for, so that what comes after it meets what was put."""
        self.topic = topic
        self.readers = [(g, g.metric("bgw_records_consumed_total")) for g in readers]
        self.produced = 0
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "log_level": 0})
        self.versions = {}
        self.failures = []

    def _delivered(self, error, _message):
        if error:
            self.failures.append(error)

    def raw(self, key, value, partition=-1, headers=None, timestamp=0, topic=None):
        self.produced += 1
        self.producer.produce(topic or self.topic, key=key, value=value, partition=partition,
                              headers=headers or [], timestamp=timestamp, on_delivery=self._delivered)
        self.producer.poll(0)

    def put(self, account, minor, currency="NGN", v="next", tenant=None, key=None, **more):
        """One balance. v: "next" counts by itself, None leaves it out."""
        if v == "next":
            v = self.versions[account, currency, tenant] = self.versions.get((account, currency, tenant), 0) + 1
        record = {"accountId": account, "minor": minor, "currency": currency, "pendingMinor": 0}
        record.update({k: x for k, x in (("v", v), ("tenant", tenant)) if x is not None}, **more)
        self.raw(key or account, json.dumps(record, separators=(",", ":")))
        return v

    def flush(self):
        assert self.producer.flush(20) == 0, "records were not acknowledged"
        assert not self.failures, self.failures
        for gateway, before in self.readers:
            until(lambda g=gateway, n=before + self.produced: g.metric("bgw_records_consumed_total") >= n,
                  20, "the gateway to read what was put")
