# SPDX-License-Identifier: Apache-2.0
"""An HTTP origin, as the ledger's internal address: counts its calls, answers when and how the test
says. What an answer says is what was true when the request came, as with a database."""

import collections
import contextlib
import json
import socket
import threading
import time
import urllib.parse

REASONS = {200: "OK", 404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}


class Origin:
    """set() and remove() say what it knows; `delay` in seconds, `failing` a status, "cut" or "garbage", and hold() are
    switched while it runs. `every` answers for what nothing was set: a function (account, currency) -> members or None.
    `accounts`: the list of all that it knows; None: it has no such page."""

    def __init__(self, every=None):
        self.every, self.values, self.accounts = every, {}, None
        self.delay, self.failing = 0.0, None
        self.counts, self.asked = collections.Counter(), []
        self.changed = threading.Condition()
        self.held = set()
        self.port, self.listener, self.connections = 0, None, set()
        self.start()

    # ---- what it knows ----

    def set(self, account, minor, v=None, currency="NGN", **more):
        members = {"accountId": account, "currency": currency, "minor": minor, "pendingMinor": 0}
        with self.changed:
            self.values[account, currency] = members | ({} if v is None else {"v": v}) | more

    def remove(self, account, currency="NGN"):
        with self.changed:
            del self.values[account, currency]

    def calls(self, account=None, since=0.0):
        """How often it was asked: for one account, or since a time of time.monotonic()."""
        with self.changed:
            if account and not since:
                return self.counts[account]
            return sum(1 for at, name in self.asked if at >= since and account in (None, name))

    @contextlib.contextmanager
    def hold(self, *accounts):
        """Answers about them wait until the end of this."""
        with self.changed:
            self.held |= set(accounts)
        try:
            yield
        finally:
            with self.changed:
                self.held -= set(accounts)
                self.changed.notify_all()

    def wait_for(self, calls, account=None, timeout=10):
        with self.changed:
            fits = self.changed.wait_for(lambda: (self.counts[account] if account else len(self.asked)) >= calls, timeout)
        assert fits, f"{calls} calls were waited for in vain"

    # ---- the server ----

    @property
    def url(self):
        """For LEDGER_INTERNAL."""
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        """Really away: connections are refused."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.changed:
            connections, self.connections = self.connections, set()
        for c in connections:
            with contextlib.suppress(OSError):
                c.shutdown(socket.SHUT_RDWR)

    def accept(self, listener):
        while True:
            try:
                c, _ = listener.accept()
            except OSError:
                return
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.changed:
                self.connections.add(c)
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        with c, contextlib.suppress(OSError):
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = c.recv(65536)
                    if not data:
                        return
                    buffer += data
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                if not self.answer(c, head.split(b" ", 2)[1].decode()):
                    return

    def answer(self, c, target):
        """False: the connection ends."""
        path, _, query = target.partition("?")
        with self.changed:
            failing, delay = self.failing, self.delay
        if path == "/_internal/balance":
            asked = dict(urllib.parse.parse_qsl(query))
            members = self.look_up(asked["accountId"], asked["currency"])
        else:
            members = self.accounts if path == "/_internal/accounts" else None
        if delay:
            time.sleep(delay)
        if failing == "cut":
            return False
        status, body = (404, b"{}") if members is None else (200, json.dumps(members).encode())
        if failing == "garbage":
            status, body = 200, b'{"minor":0'
        elif failing:
            status, body = failing, b"out of order"
        c.sendall(f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n"
                  f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return True

    def look_up(self, account, currency):
        with self.changed:
            self.asked.append((time.monotonic(), account))
            self.counts[account] += 1
            members = self.values.get((account, currency)) or (self.every and self.every(account, currency))
            members = members and dict(members)
            self.changed.notify_all()
            self.changed.wait_for(lambda: account not in self.held)
        return members or None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        with self.changed:
            self.held.clear()
            self.changed.notify_all()
        self.stop()
