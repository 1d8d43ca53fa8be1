// SPDX-License-Identifier: Apache-2.0
//
// A Socket.IO server: a room an account, `io.to(room).emit('upd', …)` for each line "VERSION ACCOUNT" on the trigger
// port. Its own adapter encodes a broadcast once for all. A client joins by the event `sub` with a list of keys, which is
// acknowledged. Settings are those of its documentation's pages on performance tuning and memory usage: WebSocket
// only, no compression, bufferutil, and the first HTTP request is let go. Started by bench/peers/socketio.py.
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { Server } from 'socket.io';
import { key, say, update } from './message.mjs';

const { values } = parseArgs({ options: { prefix: { type: 'string', default: 'bench:' } } });
const http = createServer();
const io = new Server(http, {
    transports: ['websocket'],
    allowUpgrades: false,
    perMessageDeflate: false,
    httpCompression: false,
    serveClient: false,
    maxHttpBufferSize: 65536,
    pingInterval: 600000, // as rare as the gateway's in these runs
    pingTimeout: 60000,
});
io.engine.on('connection', (socket) => {
    socket.request = null;
});
io.on('connection', (socket) => {
    socket.on('sub', (keys, acknowledge) => {
        socket.join(Array.isArray(keys) ? keys : [keys]);
        if (typeof acknowledge === 'function') acknowledge();
    });
});

const trigger = createTcpServer((socket) => {
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    createInterface({ input: socket }).on('line', (line) => {
        const [version, account] = line.split(' ').map(Number);
        io.to(key(values.prefix, account)).emit('upd', update(values.prefix, account, version));
    });
});

say(http, trigger);
