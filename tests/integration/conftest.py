# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a real Kafka for the whole run, gateways by the test (BOTH_BROKERS: once on each kind)."""

import pytest

from harness.gateway import Gateway
from harness.kafka import Feed, Kafka


@pytest.fixture(scope="session")
def kafka():
    broker = Kafka()
    yield broker
    broker.close()


@pytest.fixture
def gateway(request):
    """A gateway, fresh for the test: with its embedded broker, or on a topic of the real one."""
    settings = {}
    if getattr(request, "param", "embedded") == "kafka":
        real = request.getfixturevalue("kafka")
        settings = {"kafka": real.bootstrap, "TOPIC_BALANCE_UPDATES": real.create()}
    with Gateway(**settings) as g:
        yield g


@pytest.fixture
def feed(gateway):
    return Feed(gateway.bootstrap, gateway.topic, readers=[gateway])
