// SPDX-License-Identifier: Apache-2.0
// One balance over REST: what a pull to refresh asks for. `no-cache` makes the gateway read on to the end
// of its stream before it answers, so this is never older than what was booked when you pulled.
const AMOUNT = /"minor"\s*:\s*(-?\d+)/;

export interface Reading {
  readonly minor: bigint;
  readonly currency: string;
  readonly asOf: number;
  readonly state: string;
  /** stream, l1, cache or database: who had it. */
  readonly source: string;
  readonly v: string;
}

const WORDS: { readonly [status: number]: string } = {
  401: 'The token was refused.',
  403: 'This token may not see the account.',
  404: 'Nobody knows this account.',
  503: 'Too busy, or the ledger cannot be asked. Try again soon.',
};

export async function readBalance(base: string, key: string, token: string): Promise<Reading> {
  const [account = '', currency] = key.split('/');
  const query = currency ? `?currency=${currency}` : '';
  let response: Response;
  try {
    response = await fetch(`${base}/ledger/accounts/${encodeURIComponent(account)}/balance${query}`, {
      headers: { Authorization: `Bearer ${token}`, 'Cache-Control': 'no-cache' },
    });
  } catch {
    throw new Error('The ledger cannot be reached.');
  }
  const text = await response.text();
  if (!response.ok) throw new Error(WORDS[response.status] ?? `The ledger answered ${response.status}.`);
  // Not from JSON.parse: a large amount would lose its last digits in a JavaScript number.
  const minor = AMOUNT.exec(text)?.[1];
  if (minor === undefined) throw new Error('The ledger answered without an amount.');
  const body = JSON.parse(text);
  return {
    minor: BigInt(minor),
    currency: body.currency,
    asOf: Date.parse(body.asOf),
    state: body.state,
    source: body.source,
    v: body.v,
  };
}
