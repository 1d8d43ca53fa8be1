# SPDX-License-Identifier: Apache-2.0
"""Socket.IO: a room an account (bench/peers/node/server-socketio.mjs)."""

import tools

from . import Peer, Server


class SocketIo(Peer):
    name = dialect = "socketio"
    settings = {
        "transports: ['websocket'], perMessageDeflate: false": "no long polling, no compression",
        "io.to(room).emit": "its in-memory adapter encodes a broadcast once for all",
        "socket.request = null": "documented to save memory",
        "bufferutil": "the addon that its page on performance tuning asks for",
        "pingInterval: 600000": "as rare as the gateway's in these runs; the default is 25 s",
    }
    has = {
        "resume": "connection state recovery, as long as the server keeps the packets (not switched on here)",
    }
    start = Server.start

    def configure(self, home):
        folder, said = tools.node()
        self.version = f"{said['socket.io']} (Node {said['node']})"
        return ["node", folder / "server-socketio.mjs"], {"NODE_ENV": "production"}, []

    @property
    def publish(self):
        return f"trigger:{self.info['trigger']}"
