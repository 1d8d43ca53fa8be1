// SPDX-License-Identifier: Apache-2.0
// Keys that work everywhere, and the list of all of them. Nothing is taken from who writes into a field.
import { useEffect, useRef } from 'preact/hooks';
import { PAGES, go } from '../route.ts';
import { hidden } from './hidden.ts';

const LIST: readonly [string, string][] = [
  ['/', 'search and add accounts'],
  ['j, k or ↓, ↑', 'next, previous balance'],
  ['Enter', 'open the account'],
  ['p', 'pin or unpin'],
  ['x', 'stop watching'],
  ['h', 'hide or show amounts'],
  ['1 … 5', 'go to a page'],
  ['?', 'this list'],
];

export const inField = (event: Event) =>
  event.target instanceof HTMLElement && (event.target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName));

/** The key is for the page: nothing that takes it has the focus. A dialog's button keeps it for a frame after the dialog has closed. */
export const forPage = (event: Event) =>
  event.target === document.body || (event.target instanceof Element && event.target.closest('dialog:not([open])') !== null);

export function Keys() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (inField(event) || event.ctrlKey || event.metaKey || event.altKey) return;
      const page = PAGES[Number(event.key) - 1];
      if (event.key === '?') dialog.current?.showModal();
      else if (event.key === 'h') hidden.set((now) => !now);
      else if (page) go(page);
      else return;
      event.preventDefault();
    };
    document.addEventListener('keydown', press);
    return () => document.removeEventListener('keydown', press);
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby="keys-title" onClick={(event) => event.target === dialog.current && dialog.current?.close()}>
      <form method="dialog">
        <h2 id="keys-title">Keys</h2>
        <dl>
          {LIST.map(([key, what]) => (
            <div key={key}>
              <dt>
                <kbd>{key}</kbd>
              </dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
        <button class="main">Close</button>
      </form>
    </dialog>
  );
}
