// SPDX-License-Identifier: Apache-2.0
// The console is served by the gateway under a policy that allows its own files alone: nothing inline, no data: addresses.
// The client comes from its sources beside us, so that what the console uses is what the package holds.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const client = fileURLToPath(new URL('../client/src/', import.meta.url));
const gateway = process.env.BGW_CONSOLE_GATEWAY ?? 'http://localhost:5851'; // for `vite` while somebody works on it

export default defineConfig({
  resolve: {
    alias: [
      { find: /^@balance-gateway\/client$/, replacement: `${client}index.ts` },
      { find: /^@balance-gateway\/client\/(.+)$/, replacement: `${client}$1.ts` },
    ],
  },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false }, cssCodeSplit: false, reportCompressedSize: false },
  server: { proxy: Object.fromEntries(['/ws', '/v1', '/ledger', '/demo', '/readyz', '/health'].map((path) => [path, { target: gateway, ws: path === '/ws' }])) },
});
