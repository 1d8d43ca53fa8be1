// SPDX-License-Identifier: Apache-2.0
export { backoff, BACKOFF, type BackoffLimits } from './backoff.js';
export { createClient } from './client.js';
export { currencyExponent, decimalText, formatBalance, type FormatOptions } from './format.js';
export { ClientError } from './types.js';
export type {
  Balance, BalanceState, Client, ClientEvents, ClientOptions, Clock, ConnectionState, Entry, Snapshot,
  Subscription, Token, TokenReason, TransportName, WebSocketClass, WebSocketLike,
} from './types.js';
