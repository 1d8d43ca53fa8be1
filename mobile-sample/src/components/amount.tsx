// SPDX-License-Identifier: Apache-2.0
// An amount and, under it, how fresh it is: the two are never apart. Unknown is a dash, never 0.
import type { BalanceState } from '@balance-gateway/client';
import { useEffect, useRef, useState } from 'react';
import { Animated, Platform, StyleSheet, Text, View } from 'react-native';
import { useReducedMotion } from '../hooks';
import { toneColours, useTheme } from '../theme';
import { amountText, freshnessText, toneOf } from '../words';

interface Props {
  readonly now: BalanceState;
  readonly hidden: boolean;
  readonly large?: boolean;
}

export function Amount({ now, hidden, large = false }: Props) {
  const theme = useTheme();
  const glow = useGlow(now.lastKnown?.v);
  const tone = toneOf(now);
  return (
    <View style={[styles.amount, large && styles.start]}>
      <View>
        <Animated.View style={[StyleSheet.absoluteFill, styles.glow, { backgroundColor: theme.flash, opacity: glow }]} />
        <Text
          testID="amount"
          style={[styles.text, large && styles.large, { color: tone === 'good' ? theme.text : theme.faint }]}>
          {amountText(now.lastKnown, hidden)}
        </Text>
      </View>
      <Text testID="freshness" style={[styles.freshness, { color: toneColours(theme, tone).color }]}>{freshnessText(now)}</Text>
    </View>
  );
}

/** 1 after a change, then down to 0; always 0 for who wants no motion, and for the first value. */
function useGlow(v: string | undefined): Animated.Value {
  const [glow] = useState(() => new Animated.Value(0));
  const shown = useRef(v);
  const reduced = useReducedMotion();
  useEffect(() => {
    const changed = shown.current !== undefined && v !== shown.current;
    shown.current = v;
    if (!changed || reduced) return;
    glow.setValue(1);
    const fade = Animated.timing(glow, { toValue: 0, duration: 900, useNativeDriver: Platform.OS !== 'web' });
    fade.start();
    return () => fade.stop();
  }, [glow, v, reduced]);
  return glow;
}

const styles = StyleSheet.create({
  amount: { alignItems: 'flex-end', gap: 2 },
  start: { alignItems: 'flex-start' },
  glow: { borderRadius: 6, marginHorizontal: -6 },
  text: { fontSize: 18, fontWeight: '600', fontVariant: ['tabular-nums'] },
  large: { fontSize: 36, fontWeight: '700' },
  freshness: { fontSize: 13 },
});
