/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwk: hides the JSON form of keys (RFC 7517, 7518 §6, 8037). Called where keys are loaded, on the
 * reader's thread. Three rules of ours, each on the safe side:
 *   two keys of one name and algorithm: which one is meant nobody knows, so the document is refused
 *   and the keys from before stay;
 *   a document that holds public keys is a public document: a symmetric key in it is no secret, and
 *   is left out; so is every key that comes with its private members;
 *   a key without a name serves only if it is alone.
 */
#include "jwk.h"

#include "crypto.h"
#include "public_key.h"

#include "bgw/assert.h"
#include "bgw/base64.h"
#include "bgw/hash.h"
#include "bgw/json.h"
#include "bgw/log.h"

#define TEXT_MAX 2048 /* of a member's text: the modulus of 8,192 bits takes 1,366 */
#define BYTES_MAX (TEXT_MAX / 4 * 3)

/* one document while it is read; on the stack of one call */
struct reading {
    struct bgw_key_set *set;
    unsigned algs;
    bool has_public; /* it holds keys of asymmetric kinds */
    const char *why; /* the last key left out: what is said if none remains */
    uint64_t names[BGW_KEYS_MAX]; /* hashes of kid and algorithm of the keys that are for us, usable or not */
    size_t name_count;
};

/* One member as bytes: base64url without padding, nothing else. */
static bool bytes_of(const struct bgw_json *jwk, const char *name, uint8_t out[BYTES_MAX], struct bgw_slice *bytes)
{
    char text[TEXT_MAX];
    size_t text_len = 0, len = 0;
    struct bgw_json value;
    bool ok = bgw_json_member(jwk, name, &value) &&
              bgw_json_string(&value, text, sizeof(text), &text_len) == BGW_OK &&
              bgw_base64url_decode(bgw_slice_of(text, text_len), out, BYTES_MAX, &len) == BGW_OK && len > 0;
    *bytes = bgw_slice_of((const char *)out, len);
    bgw_crypto_wipe(text, sizeof(text));
    return ok;
}

static bool is_member(const struct bgw_json *jwk, const char *name, const char *text)
{
    struct bgw_json value;
    return bgw_json_member(jwk, name, &value) && bgw_json_is(&value, text);
}

/* ---- what a key may be used for ---- */

static bool may_verify(const struct bgw_json *jwk)
{
    struct bgw_json value, name, item;
    if (bgw_json_member(jwk, "use", &value) && !bgw_json_is(&value, "sig"))
        return false;
    if (!bgw_json_member(jwk, "key_ops", &value))
        return true;
    if (value.type != BGW_JSON_ARRAY)
        return false;
    const char *cursor = NULL;
    while (bgw_json_next(&value, &cursor, &name, &item))
        if (bgw_json_is(&item, "verify"))
            return true;
    return false;
}

static bool has_private_members(const struct bgw_json *jwk)
{
    static const char *const names[] = {"d", "p", "q", "dp", "dq", "qi", "oth"};
    struct bgw_json value;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (bgw_json_member(jwk, names[i], &value))
            return true;
    return false;
}

/* Which algorithm fits the key's type where it says none itself. False: the type is not ours. */
static bool alg_of_type(const struct bgw_json *jwk, unsigned algs, enum bgw_alg *out)
{
    const unsigned rs256 = 1U << BGW_ALG_RS256, ps256 = 1U << BGW_ALG_PS256;
    if (is_member(jwk, "kty", "oct"))
        *out = BGW_ALG_HS256;
    else if (is_member(jwk, "kty", "RSA"))
        *out = (algs & (rs256 | ps256)) == ps256 ? BGW_ALG_PS256 : BGW_ALG_RS256;
    else if (is_member(jwk, "kty", "EC"))
        *out = BGW_ALG_ES256;
    else if (is_member(jwk, "kty", "OKP"))
        *out = BGW_ALG_EDDSA;
    else
        return false;
    return true;
}

/* NULL: *out is the algorithm that is bound to the key. */
static const char *bind_alg(const struct bgw_json *jwk, unsigned algs, enum bgw_alg *out)
{
    struct bgw_json value;
    char name[16];
    size_t len = 0;
    enum bgw_alg of_type, said;
    if (!alg_of_type(jwk, algs, &of_type))
        return "its kty is not one of RSA, EC, OKP, oct";
    *out = of_type;
    if (bgw_json_member(jwk, "alg", &value)) {
        if (bgw_json_string(&value, name, sizeof(name), &len) != BGW_OK ||
            !bgw_alg_find(bgw_slice_of(name, len), &said))
            return "its alg is not one of HS256, RS256, PS256, ES256, EdDSA";
        bool both_rsa = of_type == BGW_ALG_RS256 || of_type == BGW_ALG_PS256;
        if (said != of_type && !(both_rsa && (said == BGW_ALG_RS256 || said == BGW_ALG_PS256)))
            return "its alg does not fit its kty";
        *out = said;
    }
    return algs & 1U << *out ? NULL : "BGW_JWT_ALGS does not allow its algorithm";
}

/* ---- what it is made of ---- */

static enum bgw_status rsa_key(const struct bgw_json *jwk, struct bgw_public_key **out, const char **why)
{
    uint8_t n_room[BYTES_MAX], e_room[BYTES_MAX];
    struct bgw_slice n, e;
    if (bytes_of(jwk, "n", n_room, &n) && bytes_of(jwk, "e", e_room, &e))
        return bgw_public_key_rsa(out, n, e, why);
    *why = "its n or e is missing or is not base64url";
    return BGW_BAD_VALUE;
}

static enum bgw_status curve_key(const struct bgw_json *jwk, enum bgw_alg alg, struct bgw_public_key **out,
                                 const char **why)
{
    uint8_t x_room[BYTES_MAX], y_room[BYTES_MAX];
    struct bgw_slice x, y = {NULL, BGW_EC_PART_LEN};
    bool is_edwards = alg == BGW_ALG_EDDSA;
    *why = is_edwards ? "its crv is not Ed25519" : "its crv is not P-256";
    if (!is_member(jwk, "crv", is_edwards ? "Ed25519" : "P-256"))
        return BGW_BAD_VALUE;
    *why = "a coordinate is missing or is not 32 bytes in base64url";
    if (!bytes_of(jwk, "x", x_room, &x) || x.len != BGW_EC_PART_LEN)
        return BGW_BAD_VALUE;
    if (!is_edwards && (!bytes_of(jwk, "y", y_room, &y) || y.len != BGW_EC_PART_LEN))
        return BGW_BAD_VALUE;
    return is_edwards ? bgw_public_key_ed25519(out, x_room, why) : bgw_public_key_p256(out, x_room, y_room, why);
}

static enum bgw_status add_secret(struct reading *r, const struct bgw_json *jwk, const char *kid)
{
    uint8_t room[BYTES_MAX];
    struct bgw_slice secret;
    enum bgw_status status = BGW_BAD_VALUE;
    if (r->has_public)
        r->why = "it is a symmetric key in a document that holds public keys";
    else if (!bytes_of(jwk, "k", room, &secret) || secret.len < BGW_SECRET_MIN || secret.len > BGW_JWK_SECRET_MAX)
        r->why = "its k is not 32 to 1024 bytes in base64url";
    else
        status = bgw_keys_add_secret(r->set, kid, secret);
    bgw_crypto_wipe(room, sizeof(room));
    return status;
}

/* ---- the document ---- */

/* A second key of one name is as confusing when its material cannot be read. */
static bool is_first(struct reading *r, const char *kid, enum bgw_alg alg)
{
    uint64_t hash = bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_str(bgw_alg_name(alg)));
    hash = bgw_hash_fnv64(hash, bgw_slice_str(kid));
    for (size_t i = 0; i < r->name_count; i++)
        if (r->names[i] == hash)
            return false;
    BGW_ASSERT(r->name_count < BGW_KEYS_MAX);
    r->names[r->name_count++] = hash;
    return true;
}

/* `kid` NULL: it has none. BGW_BAD_VALUE: r->why says what keeps it out. */
static enum bgw_status add_key(struct reading *r, const struct bgw_json *jwk, const char *kid)
{
    enum bgw_alg alg = BGW_ALG_HS256;
    struct bgw_public_key *key = NULL;
    r->why = "it is not for checking signatures (use, key_ops)";
    if (!may_verify(jwk))
        return BGW_BAD_VALUE;
    r->why = "it holds private members, which must never leave the issuer: replace it there";
    if (has_private_members(jwk))
        return BGW_BAD_VALUE;
    r->why = bind_alg(jwk, r->algs, &alg);
    if (r->why)
        return BGW_BAD_VALUE;
    if (kid && !is_first(r, kid, alg))
        return BGW_DUPLICATE;
    if (alg == BGW_ALG_HS256)
        return add_secret(r, jwk, kid);
    bool is_rsa = alg == BGW_ALG_RS256 || alg == BGW_ALG_PS256;
    enum bgw_status status = is_rsa ? rsa_key(jwk, &key, &r->why) : curve_key(jwk, alg, &key, &r->why);
    return status == BGW_OK ? bgw_keys_add_public(r->set, kid, alg, key) : status;
}

/* BGW_BAD_VALUE: left out, and said so. */
static enum bgw_status read_key(struct reading *r, const struct bgw_json *jwk)
{
    char kid[BGW_KID_MAX + 1] = "";
    size_t len = 0;
    struct bgw_json value;
    enum bgw_status status = BGW_BAD_VALUE;
    bool has_kid = jwk->type == BGW_JSON_OBJECT && bgw_json_member(jwk, "kid", &value);
    if (jwk->type != BGW_JSON_OBJECT)
        r->why = "it is not an object";
    else if (has_kid && bgw_json_string(&value, kid, BGW_KID_MAX, &len) != BGW_OK)
        r->why = "its kid is not a string of at most 256 bytes";
    else
        status = add_key(r, jwk, has_kid ? kid : NULL);
    kid[len] = '\0';
    if (status == BGW_BAD_VALUE)
        BGW_LOG(BGW_LOG_WARN, "key_left_out", {"kid", LS(kid)}, {"reason", LS(r->why)});
    return status;
}

static bool holds_public_keys(const struct bgw_json *keys)
{
    struct bgw_json name, jwk;
    const char *cursor = NULL;
    while (bgw_json_next(keys, &cursor, &name, &jwk))
        if (jwk.type == BGW_JSON_OBJECT &&
            (is_member(&jwk, "kty", "RSA") || is_member(&jwk, "kty", "EC") || is_member(&jwk, "kty", "OKP")))
            return true;
    return false;
}

static enum bgw_status read_keys(struct reading *r, const struct bgw_json *keys, struct bgw_buf *error)
{
    struct bgw_json name, jwk;
    const char *cursor = NULL;
    size_t count = 0;
    r->has_public = holds_public_keys(keys);
    while (bgw_json_next(keys, &cursor, &name, &jwk)) {
        if (count++ == BGW_KEYS_MAX) {
            bgw_buf_appendf(error, "the key set holds more than %d keys", BGW_KEYS_MAX);
            return BGW_BAD_VALUE;
        }
        enum bgw_status status = read_key(r, &jwk);
        if (status == BGW_DUPLICATE) {
            bgw_buf_append_str(error, "the key set holds two keys with the same kid and algorithm: "
                                      "which one is meant cannot be known");
            return BGW_BAD_VALUE;
        }
        if (status != BGW_OK && status != BGW_BAD_VALUE)
            return status;
    }
    if (bgw_keys_drop_nameless(r->set) > 0) {
        r->why = "it has no kid, and is not alone";
        BGW_LOG(BGW_LOG_WARN, "key_left_out", {"kid", LS("")}, {"reason", LS(r->why)});
    }
    if (r->set->count)
        return BGW_OK;
    bgw_buf_appendf(error, "the key set holds no key that could be used%s%s",
                    r->why ? "; the last one was left out because " : "", r->why ? r->why : "");
    return BGW_BAD_VALUE;
}

enum bgw_status bgw_jwks_read(struct bgw_key_set **out, struct bgw_slice text, unsigned algs, struct bgw_buf *error)
{
    struct bgw_json root, keys;
    if (text.len > BGW_JWKS_BYTES_MAX) {
        bgw_buf_appendf(error, "the key set has %zu bytes; %d are the most", text.len, BGW_JWKS_BYTES_MAX);
        return BGW_BAD_VALUE;
    }
    enum bgw_status status = bgw_json_parse(text, &root);
    if (status != BGW_OK) {
        bgw_buf_appendf(error, "the key set is not strict JSON: %s", bgw_status_text(status));
        return BGW_BAD_VALUE;
    }
    if (root.type != BGW_JSON_OBJECT || !bgw_json_member(&root, "keys", &keys) || keys.type != BGW_JSON_ARRAY) {
        bgw_buf_append_str(error, "the key set is not an object with an array \"keys\" (RFC 7517)");
        return BGW_BAD_VALUE;
    }
    struct reading r = {.set = bgw_keys_create(), .algs = algs};
    status = r.set ? read_keys(&r, &keys, error) : BGW_NO_MEMORY;
    if (status != BGW_OK) {
        bgw_keys_release(r.set);
        return status;
    }
    *out = r.set;
    return BGW_OK;
}
