// SPDX-License-Identifier: Apache-2.0
// Live, Reconnecting or Offline, always there and always in words. A screen reader says it when it changes.
import { useBalanceClient, useConnectionState } from '@balance-gateway/client/react';
import { router } from 'expo-router';
import { StyleSheet, Text, View } from 'react-native';
import { toneColours, useTheme } from '../theme';
import { connectionText } from '../words';
import { Button } from './button';

export function Banner() {
  const client = useBalanceClient();
  const state = useConnectionState();
  const theme = useTheme();
  const { title, detail, tone } = connectionText(state);
  const { color, backgroundColor } = toneColours(theme, tone);
  return (
    <View style={[styles.banner, { backgroundColor }]} testID="banner">
      <View accessible accessibilityLiveRegion="polite" style={styles.words}>
        <View style={[styles.dot, { backgroundColor: color }]} />
        <Text style={[styles.title, { color }]} testID="banner-title">{title}</Text>
        {detail !== '' && <Text style={{ color }}>{detail}</Text>}
      </View>
      {state.status === 'ended' && (
        <View style={styles.words}>
          <Button title="Settings" onPress={() => router.push('/settings')} />
          <Button title="Try again" onPress={() => client.start()} />
        </View>
      )}
    </View>
  );
}

const styles = StyleSheet.create({
  banner: { paddingHorizontal: 16, paddingVertical: 8, gap: 8 },
  words: { flexDirection: 'row', flexWrap: 'wrap', alignItems: 'center', columnGap: 8, rowGap: 4 },
  dot: { width: 8, height: 8, borderRadius: 4 },
  title: { fontWeight: '600' },
});
