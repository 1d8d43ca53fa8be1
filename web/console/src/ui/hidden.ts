// SPDX-License-Identifier: Apache-2.0
// Amounts can be hidden: somebody looks over the shoulder, a screen is shared.
import { store } from '../store.ts';

export const hidden = store(sessionStorage.getItem('bgw.hidden') === '1');
export const HIDDEN = '•••••';

const AMOUNTS = /(\\?"(?:\w*[mM]inor|balance)\\?"\s*:\s*)(\\?")?-?\d+(\\?")?/g;
/** A frame or an answer as it may be shown then: the same without its amounts. */
export const veiled = (text: string) => text.replace(AMOUNTS, `$1"${HIDDEN}"`);

hidden.watch(() => sessionStorage.setItem('bgw.hidden', hidden.get() ? '1' : '0'));
