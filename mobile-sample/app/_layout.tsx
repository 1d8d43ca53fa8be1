// SPDX-License-Identifier: Apache-2.0
import { DarkTheme, DefaultTheme, Stack, ThemeProvider } from 'expo-router';
import { StatusBar } from 'expo-status-bar';
import { useColorScheme } from 'react-native';
import { SafeAreaProvider } from 'react-native-safe-area-context';
import { LiveProvider } from '../src/live-provider';
import { SettingsProvider } from '../src/settings-provider';
import { useTheme } from '../src/theme';

export default function Layout() {
  const base = useColorScheme() === 'dark' ? DarkTheme : DefaultTheme;
  const { accent, ground, card, text, line } = useTheme();
  const colors = { ...base.colors, primary: accent, background: ground, card, text, border: line };
  return (
    <SafeAreaProvider>
      <ThemeProvider value={{ ...base, colors }}>
        <SettingsProvider>
          <LiveProvider>
            <StatusBar style="auto" />
            <Stack>
              <Stack.Screen name="index" options={{ title: 'Balances' }} />
              <Stack.Screen name="account/[id]" options={{ title: 'Account' }} />
              <Stack.Screen name="settings" options={{ title: 'Settings' }} />
            </Stack>
          </LiveProvider>
        </SettingsProvider>
      </ThemeProvider>
    </SafeAreaProvider>
  );
}
