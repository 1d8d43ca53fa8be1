// SPDX-License-Identifier: Apache-2.0
// What an app sees: balances, how far each can be trusted, the connection, and the client's options.

/** What the gateway said of one account in one currency. How far it can be trusted is its state's to say. */
export interface Balance {
  readonly account: string;
  readonly currency: string;
  /** Minor units (kobo, cents), exactly. */
  readonly minor: bigint;
  readonly pendingMinor: bigint;
  /** When the ledger committed it, in epoch ms, if it said so. */
  readonly ts: number | null;
  readonly v: string;
  /** What the last transaction moved; absent where several were merged into one update. */
  readonly deltaMinor?: bigint;
  readonly txnId?: string;
  /** How many updates this one replaced since the last that this client was sent. */
  readonly merged?: number;
}

/**
 * A balance and its trust. `asOf` is when the value was last known to be current, in epoch ms.
 *
 * - `pending`: nothing is known yet, or the gateway knows no value (`reason`); never shown as 0.
 * - `live`: `fresh` was proved current within the last seconds; `delayed` is at most 30 s behind, or the
 *   connection is silent at the moment, and `asOf` says since when.
 * - `stale`: the last value, which nobody can prove at the moment: not connected, just restored from
 *   storage, or the gateway's own source is behind. Show it with `asOf`.
 * - `denied`: the token does not grant it, or it was taken back; nothing of it is kept.
 * - `removed`: there is no value any more; `lastKnown` is what it was.
 */
export type BalanceState =
  | { readonly status: 'pending'; readonly lastKnown: null; readonly asOf: null; readonly reason: string | null }
  | {
      readonly status: 'live';
      readonly freshness: 'fresh' | 'delayed';
      readonly balance: Balance;
      readonly lastKnown: Balance;
      readonly asOf: number;
      readonly reason: string | null;
    }
  | { readonly status: 'stale'; readonly lastKnown: Balance; readonly asOf: number; readonly reason: string }
  | { readonly status: 'denied'; readonly lastKnown: null; readonly asOf: null; readonly reason: string }
  | {
      readonly status: 'removed';
      readonly lastKnown: Balance | null;
      readonly asOf: number | null;
      readonly reason: string | null;
    };

/** One account in one currency. */
export type Entry = BalanceState & { readonly account: string; readonly currency: string };

/**
 * What is known of one key. For `A/USD` it is that balance. For `A`, which covers every currency of the
 * account, the state is that of its main balance (the gateway's default currency where that is known,
 * else the one that came first) and `entries` has them all. The same object until something changes.
 */
export type Subscription = BalanceState & { readonly key: string; readonly entries: readonly Entry[] };

export type TransportName = 'websocket' | 'sse';

/** The connection. `reconnecting` will try again by itself; `ended` will not: the app must act and call `start()`. */
export type ConnectionState =
  | { readonly status: 'idle' }
  | { readonly status: 'connecting' }
  | { readonly status: 'live'; readonly transport: TransportName; readonly since: number }
  | {
      readonly status: 'reconnecting';
      /** How many attempts failed since it was last live for a while, this one included. */
      readonly attempt: number;
      /** Epoch ms; null while an attempt is under way, and in the background, where nothing is retried. */
      readonly retryAt: number | null;
      readonly why: string;
    }
  | { readonly status: 'offline' }
  | { readonly status: 'ended'; readonly code: number; readonly reason: string };

/** `connect`: a connection begins. `refresh`: the token ends soon. `expired`: the gateway refused the last one as expired. */
export type TokenReason = 'connect' | 'refresh' | 'expired';

/** A JWT, from whose `exp` the refresh is timed, or any token with its end in epoch ms. */
export type Token = string | { readonly token: string; readonly expiresAt: number };

export class ClientError extends Error {
  override readonly name = 'ClientError';
  constructor(
    /** The gateway's code, or `token`, `transport`, `protocol`, `callback`. */
    readonly code: string,
    message: string,
    override readonly cause?: unknown,
  ) {
    super(message);
  }
}

/** Values to show after a cold start, as `client.snapshot()` gave them; plain JSON. */
export interface Snapshot {
  readonly format: 1;
  readonly balances: readonly {
    readonly account: string;
    readonly currency: string;
    readonly minor: string;
    readonly pendingMinor: string;
    readonly ts: number | null;
    readonly v: string;
    readonly asOf: number;
  }[];
}

export interface Clock {
  now(): number;
  setTimeout(call: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
}

/** As much of a WebSocket as is used: a browser's, Node's, React Native's, or the package `ws`. */
export interface WebSocketLike {
  readonly readyState: number;
  // `never`: each platform has event types of its own, and takes handlers of all of them
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}
export type WebSocketClass = new (url: string, protocols: string[]) => WebSocketLike;

export interface ClientOptions {
  /** The gateway: `https://balances.example.com`, with or without `/ws`; in a browser also `/`. */
  readonly url: string;
  /**
   * Asked before each connection and before the token ends. Never called while a call is under way, in
   * the background or offline. null or '' means signed out: the client ends with reason `no_token`.
   */
  readonly getToken: (ask: { readonly reason: TokenReason }) => Token | null | undefined | Promise<Token | null | undefined>;
  /** Needed on Node before 22, which has none of its own: `import WebSocket from 'ws'`. */
  readonly webSocket?: WebSocketClass;
  /** Streams for where WebSockets are blocked; `none` turns that off. */
  readonly fallback?: 'sse' | 'none';
  readonly fetch?: typeof fetch;
  /** Last known balances of an earlier run. They are `stale` until the gateway has proved them. */
  readonly initial?: Snapshot | null;
  /** The gateway's `BGW_DEFAULT_CURRENCY`: which balance is the main one of a key without a currency. */
  readonly defaultCurrency?: string;
  /** Named in the gateway's log, as `console/1.2`. */
  readonly client?: string;
  readonly clock?: Clock;
  readonly random?: () => number;
}

export interface ClientEvents {
  /** The connection changed. Not called for a new `retryAt` alone while nothing else changed. */
  state: (state: ConnectionState, previous: ConnectionState) => void;
  /**
   * One balance changed: its amount, version or trust. Not called for repeated or older versions, for
   * heartbeats, for an `asOf` that only moved on, nor for keys that nobody subscribes to.
   */
  balance: (entry: Entry, previous: Entry | null) => void;
  /** Something an operator should know. Not called for lost connections: those are `state`. */
  error: (error: ClientError) => void;
}

export interface Client {
  readonly state: ConnectionState;
  /**
   * `key` is an account, `A`, or one currency of it, `A/USD`. `call` is called once soon after (never
   * before this returns), and then after each change; not for what did not change, and never after the
   * returned function was called. However many subscribe to a key, the gateway is asked once. The first
   * subscription starts the client, unless it was stopped.
   */
  subscribe(key: string, call?: (now: Subscription) => void): () => void;
  /** What is known of a key now; also of one that nobody subscribes to. The same object until it changes. */
  get(key: string): Subscription;
  on<E extends keyof ClientEvents>(event: E, call: ClientEvents[E]): () => void;
  /** Connects; after `ended` or `stop()` again. Harmless where it runs already. */
  start(): void;
  /** Closes the connection and stays closed. Subscriptions stay, as `stale`. */
  stop(): void;
  /** The app can be seen again: the connection is tried at once, and made anew if nothing comes back in 2 s. */
  notifyForeground(): void;
  /** The app cannot be seen: what is open stays, but nothing is retried. */
  notifyBackground(): void;
  /** What the system says of the network. False closes the connection; true connects at once. */
  setOnline(online: boolean): void;
  /** The last known balances, for storage; restored with the option `initial`. */
  snapshot(): Snapshot;
}
