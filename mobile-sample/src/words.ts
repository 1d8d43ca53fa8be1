// SPDX-License-Identifier: Apache-2.0
// How far a balance can be trusted, and how the connection is, in words. No balance is drawn without them.
import { formatBalance, type Balance, type BalanceState, type ConnectionState, type Subscription } from '@balance-gateway/client';

export type Tone = 'good' | 'waiting' | 'bad';

const two = (figure: number): string => String(figure).padStart(2, '0');

/** `12:03` today, `20 Nov, 12:03` before; with seconds for what is compared with what is live. */
export function timeText(at: number, seconds = false): string {
  const date = new Date(at);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}${seconds ? `:${two(date.getSeconds())}` : ''}`;
  if (date.toDateString() === new Date().toDateString()) return time;
  return `${date.toLocaleDateString(undefined, { day: 'numeric', month: 'short' })}, ${time}`;
}

const UNKNOWN: { readonly [reason: string]: string } = {
  no_such_account: 'No such account',
  source_unavailable: 'Not available at the moment',
};

export function freshnessText(now: BalanceState): string {
  switch (now.status) {
    case 'live':
      return now.freshness === 'fresh' ? 'Live' : `Delayed, as of ${timeText(now.asOf)}`;
    case 'stale':
      return `as of ${timeText(now.asOf)}`;
    case 'pending':
      return UNKNOWN[now.reason ?? ''] ?? 'Waiting for the first value';
    case 'denied':
      return 'This token may not see it';
    case 'removed':
      return now.asOf === null ? 'Closed' : `Closed, last known ${timeText(now.asOf)}`;
  }
}

export const toneOf = (now: BalanceState): Tone =>
  now.status === 'live' && now.freshness === 'fresh' ? 'good' : now.status === 'denied' || now.status === 'removed' ? 'bad' : 'waiting';

/** `msisdn::2348100000001` is the number, and what kind of account has it. */
export function accountName(account: string): { readonly kind: string; readonly name: string } {
  const at = account.indexOf('::');
  return at < 0 ? { kind: '', name: account } : { kind: account.slice(0, at), name: account.slice(at + 2) };
}

/** All balances of a key, the main one first; one that is not known yet is a balance, too. */
export function balancesOf(now: Subscription): readonly BalanceState[] {
  if (now.entries.length === 0) return [now];
  const main = now.entries.filter((entry) => entry.lastKnown === now.lastKnown);
  return [...main, ...now.entries.filter((entry) => !main.includes(entry))];
}

export const HIDDEN = '••••••';

export const amountText = (balance: Pick<Balance, 'minor' | 'currency'> | null, hidden: boolean): string =>
  hidden && balance ? HIDDEN : formatBalance(balance, { display: 'narrowSymbol' });

/** `147,419.00 Nigerian nairas`: a screen reader does not guess at a symbol. */
export function spokenAmount(balance: Pick<Balance, 'minor' | 'currency'> | null, hidden: boolean): string {
  if (!balance) return 'balance not known';
  return hidden ? 'balance hidden' : formatBalance(balance, { display: 'name' });
}

/** `+25.00`, with a real minus. */
export function deltaText(delta: bigint, currency: string): string {
  const text = formatBalance({ minor: delta < 0n ? -delta : delta, currency }, { display: 'narrowSymbol' });
  return `${delta < 0n ? '−' : '+'}${text}`;
}

export function connectionText(state: ConnectionState): { readonly title: string; readonly detail: string; readonly tone: Tone } {
  switch (state.status) {
    case 'live':
      return { title: 'Live', detail: '', tone: 'good' };
    case 'connecting':
      return { title: 'Connecting', detail: '', tone: 'waiting' };
    case 'reconnecting':
      return { title: 'Reconnecting', detail: 'Last known balances are shown.', tone: 'waiting' };
    case 'offline':
      return { title: 'Offline', detail: 'Last known balances are shown.', tone: 'bad' };
    case 'ended':
      return { title: 'Signed out', detail: endedText(state.reason), tone: 'bad' };
    case 'idle':
      return { title: 'Not connected', detail: '', tone: 'waiting' };
  }
}

const ENDED: { readonly [reason: string]: string } = {
  no_token: 'There is no token.',
  token_expired: 'The token has expired.',
};

const endedText = (reason: string): string => ENDED[reason] ?? `The gateway refused the token (${reason.replaceAll('_', ' ')}).`;
