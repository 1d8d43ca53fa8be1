// SPDX-License-Identifier: Apache-2.0
// `bgw serve --demo` hands its token to whoever asks. Your app gets its token from your login instead.
import { Platform } from 'react-native';
import { httpBase } from './defaults';

export interface Demo {
  readonly token: string;
  readonly accounts: readonly string[];
}

// A browser keeps the answer from pages of other origins, and rightly so: it is a token.
const ON_WEB = 'A page of another address may not read it: paste a token instead.';

export async function fetchDemo(realtimeBase: string): Promise<Demo> {
  const base = httpBase(realtimeBase);
  let response: Response;
  try {
    response = await fetch(`${base}/demo/token.json`);
  } catch {
    throw new Error(`${base} cannot be reached.${Platform.OS === 'web' ? ` ${ON_WEB}` : ''}`);
  }
  if (!response.ok) throw new Error(`${base} has no demonstration token (${response.status}): is it \`bgw serve --demo\`?`);
  return response.json();
}
