// SPDX-License-Identifier: Apache-2.0
// What a phone says of an app's life, told to the client. iOS freezes a socket without a close event, and
// React Native never fires `online`: without this, an app that comes back shows old balances as live.
// AppState and NetInfo are passed in, so that this package needs neither.
import type { Client } from './types.js';

export interface AppStateLike {
  readonly currentState: string | null;
  addEventListener(event: 'change', call: (state: string) => void): { remove(): void };
}

export interface NetInfoLike {
  addEventListener(call: (state: { readonly isConnected?: boolean | null }) => void): () => void;
}

/**
 *     import { AppState } from 'react-native';
 *     import NetInfo from '@react-native-community/netinfo';
 *     const detach = attachReactNative(client, { AppState, NetInfo });
 *
 * `inactive`, which iOS says while a call or the app switcher is over the app, changes nothing.
 */
export function attachReactNative(client: Client, parts: { readonly AppState: AppStateLike; readonly NetInfo?: NetInfoLike }): () => void {
  const life = (state: string | null): void => {
    if (state === 'active') client.notifyForeground();
    if (state === 'background') client.notifyBackground();
  };
  const app = parts.AppState.addEventListener('change', life);
  // connected is what counts: `isInternetReachable` asks a stranger's host, which an intranet may not reach
  const net = parts.NetInfo?.addEventListener((state) => client.setOnline(state.isConnected !== false));
  life(parts.AppState.currentState);
  return () => {
    app.remove();
    net?.();
  };
}
