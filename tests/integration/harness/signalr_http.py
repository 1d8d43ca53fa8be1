# SPDX-License-Identifier: Apache-2.0
"""SignalR over Server-Sent Events by hand: a stream that a GET opened, and POSTs on connections of
their own, each of which may come to another shard."""

import json

from .raw import Raw, Response
from .records import END, HELLO, ask, encoded, negotiate, post


def wanted(ident, token=None, *headers, accept="text/event-stream", in_query=None):
    """The GET that asks for the stream."""
    lines = [f"GET /ws?id={ident}" + (f"&access_token={in_query}" if in_query else "") + " HTTP/1.1", "Host: a",
             f"Accept: {accept}", *headers]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join(lines) + "\r\n\r\n"


class Stream(Raw):
    """One open stream. Records are read from it and posted to it."""

    def __init__(self, gateway, token, ident=None, request=None, **how):
        super().__init__(gateway, **how)
        self.gateway, self.token = gateway, token
        self.ident = ident or negotiate(gateway, token)["connectionToken"]
        self.waiting = []
        self.send(request or wanted(self.ident, token))
        while b"\r\n\r\n" not in self.buffer:
            self.fill(len(self.buffer) + 1)
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.head = Response(head, b"")
        assert self.head.status == 200, (self.head.line, self.buffer)
        assert self.take(3) == b":\r\n"  # at once: browsers say `open` then

    def post(self, *records, token=None, gateway=None, raw=None):
        body = raw if raw is not None else b"".join(encoded(r) + END for r in records)
        return ask(gateway or self.gateway, post(f"/ws?id={self.ident}", token or self.token, body))

    def say(self, *records):
        answer = self.post(*records)
        assert (answer.status, answer.body) == (200, b""), (answer.status, answer.body)
        return self

    def greet(self):
        self.say(HELLO)
        assert self.next() == {}
        return self

    def next_event(self, ev=None):
        """The records of the next event, undecoded."""
        while b"\r\n\r\n" not in self.buffer:
            self.fill(len(self.buffer) + 1)
        event, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        assert event.startswith(b"data: ") and b"\r" not in event and b"\n" not in event, event
        assert event.endswith(END), event  # an event ends with a record
        return event[len(b"data: "):-1].split(END)

    def next(self, pings=False):
        while True:
            if not self.waiting:
                self.waiting = self.next_event()
            record = json.loads(self.waiting.pop(0).decode())
            if pings or record.get("type") != 6:
                return record

    def until_target(self, target):
        """The arguments of the next call of that name."""
        while True:
            record = self.next()
            if record.get("target", "").lower() == target.lower():
                return record["arguments"]
