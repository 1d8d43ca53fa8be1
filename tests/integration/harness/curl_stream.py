# SPDX-License-Identifier: Apache-2.0
"""GET /v1/stream as `curl -N` reads it, cut into events."""

import json
import subprocess
import threading
import time
import urllib.parse


class CurlStream:
    """events: [(name, data decoded, last id)] as they came; comments apart."""

    def __init__(self, gateway, token, *accounts, last_id=None, path="/v1/stream"):
        query = urllib.parse.urlencode([("account", a) for a in accounts])
        command = ["curl", "-sSN", "--noproxy", "*", f"http://{gateway.listen}{path}?{query}", "-H", f"Authorization: Bearer {token}"]
        if last_id:
            command += ["-H", f"Last-Event-ID: {last_id}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.news = threading.Condition()
        self.events, self.comments, self.ended, self.last_id = [], [], False, None
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        name, data = "message", []
        for line in self.process.stdout:
            line = line.rstrip("\r\n")
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            with self.news:
                if not line:
                    if data:
                        self.events.append((name, json.loads("\n".join(data)), self.last_id))
                    name, data = "message", []
                elif not field:
                    self.comments.append(value)
                elif field == "event":
                    name = value
                elif field == "data":
                    data.append(value)
                elif field == "id":
                    self.last_id = value
                self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    def wait(self, wanted, timeout=15):
        """The first event's data that is wanted(name, data)."""
        deadline, at = time.monotonic() + timeout, 0
        with self.news:
            while True:
                while at < len(self.events):
                    name, data, _ = self.events[at]
                    if wanted(name, data):
                        return data
                    at += 1
                left = deadline - time.monotonic()
                if left <= 0 or self.ended:
                    raise AssertionError(f"in vain; ended: {self.ended}; the last events: {self.events[-5:]}")
                self.news.wait(left)

    def entries(self):
        with self.news:
            return [data for name, data, _ in self.events if name == "upd"]

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()
