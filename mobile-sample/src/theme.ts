// SPDX-License-Identifier: Apache-2.0
// Colours for light and dark, as the system has it. Each text has a contrast of 4.5 or more on its ground,
// and no colour says anything that a word beside it does not.
import { useColorScheme } from 'react-native';
import type { Tone } from './words';

const LIGHT = {
  ground: '#f4f5f7', card: '#ffffff', line: '#dfe3e8', text: '#14181f', faint: '#586270', accent: '#0b5cad', onAccent: '#ffffff',
  flash: '#e3eefb', good: '#14713d', goodGround: '#e2f4e9', waiting: '#845306', waitingGround: '#fdf1db', bad: '#a92b20', badGround: '#fce8e6',
};

export type Theme = typeof LIGHT;

const DARK: Theme = {
  ground: '#0e1116', card: '#181c23', line: '#2b313b', text: '#eef1f5', faint: '#9da8b6', accent: '#7ab8ff', onAccent: '#06192d',
  flash: '#1d2f45', good: '#6fd69b', goodGround: '#12291c', waiting: '#f0c069', waitingGround: '#2e2410', bad: '#ff9a8f', badGround: '#351a17',
};

export const useTheme = (): Theme => (useColorScheme() === 'dark' ? DARK : LIGHT);

export const toneColours = (theme: Theme, tone: Tone): { readonly color: string; readonly backgroundColor: string } =>
  tone === 'good'
    ? { color: theme.good, backgroundColor: theme.goodGround }
    : tone === 'bad'
      ? { color: theme.bad, backgroundColor: theme.badGround }
      : { color: theme.waiting, backgroundColor: theme.waitingGround };
