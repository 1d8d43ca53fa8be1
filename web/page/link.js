// SPDX-License-Identifier: Apache-2.0
// The connection: bgw.v1 as docs/protocol.md has it, and what is known of each balance. It keeps
// every amount a string or a BigInt, comes back by itself, and knows at any moment which values are
// proved. Whoever draws is told through onSlot and onLink; nothing here touches the document.

const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 20000;
const QUIET_MS = 6000; // longer than the heartbeat's usual 5 s: then ask
const LOST_MS = 12000; // no answer to that either: the connection is gone, whatever the socket says
const TICK_MS = 1000;
const FINAL_CODE = 3500;

const HASH_INIT = 0xcbf29ce484222325n;
const HASH_PRIME = 0x100000001b3n;
const utf8 = new TextEncoder();

function fnv64(text) {
  return utf8.encode(text).reduce((h, byte) => BigInt.asUintN(64, (h ^ BigInt(byte)) * HASH_PRIME), HASH_INIT);
}

// Below zero if `a` is older than `b`; never across epochs, which have no order.
function compareVersions(a, b) {
  const [epochA, seqA, readA = '0'] = a.split('.');
  const [epochB, seqB, readB = '0'] = b.split('.');
  if (epochA !== epochB) return 0n;
  const bySeq = BigInt(seqA) - BigInt(seqB);
  return bySeq !== 0n ? bySeq : BigInt(readA) - BigInt(readB);
}

export function retryDelay(attempt, random = Math.random) {
  return 100 + random() * Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(attempt, 10));
}

export class Link {
  // getToken: async, asked before each connection. keys: accounts, `A` or `A/USD`.
  constructor({ keys, getToken, onSlot, onLink }) {
    Object.assign(this, { keys, getToken, onSlot, onLink });
    this.slots = new Map(); // "account|currency" -> what is known of it
    this.socket = null;
    this.resume = '';
    this.attempt = 0;
    this.retryMs = 0;
    this.ended = false;
  }

  start() {
    for (const key of this.keys) this.tell(this.slot(...key.split('/')));
    this.ticker = setInterval(() => this.tick(), TICK_MS);
    this.connect();
  }

  stop() {
    this.ended = true;
    clearInterval(this.ticker);
    clearTimeout(this.timer);
    this.drop();
  }

  // ---- the connection ----

  async connect() {
    clearTimeout(this.timer);
    this.timer = 0;
    const token = await this.getToken();
    if (this.ended || this.socket) return;
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`, ['bgw.v1']);
    this.socket = socket;
    this.heardAt = Date.now();
    this.asked = false;
    socket.onopen = () => this.send({ op: 'hello', token, client: 'page/1', ...(this.resume && { resume: this.resume }) });
    socket.onmessage = (message) => {
      this.heardAt = Date.now();
      this.asked = false;
      const frame = JSON.parse(message.data);
      this[`on_${frame.ev}`]?.(frame);
    };
    socket.onclose = (event) => this.lost(event.code, event.reason);
  }

  send(command) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(command));
  }

  // Values that were shown stay, labelled as of the last word that was heard.
  drop() {
    if (!this.socket) return;
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
    for (const slot of this.slots.values()) {
      if (slot.told === 'fresh' && !slot.lost) slot.provedAt = this.heardAt;
      slot.lost = slot.minor !== null;
      slot.hash = 0n;
      this.tell(slot);
    }
  }

  // A network that went away says nothing: a silence is asked about, then believed.
  tick() {
    if (!this.socket) return;
    const quiet = Date.now() - this.heardAt;
    if (quiet > LOST_MS) {
      this.lost(1006, '');
    } else if (quiet > QUIET_MS && !this.asked) {
      this.asked = true;
      this.send({ op: 'ping', id: 2 });
    }
  }

  lost(code, reason) {
    this.drop();
    if (code >= FINAL_CODE && code < 4000) {
      this.stop();
      this.onLink('ended', reason || String(code));
      return;
    }
    this.onLink('offline', '');
    this.timer = setTimeout(() => this.connect(), this.retryMs || retryDelay(this.attempt++));
    this.retryMs = 0;
  }

  // The browser says that there is a network again: no need to wait.
  hurry() {
    if (this.timer) this.connect();
  }

  // ---- what is known ----

  slot(account, currency = '') {
    const id = `${account}|${currency}`;
    if (!this.slots.has(id)) {
      const blank = { account, minor: null, v: null, change: '', told: 'pending', lost: false, named: false, hash: 0n, provedAt: 0 };
      this.slots.set(id, this.slots.get(`${account}|`) ?? blank); // the row of "whatever it holds" becomes its first
      if (currency) this.slots.delete(`${account}|`);
    }
    return Object.assign(this.slots.get(id), { currency });
  }

  // `A/USD` is one slot. `A` is the slots of A that the gateway does not call by their own name.
  slotsOf(key) {
    const [account, currency] = key.split('/');
    const all = [...this.slots.values()].filter((s) => s.account === account);
    if (!currency) return all.filter((s) => !s.named);
    return all.filter((s) => s.currency === currency).map((s) => Object.assign(s, { named: true }));
  }

  tell(slot, moved = false) {
    this.onSlot(slot, moved);
  }

  subscribe() {
    const since = {};
    for (const { account, currency, v } of this.slots.values()) {
      if (v && this.keys.includes(account)) (since[account] ??= {})[currency] = v;
      else if (v) since[`${account}/${currency}`] = v;
    }
    this.send({ op: 'sub', id: 1, keys: this.keys, since });
  }

  prove(slot) {
    slot.hash = fnv64(`${slot.account}|${slot.currency}|${slot.v}`);
    // said to be behind, on this connection: only the gateway takes that back
    if (slot.lost || !['delayed', 'stale'].includes(slot.told)) slot.told = 'fresh';
    slot.lost = false;
  }

  forget(slot, told, why) {
    Object.assign(slot, { minor: null, v: null, change: '', hash: 0n, lost: false, told, why });
  }

  // ---- what the gateway says; one method for each `ev` ----

  on_hello(frame) {
    this.resume = frame.resume ?? this.resume;
    this.subscribe();
  }

  on_sub(frame) {
    for (const slot of frame.current.flatMap((key) => this.slotsOf(key)).filter((s) => s.v)) {
      this.prove(slot);
      this.tell(slot);
    }
    for (const { key, code } of frame.denied) {
      for (const slot of this.slotsOf(key)) {
        this.forget(slot, 'denied', code);
        this.tell(slot);
      }
    }
  }

  on_upd(frame) {
    for (const { k, v, d } of frame.u) {
      const slot = this.slot(k, d.currency);
      if (slot.v && compareVersions(v, slot.v) < 0n) continue;
      const moved = slot.minor !== null && slot.minor !== d.minor;
      if (moved) slot.change = (BigInt(d.minor) - BigInt(slot.minor)).toString();
      Object.assign(slot, { minor: d.minor, v });
      this.prove(slot);
      this.tell(slot, moved);
    }
  }

  on_state({ keys, state, reason, lag_ms: lag }) {
    for (const slot of keys.flatMap((key) => this.slotsOf(key))) {
      if (state === 'unknown' || state === 'removed') {
        this.forget(slot, state, reason);
      } else {
        if (lag !== undefined) slot.provedAt = Date.now() - lag;
        else if (slot.told === 'fresh' && !slot.lost) slot.provedAt = this.heardAt;
        Object.assign(slot, { told: state, why: reason, lost: false });
      }
      this.tell(slot);
    }
  }

  on_live() {
    this.attempt = 0;
    this.onLink('live', '');
  }

  on_mark(frame) {
    this.resume = frame.resume ?? this.resume;
    const digest = [...this.slots.values()].reduce((sum, slot) => sum ^ slot.hash, 0n);
    if (digest !== BigInt(`0x${frame.digest}`)) this.send({ op: 'repair', id: 3 });
  }

  on_revoked(frame) {
    for (const slot of frame.keys.flatMap((key) => [...this.slots.values()].filter((s) => s.account === key.split('/')[0]))) {
      this.forget(slot, 'denied', frame.reason);
      this.tell(slot);
    }
  }

  on_err(frame) {
    this.onLink('refused', frame.msg ?? frame.code);
  }

  on_bye(frame) {
    this.retryMs = frame.retry_ms ?? 0;
  }
}
