// SPDX-License-Identifier: Apache-2.0
// node examples/node.mjs [ACCOUNT…]: each balance as it changes, and how far it can be trusted.
import { createClient, formatBalance } from '@balance-gateway/client';
import WebSocket from 'ws'; // Node 22 has one of its own
import { accounts, getToken, url } from './demo.mjs';

const client = createClient({ url, getToken, webSocket: WebSocket });
client.on('state', (state) => console.log('connection', state.status, state.why ?? state.reason ?? ''));
client.on('error', (error) => console.error(error.code, error.message));
for (const account of accounts) {
  client.subscribe(account, (now) => {
    const asOf = now.status === 'stale' ? `as of ${new Date(now.asOf).toLocaleTimeString()}` : (now.freshness ?? now.reason ?? '');
    console.log(now.key, formatBalance(now.lastKnown, { locale: 'en', display: 'code' }), now.status, asOf);
  });
}
