// SPDX-License-Identifier: Apache-2.0
//
// Balances over REST in the estate's shape: 2,000 -> 5,000 -> 10,000 requests/s, a minute each.
// Every answer is checked: status, account, an amount that is an integer, a version that never goes
// back for this VU, and that the headers say where the value is from.
//
//   k6 run -e BGW_URL=http://127.0.0.1:5851 -e BGW_TOKEN=… bench/k6/reads.js
//
// BGW_ACCOUNTS  accounts, separated by commas; or BGW_PREFIX and BGW_KEYS: PREFIX000000, PREFIX000001, …
// BGW_STAGES    requests/s:seconds, separated by commas (2000:60,5000:60,10000:60)
// BGW_VUS       connections (500)
// BGW_P99_MS    the run fails if the 99th percentile is above it (47)

import http from 'k6/http';
import { check } from 'k6';
import { Counter } from 'k6/metrics';

const url = (__ENV.BGW_URL || 'http://127.0.0.1:5851').replace(/\/$/, '');
const headers = { Authorization: `Bearer ${__ENV.BGW_TOKEN || ''}` };
const prefix = __ENV.BGW_PREFIX || 'bench:';
const keys = Number(__ENV.BGW_KEYS || 1);
const named = (__ENV.BGW_ACCOUNTS || '').split(',').filter(Boolean);
const stages = (__ENV.BGW_STAGES || '2000:60,5000:60,10000:60').split(',').map((s) => s.split(':').map(Number));
const vus = Number(__ENV.BGW_VUS || 500);

export const options = {
  scenarios: {
    reads: {
      executor: 'ramping-arrival-rate',
      startRate: stages[0][0],
      timeUnit: '1s',
      preAllocatedVUs: vus, // one that must be made first comes too late
      maxVUs: vus,
      // each rate is there at once and stays for its seconds
      stages: stages.flatMap(([target, seconds]) => [{ target, duration: '0s' }, { target, duration: `${seconds}s` }]),
    },
  },
  thresholds: {
    checks: ['rate>0.9999'],
    http_req_failed: ['rate<0.001'],
    http_req_duration: [`p(99)<${Number(__ENV.BGW_P99_MS || 47)}`],
    bgw_regressions: ['count==0'],
    dropped_iterations: [`rate<${Math.max(...stages.map(([r]) => r)) / 1000}`], // what k6 itself could not send
  },
  summaryTrendStats: ['med', 'p(90)', 'p(99)', 'p(99.9)', 'max'],
};

const regressions = new Counter('bgw_regressions');
const bySource = Object.fromEntries(['stream', 'l1', 'cache', 'database'].map((s) => [s, new Counter(`bgw_source_${s}`)]));
const newest = new Map(); // account -> [epoch, seq, read] of this VU

function pick() {
  if (named.length) return named[Math.floor(Math.random() * named.length)];
  return prefix + String(Math.floor(Math.random() * keys)).padStart(6, '0');
}

// "k3f9.120.7" -> ["k3f9", 120n, 7n]
function version(text) {
  const m = /^([0-9a-z]{1,8})\.(\d+)(?:\.(\d+))?$/.exec(text);
  return m && [m[1], BigInt(m[2]), BigInt(m[3] || 0)];
}

// False if it is older than one that was shown before in the same epoch.
function inOrder(account, v) {
  const last = newest.get(account);
  if (last && last[0] === v[0] && (v[1] < last[1] || (v[1] === last[1] && v[2] < last[2]))) {
    regressions.add(1);
    return false;
  }
  newest.set(account, v);
  return true;
}

export default function () {
  const account = pick();
  const r = http.get(`${url}/ledger/accounts/${account}/balance`, { headers, tags: { name: 'balance' } });
  if (!check(r, { 'status is 200': (x) => x.status === 200 })) return;
  const source = r.headers['X-Balance-Source'];
  check(r, {
    'it is the account that was asked for': (x) => x.body.includes(`"accountId":"${account}"`),
    // the raw text: JavaScript would round what is above 2^53
    'the amount is an integer': (x) => /"minor":-?\d+[,}]/.test(x.body),
    'the version does not go back': (x) => {
      const m = /"v":"([^"]+)"/.exec(x.body);
      const v = m && version(m[1]);
      return !!v && inOrder(account, v);
    },
    'the cache says what it did': (x) => ['HIT', 'MISS', 'STALE', 'BYPASS', 'COALESCED'].includes(x.headers['X-Cache-Status']),
    'the source is named': () => source in bySource,
  });
  if (source in bySource) bySource[source].add(1);
}
