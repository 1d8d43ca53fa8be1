// SPDX-License-Identifier: Apache-2.0
//
// issuer: keys and signatures that follow from a seed alone. Node's own ES256 and PS256 draw a
// nonce or a salt, so those two are put together here from their definitions (FIPS 186-5 §6,
// RFC 8017 §9.1.1); Node does the arithmetic with points and with the RSA private key.
import crypto from "node:crypto";

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const RSA_E = 65537n;

// sfc32 over a seed: small, and the same everywhere.
export class Random {
  constructor(seed) {
    const h = crypto.createHash("sha256").update(`tokens ${seed}`).digest();
    [this.a, this.b, this.c, this.d] = [0, 4, 8, 12].map((at) => h.readInt32LE(at));
    for (let i = 0; i < 16; i++) this.u32();
  }
  u32() {
    const t = (this.a + this.b + this.d) | 0;
    this.d = (this.d + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + t | 0;
    return t >>> 0;
  }
  below(n) {
    return Math.floor((this.u32() / 4294967296) * n);
  }
  pick(list) {
    return list[this.below(list.length)];
  }
  bytes(n) {
    const out = Buffer.alloc(n);
    for (let i = 0; i < n; i++) out[i] = this.u32() >>> 24;
    return out;
  }
}

const big = (bytes) => BigInt("0x" + bytes.toString("hex"));
const bytesOf = (n, length) => Buffer.from(n.toString(16).padStart(2 * length, "0"), "hex");
const short = (n) => Buffer.from(n.toString(16).padStart(2 * Math.ceil(n.toString(16).length / 2), "0"), "hex");
export const b64u = (x) => Buffer.from(x).toString("base64url");

function inverse(a, m) {
  let [r0, r1, s0, s1] = [m, ((a % m) + m) % m, 0n, 1n];
  while (r1) {
    const q = r0 / r1;
    [r0, r1, s0, s1] = [r1, r0 - q * r1, s1, s0 - q * s1];
  }
  return ((s0 % m) + m) % m;
}

function prime(rng, bytes) {
  for (;;) {
    const b = rng.bytes(bytes);
    b[0] |= 0xc0;
    b[bytes - 1] |= 1;
    const p = big(b);
    if (p % RSA_E !== 1n && crypto.checkPrimeSync(p)) return p;
  }
}

function rsa(rng, bits) {
  const p = prime(rng, bits / 16), q = prime(rng, bits / 16);
  const d = inverse(RSA_E, (p - 1n) * (q - 1n));
  const part = (n) => b64u(short(n));
  const jwk = { kty: "RSA", n: part(p * q), e: part(RSA_E), d: part(d), p: part(p), q: part(q),
    dp: part(d % (p - 1n)), dq: part(d % (q - 1n)), qi: part(inverse(q, p)) };
  const { kty, n, e } = jwk;
  return { type: "RSA", size: bits / 8, key: crypto.createPrivateKey({ key: jwk, format: "jwk" }), jwk: { kty, n, e } };
}

function point(scalar) {
  const ecdh = crypto.createECDH("prime256v1");
  ecdh.setPrivateKey(bytesOf(scalar, 32));
  const at = ecdh.getPublicKey();
  return { x: at.subarray(1, 33), y: at.subarray(33, 65) };
}

const scalar = (rng) => (big(rng.bytes(40)) % (P256_ORDER - 1n)) + 1n;

function ec(rng) {
  const d = scalar(rng), { x, y } = point(d);
  return { type: "EC", d, jwk: { kty: "EC", crv: "P-256", x: b64u(x), y: b64u(y) } };
}

function ed25519(rng) {
  const head = Buffer.from("302e020100300506032b657004220420", "hex"); // PKCS #8 of a 32-byte seed
  const key = crypto.createPrivateKey({ key: Buffer.concat([head, rng.bytes(32)]), format: "der", type: "pkcs8" });
  const { kty, crv, x } = crypto.createPublicKey(key).export({ format: "jwk" });
  return { type: "OKP", key, jwk: { kty, crv, x } };
}

function oct(rng, length) {
  const secret = rng.bytes(length);
  return { type: "oct", secret, jwk: { kty: "oct", k: b64u(secret) } };
}

export const make = { rsa, ec, ed25519, oct };

export const pemOf = (k) => crypto.createPublicKey({ key: k.jwk, format: "jwk" }).export({ format: "pem", type: "spki" });

function mgf1(seed, length) {
  const parts = [];
  for (let i = 0; parts.length * 32 < length; i++)
    parts.push(crypto.createHash("sha256").update(seed).update(bytesOf(BigInt(i), 4)).digest());
  return Buffer.concat(parts).subarray(0, length);
}

function pss(rng, k, input, saltLength) {
  const hash = crypto.createHash("sha256").update(input).digest(), salt = rng.bytes(saltLength);
  const h = crypto.createHash("sha256").update(Buffer.alloc(8)).update(hash).update(salt).digest();
  const db = Buffer.concat([Buffer.alloc(k.size - saltLength - 34), Buffer.from([1]), salt]);
  const mask = mgf1(h, db.length);
  for (let i = 0; i < db.length; i++) db[i] ^= mask[i];
  db[0] &= 0x7f;
  const em = Buffer.concat([db, h, Buffer.from([0xbc])]);
  return crypto.privateEncrypt({ key: k.key, padding: crypto.constants.RSA_NO_PADDING }, em);
}

function ecdsa(rng, k, input) {
  const z = big(crypto.createHash("sha256").update(input).digest());
  for (;;) {
    const nonce = scalar(rng), r = big(point(nonce).x) % P256_ORDER;
    const s = (inverse(nonce, P256_ORDER) * (z + r * k.d)) % P256_ORDER;
    if (r && s) return Buffer.concat([bytesOf(r, 32), bytesOf(s, 32)]);
  }
}

// Signs as the key's type can; `alg` decides between RS256 and PS256 only.
export function sign(rng, k, alg, input, saltLength = 32) {
  switch (k.type) {
    case "oct": return crypto.createHmac("sha256", k.secret).update(input).digest();
    case "EC": return ecdsa(rng, k, input);
    case "OKP": return crypto.sign(null, Buffer.from(input), k.key);
    default: return alg === "PS256" ? pss(rng, k, input, saltLength) : crypto.sign("sha256", Buffer.from(input), k.key);
  }
}

export const order = () => bytesOf(P256_ORDER, 32);
