# SPDX-License-Identifier: Apache-2.0
"""A token issuer's key set server: over HTTP or HTTPS, on a port that it keeps when it goes down and
comes back, counting requests, and able to be slow, to lie and to fail."""

import http.server
import socketserver
import threading
import time

from .tokens import Key, key_set


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self):
        owner = self.server.owner
        with owner.lock:
            owner.requests.append(time.monotonic())
            status, body, delay = owner.status, owner.document, owner.delay
        if delay and owner.ended.wait(delay):
            return
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/jwk-set+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # nobody waits any more
            self.close_connection = True

    def log_message(self, *unused):
        pass


class Listener(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, owner, port):
        self.owner = owner
        super().__init__(("127.0.0.1", port), Handler)

    def process_request_thread(self, request, client_address):
        """The TLS handshake on the connection's thread: a client that does not shake holds nobody up."""
        try:
            if self.owner.tls:
                request = self.owner.tls.wrap_socket(request, server_side=True)
        except OSError:
            self.shutdown_request(request)
            return
        super().process_request_thread(request, client_address)

    def handle_error(self, *unused):
        pass


class KeySetServer:
    """keys: Keys or ready-made members. tls: a server's ssl context (certs.Authority.serving)."""

    def __init__(self, *keys, tls=None, up=True):
        self.tls, self.lock, self.ended = tls, threading.Lock(), threading.Event()
        self.requests, self.status, self.delay, self.document = [], 200, 0, b""
        self.port, self.listener = 0, None
        self.publish(*keys)
        self.up()
        if not up:
            self.down()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/.well-known/jwks.json"

    @property
    def count(self):
        with self.lock:
            return len(self.requests)

    def publish(self, *keys):
        self.answer(key_set(*keys))

    def answer(self, document, status=200, delay=0):
        """From now on; delay in seconds."""
        with self.lock:
            self.document, self.status, self.delay = document, status, delay

    def up(self):
        self.listener = Listener(self, self.port)
        self.port = self.listener.server_address[1]
        threading.Thread(target=self.listener.serve_forever, args=(0.05,), daemon=True).start()

    def down(self):
        if self.listener:
            self.listener.shutdown()
            self.listener.server_close()
        self.listener = None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.ended.set()
        self.down()


def new_keys():
    """One of each algorithm."""
    return {alg: Key(alg, f"key-{alg.lower()}") for alg in ("RS256", "PS256", "ES256", "EdDSA")}
