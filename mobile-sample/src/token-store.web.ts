// SPDX-License-Identifier: Apache-2.0
// A browser has no SecureStore. sessionStorage ends with the tab, and no other tab can read it.
const KEY = 'balances.token';

export const readToken = async (): Promise<string> => sessionStorage.getItem(KEY) ?? '';

export async function writeToken(token: string): Promise<void> {
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}
