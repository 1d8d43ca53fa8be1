// SPDX-License-Identifier: Apache-2.0
// The frame around the pages: who is signed in, how the connection is, where one can go; and what a screen reader is told.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { AccountPage } from './account/page.tsx';
import { ConnectPage } from './connect/page.tsx';
import { GatewayPage } from './gateway/page.tsx';
import { LivePage } from './live/page.tsx';
import { PAGES, href, route, type PageName } from './route.ts';
import { Rows } from './rows.ts';
import { beginSession, connection, session, signedOut } from './session.ts';
import { SignIn } from './signin.tsx';
import { useStore } from './store.ts';
import { TryPage } from './tryit/page.tsx';
import { Announcer } from './ui/announcer.tsx';
import { Keys } from './ui/keys.tsx';
import { Parts } from './ui/parts.tsx';
import { ThemeButton } from './ui/theme.tsx';
import { linkWords } from './words.ts';

const NAMES: Record<PageName, string> = { live: 'Live', account: 'Account', gateway: 'Gateway', try: 'Try it', connect: 'Connect' };

function Link() {
  const { tone, text } = linkWords(useStore(connection));
  useEffect(() => {
    document.title = text.startsWith('Live') ? 'balance-gateway' : `${text} · balance-gateway`;
  }, [text]);
  return (
    <p class="link" data-tone={tone} id="link">
      <span class="dot" aria-hidden="true" />
      <span role="status" id="link-text">
        {text}
      </span>
    </p>
  );
}

function Header() {
  const now = useStore(session);
  const { page } = useStore(route);
  return (
    <header class="bar">
      <a class="brand" href={href('live')}>
        <img src="/icon.svg" alt="" width={26} height={26} />
        <span>balance-gateway</span>
      </a>
      {now && (
        <nav aria-label="Pages">
          {PAGES.map((name) => (
            <a key={name} href={href(name)} aria-current={name === page ? 'page' : undefined}>
              {NAMES[name]}
            </a>
          ))}
        </nav>
      )}
      <div class="tools">
        <Link />
        <ThemeButton />
        {now && !now.demo && (
          <button type="button" class="quiet" title={now.subject} onClick={() => now.end()}>
            Sign out
          </button>
        )}
      </div>
    </header>
  );
}

export function App() {
  const now = useStore(session);
  const { page, rest } = useStore(route);
  const [first, setFirst] = useState<readonly string[] | null>(null);
  useEffect(() => void beginSession().then(setFirst), []);
  const rows = useMemo(() => (now ? new Rows(now.client, first ?? []) : null), [now, now && first]);
  useEffect(() => () => rows?.stop(), [rows]);
  if (first === null) return <Header />; // a moment, in which nobody knows yet who is here

  return (
    <>
      {now?.demo && (
        <p class="banner" id="banner">
          <strong>Demo, insecure.</strong> Invented accounts, and a token that anyone can read. Not for real money.
        </p>
      )}
      <Header />
      <Parts demo={now?.demo ?? false} />
      <main>
        {!now || !rows ? (
          <SignIn why={signedOut} />
        ) : (
          <>
            {page === 'live' && <LivePage rows={rows} />}
            {page === 'account' && <AccountPage rows={rows} id={rest} />}
            {page === 'gateway' && <GatewayPage session={now} />}
            {page === 'try' && <TryPage session={now} />}
            {page === 'connect' && <ConnectPage session={now} />}
          </>
        )}
      </main>
      <footer>
        <p>“Live” means proved current within the last seconds. Anything else says as of when. A balance that is not known is —, never zero.</p>
      </footer>
      {rows && <Announcer rows={rows} />}
      <Keys />
    </>
  );
}
