// SPDX-License-Identifier: Apache-2.0
// The first page: a handful of accounts, live. It speaks bgw.v1 by hand, keeps every amount a
// string or a BigInt, and never shows a balance without saying how fresh it is.

const EXPONENTS = { JPY: 0, KRW: 0, UGX: 0, XOF: 0, XAF: 0, BHD: 3, KWD: 3, TND: 3 };
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 20000;
const SHOWN_STATES = {
  pending: 'waiting', fresh: '● live', delayed: '◐ delayed', stale: '○ stale',
  unknown: 'not known', removed: 'closed', denied: 'no access',
};

const at = (id) => document.getElementById(id);
const slots = new Map(); // "account|currency" -> what is known
let token = '';
let accounts = [];
let resume = '';
let attempts = 0;
let retryHintMs = 0;

function formatMinor(minor, currency) {
  const exponent = EXPONENTS[currency] ?? 2;
  const negative = minor.startsWith('-');
  const digits = (negative ? minor.slice(1) : minor).padStart(exponent + 1, '0');
  const whole = digits.slice(0, digits.length - exponent);
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return `${negative ? '−' : ''}${grouped}${exponent ? `.${digits.slice(-exponent)}` : ''} ${currency}`;
}

function compareVersions(a, b) { // inside one epoch; null where they cannot be compared
  const [ea, sa, ra = '0'] = a.split('.');
  const [eb, sb, rb = '0'] = b.split('.');
  if (ea !== eb) return null;
  const bySeq = BigInt(sa) - BigInt(sb);
  return bySeq !== 0n ? bySeq : BigInt(ra) - BigInt(rb);
}

function rowFor(slot) {
  if (slot.row) return slot.row;
  slot.row = document.createElement('tr');
  slot.row.append(Object.assign(document.createElement('th'), { scope: 'row', textContent: slot.account }),
    ...['num', 'num', ''].map((className) => Object.assign(document.createElement('td'), { className })));
  at('rows').append(slot.row);
  return slot.row;
}

function paint(slot, moved) {
  const row = rowFor(slot);
  const [, amount, change, freshness] = row.children;
  const unknown = slot.minor === null;
  amount.textContent = unknown ? '—' : formatMinor(slot.minor, slot.currency);
  amount.classList.toggle('old', slot.state !== 'fresh');
  change.textContent = slot.change ? `${slot.change.startsWith('-') ? '▼' : '▲ +'}${formatMinor(slot.change, slot.currency).replace('−', ' −')}` : '';
  change.className = `num ${slot.change ? (slot.change.startsWith('-') ? 'down' : 'up') : ''}`;
  const when = slot.asOf ? ` · as of ${new Date(slot.asOf).toLocaleTimeString()}` : '';
  freshness.textContent = SHOWN_STATES[slot.state] + (slot.state === 'fresh' ? '' : when);
  freshness.className = slot.state;
  if (moved) {
    row.classList.remove('moved');
    void row.offsetWidth; // restarts the flash
    row.classList.add('moved');
  }
}

function slotOf(account, currency) {
  const id = `${account}|${currency}`;
  if (!slots.has(id)) {
    const waiting = slots.get(`${account}|`); // the row that stood for "some currency of it"
    slots.delete(`${account}|`);
    slots.set(id, waiting ?? { account, minor: null, v: null, state: 'pending', change: '', asOf: 0 });
  }
  return Object.assign(slots.get(id), { currency });
}

function onUpdate(entry) {
  const { currency, minor, ts } = entry.d;
  const slot = slotOf(entry.k, currency);
  if (slot.v && compareVersions(entry.v, slot.v) < 0n) return;
  const moved = slot.minor !== null && slot.minor !== minor;
  if (moved) slot.change = (BigInt(minor) - BigInt(slot.minor)).toString();
  const recovered = ['pending', 'unknown', 'removed', 'denied'].includes(slot.state);
  Object.assign(slot, { minor, v: entry.v, asOf: ts ?? Date.now() }, recovered ? { state: 'fresh' } : {});
  paint(slot, moved);
}

function slotsOfKey(key) {
  const [account, currency] = key.split('/');
  return [...slots.values()].filter((s) => s.account === account && (!currency || s.currency === currency));
}

function onState(frame) {
  for (const key of frame.keys) {
    for (const slot of slotsOfKey(key)) {
      slot.state = frame.state;
      if (frame.state === 'unknown' || frame.state === 'removed') Object.assign(slot, { minor: null, change: '' });
      paint(slot, false);
    }
  }
}

function showLink(state, text) {
  at('link').dataset.state = state;
  at('link-text').textContent = text;
}

function loseFreshness() {
  for (const slot of slots.values()) {
    if (slot.minor !== null) slot.state = 'stale';
    paint(slot, false);
  }
}

function subscribeFrame() {
  const since = {};
  for (const slot of slots.values()) if (slot.v) (since[slot.account] ??= {})[slot.currency] = slot.v;
  return JSON.stringify({ op: 'sub', id: 1, keys: accounts, since });
}

const handlers = {
  hello(frame, socket) { resume = frame.resume ?? resume; socket.send(subscribeFrame()); },
  sub(frame) {
    for (const key of frame.current) for (const slot of slotsOfKey(key)) { slot.state = 'fresh'; paint(slot, false); }
    for (const { key } of frame.denied) for (const slot of slotsOfKey(key)) { slot.state = 'denied'; paint(slot, false); }
  },
  upd(frame) { frame.u.forEach(onUpdate); },
  state: onState,
  live() { attempts = 0; showLink('live', 'Live'); },
  mark(frame) { resume = frame.resume ?? resume; },
  bye(frame) { retryHintMs = frame.retry_ms ?? 0; },
};

function reconnect(code, reason) {
  loseFreshness();
  if (code >= 3500 && code < 4000) {
    showLink('ended', `Signed out (${reason || code})`);
    return signIn(`The gateway ended the session: ${reason || code}. A new token is needed.`);
  }
  const ceiling = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** attempts++);
  const wait = retryHintMs || Math.random() * ceiling + 100;
  retryHintMs = 0;
  showLink('offline', 'Offline, last known values · reconnecting…');
  setTimeout(connect, wait);
}

function connect() {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const socket = new WebSocket(`${scheme}://${location.host}/ws`, ['bgw.v1']);
  socket.onopen = () => socket.send(JSON.stringify({ op: 'hello', token, client: 'page/1', ...(resume && { resume }) }));
  socket.onmessage = (message) => {
    const frame = JSON.parse(message.data);
    handlers[frame.ev]?.(frame, socket);
  };
  socket.onclose = (event) => reconnect(event.code, event.reason);
}

function start(newToken, newAccounts) {
  token = newToken;
  accounts = newAccounts;
  slots.clear();
  at('rows').replaceChildren();
  for (const account of accounts) {
    const slot = { account, currency: '', minor: null, v: null, state: 'pending', change: '', asOf: 0 };
    slots.set(`${account}|`, slot);
    paint(slot, false);
  }
  at('sign-in').hidden = true;
  at('live').hidden = false;
  connect();
}

function signIn(why) {
  showLink('offline', 'Not signed in');
  at('sign-in').hidden = false;
  at('refused').textContent = why ?? '';
  at('sign-in').onsubmit = (event) => {
    event.preventDefault();
    start(at('token').value.trim(), at('accounts').value.split(/\s+/).filter(Boolean));
  };
}

const demo = await fetch('/demo/token.json').then((r) => (r.ok ? r.json() : null), () => null);
if (demo) {
  at('banner').hidden = false;
  start(demo.token, demo.accounts.slice(0, 10));
} else {
  signIn();
}
