// SPDX-License-Identifier: Apache-2.0
// What the machine asks of a way to the gateway; and the WebSocket, which is the usual one.
import { parseFrame, SUBPROTOCOL, type Command, type ServerFrame } from './protocol.js';
import type { Clock, WebSocketClass } from './types.js';

export interface Connection {
  send(command: Command): void;
  /** Nothing is heard of it afterwards. */
  close(): void;
}

export interface Listener {
  opened(): void;
  frame(frame: ServerFrame): void;
  /** Something came that is no frame: a sign of life. */
  heard(): void;
  /** Once, and not after `close()`. `retryMs`: the gateway asked for that. */
  closed(code: number, reason: string, retryMs?: number): void;
  fault(message: string): void;
}

export type OpenStream = (request: typeof fetch, url: string, clock: Clock, listener: Listener) => Connection;

const streams: { open?: OpenStream } = {};

/** For fake servers, whose time does not wait until code was loaded. */
export function keepStreams(open: OpenStream): void {
  streams.open = open;
}

/** Streams are needed by few: their code is loaded by those. */
export function openStreamLater(...args: Parameters<OpenStream>): Connection {
  if (streams.open) return streams.open(...args);
  let real: Connection | undefined;
  let over = false;
  import('./sse.js').then(
    ({ openStream }) => {
      keepStreams(openStream);
      if (!over) real = openStream(...args);
    },
    () => over || args[3].closed(0, 'unreachable'),
  );
  return {
    send: (command) => real?.send(command),
    close() {
      over = true;
      real?.close();
    },
  };
}

/** `/ws` of the gateway that `url` names, however it was written. */
export function addressOf(url: string, path: string, scheme: 'ws' | 'http'): string {
  const here = (globalThis as { location?: { href?: string } }).location?.href;
  const full = new URL(url, here).href.replace(/[?#].*$/, '').replace(/\/(ws)?\/?$/, '');
  return full.replace(/^(ws|http)/, scheme) + path;
}

export function openWebSocket(Socket: WebSocketClass, url: string, listener: Listener): Connection {
  const socket = new Socket(addressOf(url, '/ws', 'ws'), [SUBPROTOCOL]);
  const quiet = (): void => {}; // a handler all the same: the package `ws` throws errors that nobody takes
  socket.onopen = () => listener.opened();
  socket.onerror = quiet; // `close` follows, and says as much as a page may know
  socket.onclose = (event: { code?: number; reason?: string }) => listener.closed(event.code ?? 1006, event.reason ?? '');
  socket.onmessage = (event: { data: unknown }) => {
    const frame = parseFrame(event.data);
    if (frame) listener.frame(frame);
    else listener.fault('not a frame of bgw.v1');
  };
  return {
    send(command) {
      if (socket.readyState === 1) socket.send(JSON.stringify(command));
    },
    close() {
      socket.onopen = socket.onmessage = socket.onclose = quiet;
      socket.close();
    },
  };
}
