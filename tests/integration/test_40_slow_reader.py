# SPDX-License-Identifier: Apache-2.0
"""A client that does not read costs a bounded amount, hurts nobody, and wakes to the newest value."""

import asyncio
import base64
import json
import os
import socket
import time

import pytest

from harness.gateway import Gateway
from harness.kafka import Feed
from harness.native import Native
from harness.tokens import token


def raw_client(gateway, keys):
    """A socket with a small receive buffer that subscribes and then reads nothing."""
    host, port = gateway.listen.rsplit(":", 1)
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect((host, int(port)))
    key = base64.b64encode(os.urandom(16)).decode()
    s.sendall((f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: bgw.v1\r\n"
               f"Authorization: Bearer {token(everything=True)}\r\n\r\n").encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += s.recv(1024)
    text = json.dumps({"op": "sub", "id": 1, "keys": keys}).encode()
    head = bytes([0x81, 0xFE]) + len(text).to_bytes(2, "big") + b"\0\0\0\0"
    s.sendall(head + text)
    return s


def frames_of(data):
    """(end, message) of every whole text frame."""
    at = 0
    while at + 2 <= len(data):
        length, head = data[at + 1] & 0x7F, 2
        if length == 126:
            length, head = int.from_bytes(data[at + 2:at + 4], "big"), 4
        elif length == 127:
            length, head = int.from_bytes(data[at + 2:at + 10], "big"), 10
        if at + head + length > len(data):
            return
        text, at, opcode = data[at + head:at + head + length], at + head + length, data[at] & 0x0F
        if opcode == 1:
            yield at, json.loads(text)


def wake(s, keys, newest):
    """Reads until every key shows its newest value; every version is shown or counted as merged."""
    s.settimeout(10)
    held, seqs, data, done = {}, {}, b"", 0
    while any(held.get(k) != newest for k in keys):
        data += s.recv(65536)
        for end, frame in frames_of(data):
            done = end
            for entry in frame.get("u", []):
                key, seq = entry["k"], int(entry["v"].split(".")[1])
                if key in seqs:
                    assert seq == seqs[key] + entry.get("merged", 0) + 1, (key, seqs[key], entry)
                held[key], seqs[key] = entry["d"]["minor"], seq
        data, done = data[done:], 0


@pytest.mark.alone
def test_clients_that_never_read_cost_flat_memory_and_wake_to_the_newest_value():
    async def go():
        with Gateway(binary=os.environ["BGW_RELEASE_BIN"], BGW_SO_SNDBUF=8192, BGW_STALL_S=60) as g:
            feed = Feed(g.bootstrap, readers=[g])
            keys = [f"S{i}" for i in range(200)]
            for key in keys:
                feed.put(key, 0)
            feed.flush()
            sleepers = [raw_client(g, keys) for _ in range(20)]
            async with Native(g, token(everything=True)) as reader:
                await reader.sub(*keys)

                async def storm(first, last):
                    for round_no in range(first, last):
                        for key in keys:
                            feed.put(key, round_no)
                        feed.flush()
                        began = time.monotonic()
                        await reader.until(lambda n=round_no: all(reader.balance(k) == n for k in keys))
                        assert time.monotonic() - began < 8
                await storm(1, 40)
                settled = g.rss_kib()
                await storm(40, 160)
                assert g.rss_kib() - settled < 8 * 1024
                reader.check()
            assert g.metric("bgw_updates_pending") > 20 * 100 * len(keys)
            for s in sleepers[:3]:
                wake(s, keys, "159")
            assert g.metric("bgw_updates_merged_total") > 3 * 100 * len(keys)
            for s in sleepers:
                s.close()
    asyncio.run(go())


def test_a_stalled_client_is_let_go_and_counted():
    async def go():
        with Gateway(BGW_SO_SNDBUF=4096, BGW_STALL_S=5) as g:
            feed = Feed(g.bootstrap, readers=[g])
            keys = [f"S{i}" for i in range(400)]
            s = raw_client(g, keys)
            async with Native(g, token(everything=True)) as reader:
                await reader.sub(*keys)
                n = 0
                deadline = time.monotonic() + 60
                while not any(v for k, v in g.metrics().items() if "closes_total" in k and "3008" in k):
                    n += 1
                    for key in keys:
                        feed.put(key, n)
                    feed.flush()
                    await reader.until(lambda: all(reader.balance(k) == n for k in keys))
                    assert time.monotonic() < deadline, "the stalled client was kept"
                reader.check()
            s.close()
    asyncio.run(go())
