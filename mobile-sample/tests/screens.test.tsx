// SPDX-License-Identifier: Apache-2.0
import AsyncStorage from '@react-native-async-storage/async-storage';
import { act, fireEvent, screen } from '@testing-library/react-native';
import * as SecureStore from 'expo-secure-store';
import { A, amount, B, banner, start } from './phone';

beforeEach(() => AsyncStorage.clear());
afterEach(() => jest.restoreAllMocks());

describe('an account', () => {
  const url = `/account/${encodeURIComponent(A)}`;

  it('shows its changes of this session', async () => {
    const { server, run } = await start({ url, prepare: (gateway) => gateway.set(A, 10000) });
    server.set(A, 12500);
    await run();
    server.set(A, 12000);
    await run();
    expect(screen.getByTestId('amount')).toHaveTextContent('₦120.00');
    expect(screen.getByText('−₦5.00')).toBeTruthy();
    expect(screen.getByText('+₦25.00')).toBeTruthy();
    expect(screen.getByText('First value')).toBeTruthy();
  });

  it('reads it over REST when pulled, and says who had it', async () => {
    const asked = jest.spyOn(globalThis, 'fetch').mockResolvedValue(
      new Response('{"currency":"NGN","minor":9007199254740993,"asOf":"2026-11-21T12:00:00Z","state":"fresh","source":"cache","v":"e.1"}'),
    );
    const { press } = await start({ url, settings: { token: 'T', ledgerBase: 'wss://ledger.test/ws' } });
    await press('Refresh');
    expect(asked.mock.calls[0]![0]).toBe(`https://ledger.test/ledger/accounts/${encodeURIComponent(A)}/balance`);
    expect(screen.getByTestId('reading')).toHaveTextContent(/^₦90,071,992,547,409\.93read from the cache, fresh, as of /);
  });

  it('says it when the ledger cannot be read, and keeps what it shows', async () => {
    jest.spyOn(globalThis, 'fetch').mockRejectedValue(new TypeError('Network request failed'));
    const { press } = await start({ url, prepare: (gateway) => gateway.set(A, 10000) });
    await press('Refresh');
    expect(screen.getByTestId('reading')).toHaveTextContent('The ledger cannot be reached.');
    expect(screen.getByTestId('amount')).toHaveTextContent('₦100.00');
  });
});

describe('the settings', () => {
  const type = (label: string, text: string): void => act(() => void fireEvent.changeText(screen.getByLabelText(label), text));

  it('are kept, the token apart from the rest', async () => {
    const { press, server, restart, run } = await start({
      url: '/settings',
      settings: { token: '', accounts: [] },
      prepare: (gateway) => gateway.set(A, 100),
    });
    const token = server.token();
    type('Gateway', 'https://gateway.test');
    type('Access token', token);
    type('Accounts', `${A}\n${A}, ${B}/USD`);
    await press('Save');
    await run();
    expect(await SecureStore.getItemAsync('balances.token')).toBe(token);
    const stored = await AsyncStorage.getItem('balances.settings');
    expect(JSON.parse(stored!)).toMatchObject({ realtimeBase: 'https://gateway.test', accounts: [A, `${B}/USD`] });
    expect(stored).not.toContain(token);
    await restart();
    expect(screen.getByLabelText('Gateway').props.value).toBe('https://gateway.test');
    expect(screen.getByLabelText('Accounts').props.value).toBe(`${A}\n${B}/USD`);
  });

  it('say which line is no account', async () => {
    const { press } = await start({ url: '/settings' });
    type('Accounts', 'good\nno#good');
    await press('Save');
    expect(screen.getByTestId('said')).toHaveTextContent('This is no account: no#good');
  });

  it('fill in the demonstration, whose token is asked for anew each time', async () => {
    const phone = await start({ url: '/settings', settings: { token: '', accounts: [] }, prepare: (gateway) => gateway.set(A, 100) });
    const asked = jest.spyOn(globalThis, 'fetch').mockImplementation(async () =>
      new Response(JSON.stringify({ token: phone.server.token(), accounts: [A] })));
    type('Gateway', 'http://192.168.1.20:5851/');
    await phone.press('Use the demo token');
    await phone.press('Save');
    await phone.run();
    expect(asked.mock.calls.map(([url]) => url)).toEqual(Array(2).fill('http://192.168.1.20:5851/demo/token.json'));
    expect(banner()).toBe('Live');
    expect(amount(A)).toBe('₦1.00');
  });

  it('sign out: the token and the last known balances are gone', async () => {
    const { press, restart } = await start({ url: '/settings', prepare: (gateway) => gateway.set(A, 100) });
    await press('Sign out');
    await restart();
    expect(await SecureStore.getItemAsync('balances.token')).toBeNull();
    expect(await AsyncStorage.getItem('balances.last-known') ?? '').not.toContain(A);
  });
});
