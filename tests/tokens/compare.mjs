// SPDX-License-Identifier: Apache-2.0
//
// compare TOKENS: reads what bgw-tokens wrote for so many tokens, counts agreements and explained
// differences, shows what is neither, and ends with `N passed, N failed`. Too few tokens, or a run
// in which one side refused nearly everything, is a failure too: it would have shown nothing.
import readline from "node:readline";

import { explained } from "./explained.mjs";

const SHOWN_MAX = 20, ENOUGH = 20000;
const expected = Number(process.argv[2]);
const rows = new Map(explained.map((row) => [`${row.kind}\t${row.word}\t${row.ours}`, { ...row, count: 0 }]));
const profiles = new Map(), kinds = new Set();
let total = 0, accepted = 0, refused = 0, differ = 0, failed = 0;

function fail(text) {
  if (++failed <= SHOWN_MAX) console.log(text);
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [kind, word, ours, profile, token] = line.split("\t");
  total++;
  kinds.add(kind);
  if (word === "ok" && ours === "ok") {
    accepted++;
    profiles.set(profile, (profiles.get(profile) ?? 0) + 1);
  } else if (word !== "ok" && ours !== "ok") {
    refused++;
  } else {
    const row = rows.get(`${kind}\t${word}\t${ours}`);
    differ++;
    if (row) row.count++;
    else fail(`${ours === "ok" ? "WE ACCEPT, jose refuses" : "jose accepts, we refuse"}: ${kind}, jose: ${word}, ours: ${ours}, ` +
      `profile ${profile}: ${Buffer.from(token, "base64").toString().slice(0, 2000)}`);
  }
}

for (const { kind, ours, why, count } of rows.values()) {
  console.log(`explained: ${String(count).padStart(7)}  ${kind}: jose accepts, ours ${ours}: ${why}`);
  if (!count && total >= ENOUGH) fail(`nothing needs the explanation of "${kind}", ours ${ours}`);
}
if (total !== expected) fail(`${total} tokens came, not ${expected}`);
if (accepted < total / 10 || refused < total / 10) fail("one side accepts or refuses nearly everything");
for (const [profile, count] of profiles) if (count < total / 500) fail(`profile ${profile}: only ${count} tokens were accepted`);
if (profiles.size < 9) fail(`tokens of only ${profiles.size} profiles were accepted`);
console.log(`${total} tokens, ${kinds.size} kinds: both accept ${accepted}, both refuse ${refused}, explained ${differ}`);
console.log(`${total - Math.min(failed, total)} passed, ${failed} failed`);
process.exit(failed || !total ? 1 : 0);
