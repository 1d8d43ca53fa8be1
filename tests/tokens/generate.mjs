// SPDX-License-Identifier: Apache-2.0
//
// generate JOSE-DIR SEED COUNT: writes the profiles (which keys and rules a gateway has) and then
// COUNT tokens with jose's word on each, one a line, tab-separated, what is not plain in base64:
//
//   profile NAME SECRET PEM JWKS ALGS ISSUER AUDIENCE LEEWAY
//   token PROFILE KIND WORD TOKEN          WORD: ok, or jose's error code
import { once } from "node:events";
import path from "node:path";
import { pathToFileURL } from "node:url";
import crypto from "node:crypto";

import { make, pemOf, Random } from "./issuer.mjs";
import { ALGS, mutate, NOW } from "./mutate.mjs";

const [joseDir, seed, count] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const jose = await import(pathToFileURL(path.join(joseDir, "node_modules/jose/dist/webapi/index.js")));

const ISSUER = "https://id.example";

function profiles(rng) {
  const rsa = [make.rsa(rng, 2048), make.rsa(rng, 3072)], ec = [make.ec(rng), make.ec(rng)];
  const ed = make.ed25519(rng), secrets = [make.oct(rng, 32), make.oct(rng, 48)];
  const strangers = { RSA: make.rsa(rng, 2048), EC: make.ec(rng), OKP: make.ed25519(rng), oct: make.oct(rng, 32) };
  // Where the configuration allows every algorithm, the key alone decides; PS256 has to be asked for.
  const one = (name, alg, k, more) => ({ name, alg, signers: [{ k, alg }], algs: alg === "PS256" ? [alg] : ALGS, ...more });
  const set = (name, signers) => ({ name, signers, algs: [...new Set(signers.map((s) => s.alg))],
    jwks: { keys: signers.map(({ k, alg, kid }) => ({ ...k.jwk, alg, kid, use: "sig" })) } });
  const list = [
    one("secret", "HS256", secrets[0], { secret: secrets[0].secret }),
    one("strict", "HS256", secrets[1], { secret: secrets[1].secret, issuer: ISSUER, audience: "bgw", leeway: 30 }),
    one("rs256", "RS256", rsa[0], { pem: pemOf(rsa[0]) }),
    one("ps256", "PS256", rsa[1], { pem: pemOf(rsa[1]) }),
    one("es256", "ES256", ec[0], { pem: pemOf(ec[0]) }),
    one("eddsa", "EdDSA", ed, { pem: pemOf(ed) }),
    set("set", [{ k: rsa[0], alg: "RS256", kid: "k1" }, { k: rsa[1], alg: "PS256", kid: "k2" },
      { k: ec[0], alg: "ES256", kid: "k3" }, { k: ec[1], alg: "ES256", kid: "k4" }, { k: ed, alg: "EdDSA", kid: "k5" }]),
    set("lone", [{ k: ec[1], alg: "ES256", kid: "k1" }]),
    set("secrets", [{ k: secrets[0], alg: "HS256", kid: "k1" }, { k: secrets[1], alg: "HS256", kid: "k2" }]),
  ];
  for (const p of list) {
    p.strangers = strangers;
    p.confusions = p.signers.filter(({ k }) => k.type !== "oct").flatMap(({ k }) =>
      [pemOf(k), pemOf(k).trimEnd(), JSON.stringify(k.jwk), k.jwk.n ?? k.jwk.x, Buffer.from(k.jwk.n ?? k.jwk.x, "base64url")]);
    if (!p.confusions.length) p.confusions = ["", "secret", Buffer.alloc(32), p.signers[0].k.jwk.k];
  }
  // Cheap signers come more often: the reading of claims and headers is the same behind each.
  const weights = { secret: 6, strict: 5, rs256: 1, ps256: 1, es256: 2, eddsa: 3, set: 2, lone: 2, secrets: 3 };
  return { list, deck: list.flatMap((p) => Array(weights[p.name]).fill(p)) };
}

const hmac = (k) => crypto.subtle.importKey("raw", k.secret, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);

// What jose checks with: a key, or a function that finds one.
async function oracleOf(p) {
  if (p.secret) return hmac(p.signers[0].k);
  if (p.pem) return jose.importSPKI(p.pem, p.alg);
  if (p.name !== "secrets") return jose.createLocalJWKSet(p.jwks);
  const keys = {}; // jose has no sets of secrets: the finder is ours, by the exact name
  for (const { k, kid } of p.signers) keys[kid] = await hmac(k);
  return async ({ kid }) => {
    if (typeof kid === "string" && Object.hasOwn(keys, kid)) return keys[kid];
    throw new jose.errors.JWKSNoMatchingKey();
  };
}

async function wordOf(p, token) {
  try {
    await jose.jwtVerify(token, p.oracle, p.options);
    return "ok";
  } catch (error) {
    return error.code ?? error.name;
  }
}

const base64 = (x) => Buffer.from(x ?? "").toString("base64") || "-";
const rng = new Random(seed), { list, deck } = profiles(rng);
let lines = [];

async function flush() {
  if (!process.stdout.write(lines.join("\n") + "\n")) await once(process.stdout, "drain");
  lines = [];
}

for (const p of list) {
  p.oracle = await oracleOf(p);
  p.options = { algorithms: p.algs, currentDate: new Date(NOW * 1000), clockTolerance: p.leeway ?? 0,
    requiredClaims: ["exp", "sub"], ...(p.issuer ? { issuer: p.issuer, audience: p.audience } : {}) };
  lines.push(["profile", p.name, base64(p.secret), base64(p.pem), base64(p.jwks && JSON.stringify(p.jwks)),
    p.algs === ALGS ? "" : p.algs.join(), base64(p.issuer), base64(p.audience), p.leeway ?? 0].join("\t"));
}

for (let done = 0; done < count;) {
  const batch = [];
  for (; batch.length < 64 && done < count; done++) {
    const p = rng.pick(deck), [kind, token] = mutate(rng, p);
    batch.push([p, kind, token]);
  }
  const words = await Promise.all(batch.map(([p, , token]) => wordOf(p, token)));
  batch.forEach(([p, kind, token], i) =>
    lines.push(["token", p.name, kind, words[i], base64(Buffer.from(token, "utf8"))].join("\t")));
  await flush();
}
