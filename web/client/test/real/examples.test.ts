// SPDX-License-Identifier: Apache-2.0
// The examples as a reader runs them (after a build), each until it has shown a balance.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { BIN, Gateway, until } from './gateway.js';

const top = fileURLToPath(new URL('../..', import.meta.url));
const CHROMIUM = '/usr/bin/chromium';
const built = existsSync(`${top}dist/browser.js`);

describe.skipIf(!BIN || !built)('examples', { timeout: 60_000 }, () => {
  let gateway: Gateway;
  let pages: Server;
  let origin = '';
  const children: ChildProcess[] = [];

  beforeAll(async () => {
    pages = createServer((request, response) => void serve(request.url ?? '/', (status, type, body) => {
      response.writeHead(status, { 'Content-Type': type }).end(body);
    }));
    await new Promise<void>((done) => pages.listen(0, '127.0.0.1', done));
    origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
    gateway = await new Gateway(['--demo'], { BGW_ORIGINS: origin }).start();
  }, 60_000);
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL');
    pages?.close();
    await gateway?.end();
  });

  async function serve(path: string, answer: (status: number, type: string, body: string | Buffer) => void): Promise<void> {
    const name = path.replace(/\?.*/, '');
    if (name === '/examples/token.json') return answer(200, 'application/json', await (await fetch(`${gateway.url}/demo/token.json`)).text());
    if (!/^\/(dist|examples)\/[a-z]+\.(js|html)$/.test(name)) return answer(404, 'text/plain', 'not here');
    answer(200, name.endsWith('.js') ? 'text/javascript' : 'text/html', readFileSync(top + name.slice(1)));
  }

  it.each([
    ['node.mjs', /msisdn::2348100000001 -?NGN\s[\d,]+\.\d\d live fresh/],
    ['signalr.mjs', /balance \{"accountId":"msisdn::2348100000001","minor":-?\d+/],
    ['eventsource.mjs', /msisdn::2348100000001 -?\d+ NGN/],
  ])('%s shows a balance', async (name, shows) => {
    let said = '';
    const child = spawn(process.execPath, [`examples/${name}`], { cwd: top, env: { ...process.env, BGW_URL: gateway.url } });
    children.push(child);
    child.stdout.on('data', (data) => (said += String(data)));
    child.stderr.on('data', (data) => (said += String(data)));
    await until(`${name} shows a balance`, () => shows.test(said)).catch((error: Error) => {
      throw new Error(`${error.message}; it said:\n${said}`);
    });
    child.kill('SIGKILL');
  });

  it.skipIf(!existsSync(CHROMIUM))('browser.html shows a balance in a browser', async () => {
    const dir = mkdtempSync(`${tmpdir()}/bgw-chromium-`);
    const page = `${origin}/examples/browser.html?gateway=${encodeURIComponent(gateway.url)}`;
    const child = spawn(CHROMIUM, ['--headless', '--no-sandbox', '--disable-gpu', '--remote-debugging-port=0', `--user-data-dir=${dir}`, page]);
    children.push(child);
    let said = '';
    child.stderr.on('data', (data) => (said += String(data)));
    await until('the browser listens', () => /DevTools listening on ws:/.test(said), 30_000);
    const debug = /ws:\/\/([^/]+)\//.exec(said)![1]!;
    let target: string | undefined;
    await until('the page is open', async () => {
      const tabs = (await (await fetch(`http://${debug}/json`)).json()) as { url: string; webSocketDebuggerUrl: string }[];
      target = tabs.find(({ url }) => url.startsWith(origin))?.webSocketDebuggerUrl;
      return !!target;
    });
    const socket = new WebSocket(target!);
    await new Promise((done) => socket.once('open', done));
    let text = '';
    socket.on('message', (data) => (text = (JSON.parse(String(data)) as { result?: { result?: { value?: string } } }).result?.result?.value ?? text));
    await until('a live balance', () => {
      socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression: 'document.body.innerText' } }));
      return /\d.* · live/.test(text);
    }).catch((error: Error) => {
      throw new Error(`${error.message}; the page shows: ${text}`);
    });
    expect(text).toMatch(/NGN|₦/);
    socket.close();
    child.kill('SIGKILL');
    await new Promise((done) => child.once('exit', done));
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  });
});
