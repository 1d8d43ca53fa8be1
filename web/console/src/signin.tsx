// SPDX-License-Identifier: Apache-2.0
// Signing in: a token is pasted, and why the last one was not good stands above it.
import { useState } from 'preact/hooks';
import { signIn } from './session.ts';
import { useStore, type Store } from './store.ts';

export function SignIn({ why }: { why: Store<string | null> }) {
  const reason = useStore(why);
  const [token, setToken] = useState('');
  const [keep, setKeep] = useState(false);
  return (
    <form
      class="card narrow"
      onSubmit={(event) => {
        event.preventDefault();
        if (token.trim()) signIn(token.trim(), keep);
        else why.set('A token is needed.');
      }}
    >
      <h1>Sign in</h1>
      <p>Paste an access token for the balances that you may see. It goes to this gateway alone.</p>
      <p class="refused" role="alert" id="refused">
        {reason}
      </p>
      <label for="token">Access token</label>
      <textarea
        id="token"
        rows={5}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        aria-describedby="refused"
        required
        value={token}
        onInput={(event) => setToken(event.currentTarget.value)}
      />
      <label class="check">
        <input type="checkbox" checked={keep} onChange={(event) => setKeep(event.currentTarget.checked)} /> Keep it until this tab is closed
      </label>
      <button type="submit" class="main">
        Sign in
      </button>
    </form>
  );
}
