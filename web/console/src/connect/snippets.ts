// SPDX-License-Identifier: Apache-2.0
// A few lines for each kind of client. They are shown, and copied with the real address.
export interface Place {
  readonly base: string;
  readonly ws: string;
  readonly token: string;
  readonly account: string;
}
export interface Snippet {
  readonly name: string;
  readonly about: string;
  readonly code: (place: Place) => string;
}

export const SNIPPETS: readonly Snippet[] = [
  {
    name: 'JavaScript',
    about: 'The SDK, in browsers, Node and workers. It reconnects, resumes, and says how fresh each balance is.',
    code: ({ base, token, account }) => `import { createClient, formatBalance } from '@balance-gateway/client';

const client = createClient({ url: '${base}', getToken: () => '${token}' });
client.subscribe('${account}', (now) => {
  console.log(now.status, formatBalance(now.lastKnown), now.asOf && new Date(now.asOf));
});`,
  },
  {
    name: 'React',
    about: 'Hooks. Two components that show the same account share one subscription.',
    code: ({ base, token, account }) => `import { createClient, formatBalance } from '@balance-gateway/client';
import { BalanceProvider, useBalance } from '@balance-gateway/client/react';

const client = createClient({ url: '${base}', getToken: () => '${token}' });

function Balance() {
  const now = useBalance('${account}');
  return <p>{formatBalance(now.lastKnown)} <small>{now.status}</small></p>;
}

export const App = () => <BalanceProvider client={client}><Balance /></BalanceProvider>;`,
  },
  {
    name: 'SignalR',
    about: 'Any stock SignalR client: this gateway speaks the hub protocol. Only the address changes.',
    code: ({ base, token, account }) => `import { HubConnectionBuilder } from '@microsoft/signalr';

const hub = new HubConnectionBuilder()
  .withUrl('${base}/ws', { accessTokenFactory: () => '${token}' })
  .withAutomaticReconnect()
  .build();
hub.on('balanceUpdate', (json) => console.log(JSON.parse(json)));
hub.onreconnected(() => hub.invoke('SubscribeBalance', '${account}'));
await hub.start();
await hub.invoke('SubscribeBalance', '${account}');`,
  },
  {
    name: 'WebSocket',
    about: 'The native protocol by hand: one object a frame. Amounts are strings, because JavaScript would round them.',
    code: ({ ws, token, account }) => `const socket = new WebSocket('${ws}/ws', 'bgw.v1');
socket.onopen = () => {
  socket.send(JSON.stringify({ op: 'hello', token: '${token}' }));
  socket.send(JSON.stringify({ op: 'sub', id: 1, keys: ['${account}'] }));
};
socket.onmessage = ({ data }) => console.log(JSON.parse(data));`,
  },
  {
    name: 'EventSource',
    about: 'Server-Sent Events, where WebSockets are blocked. The browser reconnects and continues by itself.',
    code: ({ base, token, account }) => `const stream = new EventSource('${base}/v1/stream?account=${encodeURIComponent(account)}&access_token=${token}');
stream.addEventListener('upd', ({ data }) => console.log(JSON.parse(data)));
stream.addEventListener('state', ({ data }) => console.log(JSON.parse(data)));`,
  },
  {
    name: 'curl',
    about: 'One balance now, and a stream of them.',
    code: ({ base, token, account }) => `curl -H 'Authorization: Bearer ${token}' \\
  '${base}/ledger/accounts/${encodeURIComponent(account)}/balance'

curl -N -H 'Authorization: Bearer ${token}' \\
  '${base}/v1/stream?account=${encodeURIComponent(account)}'`,
  },
  {
    name: 'bgw',
    about: 'The gateway’s own watcher, for a terminal at three in the morning.',
    code: ({ ws, token, account }) => `bgw sub '${account}' --url '${ws}/ws' --token '${token}'`,
  },
];
