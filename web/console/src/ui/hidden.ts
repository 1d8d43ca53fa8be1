// SPDX-License-Identifier: Apache-2.0
// Amounts can be hidden: somebody looks over the shoulder, a screen is shared.
import { store } from '../store.ts';

export const hidden = store(sessionStorage.getItem('bgw.hidden') === '1');
hidden.watch(() => sessionStorage.setItem('bgw.hidden', hidden.get() ? '1' : '0'));
