// SPDX-License-Identifier: Apache-2.0
// The slots by account. Hides how they are found; knows nothing of connections.
import { splitKey, type Since } from './protocol.js';
import type { Slot } from './slots.js';

export class Book {
  readonly #accounts = new Map<string, Slot[]>();

  *all(): Generator<Slot> {
    for (const slots of this.#accounts.values()) yield* slots;
  }

  find(account: string, currency: string): Slot | undefined {
    return this.#accounts.get(account)?.find((slot) => slot.currency === currency);
  }

  add(slot: Slot): Slot {
    const slots = this.#accounts.get(slot.account);
    if (slots) slots.push(slot);
    else this.#accounts.set(slot.account, [slot]);
    return slot;
  }

  remove(slot: Slot): void {
    const rest = this.#accounts.get(slot.account)?.filter((each) => each !== slot) ?? [];
    if (rest.length) this.#accounts.set(slot.account, rest);
    else this.#accounts.delete(slot.account);
  }

  /** `A/USD` is one slot at most, `A` all slots of the account. */
  covered(key: string): Slot[] {
    const [account, currency] = splitKey(key);
    const slots = this.#accounts.get(account) ?? [];
    return slots.filter((slot) => !currency || slot.currency === currency);
  }

  /** Every version that is held, of removed balances too: no replica then shows anything older. */
  since(key: string): Since | undefined {
    const slots = this.covered(key);
    if (!slots.length) return undefined;
    return key.includes('/') ? slots[0]!.balance.v : Object.fromEntries(slots.map((slot) => [slot.currency, slot.balance.v]));
  }
}
