# SPDX-License-Identifier: Apache-2.0
"""mosquitto: MQTT over WebSocket. A topic an account, quality of service 0."""

import os

import tools

from . import Peer, free_ports


class Mosquitto(Peer):
    name, dialect = "mosquitto", "mqtt"
    settings = {
        "quality of service 0": "the least work: no acknowledgement from each client",
        "set_tcp_nodelay true": "documented to lower latency",
        "persistence false, log_type none, connection_messages false": "memory only, nothing written",
        "sys_interval 0": "no statistics messages",
        "max_queued_messages 1000": "the default; it bounds what waits for a client",
        "allow_anonymous true": "no access rules: they would only add work",
    }
    has = {
        "snapshot": "a retained message a topic (not used here)",
        "access": "rules by topic (acl_file, the dynamic security plugin; not switched on here)",
        "resume": "persistent sessions with quality of service 1 or 2 queue what was missed, all of it (not used here)",
    }

    def configure(self, home):
        program, env, said = tools.mosquitto()
        self.version = said["mosquitto"]
        plain, web = free_ports(2)
        conf = home / "mosquitto.conf"
        conf.write_text("\n".join([
            *(["user root"] if os.geteuid() == 0 else []),
            "allow_anonymous true", "persistence false", "log_dest stderr", "log_type none", "connection_messages false",
            "sys_interval 0", "set_tcp_nodelay true", "max_queued_messages 1000",
            f"listener {plain} 127.0.0.1", "protocol mqtt",
            f"listener {web} 127.0.0.1", "protocol websockets", ""]))
        self.publish = f"mqtt:127.0.0.1:{plain}"
        return [program, "-c", conf], env, [web, plain]
