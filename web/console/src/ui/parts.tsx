// SPDX-License-Identifier: Apache-2.0
// What is away behind the page, in sentences: the gateway's own word (/readyz), and in a demonstration of several parts that of
// whoever runs them (/parts.json). Nothing stands there while all is well; who listens is told at most every five seconds.
import { useEffect, useState } from 'preact/hooks';

const EVERY_MS = 2000;
const WAIT_MS = 1500;
const ANNOUNCE_MS = 5000;

const AWAY: Record<string, string> = {
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
const SAME: Record<string, string> = {
  invalidations: 'redis',
  redis_breaker: 'redis',
  origin: 'database',
  origin_breaker: 'database',
  postgres: 'database',
  'replica-1': 'other',
  'replica-2': 'other',
};

const words = (name: string) => AWAY[SAME[name] ?? name] ?? `Not in order: ${name}.`;
const ask = (path: string) => fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(WAIT_MS) });

interface Health {
  ok: boolean;
  draining?: boolean;
  degraded?: string[];
  reasons?: string[];
}

async function health(): Promise<string[]> {
  try {
    const { ok, draining, degraded = [], reasons = [] } = (await (await ask('/readyz?verbose')).json()) as Health;
    // without Kafka there is no list of revocations either: that is said already
    if (ok) return degraded.filter((name) => name !== 'revocations' || !degraded.includes('kafka')).map(words);
    return [draining ? 'This replica is stopping: the page will look for it again.' : `This replica is not ready: ${reasons[0] ?? 'it starts'}.`];
  } catch {
    return [AWAY['replica']!];
  }
}

/** null: nobody runs parts here. */
async function runner(): Promise<string[] | null> {
  try {
    const reply = await ask('/parts.json');
    if (reply.status === 404) return null;
    const { parts } = (await reply.json()) as { parts: { name: string; state: string }[] };
    return parts.filter((part) => part.state !== 'running').map((part) => words(part.name));
  } catch {
    return []; // the replica's silence is said already
  }
}

/** demo: whether somebody may be there who runs the parts. */
export function Parts({ demo }: { demo: boolean }) {
  const [shown, setShown] = useState<readonly string[]>([]);
  const [said, setSaid] = useState('');
  useEffect(() => {
    let timer = 0;
    let ended = false;
    let runs = demo;
    let announced = '';
    let announcedAt = -ANNOUNCE_MS;
    const turn = async () => {
      if (!document.hidden) {
        const [own, parts] = await Promise.all([health(), runs ? runner() : null]);
        runs = parts !== null;
        if (ended) return;
        const sentences = [...new Set([...own, ...(parts ?? [])])];
        const text = sentences.join(' ');
        setShown((before) => (before.join(' ') === text ? before : sentences));
        if (text !== announced && performance.now() - announcedAt >= ANNOUNCE_MS) {
          setSaid(text || 'Everything answers again.');
          announced = text;
          announcedAt = performance.now();
        }
      }
      timer = window.setTimeout(turn, EVERY_MS);
    };
    void turn();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, [demo]);
  return (
    <>
      <ul id="parts" class="parts" hidden={shown.length === 0}>
        {shown.map((text) => (
          <li key={text}>{text}</li>
        ))}
      </ul>
      <p id="parts-said" class="said" role="status">
        {said && <span key={said}>{said}</span>}
      </p>
    </>
  );
}
