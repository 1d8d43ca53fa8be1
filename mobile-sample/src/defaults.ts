// SPDX-License-Identifier: Apache-2.0
// Where the gateway is when nobody has said. Order: the settings screen, EXPO_PUBLIC_*, the machine that
// runs `npx expo start`: a phone knows its LAN address already, for the code came from there.
import Constants from 'expo-constants';
import { Platform } from 'react-native';

const PORT = 5851;

function developersMachine(): string {
  const host = Constants.expoConfig?.hostUri?.split(':')[0]; // `192.168.1.20:8081`; absent in a release
  if (host && host !== 'localhost' && host !== '127.0.0.1') return host;
  if (Platform.OS === 'android') return '10.0.2.2'; // what the emulator calls its host
  return 'localhost';
}

/** Expo puts the values in at build time, so the names must be written out in full. */
export const defaultRealtimeBase = (): string =>
  process.env.EXPO_PUBLIC_REALTIME_BASE || `http://${developersMachine()}:${PORT}`;

/** Where single balances are read; the same gateway, if nothing else was said. */
export const defaultLedgerBase = (realtimeBase: string): string =>
  process.env.EXPO_PUBLIC_LEDGER_BASE || httpBase(realtimeBase);

/** The gateway's `BGW_DEFAULT_CURRENCY`: which balance of an account is its main one. */
export const defaultCurrency = (): string => process.env.EXPO_PUBLIC_CURRENCY || 'NGN';

/** `wss://host/ws` -> `https://host`: fetch knows no WebSocket addresses. */
export const httpBase = (base: string): string =>
  base.trim().replace(/^ws/, 'http').replace(/\/(ws)?\/?$/, '');
