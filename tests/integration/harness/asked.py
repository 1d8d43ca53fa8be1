# SPDX-License-Identifier: Apache-2.0
"""Requests over bare sockets for the tests of docs/api/, and their answers whole, with a body or without."""

from .raw import KEY, Ended, Raw, Response
from .records import post

UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")


def request(path, *headers, bearer=None, method="GET", body=None):
    return post(path, bearer, body, headers, method)


def made(gateway, what):
    """The bytes of a request: with the gateway's token, unless it says another (None: none)."""
    if isinstance(what, bytes):
        return what.replace(b"Host: a\r\n", f"Host: a\r\nAuthorization: Bearer {gateway.token}\r\n".encode(), 1)
    if what[0] == "POST":
        return post(what[1], None, "")
    path, bearer, *headers = what
    return request(path, *headers, bearer=bearer)


def answer(gateway, bytes_asked):
    """ask(), for HEAD too."""
    with Raw(gateway) as c:
        c.send_as_far_as_taken(bytes_asked)
        if bytes_asked.startswith(b"HEAD"):
            return c.response(head_only=True)
        while b"\r\n\r\n" not in c.buffer:
            c.fill(len(c.buffer) + 1)
        if b"\r\ncontent-length:" not in c.buffer.lower():
            c.buffer = c.buffer.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n", 1)
        return c.response()


def method_of(asked):
    method = asked.split(b" ", 1)[0].decode()
    return "GET" if method == "HEAD" else method


def head_of(stream):
    """The head of a response that does not end."""
    while b"\r\n\r\n" not in stream.buffer:
        stream.fill(len(stream.buffer) + 1)
    head, stream.buffer = stream.buffer.split(b"\r\n\r\n", 1)
    return Response(head, b"")


def draining(gateway):
    """A connection that is new while the drain begins may be ended before it is answered."""
    try:
        return answer(gateway, request("/readyz")).status == 503
    except (Ended, OSError):
        return False
