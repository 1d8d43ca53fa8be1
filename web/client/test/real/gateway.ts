// SPDX-License-Identifier: Apache-2.0
// The real binary (BGW_BIN) as a child process on free ports, and tokens that it takes.
import { spawn, type ChildProcess } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';

export const BIN = process.env.BGW_BIN;
const SECRET = 'a-secret-of-the-web-tests-0123456789abcdef';
const OURS = /^(BGW_|KAFKA_|TOPIC_|REDIS|LEDGER_|LS_)/; // it refuses keys that it does not know

export async function until(what: string, done: () => boolean | Promise<boolean>, ms = 20_000): Promise<void> {
  const end = Date.now() + ms;
  while (!(await done())) {
    if (Date.now() > end) throw new Error(`not in ${ms} ms: ${what}`);
    await new Promise((next) => setTimeout(next, 25));
  }
}

export interface Ready {
  readonly listen: string;
  readonly admin: string;
  readonly kafka: string;
}

export class Gateway {
  readonly #dir = mkdtempSync(`${tmpdir()}/bgw-web-`);
  readonly #args: string[];
  readonly #env: NodeJS.ProcessEnv;
  #child: ChildProcess | null = null;
  ready!: Ready;

  constructor(args: string[], env: NodeJS.ProcessEnv = {}) {
    const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !OURS.test(name)));
    this.#args = ['serve', ...args];
    this.#env = { ...clean, BGW_LISTEN: '127.0.0.1:0', BGW_ADMIN_LISTEN: '127.0.0.1:0', BGW_SHARDS: '1', BGW_DRAIN_S: '1', ...env };
  }

  async start(listen?: string): Promise<this> {
    const file = `${this.#dir}/ready`;
    rmSync(file, { force: true });
    const log = openSync(`${this.#dir}/log`, 'a');
    const env = { ...this.#env, BGW_READY_FILE: file, ...(listen && { BGW_LISTEN: listen }) };
    this.#child = spawn(BIN!, this.#args, { env, stdio: ['ignore', log, log] });
    await until('the gateway is ready', () => {
      if (this.#child?.exitCode != null) throw new Error(readFileSync(`${this.#dir}/log`, 'utf8').slice(-2000));
      return existsSync(file);
    });
    this.ready = JSON.parse(readFileSync(file, 'utf8')) as Ready;
    return this;
  }

  get url(): string {
    return `http://${this.ready.listen}`;
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise((done) => child.once('exit', done));
    child.kill('SIGKILL');
    await gone;
  }

  async end(): Promise<void> {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** A replica on another gateway's broker: it can die without taking the balances with it. */
export const replicaOf = (kafka: string, env: NodeJS.ProcessEnv = {}): Gateway =>
  new Gateway([], { KAFKA_BOOTSTRAP: kafka, BGW_JWT_SECRET: SECRET, BGW_REWIND: 'beginning', ...env });

export function token(claims: object = {}): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const all = { sub: 'web', iat: now, exp: now + 600, scope: 'accounts.read.all', tenant: 'tnt_demo', ...claims };
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(all)}`;
  return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`;
}
