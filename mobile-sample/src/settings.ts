// SPDX-License-Identifier: Apache-2.0
// What the user has set. All of it is in AsyncStorage but the token, which has a safe place of its own.
import AsyncStorage from '@react-native-async-storage/async-storage';
import { defaultLedgerBase, defaultRealtimeBase, httpBase } from './defaults';
import { readToken, writeToken } from './token-store';

export interface Settings {
  /** Empty: what defaults.ts says. */
  readonly realtimeBase: string;
  readonly ledgerBase: string;
  /** Ask a gateway in demonstration mode for its token, each time one is needed. */
  readonly demo: boolean;
  readonly token: string;
  /** `A`, or `A/USD` for one currency of it. */
  readonly accounts: readonly string[];
  readonly hidden: boolean;
}

export const NOTHING_SET: Settings = { realtimeBase: '', ledgerBase: '', demo: false, token: '', accounts: [], hidden: false };

const KEY = 'balances.settings';

export async function loadSettings(): Promise<Settings> {
  const [text, token] = await Promise.all([AsyncStorage.getItem(KEY), readToken()]);
  try {
    return { ...NOTHING_SET, ...JSON.parse(text ?? '{}'), token };
  } catch {
    return { ...NOTHING_SET, token };
  }
}

export async function saveSettings({ token, ...rest }: Settings): Promise<void> {
  await Promise.all([AsyncStorage.setItem(KEY, JSON.stringify(rest)), writeToken(token)]);
}

export const realtimeBaseOf = (settings: Settings): string => settings.realtimeBase || defaultRealtimeBase();

export const ledgerBaseOf = (settings: Settings): string =>
  httpBase(settings.ledgerBase || defaultLedgerBase(realtimeBaseOf(settings)));

export const signedIn = (settings: Settings): boolean => settings.demo || settings.token !== '';

/** One account a line, or separated by commas; doubles once. */
export const parseAccounts = (text: string): string[] => [...new Set(text.split(/[\s,]+/).filter(Boolean))];

// The gateway's grammar: said at once in the settings, instead of by a refusal later.
const ACCOUNT = /^[A-Za-z0-9._:@+-]{1,64}(\/[A-Z]{3})?$/;

export const badAccounts = (accounts: readonly string[]): string[] => accounts.filter((one) => !ACCOUNT.test(one));
