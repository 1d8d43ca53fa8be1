# SPDX-License-Identifier: Apache-2.0
"""The Autobahn cases of RFC 6455 (sections 1-7, 9, 10; 12 and 13 are compression, which is not
offered), driven by kosoku against tests/conformance/echo.c, over plain TCP and over TLS; and our own
(raw.py).

    python -m tests.conformance ECHO-PROGRAM OUT-DIRECTORY

Every case must behave OK. NON-STRICT is a failure. INFORMATIONAL is allowed only for the cases below,
which cannot end otherwise. kosoku speaks plain TCP only: for TLS a tunnel stands before the echo, which
takes its bytes and says them over TLS, and back.
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import threading

from . import raw

KOSOKU = [os.path.join(os.path.dirname(sys.executable), "kosoku")]

# These cases set INFORMATIONAL themselves, whatever the server does.
INFORMATIONAL = {
    "7.1.6": "256 KiB, a close frame and a ping back to back: which of the answers still get out is a matter of timing",
    "7.13.1": "close code 5000, of which the RFC says nothing",
    "7.13.2": "close code 65535, likewise",
}


class Echo:
    """The echo program; ends with its block."""

    def __init__(self, *args):
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


class Tunnel:
    """Plain TCP on a port of its own, TLS to `port`; in a thread."""

    def __init__(self, port):
        self.to = port
        self.port = None
        self.loop = asyncio.new_event_loop()
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        listening = threading.Event()
        self.thread = threading.Thread(target=self.run, args=[listening], daemon=True)
        self.thread.start()
        listening.wait(10)

    def run(self, listening):
        self.loop.run_until_complete(self.listen())
        listening.set()
        self.loop.run_forever()

    async def listen(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        try:
            tls_reader, tls_writer = await asyncio.open_connection("127.0.0.1", self.to, ssl=self.context)
        except OSError as e:
            print(f"tunnel: {e}")
            writer.close()
            return
        there = asyncio.ensure_future(pump(reader, tls_writer))
        back = asyncio.ensure_future(pump(tls_reader, writer))
        await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        if not back.done():  # the client has ended first: what is on its way to it still arrives
            tls_writer.close()
        await asyncio.wait([back], timeout=5)
        there.cancel()
        writer.close()
        tls_writer.close()

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)


async def pump(reader, writer):
    try:
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
    except OSError:  # reset: an end like any other
        pass


def run_cases(port, out):
    command = KOSOKU + [f"127.0.0.1:{port}", "-x", "12.*", "-x", "13.*", "-o", out]
    with open(os.path.join(out, "kosoku.log"), "w") as log:
        subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=600, check=True)
    with open(os.path.join(out, "index.json")) as f:
        (agent,) = json.load(f).values()
    return agent


def natural(case):
    return [int(part) for part in case.split(".")]


def judge(name, cases):
    passed = failed = 0
    for case in sorted(cases, key=natural):
        behavior, close = cases[case]["behavior"], cases[case]["behaviorClose"]
        ok = behavior == "OK" or (behavior == "INFORMATIONAL" and case in INFORMATIONAL)
        if close not in ("OK", "INFORMATIONAL"):
            ok = False
        if ok:
            passed += 1
        else:
            failed += 1
        if not ok or behavior != "OK":
            print(f"{name} {case}: {behavior}, close {close}{'' if ok else '   <-- NOT GOOD'}")
    sections = {case.split(".")[0] for case in cases}
    if not {"1", "2", "3", "4", "5", "6", "7", "9", "10"} <= sections:
        print(f"{name}: only sections {sorted(sections, key=int)} were run")
        failed += 1
    print(f"{name}: {passed} of {passed + failed} cases")
    return passed, failed


def main():
    echo, out = sys.argv[1], sys.argv[2]
    plain_out, tls_out = os.path.join(out, "plain"), os.path.join(out, "tls")
    for d in (plain_out, tls_out):
        os.makedirs(d, exist_ok=True)
    cert, key = os.path.join(out, "echo.crt"), os.path.join(out, "echo.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost"],
                   check=True, capture_output=True)
    with Echo(echo) as server:
        results = [raw.run("plain", server.port, False), judge("plain", run_cases(server.port, plain_out))]
    with Echo(echo, cert, key) as server:
        tunnel = Tunnel(server.port)
        results += [raw.run("tls", server.port, True), judge("tls", run_cases(tunnel.port, tls_out))]
        tunnel.stop()
    passed, failed = (sum(counts) for counts in zip(*results))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
