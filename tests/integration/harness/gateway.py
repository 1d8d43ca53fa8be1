# SPDX-License-Identifier: Apache-2.0
"""The real binary as a child process, with everything bound to free ports."""

import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request

from .tokens import SECRET
from .wait import until

ADDRESS = "127.0.0.1:0"
OURS = ("BGW_", "KAFKA_", "TOPIC_", "REDIS", "LEDGER_", "LS_")


def clean_env(**more):
    """This environment without what configures a gateway, which refuses keys that it does not know."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    env.update({k: str(v) for k, v in more.items()})
    return env


class Gateway:
    def __init__(self, kafka="embedded", binary=None, wait=True, args=(), **env):
        self.dir = tempfile.TemporaryDirectory(prefix="bgw-it-")
        self.ready_path = pathlib.Path(self.dir.name, "ready")
        self.log_path = pathlib.Path(self.dir.name, "log")
        settings = dict(KAFKA_BOOTSTRAP=kafka, BGW_JWT_SECRET=SECRET, BGW_LISTEN=ADDRESS, BGW_ADMIN_LISTEN=ADDRESS,
                        BGW_READY_FILE=self.ready_path, BGW_SHARDS=2, BGW_DRAIN_S=2, BGW_LOG_FORMAT="json")
        settings.update(env)
        base = clean_env(**settings)
        self.binary = binary or os.environ["BGW_BIN"]
        self.log = open(self.log_path, "wb")
        self.proc = subprocess.Popen([self.binary, "serve", *args], env=base, stdout=self.log, stderr=self.log)
        self.topic = settings.get("TOPIC_BALANCE_UPDATES", "balance-updates")
        self.info = None
        self.ended = False
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout=30):
        def ready():
            assert self.proc.poll() is None, f"gateway ended with {self.proc.returncode}:\n{self.log_text()[-3000:]}"
            return self.ready_path.exists()
        until(ready, timeout, "ready file")
        self.info = json.loads(self.ready_path.read_text())
        return self

    def log_text(self):
        return self.log_path.read_text(errors="replace")

    @property
    def listen(self):
        return self.info["listen"]

    @property
    def ws(self):
        return f"ws://{self.listen}/ws"

    @property
    def bootstrap(self):
        return self.info["kafka"]

    def http(self, path, admin=False, headers=None):
        """(status, headers, body) of a GET; refusals are answers, not exceptions."""
        address = self.info["admin"] if admin else self.listen
        request = urllib.request.Request(f"http://{address}{path}", headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status, reply.headers, reply.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.headers, refusal.read().decode()

    def metrics(self):
        """{'name{labels}': value} of one scrape."""
        text = self.http("/metrics", admin=True)[2]
        rows = re.findall(r"^([a-z_]+(?:\{[^}]*\})?) (-?[0-9.e+]+)$", text, re.M)
        return {name: float(value) for name, value in rows}

    def metric(self, name):
        """The sum over every series of one name."""
        return sum(v for k, v in self.metrics().items() if k.split("{")[0] == name)

    def rss_kib(self):
        status = pathlib.Path(f"/proc/{self.proc.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def stop(self, timeout=15):
        """SIGTERM, then the exit status; no sanitizer may have spoken."""
        if not self.ended:
            self.proc.send_signal(signal.SIGTERM)
            self.finish(timeout)
        return self.proc.returncode

    def kill(self):
        self.proc.kill()
        self.finish(10)

    def finish(self, timeout):
        try:
            self.proc.wait(timeout)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            raise AssertionError(f"gateway did not end in {timeout} s:\n{self.log_text()[-3000:]}") from None
        finally:
            self.ended = True
            self.log.close()
        log = self.log_text()
        assert "Sanitizer" not in log and "runtime error:" not in log, log[-6000:]
        assert self.proc.returncode in (0, -signal.SIGKILL), log[-3000:]

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        if kind:
            print(self.log_text()[-4000:])
        if not self.ended:
            self.stop()
        self.dir.cleanup()
