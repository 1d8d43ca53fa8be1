// SPDX-License-Identifier: Apache-2.0
// Which page: the part of the address behind #, so that a reload and a bookmark come back to it and the gateway never sees an
// account in a path.
import { store } from './store.ts';

export const PAGES = ['live', 'account', 'gateway', 'try', 'connect'] as const;
export type PageName = (typeof PAGES)[number];
export interface Route {
  readonly page: PageName;
  readonly rest: string;
}

function parse(): Route {
  const [page = '', ...rest] = location.hash.replace(/^#\/?/, '').split('/');
  const known = PAGES.find((name) => name === page) ?? 'live';
  try {
    return { page: known, rest: decodeURIComponent(rest.join('/')) };
  } catch {
    return { page: known, rest: '' }; // a percent sign that stands for nothing
  }
}

export const route = store<Route>(parse());
window.addEventListener('hashchange', () => route.set(parse()));

export const href = (page: PageName, rest = '') => `#/${page}${rest && `/${encodeURIComponent(rest)}`}`;
export function go(page: PageName, rest = '') {
  location.hash = href(page, rest);
}
