// SPDX-License-Identifier: Apache-2.0
// Who is signed in, and the one client of the page. The token stays in memory; in the tab's own storage only if asked.
// The demonstration hands out a token by itself, and another after it was started anew.
import { createClient, type Client, type ConnectionState } from '@balance-gateway/client';
import { attachBrowser } from '@balance-gateway/client/web';
import { forgetWatched } from './rows.ts';
import { store } from './store.ts';

export interface Session {
  readonly client: Client;
  readonly demo: boolean;
  readonly subject: string;
  readonly tenant: string | null;
  readonly expires: number | null;
  readonly scopes: readonly string[];
  token(): string;
  end(): void;
}

const KEPT = 'bgw.token';
const DEMO_WAIT_MS = 5000;

export const session = store<Session | null>(null);
export const connection = store<ConnectionState>({ status: 'idle' });
export const signedOut = store<string | null>(null); // why, in words

const WORDS: Record<string, string> = {
  token_missing: 'A token is needed.',
  token_malformed: 'This is not a token: three parts with dots between them are expected.',
  token_unsupported: 'This kind of token is not accepted here.',
  bad_signature: 'The token was not signed with a key that this gateway trusts.',
  token_expired: 'The token has expired.',
  expired: 'The token has expired.',
  token_not_yet_valid: 'The token is not valid yet.',
  wrong_issuer: 'The token comes from an issuer that is not trusted here.',
  wrong_audience: 'The token was made for another service.',
  bad_claims: 'The token does not say what a token must say.',
  auth_timeout: 'The token came too late.',
  revoked: 'The token was revoked.',
};

interface Claims {
  sub?: unknown;
  tenant?: unknown;
  exp?: unknown;
  scope?: unknown;
}

/** What the token says of itself; only for show, the gateway alone judges it. */
function claimsOf(token: string): Claims {
  try {
    const middle = (token.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/');
    const bytes = Uint8Array.from(atob(middle), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) as Claims;
  } catch {
    return {};
  }
}

const text = (value: unknown) => (typeof value === 'string' ? value : null);

export interface Demo {
  readonly token: string;
  readonly accounts: readonly string[];
}

export async function askDemo(): Promise<Demo | null> {
  try {
    const reply = await fetch('/demo/token.json', { signal: AbortSignal.timeout(DEMO_WAIT_MS) });
    return reply.ok ? ((await reply.json()) as Demo) : null;
  } catch {
    return null;
  }
}

function begin(first: string, demo: boolean) {
  let current = first;
  const claims = claimsOf(first);
  const client = createClient({
    url: location.origin,
    client: 'console/0.1',
    getToken: async () => {
      if (demo) current = (await askDemo())?.token ?? current;
      return current;
    },
  });
  const detach = attachBrowser(client);
  const leave = (last: ConnectionState) => {
    unlisten();
    detach();
    client.stop();
    sessionStorage.removeItem(KEPT);
    connection.set(last);
    session.set(null);
  };
  const unlisten = client.on('state', (now) => {
    if (now.status !== 'ended') return connection.set(now);
    signedOut.set(WORDS[now.reason] ?? `The gateway ended the session: ${now.reason}.`);
    return leave(now);
  });
  signedOut.set(null);
  session.set({
    client,
    demo,
    subject: text(claims.sub) ?? 'unnamed',
    tenant: text(claims.tenant),
    expires: typeof claims.exp === 'number' ? claims.exp * 1000 : null,
    scopes: (text(claims.scope) ?? '').split(' ').filter(Boolean),
    token: () => current,
    end: () => {
      forgetWatched();
      leave({ status: 'idle' });
    },
  });
  client.start();
}

export function signIn(token: string, keep: boolean) {
  if (keep) sessionStorage.setItem(KEPT, token);
  begin(token, false);
}

/** At the start of the page: the demonstration, a kept token, or nobody. Resolves to the accounts that the demonstration shows. */
export async function beginSession(): Promise<readonly string[]> {
  const demo = await askDemo();
  if (demo) {
    begin(demo.token, true);
    return demo.accounts;
  }
  const kept = sessionStorage.getItem(KEPT);
  if (kept) begin(kept, false);
  return [];
}
