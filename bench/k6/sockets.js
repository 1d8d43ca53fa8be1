// SPDX-License-Identifier: Apache-2.0
//
// WebSockets in the native dialect bgw.v1: each VU opens one, says hello with its token, subscribes,
// stays for a while and checks what it is shown: hello, the subscription's answer, a snapshot of every
// key before `live`, amounts that are integers in strings, versions that only rise.
//
//   k6 run -e BGW_URL=ws://127.0.0.1:5851/ws -e BGW_TOKEN=… bench/k6/sockets.js
//
// BGW_ACCOUNTS  accounts, separated by commas; or BGW_PREFIX and BGW_KEYS: PREFIX000000, PREFIX000001, …
// BGW_SOCKETS   sockets (1000), opened evenly over BGW_RAMP_S seconds (10)
// BGW_HOLD_S    seconds that each stays (30)
// BGW_PER_SOCKET  accounts that each watches (1)
// BGW_MOVING    1: an update must come while it stays

import exec from 'k6/execution';
import { check, sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';
import { setTimeout } from 'k6/timers';
import { WebSocket } from 'k6/websockets';

const url = __ENV.BGW_URL || 'ws://127.0.0.1:5851/ws';
const token = __ENV.BGW_TOKEN || '';
const prefix = __ENV.BGW_PREFIX || 'bench:';
const keyCount = Number(__ENV.BGW_KEYS || 1);
const named = (__ENV.BGW_ACCOUNTS || '').split(',').filter(Boolean);
const sockets = Number(__ENV.BGW_SOCKETS || 1000);
const ramp = Number(__ENV.BGW_RAMP_S || 10);
const hold = Number(__ENV.BGW_HOLD_S || 30);
const perSocket = Number(__ENV.BGW_PER_SOCKET || 1);

export const options = {
  scenarios: {
    sockets: { executor: 'per-vu-iterations', vus: sockets, iterations: 1, maxDuration: `${ramp + hold + 60}s` },
  },
  thresholds: {
    checks: ['rate>0.9999'],
    bgw_wrong: ['count==0'],
    bgw_live_ms: ['p(99)<1000'],
    bgw_live: [`count==${sockets}`],
    ...(__ENV.BGW_MOVING ? { bgw_updates: ['count>0'] } : {}),
  },
  summaryTrendStats: ['med', 'p(90)', 'p(99)', 'p(99.9)', 'max'],
};

const wrong = new Counter('bgw_wrong'); // regressions, gaps, amounts that are none, frames that nobody asked for
const live = new Counter('bgw_live');
const snapshots = new Counter('bgw_snapshots');
const updates = new Counter('bgw_updates');
const liveMs = new Trend('bgw_live_ms', true); // from the call of connect to `live`
const commitMs = new Trend('bgw_commit_to_client_ms', true); // from the record's `ts`, whole milliseconds, one clock

function keysOf(index) {
  const all = named.length || keyCount;
  const name = (i) => (named.length ? named[i] : prefix + String(i).padStart(6, '0'));
  return Array.from({ length: Math.min(perSocket, all) }, (_, i) => name((index * perSocket + i) % all));
}

function version(text) {
  const m = /^([0-9a-z]{1,8})\.(\d+)(?:\.(\d+))?$/.exec(text || '');
  return m && [m[1], BigInt(m[2]), BigInt(m[3] || 0)];
}

// One entry of `u`; `held` is what this socket holds: slot -> version.
function take(entry, keys, held) {
  const v = version(entry.v);
  const slot = `${entry.k}/${entry.d && entry.d.currency}`;
  const last = held.get(slot);
  if (!v || !keys.includes(entry.k) || !/^-?\d+$/.test(entry.d.minor)) wrong.add(1);
  else if (last && last[0] === v[0] && (v[1] < last[1] || (v[1] === last[1] && v[2] <= last[2])) && !entry.snap) wrong.add(1);
  held.set(slot, v);
  if (entry.snap) {
    snapshots.add(1);
  } else {
    updates.add(1);
    if (entry.d.ts) commitMs.add(Math.max(0, Date.now() - entry.d.ts));
  }
}

export default function () {
  const index = exec.vu.idInTest - 1;
  const keys = keysOf(index);
  sleep((index / sockets) * ramp);
  const began = Date.now();
  const held = new Map();
  const seen = { hello: false, sub: false, live: false };
  const ws = new WebSocket(url, ['bgw.v1']);

  const handlers = {
    hello: () => {
      seen.hello = true;
      ws.send(JSON.stringify({ op: 'sub', id: 1, keys }));
    },
    sub: (m) => {
      seen.sub = true;
      check(m, { 'nothing is denied': (x) => x.id === 1 && (x.denied || []).length === 0 });
    },
    upd: (m) => m.u.forEach((entry) => take(entry, keys, held)),
    live: () => {
      seen.live = true;
      live.add(1);
      liveMs.add(Date.now() - began);
      check(held, { 'every key had its snapshot before live': (x) => keys.every((k) => [...x.keys()].some((s) => s.startsWith(`${k}/`))) });
    },
    state: () => {}, // told, not guessed
    mark: () => {},
    bye: () => {},
  };

  ws.onopen = () => {
    ws.send(JSON.stringify({ op: 'hello', token, client: 'k6' }));
    setTimeout(() => ws.close(1000), hold * 1000);
  };
  ws.onmessage = (event) => {
    const m = JSON.parse(event.data);
    if (handlers[m.ev]) handlers[m.ev](m);
    else wrong.add(1);
  };
  ws.onerror = () => wrong.add(1);
  ws.onclose = () => {
    check(seen, {
      'hello came': (x) => x.hello,
      'sub was answered': (x) => x.sub,
      'live came': (x) => x.live,
    });
  };
}
