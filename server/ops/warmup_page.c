/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warmup_page: POST /v1/warmup of the admin port. Hides how accounts are listed. Called by
 * admin_pages.c on the ops thread. Invariant: all accounts are looked at before the first one is
 * handed on, so a list with a mistake warms nothing; what there is no room for is not counted as taken.
 */
#include "warmup_page.h"

#include "admin_pages.h"

#include "bgw/assert.h"
#include "bgw/json.h"

static int refuse(struct bgw_buf *out, const char *code, const char *detail)
{
    return bgw_admin_problem(out, 400, code, bgw_slice_str(detail));
}

static bool read_account(const struct bgw_feed *feed, const struct bgw_json *value, struct bgw_slot_name *name)
{
    size_t len;
    if (bgw_json_string(value, name->key, sizeof(name->key), &len) != BGW_OK || !feed->key_valid(bgw_slice_of(name->key, len)))
        return false;
    name->key_len = (uint8_t)len;
    return true;
}

/* How many there are; 0: refused. */
static size_t check_accounts(const struct bgw_feed *feed, const struct bgw_json *accounts, struct bgw_buf *out)
{
    struct bgw_slot_name name;
    struct bgw_json one;
    size_t count = 0;
    if (accounts->type != BGW_JSON_ARRAY) {
        refuse(out, "bad_request", "\"accounts\" is a list of accounts");
        return 0;
    }
    for (const char *cursor = NULL; bgw_json_next(accounts, &cursor, NULL, &one); count++) {
        if (count == WARMUP_ACCOUNTS_MAX) {
            refuse(out, "too_many_accounts", "one request may name 10000 accounts: send several");
            return 0;
        }
        if (!read_account(feed, &one, &name)) {
            refuse(out, "bad_id", "nothing is read: an account is 1 to 64 of A-Z a-z 0-9 . _ : @ + -, and one of the list is not");
            return 0;
        }
    }
    if (!count)
        refuse(out, "account_required", "name at least one account: {\"accounts\":[\"A\"]}");
    return count;
}

/* What holds for all of them. */
static bool read_common(const struct bgw_feed *feed, const struct bgw_json *member, const struct bgw_json *value,
                        struct bgw_slot_name *name)
{
    char text[BGW_PART_MAX];
    size_t len;
    if (bgw_json_is(member, "currency")) {
        if (bgw_json_string(value, text, sizeof(text), &len) != BGW_OK || !feed->part_valid(bgw_slice_of(text, len)))
            return false;
        name->part = bgw_part_of(bgw_slice_of(text, len));
        return true;
    }
    if (!bgw_json_is(member, "tenant") || bgw_json_string(value, name->tenant, sizeof(name->tenant), &len) != BGW_OK)
        return false;
    name->tenant_len = (uint8_t)len;
    return bgw_tenant_valid(bgw_slice_of(name->tenant, len));
}

static bool read_members(const struct bgw_feed *feed, const struct bgw_json *root, struct bgw_slot_name *name,
                         struct bgw_json *accounts)
{
    struct bgw_json member, value;
    for (const char *cursor = NULL; bgw_json_next(root, &cursor, &member, &value);) {
        if (bgw_json_is(&member, "accounts"))
            *accounts = value;
        else if (!read_common(feed, &member, &value, name))
            return false;
    }
    return true;
}

static size_t warm(const struct bgw_admin_config *config, const struct bgw_json *accounts, struct bgw_slot_name *name)
{
    struct bgw_json one;
    size_t taken = 0;
    for (const char *cursor = NULL; bgw_json_next(accounts, &cursor, NULL, &one);) {
        bool good = read_account(config->feed, &one, name);
        BGW_ASSERT(good); /* it was looked at */
        taken += config->warm(config->warm_arg, name);
    }
    return taken;
}

int warmup_page(const struct bgw_admin_config *config, struct bgw_slice text, struct bgw_buf *out)
{
    const struct bgw_feed *feed = config->feed;
    struct bgw_json root, accounts = {.type = BGW_JSON_NULL};
    BGW_ASSERT(feed && feed->default_tenant.len <= BGW_TENANT_MAX);
    struct bgw_slot_name name = {.feed = feed->id, .tenant_len = (uint8_t)feed->default_tenant.len};
    memcpy(name.tenant, feed->default_tenant.data, feed->default_tenant.len);
    if (bgw_json_parse(text, &root) != BGW_OK || root.type != BGW_JSON_OBJECT)
        return refuse(out, "bad_json", "the body is one JSON object such as {\"accounts\":[\"A\",\"B\"]}");
    if (!read_members(feed, &root, &name, &accounts))
        return refuse(out, "bad_request",
                      "beside \"accounts\" there may be \"currency\", three capital letters, and \"tenant\", and nothing else");
    if (!check_accounts(feed, &accounts, out))
        return 400;
    size_t taken = warm(config, &accounts, &name);
    if (!taken)
        return bgw_admin_problem(out, 503, "busy", BGW_SLICE("as many accounts as may wait to be read do so: send it again"));
    bgw_buf_appendf(out, "{\"accepted\":%zu}", taken);
    return 202;
}
