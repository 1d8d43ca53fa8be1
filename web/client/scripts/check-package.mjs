// SPDX-License-Identifier: Apache-2.0
// What a user of the package gets: the packed tarball is looked at by publint and are-the-types-wrong,
// weighed, and installed into projects of each kind, which are type-checked and run.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';

const CORE_MAX = 8192; // bytes of gzip
const top = fileURLToPath(new URL('..', import.meta.url));
const modules = fileURLToPath(new URL('../node_modules', import.meta.url));
const require = createRequire(import.meta.url);
const work = mkdtempSync(`${tmpdir()}/bgw-package-`);
let passed = 0;
let failed = 0;

async function check(name, call) {
  try {
    const said = await call();
    passed++;
    console.log(`ok ${name}${said ? `: ${said}` : ''}`);
  } catch (error) {
    failed++;
    console.log(`not ok ${name}: ${[error.message, error.stdout, error.stderr].filter(Boolean).join('\n')}`);
  }
}
const run = (command, args, cwd = work) => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const tsc = (dir) => run(process.execPath, [require.resolve('typescript/bin/tsc'), '-p', dir]);

async function sizeOf(contents) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: top, loader: 'js' },
    bundle: true, minify: true, format: 'esm', target: 'es2022', write: false, external: ['react', './sse.js'], logLevel: 'error',
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

const tarball = `${work}/${run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', work], top).trim().split('\n').pop()}`;

await check('publint', async () => {
  const { messages, pkg } = await publint({ pkgDir: top, strict: true, pack: false });
  if (messages.length) throw new Error(messages.map((message) => formatMessage(message, pkg)).join('\n'));
});
await check('are the types wrong', () => {
  const cli = `${modules}/@arethetypeswrong/cli/dist/index.js`;
  run(process.execPath, [cli, tarball, '--format', 'ascii', '--exclude-entrypoints', './browser.js', './vectors/*.json']);
});
await check('the core weighs less than 8 kB', async () => {
  // what a page loads in order to show balances; streams are a chunk of their own, loaded where sockets are blocked
  const core = await sizeOf(`export { createClient } from './dist/esm/index.js'`);
  const all = await sizeOf(`export * from './dist/esm/index.js'`);
  const streams = await sizeOf(`export * from './dist/esm/sse.js'`);
  const react = await sizeOf(`export * from './dist/esm/react.js'`);
  const page = gzipSync(readFileSync(`${top}dist/browser.js`)).length;
  const text = `createClient ${core}, with formatBalance and the rest ${all}, streams ${streams}, react ${react}, browser.js ${page} bytes of gzip`;
  if (core >= CORE_MAX) throw new Error(text);
  return text;
});
await check('nothing is needed at run time', () => {
  const { dependencies } = JSON.parse(readFileSync(`${top}package.json`, 'utf8'));
  if (dependencies) throw new Error(Object.keys(dependencies).join());
});
await check('no source, test or secret is packed', () => {
  const names = run('tar', ['-tzf', tarball]).split('\n').filter(Boolean);
  const odd = names.filter((name) => !/^package\/(dist\/|vectors\/|package\.json$|README\.md$|LICENSE$)/.test(name));
  if (odd.length) throw new Error(odd.join('\n'));
  return `${names.length} files`;
});

// ---- projects that install it ----

const USE = `
import { createClient, formatBalance, type Subscription, type ConnectionState } from '@balance-gateway/client';
import { attachBrowser } from '@balance-gateway/client/web';
import { attachReactNative } from '@balance-gateway/client/react-native';
import { BalanceProvider, useBalance, useConnectionState } from '@balance-gateway/client/react';
import { createFakeClock, createFakeServer } from '@balance-gateway/client/testing';
const clock = createFakeClock();
const server = createFakeServer({ clock });
export const client = createClient({ url: 'http://localhost', getToken: async () => server.token(), webSocket: server.webSocket, clock });
export function text(now: Subscription): string {
  if (now.status === 'live') return \`\${formatBalance(now.balance)} \${now.freshness}\`;
  if (now.status === 'stale') return \`\${formatBalance(now.lastKnown)} as of \${new Date(now.asOf).toISOString()}\`;
  // @ts-expect-error a balance that is not live has no \`balance\`
  now.balance;
  return now.reason ?? now.status;
}
export const why = (state: ConnectionState): string => (state.status === 'reconnecting' ? state.why : state.status);
export const minor: bigint | undefined = client.get('A').lastKnown?.minor;
export { attachBrowser, attachReactNative, BalanceProvider, useBalance, useConnectionState };
`;
const projects = {
  'ESM, node16 resolution': { type: 'module', module: 'node16', moduleResolution: 'node16' },
  'CJS, node16 resolution': { type: 'commonjs', module: 'node16', moduleResolution: 'node16' },
  'bundler resolution': { type: 'module', module: 'esnext', moduleResolution: 'bundler' },
  'CJS, node10 resolution': { type: 'commonjs', module: 'commonjs', moduleResolution: 'node10' },
};
for (const [name, { type, ...resolution }] of Object.entries(projects)) {
  const dir = `${work}/${name.replace(/\W+/g, '-')}`;
  await check(`a project installs and type-checks it: ${name}`, () => {
    mkdirSync(`${dir}/node_modules/@balance-gateway/client`, { recursive: true });
    run('tar', ['-xzf', tarball, '--strip-components=1', '-C', `${dir}/node_modules/@balance-gateway/client`]);
    mkdirSync(`${dir}/node_modules/@types`);
    for (const one of ['@types/react', 'csstype', 'react']) {
      cpSync(`${modules}/${one}`, `${dir}/node_modules/${one}`, { recursive: true, dereference: true });
    }
    symlinkSync(`${modules}/@types/node`, `${dir}/node_modules/@types/node`);
    writeFileSync(`${dir}/package.json`, JSON.stringify({ name: 'scratch', type }));
    writeFileSync(`${dir}/use.ts`, USE);
    const compilerOptions = {
      ...resolution, target: 'es2022', lib: ['es2022', 'dom'], strict: true, outDir: 'out', skipLibCheck: false, types: [],
      ...(resolution.moduleResolution === 'node10' && { ignoreDeprecations: '5.0' }),
    };
    writeFileSync(`${dir}/tsconfig.json`, JSON.stringify({ compilerOptions, files: ['use.ts'] }));
    tsc(dir);
  });
  if (resolution.module === 'esnext') continue; // that is for bundlers
  const use = `import('${dir}/out/use.js').then((m) => { if (!(m.text ?? m.default.text)) throw new Error('nothing') })`;
  await check(`and runs it: ${name}`, () => void run(process.execPath, ['-e', use], dir));
}
await check('one file is enough for a page', () => {
  const use = `import { createClient, attachBrowser } from '${top}dist/browser.js'; if (!createClient || !attachBrowser) throw new Error()`;
  run(process.execPath, ['--input-type=module', '-e', use]);
});

rmSync(work, { recursive: true, force: true });
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
