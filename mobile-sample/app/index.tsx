// SPDX-License-Identifier: Apache-2.0
// The accounts. Each row subscribes to its own balance; the client makes one command of them all.
import { router } from 'expo-router';
import { FlatList, StyleSheet, Text, View } from 'react-native';
import { useSafeAreaInsets } from 'react-native-safe-area-context';
import { AccountRow } from '../src/components/account-row';
import { Banner } from '../src/components/banner';
import { Button } from '../src/components/button';
import { signedIn } from '../src/settings';
import { useSettings } from '../src/settings-provider';
import { useTheme } from '../src/theme';

export default function Accounts() {
  const { settings, change } = useSettings();
  const theme = useTheme();
  const { bottom } = useSafeAreaInsets();
  const ready = signedIn(settings) && settings.accounts.length > 0;
  return (
    <View testID="screen" style={[styles.screen, { backgroundColor: theme.ground }]}>
      {ready ? <Banner /> : <Welcome />}
      <FlatList
        contentContainerStyle={styles.list}
        data={ready ? settings.accounts : []}
        keyExtractor={(account) => account}
        renderItem={({ item }) => <AccountRow account={item} hidden={settings.hidden} />}
      />
      <View style={[styles.bar, { borderColor: theme.line, backgroundColor: theme.card, paddingBottom: 12 + bottom }]}>
        <Button title="Hide balances" on={settings.hidden} onPress={() => void change({ hidden: !settings.hidden })} />
        <Button title="Settings" onPress={() => router.push('/settings')} />
      </View>
    </View>
  );
}

function Welcome() {
  const theme = useTheme();
  return (
    <View style={styles.welcome}>
      <Text accessibilityRole="header" style={[styles.title, { color: theme.text }]}>No accounts yet</Text>
      <Text style={[styles.text, { color: theme.faint }]}>
        Say in the settings where your gateway is, who you are, and which accounts you want to see.
      </Text>
    </View>
  );
}

const styles = StyleSheet.create({
  screen: { flex: 1 },
  list: { padding: 16, gap: 10 },
  bar: { flexDirection: 'row', flexWrap: 'wrap', justifyContent: 'space-between', gap: 8, padding: 12, borderTopWidth: StyleSheet.hairlineWidth },
  welcome: { padding: 24, gap: 8 },
  title: { fontSize: 22, fontWeight: '700' },
  text: { fontSize: 16, lineHeight: 24 },
});
