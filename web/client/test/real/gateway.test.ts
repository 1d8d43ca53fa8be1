// SPDX-License-Identifier: Apache-2.0
// The client against the real gateway: BGW_BIN names it; without it nothing here runs.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { createClient, type Client, type ClientOptions, type Subscription } from '../../src/index.js';
import { compareVersions } from '../../src/versions.js';
import { BIN, Gateway, replicaOf, token, until } from './gateway.js';

const A = 'msisdn::2348100000001';
const accounts = Array.from({ length: 20 }, (_, i) => `msisdn::23481${String(i + 1).padStart(8, '0')}`);

describe.skipIf(!BIN)('the real gateway', { timeout: 90_000 }, () => {
  let demo: Gateway;
  let gateway: Gateway;
  const clients: Client[] = [];
  beforeAll(async () => {
    demo = await new Gateway(['--demo']).start();
    gateway = await replicaOf(demo.ready.kafka).start();
  }, 60_000);
  afterAll(async () => {
    for (const client of clients) client.stop();
    await gateway?.end();
    await demo?.end();
  });

  function connect(options: Partial<ClientOptions> = {}): { client: Client; sent: string[] } {
    const sent: string[] = [];
    class Spy extends WebSocket {
      override send(text: never): void {
        sent.push(String(text));
        super.send(text);
      }
    }
    const client = createClient({ url: gateway.url, getToken: () => token(), webSocket: Spy as never, defaultCurrency: 'NGN', ...options });
    clients.push(client);
    return { client, sent };
  }

  const live = (now: Subscription | undefined): boolean => now?.status === 'live';

  it('is live within moments, agrees about the digest, and needs no repair', async () => {
    const { client, sent } = connect();
    for (const account of accounts) client.subscribe(account);
    const off = client.subscribe(`${A}/USD`);
    await until('all live', () => accounts.every((account) => live(client.get(account))));
    off();
    await new Promise((next) => setTimeout(next, 11_000)); // two marks
    expect(client.state.status).toBe('live');
    expect(sent.filter((text) => text.includes('"repair"'))).toEqual([]);
    client.stop();
  });

  it('that is killed and comes back goes on, and never with an older value', async () => {
    const { client } = connect();
    const shown = new Map<string, string>();
    const seen = new Set<string>();
    let back = 0;
    client.on('balance', ({ account, currency, lastKnown, status }) => {
      seen.add(status);
      if (!lastKnown) return;
      const slot = `${account}/${currency}`;
      if (['older', 'other'].includes(compareVersions(shown.get(slot) ?? lastKnown.v, lastKnown.v))) back++;
      shown.set(slot, lastKnown.v);
    });
    for (const account of accounts) client.subscribe(account);
    await until('all live', () => accounts.every((account) => live(client.get(account))));
    await gateway.kill();
    await until('reconnecting', () => client.state.status === 'reconnecting');
    expect(client.get(A)).toMatchObject({ status: 'stale', reason: 'disconnected' });
    const before = new Map(shown);
    await new Promise((next) => setTimeout(next, 2000)); // money goes on moving
    await gateway.start(gateway.ready.listen);
    await until('all live again', () => accounts.every((account) => live(client.get(account))), 40_000);
    await until('something moved', () => [...shown].some(([slot, v]) => before.get(slot) !== v));
    expect(back).toBe(0);
    expect(seen.has('stale')).toBe(true);
    client.stop();
  });

  it('denies what a token does not grant, and refreshes it in the connection', async () => {
    let calls = 0;
    const { client, sent } = connect({
      getToken: () => {
        const exp = Math.floor(Date.now() / 1000) + (calls++ ? 600 : 8);
        return token({ scope: 'accounts.read', accounts: calls > 1 ? [A, accounts[1]] : [A], exp });
      },
    });
    client.subscribe(A);
    client.subscribe(accounts[1]!);
    await until('denied', () => client.get(accounts[1]!).status === 'denied');
    expect(client.get(accounts[1]!)).toMatchObject({ reason: 'no_grant', lastKnown: null });
    await until('granted after the refresh', () => live(client.get(accounts[1]!)), 15_000);
    expect(sent.filter((text) => text.includes('"hello"'))).toHaveLength(1);
    client.stop();
  });

  it('ends with the gateway\'s word for a token that is none', async () => {
    const { client } = connect({ getToken: () => 'nonsense' });
    client.start();
    await until('ended', () => client.state.status === 'ended');
    expect(client.state).toMatchObject({ code: 3500, reason: 'token_malformed' });
  });

  it('streams where WebSockets are blocked, goes on after a kill, and takes more keys', async () => {
    class Blocked {
      readyState = 3;
      onclose: ((event: never) => void) | null = null;
      constructor() {
        setTimeout(() => this.onclose?.({ code: 1006 } as never), 5);
      }
      send(): void {}
      close(): void {}
    }
    const { client } = connect({ webSocket: Blocked as never, random: () => 0 });
    client.subscribe(A);
    await until('live by a stream', () => live(client.get(A)), 15_000);
    expect(client.state).toMatchObject({ status: 'live', transport: 'sse' });
    client.subscribe(accounts[1]!);
    client.subscribe('nobody-knows-this');
    await until('more keys', () => live(client.get(accounts[1]!)));
    await until('an unknown one', () => client.get('nobody-knows-this').reason !== null);
    expect(client.get('nobody-knows-this')).toMatchObject({ status: 'pending', lastKnown: null });
    await gateway.kill();
    await until('lost', () => client.get(A).status === 'stale');
    await gateway.start(gateway.ready.listen);
    await until('live again', () => live(client.get(A)) && live(client.get(accounts[1]!)), 30_000);
    client.stop();
  });
});
