// SPDX-License-Identifier: Apache-2.0
// A client and a fake gateway on one fake clock, and what the client told.
import { createClient, type ClientError, type ClientOptions, type ConnectionState, type Entry, type Subscription } from '../src/index.js';
import { createFakeClock, createFakeServer, type FakeClock, type FakeServerOptions, type FakeServer } from '../src/testing.js';
import type { Client } from '../src/types.js';

export interface Rig {
  readonly clock: FakeClock;
  readonly server: FakeServer;
  readonly client: Client;
  readonly states: ConnectionState[];
  readonly entries: Entry[];
  readonly errors: ClientError[];
  readonly asked: string[];
  /** Subscribes and keeps what was told. */
  watch(key: string): Subscription[];
  run(ms?: number): Promise<void>;
}

export function rig(options: Partial<ClientOptions> = {}, fake: Partial<FakeServerOptions> = {}): Rig {
  const clock = createFakeClock();
  const server = createFakeServer({ clock, ...fake });
  const asked: string[] = [];
  const client = createClient({
    url: 'https://gateway.test',
    webSocket: server.webSocket,
    fetch: server.fetch,
    clock,
    random: () => 0.5,
    getToken: ({ reason }) => {
      asked.push(reason);
      return server.token();
    },
    ...options,
  });
  const states: ConnectionState[] = [];
  const entries: Entry[] = [];
  const errors: ClientError[] = [];
  client.on('state', (state) => states.push(state));
  client.on('balance', (entry) => entries.push(entry));
  client.on('error', (error) => errors.push(error));
  return {
    clock, server, client, states, entries, errors, asked,
    watch(key) {
      const seen: Subscription[] = [];
      client.subscribe(key, (now) => seen.push(now));
      return seen;
    },
    run: (ms = 0) => clock.advance(ms),
  };
}

export const last = <T>(list: readonly T[]): T => list[list.length - 1]!;
export const minorOf = (now: Subscription | undefined): bigint | undefined => now?.lastKnown?.minor;
