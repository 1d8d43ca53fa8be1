# SPDX-License-Identifier: Apache-2.0
"""HTTP and WebSocket over a bare socket: what no well-behaved client library would send, and what
really comes back, byte by byte."""

import json
import os
import socket
import struct
import time

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TEXT, BINARY, CLOSE, PING, PONG, CONT = 1, 2, 8, 9, 10, 0


class Ended(Exception):
    """The peer has closed."""


class Response:
    def __init__(self, head, body):
        lines = head.decode("latin-1").split("\r\n")
        self.line, self.status = lines[0], int(lines[0].split()[1])
        self.fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        self.headers = {name.lower(): value for name, value in self.fields}
        self.body = body

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json()["code"]


class Raw:
    def __init__(self, gateway, timeout=10, source=None, tls=None):
        """source: the address to come from; tls: a client's context."""
        host, port = gateway.listen.rsplit(":", 1)
        self.sock = socket.create_connection((host, int(port)), timeout, (source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.sock.close()

    def send(self, data, step=None):
        """step: in pieces of so many bytes, each a segment of its own."""
        data = data.encode("latin-1") if isinstance(data, str) else data
        for at in range(0, len(data), step or max(len(data), 1)):
            self.sock.sendall(data[at:at + (step or len(data))])
        return self

    def send_as_far_as_taken(self, data, step=None):
        """For what the peer may refuse before it is whole."""
        try:
            self.send(data, step)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def fill(self, wanted):
        while len(self.buffer) < wanted:
            data = self.sock.recv(65536)
            if not data:
                raise Ended(self.buffer)
            self.buffer += data

    def take(self, count):
        self.fill(count)
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def until_end(self):
        """All that still comes, up to the peer's close."""
        try:
            while True:
                self.fill(len(self.buffer) + 1)
        except Ended:
            data, self.buffer = self.buffer, b""
            return data

    def ended(self):
        return self.until_end() == b""

    # ---- HTTP ----

    def response(self, head_only=False):
        while b"\r\n\r\n" not in self.buffer:
            self.fill(len(self.buffer) + 1)
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        response = Response(head, b"")
        if response.status not in (101, 204, 304) and not head_only:
            response.body = self.take(int(response.headers["content-length"]))
        return response

    def ask(self, request, step=None):
        return self.send(request, step).response()

    # ---- WebSocket ----

    def upgrade(self, token=None, query="", headers=(), expect=101):
        lines = [f"GET /ws{query} HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Protocol: bgw.v1", *headers]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        response = self.ask("\r\n".join(lines) + "\r\n\r\n")
        assert response.status == expect, (response.status, response.body)
        return self if expect == 101 else response

    def frame(self, opcode, payload=b"", **how):
        return self.send(frame(opcode, payload, **how))

    def text(self, message, **how):
        return self.frame(TEXT, (message if isinstance(message, str) else json.dumps(message)).encode(), **how)

    def next_frame(self):
        """(opcode, payload); the server's frames are final and not masked."""
        first, second = self.take(2)
        assert first & 0x70 == 0 and first & 0x80 and not second & 0x80, (first, second)
        length = second & 0x7F
        if length == 126:
            length = struct.unpack(">H", self.take(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.take(8))[0]
        return first & 15, self.take(length)

    def next_event(self, ev=None):
        """The next text frame (of this kind), decoded."""
        while True:
            opcode, payload = self.next_frame()
            if opcode == TEXT and (ev is None or json.loads(payload)["ev"] == ev):
                return json.loads(payload)
            assert opcode != CLOSE, payload

    def close_code(self):
        """Reads on to the server's close frame; the code, None if it has none. No frame comes behind it."""
        while True:
            opcode, payload = self.next_frame()
            if opcode == CLOSE:
                assert len(payload) != 1
                return struct.unpack(">H", payload[:2])[0] if payload else None


def frame(opcode, payload=b"", fin=True, mask=True, rsv=0, length=None, size=None):
    """length: what the header says, if that is not the truth; size: bytes it is written in (0, 2, 8)."""
    n = len(payload) if length is None else length
    size = size if size is not None else (0 if n < 126 else 2 if n < 65536 else 8)
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    flag = 0x80 if mask else 0
    if size == 0:
        head += bytes([flag | n])
    else:
        head += bytes([flag | (126 if size == 2 else 127)]) + struct.pack(">H" if size == 2 else ">Q", n)
    if not mask:
        return head + payload
    key = os.urandom(4)
    pad = key * (len(payload) // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(pad[:len(payload)], "big") if payload else 0
    return head + key + masked.to_bytes(len(payload), "big")


def get(path, *headers, version="HTTP/1.1", host="a"):
    lines = [f"GET {path} {version}"] + ([f"Host: {host}"] if host else []) + list(headers)
    return "\r\n".join(lines) + "\r\n\r\n"


def cpu_seconds(pid):
    """What the process has used so far, user and system."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def lasts(seconds):
    """A generator of turns for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield end - time.monotonic()
