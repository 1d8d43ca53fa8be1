// @vitest-environment happy-dom
// SPDX-License-Identifier: Apache-2.0
import { act, StrictMode, type ReactElement } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { renderToString } from 'react-dom/server';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatBalance } from '../src/index.js';
import { BalanceProvider, useBalance, useBalances, useConnectionState } from '../src/react.js';
import { rig } from './rig.js';

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

let root: Root;
let box: HTMLElement;
beforeEach(() => {
  box = document.createElement('div');
  root = createRoot(box);
});
afterEach(() => act(() => root.unmount()));

const show = (element: ReactElement): void => act(() => root.render(element));
let drawn = 0;

function Amount({ account }: { account: string | null }): ReactElement {
  const now = useBalance(account);
  drawn++;
  return <p>{`${now.status} ${formatBalance(now.lastKnown, { locale: 'en', display: 'code' })}`}</p>;
}

describe('useBalance', () => {
  it('draws pending, live and what follows, and nothing twice', async () => {
    const { server, client, clock } = rig();
    server.set('A', 125000);
    drawn = 0;
    show(<BalanceProvider client={client}><Amount account="A" /></BalanceProvider>);
    expect(box.textContent).toBe('pending —');
    await act(() => clock.advance(10));
    expect(box.textContent).toBe('live NGN\u00a01,250.00');
    const before = drawn;
    await act(() => clock.advance(9000));
    expect(drawn).toBe(before);
    await act(async () => {
      server.drop();
      await clock.advance(0);
    });
    expect(box.textContent).toBe('stale NGN\u00a01,250.00');
  });

  it('shares one subscription between components, and leaves with the last, in strict mode too', async () => {
    const { server, client, clock } = rig();
    server.set('A', 1);
    const tree = (count: number): ReactElement => (
      <StrictMode>
        <BalanceProvider client={client}>{Array.from({ length: count }, (_, i) => <Amount key={i} account="A" />)}</BalanceProvider>
      </StrictMode>
    );
    show(tree(3));
    await act(() => clock.advance(10));
    expect(server.last.received.map(({ op }) => op)).toEqual(['hello', 'sub']);
    show(tree(1));
    await act(() => clock.advance(10));
    expect(server.last.keys.size).toBe(1);
    show(tree(0));
    await act(() => clock.advance(10));
    expect(server.last.keys.size).toBe(0);
  });

  it('follows its key, and none', async () => {
    const { server, client, clock } = rig();
    server.set('A', 100);
    server.set('B', 200);
    for (const [account, text] of [['A', 'live NGN\u00a01.00'], ['B', 'live NGN\u00a02.00'], [null, 'pending —']] as const) {
      show(<BalanceProvider client={client}><Amount account={account} /></BalanceProvider>);
      await act(() => clock.advance(10));
      expect(box.textContent).toBe(text);
    }
    expect(server.last.keys.size).toBe(0);
  });

  it('draws on a server, and says what is missing without a provider', () => {
    const { client } = rig();
    expect(renderToString(<BalanceProvider client={client}><Amount account="A" /></BalanceProvider>)).toContain('pending —');
    expect(() => renderToString(<Amount account="A" />)).toThrow(/BalanceProvider/);
  });
});

describe('useBalances and useConnectionState', () => {
  it('draw all keys, with an array made anew at each render', async () => {
    const { server, client, clock } = rig();
    server.set('A', 1);
    server.set('B', 2);
    let times = 0;
    function All(): ReactElement {
      times++;
      const state = useConnectionState();
      const all = useBalances(['A', 'B']);
      return <p>{`${state.status} ${all.map((one) => `${one.key}=${one.lastKnown?.minor}`).join(' ')}`}</p>;
    }
    show(<BalanceProvider client={client}><All /></BalanceProvider>);
    await act(() => clock.advance(20));
    expect(box.textContent).toBe('live A=1 B=2');
    const before = times;
    await act(async () => {
      server.set('B', 3);
      await clock.advance(10);
    });
    expect(box.textContent).toBe('live A=1 B=3');
    expect(times).toBe(before + 1);
  });
});
