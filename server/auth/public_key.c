/* SPDX-License-Identifier: Apache-2.0 */
/*
 * public_key: hides how OpenSSL makes public keys out of numbers and PEM texts, and which it makes
 * that we do not want: short and endless RSA moduli, exponents that sign nothing or take for ever,
 * moduli of the ROCA kind, points beside the curve. Called on the reader's and the main thread
 * when keys are loaded. A struct bgw_public_key is an EVP_PKEY under another name.
 */
#include "public_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <limits.h>

#define RSA_E_BITS_MAX 64 /* OpenSSL's own limit for moduli above 3,072 bits; nobody's are longer */
#define ROCA_GENERATOR 65537
#define NO_MEMORY "it cannot be held: OpenSSL has no memory left"

static struct bgw_public_key *wrap(EVP_PKEY *pkey)
{
    return (struct bgw_public_key *)pkey;
}

void bgw_public_key_free(struct bgw_public_key *key)
{
    EVP_PKEY_free((EVP_PKEY *)key);
}

/* ---- RSA ---- */

/* Is `residue` a power of the ROCA generator modulo `prime`. */
static bool is_roca_power(unsigned residue, unsigned prime)
{
    unsigned power = 1;
    do {
        if (power == residue)
            return true;
        power = power * (ROCA_GENERATOR % prime) % prime;
    } while (power != 1);
    return false;
}

/*
 * Moduli of Infineon's broken generator (CVE-2017-15361) are a power of 65537 modulo each of the
 * first primes, which one honest modulus in 2^27 is by chance. A divisor among them is worse.
 */
static const char *weak_modulus(const BIGNUM *n)
{
    static const uint8_t primes[] = {3,  5,  7,  11, 13,  17,  19,  23,  29,  31,  37,  41,  43,  47,  53,  59,  61,  67,  71,
                                     73, 79, 83, 89, 97,  101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167};
    bool roca = true;
    for (size_t i = 0; i < sizeof(primes); i++) {
        BN_ULONG residue = BN_mod_word(n, primes[i]);
        if (residue == 0)
            return "it has a modulus with a small divisor";
        roca = roca && is_roca_power((unsigned)residue, primes[i]);
    }
    return roca ? "it comes from a broken generator (ROCA, CVE-2017-15361)" : NULL;
}

/* NULL: fit to check signatures with. */
static const char *rsa_fault(const BIGNUM *n, const BIGNUM *e)
{
    if (BN_num_bits(n) < BGW_RSA_BITS_MIN)
        return "it is RSA of less than 2048 bits";
    if (BN_num_bits(n) > BGW_RSA_BITS_MAX)
        return "it is RSA of more than 8192 bits";
    if (!BN_is_odd(n))
        return "it has an even modulus";
    if (!BN_is_odd(e) || BN_is_one(e))
        return "it has an RSA exponent that is even or 1";
    if (BN_num_bits(e) > RSA_E_BITS_MAX)
        return "it has an RSA exponent of more than 64 bits";
    return weak_modulus(n);
}

/* Takes the parameters over. */
static EVP_PKEY *from_params(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = params ? EVP_PKEY_CTX_new_from_name(NULL, type, NULL) : NULL;
    if (ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return pkey;
}

static EVP_PKEY *rsa_of(const BIGNUM *n, const BIGNUM *e)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    if (bld && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        params = OSSL_PARAM_BLD_to_param(bld);
    OSSL_PARAM_BLD_free(bld);
    return from_params("RSA", params);
}

static BIGNUM *number(struct bgw_slice bytes)
{
    return bytes.len <= INT_MAX ? BN_bin2bn((const unsigned char *)bytes.data, (int)bytes.len, NULL) : NULL;
}

enum bgw_status bgw_public_key_rsa(struct bgw_public_key **out, struct bgw_slice n, struct bgw_slice e,
                                   const char **why)
{
    BIGNUM *modulus = number(n), *exponent = number(e);
    EVP_PKEY *pkey = NULL;
    *why = NO_MEMORY;
    enum bgw_status status = BGW_NO_MEMORY;
    if (modulus && exponent) {
        *why = rsa_fault(modulus, exponent);
        status = *why ? BGW_BAD_VALUE : BGW_OK;
        pkey = *why ? NULL : rsa_of(modulus, exponent);
        if (status == BGW_OK && !pkey)
            status = BGW_NO_MEMORY;
    }
    BN_free(modulus);
    BN_free(exponent);
    if (status != BGW_OK)
        ERR_clear_error();
    *out = wrap(pkey);
    return status;
}

/* ---- curves ---- */

/* Asks OpenSSL whether the point is on the curve and of its order. */
static bool point_fits(EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool ok = ctx && EVP_PKEY_public_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static enum bgw_status checked_point(struct bgw_public_key **out, EVP_PKEY *pkey, const char **why)
{
    if (pkey && point_fits(pkey)) {
        *out = wrap(pkey);
        return BGW_OK;
    }
    ERR_clear_error();
    EVP_PKEY_free(pkey);
    *out = NULL;
    *why = "it is no point on its curve";
    return BGW_BAD_VALUE;
}

enum bgw_status bgw_public_key_p256(struct bgw_public_key **out, const uint8_t x[BGW_EC_PART_LEN],
                                    const uint8_t y[BGW_EC_PART_LEN], const char **why)
{
    uint8_t point[1 + 2 * BGW_EC_PART_LEN] = {POINT_CONVERSION_UNCOMPRESSED};
    memcpy(point + 1, x, BGW_EC_PART_LEN);
    memcpy(point + 1 + BGW_EC_PART_LEN, y, BGW_EC_PART_LEN);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    if (bld && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, SN_X9_62_prime256v1, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)) == 1)
        params = OSSL_PARAM_BLD_to_param(bld);
    OSSL_PARAM_BLD_free(bld);
    return checked_point(out, from_params("EC", params), why);
}

enum bgw_status bgw_public_key_ed25519(struct bgw_public_key **out, const uint8_t x[BGW_EC_PART_LEN],
                                       const char **why)
{
    return checked_point(out, EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x, BGW_EC_PART_LEN), why);
}

/* ---- PEM ---- */

static const char *rsa_key_fault(EVP_PKEY *pkey)
{
    BIGNUM *n = NULL, *e = NULL;
    const char *why = NO_MEMORY;
    if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1)
        why = rsa_fault(n, e);
    BN_free(n);
    BN_free(e);
    return why;
}

static const char *key_fault(EVP_PKEY *pkey, enum bgw_key_type *type)
{
    char group[32] = "";
    size_t len = 0;
    if (EVP_PKEY_is_a(pkey, "RSA")) {
        *type = BGW_KEY_RSA;
        return rsa_key_fault(pkey);
    }
    if (EVP_PKEY_is_a(pkey, "EC")) {
        *type = BGW_KEY_P256;
        if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), &len) != 1 || strcmp(group, SN_X9_62_prime256v1) != 0)
            return "it is on another curve than P-256";
        return point_fits(pkey) ? NULL : "it is no point on its curve";
    }
    *type = BGW_KEY_ED25519;
    return EVP_PKEY_is_a(pkey, "ED25519") ? NULL : "it is neither RSA nor P-256 nor Ed25519";
}

static EVP_PKEY *key_in_block(const char *name, const unsigned char *der, long len)
{
    const unsigned char *at = der;
    EVP_PKEY *pkey = NULL;
    if (strcmp(name, PEM_STRING_PUBLIC) == 0) {
        pkey = d2i_PUBKEY_ex(NULL, &at, len, NULL, NULL);
    } else {
        X509 *certificate = d2i_X509(NULL, &at, len);
        pkey = certificate ? X509_get_pubkey(certificate) : NULL;
        X509_free(certificate);
    }
    if (pkey && at == der + len)
        return pkey;
    EVP_PKEY_free(pkey);
    return NULL;
}

static const char *read_block(BIO *bio, EVP_PKEY **out, enum bgw_key_type *type)
{
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long len = 0;
    const char *why = NULL;
    if (PEM_read_bio(bio, &name, &header, &der, &len) != 1)
        return "it is no PEM text: it begins with -----BEGIN PUBLIC KEY-----";
    if (strstr(name, "PRIVATE"))
        why = "it is a private key, which has no business here: `openssl pkey -in KEY -pubout` writes its public half";
    else if (strcmp(name, PEM_STRING_PUBLIC) != 0 && strcmp(name, PEM_STRING_X509) != 0)
        why = "it is neither a PUBLIC KEY (SPKI) nor a CERTIFICATE; `openssl rsa -RSAPublicKey_in -in KEY -pubout` "
              "converts an RSA PUBLIC KEY";
    else if (!(*out = key_in_block(name, der, len)))
        why = "it cannot be read: its base64 text is no public key";
    else
        why = key_fault(*out, type);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(der, (size_t)len); /* a private key was there, perhaps */
    return why;
}

enum bgw_status bgw_public_key_pem(struct bgw_public_key **out, enum bgw_key_type *type, const char *pem,
                                   const char **why)
{
    size_t len = strlen(pem);
    BIO *bio = len <= INT_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
    EVP_PKEY *pkey = NULL;
    *out = NULL;
    *why = NO_MEMORY;
    if (!bio)
        return BGW_NO_MEMORY;
    *why = read_block(bio, &pkey, type);
    const char *rest = *why ? NULL : strstr(pem, "-----END ");
    if (rest && strstr(rest, "-----BEGIN "))
        *why = "it is more than one: one PEM block is expected";
    BIO_free(bio);
    ERR_clear_error();
    if (*why) {
        EVP_PKEY_free(pkey);
        return BGW_BAD_VALUE;
    }
    *out = wrap(pkey);
    return BGW_OK;
}
