// SPDX-License-Identifier: Apache-2.0
// What REST answered, with who had it. It is a moment's value: the time stands beside it.
import { StyleSheet, Text, View } from 'react-native';
import { useTheme } from '../theme';
import type { Result } from '../use-reading';
import { amountText, spokenAmount, timeText } from '../words';

const SOURCES: { readonly [source: string]: string } = {
  stream: 'the live stream',
  l1: 'the gateway’s memory',
  cache: 'the cache',
  database: 'the ledger’s database',
};

export function ReadingCard({ result, hidden }: { readonly result: Result | null; readonly hidden: boolean }) {
  const theme = useTheme();
  if (!result) return null;
  if ('error' in result) {
    return <Text accessibilityLiveRegion="polite" testID="reading" style={[styles.text, { color: theme.bad }]}>{result.error}</Text>;
  }
  const { reading } = result;
  const rest = `read from ${SOURCES[reading.source] ?? reading.source}, ${reading.state}, as of ${timeText(reading.asOf, true)}`;
  return (
    <View accessible accessibilityLiveRegion="polite" accessibilityLabel={`${spokenAmount(reading, hidden)}, ${rest}`} testID="reading">
      <Text style={[styles.text, styles.amount, { color: theme.text }]}>{amountText(reading, hidden)}</Text>
      <Text style={{ color: theme.faint }}>{rest}</Text>
    </View>
  );
}

const styles = StyleSheet.create({
  text: { fontSize: 16 },
  amount: { fontWeight: '600', fontVariant: ['tabular-nums'] },
});
