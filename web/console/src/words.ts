// SPDX-License-Identifier: Apache-2.0
// What states are called, and times as people say them.
import type { Balance, ConnectionState, Entry, Subscription } from '@balance-gateway/client';
import { decimalText } from '@balance-gateway/client';

/** What may be watched: an account, or one currency of it. */
export const KEY = /^[A-Za-z0-9_.:@+-]{1,64}(\/[A-Z]{3})?$/;

export type Tone = 'good' | 'warn' | 'bad' | 'soft';

const DAY_MS = 24 * 3600 * 1000;

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
const dayFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });

export const clock = (ms: number) => clockFormat.format(ms);
export const asOf = (ms: number) => (Date.now() - ms < DAY_MS ? clock(ms) : `${dayFormat.format(ms)}, ${clock(ms)}`);

/** Grouped digits with a real minus: the same in every locale, so that two people who compare screens see the same. */
export function figures(minor: bigint, currency: string): string {
  const [whole = '', fraction] = decimalText(minor < 0n ? -minor : minor, currency).split('.');
  return `${minor < 0n ? '−' : ''}${whole.replace(/\B(?=(\d{3})+$)/g, ',')}${fraction ? `.${fraction}` : ''}`;
}

/** What is not known is a dash, never 0. */
export const amount = (balance: Pick<Balance, 'minor' | 'currency'> | null) => (balance ? `${figures(balance.minor, balance.currency)} ${balance.currency}` : '—');

/** With its sign in front, for a change: never by colour alone. */
export const changeText = (minor: bigint, currency: string) => `${minor > 0n ? '+' : ''}${figures(minor, currency)}`;

const REASONS: Record<string, string> = {
  no_such_account: 'no such account',
  source_unavailable: 'source unavailable',
  bad_id: 'not an account key',
  no_grant: 'no access',
  too_many_keys: 'too many accounts',
  behind_client: 'a newer value was seen',
};

export interface Freshness {
  readonly state: string; // one word of ours, for style and tests
  readonly tone: Tone;
  readonly word: string;
  readonly detail: string | null; // as of when, or why
}

export function freshness(now: Subscription | Entry, connected: boolean): Freshness {
  switch (now.status) {
    case 'live':
      if (!connected) return { state: 'offline', tone: 'bad', word: 'offline', detail: `as of ${asOf(now.asOf)}` };
      return now.freshness === 'fresh'
        ? { state: 'fresh', tone: 'good', word: 'live', detail: null }
        : { state: 'delayed', tone: 'warn', word: 'delayed', detail: `as of ${asOf(now.asOf)}` };
    case 'stale':
      return { state: connected ? 'stale' : 'offline', tone: 'bad', word: connected ? 'stale' : 'offline', detail: `as of ${asOf(now.asOf)}` };
    case 'denied':
      return { state: 'denied', tone: 'bad', word: 'no access', detail: null };
    case 'removed':
      return { state: 'removed', tone: 'soft', word: (now.reason && REASONS[now.reason]) ?? 'closed', detail: null };
    case 'pending':
      if (!now.reason) return { state: connected ? 'pending' : 'offline', tone: 'soft', word: connected ? 'waiting…' : 'offline', detail: null };
      return { state: 'unknown', tone: 'soft', word: REASONS[now.reason] ?? 'not known', detail: null };
  }
}

export function linkWords(state: ConnectionState): { tone: Tone; text: string } {
  switch (state.status) {
    case 'live':
      return { tone: 'good', text: state.transport === 'sse' ? 'Live, by event stream' : 'Live' };
    case 'connecting':
      return { tone: 'warn', text: 'Connecting…' };
    case 'reconnecting':
      return { tone: 'bad', text: 'Offline, reconnecting…' };
    case 'offline':
      return { tone: 'bad', text: 'Offline: no network' };
    case 'idle':
      return { tone: 'soft', text: 'Not signed in' };
    case 'ended':
      return { tone: 'bad', text: 'Signed out' };
  }
}

/** An account for a narrow place: it may break after its colons. */
export const breakable = (account: string) => account.split(/(?<=:)(?!:)/);
