# SPDX-License-Identifier: Apache-2.0
"""/v1/ops: the object, and its stream as a client of Server-Sent Events reads it."""

import contextlib
import json
import socket
import threading
import time

from .raw import Ended, Raw, Response, get
from .tokens import sign
from .wait import until


def ops_token(ttl=600.0, scope="ops.read", **claims):
    return sign({"sub": "operator", "exp": int(time.time() + ttl), "scope": scope, **claims})


def ops(gateway, bearer=None):
    """The object."""
    status, headers, body = gateway.http("/v1/ops", headers={"Authorization": f"Bearer {bearer or ops_token()}"})
    assert status == 200, body
    assert headers["content-type"] == "application/json" and headers["cache-control"] == "no-store"
    return json.loads(body)


def after(gateway, samples=1):
    """The object, so many collections from now."""
    seq = ops(gateway)["seq"] + samples
    return until(lambda: (o := ops(gateway)) and o["seq"] >= seq and o, 10 + samples, f"collection {seq}")


class OpsStream:
    """Open from its making on; a thread of its own notes each event with the time at which it came."""

    def __init__(self, gateway, bearer):
        self.raw = Raw(gateway, timeout=60)
        self.events, self.comments, self.buffer, self.ended_at = [], 0, b"", None
        self.raw.send(get("/v1/ops/stream", f"Authorization: Bearer {bearer}"))
        while b"\r\n\r\n" not in self.raw.buffer:
            self.raw.fill(len(self.raw.buffer) + 1)
        head, self.raw.buffer = self.raw.buffer.split(b"\r\n\r\n", 1)
        self.response = Response(head, b"")
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            while True:
                while b"\n\n" not in self.raw.buffer:
                    self.raw.fill(len(self.raw.buffer) + 1)
                block, self.raw.buffer = self.raw.buffer.split(b"\n\n", 1)
                self.take(block.decode().split("\n"))
        except (Ended, OSError):
            self.ended_at = time.time()

    def take(self, lines):
        name, data = "message", None
        for line in lines:
            field, _, value = line.partition(": ")
            self.comments += not field
            name = value if field == "event" else name
            data = value if field == "data" else data
        if data is not None:
            self.events.append((time.time(), name, json.loads(data)))

    def named(self, name):
        return [data for _, n, data in list(self.events) if n == name]

    @property
    def newest(self):
        objects = self.named("ops")
        return objects[-1] if objects else None

    def until(self, condition, timeout=15, what="an event"):
        """condition of the newest object."""
        return until(lambda: self.newest and condition(self.newest) and self.newest, timeout, what)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.cut()

    def cut(self):
        """A close alone would wait for the thread, which reads."""
        with contextlib.suppress(OSError):
            self.raw.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.raw.sock.close()
