/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-jwt: tokens against one key of each algorithm.
 *
 *   mode 1: below 8    edits (fuzz_edit) of the good token of that algorithm, perhaps cut into another
 *           below 16   a token as it is
 *           the rest   header LF payload: signed here with the right secret, so that claims are reached
 *
 * Properties: what was not signed byte by byte is never accepted, and what was always is; a signed
 * token that is accepted has one subject and an end in the future, names an algorithm of ours, and
 * grants nothing that its text does not name.
 */
#include "fuzz.h"
#include "tokens.h"

#include "bgw/auth.h"
#include "bgw/base64.h"
#include "bgw/hash.h"
#include "bgw/json.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#define TOKEN_MAX 20000

static struct bgw_auth *auth;
static struct bgw_feed feed;
static const struct bgw_now now = {.mono_ms = 1000, .wall_ms = FUZZ_NOW_S * INT64_C(1000)};

static enum bgw_auth_result verify(struct bgw_slice token, struct bgw_claims *claims)
{
    char *copy = fuzz_copy(token);
    enum bgw_auth_result r = bgw_auth_verify(auth, bgw_slice_of(copy, token.len), now, claims);
    free(copy);
    FUZZ_CHECK(r == BGW_AUTH_OK || (*bgw_auth_code(r) && *bgw_auth_sentence(r)));
    return r;
}

static void check_unsigned(struct bgw_slice token)
{
    struct bgw_claims claims;
    bool good = false;
    for (int i = 0; i < FUZZ_TOKENS; i++)
        good |= bgw_slice_eq(token, bgw_slice_str(fuzz_tokens[i]));
    enum bgw_auth_result r = verify(token, &claims);
    FUZZ_CHECK((r == BGW_AUTH_OK) == good);
    if (r == BGW_AUTH_OK)
        bgw_claims_deinit(&claims);
}

/* Edits of one token; where the input says so, a part of it is another token's. */
static void edited(uint32_t mode, struct fuzz_in *in)
{
    char text[2048];
    struct bgw_slice from = bgw_slice_str(fuzz_tokens[mode % FUZZ_TOKENS]);
    size_t len = from.len;
    memcpy(text, from.data, len);
    uint32_t swap = fuzz_take(in, 1);
    if (swap & 0x80) {
        const char *other = fuzz_tokens[(swap & 7) % FUZZ_TOKENS];
        const char *dot = swap & 0x40 ? strrchr(other, '.') : strchr(other, '.');
        const char *mine = swap & 0x40 ? memrchr(text, '.', len) : memchr(text, '.', len);
        size_t keep = (size_t)(mine - text);
        len = keep + strlen(dot);
        memcpy(text + keep, dot, strlen(dot));
    }
    fuzz_edit(in, text, &len, sizeof(text));
    check_unsigned(bgw_slice_of(text, len));
}

/* ---- signed ---- */

static size_t append_part(char *out, struct bgw_slice bytes)
{
    return bgw_base64url_encode((const uint8_t *)bytes.data, bytes.len, out);
}

static bool says(struct bgw_slice json, const char *name, struct bgw_json *root, struct bgw_json *value)
{
    return bgw_json_parse(json, root) == BGW_OK && root->type == BGW_JSON_OBJECT && bgw_json_member(root, name, value);
}

static void check_claims(struct bgw_slice header, struct bgw_slice payload, const struct bgw_claims *c)
{
    struct bgw_json head, body, value;
    char subject[1024];
    size_t len;
    FUZZ_CHECK(says(header, "alg", &head, &value) && bgw_json_is(&value, "HS256"));
    FUZZ_CHECK(!bgw_json_member(&head, "crit", &value) && !bgw_json_member(&head, "b64", &value));
    FUZZ_CHECK(says(payload, "sub", &body, &value));
    FUZZ_CHECK(bgw_json_string(&value, subject, sizeof(subject), &len) == BGW_OK && len);
    FUZZ_CHECK(c->subject_hash == bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_of(subject, len)));
    FUZZ_CHECK(bgw_json_member(&body, "exp", &value) && value.type == BGW_JSON_NUMBER);
    FUZZ_CHECK(c->expires_ms > now.wall_ms && bgw_tenant_valid(bgw_slice_str(c->tenant)));
    bool plain = !memchr(payload.data, '\\', payload.len);
    struct bgw_slice all = BGW_SLICE("accounts.read.all");
    FUZZ_CHECK(!plain || !bgw_grants_all(c->grants) || memmem(payload.data, payload.len, all.data, all.len));
    FUZZ_CHECK(!plain || bgw_grants_all(c->grants) || memmem(payload.data, payload.len, "\"A\"", 3) ||
               bgw_access_check(c, bgw_slice_str(c->tenant), BGW_SLICE("A"), now) != BGW_ACCESS_OK);
    FUZZ_CHECK(bgw_access_check(c, BGW_SLICE("another-tenant"), BGW_SLICE("A"), now) != BGW_ACCESS_OK ||
               strcmp(c->tenant, "another-tenant") == 0);
}

static void signed_here(struct fuzz_in *in)
{
    static char token[TOKEN_MAX];
    uint8_t mac[32];
    struct bgw_claims claims;
    struct bgw_slice header = fuzz_until(in, '\n'), payload = fuzz_rest(in);
    if (header.len + payload.len > TOKEN_MAX / 2)
        return;
    size_t len = append_part(token, header);
    token[len++] = '.';
    len += append_part(token + len, payload);
    bgw_auth_mac((const uint8_t *)FUZZ_SECRET, bgw_slice_of(token, len), mac);
    token[len++] = '.';
    len += append_part(token + len, bgw_slice_of((const char *)mac, sizeof(mac)));
    if (verify(bgw_slice_of(token, len), &claims) != BGW_AUTH_OK)
        return;
    FUZZ_CHECK(len <= BGW_TOKEN_MAX);
    check_claims(header, payload, &claims);
    bgw_claims_deinit(&claims);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct bgw_buf error;
    const struct bgw_auth_config config = {.secret = BGW_SLICE(FUZZ_SECRET), .key_set = true, .keys_max_age_ms = 86400000,
                                           .default_tenant = BGW_SLICE("tnt_demo"), .feed = &feed};
    (void)argc;
    (void)argv;
    bgw_buf_init(&error, 1024);
    bgw_hash_init_fixed(1, 2);
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_log_set_level(BGW_LOG_ERROR);
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    FUZZ_CHECK(bgw_auth_create(&auth, &config, &error) == BGW_OK);
    FUZZ_CHECK(bgw_auth_load_keys(auth, bgw_slice_str(fuzz_jwks), now, &error) == BGW_OK);
    bgw_buf_deinit(&error);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint32_t mode = fuzz_take(&in, 1);
    if (mode < 8)
        edited(mode, &in);
    else if (mode < 16)
        check_unsigned(fuzz_rest(&in));
    else
        signed_here(&in);
    return 0;
}
