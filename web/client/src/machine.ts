// SPDX-License-Identifier: Apache-2.0
// The connection's life: step(event, now) changes the state and returns what is to be done. It opens no
// socket, sets no timer and asks no clock, so that any history can be replayed. Invariants: one connection
// at a time; nothing is retried in the background, offline or after the end; one token asked for at a time.
import { backoff } from './backoff.js';
import * as at from './events.js';
import { isFinal, type Action, type Event, type MachineOptions } from './events.js';
import type { Command, ServerFrame } from './protocol.js';
import { Route } from './route.js';
import { Session, type SessionHost } from './session.js';
import type { Store } from './store.js';
import { Tokens } from './tokens.js';
import { ClientError, type ConnectionState, type Token } from './types.js';

type Timer = 'retry' | 'token' | 'connect' | 'quiet' | 'pong' | 'refresh' | 'healthy' | 'probe';

export class Machine implements SessionHost {
  state: ConnectionState = { status: 'idle' };
  readonly store: Store;
  readonly wanted: ReadonlyMap<string, unknown>;

  readonly #due = new Map<Timer, number>();
  #actions: Action[] = [];
  #now = 0;
  #running = false;
  #online = true;
  #foreground = true;
  #phase: 'rest' | 'token' | 'opening' | 'greeting' | 'up' = 'rest';
  #session: Session | null = null;
  #resume: string | undefined;
  #attempt = 0;
  #bye: { code: number; reason: string; retryMs: number } | null = null;
  #notBefore = 0; // the gateway asked for that
  readonly #tokens = new Tokens();
  readonly #route: Route;
  #pingMs = 20_000;
  #heardAt = 0;
  #woken = false; // what is asked at the moment is whether the connection outlived a sleep

  readonly #options: MachineOptions;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.store = options.store;
    this.wanted = options.wanted;
    this.#route = new Route(options.transports);
  }

  /** When to send `tick`, at the latest. */
  get wakeAt(): number {
    return Math.min(...this.#due.values());
  }

  step(event: Event, now: number): Action[] {
    this.#actions = [];
    this.#now = now;
    switch (event.type) {
      case 'start':
        if (!this.#running) this.#begin();
        break;
      case 'stop':
        this.#rest({ status: 'idle' });
        this.#running = false;
        break;
      case 'flush':
        this.#session?.flush();
        break;
      case 'tick':
        for (const [timer, due] of [...this.#due]) {
          if (due > now || this.#due.get(timer) !== due) continue; // or an earlier one took it back
          this.#due.delete(timer);
          this.#ring(timer, now - due);
        }
        break;
      case 'token':
        if (this.#tokens.answers(event.ask)) this.#gotToken(event.token, event.error);
        break;
      case 'opened':
        if (this.#phase === 'opening') this.#greet();
        break;
      case 'heard':
        if (this.#phase !== 'rest') this.#heard();
        break;
      case 'frame':
        if (this.#phase === 'greeting' || this.#phase === 'up') this.#frame(event.frame);
        break;
      case 'closed':
        if (this.#phase !== 'rest' && this.#phase !== 'token') this.#closed(event.code, event.reason, event.retryMs ?? 0);
        break;
      case 'online':
        this.#setOnline(event.online);
        break;
      case 'foreground':
        this.#setForeground();
        break;
      case 'background':
        this.#foreground = false;
        if (this.#due.delete('retry')) this.#wait('background', null);
    }
    return this.#actions;
  }

  // ---- from nothing to live ----

  #begin(): void {
    this.#running = true;
    this.#attempt = 0;
    this.#tokens.forgive();
    if (!this.#online) return this.#rest({ status: 'offline' });
    this.state = { status: 'connecting' };
    this.#connect();
  }

  #connect(): void {
    if (!this.#foreground) return this.#wait('background', null);
    if (this.#now < this.#notBefore) {
      this.#due.set('retry', this.#notBefore);
      return this.#wait('asked_to_wait', this.#notBefore);
    }
    this.#due.delete('retry');
    this.#phase = 'token';
    if (this.state.status === 'offline') this.state = { status: 'connecting' };
    if (this.state.status === 'reconnecting') this.state = { ...this.state, retryAt: null };
    this.#askToken(false);
  }

  #greet(): void {
    this.#phase = 'greeting';
    this.#route.opened();
    this.#heard();
    const { client } = this.#options;
    this.send({ op: 'hello', token: this.#tokens.text, client, ...(this.#resume && { resume: this.#resume }) });
  }

  #frame(frame: ServerFrame): void {
    this.#heard();
    if (frame.ev === 'bye') {
      this.#bye = { code: frame.code, reason: frame.reason ?? '', retryMs: frame.retry_ms ?? 0 };
      // the close frame follows; should it get lost, nothing else would end this connection
      if (isFinal(frame.code)) this.#closed(frame.code, this.#bye.reason, 0);
      else this.#due.set('pong', this.#now + at.WAKE_WAIT_MS);
      return;
    }
    if (this.#phase === 'greeting' && frame.ev === 'hello') this.#welcome(frame.ping_s);
    this.#session?.frame(frame, this.#now);
    // a stream says hello before anything was heard from the gateway: there, an answer is the proof
    if (this.#session && (this.#route.isSocket || frame.ev !== 'hello' || !this.wanted.size)) this.#live();
    this.#resume = this.#session?.resume ?? this.#resume;
  }

  #welcome(pingS = 20): void {
    this.#phase = 'up';
    this.#pingMs = pingS * 1000;
    this.#due.delete('connect');
    this.#tokens.welcomed();
    this.#session = new Session(this);
    this.store.setLink('up', this.#now);
    this.#session.flush();
    this.#planRefresh(this.#tokens.refreshDelay(this.#now));
    this.#heard();
  }

  #live(): void {
    if (this.state.status === 'live') return;
    this.state = { status: 'live', transport: this.#route.transport, since: this.#now };
    this.#due.set('healthy', this.#now + at.HEALTHY_MS);
    if (this.#route.secondBest) this.#due.set('probe', this.#now + at.PROBE_MS);
  }

  // ---- and back ----

  #closed(code: number, reason: string, retryMs: number): void {
    const said = this.#bye ?? { code, reason, retryMs };
    const why = said.reason || (said.code ? `closed with ${said.code}` : 'unreachable');
    const met = this.#route.isSocket ? this.#phase !== 'opening' : this.state.status === 'live';
    if (!met && !isFinal(said.code) && !said.retryMs) this.#route.failed();
    // a token that ended on its way here is worth one more question, but not the same token again
    const expired = said.code === 3005 || (said.code === 3500 && said.reason === 'token_expired');
    const again = expired && this.#tokens.expired();
    if (isFinal(said.code) && !again) return this.#end(said.code, why);
    this.#lost(why, said.retryMs);
  }

  #lost(why: string, retryMs = 0, woken = false): void {
    this.#disconnect();
    if (!this.#online) return this.#rest({ status: 'offline' });
    if (retryMs > 0) this.#notBefore = this.#now + retryMs;
    // who wakes is alone in that, and somebody looks at the screen: no need to spread it
    const delay = woken ? 0 : retryMs > 0 ? retryMs : backoff(this.#attempt, this.#options.random());
    this.#attempt++;
    if (!this.#foreground) return this.#wait('background', null);
    this.#due.set('retry', this.#now + delay);
    this.#wait(why, this.#now + delay);
  }

  #wait(why: string, retryAt: number | null): void {
    this.#phase = 'rest';
    this.state = { status: 'reconnecting', attempt: this.#attempt, retryAt, why };
  }

  #end(code: number, reason: string): void {
    this.#rest({ status: 'ended', code, reason });
    this.#running = false;
  }

  #rest(state: ConnectionState): void {
    this.#disconnect();
    this.#due.clear();
    if (state.status !== this.state.status || state.status === 'ended') this.state = state;
  }

  #disconnect(): void {
    const token = this.#due.get('token');
    if (this.#phase !== 'rest' && this.#phase !== 'token') this.#actions.push({ do: 'close' });
    this.#phase = 'rest';
    this.#session = null;
    this.#bye = null;
    this.#tokens.disconnected();
    this.#due.clear();
    if (token !== undefined) this.#due.set('token', token); // a call that is under way goes on
    this.store.setLink('down', this.#heardAt);
  }

  // ---- signs of life ----

  #heard(): void {
    this.#heardAt = this.#now;
    this.store.heard(this.#now);
    if (this.#phase !== 'up') return;
    this.store.setLink('up', this.#now);
    if (!this.#bye) this.#due.delete('pong');
    this.#due.set('quiet', this.#now + this.#pingMs / 2);
  }

  #ask(waitMs: number): void {
    this.#session?.ping();
    this.#woken = waitMs === at.WAKE_WAIT_MS;
    this.#due.set('pong', Math.min(this.#now + waitMs, this.#due.get('pong') ?? Infinity));
  }

  #ring(timer: Timer, lateMs: number): void {
    switch (timer) {
      case 'retry':
        return this.#connect();
      case 'token':
        this.#tokens.abandon(); // whatever comes of that call, it is too late
        return this.#gotToken(undefined, 'timeout');
      case 'connect':
        return this.#closed(0, 'timeout', 0);
      case 'quiet':
        this.store.setLink('quiet', this.#heardAt);
        return this.#ask(lateMs > at.SLEPT_MS ? at.WAKE_WAIT_MS : at.PONG_WAIT_MS);
      case 'pong':
        return this.#bye
          ? this.#closed(this.#bye.code, this.#bye.reason, this.#bye.retryMs)
          : this.#lost('silent', 0, this.#woken);
      case 'refresh':
        if (this.#foreground) return this.#askToken(true);
        this.#due.set('refresh', Infinity); // when it can be seen again
        return;
      case 'healthy':
        this.#attempt = 0;
        return;
      case 'probe':
        if (!this.#foreground) return void this.#due.set('probe', this.#now + at.PROBE_MS);
        this.#disconnect();
        this.#route.probe();
        this.#wait('probe', null);
        return this.#connect();
    }
  }

  #setOnline(online: boolean): void {
    if (online === this.#online) return;
    this.#online = online;
    if (!this.#running) return;
    if (!online) return this.#rest({ status: 'offline' });
    this.#attempt = 0;
    this.#connect();
  }

  #setForeground(): void {
    const back = !this.#foreground;
    this.#foreground = true;
    if (!this.#running || !this.#online) return;
    const opening = this.#phase === 'opening' || this.#phase === 'greeting';
    if (this.#due.get('refresh') === Infinity) this.#due.set('refresh', this.#now);
    if (this.#phase === 'up') {
      this.#ask(at.WAKE_WAIT_MS);
    } else if (this.#phase === 'rest') {
      this.#connect();
    } else if (back && opening) {
      this.#due.set('connect', Math.min(this.#due.get('connect') ?? Infinity, this.#now + at.WAKE_WAIT_MS));
    }
  }

  // ---- tokens ----

  #askToken(refresh: boolean): void {
    const ask = this.#tokens.ask(refresh);
    if (ask) this.#actions.push({ do: 'getToken', ...ask });
    if (!this.#due.has('token')) this.#due.set('token', this.#now + at.TOKEN_WAIT_MS);
  }

  #gotToken(token: Token | null | undefined, error: unknown): void {
    this.#due.delete('token');
    if (!this.#running) return;
    if (error !== undefined) {
      this.error('token', String(error), error);
      if (this.#phase === 'token') this.#lost('token');
      else this.#planRefresh(at.REFRESH_AGAIN_MS);
    } else if (this.#phase === 'token') {
      this.#open(token);
    } else if (this.#session && this.#tokens.offer(token)) {
      this.#session.auth(this.#tokens.offeredText);
    } else {
      this.#planRefresh(this.#tokens.refreshDelay(this.#now));
    }
  }

  #open(token: Token | null | undefined): void {
    if (!this.#foreground) return this.#wait('background', null);
    const fault = this.#tokens.take(token);
    if (fault) return this.#end(fault === 'no_token' ? 0 : 3500, fault);
    this.#phase = 'opening';
    this.#due.set('connect', this.#now + at.CONNECT_WAIT_MS);
    this.#actions.push({ do: 'open', transport: this.#route.transport });
  }

  #planRefresh(inMs: number): void {
    if (this.#phase === 'up' && inMs < Infinity) this.#due.set('refresh', this.#now + inMs);
  }

  // ---- what a session needs ----

  tokenAccepted(): void {
    this.#tokens.accepted();
    this.#planRefresh(this.#tokens.refreshDelay(this.#now));
  }

  tokenRefused(code: string, message: string): void {
    this.#tokens.disconnected();
    this.error(code, message);
    this.#planRefresh(at.REFRESH_AGAIN_MS);
  }

  send(command: Command): void {
    this.#actions.push({ do: 'send', command });
  }

  error(code: string, message: string, cause?: unknown): void {
    this.#actions.push({ do: 'error', error: new ClientError(code, message, cause) });
  }

  distrust(why: string): void {
    this.#lost(why);
  }
}
