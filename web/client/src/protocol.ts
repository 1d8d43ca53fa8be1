// SPDX-License-Identifier: Apache-2.0
// The frames of bgw.v1 (docs/protocol.md) and how commands are cut. What a newer gateway may add is ignored.

export const SUBPROTOCOL = 'bgw.v1';
export const KEYS_MAX = 1000; // of a command
const COMMAND_CHARS_MAX = 48_000; // a message may have 64 KiB: versions of a thousand keys would not fit

export interface WireEntry {
  readonly k: string;
  readonly v: string;
  readonly merged?: number;
  readonly d: {
    readonly currency: string;
    readonly minor: string;
    readonly pendingMinor?: string;
    readonly ts?: number;
    readonly deltaMinor?: string;
    readonly txnId?: string;
  };
}

export type WireState = 'fresh' | 'delayed' | 'stale' | 'unknown' | 'removed';

export type ServerFrame =
  | { readonly ev: 'hello'; readonly conn?: string; readonly ping_s?: number; readonly epoch?: string; readonly resume?: string }
  | {
      readonly ev: 'sub';
      readonly id?: number;
      readonly ok: readonly string[];
      readonly current: readonly string[];
      readonly denied: readonly { readonly key: string; readonly code: string }[];
    }
  | { readonly ev: 'upd'; readonly u: readonly WireEntry[] }
  | {
      readonly ev: 'state';
      readonly keys: readonly string[];
      readonly state: WireState;
      readonly reason?: string;
      readonly lag_ms?: number;
    }
  | { readonly ev: 'mark'; readonly w?: string; readonly digest?: string; readonly resume?: string }
  | { readonly ev: 'live' | 'ok' | 'pong'; readonly id: number }
  | { readonly ev: 'err'; readonly id?: number; readonly code: string; readonly msg?: string }
  | { readonly ev: 'revoked'; readonly keys: readonly string[]; readonly reason: string }
  | { readonly ev: 'bye'; readonly code: number; readonly retry_ms?: number; readonly reason?: string };

/** One version for `A/USD`; for `A`, one a currency. */
export type Since = string | { readonly [currency: string]: string };

export type Command =
  | { readonly op: 'hello'; readonly token: string; readonly client?: string; readonly resume?: string }
  | { readonly op: 'sub'; readonly id: number; readonly keys: readonly string[]; readonly since?: { readonly [key: string]: Since } }
  | { readonly op: 'unsub'; readonly id: number; readonly keys: readonly string[] }
  | { readonly op: 'auth'; readonly id: number; readonly token: string }
  | { readonly op: 'repair' | 'ping'; readonly id: number };

/** null: not a frame, which a gateway never sends. */
export function parseFrame(text: unknown): ServerFrame | null {
  try {
    const frame: unknown = JSON.parse(String(text));
    return (frame as ServerFrame).ev ? (frame as ServerFrame) : null;
  } catch {
    return null;
  }
}

const KEY = /^[A-Za-z0-9._:@+-]{1,64}(\/[A-Z]{3})?$/;

export function checkKey(key: string): void {
  if (!KEY.test(key)) throw new TypeError(`"${key}" is no key such as "acct-1" or "acct-1/USD" (A-Za-z0-9._:@+-, at most 64)`);
}

export function splitKey(key: string): [account: string, currency: string | undefined] {
  const slash = key.indexOf('/');
  return slash < 0 ? [key, undefined] : [key.slice(0, slash), key.slice(slash + 1)];
}

export interface SubChunk {
  readonly keys: string[];
  readonly since: { [key: string]: Since };
}

/** Cuts a subscribe so that each command keeps both limits: of keys, and of bytes. */
export function chunkSubs(keys: Iterable<string>, sinceOf: (key: string) => Since | undefined): SubChunk[] {
  const chunks: SubChunk[] = [];
  let chunk: SubChunk | undefined;
  let chars = 0;
  for (const key of keys) {
    const since = sinceOf(key);
    const size = 2 * key.length + 8 + (JSON.stringify(since) ?? '').length;
    if (!chunk || chunk.keys.length === KEYS_MAX || chars + size > COMMAND_CHARS_MAX) {
      chunk = { keys: [], since: {} };
      chunks.push(chunk);
      chars = 0;
    }
    chunk.keys.push(key);
    if (since !== undefined) chunk.since[key] = since;
    chars += size;
  }
  return chunks;
}
