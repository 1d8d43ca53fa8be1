# SPDX-License-Identifier: Apache-2.0
"""`bgw project` as a child process; a ledger that writes events and knows what must come of them; and a reader of records."""

import collections
import contextlib
import itertools
import json
import os
import pathlib
import random
import subprocess
import tempfile

from confluent_kafka import Consumer, TopicPartition

from .gateway import ADDRESS, Gateway, clean_env
from .kafka import Feed
from .redis import Redis, RedisError
from .wait import until

TENANT, CURRENCY = "tnt_demo", "NGN"


class Projector(Gateway):
    """Ends, logs and metrics as a gateway's. The environment is `bgw project`'s alone."""

    def __init__(self, kafka, redis, ledger, balances, binary=None, wait=True, holes=False, **env):  # pylint: disable=super-init-not-called
        self.open_dir()
        self.holes = holes  # transactions or compaction leave offsets out
        settings = dict(KAFKA_BOOTSTRAP=kafka.bootstrap, TOPIC_LEDGER=ledger, TOPIC_BALANCE_UPDATES=balances, BGW_DRAIN_S=5,
                        BGW_ADMIN_LISTEN=ADDRESS, BGW_READY_FILE=self.ready_path, BGW_LOG_FORMAT="json", BGW_LOG_LEVEL="debug",
                        KAFKA_SESSION_TIMEOUT_MS=6000, **redis.settings)
        settings.update(env)
        self.binary = binary or os.environ["BGW_BIN"]
        self.proc = subprocess.Popen([self.binary, "project"], env=clean_env(**settings), stdout=self.log, stderr=self.log)
        self.info, self.ended = None, False
        if wait:
            self.wait_ready()

    def finish(self, timeout):
        super().finish(timeout)
        assert self.holes or "offsets_left_out" not in self.log_text(), self.log_text()[-3000:]

    def open_dir(self):
        self.dir = tempfile.TemporaryDirectory(prefix="bgw-project-")
        self.ready_path = pathlib.Path(self.dir.name, "ready")
        self.log_path = pathlib.Path(self.dir.name, "log")
        self.log = open(self.log_path, "wb")

    def admin(self):
        """The admin port's address, also before it is ready."""
        if self.info:
            return self.info["admin"]
        for line in self.log_text().splitlines():
            if '"event":"started"' in line:
                return json.loads(line)["admin"]
        return None


class Ledger:
    """Transfers, and what they make of each account. With a seed, so that a run can be made again."""

    def __init__(self, kafka, topic, partitions, seed=1):
        self.feed = Feed(kafka.bootstrap, topic)
        self.random, self.partitions = random.Random(seed), partitions
        self.totals, self.events = collections.Counter(), collections.Counter()
        self.numbers = itertools.count(1)

    def move(self, source, dest, minor, partition=None, tenant=None, currency=None, **more):
        number = next(self.numbers)
        event = {"correlationId": f"c-{number}", "tenant": tenant or TENANT, "minor": minor, "currency": currency or CURRENCY,
                 "source": source, "dest": dest, "entryId": f"e-{number}", **more}
        self.count(source, dest, minor, tenant or TENANT, currency or CURRENCY)
        self.raw(json.dumps(event), partition)
        return event["entryId"]

    def count(self, source, dest, minor, tenant=TENANT, currency=CURRENCY):
        for name in {source, dest}:
            self.events[tenant, name, currency] += 1
        self.totals[tenant, source, currency] -= minor
        self.totals[tenant, dest, currency] += minor

    def raw(self, value, partition=None):
        partition = self.random.randrange(self.partitions) if partition is None else partition
        self.feed.raw(f"entry-{next(self.numbers)}", value, partition=partition)

    def transfers(self, count, accounts):
        for _ in range(count):
            source, dest = self.random.sample(accounts, 2)
            self.move(source, dest, self.random.randrange(1, 1000))
        self.feed.flush()


def position(redis, account, tenant=TENANT, currency=CURRENCY):
    """(minor, seq), or None."""
    minor, seq = redis.call("HMGET", f"position:{tenant}:{account}:{currency}", "minor", "seq")
    return None if seq is None else (int(minor), int(seq))


def projected(redis, ledger):
    """Every position is the ledger's, and counts its events."""
    return all(position(redis, name, tenant, currency) == (ledger.totals[tenant, name, currency], events - 1)
               for (tenant, name, currency), events in ledger.events.items())


class Records:
    """What is on a topic of balances, from its beginning on, as far as it was read."""

    def __init__(self, kafka, topic):
        self.topic, self.all = topic, []
        self.consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "records-of-a-test", "log_level": 0,
                                  "enable.auto.commit": False, "auto.offset.reset": "earliest"})
        parts = self.consumer.list_topics(topic, timeout=20).topics[topic].partitions
        self.parts = [TopicPartition(topic, p, 0) for p in parts]
        self.consumer.assign(self.parts)

    def read(self):
        """All that is there now; (key, value) each, a partition's in order."""
        ends = {p.partition: self.consumer.get_watermark_offsets(p, timeout=20)[1] for p in self.parts}
        at = {p.partition: p.offset for p in self.consumer.position(self.parts)}
        while any(max(at[p], 0) < end for p, end in ends.items()):
            message = self.consumer.poll(10)
            assert message is not None and not message.error(), message and message.error()
            at[message.partition()] = message.offset() + 1
            self.all.append((message.key().decode(), json.loads(message.value())))
        return self.all

    def by_account(self):
        found = collections.defaultdict(list)
        for _, value in self.read():
            found[value["tenant"], value["accountId"], value["currency"]].append(value)
        return found

    def close(self):
        self.consumer.close()


def check_told(records, redis, ledger):
    """No account's records go back in v, no v has two values, and the last one is the position."""
    told = records.by_account()
    for (_, name, _), values in told.items():
        versions = [r["v"] for r in values]
        assert versions == sorted(versions), (name, [b for a, b in itertools.pairwise(versions) if b < a])
        amounts = {}
        for r in values:
            assert amounts.setdefault(r["v"], r["minor"]) == r["minor"], (name, r)
    for (tenant, name, currency), events in ledger.events.items():
        last = told[tenant, name, currency][-1]
        assert (last["minor"], last["v"]) == position(redis, name, tenant, currency), (name, last)
        assert last["v"] == events - 1


class KeptRedis(Redis):
    """One that has what it was given again after a violent end."""

    def start(self):
        argv = [self.server, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", self.dir.name, "--port", str(self.port)]
        self.proc = subprocess.Popen(argv, stdout=self.log, stderr=self.log)
        until(self.answers, 20, "Redis to answer")

    def answers(self):
        with contextlib.suppress(RedisError):  # it is still loading
            return super().answers()
        return False
