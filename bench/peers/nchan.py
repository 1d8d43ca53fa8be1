# SPDX-License-Identifier: Apache-2.0
"""Nchan: a module of nginx. A channel an account; a client subscribes by one request that names all of its channels."""

import os

import tools

from . import Peer, free_ports


class Nchan(Peer):
    name = dialect = "nchan"
    processes = 2  # a master and the worker, whose CPU counts
    settings = {
        "worker_processes 1": "one thread does all, as one shard of the gateway does; there is a master too, which sleeps",
        "nchan_message_buffer_length 10, nchan_message_timeout 60s": "the default length; a store is advised, for without "
        "one a message that a subscriber is not ready for is lost",
        "nchan_subscriber_first_message newest": "a client begins with what comes",
        "nchan_websocket_ping_interval 0": "the default: no pings",
        "nchan_channel_id_split_delimiter ','": "up to 255 channels a connection",
        "nchan_shared_memory_size 256M": "so that its store is never short",
        "access_log off, nchan_use_redis off": "memory only, nothing written",
    }
    has = {
        "access": "a request to an application of yours at the subscription (nchan_authorize_request; not switched on here)",
        "resume": "by message ids of the subprotocol ws+meta.nchan, as far as the buffer reaches (not used here)",
    }

    def configure(self, home):
        program, module, env, said = tools.nginx()
        self.version = f"{said['libnginx-mod-nchan'].removeprefix('1:')} (nginx {said['nginx']})"
        port, = free_ports(1)
        for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            (home / name).mkdir()
        conf = home / "nginx.conf"
        conf.write_text(f"""
load_module {module};
{"user root;" if os.geteuid() == 0 else ""}
worker_processes 1;
worker_rlimit_nofile {self.files};
daemon off;
pid {home}/pid;
error_log stderr error;
events {{ worker_connections {self.files}; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    nchan_shared_memory_size 256M;
    nchan_max_channel_id_length 8192;
    large_client_header_buffers 4 16k;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    server {{
        listen 127.0.0.1:{port} backlog=65535;
        location = /sub {{
            nchan_subscriber websocket;
            nchan_channel_id $arg_id;
            nchan_channel_id_split_delimiter ",";
            nchan_subscriber_first_message newest;
            nchan_websocket_ping_interval 0;
        }}
        location = /pub {{
            nchan_publisher http;
            nchan_channel_id $arg_id;
            nchan_message_buffer_length 10;
            nchan_message_timeout 60s;
        }}
    }}
}}
""")
        self.publish = f"nchan:127.0.0.1:{port}"
        return [program, "-e", "stderr", "-p", home, "-c", conf], env, [port]
