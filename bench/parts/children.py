# SPDX-License-Identifier: Apache-2.0
"""Child processes that say where they listen and are always ended; certificates; a clean environment."""

import json
import os
import pathlib
import subprocess
import tempfile
import time

OURS = ("BGW_", "KAFKA_", "TOPIC_", "REDIS", "LEDGER_", "LS_")
SECRET = "bench-secret-bench-secret-bench-secret"
READY_S = 60


def tool(name, variable):
    return os.environ.get(variable) or name


def clean_env():
    """Without what configures a gateway, which refuses keys that it does not know."""
    return {k: v for k, v in os.environ.items() if not k.startswith(OURS)}


class Server:
    """A child process that says where it listens, on its first line or in a file, and is always ended."""

    def __init__(self, argv, env=None, ready_file=None):
        self.argv, self.env, self.ready_file = argv, env, ready_file
        self.dir = tempfile.TemporaryDirectory()
        self.log = open(os.path.join(self.dir.name, "log"), "w+b")
        self.start()

    def start(self):
        ready = self.ready_file
        self.proc = subprocess.Popen(self.argv, env=self.env, stdout=subprocess.PIPE if ready is None else self.log, stderr=self.log)
        try:
            self.info = self.first_line() if ready is None else self.wait_ready(ready)
        except BaseException:
            self.end()
            raise

    def first_line(self):
        line = self.proc.stdout.readline()
        if not line:
            raise SystemExit(f"{self.argv[0]} ended before it was ready:\n{self.said()}")
        return json.loads(line)

    def wait_ready(self, path):
        deadline = time.monotonic() + READY_S
        while not os.path.exists(path):
            if self.proc.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{self.argv[0]} did not become ready:\n{self.said()}")
            time.sleep(0.02)
        text = pathlib.Path(path).read_text()
        os.unlink(path)
        return json.loads(text)

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-2000:]

    @property
    def urls(self):
        return [self.info["listen"]]

    @property
    def pids(self):
        return [self.proc.pid]

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.end()

    def end(self):
        self.proc.terminate()
        try:
            self.proc.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
        if self.proc.stdout:
            self.proc.stdout.close()
        self.log.close()
        self.dir.cleanup()


class Certificate:
    """A self-signed P-256 certificate for one run."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory()
        self.cert, self.key = (os.path.join(self.dir.name, n) for n in ("cert.pem", "key.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                        "-keyout", self.key, "-out", self.cert], check=True, capture_output=True)
