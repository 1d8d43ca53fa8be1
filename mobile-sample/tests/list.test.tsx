// SPDX-License-Identifier: Apache-2.0
import AsyncStorage from '@react-native-async-storage/async-storage';
import { screen } from '@testing-library/react-native';
import { A, amount, B, banner, freshness, row, start } from './phone';

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

  it('shows every currency of an account, each with its freshness, the main one first', async () => {
    await start({
      prepare: (gateway) => {
        gateway.set(A, 250, 'USD');
        gateway.set(A, 100);
      },
    });
    const texts = row(A).getAllByTestId('amount').map((text) => text.props.children);
    expect(texts).toEqual(['₦1.00', '$2.50']);
    expect(row(A).getAllByTestId('freshness')).toHaveLength(2);
  });

  it('says the amount and its freshness to a screen reader', async () => {
    await start({ prepare: (gateway) => gateway.set(A, 14741900) });
    expect(screen.getByTestId(`row-${A}`).props.accessibilityLabel).toBe(`${A}: 147,419.00 Nigerian nairas, Live`);
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
