# SPDX-License-Identifier: Apache-2.0
"""The opening handshake alone, over a plain socket: what a gateway answers to a token, and how soon."""

import asyncio
import json
import time


class Answer:
    def __init__(self, status, body, seconds):
        self.status, self.body, self.seconds = status, body, seconds

    @property
    def code(self):
        return self.body.get("code")

    def __repr__(self):
        return f"{self.status} {self.body} after {self.seconds:.2f} s"


async def knock(gateway, token, timeout=15, **headers):
    """Sends one upgrade request with this token, reads the answer, and goes."""
    host, port = gateway.listen.rsplit(":", 1)
    began = time.monotonic()
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        try:
            lines = {"Host": gateway.listen, "Upgrade": "websocket", "Connection": "Upgrade",
                     "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
                     "Sec-WebSocket-Protocol": "bgw.v1", "Authorization": f"Bearer {token}", **headers}
            writer.write("".join(["GET /ws HTTP/1.1\r\n", *(f"{k}: {v}\r\n" for k, v in lines.items()), "\r\n"]).encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            status = int(head.split()[1])
            length = [line.split(":")[1] for line in head.lower().splitlines() if line.startswith("content-length:")]
            body = await reader.readexactly(int(length[0])) if length and status != 101 else b""
            return Answer(status, json.loads(body or b"{}"), time.monotonic() - began)
        finally:
            writer.close()
