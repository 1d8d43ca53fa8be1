// SPDX-License-Identifier: Apache-2.0
// Amounts for people. No amount passes through a double: the digits that are shown are compared with the
// digits that were meant, and an engine that rounded (Node 18, some Hermes) is not believed.
import type { Balance } from './types.js';

// ISO 4217, not CLDR: the ledger's minor unit is the standard's, whatever a locale likes to show.
const EXPONENTS: { [exponent: number]: string } = {
  0: 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF',
  3: 'BHD IQD JOD KWD LYD OMR TND',
  4: 'CLF UYW',
};

/** How many digits of `minor` stand behind the point: 2 for NGN and USD, 0 for JPY, 3 for KWD. */
export function currencyExponent(currency: string): number {
  for (const exponent of [0, 3, 4]) {
    if (EXPONENTS[exponent]!.split(' ').includes(currency)) return exponent;
  }
  return 2;
}

function digitsOf(minor: bigint, exponent: number): [whole: string, fraction: string] {
  const digits = (minor < 0n ? -minor : minor).toString().padStart(exponent + 1, '0');
  return [digits.slice(0, digits.length - exponent), digits.slice(digits.length - exponent)];
}

/** `-1234.50`: exact, without locale, for logs and for what reads aloud. */
export function decimalText(minor: bigint, currency: string, exponent = currencyExponent(currency)): string {
  const [whole, fraction] = digitsOf(minor, exponent);
  return `${minor < 0n ? '-' : ''}${whole}${fraction && `.${fraction}`}`;
}

export interface FormatOptions {
  readonly locale?: string | string[];
  /** `code` shows `NGN 1,250.00`. */
  readonly display?: 'symbol' | 'narrowSymbol' | 'code' | 'name';
  /** What stands for a balance that is not known; never 0. Default `—`. */
  readonly unknown?: string;
  /** For a ledger whose minor unit is not ISO 4217's. */
  readonly exponent?: number;
}

function plain(minor: bigint, currency: string, exponent: number): string {
  const [whole, fraction] = digitsOf(minor, exponent);
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return `${minor < 0n ? '-' : ''}${currency}\u00a0${grouped}${fraction && `.${fraction}`}`;
}

interface Formatter {
  readonly format: Intl.NumberFormat;
  /** The locale's numerals, 0 to 9. */
  readonly local: readonly string[];
}

// Making one takes longer than everything else here, and a list of balances needs few, again and again.
const FORMATTERS_MAX = 64;
const formatters = new Map<string, Formatter>();

function formatterOf(currency: string, exponent: number, { locale, display = 'symbol' }: FormatOptions): Formatter {
  const key = `${currency} ${exponent} ${display} ${locale}`; // a list of locales reads `a,b`
  let made = formatters.get(key);
  if (made) return made;
  const format = new Intl.NumberFormat(locale, {
    style: 'currency',
    currency,
    currencyDisplay: display,
    minimumFractionDigits: exponent,
    maximumFractionDigits: exponent,
  });
  const numerals = new Intl.NumberFormat(locale, { useGrouping: false });
  made = { format, local: Array.from({ length: 10 }, (_, digit) => numerals.format(digit)) };
  if (formatters.size >= FORMATTERS_MAX) formatters.delete(formatters.keys().next().value!); // the oldest one
  formatters.set(key, made);
  return made;
}

function localized(minor: bigint, currency: string, exponent: number, options: FormatOptions): string | null {
  const { format, local } = formatterOf(currency, exponent, options);
  const toLocal = (digits: string): string => [...digits].map((digit) => local[Number(digit)]).join('');
  const [whole, fraction] = digitsOf(minor, exponent);
  // -0.50 has no integer part that could carry the sign: -1 brings it, and its digit is replaced
  const standIn = whole === '0';
  const parts = format.formatToParts(standIn ? (minor < 0n ? -1 : 1) : BigInt(whole) * (minor < 0n ? -1n : 1n));
  let shown = '';
  const text = parts.map(({ type, value }) => {
    if (type === 'integer') shown += value;
    if (type === 'integer' && standIn) return toLocal('0');
    return type === 'fraction' ? toLocal(fraction) : value;
  });
  return shown === toLocal(standIn ? '1' : whole) ? text.join('') : null;
}

/** The amount as people of the locale write it, exact to the last digit; `—` where there is none. */
export function formatBalance(
  balance: Pick<Balance, 'minor' | 'currency'> | null | undefined,
  options: FormatOptions = {},
): string {
  if (!balance) return options.unknown ?? '—';
  const exponent = options.exponent ?? currencyExponent(balance.currency);
  try {
    return localized(balance.minor, balance.currency, exponent, options) ?? plain(balance.minor, balance.currency, exponent);
  } catch {
    return plain(balance.minor, balance.currency, exponent); // an engine without formatToParts or BigInt in Intl
  }
}
