# SPDX-License-Identifier: Apache-2.0
"""SignalR record by record over a bare socket: what no stock client would send, and the order and
bytes of what really comes back."""

import json

from .raw import CLOSE, KEY, TEXT, Raw, Response, frame

END = b"\x1e"
HELLO = '{"protocol":"json","version":1}'
PING = '{"type":6}'


def post(path, token=None, body=None, headers=(), method="POST"):
    """A request; without a body it says no length at all, as browsers and XMLHttpRequest differ in that."""
    lines = [f"{method} {path} HTTP/1.1", "Host: a", *headers]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None:
        body = body if isinstance(body, bytes) else body.encode()
        lines += ["Content-Type: text/plain;charset=UTF-8", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def ask(gateway, request):
    """One request on a connection of its own; answers that have no body and no length are fine."""
    with Raw(gateway) as c:
        c.send(request)
        while b"\r\n\r\n" not in c.buffer:
            c.fill(len(c.buffer) + 1)
        head, c.buffer = c.buffer.split(b"\r\n\r\n", 1)
        response = Response(head, b"")
        if response.status not in (101, 204, 304):
            response.body = c.take(int(response.headers.get("content-length", "0")))
        return response


def negotiate(gateway, token, query="?negotiateVersion=1"):
    """The negotiation's answer, decoded."""
    response = ask(gateway, post(f"/ws/negotiate{query}", token, b""))
    assert response.status == 200, (response.status, response.body)
    return response.json()


class Records(Raw):
    """A connection that speaks records."""

    def __init__(self, gateway, **how):
        super().__init__(gateway, **how)
        self.waiting = []  # records of a message that were not asked for yet

    def open(self, token=None, query="", headers=(), expect=101):
        """The upgrade, as SignalR clients ask for it: without a subprotocol."""
        lines = [f"GET /ws{query} HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}", *headers]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        response = self.ask("\r\n".join(lines) + "\r\n\r\n")
        assert response.status == expect, (response.status, response.body)
        return self if expect == 101 else response

    def greet(self, token=None, **how):
        self.open(token, **how).say(HELLO)
        assert self.next() == {}
        return self

    def say(self, *records):
        """All of them in one message."""
        return self.pieces(b"".join(encoded(r) + END for r in records))

    def pieces(self, data, *cuts):
        """These bytes, as a message up to each cut and one for the rest."""
        for at, end in zip((0, *cuts), (*cuts, len(data))):
            self.frame(TEXT, data[at:end])
        return self

    def fragments(self, data, size):
        """These bytes as one message of many frames."""
        parts = [data[at:at + size] for at in range(0, len(data), size)]
        for i, part in enumerate(parts):
            self.send(frame(TEXT if i == 0 else 0, part, fin=i == len(parts) - 1))
        return self

    def next_bytes(self):
        """The next record as it stands on the wire, without its end."""
        while not self.waiting:
            opcode, payload = self.next_frame()
            assert opcode != CLOSE, payload
            if opcode == TEXT:
                assert payload.endswith(END), payload  # a message ends with a record
                self.waiting = payload[:-1].split(END)
        return self.waiting.pop(0)

    def next(self, pings=False):
        """The next record, decoded; pings are left out."""
        while True:
            record = json.loads(self.next_bytes().decode())
            if pings or record.get("type") != 6:
                return record

    def until_type(self, kind, **members):
        while True:
            record = self.next(pings=True)
            if record.get("type") == kind and all(record.get(k) == v for k, v in members.items()):
                return record

    def call(self, target, *arguments, ident="1"):
        """Its completion; what comes before is dropped."""
        self.say({"type": 1, "target": target, "arguments": list(arguments), "invocationId": ident})
        return self.until_type(3, invocationId=ident)

    def farewell_code(self):
        """The close frame's code, whatever was said before."""
        while True:
            opcode, payload = self.next_frame()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big") if payload else None

    def farewell(self):
        """([records before], the close frame's code)."""
        records, self.waiting = [json.loads(r) for r in self.waiting], []
        while True:
            opcode, payload = self.next_frame()
            if opcode == CLOSE:
                return records, int.from_bytes(payload[:2], "big") if payload else None
            if opcode == TEXT:
                records += [json.loads(r) for r in payload[:-1].split(END)]


def encoded(record):
    if isinstance(record, bytes):
        return record
    return (record if isinstance(record, str) else json.dumps(record, separators=(",", ":"))).encode()
