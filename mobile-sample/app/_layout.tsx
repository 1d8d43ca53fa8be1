// SPDX-License-Identifier: Apache-2.0
import { DarkTheme, DefaultTheme, Stack, ThemeProvider } from 'expo-router';
import { StatusBar } from 'expo-status-bar';
import { useColorScheme } from 'react-native';
import { SafeAreaProvider } from 'react-native-safe-area-context';
import { LiveProvider } from '../src/live-provider';
import { SettingsProvider } from '../src/settings-provider';

export default function Layout() {
  const dark = useColorScheme() === 'dark';
  return (
    <SafeAreaProvider>
      <ThemeProvider value={dark ? DarkTheme : DefaultTheme}>
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
