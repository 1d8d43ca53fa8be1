// SPDX-License-Identifier: Apache-2.0
// Full jitter: a thousand clients that lost the same gateway must not come back in the same moment.

export interface BackoffLimits {
  readonly minMs: number;
  readonly maxMs: number;
}

export const BACKOFF: BackoffLimits = { minMs: 500, maxMs: 20_000 };

/**
 * Milliseconds to wait before attempt `attempt` (the first retry is 0). `random` is in [0, 1).
 * Always from `minMs` to `maxMs`; the spread doubles with each attempt.
 */
export function backoff(attempt: number, random: number, limits: BackoffLimits = BACKOFF): number {
  const spread = Math.min(limits.maxMs, limits.minMs * 2 ** Math.min(attempt, 30));
  return Math.min(limits.maxMs, Math.round(limits.minMs + random * spread));
}
