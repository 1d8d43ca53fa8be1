// SPDX-License-Identifier: Apache-2.0
// One client for the whole app: every screen that shows an account shares its connection and its
// subscriptions. A new one is made when the gateway or the token changes, and with each start of the app;
// the screens stay where they are meanwhile.
import { createClient, type Client } from '@balance-gateway/client';
import { BalanceProvider } from '@balance-gateway/client/react';
import { attachReactNative } from '@balance-gateway/client/react-native';
import NetInfo from '@react-native-community/netinfo';
import { createContext, useContext, useEffect, useState, type ReactNode } from 'react';
import { AppState } from 'react-native';
import { recordChanges, type Changes } from './changes';
import { defaultCurrency } from './defaults';
import { fetchDemo } from './demo';
import { keepLastKnown, loadLastKnown, ownerOf } from './last-known';
import { realtimeBaseOf } from './settings';
import { useSettings } from './settings-provider';

const ChangesContext = createContext<Changes | null>(null);

export function useChanges(): Changes {
  const changes = useContext(ChangesContext);
  if (!changes) throw new Error('useChanges needs a <LiveProvider> above it');
  return changes;
}

interface Live {
  readonly client: Client;
  readonly changes: Changes;
}

export function LiveProvider({ children }: { readonly children: ReactNode }) {
  const { settings } = useSettings();
  const { demo, token } = settings;
  const url = realtimeBaseOf(settings);
  const [live, setLive] = useState<Live | null>(null);

  useEffect(() => {
    const undo: (() => void)[] = [];
    const owner = ownerOf(url, demo, token);
    let gone = false;
    void loadLastKnown(owner).then((initial) => {
      if (gone) return;
      const client = createClient({
        url,
        initial, // shown as "as of …" until the gateway has proved them
        defaultCurrency: defaultCurrency(),
        client: 'mobile-sample/0.1',
        // Called before each connection and before the token ends. Here your app asks your login for one.
        getToken: async () => (demo ? (await fetchDemo(url)).token : token),
      });
      const changes = recordChanges(client);
      undo.push(
        attachReactNative(client, { AppState, NetInfo }), // the system's word on screen and network
        keepLastKnown(client, owner),
        changes.stop,
        () => client.stop(),
      );
      setLive({ client, changes });
    });
    return () => {
      gone = true;
      undo.forEach((call) => call());
    };
  }, [url, demo, token]);

  if (!live) return null; // some milliseconds: the storage is read
  return (
    <BalanceProvider client={live.client}>
      <ChangesContext.Provider value={live.changes}>{children}</ChangesContext.Provider>
    </BalanceProvider>
  );
}
