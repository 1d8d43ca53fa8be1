/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto: hides OpenSSL's MAC, digest and randomness from everybody, the rest of the auth room
 * included (its keys and signatures are hidden by public_key.c and signature.c). Any thread: what was
 * fetched is shared and immutable, a MAC's context is its thread's own. A library failure never turns
 * into "valid": it is false where the caller can refuse, and ends the process where it cannot.
 */
#include "crypto.h"

#include "bgw/assert.h"
#include "bgw/auth.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MAC *hmac; /* any thread: immutable once fetched; lives as long as the process */
static EVP_MD *sha1;  /* the same */
static pthread_key_t kept;
static bool keeps; /* contexts, until their thread ends */

static void forget(void *ctx)
{
    EVP_MAC_CTX_free(ctx);
}

static void prepare(void)
{
    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
    keeps = pthread_key_create(&kept, forget) == 0;
}

static EVP_MAC_CTX *make_context(void)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_CTX *ctx = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    if (ctx && EVP_MAC_CTX_set_params(ctx, params) == 1)
        return ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

static bool compute(EVP_MAC_CTX *ctx, struct bgw_slice key, struct bgw_slice bytes, uint8_t out[BGW_HS256_LEN])
{
    size_t len = 0;
    return EVP_MAC_init(ctx, (const unsigned char *)key.data, key.len, NULL) == 1 &&
           EVP_MAC_update(ctx, (const unsigned char *)bytes.data, bytes.len) == 1 &&
           EVP_MAC_final(ctx, out, &len, BGW_HS256_LEN) == 1 && len == BGW_HS256_LEN;
}

/* Finding the digest by its name costs more than the MAC of a token: a thread's context keeps it, and the last key until the next. */
static EVP_MAC_CTX *own_context(void)
{
    pthread_once(&once, prepare);
    EVP_MAC_CTX *ctx = keeps ? pthread_getspecific(kept) : NULL;
    if (ctx || !keeps)
        return ctx;
    ctx = make_context();
    if (!ctx || pthread_setspecific(kept, ctx) == 0)
        return ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

bool bgw_crypto_hs256(struct bgw_slice key, struct bgw_slice bytes, uint8_t out[BGW_HS256_LEN])
{
    EVP_MAC_CTX *ctx = own_context();
    if (!ctx)
        return false;
    if (compute(ctx, key, bytes, out))
        return true;
    (void)pthread_setspecific(kept, NULL); /* whatever state it is in */
    EVP_MAC_CTX_free(ctx);
    return false;
}

bool bgw_crypto_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

void bgw_crypto_wipe(void *bytes, size_t len)
{
    OPENSSL_cleanse(bytes, len);
}

void bgw_auth_mac(const uint8_t key[32], struct bgw_slice bytes, uint8_t out[32])
{
    /* An uninitialised MAC would be a forgeable one: without memory for it there is no going on. */
    BGW_ASSERT(bgw_crypto_hs256(bgw_slice_of((const char *)key, 32), bytes, out));
}

void bgw_auth_derive(struct bgw_slice secret, const char *purpose, uint8_t out[32])
{
    BGW_ASSERT(bgw_crypto_hs256(secret, bgw_slice_str(purpose), out));
}

void bgw_auth_sha1(struct bgw_slice bytes, uint8_t out[20])
{
    unsigned len = 0;
    pthread_once(&once, prepare);
    BGW_ASSERT(sha1 && EVP_Digest(bytes.data, bytes.len, out, &len, sha1, NULL) == 1 && len == 20);
}

void bgw_auth_random(uint8_t *out, size_t len)
{
    BGW_ASSERT(len <= INT_MAX && RAND_bytes(out, (int)len) == 1);
}
