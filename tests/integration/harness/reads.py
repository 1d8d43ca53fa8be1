# SPDX-License-Identifier: Apache-2.0
"""Many REST reads at a time: connections that are opened first, and asked together."""

import asyncio
import contextlib
import json
import time

from .raw import Response, get
from .tokens import token

BALANCE = "/ledger/accounts/{}/balance"


class Lane:
    """One connection, kept alive. read() returns the Response, with `seconds` it took."""

    def __init__(self, gateway, bearer=None):
        self.gateway, self.bearer = gateway, bearer or token(everything=True)

    async def __aenter__(self):
        host, port = self.gateway.listen.rsplit(":", 1)
        self.reader, self.writer = await asyncio.open_connection(host, int(port))
        return self

    async def __aexit__(self, *unused):
        self.writer.close()

    async def read(self, account, *headers):
        """account: or a path."""
        path = account if account.startswith("/") else BALANCE.format(account)
        started = time.monotonic()
        self.writer.write(get(path, f"Authorization: Bearer {self.bearer}", *headers).encode())
        response = Response((await self.reader.readuntil(b"\r\n\r\n"))[:-4], b"")
        if response.status not in (204, 304):
            response.body = await self.reader.readexactly(int(response.headers["content-length"]))
        response.seconds = time.monotonic() - started
        return response


@contextlib.asynccontextmanager
async def lanes(gateways, count, bearer=None):
    """So many connections, to each of the gateways in turn."""
    bearer = bearer or token(everything=True)
    async with contextlib.AsyncExitStack() as stack:
        every = [Lane(gateways[i % len(gateways)], bearer) for i in range(count)]
        await asyncio.gather(*(stack.enter_async_context(lane) for lane in every))
        yield every


def at_once(gateways, account, count, *headers):
    """The responses to so many reads of one account that are all under way together."""
    async def go():
        async with lanes(gateways, count) as every:
            return await asyncio.gather(*(lane.read(account, *headers) for lane in every))
    return asyncio.run(go())


def read(gateway, account, *headers, bearer=None):
    """One read over a connection of its own."""
    async def go():
        async with Lane(gateway, bearer) as lane:
            return await lane.read(account, *headers)
    return asyncio.run(go())


def value(response):
    """Its amount; the response must be one that has an honest one."""
    assert response.status == 200, (response.line, response.body)
    body = json.loads(response.body)
    assert body["minor"] == body["balance"] == body["availableMinor"] == body["balanceMinor"]
    return body["minor"]


def honest_refusal(response):
    """503, and not a number in it."""
    assert response.status == 503, (response.line, response.body)
    assert b"minor" not in response.body and b"balance\"" not in response.body, response.body
    assert "retry-after" in response.headers, response.fields
    return response
