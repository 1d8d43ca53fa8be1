// SPDX-License-Identifier: Apache-2.0
// node examples/signalr.mjs [ACCOUNT…]: Microsoft's own client, as it is, on the same port.
import { HubConnectionBuilder, LogLevel } from '@microsoft/signalr';
import { accounts, getToken, url } from './demo.mjs';

const hub = new HubConnectionBuilder()
  .withUrl(`${url}/ws`, { accessTokenFactory: getToken })
  .withAutomaticReconnect({ nextRetryDelayInMilliseconds: ({ previousRetryCount: n }) => Math.random() * Math.min(20_000, 500 * 2 ** n) })
  .configureLogging(LogLevel.Warning)
  .build();
hub.on('balanceUpdate', (json) => console.log('balance', json)); // amounts are numbers in it: beyond 2^53 read them as text
hub.on('balanceState', ({ accountId, state, asOf }) => console.log('state', accountId, state, asOf));
const subscribe = () => hub.invoke('SubscribeMultipleBalances', accounts);
hub.onreconnected(subscribe); // SignalR does not remember what was subscribed to
await hub.start();
await subscribe();
