/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-config: a file, variables and flags into a configuration.
 *
 *   text of the file NUL item NUL item …      an item is KEY=value, --flag, or "=" and a bare argument
 *
 * Properties: a load either passes, and every number is within its range, or fails with a sentence
 * and leaves nothing; loading twice gives the same; the listing as JSON is JSON; a secret is in
 * no error and in no listing.
 */
#include "fuzz.h"

#include "bgw/config.h"
#include "bgw/json.h"

#include <sys/mman.h>
#include <unistd.h>

#define ITEMS_MAX 32
#define SECRET "SECRETSECRETSECRETSECRETSECRETSECRET"

static int file = -1;

/* one input, taken apart */
struct given {
    char *text;
    char *env[ITEMS_MAX + 2], *argv[ITEMS_MAX + 1];
    int argc;
};

static bool contains(struct bgw_slice text, const char *what)
{
    return text.len && memmem(text.data, text.len, what, strlen(what));
}

/* Every SECRET stands as the value of a key that is one. */
static bool secrets_are_where_they_belong(struct bgw_slice text)
{
    static const char *const before[] = {"\nBGW_JWT_SECRET=", "\nBGW_RESUME_SECRET="};
    bool any = false;
    for (const char *at = text.data; (at = memmem(at, text.len - (size_t)(at - text.data), SECRET, strlen(SECRET)));
         at += strlen(SECRET)) {
        size_t offset = (size_t)(at - text.data), len0 = strlen(before[0]), len1 = strlen(before[1]);
        any = true;
        if (!(offset >= len0 && memcmp(at - len0, before[0], len0) == 0) &&
            !(offset >= len1 && memcmp(at - len1, before[1], len1) == 0))
            return false;
    }
    return any;
}

static void give_file(struct bgw_slice text)
{
    FUZZ_CHECK(ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0);
    FUZZ_CHECK(text.len == 0 || write(file, text.data, text.len) == (ssize_t)text.len);
}

static void take_apart(struct given *g, struct bgw_slice bytes)
{
    static char config[64];
    size_t env_count = 0, items = 0;
    snprintf(config, sizeof(config), "BGW_CONFIG=/proc/self/fd/%d", file);
    *g = (struct given){.text = malloc(bytes.len + 1)};
    FUZZ_CHECK(g->text);
    memcpy(g->text, bytes.data, bytes.len);
    g->text[bytes.len] = '\0';
    g->env[env_count++] = config;
    for (char *at = g->text, *end = g->text + bytes.len; at < end && items < ITEMS_MAX; items++) {
        if (*at == '-')
            g->argv[g->argc++] = at;
        else if (*at == '=')
            g->argv[g->argc++] = at + 1;
        else
            g->env[env_count++] = at;
        at += strlen(at) + 1;
    }
}

static void check_ranges(const struct bgw_config *c)
{
#define BGW_CONFIG_STR(id, env, flag, def, flags, help) FUZZ_CHECK(c->id);
#define BGW_CONFIG_INT(id, env, flag, def, min, max, help) FUZZ_CHECK(c->id >= (min) && c->id <= (max));
#define BGW_CONFIG_BOOL(id, env, flag, def, help)
#include "../../server/config/config.def"
#undef BGW_CONFIG_STR
#undef BGW_CONFIG_INT
#undef BGW_CONFIG_BOOL
    FUZZ_CHECK(c->kafka_prop_count <= BGW_KAFKA_PROPS_MAX);
    for (size_t i = 0; i < c->kafka_prop_count; i++)
        FUZZ_CHECK(c->kafka_props[i].name && c->kafka_props[i].value);
}

static void show(const struct bgw_config *c, bool json, struct bgw_buf *out)
{
    bgw_buf_init(out, 1 << 22);
    bgw_config_show(c, json, out);
    FUZZ_CHECK(!out->failed);
}

static void check_loaded(const struct bgw_config *c, const struct bgw_config *again, bool secret, bool utf8)
{
    struct bgw_buf text, text_again, json;
    struct bgw_json root;
    check_ranges(c);
    show(c, false, &text);
    show(again, false, &text_again);
    show(c, true, &json);
    FUZZ_CHECK(bgw_slice_eq(bgw_buf_slice(&text), bgw_buf_slice(&text_again)));
    FUZZ_CHECK(!utf8 || bgw_json_parse(bgw_buf_slice(&json), &root) == BGW_OK);
    FUZZ_CHECK(!secret || (!contains(bgw_buf_slice(&text), SECRET) && !contains(bgw_buf_slice(&json), SECRET)));
    bgw_buf_deinit(&text);
    bgw_buf_deinit(&text_again);
    bgw_buf_deinit(&json);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    file = memfd_create("config", MFD_CLOEXEC);
    FUZZ_CHECK(file >= 0);
    return 0;
}

static void load(const struct given *g, struct bgw_slice whole)
{
    struct bgw_config c, again;
    struct bgw_buf error, error_again;
    char *line = malloc(whole.len + 1); /* as if every item began a line; a line's end inside of one is part of its value */
    bool items = false;
    FUZZ_CHECK(line);
    line[0] = '\n';
    for (size_t i = 0; i < whole.len; i++) {
        items = items || !whole.data[i];
        line[i + 1] = !whole.data[i] ? '\n' : items && whole.data[i] == '\n' ? ' ' : whole.data[i];
    }
    bool secret = secrets_are_where_they_belong(bgw_slice_of(line, whole.len + 1));
    free(line);
    bgw_buf_init(&error, 4096);
    bgw_buf_init(&error_again, 4096);
    enum bgw_status status = bgw_config_load(&c, g->argc, (char **)g->argv, g->env, &error);
    FUZZ_CHECK(bgw_config_load(&again, g->argc, (char **)g->argv, g->env, &error_again) == status);
    if (status == BGW_OK) {
        check_loaded(&c, &again, secret, bgw_utf8_valid(whole));
    } else {
        FUZZ_CHECK(status == BGW_CONFIG || status == BGW_USAGE || status == BGW_UNKNOWN_KEY);
        FUZZ_CHECK(error.len && !c.priv && !c.jwt_secret && !c.kafka_prop_count);
        FUZZ_CHECK(bgw_slice_eq(bgw_buf_slice(&error), bgw_buf_slice(&error_again)));
        FUZZ_CHECK(!secret || !contains(bgw_buf_slice(&error), SECRET));
    }
    bgw_config_deinit(&c);
    bgw_config_deinit(&again);
    bgw_buf_deinit(&error);
    bgw_buf_deinit(&error_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    struct bgw_slice whole = {(const char *)data, size};
    struct given g;
    /* values may name files: of the machine's own, devices could block */
    if (contains(whole, "/dev") || contains(whole, "/proc") || contains(whole, ".."))
        return 0;
    give_file(fuzz_until(&in, '\0'));
    take_apart(&g, fuzz_rest(&in));
    load(&g, whole);
    free(g.text);
    return 0;
}
