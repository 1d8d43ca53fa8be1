// SPDX-License-Identifier: Apache-2.0
// When a token ends, so that a new one is there before. Nothing is verified here: that is the gateway's.
import type { Token } from './types.js';

const LEAD_MAX_MS = 60_000;
const AGAIN_MIN_MS = 5_000;

interface Times {
  readonly exp: number;
  readonly iat: number | undefined;
}

function timesOf(jwt: string): Times | null {
  try {
    const body = jwt.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/');
    const { exp, iat } = JSON.parse(atob(body)) as { exp?: unknown; iat?: unknown };
    return typeof exp === 'number' ? { exp: exp * 1000, iat: typeof iat === 'number' ? iat * 1000 : undefined } : null;
  } catch {
    return null; // not a JWT, or a platform without atob: the gateway says 3005 when it ends
  }
}

export const textOf = (token: Token): string => (typeof token === 'string' ? token : token.token);

/**
 * Milliseconds from now to the moment to ask for the next one: a minute before the end, or a fifth of what
 * is left of short-lived ones. Infinity where no end is known. A token that has ended by this clock but was
 * just accepted says that this clock is wrong: then its lifetime counts from now.
 */
export function refreshDelay(token: Token, now: number): number {
  const times = typeof token === 'string' ? timesOf(token) : { exp: token.expiresAt, iat: undefined };
  if (!times) return Infinity;
  let left = times.exp - now;
  if (left <= 0 && times.iat !== undefined) left = times.exp - times.iat;
  return Math.max(AGAIN_MIN_MS, left - Math.min(LEAD_MAX_MS, left / 5));
}
