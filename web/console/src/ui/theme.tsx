// SPDX-License-Identifier: Apache-2.0
// Light, dark, or as the system is: one button, remembered in this browser.
import { store, useStore } from '../store.ts';

const NEXT = { auto: 'light', light: 'dark', dark: 'auto' } as const;
const SIGN = { auto: '◐', light: '☀', dark: '☾' } as const;
type Theme = keyof typeof NEXT;

function stored(): Theme {
  const value = localStorage.getItem('bgw.theme');
  return value === 'light' || value === 'dark' ? value : 'auto';
}

export const theme = store<Theme>(stored());

function apply() {
  const now = theme.get();
  if (now === 'auto') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = now;
}
apply();
theme.watch(apply);

export function ThemeButton() {
  const now = useStore(theme);
  return (
    <button
      type="button"
      class="icon"
      title={`Colours: ${now}`}
      aria-label={`Colours: ${now}. Change to ${NEXT[now]}`}
      onClick={() => {
        theme.set(NEXT[now]);
        localStorage.setItem('bgw.theme', NEXT[now]);
      }}
    >
      <span aria-hidden="true">{SIGN[now]}</span>
    </button>
  );
}
