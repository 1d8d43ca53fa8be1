// SPDX-License-Identifier: Apache-2.0
//
// mutate: tokens that somebody hostile, careless or merely unusual could send. Each maker returns
// [kind, token]: the kind names what was done, so that a disagreement can be explained by name.
// What is changed behind the signature is signed anew: only so the reading of it is put to the test.
import { b64u, order, sign } from "./issuer.mjs";

export const NOW = 1800000000;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
export const ALGS = ["HS256", "RS256", "PS256", "ES256", "EdDSA"];
const OTHER_ALGS = ["none", "None", "NONE", "nOnE", "", "HS384", "HS512", "RS384", "RS512", "PS384", "PS512", "ES384",
  "ES512", "ES256K", "Ed25519", "Ed448", "hs256", "HS256 ", " HS256", "HS 256", "dir", "RSA-OAEP", "A256GCM", "RSA1_5"];

const payloadOf = (rng, p) => ({
  exp: NOW + 1 + rng.below(100000),
  sub: "user-" + rng.below(1000),
  scope: "openid accounts.read",
  accounts: ["acc-" + rng.below(1000), "acc-" + rng.below(1000)],
  ...(rng.below(2) ? { iat: NOW - rng.below(1000) } : {}),
  ...(rng.below(3) ? {} : { nbf: NOW - rng.below(1000) }),
  ...(rng.below(3) ? {} : { jti: b64u(rng.bytes(6)) }),
  ...(rng.below(4) ? {} : { name: "Ada ☃ \u{1f600} \\ \" /" }),
  ...(p.issuer ? { iss: p.issuer } : {}),
  ...(p.audience ? { aud: rng.below(2) ? p.audience : ["x", p.audience] } : {}),
});

const headerOf = (rng, s) => ({
  alg: s.alg,
  ...(s.kid !== undefined ? { kid: s.kid } : {}),
  ...(rng.below(2) ? { typ: rng.pick(["JWT", "at+jwt", "JOSE"]) } : {}),
});

// `header` and `payload` are texts or bytes; `s` is a signer: { k, alg, kid }.
function signed(rng, s, header, payload) {
  const input = b64u(header) + "." + b64u(payload);
  return input + "." + b64u(sign(rng, s.k, s.alg, input));
}

function good(rng, p) {
  const s = rng.pick(p.signers);
  return { s, token: signed(rng, s, JSON.stringify(headerOf(rng, s)), JSON.stringify(payloadOf(rng, p))) };
}

const splice = (text, at, drop, put) => text.slice(0, at) + put + text.slice(at + drop);

// ---- the form ----

function withPart(rng, token, which, change) {
  const parts = token.split(".");
  const i = ["header", "payload", "signature"].indexOf(which);
  parts[i] = change(parts[i]);
  return parts.join(".");
}

// The last character, with the same significant bits and others that should be zero.
function trailingBits(rng, part) {
  const spare = { 2: 4, 3: 2 }[part.length % 4];
  if (!spare) return part + "A";
  const value = ALPHABET.indexOf(part.at(-1));
  return part.slice(0, -1) + ALPHABET[value ^ (1 + rng.below((1 << spare) - 1))];
}

const IN_A_PART = {
  "trailing-bits": trailingBits,
  "padding": (rng, part) => part + "=".repeat((4 - (part.length % 4)) % 4 || 1 + rng.below(2)),
  "too-much-padding": (rng, part) => part + "=".repeat(3 + rng.below(3)),
  "white-space": (rng, part) => splice(part, rng.below(part.length + 1), 0, rng.pick([" ", "\n", "\t", "\r\n", "\f", "\v"])),
  "standard-alphabet": (rng, part) => part.replace(/[-_]/, (c) => (c === "-" ? "+" : "/")) ,
  "foreign-character": (rng, part) => splice(part, rng.below(part.length + 1), 0, rng.pick(["?", "%", "\0", "é", "Ａ", "\u200b", "\ufeff", "*", ",", "~"])),
  "percent": (rng, part) => splice(part, rng.below(part.length), 1, "%41"),
  "emptied": () => "",
  "doubled": (rng, part) => part + part,
  "shortened": (rng, part) => part.slice(0, rng.below(part.length)),
  "lengthened": (rng, part) => part + ALPHABET[rng.below(64)].repeat(1 + rng.below(8)),
};

// A change of the last character alone may be one of its unused bits by chance.
function changed(kind, token, now) {
  const [was, is] = [token, now].map((t) => Buffer.from(t.slice(t.lastIndexOf(".") + 1), "base64url"));
  return [token.slice(0, -1) === now.slice(0, -1) && was.equals(is) ? (token === now ? "good" : "trailing-bits in signature") : kind, now];
}

function form(rng, p) {
  const { token } = good(rng, p), at = rng.below(token.length), dots = token.split(".");
  switch (rng.below(13)) {
    case 0: return changed("bit", token, splice(token, at, 1, String.fromCharCode(token.charCodeAt(at) ^ (1 << rng.below(8)))));
    case 1: return changed("character", token, splice(token, at, 1, ALPHABET[rng.below(64)]));
    case 2: return ["character-dropped", splice(token, at, 1, "")];
    case 3: return ["character-added", splice(token, at, 0, ALPHABET[rng.below(64)])];
    case 4: return ["cut", token.slice(0, at)];
    case 5: return ["around", rng.pick([" " + token, token + " ", token + "\n", "\ufeff" + token, "Bearer " + token, `"${token}"`, token + "\0"])];
    case 6: return ["dots", rng.pick([token + ".", "." + token, token.replace(".", ".."), token.replace(".", ""), token + "." + dots[2], dots[0] + "." + dots[1], ".."])];
    case 7: return ["order", rng.pick([[1, 0, 2], [0, 2, 1], [2, 1, 0], [0, 0, 2], [0, 1, 1]]).map((i) => dots[i]).join(".")];
    case 8: {
      const other = good(rng, p).token.split("."), i = rng.below(3);
      return ["part-of-another", dots.map((part, j) => (i === j ? other[j] : part)).join(".")];
    }
    default: {
      const kind = rng.pick(Object.keys(IN_A_PART)), which = rng.pick(["header", "payload", "signature", "signature"]);
      return [`${kind} in ${which}`, withPart(rng, token, which, (part) => IN_A_PART[kind](rng, part))];
    }
  }
}

// ---- signatures ----

function signature(rng, p) {
  const { s, token } = good(rng, p), [h, b, g] = token.split("."), raw = Buffer.from(g, "base64url");
  const put = (kind, bytes) => ["signature-" + kind, `${h}.${b}.${b64u(bytes)}`];
  switch (rng.below(9)) {
    case 0: return put("zero", Buffer.alloc(raw.length));
    case 1: return put("ones", Buffer.alloc(raw.length, 0xff));
    case 2: return put("leading-zero", Buffer.concat([Buffer.alloc(1 + rng.below(2)), raw]));
    case 3: return put("trailing-zero", Buffer.concat([raw, Buffer.alloc(1 + rng.below(2))]));
    case 4: return put("random", rng.bytes(rng.pick([raw.length, 1, 31, 32, 33, 63, 64, 65, 128, 256, 512])));
    case 5: return put("halves-swapped", Buffer.concat([raw.subarray(raw.length / 2), raw.subarray(0, raw.length / 2)]));
    case 6: {
      const values = [Buffer.alloc(32), bytes1(), order(), Buffer.alloc(32, 0xff), raw.subarray(0, 32)];
      return put("edge-halves", Buffer.concat([rng.pick(values), rng.pick(values)]));
    }
    case 7:
      if (s.k.type === "EC") return put("der", der(raw));
      if (s.alg === "PS256") return put("salt", sign(rng, s.k, s.alg, `${h}.${b}`, rng.pick([0, 1, 20, 31, 33, 64, 222])));
      if (s.k.type === "RSA") return put("other-rsa-scheme", sign(rng, s.k, s.alg === "RS256" ? "PS256" : "RS256", `${h}.${b}`));
      return put("reversed", Buffer.from(raw).reverse());
    default: return put("of-payload-alone", sign(rng, s.k, s.alg, b));
  }
}

const bytes1 = () => Buffer.concat([Buffer.alloc(31), Buffer.from([1])]);

function der(raw) {
  const int = (b) => Buffer.concat([Buffer.from([2, 33, 0]), b]);
  const body = Buffer.concat([int(raw.subarray(0, 32)), int(raw.subarray(32))]);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]);
}

// ---- keys that are not the token's ----

function keys(rng, p) {
  const s = rng.pick(p.signers), header = { ...headerOf(rng, s) }, payload = JSON.stringify(payloadOf(rng, p));
  const token = (signer) => signed(rng, signer, JSON.stringify(header), payload);
  const h = (change) => Object.assign(header, change);
  switch (rng.below(9)) {
    case 0: return ["key-of-somebody-else", token({ ...s, k: p.strangers[s.k.type] })];
    case 1: return h({ alg: rng.pick(ALGS) }), ["alg-swapped", token(s)];
    case 2: return h({ alg: rng.pick(OTHER_ALGS) }), ["alg-foreign", rng.below(2) ? token(s) : token(s).replace(/[^.]*$/, "")];
    case 3: { // the public key's text as the secret of HS256
      h({ alg: "HS256" });
      const text = rng.pick(p.confusions);
      return ["alg-confusion", token({ k: { type: "oct", secret: Buffer.from(text) } })];
    }
    case 4: {
      const kid = s.kid ?? "k1", near = [kid + "x", kid + " ", " " + kid, kid + kid, kid[0], kid.toUpperCase(), kid + "\u0301", "ｋ1"];
      h({ kid: rng.pick([rng.pick(near), rng.pick(["", "no-such-key", "../../k1", kid + "\0", "k".repeat(256), "k".repeat(300)])]) });
      return ["kid-unknown", token(s)];
    }
    case 5: return h({ kid: rng.pick([null, 1, true, [], ["k1"], {}]) }), ["kid-no-string", token(s)];
    case 6: return delete header.kid, ["kid-missing", token(s)];
    case 7: return h({ kid: rng.pick(p.signers).kid }), ["kid-of-another", token(s)];
    default: {
      const k = p.strangers[s.k.type];
      h({ jwk: k.jwk, jku: "https://evil.example/keys", x5u: "https://evil.example/x", x5c: ["AAAA"] });
      return ["key-in-header", token({ ...s, k })];
    }
  }
}

// ---- headers ----

const DEEP = (n) => "[".repeat(n) + "]".repeat(n);

function header(rng, p) {
  const s = rng.pick(p.signers), payload = JSON.stringify(payloadOf(rng, p)), base = headerOf(rng, s);
  const text = JSON.stringify(base), inside = text.slice(1, -1);
  const rows = [
    ["header-extra", () => JSON.stringify({ ...base, x: rng.pick([1, "y", { z: [null, true] }, [], 1.5e300]) })],
    ["header-known-extra", () => JSON.stringify({ ...base, cty: "JWT", x5t: "AAAA", jku: "https://a.example/" })],
    ["header-crit", () => JSON.stringify({ ...base, exp: 1, crit: rng.pick([["exp"], ["x"], [], [""], "exp", {}, null, [1], ["alg"], ["exp", "exp"]]) })],
    ["header-b64", () => JSON.stringify({ ...base, b64: rng.pick([true, false, null, "true"]), ...(rng.below(2) ? { crit: ["b64"] } : {}) })],
    ["header-typ", () => JSON.stringify({ ...base, typ: rng.pick([1, null, [], {}, true]) })],
    ["header-typ-text", () => JSON.stringify({ ...base, typ: rng.pick(["", "jwt", "application/jwt", "x".repeat(1000)]) })],
    ["header-alg-no-string", () => JSON.stringify({ ...base, alg: rng.pick([null, 1, [s.alg], {}, true]) })],
    ["header-alg-missing", () => JSON.stringify({ ...base, alg: undefined })],
    ["header-alg-name", () => text.replace('"alg"', rng.pick(['"ALG"', '"Alg"', '"alg "', '"algorithm"']))],
    ["header-escapes", () => text.replace('"alg"', '"\\u0061lg"').replace('"typ"', '"\\u0074yp"')],
    ["header-duplicate-alg", () => rng.below(2) ? `{"alg":"none",${inside}}` : `{${inside},"alg":"${s.alg}"}`],
    ["header-duplicate-escaped", () => `{"al\\u0067":"none",${inside}}`],
    ["header-duplicate-other", () => `{${inside},"x":1,"x":1}`],
    ["header-duplicate-nested", () => `{${inside},"x":{"y":1,"y":2}}`],
    ["header-spaces", () => rng.pick([` ${text}`, `${text}\n`, `{ ${inside} }`, `\t{\r\n${inside}\n}`])],
    ["header-strange-spaces", () => rng.pick(["\u00a0", "\ufeff", "\u2028", "\f", "\v", "\0"]) + text],
    ["header-comma", () => rng.pick([`{${inside},}`, `{,${inside}}`, `{${inside},,"x":1}`])],
    ["header-comment", () => rng.pick([`{/**/${inside}}`, `{${inside}}//`, `{${inside}#\n}`])],
    ["header-quotes", () => text.replaceAll('"', "'")],
    ["header-after", () => text + rng.pick(["x", "{}", "]", ",", "\0", "null"])],
    ["header-kind", () => rng.pick(["null", "true", "1", `"${s.alg}"`, `[${text}]`, "[]", "{}", ""])],
    ["header-cut", () => text.slice(0, rng.below(text.length))],
    ["header-number", () => `{${inside},"x":${rng.pick(["01", "+1", "1.", ".5", "0x1", "NaN", "Infinity", "-", "1e", "--1"])}}`],
    ["header-depth", () => `{${inside},"x":${DEEP(rng.pick([13, 14]))}}`],
    ["header-too-deep", () => `{${inside},"x":${DEEP(rng.pick([17, 30, 1000]))}}`],
    ["header-surrogate", () => `{${inside},"x":"${rng.pick(["\\ud800", "\\udc00", "\\ud800\\ud800", "\\ud83d"])}"}`],
    ["header-bad-escape", () => `{${inside},"x":"${rng.pick(["\\x41", "\\u12", "\\'", "\\0", "\\a"])}"}`],
    ["header-control", () => `{${inside},"x":"a${rng.pick(["\n", "\t", "\0", "\x1f"])}b"}`],
    ["header-bytes", () => Buffer.concat([Buffer.from(`{${inside},"x":"`), rng.pick([[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]]), Buffer.from('"}')].map((x) => Buffer.from(x)))],
    ["header-proto", () => `{${inside},"__proto__":{"alg":"none"},"constructor":1}`],
    ["header-large", () => JSON.stringify({ ...base, x: "y".repeat(2000) })],
    ["header-many", () => `{${inside},${Array.from({ length: 300 }, (_, i) => `"m${i}":${i}`).join()}}`],
  ];
  const [kind, make] = rng.pick(rows);
  return [kind, signed(rng, s, make(), payload)];
}

// ---- claims ----

const TIMES_ROUND = [-100000, -31, -30, -29, -2, -1, 0, 1, 2, 29, 30, 31, 100000];
const NO_DATES = ['"1800009999"', "null", "[]", "{}", "true", '""', '"soon"'];

function claims(rng, p) {
  const s = rng.pick(p.signers), base = payloadOf(rng, p), text = JSON.stringify(base), inside = text.slice(1, -1);
  const raw = (name, value) => JSON.stringify({ ...base, [name]: "@" }).replace('"@"', () => value);
  const set = (change) => JSON.stringify({ ...base, ...change });
  const later = String(NOW + 5000);
  const rows = [
    ["claim-exp-edge", () => set({ exp: NOW + rng.pick(TIMES_ROUND) })],
    ["claim-nbf-edge", () => set({ nbf: NOW + rng.pick(TIMES_ROUND) })],
    ["claim-iat-edge", () => set({ iat: NOW + rng.pick(TIMES_ROUND) })],
    ["claim-exp-fraction", () => raw("exp", NOW + rng.pick([-1, 0, 1, 5]) + rng.pick([".5", ".0", ".999999", ".000"]))],
    ["claim-nbf-fraction", () => raw("nbf", NOW + rng.pick([-1, 0, 1, 5]) + rng.pick([".5", ".0", ".999999"]))],
    ["claim-exponent", () => raw(rng.pick(["exp", "iat", "nbf"]), rng.pick(["1.8e9", "2e9", "18E8", "1800005000e0"]))],
    ["claim-negative", () => raw(rng.pick(["exp", "iat", "nbf"]), rng.pick(["-1", "-0", "-1800009999"]))],
    ["claim-milliseconds", () => raw("exp", rng.pick(["1800005000000", "253402300800", "99999999999999999999", "1e400"]))],
    ["claim-far", () => raw("exp", "253402300799")],
    ["claim-no-date", () => raw(rng.pick(["exp", "nbf", "iat"]), rng.pick(NO_DATES))],
    ["claim-exp-missing", () => set({ exp: undefined })],
    ["claim-sub-missing", () => set({ sub: undefined })],
    ["claim-sub-form", () => raw("sub", rng.pick(["null", "1", "[]", '""', "{}", '["user-1"]', `"${"u".repeat(257)}"`, '"a\\u0000b"']))],
    ["claim-jti-form", () => raw("jti", rng.pick(["null", "1", '""', `"${"j".repeat(1025)}"`]))],
    ["claim-tenant-form", () => raw("tenant", rng.pick(["null", "1", '""', '"a b"', '"é"', `"${"t".repeat(51)}"`]))],
    ["claim-tenant", () => set({ tenant: "bank_b" })],
    ["claim-iss", () => raw("iss", rng.pick(["null", '"https://other.example"', '["https://id.example"]', '"https://id.example/"', '"HTTPS://id.example"', '""']))],
    ["claim-iss-escaped", () => raw("iss", '"https:\\/\\/id.\\u0065xample"')],
    ["claim-aud", () => raw("aud", rng.pick(["null", '"x"', '["x"]', "[]", '{"bgw":1}', '"bgw "', '["bgw",1]', "1"]))],
    ["claim-party-missing", () => set(rng.below(2) ? { iss: undefined } : { aud: undefined })],
    ["claim-scope-none", () => set({ scope: rng.pick([undefined, "", "openid", "accounts.readx", "accounts.read,x"]), accounts: undefined })],
    ["claim-scope-form", () => raw("scope", rng.pick(["1", "null", "{}", '[1,"accounts.read"]']))],
    ["claim-scope-array", () => set({ scope: ["openid", "accounts.read"] })],
    ["claim-accounts-form", () => raw("accounts", rng.pick(["null", '"A"', "{}", "[1]", '["a b"]', '[""]', '["é"]', `["${"a".repeat(65)}"]`]))],
    ["claim-details", () => set({ scope: "", authorization_details: [{ type: "account_balance", actions: ["read"], identifiers: ["A"] }] })],
    ["claim-details-form", () => set({ authorization_details: rng.pick([{}, [1], [{}], [{ type: "account_balance", actions: "read" }], [{ type: "account_balance", actions: ["read"], identifiers: [""] }]]) })],
    ["payload-duplicate-exp", () => rng.below(2) ? `{"exp":${later},${inside}}` : `{${inside},"exp":${later}}`],
    ["payload-duplicate-escaped", () => `{${inside},"s\\u0075b":"root"}`],
    ["payload-duplicate-other", () => `{${inside},"x":1,"x":1}`],
    ["payload-duplicate-nested", () => `{${inside},"x":[{"y":1,"y":2}]}`],
    ["payload-spaces", () => rng.pick([` ${text}`, `${text}\n`, `{ ${inside} }`])],
    ["payload-strange-spaces", () => rng.pick(["\u00a0", "\ufeff", "\u2028", "\f"]) + text],
    ["payload-kind", () => rng.pick(["null", "true", "1", '"a"', `[${text}]`, "[]", "{}", "", `"${text.replaceAll('"', '\\"')}"`])],
    ["payload-comma", () => `{${inside},}`],
    ["payload-after", () => text + rng.pick(["x", "{}", ",", "\0"])],
    ["payload-cut", () => text.slice(0, rng.below(text.length))],
    ["payload-number", () => `{${inside},"x":${rng.pick(["01", "+1", "1.", ".5", "NaN", "-", "1e"])}}`],
    ["payload-surrogate", () => `{${inside},"x":"${rng.pick(["\\ud800", "\\udc00x"])}"}`],
    ["payload-bytes", () => Buffer.concat([Buffer.from(`{${inside},"x":"`), Buffer.from(rng.pick([[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80]])), Buffer.from('"}')])],
    ["payload-too-deep", () => `{${inside},"x":${DEEP(rng.pick([17, 40]))}}`],
    ["payload-depth", () => `{${inside},"x":${DEEP(14)}}`],
    ["payload-many", () => `{${inside},"x":{${Array.from({ length: 200 }, (_, i) => `"m${i}":${i}`).join()}}}`],
    ["payload-nested-token", () => JSON.stringify({ ...base, jwt: signed(rng, s, JSON.stringify(headerOf(rng, s)), text) })],
    ["payload-is-a-token", () => signed(rng, s, JSON.stringify(headerOf(rng, s)), text)],
    ["payload-large", () => set({ x: "y".repeat(9000) })],
    ["payload-too-large", () => set({ x: "y".repeat(13000) })],
  ];
  const [kind, make] = rng.pick(rows);
  return [kind, signed(rng, s, JSON.stringify(headerOf(rng, s)), make())];
}

function plain(rng, p) {
  return ["good", good(rng, p).token];
}

const MAKERS = [plain, plain, form, form, form, form, signature, signature, keys, keys, keys, header, header, header, claims, claims, claims, claims];

export const mutate = (rng, p) => rng.pick(MAKERS)(rng, p);
