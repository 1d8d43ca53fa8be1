// SPDX-License-Identifier: Apache-2.0
import { useCallback, useRef, useState } from 'react';
import { fetchDemo } from './demo';
import { readBalance, type Reading } from './ledger';
import { ledgerBaseOf, realtimeBaseOf, type Settings } from './settings';

export type Result = { readonly reading: Reading } | { readonly error: string };

/** `refresh` reads the account over REST; a second pull while one is under way does nothing. */
export function useReading(key: string, settings: Settings) {
  const [result, setResult] = useState<Result | null>(null);
  const [busy, setBusy] = useState(false);
  const under = useRef(false);

  const refresh = useCallback(async () => {
    if (under.current) return;
    under.current = true;
    setBusy(true);
    try {
      const token = settings.demo ? (await fetchDemo(realtimeBaseOf(settings))).token : settings.token;
      setResult({ reading: await readBalance(ledgerBaseOf(settings), key, token) });
    } catch (error) {
      setResult({ error: error instanceof Error ? error.message : String(error) });
    } finally {
      under.current = false;
      setBusy(false);
    }
  }, [key, settings]);

  return { result, busy, refresh: () => void refresh() };
}
