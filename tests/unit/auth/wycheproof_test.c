/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wycheproof's JWS and JWK vectors (tests/wycheproof) at the JWS layer: a key document and a compact
 * token in, accepted or refused out; claims are not looked at. Vectors of our five algorithms have
 * to be answered as they say, those of other algorithms as unsupported. What we answer differently
 * stands in `explained`, each with its reason; everything else that differs fails, and so does a
 * row of the list that is not needed. Runs from the checkout's top.
 */
#include "auth/jwk.h"
#include "auth/jws.h"
#include "auth/keys.h"

#include "bgw/json.h"
#include "bgw/log.h"

#include "../test.h"

enum verdict { ACCEPTED, REFUSED, UNSUPPORTED /* the algorithm of the key or of the token is not ours */ };
static const char *const verdict_names[] = {"accepted", "refused", "unsupported"};

static const struct explained {
    const char *file;
    int64_t id;
    const char *reason;
} explained[] = {
    {"json_web_signature_test.json", 367, "marked invalid for its padding, but the bytes are those of the valid vector 357"},
    {"json_web_signature_test.json", 370, "marked invalid for its padding, but the bytes are those of the valid vector 357"},
    {"json_web_signature_test.json", 372, "marked valid, with a `?` in the header's base64url: RFC 7515 §2 allows no such character"},
    {"json_web_signature_test.json", 373, "marked valid, with a `?` in the payload's base64url: RFC 7515 §2 allows no such character"},
};
#define EXPLAINED (sizeof(explained) / sizeof(*explained))

/* JWE: another form with another purpose, which the gateway does not read. By the group's name. */
static const char *const excluded[] = {"jwe_aes", "jwe_ec"};

struct tally {
    const char *file;
    unsigned seen, agreed_valid, agreed_invalid, other_algorithm, jwe, explained;
};

static unsigned used[EXPLAINED];

/* ---- one vector ---- */

/* The document's only key, or the document itself where it is a set already. */
static struct bgw_key_set *keys_of(const struct bgw_json *jwk)
{
    struct bgw_json keys;
    struct bgw_buf text, error;
    struct bgw_key_set *set = NULL;
    bgw_buf_init(&text, BGW_JWKS_BYTES_MAX);
    bgw_buf_init(&error, 1024);
    bool is_set = bgw_json_member(jwk, "keys", &keys);
    bgw_buf_append_str(&text, is_set ? "" : "{\"keys\":[");
    bgw_buf_append(&text, jwk->raw);
    bgw_buf_append_str(&text, is_set ? "" : "]}");
    if (bgw_jwks_read(&set, bgw_buf_slice(&text), BGW_ALGS_ALL, &error) != BGW_OK)
        CHECK(set == NULL && error.len > 0);
    bgw_buf_deinit(&text);
    bgw_buf_deinit(&error);
    return set;
}

static enum verdict judge(const struct bgw_key_set *set, struct bgw_slice token)
{
    struct bgw_jws jws;
    enum bgw_alg alg;
    const struct bgw_key *key = NULL;
    enum bgw_auth_result parsed = bgw_jws_parse(token, &jws);
    if (parsed == BGW_AUTH_UNSUPPORTED)
        return UNSUPPORTED;
    if (parsed != BGW_AUTH_OK)
        return REFUSED;
    if (!bgw_alg_find(bgw_slice_str(jws.alg), &alg) || !set)
        return UNSUPPORTED;
    struct bgw_slice kid = {jws.has_kid ? jws.kid : NULL, jws.kid_len};
    if (bgw_keys_choose(NULL, set, kid, alg, &key) != BGW_KEY_FOUND)
        return REFUSED;
    struct bgw_slice signature = bgw_slice_of((const char *)jws.signature, jws.signature_len);
    return bgw_key_verify(key, jws.signing_input, signature) ? ACCEPTED : REFUSED;
}

/* Does the key's own `alg`, or the token's, name an algorithm that we do not have. */
static bool is_other_algorithm(const struct bgw_json *jwk, struct bgw_slice token)
{
    struct bgw_json keys, name, key = *jwk, value;
    const char *cursor = NULL;
    struct bgw_jws jws;
    enum bgw_alg alg;
    if (bgw_json_member(jwk, "keys", &keys))
        CHECK(bgw_json_next(&keys, &cursor, &name, &key));
    if (bgw_json_member(&key, "alg", &value) && !bgw_alg_find(value.raw, &alg))
        return true;
    return bgw_jws_parse(token, &jws) == BGW_AUTH_OK && !bgw_alg_find(bgw_slice_str(jws.alg), &alg);
}

static bool is_explained(const char *file, int64_t id)
{
    for (size_t i = 0; i < EXPLAINED; i++) {
        if (explained[i].id != id || strcmp(explained[i].file, file) != 0)
            continue;
        used[i]++;
        printf("# %s %" PRId64 ": explained: %s\n", file, id, explained[i].reason);
        return true;
    }
    return false;
}

static void try_vector(struct tally *t, const struct bgw_json *jwk, const struct bgw_key_set *set,
                       const struct bgw_json *vector)
{
    struct bgw_json jws, result, id_value;
    int64_t id = 0;
    static char token[65536];
    size_t len = 0;
    CHECK(bgw_json_member(vector, "jws", &jws) && bgw_json_member(vector, "result", &result) &&
          bgw_json_member(vector, "tcId", &id_value) && bgw_json_i64(&id_value, &id) == BGW_OK);
    struct bgw_slice text = jws.raw; /* an object: the JSON serialization, as it would be sent */
    if (jws.type == BGW_JSON_STRING) {
        CHECK(bgw_json_string(&jws, token, sizeof(token), &len) == BGW_OK);
        text = bgw_slice_of(token, len);
    }
    enum verdict got = judge(set, text);
    bool valid = bgw_json_is(&result, "valid");
    bool other = is_other_algorithm(jwk, text);
    if (other && got == UNSUPPORTED)
        t->other_algorithm++;
    else if (!other && (got == ACCEPTED) == valid)
        *(valid ? &t->agreed_valid : &t->agreed_invalid) += 1;
    else if (is_explained(t->file, id))
        t->explained++;
    else
        test_fail_(__FILE__, __LINE__, "%s %" PRId64 ": %s, the vector says %s%s", t->file, id, verdict_names[got],
                   valid ? "valid" : "invalid", other ? " (another algorithm)" : "");
}

/* ---- one file ---- */

static bool is_excluded(const struct bgw_json *group)
{
    struct bgw_json comment;
    CHECK(bgw_json_member(group, "comment", &comment));
    for (size_t i = 0; i < sizeof(excluded) / sizeof(*excluded); i++)
        if (bgw_json_is(&comment, excluded[i]))
            return true;
    return false;
}

static void try_group(struct tally *t, const struct bgw_json *group)
{
    struct bgw_json jwk, tests, name, vector;
    const char *cursor = NULL;
    CHECK(bgw_json_member(group, "public", &jwk) || bgw_json_member(group, "private", &jwk));
    CHECK(bgw_json_member(group, "tests", &tests));
    bool jwe = is_excluded(group);
    struct bgw_key_set *set = jwe ? NULL : keys_of(&jwk);
    while (bgw_json_next(&tests, &cursor, &name, &vector)) {
        t->seen++;
        if (jwe)
            t->jwe++;
        else
            try_vector(t, &jwk, set, &vector);
    }
    bgw_keys_release(set);
}

static void try_file(const char *file, unsigned vectors)
{
    static char text[1 << 20];
    char path[256];
    struct tally t = {.file = file};
    struct bgw_json root, groups, name, group;
    const char *cursor = NULL;
    snprintf(path, sizeof(path), "tests/wycheproof/%s", file);
    FILE *in = fopen(path, "re");
    size_t len = in ? fread(text, 1, sizeof(text), in) : 0;
    if (in)
        fclose(in);
    bgw_log_set_level(BGW_LOG_ERROR);
    bool parsed = bgw_json_parse(bgw_slice_of(text, len), &root) == BGW_OK &&
                  bgw_json_member(&root, "testGroups", &groups);
    CHECK(parsed);
    while (parsed && bgw_json_next(&groups, &cursor, &name, &group))
        try_group(&t, &group);
    printf("# %s: %u vectors: %u valid and %u invalid answered so, %u of other algorithms unsupported, "
           "%u JWE excluded, %u explained\n",
           file, t.seen, t.agreed_valid, t.agreed_invalid, t.other_algorithm, t.jwe, t.explained);
    CHECK_EQ_I64(t.seen, vectors);
}

TEST(signature_vectors)
{
    try_file("json_web_signature_test.json", 401);
}

TEST(key_vectors)
{
    try_file("json_web_key_test.json", 26);
}

TEST(crypto_vectors)
{
    try_file("json_web_crypto_test.json", 83);
}

TEST(the_list_of_the_explained_holds_nothing_else)
{
    for (size_t i = 0; i < EXPLAINED; i++)
        CHECK_EQ_I64(used[i], 1);
}
