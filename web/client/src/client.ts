// SPDX-License-Identifier: Apache-2.0
// The shell around the machine: does what it wants done, keeps its one timer, and tells whoever listens.
// Invariant: a step is over, and everything that it changed can be read, before anybody is told of it.
import type { Action, Event } from './events.js';
import { Machine } from './machine.js';
import { checkKey } from './protocol.js';
import { Store } from './store.js';
import { openStreamLater, openWebSocket, type Connection, type Listener } from './transport.js';
import {
  ClientError,
  type Client,
  type ClientEvents,
  type ClientOptions,
  type Clock,
  type ConnectionState,
  type Snapshot,
  type Subscription,
  type TransportName,
  type WebSocketClass,
} from './types.js';

interface Subscriber {
  readonly call: ((now: Subscription) => void) | undefined;
  told: Subscription | null;
}

type Handlers = { [E in keyof ClientEvents]: Set<ClientEvents[E]> };

const TIMER_MAX_MS = 2 ** 31 - 1; // beyond it timers fire at once
const NO_WAY =
  'no WebSocket here: before Node 22 pass one, as in { webSocket: WebSocket } from "ws"';

const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (call, ms) => setTimeout(call, ms),
  clearTimeout: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
};

class BalanceClient implements Client {
  readonly #clock: Clock;
  readonly #socket: WebSocketClass | undefined;
  readonly #request: typeof fetch | undefined;
  readonly #store: Store;
  readonly #machine: Machine;
  readonly #subscribers = new Map<string, Set<Subscriber>>();
  readonly #handlers: Handlers = { state: new Set(), balance: new Set(), error: new Set() };
  readonly #events: Event[] = [];
  #connection: Connection | null = null;
  #told: ConnectionState;
  #timer: unknown;
  #stopped = false;
  #stepping = false;
  #flushing = false;

  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
    const platform = globalThis as { WebSocket?: WebSocketClass };
    this.#clock = options.clock ?? systemClock;
    this.#socket = options.webSocket ?? platform.WebSocket;
    const { fetch: system } = globalThis as { fetch?: typeof fetch };
    this.#request = options.fetch ?? system?.bind(globalThis);
    this.#store = new Store(options.defaultCurrency, options.initial);
    const transports: TransportName[] = [];
    if (this.#socket) transports.push('websocket');
    if (this.#request && options.fallback !== 'none') transports.push('sse');
    if (!transports.length) throw new ClientError('transport', NO_WAY);
    this.#machine = new Machine({
      store: this.#store,
      wanted: this.#subscribers,
      transports,
      client: options.client ?? 'sdk/0.1',
      random: options.random ?? Math.random,
    });
    this.#told = this.#machine.state;
  }

  get state(): ConnectionState {
    return this.#machine.state;
  }

  subscribe(key: string, call?: (now: Subscription) => void): () => void {
    checkKey(key);
    const subscriber: Subscriber = { call, told: null };
    const others = this.#subscribers.get(key);
    if (others) others.add(subscriber);
    else this.#subscribers.set(key, new Set([subscriber]));
    if (!this.#stopped && this.state.status === 'idle') this.start();
    queueMicrotask(() => this.#tell(key, subscriber));
    if (!others) this.#flush();
    return () => {
      const all = this.#subscribers.get(key);
      if (!all?.delete(subscriber) || all.size) return;
      this.#subscribers.delete(key);
      this.#flush();
    };
  }

  get(key: string): Subscription {
    return this.#store.view(key);
  }

  on<E extends keyof ClientEvents>(event: E, call: ClientEvents[E]): () => void {
    const handlers = this.#handlers[event] as Set<ClientEvents[E]>;
    handlers.add(call);
    return () => void handlers.delete(call);
  }

  start(): void {
    this.#stopped = false;
    this.#dispatch({ type: 'start' });
  }

  stop(): void {
    this.#stopped = true;
    this.#dispatch({ type: 'stop' });
  }

  notifyForeground(): void {
    this.#dispatch({ type: 'foreground' });
  }

  notifyBackground(): void {
    this.#dispatch({ type: 'background' });
  }

  setOnline(online: boolean): void {
    this.#dispatch({ type: 'online', online });
  }

  snapshot(): Snapshot {
    return this.#store.snapshot();
  }

  // ---- steps ----

  /** Whatever comes and goes in one turn of the loop becomes one command. */
  #flush(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#dispatch({ type: 'flush' });
    });
  }

  /** Callbacks may call the client: what that brings waits until this step was told. */
  #dispatch(event: Event): void {
    this.#events.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    for (let next = this.#events.shift(); next; next = this.#events.shift()) {
      for (const action of this.#step(next)) this.#perform(action);
      this.#publish();
    }
    this.#stepping = false;
    this.#arm();
  }

  #step(event: Event): Action[] {
    try {
      return this.#machine.step(event, this.#clock.now());
    } catch (cause) {
      this.#emit('error', new ClientError('protocol', String(cause), cause));
      return [];
    }
  }

  #arm(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    const wait = this.#machine.wakeAt - this.#clock.now();
    if (wait === Infinity) return;
    this.#timer = this.#clock.setTimeout(() => this.#dispatch({ type: 'tick' }), Math.min(Math.max(wait, 0), TIMER_MAX_MS));
  }

  #perform(action: Action): void {
    switch (action.do) {
      case 'getToken':
        return void this.#askToken(action);
      case 'open':
        return this.#open(action.transport);
      case 'send':
        return this.#connection?.send(action.command);
      case 'close':
        this.#connection?.close();
        this.#connection = null;
        return;
      case 'error':
        this.#emit('error', action.error);
    }
  }

  async #askToken({ ask, reason }: Extract<Action, { do: 'getToken' }>): Promise<void> {
    try {
      const token = await this.#options.getToken({ reason });
      this.#dispatch({ type: 'token', ask, token });
    } catch (error) {
      this.#dispatch({ type: 'token', ask, error: error ?? new Error('no reason given') });
    }
  }

  #open(transport: TransportName): void {
    let mine: Connection | null = null;
    const ours = (event: Event): void => {
      if (this.#connection === mine) this.#dispatch(event);
    };
    const listener: Listener = {
      opened: () => ours({ type: 'opened' }),
      frame: (frame) => ours({ type: 'frame', frame }),
      heard: () => ours({ type: 'heard' }),
      closed: (code, reason, retryMs) => ours({ type: 'closed', code, reason, retryMs: retryMs ?? 0 }),
      fault: (message) => this.#emit('error', new ClientError('protocol', message)),
    };
    this.#connection?.close();
    try {
      mine =
        transport === 'websocket'
          ? openWebSocket(this.#socket!, this.#options.url, listener)
          : openStreamLater(this.#request!, this.#options.url, this.#clock, listener);
      this.#connection = mine;
    } catch (cause) {
      this.#connection = null; // a URL that is none, or a policy that forbids it
      this.#emit('error', new ClientError('transport', `${this.#options.url}: ${String(cause)}`, cause));
      this.#dispatch({ type: 'closed', code: 0, reason: 'transport' });
    }
  }

  // ---- who listens ----

  #publish(): void {
    const { balances, keys } = this.#store.takeChanges();
    const state = this.#machine.state;
    if (state !== this.#told) {
      const previous = this.#told;
      this.#told = state;
      this.#emit('state', state, previous);
    }
    for (const { entry, previous } of balances) {
      const { account, currency } = entry;
      const wanted = this.#subscribers.has(account) || this.#subscribers.has(`${account}/${currency}`);
      if (wanted) this.#emit('balance', entry, previous);
    }
    for (const key of keys) {
      for (const subscriber of this.#subscribers.get(key) ?? []) this.#tell(key, subscriber);
    }
  }

  #tell(key: string, subscriber: Subscriber): void {
    if (!this.#subscribers.get(key)?.has(subscriber)) return;
    const view = this.#store.view(key);
    if (view === subscriber.told) return;
    subscriber.told = view;
    this.#guard(() => subscriber.call?.(view));
  }

  #emit<E extends keyof ClientEvents>(event: E, ...args: Parameters<ClientEvents[E]>): void {
    for (const handler of [...this.#handlers[event]] as ((...args: Parameters<ClientEvents[E]>) => void)[]) {
      if (event === 'error') handler(...args);
      else this.#guard(() => handler(...args));
    }
  }

  /** One listener's fault must not keep the others from hearing. */
  #guard(call: () => void): void {
    try {
      call();
    } catch (cause) {
      this.#emit('error', new ClientError('callback', String(cause), cause));
    }
  }
}

/** A client of balance-gateway. It connects with its first subscription. Throws where the platform has no way to connect. */
export function createClient(options: ClientOptions): Client {
  return new BalanceClient(options);
}
