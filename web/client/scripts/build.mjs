// SPDX-License-Identifier: Apache-2.0
// dist/esm and dist/cjs with their types, one file a module, and dist/browser.js: everything that a page
// needs, in one file. No bundler for the first two: what is imported is what was written.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const top = fileURLToPath(new URL('..', import.meta.url));
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const { version } = JSON.parse(readFileSync(`${top}package.json`, 'utf8'));

rmSync(`${top}dist`, { recursive: true, force: true });
const compile = (...options) =>
  execFileSync(process.execPath, [tsc, '-p', `${top}tsconfig.build.json`, ...options], { stdio: 'inherit' });
compile('--outDir', `${top}dist/esm`);
compile('--outDir', `${top}dist/cjs`, '--module', 'commonjs', '--moduleResolution', 'node10', '--ignoreDeprecations', '5.0');
mkdirSync(`${top}dist/cjs`, { recursive: true });
writeFileSync(`${top}dist/cjs/package.json`, '{ "type": "commonjs" }\n'); // the package itself is ESM
await build({
  stdin: { contents: `export * from './src/index.js'; export * from './src/web.js';`, resolveDir: top, loader: 'ts' },
  outfile: `${top}dist/browser.js`,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  banner: { js: `// SPDX-License-Identifier: Apache-2.0\n// @balance-gateway/client ${version}` },
  logLevel: 'warning',
});
