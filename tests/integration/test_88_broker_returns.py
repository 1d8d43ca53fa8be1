# SPDX-License-Identifier: Apache-2.0
"""A broker that comes back says for an instant that some of its partitions have no leader. librdkafka reads past what
it made of such an answer (docs/decisions/librdkafka-current-leader.md): nobody may end by it, and nothing may stand
still after it."""

import os
import pathlib
import struct
import time

import pytest

from harness.fake_kafka import NODE, FakeKafka
from harness.gateway import Gateway
from harness.kafka import TOPIC
from harness.wait import until

PARTITIONS = 24
SIZES = range(600, 1000, 100)


@pytest.fixture
def kafka():
    with FakeKafka(TOPIC, PARTITIONS) as k:
        yield k


def left_behind(size, shift):
    """Bytes for the client's heap, in the form of its list of partitions: one far below zero, led by a broker that
    there is. Whoever takes them for a list writes where nothing is."""
    row = struct.pack("<10i", -0x40000000, 0x7fffffff, NODE, *[0x7fffffff] * 7)
    return (row[shift:] + row * (size // len(row) + 1))[:size]


def half_led(epoch):
    return {"leaders": {p: (NODE if p < 2 else -1, epoch) for p in range(PARTITIONS)}}


def is_ready(g):
    assert g.proc.poll() is None, f"the gateway ended with {g.proc.returncode}"
    return g.http("/readyz", admin=True)[0] == 200


def test_partitions_without_a_leader_do_not_end_the_gateway(kafka):
    # in the build that is shipped: a sanitizer's memory is not the heap that this is about
    with Gateway(kafka=kafka.bootstrap, binary=os.environ["BGW_RELEASE_BIN"]) as g:
        until(lambda: is_ready(g), 20, "readiness")
        for size in SIZES:
            for shift in range(0, 40):
                kafka.script += [{"pad": left_behind(size, shift)}, half_led(1)]
        until(lambda: g.proc.poll() is not None or not kafka.script, 45, "all answers to be taken")
        assert g.proc.poll() is None, f"the gateway ended with {g.proc.returncode}"
        until(lambda: is_ready(g), 10, "readiness")


def test_partitions_whose_leader_is_back_are_read_again(kafka):
    with Gateway(kafka=kafka.bootstrap, BGW_FRESH_MS=1500, BGW_STALE_MS=3000) as g:
        until(lambda: is_ready(g) and len(kafka.fetched) == PARTITIONS, 20, "every partition to be read")
        for epoch in (1, 3, 5):
            kafka.script += [half_led(epoch) | {"stays": True}]
            until(lambda: not kafka.script, 10, "the answer to be taken")
            until(lambda: not is_ready(g) or stand_still(kafka), 20, "the partitions without a leader to be left alone")
            kafka.leaders = {p: (NODE, epoch + 1) for p in range(PARTITIONS)}
            before = dict(kafka.fetched)
            until(lambda: all(kafka.fetched[p] > before[p] for p in range(PARTITIONS)), 15, "every partition to be read again")
            until(lambda: is_ready(g), 10, "readiness")


def test_broker_that_is_away_costs_next_to_nothing(kafka):
    with Gateway(kafka=kafka.bootstrap, binary=os.environ["BGW_RELEASE_BIN"]) as g:
        until(lambda: is_ready(g) and len(kafka.fetched) == PARTITIONS, 20, "every partition to be read")
        kafka.refuse()
        started, spent = time.monotonic(), cpu_seconds(g)
        until(lambda: '"kafka_waiting"' in g.log_text(), 20, "three seconds to be gone without a proof")
        # there is a pause between the attempts; without it this was a whole core
        assert cpu_seconds(g) - spent < 0.25 * (time.monotonic() - started)
        kafka.welcome()
        before = dict(kafka.fetched)
        until(lambda: all(kafka.fetched[p] > before[p] for p in range(PARTITIONS)), 15, "every partition to be read again")
        until(lambda: is_ready(g), 10, "readiness")


def cpu_seconds(g):
    fields = pathlib.Path(f"/proc/{g.proc.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stand_still(kafka):
    """Of the partitions without a leader none was asked for while another was asked for ten times."""
    before = dict(kafka.fetched)
    until(lambda: kafka.fetched[0] >= before[0] + 10, 10, "the first partition to be read")
    return all(kafka.fetched[p] == before[p] for p in range(2, PARTITIONS))
