// SPDX-License-Identifier: Apache-2.0
// A WebSocket whose other end is the fake server. Frames travel in their order; a frozen one carries
// nothing and says nothing, as a connection does whose network went away.
import type { Command, ServerFrame } from '../protocol.js';
import type { WebSocketClass, WebSocketLike } from '../types.js';
import type { FakeServer } from './server.js';
import { FakeSession } from './session.js';

export interface FakeSocket extends WebSocketLike {
  frozen: boolean;
  /** The gateway's end, or the network's. */
  end(code: number, reason: string): void;
}

export function fakeSocketClass(server: FakeServer): WebSocketClass {
  return class implements FakeSocket {
    readyState = 0;
    frozen = false;
    onopen: ((event: never) => void) | null = null;
    onmessage: ((event: never) => void) | null = null;
    onclose: ((event: never) => void) | null = null;
    onerror: ((event: never) => void) | null = null;
    private session: FakeSession | null = null;

    constructor(readonly url: string, readonly protocols: string[]) {
      server.sockets.push(this);
      server.openMax = Math.max(server.openMax, server.open.length);
      this.frozen = server.mute;
      this.later(() => this.accept());
    }

    send(text: string): void {
      this.later(() => this.session?.command(JSON.parse(text) as Command));
    }

    close(): void {
      this.leave();
      this.readyState = 3;
    }

    end(code: number, reason: string): void {
      if (this.readyState === 3 || this.frozen) return;
      this.leave();
      this.later(() => {
        if (this.readyState === 3) return;
        this.readyState = 3;
        this.onclose?.({ code, reason } as never);
      });
    }

    private accept(): void {
      if (this.readyState === 3) return;
      if (server.down || server.socketsBlocked) {
        this.readyState = 3;
        this.onerror?.({} as never);
        this.onclose?.({ code: 1006, reason: '' } as never);
        return;
      }
      this.readyState = 1;
      const replica = server.pick();
      const say = (frame: ServerFrame): void => {
        const data = JSON.stringify(frame);
        this.later(() => this.readyState === 1 && this.onmessage?.({ data } as never));
      };
      this.session = new FakeSession(server, replica, say, (code, reason) => this.end(code, reason));
      server.sessions.push(this.session);
      replica.sessions.add(this.session);
      this.onopen?.({} as never);
    }

    private leave(): void {
      this.session?.replica.sessions.delete(this.session);
      this.session = null;
    }

    private later(call: () => void): void {
      server.clock.setTimeout(() => {
        if (!this.frozen) call();
      }, server.latencyMs);
    }
  };
}
