// SPDX-License-Identifier: Apache-2.0
// What formatBalance keeps between two calls: the same answers, fewer formatters, and not without end.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatBalance, type FormatOptions } from '../src/format.js';

const Real = Intl.NumberFormat;
let made = 0;

describe('formatBalance, again and again', () => {
  beforeEach(() => {
    made = 0;
    Intl.NumberFormat = class extends Real {
      constructor(...args: ConstructorParameters<typeof Real>) {
        made++;
        super(...args);
      }
    } as never;
  });
  afterEach(() => {
    Intl.NumberFormat = Real;
  });

  const text = (options: FormatOptions, currency = 'NGN', minor = 123450n): string => formatBalance({ minor, currency }, options);
  const plain = (options: FormatOptions, currency = 'NGN'): string => text(options, currency).replace(/\s/g, ' ');

  it('says the same, and makes nothing anew', () => {
    const first = text({ locale: 'en-NG' });
    expect(made).toBeGreaterThan(0);
    made = 0;
    expect(text({ locale: 'en-NG' })).toBe(first);
    expect(text({ locale: 'en-NG' }, 'NGN', -7n)).toMatch(/^-.*0\.07$/);
    expect(text({ locale: ['en-NG'] })).toBe(first);
    expect(made).toBe(0);
  });

  it('confuses no two that differ in one thing', () => {
    const each = (): string[] => [
      plain({ locale: 'en', display: 'code' }),
      plain({ locale: 'de', display: 'code' }),
      plain({ locale: 'en', display: 'name' }),
      plain({ locale: 'en', display: 'code', exponent: 3 }),
      plain({ locale: 'en', display: 'code' }, 'USD'),
      plain({ locale: ['xx-none', 'de'], display: 'code' }),
    ];
    const expected = ['NGN 1,234.50', '1.234,50 NGN', '1,234.50 Nigerian nairas', 'NGN 123.450', 'USD 1,234.50', '1.234,50 NGN'];
    expect(each()).toEqual(expected);
    expect(each()).toEqual(expected); // those that were kept
  });

  it('keeps 64 of them, the oldest one not', () => {
    const currency = (i: number): string => `Q${String.fromCharCode(65 + Math.floor(i / 26), 65 + (i % 26))}`;
    const use = (i: number): number => {
      made = 0;
      text({ locale: 'en' }, currency(i));
      return made;
    };
    for (let i = 0; i < 65; i++) expect(use(i)).toBeGreaterThan(0);
    for (let i = 1; i < 65; i++) expect(use(i)).toBe(0);
    expect(use(0)).toBeGreaterThan(0);
    expect(use(1)).toBeGreaterThan(0); // it had to go for that
    expect(use(64)).toBe(0);
  });

  it('does not keep what an engine refuses', () => {
    for (const currency of ['', 'NAIRA', 'N1']) expect(plain({ locale: 'en' }, currency)).toBe(`${currency} 1,234.50`);
    expect(plain({ locale: 'not a locale' })).toBe('NGN 1,234.50');
  });
});
