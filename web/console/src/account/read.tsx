// SPDX-License-Identifier: Apache-2.0
// The same balance over REST: who answered, from where, how old.
import { useState } from 'preact/hooks';
import { session } from '../session.ts';
import { veiled } from '../ui/hidden.ts';

interface Answer {
  readonly status: number;
  readonly ms: number;
  readonly headers: readonly [string, string][];
  readonly body: string;
}

const SHOWN = ['x-balance-source', 'x-cache-status', 'age', 'warning', 'etag', 'retry-after'];

async function read(account: string, currency: string | undefined, proved: boolean): Promise<Answer> {
  const query = currency ? `?currency=${currency}` : '';
  const began = performance.now();
  const reply = await fetch(`/ledger/accounts/${encodeURIComponent(account)}/balance${query}`, {
    // without a word of ours the browser would say no-cache, and every read would be a proved one
    headers: { authorization: `Bearer ${session.get()!.token()}`, 'cache-control': proved ? 'no-cache' : 'no-store' },
    cache: 'no-store',
    signal: AbortSignal.timeout(10_000),
  });
  const body = await reply.text();
  return {
    status: reply.status,
    ms: performance.now() - began,
    headers: SHOWN.flatMap((name): [string, string][] => (reply.headers.has(name) ? [[name, reply.headers.get(name)!]] : [])),
    body,
  };
}

export function ReadNow({ account, currency, hide }: { account: string; currency: string | undefined; hide: boolean }) {
  const [answer, setAnswer] = useState<Answer | string | null>(null);
  const ask = (proved: boolean) => {
    read(account, currency, proved).then(setAnswer, (error: unknown) => setAnswer(`No answer: ${String(error)}`));
  };
  return (
    <section class="card wide">
      <h2>Read over REST</h2>
      <p class="row">
        <button type="button" class="main" onClick={() => ask(false)}>
          Read now
        </button>
        <button type="button" class="quiet" onClick={() => ask(true)}>
          Read, proved current
        </button>
      </p>
      <div role="status">
        {typeof answer === 'string' && <p class="refused">{answer}</p>}
        {answer && typeof answer === 'object' && (
          <>
            <dl class="facts">
              <div>
                <dt>Status</dt>
                <dd>{answer.status}</dd>
              </div>
              <div>
                <dt>Took</dt>
                <dd>{answer.ms.toFixed(1)} ms</dd>
              </div>
              {answer.headers.map(([name, value]) => (
                <div key={name}>
                  <dt>{name}</dt>
                  <dd class="mono">{value}</dd>
                </div>
              ))}
            </dl>
            <pre>{hide ? veiled(answer.body) : answer.body}</pre>
          </>
        )}
      </div>
    </section>
  );
}
