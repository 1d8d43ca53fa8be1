// SPDX-License-Identifier: Apache-2.0
// What a browser says of a page's life, told to the client.
import type { Client } from './types.js';

type Target = Pick<EventTarget, 'addEventListener' | 'removeEventListener'>;

export interface BrowserParts {
  readonly window?: Target;
  readonly document?: Target & { readonly visibilityState: string };
  readonly navigator?: { readonly onLine?: boolean };
}

/**
 * Follows visibility, the network, the back/forward cache and frozen tabs; returns what ends that. A page
 * that nobody sees keeps its connection but does not retry; one that is put away closes it, for an open
 * socket would keep it out of the back/forward cache.
 */
export function attachBrowser(client: Client, parts: BrowserParts = globalThis as BrowserParts): () => void {
  const { window = globalThis as unknown as Target, document, navigator } = parts;
  const ends: (() => void)[] = [];
  const listen = (target: Target | undefined, name: string, call: () => void): void => {
    target?.addEventListener(name, call);
    ends.push(() => target?.removeEventListener(name, call));
  };
  const seen = (): void => {
    if (document?.visibilityState === 'hidden') client.notifyBackground();
    else client.notifyForeground();
  };
  // only `false` says something: `true` means that there is some network, perhaps
  const online = (): void => client.setOnline(navigator?.onLine !== false);

  listen(document, 'visibilitychange', seen);
  listen(document, 'freeze', () => client.notifyBackground());
  listen(document, 'resume', seen);
  listen(window, 'online', () => client.setOnline(true));
  listen(window, 'offline', () => client.setOnline(false));
  listen(window, 'pagehide', () => client.setOnline(false));
  listen(window, 'pageshow', () => {
    online();
    seen();
  });
  online();
  if (document?.visibilityState === 'hidden') client.notifyBackground();
  return () => ends.forEach((end) => end());
}
