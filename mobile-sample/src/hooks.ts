// SPDX-License-Identifier: Apache-2.0
import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { AccessibilityInfo } from 'react-native';
import type { Change } from './changes';
import { useChanges } from './live-provider';

/** Does the user want things to stay where they are? Until the system has answered: yes. */
export function useReducedMotion(): boolean {
  const [reduced, setReduced] = useState(true);
  useEffect(() => {
    let gone = false;
    void AccessibilityInfo.isReduceMotionEnabled().then((now) => !gone && setReduced(now));
    const subscription = AccessibilityInfo.addEventListener('reduceMotionChanged', setReduced);
    return () => {
      gone = true;
      subscription.remove();
    };
  }, []);
  return reduced;
}

/** What a live region says: the newest text, but at most once in `everyMs`, or nobody could follow. */
export function useCalm(text: string, everyMs = 5000): string {
  const [said, setSaid] = useState(text);
  const saidAt = useRef(0);
  useEffect(() => {
    const say = () => {
      saidAt.current = Date.now();
      setSaid(text);
    };
    const timer = setTimeout(say, Math.max(0, saidAt.current + everyMs - Date.now()));
    return () => clearTimeout(timer);
  }, [text, everyMs]);
  return said;
}

export function useChangesOf(account: string, currency: string): readonly Change[] {
  const changes = useChanges();
  return useSyncExternalStore(changes.subscribe, () => changes.of(account, currency), () => changes.of(account, currency));
}
