// SPDX-License-Identifier: Apache-2.0
// One account: the live amount, what changed while the app was open, and a second opinion over REST.
import { useBalance } from '@balance-gateway/client/react';
import { Stack, useLocalSearchParams } from 'expo-router';
import { RefreshControl, ScrollView, StyleSheet, Text, View } from 'react-native';
import { Amount } from '../../src/components/amount';
import { Banner } from '../../src/components/banner';
import { Button } from '../../src/components/button';
import { ChangeList } from '../../src/components/change-list';
import { ReadingCard } from '../../src/components/reading-card';
import { useCalm } from '../../src/hooks';
import { useSettings } from '../../src/settings-provider';
import { useTheme } from '../../src/theme';
import { useReading } from '../../src/use-reading';
import { accountName, balancesOf, freshnessText, spokenAmount } from '../../src/words';

export default function Account() {
  const { id } = useLocalSearchParams<{ id: string }>();
  const { settings, change } = useSettings();
  const { hidden } = settings;
  const now = useBalance(id);
  const theme = useTheme();
  const { result, busy, refresh } = useReading(id, settings);
  const balances = balancesOf(now);
  const spoken = useCalm(balances.map((one) => `${spokenAmount(one.lastKnown, hidden)}, ${freshnessText(one)}`).join('; '));
  return (
    <View testID="screen" style={[styles.screen, { backgroundColor: theme.ground }]}>
      <Stack.Screen options={{ title: accountName(id).name }} />
      <Banner />
      <ScrollView
        contentContainerStyle={styles.content}
        refreshControl={<RefreshControl refreshing={busy} onRefresh={refresh} tintColor={theme.faint} />}>
        <View
          accessible
          accessibilityLabel={spoken}
          accessibilityLiveRegion="polite"
          style={[styles.card, { backgroundColor: theme.card, borderColor: theme.line }]}>
          <Text style={{ color: theme.faint }}>{id}</Text>
          {balances.map((one, i) => <Amount key={i} now={one} hidden={hidden} large />)}
        </View>
        <View style={styles.buttons}>
          <Button title={busy ? 'Reading…' : 'Refresh'} disabled={busy} onPress={refresh} main />
          <Button title="Hide balances" on={hidden} onPress={() => void change({ hidden: !hidden })} />
        </View>
        <ReadingCard result={result} hidden={hidden} />
        {now.entries.map(({ account, currency }) => (
          <ChangeList key={currency} account={account} currency={currency} hidden={hidden} />
        ))}
      </ScrollView>
    </View>
  );
}

const styles = StyleSheet.create({
  screen: { flex: 1 },
  content: { padding: 16, gap: 16 },
  card: { padding: 20, borderRadius: 14, borderWidth: StyleSheet.hairlineWidth, gap: 12 },
  buttons: { flexDirection: 'row', flexWrap: 'wrap', gap: 8 },
});
