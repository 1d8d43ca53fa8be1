// SPDX-License-Identifier: Apache-2.0
// Functions without a world: versions, digests, backoff, chunks, tokens, amounts.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { backoff } from '../src/backoff.js';
import { digestOf, fnv64, slotText } from '../src/digest.js';
import { currencyExponent, decimalText, formatBalance } from '../src/format.js';
import { refreshDelay } from '../src/jwt.js';
import { addressOf } from '../src/transport.js';
import { compareVersions } from '../src/versions.js';

const vectors = <T>(name: string): T => JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8')) as T;

describe('vectors', () => {
  it('of the digest', () => {
    type Slot = { account: string; currency: string; v: string; hash: string };
    const { slots, views } = vectors<{ slots: Slot[]; views: { slots: number[]; digest: string }[] }>('digest');
    const hashes = slots.map(({ account, currency, v }) => fnv64(slotText(account, currency, v)));
    expect(hashes.map((hash) => digestOf([hash]))).toEqual(slots.map(({ hash }) => hash));
    for (const view of views) expect(digestOf(view.slots.map((i) => hashes[i]!))).toBe(view.digest);
  });

  it('of versions', () => {
    const { pairs } = vectors<{ pairs: { held: string; next: string; is: string }[] }>('versions');
    for (const { held, next, is } of pairs) expect([held, next, compareVersions(held, next)]).toEqual([held, next, is]);
  });
});

describe('backoff', () => {
  it('is from half a second to twenty, and doubles its spread', () => {
    for (let attempt = 0; attempt < 100; attempt++) {
      expect(backoff(attempt, 0)).toBe(500);
      expect(backoff(attempt, 0.9999999)).toBeLessThanOrEqual(20_000);
    }
    expect([0, 1, 2, 3, 10].map((attempt) => backoff(attempt, 0.5))).toEqual([750, 1000, 1500, 2500, 10_500]);
  });
});

describe('a token', () => {
  const jwt = (claims: object): string => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.x`;
  const now = 1_800_000_000_000;
  it('is refreshed a minute before its end, or at four fifths of a short life', () => {
    expect(refreshDelay(jwt({ exp: 1_800_003_600 }), now)).toBe(3_540_000);
    expect(refreshDelay(jwt({ exp: 1_800_000_100 }), now)).toBe(80_000);
    expect(refreshDelay({ token: 'opaque', expiresAt: now + 100_000 }, now)).toBe(80_000);
  });
  it('of a clock that is wrong lives as long as it says', () => {
    expect(refreshDelay(jwt({ iat: 1_799_990_000, exp: 1_799_990_100 }), now)).toBe(80_000);
  });
  it('without an end is never refreshed', () => {
    for (const token of ['opaque', 'a.b.c', jwt({})]) expect(refreshDelay(token, now)).toBe(Infinity);
  });
});

describe('an address', () => {
  it('is found however the gateway was written', () => {
    for (const url of ['https://g.test', 'https://g.test/', 'wss://g.test/ws', 'https://g.test/ws/', 'https://g.test/ws?x=1']) {
      expect(addressOf(url, '/ws', 'ws')).toBe('wss://g.test/ws');
      expect(addressOf(url, '/v1/stream', 'http')).toBe('https://g.test/v1/stream');
    }
    expect(addressOf('http://g.test:5851/live', '/ws', 'ws')).toBe('ws://g.test:5851/live/ws');
  });
});

describe('formatBalance', () => {
  const text = (minor: bigint, currency: string, locale = 'en'): string => formatBalance({ minor, currency }, { locale, display: 'code' }).replace(/\s/g, ' ');
  it('uses the exponent of the currency', () => {
    expect([text(125050n, 'NGN'), text(125050n, 'JPY'), text(125050n, 'KWD'), text(125050n, 'CLF')]).toEqual([
      'NGN 1,250.50', 'JPY 125,050', 'KWD 125.050', 'CLF 12.5050',
    ]);
    expect(currencyExponent('IQD')).toBe(3);
  });
  it('loses no digit that a double would', () => {
    expect(text(9007199254740993n, 'NGN')).toBe('NGN 90,071,992,547,409.93');
    expect(text(-9223372036854775808n, 'USD')).toBe('-USD 92,233,720,368,547,758.08');
    expect(text(9223372036854775807n, 'JPY')).toBe('JPY 9,223,372,036,854,775,807');
  });
  it('keeps the sign of what is less than one', () => {
    expect([text(-50n, 'USD'), text(-5n, 'USD'), text(0n, 'USD'), text(5n, 'USD')]).toEqual(['-USD 0.50', '-USD 0.05', 'USD 0.00', 'USD 0.05']);
  });
  it('writes as the locale does', () => {
    expect(text(123456789n, 'INR', 'en-IN')).toBe('INR 12,34,567.89');
    expect(text(123456789n, 'EUR', 'de')).toBe('1.234.567,89 EUR');
    expect(formatBalance({ minor: 123450n, currency: 'EGP' }, { locale: 'ar-EG' })).toMatch(/١٬٢٣٤٫٥٠/);
  });
  it('shows what is not known as such, never as 0', () => {
    expect([formatBalance(null), formatBalance(undefined, { unknown: 'n/a' })]).toEqual(['—', 'n/a']);
  });
  it('does not believe an engine that rounds', () => {
    const real = Intl.NumberFormat.prototype.formatToParts;
    Intl.NumberFormat.prototype.formatToParts = function (this: Intl.NumberFormat, value) {
      return real.call(this, Number(value));
    };
    try {
      expect(text(900719925474099301n, 'NGN')).toBe('NGN 9,007,199,254,740,993.01');
    } finally {
      Intl.NumberFormat.prototype.formatToParts = real;
    }
  });
  it('is exact as plain text too', () => {
    expect([decimalText(-5n, 'USD'), decimalText(9007199254740993n, 'NGN'), decimalText(7n, 'JPY')]).toEqual(['-0.05', '90071992547409.93', '7']);
  });
});
