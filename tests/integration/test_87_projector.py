# SPDX-License-Identifier: Apache-2.0
"""The ledger's events become positions, hashes, records and words to gateways: each event exactly once, whatever dies meanwhile."""

import contextlib
import json
import os
import random
import subprocess
import time

import pytest
from confluent_kafka import Producer, TopicPartition

from harness.gateway import Gateway, clean_env
from harness.kafka import free_port
from harness.projector import CURRENCY, TENANT, KeptRedis, Ledger, Projector, Records, check_told, position, projected
from harness.reads import read, value
from harness.redis import Redis, SERVERS
from harness.wait import until

PARTITIONS = 3
BACKLOG = 100_000 if os.environ.get("BGW_LONG") else 5_000


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

    def projector(self, **env):
        p = Projector(self.kafka, self.redis, self.events, self.balances, **env)
        self.projectors.append(p)
        return p

    def settled(self, timeout=60):
        until(lambda: projected(self.redis, self.ledger), timeout, "every position to be the ledger's")
        until(self.told, timeout, "every account to be told")

    def told(self):
        if self.redis.call("KEYS", "projection:*:untold"):
            return False
        told = self.records.by_account()
        return all(told[who] and told[who][-1]["v"] == events - 1 for who, events in self.ledger.events.items())


@pytest.fixture
def estate(kafka, redis):
    e = Estate(kafka, redis)
    yield e
    for p in e.projectors:
        print(p.log_text()[-6000:])  # shown where the test has failed
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


def applied(redis, accounts):
    return sum((position(redis, a) or (0, -1))[1] + 1 for a in accounts)


@pytest.mark.timeout(400)
def test_members_that_are_killed_again_and_again_apply_each_event_once(estate, redis):
    accounts = [f"k{i}" for i in range(40)]
    members = [estate.projector(wait=False), estate.projector(wait=False)]
    chance = random.Random(7)
    for _ in range(20):
        before = applied(redis, accounts)
        estate.ledger.transfers(200, accounts)
        until(lambda b=before: applied(redis, accounts) > b + chance.randrange(150), 60, "some of it to be applied")
        victim = chance.randrange(2)
        members[victim].kill()
        estate.projectors.remove(members[victim])
        members[victim] = estate.projector(wait=False)
        estate.ledger.transfers(50, accounts)
    estate.settled(120)
    assert sum(position(redis, a)[0] for a in accounts) == 0
    check_told(estate.records, redis, estate.ledger)


@pytest.mark.timeout(300)
def test_a_flush_under_load_is_made_up_for_and_nothing_partial_is_told(estate, redis):
    accounts = [f"f{i}" for i in range(20)]
    estate.projector(wait=False)
    estate.projector(wait=False)
    estate.ledger.transfers(600, accounts)
    estate.settled()
    for _ in range(3):
        estate.ledger.transfers(300, accounts)
        redis.call("FLUSHALL")
        estate.ledger.transfers(300, accounts)
    estate.settled(90)
    check_told(estate.records, redis, estate.ledger)
    for a in accounts:
        shown = redis.call("HMGET", f"balance:{TENANT}:{a}:NGN", "minor", "v")
        assert (int(shown[0]), int(shown[1])) == position(redis, a)


def test_a_gateway_sees_one_value_at_each_version(estate, redis):
    accounts = [f"g{i}" for i in range(5)]
    estate.projector()
    with Gateway(kafka=estate.kafka.bootstrap, TOPIC_BALANCE_UPDATES=estate.balances, BGW_REWIND="beginning", **redis.settings) as g:
        seen = {}
        for _ in range(20):
            estate.ledger.transfers(20, accounts)
            for a in accounts:
                response = read(g, a)
                if response.status == 200:
                    body = json.loads(response.body)
                    assert seen.setdefault((a, body["v"].split(".")[1]), body["minor"]) == body["minor"], (a, body)
        estate.settled()
        for a in accounts:
            until(lambda a=a: value(read(g, a)) == position(redis, a)[0], 20, "the gateway to show the position")
        assert len(seen) > len(accounts)
        assert "source_disagrees" not in g.log_text()


def test_what_cannot_be_applied_is_counted_and_passes(estate, redis):
    p = estate.projector()
    good = {"minor": 1, "source": "a", "dest": "b"}
    for text in (None, "", "{", json.dumps(good | {"minor": 0}), json.dumps(good | {"minor": 1.5}), json.dumps(good | {"source": "a b"}),
                 json.dumps({"minor": 1, "source": "a"}), '{"minor":1,"minor":1,"source":"a","dest":"b"}', json.dumps(good | {"x": "y" * 65536})):
        estate.ledger.raw(text, 0)
    redis.call("HSET", f"position:{TENANT}:rich:NGN", "minor", 2**63 - 1, "seq", 0)
    estate.ledger.raw(json.dumps({"minor": 1, "source": "poor", "dest": "rich"}), 0)
    estate.ledger.move("a", "b", 3, 0)
    estate.ledger.feed.flush()
    estate.settled()
    found = {k.split('"')[1]: n for k, n in p.metrics().items() if k.startswith("bgw_ledger_events_rejected_total") and n}
    assert found == {"null_value": 1, "empty_value": 1, "bad_json": 1, "out_of_range": 1, "bad_number": 1, "bad_id": 1, "missing_member": 1,
                     "duplicate_member": 1, "too_large": 1, "overflow": 1}
    assert position(redis, "rich") == (2**63 - 1, 0) and position(redis, "poor") is None
    lines = [json.loads(line) for line in p.log_text().splitlines() if "ledger_event_rejected" in line]
    assert [line["offset"] for line in lines] == list(range(10)) and "yyyy" not in p.log_text()


def test_a_log_that_does_not_hold_what_redis_has_lost_is_refused(estate, redis):
    accounts = ["t1", "t2", "t3"]
    p = estate.projector()
    estate.ledger.transfers(60, accounts)
    estate.settled()
    assert p.stop() == 0
    before = len(estate.records.read())
    cut = [TopicPartition(estate.events, 1, 5)]
    for future in estate.kafka.admin.delete_records(cut).values():
        future.result(20)
    redis.call("FLUSHALL")
    p = estate.projector(wait=False)
    until(lambda: "projection_refused" in p.log_text(), 60, "the refusal")
    status, reasons = until(lambda: (r := readyz(p)) and "begins at 5" in r[1] and r, 20, "the reason")
    assert status == 503 and "restore Redis or seed it" in reasons
    estate.ledger.transfers(10, accounts)
    until(lambda: (redis.call("HGET", projection(redis), "w0") or b"").isdigit(), 30, "what is there to be applied")
    assert len(estate.records.read()) == before and redis.call("KEYS", "balance:*") == []
    assert p.stop() == 0 and not p.ready_path.exists()


def projection(redis):
    return next((k for k in redis.call("KEYS", "projection:*:*") if not k.endswith(b":untold")), "none")


def readyz(p):
    if not p.admin():
        return None
    p.info = p.info or {"admin": p.admin()}
    status, _, body = p.http("/readyz?verbose", admin=True)
    return status, body


def test_a_redis_that_dies_and_comes_back_loses_nothing(kafka):
    accounts = [f"r{i}" for i in range(10)]
    with KeptRedis() as redis, ended(Estate(kafka, redis)) as estate:
        p = estate.projector()
        for _ in range(3):
            estate.ledger.transfers(200, accounts)
            redis.kill9()
            until(lambda: readyz(p)[0] == 503, 20, "the projector to see it")
            estate.ledger.transfers(50, accounts)
            redis.start()
        estate.settled()
        check_told(estate.records, redis, estate.ledger)
        until(lambda: readyz(p)[0] == 200, 20, "the projector to be well again")


@contextlib.contextmanager
def ended(estate):
    try:
        yield estate
    finally:
        for p in estate.projectors:
            p.stop()
        estate.records.close()


def test_a_pause_of_kafka_is_waited_out(kafka, estate, redis):
    accounts = [f"p{i}" for i in range(10)]
    p = estate.projector()
    estate.ledger.transfers(300, accounts)
    kafka.pause()
    try:
        until(lambda: readyz(p)[0] == 503, 15, "it to be noticed")
    finally:
        kafka.resume()
    estate.ledger.transfers(300, accounts)
    estate.settled()
    check_told(estate.records, redis, estate.ledger)


def test_a_backlog_is_projected_at_speed(estate, redis):
    """How fast: the line that it prints is in docs/projector.md."""
    accounts = [f"b{i}" for i in range(1000)]
    estate.ledger.transfers(BACKLOG, accounts)
    began = time.monotonic()
    estate.projector(binary=os.environ["BGW_RELEASE_BIN"], wait=False)

    def applied():
        key = [k for k in redis.call("KEYS", "projection:*:*") if not "untold" in str(k)]
        offsets = redis.call("HMGET", key[0], *(f"w{p}" for p in range(PARTITIONS))) if key else [None]
        return None not in offsets and sum(map(int, offsets)) + PARTITIONS == BACKLOG
    until(applied, 120, "the backlog to be applied")
    seconds = time.monotonic() - began
    print(f"{BACKLOG} events in {seconds:.2f} s from the start of the process: {BACKLOG / seconds:.0f}/s")
    estate.settled()
    assert BACKLOG / seconds > 250


def test_a_drain_tells_what_was_taken_and_the_next_one_goes_on(estate, redis):
    accounts = [f"d{i}" for i in range(10)]
    for _ in range(3):
        p = estate.projector(BGW_DRAIN_S=12)
        estate.ledger.transfers(500, accounts)
        assert p.stop() == 0
        assert '"event":"drain_cut_short"' not in p.log_text()
    estate.projector()
    estate.settled()
    check_told(estate.records, redis, estate.ledger)


@pytest.mark.parametrize("server", SERVERS[1:])
def test_another_server_does_as_well(kafka, server):
    with Redis(server=server) as redis, ended(Estate(kafka, redis)) as estate:
        estate.projector()
        estate.ledger.transfers(200, ["v1", "v2", "v3"])
        estate.settled()
        check_told(estate.records, redis, estate.ledger)


def test_a_topic_made_anew_is_refused_until_an_operator_says_what_it_is(estate, redis, kafka):
    p = estate.projector()
    estate.ledger.move("n1", "n2", 5, 0)
    estate.ledger.feed.flush()
    estate.settled()
    kafka.delete(estate.events)
    kafka.create(estate.events, PARTITIONS)
    until(lambda: "is not the topic that Redis was filled from" in readyz(p)[1], 60, "the refusal")
    redis.call("DEL", f"projection:{estate.events}")  # it goes on where the other one ended
    until(lambda: readyz(p)[0] == 200, 30, "it to go on")
    estate.ledger.move("n1", "n2", 7, 0)
    estate.ledger.feed.flush()
    estate.settled()
    assert position(redis, "n2") == (12, 1)


@pytest.mark.parametrize(("missing", "words"), [("KAFKA_BOOTSTRAP", "KAFKA_BOOTSTRAP is not set"), ("REDIS", "REDIS is not set"),
                                                (None, "KAFKA_BOOTSTRAP is `embedded`")])
def test_what_is_missing_is_said(missing, words):
    settings = {"KAFKA_BOOTSTRAP": "127.0.0.1:1", "REDIS": "127.0.0.1:1", "BGW_ADMIN_LISTEN": "127.0.0.1:0"}
    if missing:
        del settings[missing]
    else:
        settings["KAFKA_BOOTSTRAP"] = "embedded"
    done = subprocess.run([os.environ["BGW_BIN"], "project"], env=clean_env(**settings), capture_output=True, text=True, timeout=20)
    assert done.returncode == 3 and words in done.stderr, done


def test_brokers_that_are_away_are_waited_for():
    with Redis() as redis:
        nowhere = type("Nowhere", (), {"bootstrap": f"127.0.0.1:{free_port()}"})
        p = Projector(nowhere, redis, "ledger-events", "balance-updates", wait=False)
        status, body = until(lambda: (r := readyz(p)) and "cannot be reached" in r[1] and r, 20, "the reason")
        assert status == 503 and nowhere.bootstrap in body
        assert p.stop() == 0 and not p.ready_path.exists()


def test_a_log_of_transactions_is_projected_to_its_end(estate, redis):
    producer = Producer({"bootstrap.servers": estate.kafka.bootstrap, "transactional.id": "a-ledger", "log_level": 0})
    producer.init_transactions(20)
    for commits in (True, False, True, False):
        producer.begin_transaction()
        producer.produce(estate.events, json.dumps({"minor": 3, "source": "x1", "dest": "x2"}), partition=0)
        producer.flush(20)
        if commits:
            producer.commit_transaction(20)
            estate.ledger.count("x1", "x2", 3)
        else:
            producer.abort_transaction(20)
    estate.projector(holes=True)
    estate.settled()
    name = projection(redis)
    until(lambda: redis.call("HGET", name, "w0") == b"7", 20, "the last marker to be passed over")
    redis.call("FLUSHALL")
    estate.settled()
    assert position(redis, "x2") == (6, 1)
