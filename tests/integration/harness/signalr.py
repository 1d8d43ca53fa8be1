# SPDX-License-Identifier: Apache-2.0
"""npm's SignalR clients, unmodified, four generations side by side (tests/signalr), and plain `ws`
sockets for the estate app's frames: one Node process, ordered line by line.

    with Clients() as clients:
        hub = clients.hub(10, gateway, bearer)
        hub.start()
        hub.call("SubscribeBalance", "alice")
        hub.update(lambda u: u["minor"] == 5)
"""

import json
import os
import pathlib
import subprocess
import threading
import time

PROGRAM = pathlib.Path(__file__).parents[2] / "signalr" / "client.mjs"
FOLDER = os.environ.get("SIGNALR_CLIENTS", "")
VERSIONS = (3, 5, 8, 10)


class Failed(Exception):
    """A promise of the client was rejected: its error's text."""


class Clients:
    def __init__(self):
        self.process = subprocess.Popen(
            ["node", str(PROGRAM), FOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**os.environ, "NODE_NO_WARNINGS": "1"})
        self.news = threading.Condition()
        self.events, self.count, self.ended, self.noise = {}, 0, False, []
        threading.Thread(target=self.read, daemon=True).start()
        threading.Thread(target=lambda: self.noise.extend(self.process.stderr), daemon=True).start()
        self.ready = Connection(self, 0)
        self.ready.wait(lambda e: e["ev"] == "ready")

    def read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            event["at"] = time.monotonic()
            with self.news:
                self.events.setdefault(event["c"], []).append(event)
                self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    def order(self, op, c, **members):
        try:
            self.process.stdin.write(json.dumps({"op": op, "c": c, **members}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(f"the clients' process has ended: {''.join(self.noise)}") from None

    def new(self, kind, op, **members):
        self.count += 1
        connection = kind(self, self.count)
        self.order(op, self.count, **members)
        return connection

    def hub(self, version, gateway, token=None, query="", **options):
        """options: those of `build` in client.mjs. Not started."""
        url = gateway if isinstance(gateway, str) else f"http://{gateway.listen}/ws{query}"
        more = {} if token is None else {"token": token}
        hub = self.new(Hub, "open", version=version, url=url, **more, **options)
        hub.version = version
        return hub

    def app(self, gateway, token=None, query="", headers=None):
        headers = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        return self.new(App, "app", url=f"ws://{gateway.listen}/ws{query}", headers=headers)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        try:
            self.process.stdin.close()
            self.process.wait(5)
        except BrokenPipeError:
            pass  # it has ended; whoever ordered something then has said so
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert not [e for e in self.events.get(0, []) if e["ev"] == "unhandled"], self.events[0]


class Connection:
    def __init__(self, clients, c):
        self.clients, self.c, self.calls, self.seen = clients, c, 0, 0

    def events(self, ev=None, target=None):
        with self.clients.news:
            mine = list(self.clients.events.get(self.c, []))
        return [e for e in mine if (ev is None or e["ev"] == ev) and (target is None or e.get("target") == target)]

    def wait(self, wanted, timeout=15, after=0):
        """The first event (from the `after`th on) that is wanted."""
        deadline = time.monotonic() + timeout
        with self.clients.news:
            while True:
                mine = self.clients.events.get(self.c, [])
                while after < len(mine):
                    after += 1
                    if wanted(mine[after - 1]):
                        return mine[after - 1]
                left = deadline - time.monotonic()
                if left <= 0 or self.clients.ended:
                    last = "\n".join(str(e)[:400] for e in mine[-6:])
                    raise AssertionError(f"in vain; the last events:\n{last}\n{''.join(self.clients.noise[-20:])}")
                self.clients.news.wait(left)

    def ev(self, ev, timeout=15, after=0, **members):
        return self.wait(lambda e: e["ev"] == ev and all(e.get(k) == v for k, v in members.items()), timeout, after)

    def mark(self):
        """For `after`: what comes from now on."""
        return len(self.events())


class Hub(Connection):
    def result(self, op, timeout=15, **members):
        """The promise's value; `undefined` is ...; Failed if it was rejected."""
        self.calls += 1
        n = self.calls
        self.clients.order(op, self.c, n=n, **members)
        end = self.wait(lambda e: e.get("n") == n and e["ev"] in ("done", "failed"), timeout)
        if end["ev"] == "failed":
            raise Failed(end["error"])
        return end.get("value", ...)

    def begin(self, op, **members):
        """The same without waiting; the number that its `done` or `failed` will carry."""
        self.calls += 1
        self.clients.order(op, self.c, n=self.calls, **members)
        return self.calls

    def start(self, timeout=15):
        return self.result("start", timeout)

    def stop(self):
        return self.result("stop")

    def state(self):
        """"Connected", "Reconnecting", "Disconnected"…"""
        return self.result("state")

    def call(self, target, *args, timeout=15):
        return self.result("invoke", timeout, target=target, args=args)

    def send(self, target, *args):
        return self.result("send", target=target, args=args)

    def stream(self, target, *args):
        return self.result("stream", target=target, args=args)

    def refusal(self, op="start", **members):
        """The text with which it was rejected."""
        try:
            value = self.result(op, **members)
        except Failed as failed:
            return str(failed)
        raise AssertionError(f"it was not refused: {value}")

    def texts(self):
        """Every balanceUpdate so far: its argument as it came."""
        return [e["args"][0] for e in self.events("event", "balanceUpdate")]

    def update(self, wanted=lambda record: True, timeout=15, after=0):
        """The first balanceUpdate that is wanted, decoded."""
        return json.loads(self.wait(lambda e: e["ev"] == "event" and e["target"] == "balanceUpdate" and
                                    wanted(json.loads(e["args"][0])), timeout, after)["args"][0])

    def balance_state(self, state, timeout=15, after=0):
        return self.wait(lambda e: e["ev"] == "event" and e["target"] == "balanceState" and e["args"][0]["state"] == state,
                         timeout, after)["args"][0]


class App(Connection):
    """The estate app's frames, one JSON object each."""

    def say(self, message):
        self.clients.order("say", self.c, text=message if isinstance(message, str) else json.dumps(message))

    def invoke(self, method, *args):
        self.say({"type": "invoke", "method": method, "args": list(args)})

    def frames(self, target=None):
        frames = [json.loads(e["text"]) for e in self.events("frame")]
        return [f for f in frames if target is None or f.get("target") == target]

    def message(self, target, wanted=lambda arguments: True, timeout=15, after=0):
        """The arguments of the first such message."""
        def fits(e):
            if e["ev"] != "frame":
                return False
            frame = json.loads(e["text"])
            return frame.get("target") == target and wanted(frame["arguments"])
        return json.loads(self.wait(fits, timeout, after)["text"])["arguments"]

    def texts(self):
        return [f["arguments"][0] for f in self.frames("balanceUpdate")]

    def update(self, wanted=lambda record: True, timeout=15, after=0):
        return json.loads(self.message("balanceUpdate", lambda a: wanted(json.loads(a[0])), timeout, after)[0])

    def stop(self):
        self.clients.order("stop", self.c)
        return self.ev("closed")
