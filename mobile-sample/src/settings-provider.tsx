// SPDX-License-Identifier: Apache-2.0
// The settings for every screen. Nothing is drawn until they were read: a screen that says "no accounts"
// for the blink of an eye would be wrong.
import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { loadSettings, saveSettings, type Settings } from './settings';

interface Value {
  readonly settings: Settings;
  readonly change: (some: Partial<Settings>) => Promise<void>;
}

const SettingsContext = createContext<Value | null>(null);

export function SettingsProvider({ children }: { readonly children: ReactNode }) {
  const [settings, setSettings] = useState<Settings | null>(null);

  useEffect(() => {
    let gone = false;
    void loadSettings().then((loaded) => !gone && setSettings(loaded));
    return () => {
      gone = true;
    };
  }, []);

  const value = useMemo(() => {
    if (!settings) return null;
    const change = async (some: Partial<Settings>) => {
      const next = { ...settings, ...some };
      await saveSettings(next);
      setSettings(next);
    };
    return { settings, change };
  }, [settings]);
  return value && <SettingsContext.Provider value={value}>{children}</SettingsContext.Provider>;
}

export function useSettings(): Value {
  const value = useContext(SettingsContext);
  if (!value) throw new Error('useSettings needs a <SettingsProvider> above it');
  return value;
}
