// SPDX-License-Identifier: Apache-2.0
import AsyncStorage from '@react-native-async-storage/async-storage';
import * as NetInfo from '@react-native-community/netinfo';
import { act, fireEvent, screen } from '@testing-library/react-native';
import * as SecureStore from 'expo-secure-store';
import { timeText } from '../src/words';
import { A, amount, B, banner, freshness, row, start, wait } from './phone';

const tell = (online: boolean): void => act(() => (NetInfo as unknown as { tell(isConnected: boolean): void }).tell(online));

beforeEach(() => AsyncStorage.clear());
afterEach(() => jest.restoreAllMocks());

describe('the list', () => {
  it('shows live values, and what follows', async () => {
    const { server, run } = await start({
      prepare: (gateway) => {
        gateway.set(A, 14741900);
        gateway.set(B, 9007199254740993n);
      },
    });
    expect(banner()).toBe('Live');
    expect(amount(A)).toBe('₦147,419.00');
    expect(amount(B)).toBe('₦90,071,992,547,409.93'); // to the last kobo
    expect(freshness(A)).toBe('Live');
    server.set(A, 14741950);
    await run();
    expect(amount(A)).toBe('₦147,419.50');
  });

  it('says unknown as a dash, with the reason, and never as 0', async () => {
    await start();
    expect(amount(A)).toBe('—');
    expect(freshness(A)).toBe('No such account');
  });

  it('shows a denied account as denied, and the others all the same', async () => {
    const { server, run } = await start({
      prepare: (gateway) => {
        gateway.set(A, 100);
        gateway.set(B, 200);
        gateway.deny(A);
      },
    });
    expect(amount(A)).toBe('—');
    expect(freshness(A)).toBe('This token may not see it');
    expect(amount(B)).toBe('₦2.00');
    server.revoke(B);
    await run();
    expect(amount(B)).toBe('—');
    expect(freshness(B)).toBe('This token may not see it');
  });

  it('shows every currency of an account, each with its freshness', async () => {
    const { server, run } = await start({ prepare: (gateway) => gateway.set(A, 100) });
    server.set(A, 250, 'USD');
    await run();
    const texts = row(A).getAllByTestId('amount').map((text) => text.props.children);
    expect(texts).toEqual(['₦1.00', '$2.50']);
    expect(row(A).getAllByTestId('freshness')).toHaveLength(2);
  });

  it('says the amount and its freshness to a screen reader', async () => {
    await start({ prepare: (gateway) => gateway.set(A, 14741900) });
    expect(screen.getByTestId(`row-${A}`).props.accessibilityLabel).toBe(`${A}: 147,419.00 Nigerian nairas, Live`);
  });
});

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

describe('hiding balances', () => {
  it('hides them from eyes and screen readers, here and after the next start', async () => {
    const { press, restart } = await start({ prepare: (gateway) => gateway.set(A, 14741900) });
    await press('Hide balances');
    expect(amount(A)).toBe('••••••');
    expect(freshness(A)).toBe('Live');
    expect(screen.getByTestId(`row-${A}`).props.accessibilityLabel).toBe(`${A}: balance hidden, Live`);
    expect(amount(B)).toBe('—');
    await restart();
    expect(amount(A)).toBe('••••••');
    await press('Hide balances');
    expect(amount(A)).toBe('₦147,419.00');
  });
});

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
