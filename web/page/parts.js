// SPDX-License-Identifier: Apache-2.0
// What is away behind the page: the gateway's own word (/readyz), and in a demonstration of several
// parts the word of whoever runs them (/parts.json). Told in sentences, the same one once; nothing
// while all is well. Nothing here touches the document.

const EVERY_MS = 2000;
const WAIT_MS = 1500;
const ANNOUNCE_MS = 5000; // a screen reader is not to be talked over

const AWAY = {
  replica: 'This replica does not answer: the page goes on trying.',
  kafka: 'Kafka is away: changes are found by comparing with the database, and what is not proved says from when it is.',
  redis: 'Redis is away: balances come from the stream and the database.',
  database: 'The database is away: balances come from the stream and Redis.',
  revocations: 'The list of revoked tokens cannot be read: it is applied as it was last known.',
  jwks: 'The token issuer’s keys cannot be fetched: those that are known go on serving.',
  projector: 'The projector is away: what changes is found by comparing with the database.',
  ledger: 'The ledger is away: no money moves.',
  other: 'The other replica is away: this one serves alone.',
};
// the gateway's names, and the demonstration's
const SAME = {
  invalidations: 'redis', redis_breaker: 'redis', origin: 'database', origin_breaker: 'database', postgres: 'database',
  'replica-1': 'other', 'replica-2': 'other',
};
export const ALL_WELL = 'Everything answers again.';

const words = (name) => AWAY[SAME[name] ?? name] ?? `Not in order: ${name}.`;

const ask = (path) => fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(WAIT_MS) });

async function health() {
  let reply;
  try {
    reply = await ask('/readyz?verbose');
    const { ok, draining, degraded = [], reasons = [] } = await reply.json();
    // without Kafka there is no list of revocations either: that is said already
    if (ok) return degraded.filter((name) => name !== 'revocations' || !degraded.includes('kafka')).map(words);
    return [draining ? 'This replica is stopping: the page will look for it again.' : `This replica is not ready: ${reasons[0] ?? 'it starts'}.`];
  } catch {
    return [AWAY.replica];
  }
}

export class Parts {
  // onParts(sentences): at every change. onAnnounce(text): the same for who listens, not as often.
  constructor({ onParts, onAnnounce }) {
    Object.assign(this, { onParts, onAnnounce, shown: '', announced: '', announcedAt: -ANNOUNCE_MS, runner: false });
  }

  // runner: whether somebody may be there who runs the parts
  start(runner) {
    this.runner = runner;
    this.turn();
  }

  async turn() {
    if (!document.hidden) this.tell([...new Set((await Promise.all([health(), this.fromRunner()])).flat())]);
    setTimeout(() => this.turn(), EVERY_MS);
  }

  async fromRunner() {
    if (!this.runner) return [];
    try {
      const reply = await ask('/parts.json');
      this.runner = reply.status !== 404;
      return reply.ok ? (await reply.json()).parts.filter((p) => p.state !== 'running').map((p) => words(p.name)) : [];
    } catch {
      return []; // the replica's silence is said already
    }
  }

  tell(sentences) {
    const text = sentences.join(' ');
    if (text !== this.shown) this.onParts(sentences);
    this.shown = text;
    const now = performance.now();
    if (text === this.announced || now - this.announcedAt < ANNOUNCE_MS) return;
    Object.assign(this, { announced: text, announcedAt: now });
    this.onAnnounce(text || ALL_WELL);
  }
}
