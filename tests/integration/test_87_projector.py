# SPDX-License-Identifier: Apache-2.0
"""The ledger's events become positions, hashes, records and words to gateways: each event exactly once, whatever dies meanwhile."""

import contextlib
import itertools
import json
import random
import subprocess

import pytest

from harness.gateway import Gateway, clean_env
from harness.projector import CURRENCY, TENANT, Ledger, Projector, Records, check_told, position, projected
from harness.redis import Redis, SERVERS
from harness.wait import until

PARTITIONS = 3
numbers = itertools.count(1)


@pytest.fixture
def redis():
    with Redis() as r:
        yield r


class Estate:
    """Topics of the test's own, its ledger, and projectors that end with it."""

    def __init__(self, kafka, redis, partitions=PARTITIONS, **config):
        self.kafka, self.redis = kafka, redis
        self.events = kafka.create(partitions=partitions, **config)
        self.balances = kafka.create(partitions=2)
        self.ledger = Ledger(kafka, self.events, partitions)
        self.records = Records(kafka, self.balances)
        self.projectors = []
        self.settings = {"KAFKA_BOOTSTRAP": kafka.bootstrap}

    def projector(self, **env):
        p = Projector(self.kafka, self.redis, self.events, self.balances, **env)
        self.projectors.append(p)
        return p

    def settled(self, timeout=60):
        until(lambda: projected(self.redis, self.ledger), timeout, "every position to be the ledger's")
        until(self.told, timeout, "every account to be told")

    def told(self):
        return self.redis.call("KEYS", "projection:*:untold") == [] and all(
            (told := self.records.by_account().get(who)) and told[-1]["v"] == events - 1
            for who, events in self.ledger.events.items())


@pytest.fixture
def estate(kafka, redis, request):
    e = Estate(kafka, redis)
    yield e
    for p in e.projectors:
        if request.node.stash.get("failed", False) or p.proc.poll() not in (None, 0):
            print(p.log_text()[-6000:])
        if not p.ended:
            p.stop()
    e.records.close()


def test_an_event_becomes_position_hash_record_and_word(estate, redis):
    p = estate.projector()
    listener = redis.connect()
    listener.call("SUBSCRIBE", "balance:invalidate")
    entry = estate.ledger.move("alice", "bob", 9007199254740993, partition=1)
    estate.ledger.feed.flush()
    estate.settled()
    assert position(redis, "alice") == (-9007199254740993, 0) and position(redis, "bob") == (9007199254740993, 0)
    told = estate.records.by_account()[TENANT, "bob", CURRENCY]
    assert len(told) == 1
    record = told[0]
    ts = record.pop("ts")
    assert record == {"accountId": "bob", "minor": 9007199254740993, "currency": "NGN", "pendingMinor": 0, "tenant": TENANT, "v": 0,
                      "deltaMinor": 9007199254740993, "txnId": entry}
    assert [k for k, _ in estate.records.all] == ["alice", "bob"] or {k for k, _ in estate.records.all} == {"alice", "bob"}
    shown = redis.call("HMGET", f"balance:{TENANT}:alice:NGN", "minor", "v", "ts")
    assert shown == [b"-9007199254740993", b"0", str(ts).encode()]
    assert 290 < redis.call("TTL", f"balance:{TENANT}:alice:NGN") <= 300
    assert redis.call("HGET", f"position:{TENANT}:alice:NGN", "o1") == b"0"
    heard = [json.loads(listener.answer()[2]) for _ in range(2)]
    assert heard == [{"accountId": a, "tenant": TENANT, "currency": "NGN", "v": 0} for a in ("alice", "bob")]
    listener.close()
    assert p.metrics()['bgw_ledger_events_total{result="applied"}'] == 1
    assert p.stop() == 0
