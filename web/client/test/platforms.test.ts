// @vitest-environment happy-dom
// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { attachReactNative } from '../src/react-native.js';
import { attachBrowser } from '../src/web.js';
import { rig } from './rig.js';

describe('a page', () => {
  it('tells of visibility, the network and the back/forward cache', async () => {
    const { server, client, run } = rig();
    let visible = 'visible';
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => visible });
    const detach = attachBrowser(client, { window, document, navigator: { onLine: true } });
    client.subscribe('A');
    await run(100);
    expect(client.state.status).toBe('live');
    window.dispatchEvent(new Event('offline'));
    expect(client.state.status).toBe('offline');
    window.dispatchEvent(new Event('online'));
    await run(100);
    expect(client.state.status).toBe('live');
    visible = 'hidden';
    document.dispatchEvent(new Event('visibilitychange'));
    server.drop();
    await run(60_000);
    expect(client.state).toMatchObject({ status: 'reconnecting', why: 'background' });
    visible = 'visible';
    document.dispatchEvent(new Event('visibilitychange'));
    await run(100);
    expect(client.state.status).toBe('live');
    window.dispatchEvent(new Event('pagehide'));
    await run(60_000);
    expect(server.open).toHaveLength(0);
    window.dispatchEvent(new Event('pageshow'));
    await run(100);
    expect(client.state.status).toBe('live');
    detach();
    window.dispatchEvent(new Event('offline'));
    expect(client.state.status).toBe('live');
  });

  it('that begins hidden or offline connects when it is seen and there is a network', async () => {
    const { server, client, run } = rig();
    const visibility = { visibilityState: 'hidden' };
    const seen = Object.assign(new EventTarget(), visibility);
    attachBrowser(client, { window, document: seen, navigator: { onLine: false } });
    client.subscribe('A');
    await run(1000);
    expect(server.sockets).toHaveLength(0);
    window.dispatchEvent(new Event('online'));
    await run(1000);
    expect(server.sockets).toHaveLength(0);
    seen.visibilityState = 'visible';
    seen.dispatchEvent(new Event('visibilitychange'));
    await run(100);
    expect(client.state.status).toBe('live');
  });
});

describe('an app', () => {
  it('tells of AppState and NetInfo', async () => {
    const { server, client, run } = rig();
    let life: (state: string) => void = () => {};
    let net: (state: object) => void = () => {};
    let listeners = 2;
    const detach = attachReactNative(client, {
      AppState: { currentState: 'active', addEventListener: (_, call) => ((life = call as typeof life), { remove: () => listeners-- }) },
      NetInfo: { addEventListener: (call) => ((net = call as typeof net), () => listeners--) },
    });
    client.subscribe('A');
    await run(100);
    life('inactive');
    life('background');
    server.drop();
    await run(60_000);
    expect(server.sockets).toHaveLength(1);
    life('active');
    await run(100);
    expect(client.state.status).toBe('live');
    net({ isConnected: false });
    expect(client.state.status).toBe('offline');
    net({ isConnected: true });
    await run(100);
    expect(client.state.status).toBe('live');
    detach();
    expect(listeners).toBe(0);
  });
});
