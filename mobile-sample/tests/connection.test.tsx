// SPDX-License-Identifier: Apache-2.0
import AsyncStorage from '@react-native-async-storage/async-storage';
import * as NetInfo from '@react-native-community/netinfo';
import { act, screen } from '@testing-library/react-native';
import * as SecureStore from 'expo-secure-store';
import { timeText } from '../src/words';
import { A, amount, B, banner, freshness, start, wait } from './phone';

const tell = (online: boolean): void => act(() => (NetInfo as unknown as { tell(isConnected: boolean): void }).tell(online));

beforeEach(() => AsyncStorage.clear());
afterEach(() => jest.restoreAllMocks());

describe('a cold start without a network', () => {
  it('shows the last known balances as of their time, then the newest', async () => {
    const { server, clock, restart, run } = await start({ prepare: (gateway) => gateway.set(A, 14741900) });
    const asOf = timeText(clock.now());
    server.down = true;
    server.drop();
    await restart();
    expect(banner()).toBe('Reconnecting');
    expect(amount(A)).toBe('₦147,419.00');
    expect(freshness(A)).toBe(`as of ${asOf}`);
    expect(amount(B)).toBe('—');
    server.set(A, 100);
    server.down = false;
    await run(21_000);
    expect(banner()).toBe('Live');
    expect(amount(A)).toBe('₦1.00');
    expect(freshness(A)).toBe('Live');
  });

  it('shows nothing of what another token could see', async () => {
    const { server, restart } = await start({ prepare: (gateway) => gateway.set(A, 14741900) });
    await wait(1100);
    await SecureStore.setItemAsync('balances.token', server.token());
    server.down = true;
    await restart();
    expect(amount(A)).toBe('—');
  });
});

describe('the banner', () => {
  it('tells Live, Reconnecting and Offline apart', async () => {
    const { server, run } = await start({ prepare: (gateway) => gateway.set(A, 100) });
    expect(banner()).toBe('Live');
    server.down = true;
    server.drop();
    await run();
    expect(banner()).toBe('Reconnecting');
    expect(freshness(A)).toMatch(/^as of \d\d:\d\d$/);
    tell(false);
    expect(banner()).toBe('Offline');
    server.down = false;
    tell(true);
    await run();
    expect(banner()).toBe('Live');
    expect(screen.getByTestId('banner')).toHaveTextContent('Live'); // and nothing beside it
  });

  it('says why it does not try again, and tries when asked to', async () => {
    const { server, press, run } = await start({ settings: { token: 'nonsense' }, prepare: (gateway) => gateway.set(A, 100) });
    expect(banner()).toBe('Signed out');
    expect(screen.getByTestId('banner')).toHaveTextContent(/refused the token \(token malformed\)/);
    expect(amount(A)).toBe('—');
    const before = server.sockets.length;
    await press('Try again');
    await run();
    expect(server.sockets.length).toBe(before + 1);
  });
});
