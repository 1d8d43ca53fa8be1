// SPDX-License-Identifier: Apache-2.0
// For your own tests: a gateway without a network, and time that moves when you say so.
export { createFakeClock, type FakeClock } from './testing/clock.js';
export { createFakeServer, FakeServer, type FakeServerOptions } from './testing/server.js';
export type { FakeSession } from './testing/session.js';
export type { FakeSocket } from './testing/socket.js';
