/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signer: what an issuer does, for tests: makes keys, signs compact tokens with them, and writes
 * the public halves as JWK and PEM. Uses OpenSSL's signing side, of which the gateway has nothing.
 */
#ifndef BGW_TEST_SIGNER_H
#define BGW_TEST_SIGNER_H

#include "bgw/base64.h"
#include "bgw/buf.h"

#include "../test.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

static inline EVP_PKEY *make_rsa(size_t bits)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", bits);
    CHECK(key != NULL);
    return key;
}

static inline EVP_PKEY *make_ec(const char *curve)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", curve);
    CHECK(key != NULL);
    return key;
}

static inline EVP_PKEY *make_ed25519(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    CHECK(key != NULL);
    return key;
}

static inline void put_base64(struct bgw_buf *out, const uint8_t *bytes, size_t len)
{
    char *to = bgw_buf_reserve(out, BGW_BASE64_LEN(len) + 1);
    CHECK(to != NULL);
    out->len += bgw_base64url_encode(bytes, len, to);
}

/* DER to r and s of 32 bytes each. */
static inline size_t raw_ecdsa(uint8_t *signature, size_t len)
{
    const unsigned char *at = signature;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    uint8_t raw[64];
    CHECK(sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32) == 32 &&
          BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32) == 32);
    ECDSA_SIG_free(sig);
    memcpy(signature, raw, sizeof(raw));
    return sizeof(raw);
}

/* Signs `input` as `alg` would; the salt of PS256 can be another one. */
static inline size_t sign_bytes(EVP_PKEY *key, const char *alg, int salt, struct bgw_slice input, uint8_t out[1024])
{
    EVP_PKEY_CTX *params = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = 1024;
    const char *digest = strcmp(alg, "EdDSA") == 0 ? NULL : "SHA256";
    CHECK(EVP_DigestSignInit_ex(ctx, &params, digest, NULL, NULL, key, NULL) == 1);
    if (strcmp(alg, "PS256") == 0)
        CHECK(EVP_PKEY_CTX_set_rsa_padding(params, RSA_PKCS1_PSS_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_pss_saltlen(params, salt) == 1);
    CHECK(EVP_DigestSign(ctx, out, &len, (const unsigned char *)input.data, input.len) == 1);
    EVP_MD_CTX_free(ctx);
    return strcmp(alg, "ES256") == 0 ? raw_ecdsa(out, len) : len;
}

/* header.payload.signature; the header says `alg` and, unless NULL, `kid`. */
static inline void sign_token(struct bgw_buf *out, EVP_PKEY *key, const char *alg, const char *kid,
                              const char *payload)
{
    char header[512];
    uint8_t signature[1024];
    if (kid)
        snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"%s\"}", alg, kid);
    else
        snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", alg);
    bgw_buf_init(out, 65536);
    put_base64(out, (const uint8_t *)header, strlen(header));
    bgw_buf_append_byte(out, '.');
    put_base64(out, (const uint8_t *)payload, strlen(payload));
    size_t len = sign_bytes(key, alg, 32, bgw_buf_slice(out), signature);
    bgw_buf_append_byte(out, '.');
    put_base64(out, signature, len);
}

static inline void put_number(struct bgw_buf *out, const char *name, EVP_PKEY *key, const char *param, int pad)
{
    BIGNUM *n = NULL;
    uint8_t bytes[2048];
    CHECK(EVP_PKEY_get_bn_param(key, param, &n) == 1);
    int len = pad ? BN_bn2binpad(n, bytes, pad) : BN_bn2bin(n, bytes);
    BN_free(n);
    bgw_buf_appendf(out, ",\"%s\":\"", name);
    put_base64(out, bytes, (size_t)len);
    bgw_buf_append_byte(out, '"');
}

/* {"kty":…,…} with `more` ("" or `,"kid":"k"`) at its end. */
static inline void put_jwk(struct bgw_buf *out, EVP_PKEY *key, const char *more)
{
    if (EVP_PKEY_is_a(key, "RSA")) {
        bgw_buf_append_str(out, "{\"kty\":\"RSA\"");
        put_number(out, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
        put_number(out, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
    } else if (EVP_PKEY_is_a(key, "EC")) {
        bgw_buf_append_str(out, "{\"kty\":\"EC\",\"crv\":\"P-256\"");
        put_number(out, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, 32);
        put_number(out, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
    } else {
        uint8_t x[32];
        size_t len = sizeof(x);
        CHECK(EVP_PKEY_get_raw_public_key(key, x, &len) == 1 && len == sizeof(x));
        bgw_buf_append_str(out, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
        put_base64(out, x, sizeof(x));
        bgw_buf_append_byte(out, '"');
    }
    bgw_buf_append_str(out, more);
    bgw_buf_append_byte(out, '}');
}

/* A PEM text with a NUL at its end, in `out`. */
static inline void take_bio(BIO *bio, char *out, size_t cap)
{
    int len = BIO_read(bio, out, (int)cap - 1);
    CHECK(len > 0);
    out[len > 0 ? len : 0] = '\0';
    BIO_free(bio);
}

static inline void put_pem(char *out, size_t cap, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK(PEM_write_bio_PUBKEY(bio, key) == 1);
    take_bio(bio, out, cap);
}

#endif
