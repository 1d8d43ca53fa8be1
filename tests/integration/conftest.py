# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a real Kafka for the whole run, gateways by the test."""

import pytest

from harness.gateway import Gateway
from harness.kafka import Feed, Kafka


@pytest.fixture(scope="session")
def kafka():
    broker = Kafka()
    yield broker
    broker.close()


@pytest.fixture
def gateway():
    """A gateway with its embedded broker, fresh for the test."""
    with Gateway() as g:
        yield g


@pytest.fixture
def feed(gateway):
    return Feed(gateway.bootstrap, readers=[gateway])
