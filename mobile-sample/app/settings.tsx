// SPDX-License-Identifier: Apache-2.0
// Where the gateway is, who asks, and which accounts. A real app has a login in place of this screen.
import { router } from 'expo-router';
import { useState } from 'react';
import { ScrollView, StyleSheet, Text } from 'react-native';
import { Button } from '../src/components/button';
import { Field } from '../src/components/field';
import { defaultLedgerBase, defaultRealtimeBase } from '../src/defaults';
import { fetchDemo } from '../src/demo';
import { badAccounts, NOTHING_SET, parseAccounts } from '../src/settings';
import { useSettings } from '../src/settings-provider';
import { useTheme } from '../src/theme';

const DEMO_SHOWN = 8; // of the demonstration's accounts

export default function SettingsScreen() {
  const { settings, change } = useSettings();
  const theme = useTheme();
  const [realtimeBase, setRealtimeBase] = useState(settings.realtimeBase);
  const [ledgerBase, setLedgerBase] = useState(settings.ledgerBase);
  const [token, setToken] = useState(settings.token);
  const [demo, setDemo] = useState(settings.demo);
  const [accounts, setAccounts] = useState(settings.accounts.join('\n'));
  const [said, setSaid] = useState('');
  const base = realtimeBase.trim() || defaultRealtimeBase();

  const fillIn = async () => {
    setSaid('Asking…');
    try {
      const found = await fetchDemo(base);
      setDemo(true);
      setToken('');
      setAccounts(found.accounts.slice(0, DEMO_SHOWN).join('\n'));
      setSaid('The demonstration’s token and accounts are filled in. Save to use them.');
    } catch (error) {
      setSaid(error instanceof Error ? error.message : String(error));
    }
  };

  const save = async () => {
    const list = parseAccounts(accounts);
    const bad = badAccounts(list);
    if (bad.length > 0) return setSaid(`This is no account: ${bad.join(', ')}`);
    await change({ realtimeBase: realtimeBase.trim(), ledgerBase: ledgerBase.trim(), token: token.trim(), demo, accounts: list });
    if (router.canGoBack()) router.back();
    else router.replace('/');
  };

  const signOut = async () => {
    await change({ ...NOTHING_SET, realtimeBase: settings.realtimeBase, ledgerBase: settings.ledgerBase });
    setToken('');
    setDemo(false);
    setAccounts('');
    setSaid('Signed out. The token and the last known balances are deleted.');
  };

  return (
    <ScrollView style={{ backgroundColor: theme.ground }} contentContainerStyle={styles.content} keyboardShouldPersistTaps="handled">
      <Field label="Gateway" value={realtimeBase} onChangeText={setRealtimeBase} placeholder={defaultRealtimeBase()} inputMode="url" />
      <Field label="Ledger (REST)" value={ledgerBase} onChangeText={setLedgerBase} placeholder={defaultLedgerBase(base)} inputMode="url" />
      <Field
        label="Access token"
        value={token}
        onChangeText={(text) => {
          setToken(text);
          setDemo(false);
        }}
        placeholder={demo ? 'from the demonstration' : 'a JWT'}
        secureTextEntry
      />
      <Button title="Use the demo token" onPress={() => void fillIn()} />
      <Field label="Accounts" value={accounts} onChangeText={setAccounts} multiline hint="One a line; ACCOUNT/USD for one currency of it." />
      {said !== '' && <Text accessibilityLiveRegion="polite" testID="said" style={[styles.said, { color: theme.text }]}>{said}</Text>}
      <Button title="Save" main onPress={() => void save()} />
      <Button title="Sign out" onPress={() => void signOut()} />
    </ScrollView>
  );
}

const styles = StyleSheet.create({
  content: { padding: 16, gap: 16 },
  said: { fontSize: 16 },
});
