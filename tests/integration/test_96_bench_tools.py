# SPDX-License-Identifier: Apache-2.0
"""What the bench measures with: bgw-feed publishes what it says, and bgw-swarm understands other servers however they cut
what they say, and notices when they lie."""

import collections
import json
import os
import pathlib
import re
import struct
import subprocess

import pytest
from confluent_kafka import Consumer, TopicPartition

from harness.fixtures import gateway  # noqa: F401
from harness.passers import Mqtt, Nats, Nchan, SocketIo, update
from harness.wait import until


def tool(name):
    return pathlib.Path(os.environ["BGW_SWARM"]).with_name(name)


def feed(*args, code=0):
    done = subprocess.run([tool("bgw-feed"), *map(str, args)], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout else None


def records_of(bootstrap, topic, count):
    """The topic's first records, in each partition's order."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "x", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        found = []
        while len(found) < count:
            batch = consumer.consume(count, timeout=10)
            assert batch, f"{len(found)} of {count} records"
            assert not any(m.error() for m in batch)
            found += batch
        return found
    finally:
        consumer.close()


@pytest.mark.parametrize("more", [[], ["--idempotent", "--linger-ms", 2]])
def test_records_arrive_with_rising_versions_at_the_rate_that_was_asked(gateway, tmp_path, more):  # noqa: F811
    topic, board = f"fed-{len(more)}", tmp_path / "board"
    said = feed("--publish", f"kafka:{gateway.bootstrap}", "--topic", topic, "--accounts", 7, "--records", 300, "--rate", 1000,
                "--prefix", "t.", "--board", board, *more)
    assert said["published"] == 300 and said["failed"] == 0
    assert said["seconds"] >= 0.299 and said["rate"] <= 1004  # the last is due at 299 ms, never before
    assert said["ack_us"]["n"] == 300 and 0 < said["ack_us"]["p50"] <= said["ack_us"]["p99"] <= said["ack_us"]["max"]
    versions = collections.Counter()
    for m in records_of(gateway.bootstrap, topic, 300):
        value, key = json.loads(m.value()), m.key().decode()
        account = int(key.removeprefix("t."))
        versions[key] += 1
        assert value.pop("ts") > 1.7e12
        assert value == {"accountId": key, "minor": versions[key] * 1000 + account, "currency": "NGN", "pendingMinor": 0,
                         "v": versions[key]}
    assert sorted(versions.values()) == [42] + 6 * [43]
    check_board(board.read_bytes(), 7, 300)


def check_board(data, accounts, records):
    """magic, accounts, ring, total; newest of each; of each account a ring of (due, acked)."""
    magic, count, ring, total = struct.unpack_from("<Qqqq", data)
    newest = struct.unpack_from(f"<{accounts}Q", data, 32)
    assert magic == int.from_bytes(b"bgwbord1", "little") and (count, total) == (accounts, records) and sum(newest) == records
    for account in range(accounts):
        for version in range(1, newest[account] + 1):
            due, acked = struct.unpack_from("<qq", data, 32 + 8 * accounts + 16 * (account * ring + version % ring))
            assert 0 < due < acked, (account, version)


def test_a_broker_that_is_not_there_is_told_and_ends_it():
    done = subprocess.run([tool("bgw-feed"), "--publish", "trigger:1", "--accounts", "1", "--records", "1"], capture_output=True, text=True)
    assert done.returncode == 1 and "nobody listens" in done.stderr and not done.stdout


@pytest.mark.parametrize("args", [["--accounts", "1", "--records", "1"], ["--publish", "smtp:1:2", "--accounts", "1", "--records", "1"],
                                  ["--publish", "trigger:1", "--accounts", "1"], ["--publish", "trigger:1", "--accounts", "0", "--records", "1"],
                                  ["--publish", "trigger:1", "--accounts", "1", "--records", "1", "--seconds", "1"]])
def test_what_makes_no_sense_is_answered_with_the_usage(args):
    done = subprocess.run([tool("bgw-feed"), *args], capture_output=True, text=True)
    assert done.returncode == 2 and "--publish" in done.stderr


def test_zipf_prefers_the_first_accounts_and_is_the_same_each_time():
    runs = []
    for _ in range(2):
        with Nats() as server:
            feed("--publish", server.publish, "--accounts", 100, "--records", 4000, "--zipf", 1)
        runs.append(server.published)
    assert runs[0] == runs[1] and len(runs[0]) == 4000
    counts = collections.Counter(name for name, _ in runs[0])
    shares = sum(1 / r for r in range(1, 101))
    for rank in (1, 2, 10):  # within five standard deviations
        expected = 4000 / rank / shares
        assert abs(counts[f"bench:{rank - 1:06d}"] - expected) < 5 * expected ** 0.5


@pytest.mark.parametrize("kind", [Nats, Mqtt, Nchan, SocketIo])
def test_other_servers_are_given_the_same_message(kind):
    with kind() as server:
        said = feed("--publish", server.publish, "--accounts", 3, "--records", 3000)
        until(lambda: len(server.published) == 3000, what="what a trigger, which nobody answers, has sent")
    assert said["published"] == 3000 and said["unsent"] == said["failed"] == 0
    expected = [(f"bench:{n % 3:06d}", json.dumps(update("bench:", n % 3, n // 3 + 1), separators=(",", ":")).encode())
                for n in range(3000)]
    assert server.published == expected
    assert said["ack_us"]["n"] == (3000 if kind is Nchan else 0)  # the others confirm nothing


def test_so_many_seconds_at_a_rate_are_so_many_records():
    with Nats() as server:
        said = feed("--publish", server.publish, "--accounts", 2, "--seconds", 0.4, "--rate", 500)
        free = feed("--publish", server.publish, "--accounts", 2, "--seconds", 0.1)
    assert said["published"] == 200 and said["seconds"] >= 0.398
    assert len(server.published) == 200 + free["published"] and free["published"] > 200


def test_a_name_is_made_safe_for_subjects():
    with Nats() as server:
        feed("--publish", server.publish, "--accounts", 1, "--records", 1, "--prefix", "a.b+c@d:")
    (name, body), = server.published
    assert name == "a_b_c@d:000000" and json.loads(body)["u"][0]["k"] == "a.b+c@d:000000"


def test_refusals_are_counted_and_fail_the_run():
    with Nchan() as server:
        server.status = "507 Insufficient Storage"
        said = feed("--publish", server.publish, "--accounts", 1, "--records", 50, code=1)
    assert said["failed"] == 50 and said["ack_us"]["n"] == 0


# ---- the swarm's clients of other servers ----

PEERS = [("nats", Nats), ("mqtt", Mqtt), ("nchan", Nchan), ("socketio", SocketIo)]


def swarm(server, dialect, *more, code=0):
    argv = [tool("bgw-swarm"), "--dialect", dialect, "--url", server.url, "--publish", server.publish, "--token", "none",
            "--clients", 5, "--accounts", 4, "--per-client", 2, "--messages", 5, "--burst", 12, "--timeout-s", 20, *more]
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("dialect,kind", PEERS)
def test_clients_of_other_servers_understand_them_however_it_is_cut(dialect, kind):
    with kind() as server:
        said = swarm(server, dialect)
    # of 5 clients with 2 of 4 accounts each, 2, 3, 3 and 2 watch an account; each has 15 of 60 messages
    assert said["completed"] and said["wrong"] == 0 and said["behind"] == 0
    assert said["entries"] == 5 * 2 * 15 and said["latency_us"]["n"] == said["entries"]
    assert len(server.requests) == 5
    if kind in (Nats, SocketIo):  # each fifth message brought a question to who watches its account
        assert server.answers == sum(2 if n % 4 in (2, 3) else 3 for n in range(4, 60, 5))


@pytest.mark.parametrize("dialect,kind", PEERS)
def test_clients_of_other_servers_ask_for_many_accounts_at_once(dialect, kind):
    with kind() as server:
        said = swarm(server, dialect, "--clients", 2, "--accounts", 80, "--per-client", 80)
    assert said["wrong"] == 0 and said["entries"] == 2 * 60
    assert {len(watching) for watching in server.subscribers.values()} == {2} and len(server.subscribers) == 80


def gone(n, body):
    return None if n == 30 else body


def changed(n, body):
    return re.sub(rb'"minor":"\d', b'"minor":"7', body) if n == 30 else body


def before(n, body):
    return re.sub(rb"base\.\d+", b"base.1", body) if n == 30 else body


@pytest.mark.parametrize("spoil", [gone, changed, before])
def test_a_server_that_loses_or_changes_a_message_is_found_out(spoil):
    with Nats(spoil) as server:
        said = swarm(server, "nats", code=1)
    assert said["wrong"] > 0


def test_a_topic_that_is_refused_is_found_out():
    with Mqtt() as server:
        server.refuse = True
        said = swarm(server, "mqtt", "--timeout-s", 2, code=1)
    assert not said["completed"]
