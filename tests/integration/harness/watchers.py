# SPDX-License-Identifier: Apache-2.0
"""One client of each dialect that looks at one account, reading in the background: what each was shown,
in order."""

import asyncio
import contextlib
import json
import threading

from .curl_stream import CurlStream
from .native import Native
from .raw import TEXT, Ended
from .records import Records
from .wait import until


class Watcher:
    """shown(): the amounts that were on its screen, in order."""

    def __init__(self, name):
        self.name, self.amounts = name, []

    def shown(self):
        return list(self.amounts)

    def until(self, minor, timeout=15):
        try:
            until(lambda: self.shown() and self.shown()[-1] == minor, timeout)
        except AssertionError:
            raise AssertionError(f"{self.name} does not end on {minor}: {self.shown()[-6:]}") from None


class NativeWatcher(Watcher):
    def __init__(self, gateway, bearer, account):
        super().__init__("native")
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.account, self.client = account, Native(gateway, bearer)
        self.run(self.begin())

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    async def begin(self):
        await self.client.__aenter__()
        await self.client.sub(self.account)

        async def read_on():
            with contextlib.suppress(Exception):
                while True:
                    await self.client.receive(3600)
        self.task = self.loop.create_task(read_on())

    def shown(self):
        entries = [e for f in list(self.client.frames) if f["ev"] == "upd" for e in f["u"]]
        return [int(e["d"]["minor"]) for e in entries if e["k"] == self.account]

    def close(self):
        async def end():
            self.task.cancel()
            await self.client.ws.close()
        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()
        self.client.check()


class StreamWatcher(Watcher):
    def __init__(self, gateway, bearer, account):
        super().__init__("event stream")
        self.stream = CurlStream(gateway, bearer, account)

    def shown(self):
        return [int(e["d"]["minor"]) for e in self.stream.entries()]

    def close(self):
        self.stream.__exit__()


class SignalrWatcher(Watcher):
    """Also the estate's app, whose frames are one object each."""

    def __init__(self, gateway, bearer, account, app=False):
        super().__init__("app" if app else "signalr")
        self.app, self.conn = app, Records(gateway, timeout=3600)
        if app:
            self.conn.open(bearer).text({"type": "invoke", "method": "SubscribeBalance", "args": [account]})
        else:
            self.conn.greet(bearer).say({"type": 1, "target": "SubscribeBalance", "arguments": [account]})
        threading.Thread(target=self.read, daemon=True).start()

    def next(self):
        if not self.app:
            return self.conn.next()
        while True:
            opcode, payload = self.conn.next_frame()
            if opcode == TEXT:
                return json.loads(payload)

    def read(self):
        with contextlib.suppress(Ended, OSError, AssertionError):
            while True:
                message = self.next()
                if message.get("target") == "balanceUpdate":
                    self.amounts.append(json.loads(message["arguments"][0])["minor"])

    def close(self):
        self.conn.sock.close()


@contextlib.contextmanager
def every_dialect(gateways, bearer, account):
    """One of each on each of the gateways."""
    watchers = []
    try:
        for g in gateways:
            watchers += [NativeWatcher(g, bearer, account), StreamWatcher(g, bearer, account), SignalrWatcher(g, bearer, account),
                         SignalrWatcher(g, bearer, account, app=True)]
        yield watchers
    finally:
        for w in watchers:
            w.close()
