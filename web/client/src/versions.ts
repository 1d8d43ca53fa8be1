// SPDX-License-Identifier: Apache-2.0
// Versions of values, `<epoch>.<seq>` or `<epoch>.<seq>.<read>`: which of two is newer. They have an
// order inside one epoch only, and numbers of up to 63 bits, so they are compared as BigInt.

interface Version {
  readonly epoch: string;
  readonly seq: bigint;
  readonly read: bigint;
}

const FORM = /^([^.]+)\.(\d{1,19})(?:\.(\d{1,19}))?$/;

function parseVersion(text: string): Version | null {
  const parts = FORM.exec(text);
  return parts && { epoch: parts[1]!, seq: BigInt(parts[2]!), read: BigInt(parts[3] ?? 0) };
}

/**
 * What `next` is to somebody who holds `held`: `newer`, the `same`, `older`, of `other` epoch (to be
 * taken as new, for epochs have no order), or `bad`: not a version.
 */
export function compareVersions(held: string, next: string): 'newer' | 'same' | 'older' | 'other' | 'bad' {
  const a = parseVersion(held);
  const b = parseVersion(next);
  if (!b) return 'bad';
  if (!a || a.epoch !== b.epoch) return 'other';
  if (a.seq !== b.seq) return b.seq > a.seq ? 'newer' : 'older';
  if (a.read !== b.read) return b.read > a.read ? 'newer' : 'older';
  return 'same';
}
