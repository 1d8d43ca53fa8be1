// SPDX-License-Identifier: Apache-2.0
// The whole app, from its first screen, against the SDK's fake gateway: no network, and no
// time but what the test lets pass. Each test begins with what `stored` says, as a phone does that was off.
import AsyncStorage from '@react-native-async-storage/async-storage';
import * as sdk from '@balance-gateway/client';
import { createFakeClock, createFakeServer, type FakeClock, type FakeServer } from '@balance-gateway/client/testing';
import { act, fireEvent, screen, within } from '@testing-library/react-native';
import { renderRouter } from 'expo-router/testing-library';
import * as SecureStore from 'expo-secure-store';
import { NOTHING_SET, type Settings } from '../src/settings';

export interface Phone {
  readonly server: FakeServer;
  readonly clock: FakeClock;
  /** Lets so much time pass for the connection, and what follows be drawn. */
  run(ms?: number): Promise<void>;
  press(title: string): Promise<void>;
  /** The app is closed and started again. */
  restart(): Promise<void>;
}

export interface Start {
  readonly settings?: Partial<Settings>;
  readonly prepare?: (server: FakeServer) => void;
  readonly url?: string;
}

export const A = 'msisdn::2348100000001';
export const B = 'msisdn::2348100000002';

export async function start({ settings = {}, prepare, url = '/' }: Start = {}): Promise<Phone> {
  const clock = createFakeClock(Date.now());
  const server = createFakeServer({ clock });
  const { token = server.token(), ...rest } = settings;
  await AsyncStorage.setItem('balances.settings', JSON.stringify({ ...NOTHING_SET, accounts: [A, B], ...rest, token: undefined }));
  await SecureStore.setItemAsync('balances.token', token);
  jest.spyOn(sdk, 'createClient').mockImplementation((options) =>
    real.createClient({ ...options, clock, webSocket: server.webSocket, fetch: server.fetch }),
  );
  prepare?.(server);

  const phone: Phone = {
    server,
    clock,
    run: (ms = 10) => act(() => clock.advance(ms)),
    async press(title) {
      await act(async () => fireEvent.press(screen.getByLabelText(title)));
    },
    async restart() {
      await wait(1100); // what is kept is written once a second
      screen.unmount();
      await open(url);
      await phone.run();
    },
  };
  await open(url);
  await phone.run();
  return phone;
}

const real = jest.requireActual<typeof sdk>('@balance-gateway/client');

async function open(url: string): Promise<void> {
  renderRouter('./app', { initialUrl: url }); // it puts fake timers in the place of Node's
  await wait(50); // the storage is read
}

/** Time of the app's own timers; the connection's is the clock's. */
export const wait = (ms: number): Promise<void> => act(async () => void (await jest.advanceTimersByTimeAsync(ms)));

export const row = (account: string) => within(screen.getByTestId(`row-${account}`));
export const amount = (account: string): string => row(account).getByTestId('amount').props.children;
export const freshness = (account: string): string => row(account).getByTestId('freshness').props.children;
export const banner = (): string => screen.getByTestId('banner-title').props.children;
