# SPDX-License-Identifier: Apache-2.0
"""Servers that pass on what is published, as the bench's peers do, each in a few lines and as awkwardly as its protocol
allows: packets in pieces, many in one message, questions in between. What bgw-feed and bgw-swarm say to them is kept."""

import asyncio
import contextlib
import itertools
import json
import threading

from websockets.asyncio.server import serve


class Passer:
    """clients speak WebSocket at `url`, the publisher whatever it speaks at `publish`. spoil: what becomes of the n-th
    message that is passed on (None: nothing is)."""

    kind = ""
    subprotocols = None
    lengths = (1, 2, 60, 3, 1000, 7)  # of WebSocket messages, where their borders mean nothing

    def __init__(self, spoil=lambda n, body: body):
        self.spoil, self.numbers = spoil, itertools.count(1)
        self.subscribers = {}  # name -> [(connection, what it calls it)]
        self.waiting = {}      # connection -> bytes
        self.requests, self.published, self.answers = [], [], 0

    def __enter__(self):
        self.loop, started = asyncio.new_event_loop(), threading.Event()
        self.thread = threading.Thread(target=lambda: self.loop.run_until_complete(self.main(started)), daemon=True)
        self.thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *unused):
        self.loop.call_soon_threadsafe(self.end.set)
        self.thread.join(10)

    async def main(self, started):
        self.end = asyncio.Event()
        async with serve(self.on_client, "127.0.0.1", 0, subprotocols=self.subprotocols, compression=None) as web:
            plain = await asyncio.start_server(self.on_publisher, "127.0.0.1", 0)
            self.url = "127.0.0.1:%d" % web.sockets[0].getsockname()[1]
            port = plain.sockets[0].getsockname()[1]
            self.publish = f"trigger:{port}" if self.kind == "trigger" else f"{self.kind}:127.0.0.1:{port}"
            started.set()
            await self.end.wait()
            plain.close()

    async def on_client(self, ws):
        self.requests.append(ws.request.path)
        self.waiting[ws], there = b"", asyncio.Event()
        ws.there = there
        pump = asyncio.create_task(self.pump(ws, there))
        try:
            await self.speak(ws)
        finally:
            pump.cancel()

    async def pump(self, ws, there):
        lengths = itertools.cycle(self.lengths)
        while True:
            await there.wait()
            there.clear()
            data, self.waiting[ws] = self.waiting[ws], b""
            while data:
                n = next(lengths)
                await ws.send(data[:n])
                data = data[n:]

    def stream(self, ws, data):
        self.waiting[ws] += data
        ws.there.set()

    def join(self, ws, name, called=None):
        self.subscribers.setdefault(name, []).append((ws, called))

    async def on_publisher(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self.take(reader, writer)
        writer.close()

    async def pass_on(self, name, body):
        self.published.append((name, body))
        n = next(self.numbers)
        body = self.spoil(n, body)
        if body is not None:
            for ws, called in self.subscribers.get(name, []):
                await self.hand(ws, name, called, body, n)

    async def speak(self, ws):
        raise NotImplementedError

    async def take(self, reader, writer):
        raise NotImplementedError

    async def hand(self, ws, name, called, body, n):
        raise NotImplementedError


class Nats(Passer):
    kind = "nats"

    async def speak(self, ws):
        self.stream(ws, b'INFO {"server_id":"NDXX","max_payload":1048576}\r\n')
        said = b""
        async for message in ws:
            said += message if isinstance(message, bytes) else message.encode()
            *lines, said = said.split(b"\r\n")
            for line in lines:
                word, *rest = line.decode().split(" ")
                if word == "SUB":
                    self.join(ws, rest[0], rest[1])
                elif word == "PING":
                    self.stream(ws, b"PONG\r\n")
                elif word == "PONG":
                    self.answers += 1
                else:
                    assert word == "CONNECT" and json.loads(rest[0])["verbose"] is False

    async def take(self, reader, writer):
        writer.write(b"INFO {}\r\n")
        while line := (await reader.readline()).decode():
            word, *rest = line.split()
            if word == "PING":
                writer.write(b"PONG\r\n")
            elif word == "PUB":
                body = await reader.readexactly(int(rest[1]) + 2)
                await self.pass_on(rest[0], body[:-2])

    async def hand(self, ws, name, called, body, n):
        question = b"PING\r\n" if n % 5 == 0 else b""
        reply = "_INBOX.x " if n % 3 == 0 else ""
        self.stream(ws, question + f"MSG {name} {called} {reply}{len(body)}\r\n".encode() + body + b"\r\n")


def varint(n):
    out = bytearray()
    while True:
        out.append(n & 127 | (128 if n > 127 else 0))
        n >>= 7
        if not n:
            return bytes(out)


class Bytes:
    """What a client says over WebSocket messages, to be read like a socket."""

    def __init__(self, ws):
        self.ws, self.data = ws, b""

    async def readexactly(self, n):
        while len(self.data) < n:
            self.data += await self.ws.recv()
        out, self.data = self.data[:n], self.data[n:]
        return out


async def packet(source):
    head, = await source.readexactly(1)
    length, shift = 0, 0
    while True:
        byte, = await source.readexactly(1)
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return head, await source.readexactly(length)


class Mqtt(Passer):
    kind = "mqtt"
    subprotocols = ["mqtt"]
    refuse = False

    async def speak(self, ws):
        source = Bytes(ws)
        head, body = await packet(source)
        assert head == 0x10 and body[:7] == b"\0\4MQTT\4" and body[7] == 2 and body[8:10] == b"\0\0"
        self.stream(ws, b"\x20\2\0\0")
        head, body = await packet(source)
        assert head == 0x82
        number, body, count = body[:2], body[2:], 0
        while body:
            length = int.from_bytes(body[:2], "big")
            self.join(ws, body[2:2 + length].decode())
            body, count = body[3 + length:], count + 1
        answer = number + (b"\x80" if self.refuse else b"\0") * count
        self.stream(ws, b"\x90" + varint(len(answer)) + answer)
        await ws.wait_closed()

    async def take(self, reader, writer):
        while True:
            head, body = await packet(reader)
            if head == 0x10:
                writer.write(b"\x20\2\0\0")
            elif head == 0xC0:
                writer.write(b"\xd0\0")
            else:
                assert head == 0x30
                end = 2 + int.from_bytes(body[:2], "big")
                await self.pass_on(body[2:end].decode(), body[end:])

    async def hand(self, ws, name, called, body, n):
        topic = len(name).to_bytes(2, "big") + name.encode()
        self.stream(ws, b"\x30" + varint(len(topic) + len(body)) + topic + body)


def update(prefix, account, version):
    d = {"currency": "NGN", "minor": str(version * 1000 + account % 1000), "pendingMinor": "0", "ts": 1793000000000}
    return {"ev": "upd", "u": [{"k": f"{prefix}{account:06d}", "v": f"base.{version}", "d": d}]}


class SocketIo(Passer):
    kind = "trigger"

    async def speak(self, ws):
        await ws.send('0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}')
        async for message in ws:
            if message == "40":
                await ws.send('40{"sid":"y"}')
            elif message == "3":
                self.answers += 1
            else:
                assert message.startswith('420["sub",')
                for name in json.loads(message[3:])[1]:
                    self.join(ws, name)
                await ws.send("430[]")

    async def take(self, reader, writer):
        while line := await reader.readline():
            version, account = map(int, line.split())
            body = json.dumps(update("bench:", account, version), separators=(",", ":")).encode()
            await self.pass_on(f"bench:{account:06d}", body)

    async def hand(self, ws, name, called, body, n):
        if n % 5 == 0:
            await ws.send("2")
        await ws.send(f'42["upd",{body.decode()}]')


class Nchan(Passer):
    kind = "nchan"
    status = "201 Created"

    async def speak(self, ws):
        for name in ws.request.path.removeprefix("/sub?id=").split(","):
            self.join(ws, name)
        await ws.wait_closed()

    async def take(self, reader, writer):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split(" ", 2)
            assert method == "POST" and path.startswith("/pub?id=")
            length = next(int(h.split(":")[1]) for h in head.split("\r\n") if h.lower().startswith("content-length:"))
            await self.pass_on(path.removeprefix("/pub?id="), await reader.readexactly(length))
            body = b"\r\nqueued messages: 1\r\n\r\n"
            writer.write(f"HTTP/1.1 {self.status}\r\nServer: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    async def hand(self, ws, name, called, body, n):
        await ws.send(body.decode())
