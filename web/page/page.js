// SPDX-License-Identifier: Apache-2.0
// The first page: a handful of accounts, live. It draws what link.js knows: amounts are formatted
// from their digits, never through a number; no balance stands without its freshness, and what is
// not known is a dash, never zero.

import { Link } from './link.js';
import { Parts } from './parts.js';

const ACCOUNTS_MAX = 100;
const DECIMALS_USUAL = 2;
const DECIMALS = new Map([ // ISO 4217, where it is not two
  ...'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'.split(' ').map((c) => [c, 0]),
  ...'BHD IQD JOD KWD LYD OMR TND'.split(' ').map((c) => [c, 3]),
  ...'CLF UYW'.split(' ').map((c) => [c, 4]),
]);
const DEMO_WAIT_MS = 5000;
const DAY_MS = 24 * 3600 * 1000;

const FRESHNESS = {
  pending: 'waiting…', fresh: 'live', delayed: 'delayed', stale: 'stale', offline: 'offline',
  unknown: 'not known', removed: 'closed', denied: 'no access',
};
const REASONS = {
  no_such_account: 'no such account', source_unavailable: 'source unavailable',
  bad_id: 'not an account key', too_many_keys: 'too many accounts',
};
const REFUSALS = {
  token_missing: 'A token is needed.',
  token_malformed: 'This is not a token: three parts with dots between them are expected.',
  token_unsupported: 'This kind of token is not accepted here.',
  bad_signature: 'The token was not signed with a key that this gateway trusts.',
  token_expired: 'The token has expired.',
  token_not_yet_valid: 'The token is not valid yet.',
  wrong_issuer: 'The token comes from an issuer that is not trusted here.',
  wrong_audience: 'The token was made for another service.',
  bad_claims: 'The token does not say what a token must say.',
  auth_timeout: 'The token came too late.',
};
const LINKS = {
  connecting: 'Connecting…', live: 'Live', offline: 'Offline, reconnecting…', out: 'Not signed in', ended: 'Signed out',
};

const at = (id) => document.getElementById(id);
const rows = new Map(); // slot -> its row
let link = null;

// ---- words and figures ----

function figure(minor, currency) {
  const decimals = DECIMALS.get(currency) ?? DECIMALS_USUAL;
  const digits = minor.replace('-', '').padStart(decimals + 1, '0');
  const point = digits.length - decimals;
  const whole = digits.slice(0, point).replace(/\B(?=(\d{3})+$)/g, ',');
  return decimals ? `${whole}.${digits.slice(point)}` : whole;
}

const negative = (minor) => minor.startsWith('-');

function clock(ms) {
  const date = new Date(ms);
  const time = date.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
  return Date.now() - ms < DAY_MS ? time : `${date.toLocaleDateString()} ${time}`;
}

// ---- the table ----

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...children);
  return element;
}

function rowFor(slot) {
  if (rows.has(slot)) return rows.get(slot);
  const row = make('tr', '');
  // a long name may break after its colons
  const name = make('th', 'account', ...slot.account.split(/(?<=:)(?!:)/).flatMap((part) => [part, make('wbr', '')]));
  name.scope = 'row';
  row.append(name, ...['balance', 'change', 'freshness'].map((c) => make('td', c)));
  const beside = [...rows].filter(([s]) => s.account === slot.account).at(-1);
  if (beside) beside[1].after(row);
  else at('rows').append(row);
  rows.set(slot, row);
  return row;
}

const state = (slot) => (slot.lost ? 'offline' : slot.told);

function freshnessWords(slot) {
  const shown = state(slot);
  if (slot.minor === null) return (shown !== 'removed' && REASONS[slot.why]) || FRESHNESS[shown];
  return shown === 'fresh' || !slot.provedAt ? FRESHNESS[shown] : `${FRESHNESS[shown]} · as of ${clock(slot.provedAt)}`;
}

function flash(row, className) {
  row.classList.remove('rose', 'fell');
  void row.offsetWidth; // lets the animation start anew
  row.classList.add(className);
}

function drawSlot(slot, moved) {
  const row = rowFor(slot);
  const [, balance, change, freshness] = row.children;
  row.dataset.state = state(slot);
  freshness.replaceChildren(make('span', 'label', freshnessWords(slot)));
  if (slot.minor === null) {
    balance.replaceChildren('—');
    change.replaceChildren();
    return;
  }
  const sign = negative(slot.minor) ? '−' : '';
  balance.replaceChildren(`${sign}${figure(slot.minor, slot.currency)} `, make('span', 'unit', slot.currency));
  if (!slot.change) return;
  const fell = negative(slot.change);
  const arrow = make('span', 'arrow', fell ? '▼' : '▲');
  arrow.ariaHidden = 'true';
  change.className = `change ${fell ? 'down' : 'up'}`;
  change.replaceChildren(arrow, ` ${fell ? '−' : '+'}${figure(slot.change, slot.currency)}`);
  if (moved) flash(row, fell ? 'fell' : 'rose');
}

// ---- the connection's state, signing in ----

function drawLink(name, detail) {
  if (name === 'refused') return signIn(`The gateway did not understand: ${detail}.`);
  at('link').dataset.state = name;
  at('link-text').textContent = LINKS[name];
  document.title = `${name === 'live' ? '' : `${LINKS[name]} · `}balance-gateway`;
  if (name === 'live') at('token').value = ''; // it has served
  if (name === 'ended') signIn(REFUSALS[detail] ?? `The gateway ended the session: ${detail}.`, name);
  return undefined;
}

// One line a part that is away, for the eye at once; for the ear apart, so that it is not talked over.
const parts = new Parts({
  onParts(sentences) {
    at('parts').hidden = sentences.length === 0;
    at('parts').replaceChildren(...sentences.map((text) => make('li', '', text)));
  },
  onAnnounce(text) {
    at('parts-said').textContent = text;
  },
});

function watch(keys, getToken) {
  link?.stop();
  rows.clear();
  at('rows').replaceChildren();
  at('sign-in').hidden = true;
  at('live').hidden = false;
  at('again').hidden = !at('banner').hidden; // the demo's accounts are the demo's
  drawLink('connecting');
  link = new Link({ keys, getToken, onSlot: drawSlot, onLink: drawLink });
  link.start();
}

function submit(event) {
  event.preventDefault();
  const token = at('token').value.trim();
  const keys = [...new Set(at('accounts').value.split(/[\s,]+/).filter(Boolean))];
  if (!token || keys.length === 0) return signIn('A token and at least one account are needed.');
  if (keys.length > ACCOUNTS_MAX) return signIn(`This page shows up to ${ACCOUNTS_MAX} accounts; these are ${keys.length}.`);
  return watch(keys, async () => token);
}

// Values that were shown stay, labelled; a table that never had any is no use beside the form.
function signIn(why, linkState = 'out') {
  link?.stop();
  at('banner').hidden = true;
  at('live').hidden = ![...rows.keys()].some((slot) => slot.minor !== null);
  at('sign-in').hidden = false;
  at('again').hidden = true;
  at('refused').textContent = why ?? '';
  if (linkState !== 'ended') drawLink(linkState);
}

// ---- begin ----

const demo = () => fetch('/demo/token.json', { signal: AbortSignal.timeout(DEMO_WAIT_MS) })
  .then((reply) => (reply.ok ? reply.json() : null));

at('sign-in').addEventListener('submit', submit);
at('again').addEventListener('click', () => signIn());
window.addEventListener('online', () => link?.hurry());

const first = await demo().catch(() => null);
parts.start(first !== null);
if (first) {
  at('banner').hidden = false;
  let { token } = first;
  // another start of the demo may know another key
  watch(first.accounts, async () => (token = (await demo().catch(() => null))?.token ?? token));
} else {
  signIn();
}
