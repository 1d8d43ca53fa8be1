# SPDX-License-Identifier: Apache-2.0
"""Node's library ws: the least that a team writes itself (bench/peers/node/server-ws.mjs)."""

import tools

from . import Peer, Server


class NodeWs(Peer):
    name = dialect = "ws"
    settings = {
        "perMessageDeflate: false": "the default, and advised: compression costs CPU and memory",
        "client.send(buffer, { binary: false }) in a loop": "the broadcast of its README; one Buffer for all, so that nothing is encoded "
        "again. Its Sender.frame, which would save framing too, is not part of its documentation",
        "bufferutil": "its optional native addon, from the package's own binaries",
        "clientTracking: false": "the server keeps its own sets",
    }
    start = Server.start  # its first line says where it listens

    def configure(self, home):
        folder, said = tools.node()
        self.version = f"{said['ws']} (Node {said['node']})"
        return ["node", folder / "server-ws.mjs", "--accounts", self.accounts], {"NODE_ENV": "production"}, []

    @property
    def publish(self):
        return f"trigger:{self.info['trigger']}"
