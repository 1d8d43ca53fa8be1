# SPDX-License-Identifier: Apache-2.0
"""Fixtures of a whole file, for the files that import them: its gateway, with the settings that the file names GATEWAY;
the topic's feed; the processes of the SignalR and app clients."""

import pytest

from .gateway import Gateway
from .kafka import Feed
from .signalr import Clients

__all__ = ["clients", "feed", "gateway"]


@pytest.fixture(scope="module")
def gateway(request):
    with Gateway(**getattr(request.module, "GATEWAY", {})) as g:
        yield g


@pytest.fixture(scope="module")
def feed(gateway):
    return Feed(gateway.bootstrap, readers=[gateway])


@pytest.fixture(scope="module")
def clients():
    with Clients() as c:
        yield c
