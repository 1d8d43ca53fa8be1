// SPDX-License-Identifier: Apache-2.0
// node bench/figures.mjs: what README.md says under "Figures", measured here and now, as a table.
// After a build (scripts/build.mjs); BGW_BIN names the gateway, else `bgw` is looked for on PATH.
// CLIENTS=1000 PHONES=100 ROUNDS=5 by default. It needs a quiet machine, and some two minutes.
// KAFKA=127.0.0.1:19092: with the broker of `./dev up --real` instead of the embedded one of `--demo`.
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const top = fileURLToPath(new URL('..', import.meta.url));
const bundled = `${top}dist/figures-${process.pid}.mjs`; // there, so that it finds the packages

process.env.BGW_BIN ??= 'bgw';
await build({
  entryPoints: [`${top}bench/figures.ts`],
  outfile: bundled,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node18',
  packages: 'external',
  logLevel: 'warning',
});
try {
  const { figures } = await import(bundled);
  const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
  await figures({ clients: number('CLIENTS', 1000), phones: number('PHONES', 100), rounds: number('ROUNDS', 5), top, kafka: process.env.KAFKA ?? null });
} finally {
  rmSync(bundled, { force: true });
}
process.exit(0);
