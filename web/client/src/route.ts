// SPDX-License-Identifier: Apache-2.0
// Which way is taken to the gateway: sockets where they work, streams where upgrades fail, and sockets
// again where streams fail too, for then it is rather the gateway that is away.
import type { TransportName } from './types.js';

const STRIKES = 3; // failed upgrades before streams are tried
const STRIKES_PROVEN = 8; // where WebSockets have worked before

export class Route {
  readonly #transports: readonly TransportName[];
  transport: TransportName;
  #strikes = 0;
  #proven = false;

  /** At least one; the first is preferred. */
  constructor(transports: readonly TransportName[]) {
    this.#transports = transports;
    this.transport = transports[0]!;
  }

  get isSocket(): boolean {
    return this.transport === 'websocket';
  }

  /** Something better may be possible by now. */
  get secondBest(): boolean {
    return this.transport !== this.#transports[0];
  }

  opened(): void {
    this.#strikes = 0;
    this.#proven ||= this.isSocket;
  }

  failed(): void {
    const enough = this.#proven ? STRIKES_PROVEN : STRIKES;
    if (this.secondBest) {
      this.#strikes = enough - 1;
      this.transport = this.#transports[0]!;
    } else if (++this.#strikes >= enough) {
      this.transport = this.#transports[1] ?? this.transport;
    }
  }

  /** The preferred way gets one chance: one more refusal, and it is streams again. */
  probe(): void {
    this.#proven = false;
    this.#strikes = STRIKES - 1;
    this.transport = this.#transports[0]!;
  }
}
