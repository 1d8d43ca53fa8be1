// SPDX-License-Identifier: Apache-2.0
import { StyleSheet, Text, View } from 'react-native';
import type { Change } from '../changes';
import { useChangesOf } from '../hooks';
import { useTheme } from '../theme';
import { amountText, deltaText, HIDDEN, timeText } from '../words';

interface Props {
  readonly account: string;
  readonly currency: string;
  readonly hidden: boolean;
}

export function ChangeList({ account, currency, hidden }: Props) {
  const theme = useTheme();
  const changes = useChangesOf(account, currency);
  return (
    <View>
      <Text accessibilityRole="header" style={[styles.title, { color: theme.text }]}>Since you opened the app, in {currency}</Text>
      {changes.length === 0 && <Text style={{ color: theme.faint }}>None yet.</Text>}
      {changes.map((change) => (
        <View key={change.v} accessible style={[styles.change, { borderColor: theme.line }]}>
          <Text style={{ color: theme.faint }}>{timeText(change.at, true)}</Text>
          <Text style={[styles.delta, { color: theme.text }]}>{whatHappened(change, currency, hidden)}</Text>
          <Text style={[styles.figure, { color: theme.faint }]}>{amountText({ minor: change.minor, currency }, hidden)}</Text>
        </View>
      ))}
    </View>
  );
}

function whatHappened({ delta, merged }: Change, currency: string, hidden: boolean): string {
  if (delta === null) return 'First value';
  const text = hidden ? HIDDEN : deltaText(delta, currency);
  return merged > 0 ? `${text} (${merged + 1} updates)` : text;
}

const styles = StyleSheet.create({
  title: { fontSize: 16, fontWeight: '600', marginBottom: 8 },
  change: { flexDirection: 'row', flexWrap: 'wrap', gap: 12, paddingVertical: 8, borderTopWidth: StyleSheet.hairlineWidth },
  delta: { flexGrow: 1, fontVariant: ['tabular-nums'] },
  figure: { fontVariant: ['tabular-nums'] },
});
