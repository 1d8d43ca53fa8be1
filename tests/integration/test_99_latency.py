# SPDX-License-Identifier: Apache-2.0
"""Time that nobody needs: from a broker's confirmation to a client's socket, one record after the other, and from the
start of a gateway to ready. The bounds are several times what a machine with two cores takes."""

import asyncio
import json
import os
import random
import statistics
import threading
import time

import pytest
from confluent_kafka import Producer

from harness.gateway import Gateway
from harness.kafka import Feed
from harness.native import Native
from harness.tokens import token

RECORDS, WARM_UP = 200, 30
ACCOUNTS = [f"LAT{i}" for i in range(12)]
STARTS = 12


def gateway(**more):
    return Gateway(binary=os.environ["BGW_RELEASE_BIN"], **more)


class OneByOne:
    """Publishes a record, and knows when the broker confirmed it."""

    def __init__(self, g):
        self.topic, self.confirmed, self.ended = g.topic, {}, False
        self.producer = Producer({"bootstrap.servers": g.bootstrap, "linger.ms": 0, "log_level": 0})
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while not self.ended:
            self.producer.poll(0.1)

    def put(self, account, minor, v):
        record = {"accountId": account, "minor": minor, "currency": "NGN", "pendingMinor": 0, "v": v}
        self.producer.produce(self.topic, key=account, value=json.dumps(record),
                              on_delivery=lambda error, _: self.confirmed.update({minor: (time.monotonic(), error)}))

    async def confirmation(self, minor):
        while minor not in self.confirmed:
            await asyncio.sleep(0.001)
        at, error = self.confirmed[minor]
        assert not error, error
        return at

    def close(self):
        self.ended = True
        self.thread.join()


async def delays_ms(g):
    """Of each record, from its confirmation to the client; 0 where the client was first."""
    feed, out = OneByOne(g), []
    try:
        async with Native(g, token(everything=True)) as client:
            await client.sub(*ACCOUNTS)
            for minor in range(1, WARM_UP + RECORDS + 1):
                account = ACCOUNTS[minor % len(ACCOUNTS)]
                feed.put(account, minor, v=minor)
                await client.until(lambda: client.balances.get((account, "NGN")) == minor, what=f"record {minor}")
                heard = time.monotonic()
                out.append(max(0.0, heard - await feed.confirmation(minor)) * 1000)
                await asyncio.sleep(random.uniform(0, 0.01))  # so that no rhythm of ours meets one of theirs
    finally:
        feed.close()
    return out[WARM_UP:]


def tell(what, values, unit="ms"):
    values = sorted(values)
    print(f"{what}: median {statistics.median(values):.2f}, p90 {values[len(values) * 9 // 10]:.2f}, max {values[-1]:.2f} {unit}")


@pytest.mark.alone
def test_record_on_a_real_kafka_is_at_the_client_within_milliseconds_of_its_confirmation(kafka):
    with gateway(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=kafka.create()) as g:
        delays = asyncio.run(delays_ms(g))
    tell("real Kafka", delays)
    assert statistics.median(delays) < 5, sorted(delays)


@pytest.mark.alone
def test_record_on_the_embedded_broker_waits_for_no_long_poll():
    with gateway() as g:
        delays = asyncio.run(delays_ms(g))
    tell("embedded broker", delays)
    assert statistics.median(delays) < 8, sorted(delays)


def start_s(**more):
    began = time.monotonic()
    with gateway(**more) as g:
        took = time.monotonic() - began
        g.kill()
        return took


@pytest.mark.alone
def test_gateway_is_ready_without_waiting_for_any_timer(kafka):
    topic = kafka.create()
    assert start_s() < 3, "with its own broker"
    assert start_s(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic) < 3, "real Kafka, nothing to be read"
    with gateway() as other:
        assert start_s(kafka=other.bootstrap) < 3, "the embedded broker of another gateway"


@pytest.mark.alone
def test_start_with_records_to_read_does_not_wait_for_a_second_look_at_the_leaders(kafka):
    topic = kafka.create(partitions=6)
    feed = Feed(kafka.bootstrap, topic)
    for i in range(5000):
        feed.put(f"A{i}", i)
    feed.flush()
    times = [start_s(kafka=kafka.bootstrap, TOPIC_BALANCE_UPDATES=topic) for _ in range(STARTS)]
    tell(f"{STARTS} starts", times, "s")
    assert sum(t >= 1 for t in times) <= 1, sorted(times)
