// SPDX-License-Identifier: Apache-2.0
// One account of the list. One element for a screen reader, which says the amount and its freshness whole.
import { useBalance } from '@balance-gateway/client/react';
import { Link } from 'expo-router';
import { Pressable, StyleSheet, Text, View } from 'react-native';
import { useTheme } from '../theme';
import { accountName, balancesOf, freshnessText, spokenAmount } from '../words';
import { Amount } from './amount';

interface Props {
  /** `A`, with all its currencies, or `A/USD`. */
  readonly account: string;
  readonly hidden: boolean;
}

export function AccountRow({ account, hidden }: Props) {
  const now = useBalance(account);
  const theme = useTheme();
  const balances = balancesOf(now);
  const { kind, name } = accountName(account);
  const spoken = balances.map((one) => `${spokenAmount(one.lastKnown, hidden)}, ${freshnessText(one)}`).join('; ');
  return (
    <Link href={{ pathname: '/account/[id]', params: { id: account } }} asChild>
      <Pressable
        testID={`row-${account}`}
        accessibilityRole="button"
        accessibilityLabel={`${account}: ${spoken}`}
        accessibilityHint="Shows the account"
        style={StyleSheet.flatten([styles.row, { backgroundColor: theme.card, borderColor: theme.line }])}>
        <View style={styles.who}>
          <Text style={[styles.name, { color: theme.text }]}>{name}</Text>
          {kind !== '' && <Text style={{ color: theme.faint }}>{kind}</Text>}
        </View>
        <View style={styles.balances}>
          {balances.map((one, i) => <Amount key={i} now={one} hidden={hidden} />)}
        </View>
      </Pressable>
    </Link>
  );
}

const styles = StyleSheet.create({
  // wraps: with large text the amount goes under the name, whole, instead of out of the screen
  row: { flexDirection: 'row', flexWrap: 'wrap', justifyContent: 'space-between', alignItems: 'center', gap: 8, padding: 16, borderRadius: 14, borderWidth: StyleSheet.hairlineWidth },
  who: { gap: 2, flexShrink: 1 },
  name: { fontSize: 17, fontWeight: '500', fontVariant: ['tabular-nums'] },
  balances: { gap: 8, marginLeft: 'auto' },
});
