// SPDX-License-Identifier: Apache-2.0
// Connect: for each kind of client the lines that work against this gateway, with its address and this token.
import { useState } from 'preact/hooks';
import type { Session } from '../session.ts';
import { SNIPPETS } from './snippets.ts';

const MASK = 'YOUR_TOKEN';

export function ConnectPage({ session }: { session: Session }) {
  const [chosen, setChosen] = useState(SNIPPETS[0]!.name);
  const [withToken, setWithToken] = useState(session.demo);
  const [copied, setCopied] = useState('');
  const snippet = SNIPPETS.find(({ name }) => name === chosen)!;
  const account = session.demo ? 'msisdn::2348100000001' : 'YOUR_ACCOUNT';
  const code = (token: string) => snippet.code({ base: location.origin, ws: location.origin.replace(/^http/, 'ws'), token, account });
  const copy = () =>
    navigator.clipboard.writeText(code(withToken ? session.token() : MASK)).then(
      () => setCopied('Copied.'),
      () => setCopied('This browser does not let the page copy; select the text.'),
    );
  return (
    <section class="card wide" aria-labelledby="connect-title">
      <h1 id="connect-title">Connect a client</h1>
      <div class="tabs" role="tablist" aria-label="Clients">
        {SNIPPETS.map(({ name }) => (
          <button key={name} type="button" role="tab" aria-selected={name === chosen} onClick={() => (setChosen(name), setCopied(''))}>
            {name}
          </button>
        ))}
      </div>
      <p>{snippet.about}</p>
      <pre tabIndex={0}>{code(withToken ? `${session.token().slice(0, 12)}…` : MASK)}</pre>
      <p class="row">
        <button type="button" class="main" onClick={copy}>
          Copy
        </button>
        <label class="check">
          <input type="checkbox" checked={withToken} onChange={(event) => setWithToken(event.currentTarget.checked)} /> with my token, whole
        </label>
        <span role="status">{copied}</span>
      </p>
    </section>
  );
}
