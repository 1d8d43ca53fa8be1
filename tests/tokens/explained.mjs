// SPDX-License-Identifier: Apache-2.0
//
// explained: where jose and the gateway differ on purpose. A row names what was done to the token,
// jose's word, ours, and the reason. Any other disagreement fails, and so does a row that no token
// of a large enough run needs. All rows are of one direction: jose accepts and we refuse; what we
// accept and jose refuses has no row, and must never have one.
const strict = (why, ours, ...kinds) => kinds.map((kind) => ({ kind, word: "ok", ours, why }));

export const explained = [
  ...strict("RFC 7515 §2: base64url has no padding, no white space, and unused bits are zero; jose drops them", "token_malformed",
    "padding in signature", "white-space in signature", "trailing-bits in signature", "around"),
  ...strict("members that stand twice: jose takes the last, we refuse (RFC 7515 §4 allows both)", "token_malformed",
    "header-duplicate-alg", "header-duplicate-escaped", "header-duplicate-nested", "header-duplicate-other"),
  ...strict("members that stand twice: jose takes the last, we refuse (RFC 7519 §4 allows both)", "bad_claims",
    "payload-duplicate-exp", "payload-duplicate-escaped", "payload-duplicate-nested", "payload-duplicate-other"),
  ...strict("`b64` changes what is signed (RFC 7797): we refuse it whatever it says", "token_unsupported", "header-b64"),
  ...strict("a byte order mark is no JSON (RFC 8259 §8.1); jose drops it", "token_malformed", "header-strange-spaces"),
  ...strict("a byte order mark is no JSON (RFC 8259 §8.1); jose drops it", "bad_claims", "payload-strange-spaces"),
  ...strict("lone surrogates have no UTF-8", "token_malformed", "header-surrogate"),
  ...strict("lone surrogates have no UTF-8", "bad_claims", "payload-surrogate"),
  ...strict("nesting is bounded by 16", "token_malformed", "header-too-deep"),
  ...strict("nesting is bounded by 16", "bad_claims", "payload-too-deep"),
  ...strict("a token has at most 16,384 bytes", "token_malformed", "payload-too-large"),
  ...strict("`kid` is a string (RFC 7515 §4.1.4) of at most 256 bytes without NUL; jose looks at it in key sets only", "token_malformed",
    "kid-no-string", "kid-unknown"),
  ...strict("`typ` is a string (RFC 7515 §4.1.9); jose looks at it only when told to", "token_malformed", "header-typ"),
  ...strict("several keys and a token that names none: jose takes the only one of the algorithm, we guess at nothing", "bad_signature",
    "kid-missing"),
  ...strict("the fraction of `exp` is cut off, so that a token ends in its last whole second", "token_expired", "claim-exp-fraction"),
  ...strict("dates are plain seconds up to the year 9999: no sign, no exponent, no milliseconds", "bad_claims",
    "claim-exponent", "claim-negative", "claim-milliseconds"),
  ...strict("the form of claims that the gateway reads and jose does not", "bad_claims",
    "claim-sub-form", "claim-jti-form", "claim-tenant-form", "claim-scope-form", "claim-accounts-form", "claim-details-form"),
  ...strict("a token that grants nothing here is refused", "no_grant", "claim-scope-none"),
];
