// SPDX-License-Identifier: Apache-2.0
// Between client and gateway: forwards bytes until it is told to freeze what is open. Nobody hears of
// that: both sides keep a socket on which nothing comes any more, as when a phone was in a pocket.
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export class Valve {
  readonly #server: Server;
  readonly #open = new Set<Socket>();

  constructor(gateway: string) {
    const [host, port] = gateway.split(':');
    this.#server = createServer({ noDelay: true }, (client) => {
      const behind = connect({ host: host!, port: Number(port), noDelay: true });
      const both = [client, behind];
      for (const socket of both) {
        this.#open.add(socket);
        socket.on('error', () => undefined); // `close` follows
        socket.on('close', () => {
          this.#open.delete(socket);
          for (const each of both) each.destroy();
        });
      }
      client.pipe(behind);
      behind.pipe(client);
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What is open goes silent, for ever; what comes later is forwarded. */
  freeze(): void {
    for (const socket of this.#open) {
      socket.unpipe();
      socket.pause();
      socket.removeAllListeners('close');
    }
  }

  end(): void {
    this.#server.close();
    for (const socket of this.#open) socket.destroy();
  }
}
