// SPDX-License-Identifier: Apache-2.0
//
// A server on the library `ws`, as its README broadcasts: one loop over those who asked for the account,
// `client.send` of one ready Buffer, which ws neither copies nor encodes again. A line "VERSION ACCOUNT" on the
// trigger port is one message. A client asks by `/ws?a=FIRST&n=COUNT` for as many of the --accounts, from FIRST on and
// around. Started by bench/peers/node_ws.py; its first line says where it listens.
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { WebSocketServer } from 'ws';
import { message, say } from './message.mjs';

const { values } = parseArgs({ options: { prefix: { type: 'string', default: 'bench:' }, accounts: { type: 'string', default: '1' } } });
const accounts = Number(values.accounts);
const groups = Array.from({ length: accounts }, () => new Set());

const http = createServer((_, response) => response.writeHead(426).end());
const sockets = new WebSocketServer({ server: http, perMessageDeflate: false, clientTracking: false, maxPayload: 4096 });

function groupsOf(url) {
    const asked = new URL(url, 'ws://localhost').searchParams;
    const count = Math.min(Number(asked.get('n')), accounts);
    return Array.from({ length: count }, (_, i) => groups[(Number(asked.get('a')) + i) % accounts]);
}

sockets.on('connection', (client, request) => {
    const mine = groupsOf(request.url);
    for (const group of mine) group.add(client);
    client.on('error', () => client.terminate());
    client.on('close', () => mine.forEach((group) => group.delete(client)));
});

const trigger = createTcpServer((socket) => {
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    createInterface({ input: socket }).on('line', (line) => {
        const [version, account] = line.split(' ').map(Number);
        const data = Buffer.from(message(values.prefix, account, version));
        for (const client of groups[account]) client.send(data, { binary: false });
    });
});

say(http, trigger);
