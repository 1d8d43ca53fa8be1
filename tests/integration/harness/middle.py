# SPDX-License-Identifier: Apache-2.0
"""What stands between clients and gateways: an address that stays while gateways come and go, and a
company's proxy that does not let WebSockets through.

    with Middle(first) as middle:
        middle.target = second              # whoever connects from now on
        middle.refuse_upgrades = True
"""

import asyncio
import threading


class Middle:
    def __init__(self, gateway):
        self.target, self.refuse_upgrades, self.refused = gateway.listen, False, 0
        self.loop = asyncio.new_event_loop()
        self.writers, self.listening = set(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        assert self.listening.wait(10)
        return self

    def __exit__(self, *unused):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def run(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1000))
        self.listen = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        self.listening.set()
        self.loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if self.refuse_upgrades and b"upgrade: websocket" in head.lower():
                self.refused += 1
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            host, port = self.target.rsplit(":", 1)
            there, back = await asyncio.open_connection(host, int(port))
            back.write(head)
            await asyncio.gather(pump(reader, back), pump(there, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # one of them is gone, and so is the other
        finally:
            self.writers.discard(writer)
            writer.close()

    def cut(self):
        """Every connection, without a word."""
        def now():
            for writer in list(self.writers):
                writer.transport.abort()
        self.loop.call_soon_threadsafe(now)


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
