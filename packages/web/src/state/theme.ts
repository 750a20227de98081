import { effect, signal } from '@preact/signals';
import type { Theme } from './settings';

/** What the system prefers, and goes on preferring when it changes in the evening. */
const systemIsDark = signal(false);

/** What is really shown. */
export function shownTheme(theme: Theme): 'light' | 'dark' {
  if (theme !== 'system') return theme;
  return systemIsDark.value ? 'dark' : 'light';
}

/** Keeps the document in the chosen theme. */
export function followTheme(theme: () => Theme): void {
  const query = matchMedia('(prefers-color-scheme: dark)');
  systemIsDark.value = query.matches;
  query.addEventListener('change', ({ matches }) => {
    systemIsDark.value = matches;
  });
  effect(() => {
    document.documentElement.dataset.theme = shownTheme(theme());
  });
}
