// SPDX-License-Identifier: Apache-2.0
// The view digest: the XOR, over all slots whose value was last sent on this connection, of FNV-1a 64 of
// `account|currency|v`. Two halves of 32 bits instead of a BigInt: a thousand slots are hashed at each
// mark, and on Hermes a BigInt multiplication for each byte would be felt.

export interface Hash {
  readonly hi: number;
  readonly lo: number;
}

/** FNV-1a 64 of a text of ASCII, which is all that ids, currencies and versions are made of. */
export function fnv64(text: string): Hash {
  let hi = 0xcbf29ce4;
  let lo = 0x84222325;
  for (let i = 0; i < text.length; i++) {
    lo = (lo ^ text.charCodeAt(i)) >>> 0;
    // times 0x100000001b3: 0x1b3 for both halves, and the low one 40 bits up
    const low = lo * 0x1b3;
    hi = (Math.imul(hi, 0x1b3) + Math.floor(low / 0x100000000) + (lo << 8)) >>> 0;
    lo = low >>> 0;
  }
  return { hi, lo };
}

const hex = (half: number): string => (half >>> 0).toString(16).padStart(8, '0');

/** The digest as a mark writes it: 16 hex digits. */
export function digestOf(hashes: Iterable<Hash>): string {
  let hi = 0;
  let lo = 0;
  for (const hash of hashes) {
    hi ^= hash.hi;
    lo ^= hash.lo;
  }
  return hex(hi) + hex(lo);
}

export const slotText = (account: string, currency: string, v: string): string => `${account}|${currency}|${v}`;
