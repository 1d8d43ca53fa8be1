// SPDX-License-Identifier: Apache-2.0
// What happens to the machine, what it wants done, and the times that it keeps.
import type { Command, ServerFrame } from './protocol.js';
import type { Store } from './store.js';
import type { ClientError, Token, TokenReason, TransportName } from './types.js';

export type Event =
  | { readonly type: 'start' | 'stop' | 'flush' | 'tick' | 'opened' | 'heard' | 'foreground' | 'background' }
  | { readonly type: 'online'; readonly online: boolean }
  | { readonly type: 'token'; readonly ask: number; readonly token?: Token | null | undefined; readonly error?: unknown }
  | { readonly type: 'frame'; readonly frame: ServerFrame }
  | { readonly type: 'closed'; readonly code: number; readonly reason: string; readonly retryMs?: number };

export type Action =
  | { readonly do: 'getToken'; readonly ask: number; readonly reason: TokenReason }
  | { readonly do: 'open'; readonly transport: TransportName }
  | { readonly do: 'send'; readonly command: Command }
  | { readonly do: 'close' }
  | { readonly do: 'error'; readonly error: ClientError };

export interface MachineOptions {
  readonly store: Store;
  readonly wanted: ReadonlyMap<string, unknown>;
  /** At least one; the first is preferred. */
  readonly transports: readonly TransportName[];
  readonly client: string;
  readonly random: () => number;
}

export const TOKEN_WAIT_MS = 30_000;
export const CONNECT_WAIT_MS = 10_000;
export const PONG_WAIT_MS = 5_000;
export const WAKE_WAIT_MS = 2_000; // after sleep and on coming back, people look at the screen
export const SLEPT_MS = 5_000; // a timer that is so late was not late, but asleep
export const HEALTHY_MS = 5_000;
export const PROBE_MS = 300_000; // streams work: do WebSockets, by now?
export const REFRESH_AGAIN_MS = 30_000;

/** The app must act before it makes sense to come again. */
export const isFinal = (code: number): boolean => code >= 3500 && code < 4000;
