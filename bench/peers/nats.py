# SPDX-License-Identifier: Apache-2.0
"""NATS: its own WebSocket listener, core NATS (no JetStream). A subject an account."""

import tools

from . import Peer, free_ports


class Nats(Peer):
    name = dialect = "nats"
    settings = {
        "websocket { no_tls: true, compression: false }": "the documentation's plain listener; compression costs CPU for each client",
        "GOMAXPROCS=1": "one thread runs Go code, as one shard of the gateway does; with more, sixteen pending cost it more CPU, not less",
        "ping_interval: 10m": "as rare as the gateway's in these runs; the default, 2m, would be more work",
        "write_deadline: 10s, max_pending: 64MB": "the defaults: what a client may leave unread before it is cut as a slow consumer",
        "no authorization": "permissions a subject would only add work; the gateway checks each account of each client",
    }
    has = {
        "access": "permissions by subject, a user or an account (not switched on here)",
    }

    def configure(self, home):
        program, said = tools.nats()
        self.version = f"{said['nats-server']} (Go {said['go']})"
        plain, web = free_ports(2)
        conf = home / "nats.conf"
        conf.write_text("\n".join([
            "host: 127.0.0.1", f"port: {plain}", "server_name: bench", "max_connections: 1000000", "ping_interval: 10m",
            "write_deadline: 10s", "max_pending: 64MB", "no_sys_acc: true", "debug: false", "trace: false",
            f"websocket {{ host: 127.0.0.1, port: {web}, no_tls: true, compression: false, handshake_timeout: 60s }}", ""]))
        self.publish = f"nats:127.0.0.1:{plain}"
        return [program, "-c", conf], {"GOMAXPROCS": "1"}, [web, plain]
