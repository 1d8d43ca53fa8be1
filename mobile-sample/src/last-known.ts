// SPDX-License-Identifier: Apache-2.0
// The last known balances, for a cold start without a network. Amounts are strings in there: a snapshot is
// plain JSON, and no number of money passes through a double.
import AsyncStorage from '@react-native-async-storage/async-storage';
import type { Client, Snapshot } from '@balance-gateway/client';
import { AppState } from 'react-native';

const KEY = 'balances.last-known';

interface Stored {
  /** Whose they are: what one person could see is not the next one's to see. */
  readonly owner: string;
  readonly snapshot: Snapshot;
}

/** By the end of a token's signature, which opens nothing. */
export const ownerOf = (url: string, demo: boolean, token: string): string => `${url} ${demo ? 'demo' : token.slice(-16)}`;

const EVERY_MS = 1000; // storage is slow: a busy account is written once a second, not a hundred times

export async function loadLastKnown(owner: string): Promise<Snapshot | null> {
  try {
    const stored: Stored | null = JSON.parse((await AsyncStorage.getItem(KEY)) ?? 'null');
    if (stored?.owner === owner) return stored.snapshot;
    await AsyncStorage.removeItem(KEY);
  } catch {
    // half written, or by another version of this app: there is no last known balance
  }
  return null;
}

/** Writes what changed, at most once a second, and at once when the app leaves the screen. */
export function keepLastKnown(client: Client, owner: string): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const write = () => {
    clearTimeout(timer);
    timer = undefined;
    const stored: Stored = { owner, snapshot: client.snapshot() };
    AsyncStorage.setItem(KEY, JSON.stringify(stored)).catch(() => {}); // a full disk is no reason to stop
  };
  const soon = () => {
    timer ??= setTimeout(write, EVERY_MS);
  };
  const offBalance = client.on('balance', soon);
  const offState = client.on('state', soon); // `asOf` moves on without a change of value
  const life = AppState.addEventListener('change', (state) => state === 'background' && write());
  return () => {
    clearTimeout(timer);
    offBalance();
    offState();
    life.remove();
  };
}
