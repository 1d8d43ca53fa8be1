// SPDX-License-Identifier: Apache-2.0
// The token: which one is in use, which was offered in its place, and the one call of getToken under way.
import { refreshDelay, textOf } from './jwt.js';
import type { Token, TokenReason } from './types.js';

export class Tokens {
  #token: Token = '';
  #offered: Token | null = null; // sent with `auth`, not answered yet
  #refused = ''; // the gateway called it expired: the same one again is the end
  #reason: TokenReason = 'connect';
  #under = 0; // the call under way; 0: none
  #calls = 0;

  get text(): string {
    return textOf(this.#token);
  }

  get offeredText(): string {
    return this.#offered ? textOf(this.#offered) : '';
  }

  /** null: a call is under way already, and its answer will do. */
  ask(refresh: boolean): { ask: number; reason: TokenReason } | null {
    if (this.#under) return null;
    this.#under = ++this.#calls;
    return { ask: this.#under, reason: refresh ? 'refresh' : this.#reason };
  }

  answers(ask: number): boolean {
    if (ask !== this.#under) return false;
    this.#under = 0;
    return true;
  }

  abandon(): void {
    this.#under = 0;
  }

  /** For a new connection; the fault that ends the client, if there is one. */
  take(token: Token | null | undefined): 'no_token' | 'token_expired' | null {
    if (!token || !textOf(token)) return 'no_token';
    if (textOf(token) === this.#refused) return 'token_expired';
    this.#token = token;
    return null;
  }

  /** For the connection that there is; false: it is the token that it has, or none. */
  offer(token: Token | null | undefined): boolean {
    if (!token || !textOf(token) || textOf(token) === this.text) return false;
    this.#offered = token;
    return true;
  }

  accepted(): void {
    this.#token = this.#offered ?? this.#token;
    this.#offered = null;
  }

  disconnected(): void {
    this.#offered = null;
  }

  welcomed(): void {
    this.forgive();
    this.#reason = 'connect';
  }

  forgive(): void {
    this.#refused = '';
  }

  /** False: it was told so already, and brought another one that is no better. */
  expired(): boolean {
    const first = !this.#refused;
    this.#refused = this.text;
    this.#reason = 'expired';
    return first;
  }

  refreshDelay(now: number): number {
    return refreshDelay(this.#token, now);
  }
}
