// SPDX-License-Identifier: Apache-2.0
// The access token, in the Keychain (iOS) or the Keystore (Android): never in AsyncStorage, which is a
// plain file. Metro takes token-store.web.ts in its place on web.
import * as SecureStore from 'expo-secure-store';

const KEY = 'balances.token';

export const readToken = async (): Promise<string> => (await SecureStore.getItemAsync(KEY)) ?? '';

export async function writeToken(token: string): Promise<void> {
  if (token) await SecureStore.setItemAsync(KEY, token);
  else await SecureStore.deleteItemAsync(KEY);
}
