# SPDX-License-Identifier: Apache-2.0
"""An EventSource over a bare socket: reads the stream as the HTML standard says, comes again with the
last event's id, and checks what every client may rely on: whole blocks, an id before the first value
and with each `live`, a version that never goes back, comes once on a connection and not at all where
it is called current, merged counts that close every gap. An id covers all that was shown before it:
what no id covers when the connection is cut was of a write that broke, and may come once more."""

import json
import socket
import time
import urllib.parse

from .native import version_key
from .raw import Response


class Refused(Exception):
    def __init__(self, response):
        super().__init__(f"{response.status} {response.body[:300]}")
        self.response, self.status = response, response.status


class Events:
    def __init__(self, gateway, *accounts, token=None, query="", headers=(), token_in_query=False, last_id=None, receive=None):
        """receive: bytes of the socket's buffer."""
        self.gateway, self.accounts, self.token, self.query = gateway, accounts, token, query
        self.headers, self.token_in_query, self.receive_bytes = headers, token_in_query, receive
        self.last_id, self.retry_ms = last_id, None
        self.balances, self.versions, self.states = {}, {}, {}
        self.events, self.errors, self.revoked = [], [], []
        self.comments = self.merged = self.repeats = self.broken_repeats = 0
        self.covered = {}  # slot: its version that an id speaks of
        self.sub = self.live = self.bye = None
        self.sock = None

    def __enter__(self):
        return self.connect()

    def __exit__(self, *unused):
        self.cut()

    # ---- the connection ----

    def request(self):
        pairs = [("account", a) for a in self.accounts]
        if self.token and self.token_in_query:
            pairs.append(("access_token", self.token))
        lines = [f"GET /v1/stream?{urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote)}{self.query} HTTP/1.1", "Host: a", "Accept: text/event-stream",
                 *self.headers]
        if self.token and not self.token_in_query:
            lines.append(f"Authorization: Bearer {self.token}")
        if self.last_id:
            lines.append(f"Last-Event-ID: {self.last_id}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def connect(self, gateway=None):
        """Also again, here or elsewhere: what is held stays, as in a page."""
        self.cut()
        self.gateway = gateway or self.gateway
        host, port = self.gateway.listen.rsplit(":", 1)
        self.sock = socket.socket()
        if self.receive_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_bytes)
        self.sock.settimeout(10)
        self.sock.connect((host, int(port)))
        self.sock.sendall(self.request())
        self.buffer, self.sub, self.live, self.bye, self.ended = b"", None, None, None, False
        self.fresh = set()  # slots that were shown on this connection
        self.broken = self.uncovered()
        while b"\r\n\r\n" not in self.buffer:
            assert self.more(10), "ended before its head"
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.response = Response(head, b"")
        if self.response.status != 200:
            while self.more(10):
                pass
            self.response.body = self.buffer
            raise Refused(self.response)
        assert self.response.headers["content-type"] == "text/event-stream"
        assert "content-length" not in self.response.headers and "transfer-encoding" not in self.response.headers
        return self

    def cut(self):
        if self.sock:
            self.sock.close()
            self.sock = None

    def more(self, timeout):
        self.sock.settimeout(timeout)
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        self.ended = not data
        self.buffer += data
        return bool(data)

    # ---- blocks ----

    def take_block(self):
        """The next whole block's lines, None if there is none yet. What is cut off at the end never counts."""
        at = self.buffer.find(b"\n\n")
        if at < 0:
            return None
        block, self.buffer = self.buffer[:at], self.buffer[at + 2:]
        assert b"\r" not in block, block
        return block.decode().split("\n")

    def dispatch(self, lines):
        name, data = "message", []
        for line in lines:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not field:
                self.comments += 1
            elif field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "id":
                self.last_id = value
            elif field == "retry":
                self.retry_ms = int(value)
            else:
                raise AssertionError(f"no such field: {line!r}")
        if not data:
            return None
        event = name, json.loads("\n".join(data)), any(line.startswith("id: ") for line in lines)
        self.events.append(event)
        getattr(self, f"on_{name}")(event[1])
        if event[2]:
            self.covered.update((slot, self.versions[slot]) for slot in self.fresh)
        elif name == "live" or name == "upd" and not self.last_id:
            self.errors.append(f"no id with {event}")
        return event

    def receive(self, timeout=10):
        """The next event; None at the stream's end. A comment is no event."""
        deadline = time.monotonic() + timeout
        while True:
            while (lines := self.take_block()) is not None:
                if event := self.dispatch(lines):
                    return event
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if not self.more(left):
                assert not self.buffer, f"half a block at the end: {self.buffer!r}"
                return None

    def expect(self, name, timeout=10):
        while True:
            event = self.receive(timeout)
            assert event, f"the stream ended before {name}; last events: {self.events[-5:]}"
            if event[0] == name:
                return event[1]

    def until(self, condition, timeout=15, what="condition"):
        deadline = time.monotonic() + timeout
        try:
            while not condition():
                assert self.receive(max(deadline - time.monotonic(), 0.01)), f"ended before {what}; last events: {self.events[-5:]}"
        except TimeoutError:
            raise AssertionError(f"in vain for {what}; last events: {self.events[-5:]}") from None
        return self

    def drain(self, seconds):
        """Reads whatever comes for a while: to show that something does NOT come."""
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                assert self.receive(deadline - time.monotonic()), "the stream ended"
        except TimeoutError:
            return

    def until_end(self, timeout=15):
        deadline = time.monotonic() + timeout
        while self.receive(max(deadline - time.monotonic(), 0.01)):
            pass
        return self

    # ---- what the server says ----

    def on_sub(self, data):
        self.sub = data

    def on_live(self, data):
        self.live = data

    def on_upd(self, entry):
        slot = entry["k"], entry["d"]["currency"]
        new = version_key(entry["v"])
        old = self.versions.get(slot) and version_key(self.versions[slot])
        if old and old[0] == new[0]:
            if new[1] < old[1]:
                self.errors.append(f"{slot} went back from {old} to {new}")
            if new[1] == old[1]:
                if self.broken.pop(slot, None) == entry["v"]:
                    self.broken_repeats += 1
                else:
                    self.repeats += 1  # allowed where it could not be judged in time, and so was not called current
                if slot in self.fresh or slot[0] in self.sub["current"] or not entry.get("snap"):
                    self.errors.append(f"{slot} came twice: {entry}")
            if slot in self.fresh and new[1][0] != old[1][0] + entry.get("merged", 0) + 1:
                self.errors.append(f"{slot}: a gap from {old} to {new}, merged {entry.get('merged', 0)}")
        self.fresh.add(slot)
        self.merged += entry.get("merged", 0)
        self.versions[slot], self.balances[slot] = entry["v"], int(entry["d"]["minor"])
        if self.states.get(slot[0]) not in ("delayed", "stale"):
            self.states[slot[0]] = "fresh"

    def on_state(self, data):
        for key in data["keys"]:
            self.states[key] = data["state"]

    def on_revoked(self, data):
        self.revoked += data["keys"]

    def on_bye(self, data):
        self.bye = data

    def balance(self, account, currency="NGN"):
        return self.balances.get((account, currency))

    def uncovered(self):
        """What was shown and is not covered by an id: nothing, where a write has ended."""
        return {slot: v for slot, v in self.versions.items() if self.covered.get(slot) != v}

    def updates(self):
        return [data for name, data, _ in self.events if name == "upd"]

    def check(self):
        assert not self.errors, self.errors[:5]
