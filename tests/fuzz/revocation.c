/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-revocation: the input is the text of a revocation, as the admin port and the topic get it.
 *
 * Properties: it is refused with a sentence, or understood whole: added to a set it concerns
 * exactly the tokens, subjects and accounts that it names; adding it twice changes nothing.
 */
#include "fuzz.h"

#include "bgw/hash.h"
#include "bgw/json.h"
#include "bgw/metrics.h"
#include "bgw/revocations.h"

#define KEEP_S 3600

static const struct bgw_now now = {.mono_ms = 1000, .wall_ms = INT64_C(1800000000000)};
static struct bgw_revocation what, again;

static struct bgw_slice text_of(const struct bgw_json *root, const char *name, char *out, size_t cap)
{
    struct bgw_json value;
    size_t len;
    FUZZ_CHECK(bgw_json_member(root, name, &value) && bgw_json_string(&value, out, cap, &len) == BGW_OK);
    return bgw_slice_of(out, len);
}

static void check_accounts(const struct bgw_revocations *set, const struct bgw_json *root, const struct bgw_holder *h)
{
    struct bgw_json list, item;
    const char *cursor = NULL;
    bool innocent = true;
    FUZZ_CHECK(bgw_json_member(root, "accounts", &list));
    while (bgw_json_next(&list, &cursor, NULL, &item)) {
        char text[256];
        size_t len;
        FUZZ_CHECK(bgw_json_string(&item, text, sizeof(text), &len) == BGW_OK);
        FUZZ_CHECK(bgw_revocations_covers_key(set, h, bgw_slice_of(text, len), now));
        innocent &= !bgw_slice_eq(bgw_slice_of(text, len), BGW_SLICE("innocent"));
    }
    FUZZ_CHECK(!innocent || !bgw_revocations_covers_key(set, h, BGW_SLICE("innocent"), now));
}

static void check_concerns(const struct bgw_revocations *set, struct bgw_slice text)
{
    struct bgw_json root, other;
    char id[2048], tenant[256] = "anybody";
    FUZZ_CHECK(bgw_json_parse(text, &root) == BGW_OK);
    struct bgw_slice name = text_of(&root, what.kind == BGW_REVOKE_TOKEN ? "jti" : "sub", id, sizeof(id));
    uint64_t hash = bgw_hash_fnv64(BGW_FNV64_INIT, name);
    struct bgw_holder h = {.subject_hash = 1, .jti_hash = 2, .tenant = bgw_slice_str(tenant)};
    FUZZ_CHECK(hash == what.id_hash && what.any_tenant == !bgw_json_member(&root, "tenant", &other));
    if (!what.any_tenant)
        h.tenant = text_of(&root, "tenant", tenant, sizeof(tenant));
    if (hash == 1 || hash == 2)
        return;
    FUZZ_CHECK(bgw_revocations_check(set, &h, now) == BGW_NOT_REVOKED);
    *(what.kind == BGW_REVOKE_TOKEN ? &h.jti_hash : &h.subject_hash) = hash;
    enum bgw_revoked all = what.kind == BGW_REVOKE_ACCOUNTS ? BGW_REVOKED_SOME : BGW_REVOKED_ALL;
    FUZZ_CHECK(bgw_revocations_check(set, &h, now) == all); /* issued_s 0: a token without iat */
    h.issued_s = what.before_s - 1;
    FUZZ_CHECK(what.kind != BGW_REVOKE_SUBJECT || bgw_revocations_check(set, &h, now) == all);
    h.issued_s = what.before_s + 1;
    FUZZ_CHECK(what.kind != BGW_REVOKE_SUBJECT || bgw_revocations_check(set, &h, now) == BGW_NOT_REVOKED);
    if (what.kind == BGW_REVOKE_ACCOUNTS)
        check_accounts(set, &root, &h);
    struct bgw_now later = {.mono_ms = 2000, .wall_ms = what.until_s * 1000};
    FUZZ_CHECK(bgw_revocations_check(set, &h, later) == BGW_NOT_REVOKED);
    h.tenant = BGW_SLICE("somebody-elses");
    h.issued_s = 0;
    FUZZ_CHECK(what.any_tenant || strcmp(tenant, "somebody-elses") == 0 ||
               bgw_revocations_check(set, &h, now) == BGW_NOT_REVOKED);
}

static void check_understood(struct bgw_slice text)
{
    struct bgw_revocations *set = NULL;
    FUZZ_CHECK(what.kind <= BGW_REVOKE_ACCOUNTS && what.account_count <= BGW_REVOCATION_ACCOUNTS_MAX);
    FUZZ_CHECK(what.until_s > now.wall_ms / 1000 && what.before_s <= now.wall_ms / 1000 + 60 && what.before_s >= 0);
    FUZZ_CHECK((what.kind == BGW_REVOKE_ACCOUNTS) == (what.account_count > 0));
    FUZZ_CHECK(bgw_revocations_create(&set, 4096) == BGW_OK);
    FUZZ_CHECK(bgw_revocations_add(set, &what, now) == BGW_OK);
    uint64_t generation = bgw_revocations_generation(set);
    size_t count = bgw_revocations_count(set);
    FUZZ_CHECK(count && bgw_revocations_add(set, &what, now) == BGW_OK);
    FUZZ_CHECK(bgw_revocations_generation(set) == generation && bgw_revocations_count(set) == count);
    check_concerns(set, text);
    bgw_revocations_destroy(&set);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    bgw_hash_init_fixed(1, 2);
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bgw_slice text = {(const char *)data, size};
    struct bgw_buf error;
    char *copy = fuzz_copy(text);
    bgw_buf_init(&error, 4096);
    enum bgw_status status = bgw_revocation_parse(&what, bgw_slice_of(copy, size), KEEP_S, now, &error);
    FUZZ_CHECK(bgw_revocation_parse(&again, bgw_slice_of(copy, size), KEEP_S, now, &error) == status);
    if (status == BGW_OK)
        check_understood(bgw_slice_of(copy, size));
    else
        FUZZ_CHECK(error.len);
    free(copy);
    bgw_buf_deinit(&error);
    return 0;
}
