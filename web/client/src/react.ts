// SPDX-License-Identifier: Apache-2.0
// Hooks. A component is drawn again only when what it shows changed: every snapshot is the same object
// until then. Two components that show one key share one subscription of the gateway.
import {
  createContext, createElement, useCallback, useContext, useMemo, useRef, useSyncExternalStore,
  type ReactElement, type ReactNode,
} from 'react';
import type { Client, ConnectionState, Subscription } from './types.js';

const ClientContext = createContext<Client | null>(null);

/** Gives the hooks below their client. It neither starts nor stops it: the first subscription does the one. */
export function BalanceProvider(props: { readonly client: Client; readonly children?: ReactNode }): ReactElement {
  return createElement(ClientContext.Provider, { value: props.client }, props.children);
}

export function useBalanceClient(): Client {
  const client = useContext(ClientContext);
  if (!client) throw new Error('useBalance and its like need a <BalanceProvider client={…}> above them');
  return client;
}

const NOTHING = (): void => {};
const NO_KEY: Subscription = { key: '', status: 'pending', lastKnown: null, asOf: null, reason: null, entries: [] };

/** What is known of a key, `A` or `A/USD`, while this component is there. null subscribes to nothing. */
export function useBalance(key: string | null): Subscription {
  const client = useBalanceClient();
  const subscribe = useCallback(
    (changed: () => void) => (key === null ? NOTHING : client.subscribe(key, changed)),
    [client, key],
  );
  const read = useCallback(() => (key === null ? NO_KEY : client.get(key)), [client, key]);
  return useSyncExternalStore(subscribe, read, read);
}

/** The same for several keys, in their order. The array is the same until one of them changes. */
export function useBalances(keys: readonly string[]): readonly Subscription[] {
  const client = useBalanceClient();
  const joined = keys.join(' '); // no key has a blank in it: an array made anew at each render changes nothing
  const list = useMemo(() => (joined ? joined.split(' ') : []), [joined]);
  const shown = useRef<readonly Subscription[]>([]);
  const subscribe = useCallback(
    (changed: () => void) => {
      const offs = list.map((key) => client.subscribe(key, changed));
      return () => offs.forEach((off) => off());
    },
    [client, list],
  );
  const read = useCallback(() => {
    const now = list.map((key) => client.get(key));
    const same = now.length === shown.current.length && now.every((view, i) => view === shown.current[i]);
    if (!same) shown.current = now;
    return shown.current;
  }, [client, list]);
  return useSyncExternalStore(subscribe, read, read);
}

export function useConnectionState(): ConnectionState {
  const client = useBalanceClient();
  const subscribe = useCallback((changed: () => void) => client.on('state', changed), [client]);
  const read = useCallback(() => client.state, [client]);
  return useSyncExternalStore(subscribe, read, read);
}
