/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signature: hides how OpenSSL is asked whether a signature matches. The caller has bound the
 * algorithm to the key; here it is only spelled out, with no parameter taken from a token. Called
 * on shard threads; contexts live for one call. Whatever fails is "does not match", and leaves no
 * error behind: SSL_get_error on the same thread would take it for its connection's.
 */
#include "public_key.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#define DER_INTEGER 0x02
#define DER_SEQUENCE 0x30
#define DER_MAX (2 + 2 * (2 + 1 + BGW_EC_PART_LEN))

/* One half of a raw ECDSA signature as the shortest INTEGER. Returns the bytes written. */
static size_t der_integer(const uint8_t part[BGW_EC_PART_LEN], uint8_t *out)
{
    size_t skip = 0;
    while (skip < BGW_EC_PART_LEN - 1 && part[skip] == 0)
        skip++;
    size_t sign = part[skip] >> 7, len = BGW_EC_PART_LEN - skip;
    out[0] = DER_INTEGER;
    out[1] = (uint8_t)(len + sign);
    out[2] = 0;
    memcpy(out + 2 + sign, part + skip, len);
    return 2 + sign + len;
}

/* RFC 7518 §3.4 writes r and s side by side; OpenSSL wants them in DER, and checks their range. */
static size_t der_of(const uint8_t raw[BGW_EC_SIGNATURE_LEN], uint8_t out[DER_MAX])
{
    size_t len = der_integer(raw, out + 2);
    len += der_integer(raw + BGW_EC_PART_LEN, out + 2 + len);
    out[0] = DER_SEQUENCE;
    out[1] = (uint8_t)len;
    return len + 2;
}

/* RFC 7518 §3.5: MGF1 with the same hash, a salt as long as the hash, nothing else. */
static bool set_pss(EVP_PKEY_CTX *ctx)
{
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static bool verify(EVP_MD_CTX *ctx, EVP_PKEY *pkey, enum bgw_alg alg, struct bgw_slice input,
                   struct bgw_slice signature)
{
    EVP_PKEY_CTX *params = NULL; /* the context's */
    const char *digest = alg == BGW_ALG_EDDSA ? NULL : "SHA256";
    if (EVP_DigestVerifyInit_ex(ctx, &params, digest, NULL, NULL, pkey, NULL) != 1)
        return false;
    if (alg == BGW_ALG_RS256 && EVP_PKEY_CTX_set_rsa_padding(params, RSA_PKCS1_PADDING) != 1)
        return false;
    if (alg == BGW_ALG_PS256 && !set_pss(params))
        return false;
    uint8_t der[DER_MAX];
    if (alg == BGW_ALG_ES256)
        signature = bgw_slice_of((const char *)der, der_of((const uint8_t *)signature.data, der));
    return EVP_DigestVerify(ctx, (const unsigned char *)signature.data, signature.len,
                            (const unsigned char *)input.data, input.len) == 1;
}

bool bgw_public_key_verify(const struct bgw_public_key *key, enum bgw_alg alg, struct bgw_slice input,
                           struct bgw_slice signature)
{
    EVP_PKEY *pkey = (EVP_PKEY *)(uintptr_t)key; /* OpenSSL knows no const keys; verifying changes none */
    bool is_rsa = alg == BGW_ALG_RS256 || alg == BGW_ALG_PS256;
    size_t len = is_rsa ? (size_t)EVP_PKEY_get_size(pkey) : BGW_EC_SIGNATURE_LEN;
    if (signature.len != len)
        return false;
    ERR_set_mark();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && verify(ctx, pkey, alg, input, signature);
    EVP_MD_CTX_free(ctx);
    ERR_pop_to_mark();
    return ok;
}
