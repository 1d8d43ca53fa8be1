// SPDX-License-Identifier: Apache-2.0
// The figures: how long a thousand clients need after a `kill -9`, how long one needs that was brought to
// the foreground, what the entries weigh. Everything runs on one machine, the clients in one process: so
// what they need to do their own work is in the figures too.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import WebSocket from 'ws';
import { createClient, type Client } from '../src/index.js';
import { account, Crowd, isFresh, sample, SHOPS } from '../test/real/crowd.js';
import { Gateway, replicaOf, token, until } from '../test/real/gateway.js';
import { Valve } from './valve.js';

export interface Scale {
  readonly clients: number;
  readonly phones: number;
  readonly rounds: number;
  readonly top: string;
  /** A broker with the demonstration's accounts; null: one is started. */
  readonly kafka: string | null;
}

const HEALTHY_MS = 5500; // after that a lost connection is the first one that is lost
const ASLEEP_MS = 3000;
const ADMISSIONS = [2000, 400];

const pause = (ms: number): Promise<void> => new Promise((next) => setTimeout(next, ms));
const quantile = (sorted: readonly number[], q: number): number => sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)]!;
const ascending = (times: readonly number[]): number[] => [...times].sort((a, b) => a - b);
const row = (...cells: unknown[]): void => console.log(`| ${cells.join(' | ')} |`);
const seconds = (times: readonly number[]): string => {
  const sorted = ascending(times);
  const [least, middle, most] = [sorted[0]!, quantile(sorted, 0.5), sorted.at(-1)!].map((ms) => (ms / 1000).toFixed(2));
  return `${middle} (${least} to ${most})`;
};

// ---- from kill -9 to current ----

async function restarts(gateway: Gateway, rate: number, { clients, rounds }: Scale): Promise<void> {
  const crowd = new Crowd(gateway.url, clients);
  const most: number[] = [];
  const all: number[] = [];
  const up: number[] = [];
  let refused = 0;
  await crowd.allFresh(60_000);
  for (let round = 0; round < rounds; round++) {
    await pause(HEALTHY_MS);
    const killedAt = performance.now();
    await gateway.kill();
    await gateway.start(gateway.ready.listen);
    up.push(performance.now() - killedAt);
    await crowd.allFresh(60_000);
    const took = ascending(crowd.members.map(({ freshAt }) => freshAt - killedAt));
    most.push(quantile(took, 0.99));
    all.push(took.at(-1)!);
    refused += (await sample(gateway.ready.admin)).refused;
  }
  crowd.stop();
  if (crowd.back.length) throw new Error(`older values were shown: ${crowd.back.slice(0, 3).join('; ')}`);
  const what = `\`kill -9\` and start again, ${clients} clients, ${rate} handshakes/s`;
  row(`${what}: 99 % current`, `${seconds(most)} s`);
  row(`${what}: all current`, `${seconds(all)} s; ${(refused / rounds).toFixed(0)} refused; the gateway itself ready after ${seconds(up)} s`);
}

// ---- from the foreground to a fresh value ----

interface Phone {
  readonly client: Client;
  /** The last frame that came. */
  heardAt: number;
  freshAt: number;
}

function phone(url: string, i: number): Phone {
  const phone = { heardAt: 0, freshAt: 0 } as Phone & { client: Client };
  class Heard extends WebSocket {
    constructor(address: string, protocols: string[]) {
      super(address, protocols, { perMessageDeflate: false });
      this.on('message', (data) => {
        if (String(data).includes('"pong"')) phone.heardAt = performance.now();
      });
    }
  }
  phone.client = createClient({ url, getToken: () => token({ sub: `phone-${i}` }), webSocket: Heard as never, defaultCurrency: 'NGN' });
  phone.client.subscribe(account(SHOPS + i), (now) => {
    if (isFresh(now)) phone.freshAt = performance.now();
  });
  return phone;
}

async function foregrounds(gateway: Gateway, { phones: count }: Scale): Promise<void> {
  const valve = new Valve(gateway.ready.listen);
  const url = await valve.listen();
  const phones = Array.from({ length: count }, (_, i) => phone(url, i));
  const fresh = (): boolean => phones.every(({ client }, i) => isFresh(client.get(account(SHOPS + i))));
  await until('all phones are fresh', fresh);

  const healthy: number[] = [];
  for (const each of phones) {
    each.client.notifyBackground();
    await pause(20);
    const from = performance.now();
    each.heardAt = 0;
    each.client.notifyForeground();
    await until('an answer', () => each.heardAt > 0);
    healthy.push(each.heardAt - from);
  }

  for (const { client } of phones) client.notifyBackground();
  valve.freeze();
  await pause(ASLEEP_MS);
  const from = performance.now();
  for (const each of phones) {
    each.freshAt = 0;
    each.client.notifyForeground();
  }
  await until('all phones are fresh again', () => phones.every(({ freshAt }) => freshAt > 0));
  const frozen = ascending(phones.map(({ freshAt }) => freshAt - from));

  for (const { client } of phones) client.stop();
  valve.end();
  const sorted = ascending(healthy);
  const shown = `${quantile(sorted, 0.5).toFixed(1)} ms (p99 ${quantile(sorted, 0.99).toFixed(1)})`;
  row('`notifyForeground()`, healthy connection: what is shown is proved current', shown);
  row('`notifyForeground()`, connection dead without a word: a fresh value', `${seconds(frozen)} s`);
}

// ---- what is downloaded ----

async function weigh(contents: string, top: string): Promise<number> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: top, loader: 'js' },
    bundle: true, minify: true, format: 'esm', target: 'es2022', write: false, external: ['react', './sse.js'], logLevel: 'error',
  });
  return gzipSync(outputFiles[0]!.contents, { level: 9 }).length;
}

async function sizes({ top }: Scale): Promise<void> {
  const bytes = (n: number): string => `${n.toLocaleString('en')} bytes of gzip`;
  const entry = async (name: string, what: string): Promise<void> => row(name, bytes(await weigh(what, top)));
  await entry('`createClient` alone', `export { createClient } from './dist/esm/index.js'`);
  await entry('`.` with all that it exports', `export * from './dist/esm/index.js'`);
  for (const name of ['react', 'react-native', 'web', 'testing']) await entry(`\`/${name}\``, `export * from './dist/esm/${name}.js'`);
  await entry('streams, loaded where sockets are blocked', `export * from './dist/esm/sse.js'`);
  row('`browser.js`', bytes(gzipSync(readFileSync(`${top}dist/browser.js`)).length));
}

async function withReplica(kafka: string, env: NodeJS.ProcessEnv, measure: (gateway: Gateway) => Promise<void>): Promise<void> {
  const gateway = replicaOf(kafka, env);
  try {
    await measure(await gateway.start());
  } finally {
    await gateway.end();
  }
}

export async function figures(scale: Scale): Promise<void> {
  row('what', 'measured');
  row('---', '---');
  // the embedded broker does not know all questions, and a gateway that starts waits four seconds for its answers
  const demo = scale.kafka ? null : await new Gateway(['--demo']).start();
  const kafka = scale.kafka ?? demo!.ready.kafka;
  try {
    for (const rate of ADMISSIONS) {
      await withReplica(kafka, { BGW_HANDSHAKES_PER_S: String(rate) }, (gateway) => restarts(gateway, rate, scale));
    }
    await withReplica(kafka, {}, (gateway) => foregrounds(gateway, scale));
  } finally {
    await demo?.end();
  }
  await sizes(scale);
}
