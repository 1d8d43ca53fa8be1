/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_check: the grammar of values. Hides which rows have rules beyond their type; each rule
 * answers with the phrase that tells a person what to give instead. Pure; called while the process
 * starts.
 */
#include "config_rows.h"

#include "bgw/flags.h"
#include "bgw/net.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

bool bgw_config_read_int(const char *text, int64_t *out)
{
    bool negative = *text == '-';
    const char *digits = text + (negative ? 1 : 0);
    int64_t v = 0;
    if (!*digits)
        return false;
    for (; *digits; digits++) {
        if (*digits < '0' || *digits > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_sub_overflow(v, *digits - '0', &v)) /* downwards, where there is one more */
            return false;
    }
    if (!negative && v == INT64_MIN)
        return false;
    *out = negative ? v : -v;
    return true;
}

bool bgw_config_read_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"true", "1", "yes", "on"};
    static const char *const no[] = {"false", "0", "no", "off"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
        *out = strcmp(text, yes[i]) == 0;
        if (*out || strcmp(text, no[i]) == 0)
            return true;
    }
    return false;
}

enum bgw_status bgw_config_duration_ms(const char *text, int64_t *out)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    char digits[11];
    int64_t amount;
    size_t len = strspn(text, DIGITS);
    if (len == 0 || len >= sizeof(digits))
        return BGW_BAD_VALUE;
    memcpy(digits, text, len);
    digits[len] = '\0';
    if (!bgw_config_read_int(digits, &amount) || amount > INT32_MAX)
        return BGW_BAD_VALUE;
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        if (strcmp(text + len, units[i].unit) != 0)
            continue;
        *out = amount * units[i].ms;
        return BGW_OK;
    }
    return BGW_BAD_VALUE;
}

static bool only(const char *value, const char *letters, size_t len_min, size_t len_max)
{
    size_t len = strlen(value);
    return len >= len_min && len <= len_max && strspn(value, letters) == len;
}

static bool good_address(const char *value)
{
    int64_t port;
    const char *colon = strrchr(value, ':');
    if (!colon || colon == value || !only(colon + 1, DIGITS, 1, 5))
        return false;
    if (!bgw_config_read_int(colon + 1, &port) || port > 65535)
        return false;
    if (*value == '[')
        return colon[-1] == ']' && colon - value > 2;
    return (size_t)(colon - value) == strcspn(value, ":/ \t[]");
}

static bool good_brokers(const char *value)
{
    if (!*value)
        return true;
    size_t len = strlen(value);
    return strcspn(value, " \t\r\n") == len && *value != ',' && value[len - 1] != ',' &&
           !strstr(value, ",,");
}

static bool good_topic(const char *value)
{
    return only(value, LOWER UPPER DIGITS "._-", 1, 249) && strcmp(value, ".") != 0 &&
           strcmp(value, "..") != 0;
}

static bool good_rewind(const char *value)
{
    int64_t ms;
    return !*value || strcmp(value, "beginning") == 0 ||
           bgw_config_duration_ms(value, &ms) == BGW_OK;
}

static bool good_epoch(const char *value)
{
    return only(value, LOWER DIGITS, 0, 8);
}

static bool good_tenant(const char *value)
{
    return only(value, LOWER UPPER DIGITS "_-", 1, 50);
}

static bool good_currency(const char *value)
{
    return only(value, UPPER, 3, 3);
}

/* One origin as browsers send it: scheme://host[:port], no path; `end` is behind it. */
static bool good_origin(const char *p, const char *end)
{
    const char *host = strstr(p, "://");
    if (end - p == 1 && *p == '*')
        return true;
    if (!host || host == p || host + 3 >= end)
        return false;
    return host + 3 + strcspn(host + 3, "/ \t,?#") == end;
}

static bool good_origins(const char *value)
{
    while (*value) {
        const char *end = value + strcspn(value, ",");
        if (!good_origin(value, end))
            return false;
        if (!*end)
            return true;
        value = end + 1;
        if (!*value)
            return false;
    }
    return true;
}

static bool good_level(const char *value)
{
    return strcmp(value, "debug") == 0 || strcmp(value, "info") == 0 ||
           strcmp(value, "warn") == 0 || strcmp(value, "error") == 0;
}

static bool one_of(const char *value, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(value, *words) == 0)
            return true;
    return false;
}

static bool good_tls_min(const char *value)
{
    static const char *const words[] = {"1.2", "1.3", NULL};
    return one_of(value, words);
}

static bool good_client_auth(const char *value)
{
    static const char *const words[] = {"off", "optional", "required", "staff", NULL};
    return one_of(value, words);
}

static bool good_algs(const char *value)
{
    static const char *const words[] = {"HS256", "RS256", "PS256", "ES256", "EdDSA", NULL};
    char word[8];
    while (*value) {
        size_t len = strcspn(value, ",");
        if (len == 0 || len >= sizeof(word))
            return false;
        memcpy(word, value, len);
        word[len] = '\0';
        if (!one_of(word, words))
            return false;
        value += len;
        if (*value && !*++value)
            return false;
    }
    return true;
}

/* Which addresses may be asked without TLS is decided where they are asked (url_watch). */
static bool good_jwks(const char *value)
{
    return strcspn(value, " \t\r\n") == strlen(value);
}

static bool good_nets(const char *value)
{
    struct bgw_nets *nets = NULL;
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    bool good = bgw_nets_parse(&nets, value, &error) == BGW_OK;
    bgw_nets_release(nets);
    bgw_buf_deinit(&error);
    return good;
}

static bool good_format(const char *value)
{
    return strcmp(value, "auto") == 0 || strcmp(value, "json") == 0 || strcmp(value, "pretty") == 0;
}

static bool good_hash_v(const char *value)
{
    static const char *const words[] = {"version", "opaque", NULL};
    return one_of(value, words);
}

static bool good_flags(const char *value)
{
    struct bgw_flags flags;
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    bool good = bgw_flags_parse(&flags, value, &error) == BGW_OK;
    bgw_buf_deinit(&error);
    return good;
}

#define ADDRESS_PHRASE "host:port, port 0 to 65535, such as 127.0.0.1:5851 or [::1]:0"
#define TOPIC_PHRASE "a topic name: 1 to 249 of A-Z a-z 0-9 . _ -"

static const struct {
    int row;
    bool (*good)(const char *value);
    const char *phrase;
} rules[] = {
    {BGW_CONFIG_ROW_kafka_bootstrap, good_brokers,
     "host:port, several separated by commas without spaces, or embedded"},
    {BGW_CONFIG_ROW_topic_balance_updates, good_topic, TOPIC_PHRASE},
    {BGW_CONFIG_ROW_topic_ledger, good_topic, TOPIC_PHRASE},
    {BGW_CONFIG_ROW_topic_revocations, good_topic, TOPIC_PHRASE},
    {BGW_CONFIG_ROW_trusted_proxies, good_nets,
     "networks such as 10.0.0.0/8,2001:db8::/32 (address/bits without host bits), separated by commas"},
    {BGW_CONFIG_ROW_tls_min, good_tls_min, "1.2 or 1.3"},
    {BGW_CONFIG_ROW_tls_client_auth, good_client_auth, "off, optional, required or staff"},
    {BGW_CONFIG_ROW_jwt_algs, good_algs, "some of HS256,RS256,PS256,ES256,EdDSA, separated by commas"},
    {BGW_CONFIG_ROW_jwt_jwks, good_jwks, "a file, https://… or http:// on a loopback address, without spaces"},
    {BGW_CONFIG_ROW_hash_v, good_hash_v, "version or opaque"},
    {BGW_CONFIG_ROW_flags, good_flags, "all, none, or some of shedding,l1,l2,hedge,push,filter,stale, separated by commas"},
    {BGW_CONFIG_ROW_rewind, good_rewind, "a duration such as 500ms, 60s, 10m or 2h, or beginning"},
    {BGW_CONFIG_ROW_epoch, good_epoch, "1 to 8 of 0-9 a-z"},
    {BGW_CONFIG_ROW_default_tenant, good_tenant, "1 to 50 of A-Z a-z 0-9 _ -"},
    {BGW_CONFIG_ROW_default_currency, good_currency, "three capital letters, such as NGN"},
    {BGW_CONFIG_ROW_listen, good_address, ADDRESS_PHRASE},
    {BGW_CONFIG_ROW_admin_listen, good_address, ADDRESS_PHRASE},
    {BGW_CONFIG_ROW_origins, good_origins,
     "scheme://host[:port] without path or slash at the end, several separated by commas without "
     "spaces, or *"},
    {BGW_CONFIG_ROW_log_level, good_level, "debug, info, warn or error"},
    {BGW_CONFIG_ROW_log_format, good_format, "auto, json or pretty"},
};

const char *bgw_config_check(int row, const char *value)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
        if (rules[i].row == row && !rules[i].good(value))
            return rules[i].phrase;
    return NULL;
}
