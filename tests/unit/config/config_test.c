/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: which layer wins, what is refused and in which words, and that no secret is
 * ever printed. Files are written below a fresh directory in /tmp.
 */
#include "bgw/config.h"

#include "bgw/json.h"

#include "../test.h"

#include <unistd.h>

#define WORDS_MAX 16

/* one load: what it said */
struct load {
    struct bgw_config c;
    struct bgw_buf error;
    enum bgw_status status;
};

/* `flags` and `env` are separated by single spaces; NULL: none. */
static size_t split(char *text, char **words)
{
    size_t n = 0;
    for (char *word = strtok(text, " "); word && n + 1 < WORDS_MAX; word = strtok(NULL, " "))
        words[n++] = word;
    words[n] = NULL;
    return n;
}

static void load(struct load *l, const char *flags, const char *env)
{
    char flag_text[1024], env_text[1024];
    char *flag_words[WORDS_MAX], *env_words[WORDS_MAX];
    snprintf(flag_text, sizeof(flag_text), "%s", flags ? flags : "");
    snprintf(env_text, sizeof(env_text), "%s", env ? env : "");
    size_t count = split(flag_text, flag_words);
    split(env_text, env_words);
    bgw_buf_init(&l->error, 4096);
    l->status = bgw_config_load(&l->c, (int)count, flag_words, env_words, &l->error);
    bgw_buf_append_byte(&l->error, '\0');
}

static void unload(struct load *l)
{
    bgw_config_deinit(&l->c);
    bgw_buf_deinit(&l->error);
}

static void check_refused(const char *flags, const char *env, enum bgw_status want,
                          const char *const *phrases)
{
    struct load l;
    load(&l, flags, env);
    if (l.status != want)
        test_fail_(__FILE__, __LINE__, "[%s] [%s] is %s, not %s: %s", flags ? flags : "",
                   env ? env : "", bgw_status_name(l.status), bgw_status_name(want), l.error.data);
    for (; *phrases; phrases++)
        if (!strstr(l.error.data, *phrases))
            test_fail_(__FILE__, __LINE__, "<%s> does not say <%s>", l.error.data, *phrases);
    CHECK(l.status == BGW_OK || l.c.priv == NULL);
    unload(&l);
}

#define REFUSED(flags, env, status, ...)                                                           \
    check_refused(flags, env, BGW_##status, (const char *const[]){__VA_ARGS__, NULL})

static void check_accepted(const char *flags, const char *env)
{
    struct load l;
    load(&l, flags, env);
    if (l.status != BGW_OK)
        test_fail_(__FILE__, __LINE__, "[%s] [%s] is refused: %s", flags ? flags : "",
                   env ? env : "", l.error.data);
    unload(&l);
}

/* A file below a directory of this test's own; the name is good until the next call. */
static const char *file_with(const char *content)
{
    static char path[64];
    snprintf(path, sizeof(path), "/tmp/bgw-config-test-XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK_EQ_I64(write(fd, content, strlen(content)), (int64_t)strlen(content));
    close(fd);
    return path;
}

/* Runs a load whose flags or environment name the file at %s. */
static void load_with_file(struct load *l, const char *flags, const char *env, const char *content)
{
    char flag_text[256], env_text[256];
    const char *path = file_with(content), *at;
    at = strstr(flags, "@");
    snprintf(flag_text, sizeof(flag_text), "%.*s%s%s", at ? (int)(at - flags) : (int)strlen(flags),
             flags, at ? path : "", at ? at + 1 : "");
    at = strstr(env, "@");
    snprintf(env_text, sizeof(env_text), "%.*s%s%s", at ? (int)(at - env) : (int)strlen(env), env,
             at ? path : "", at ? at + 1 : "");
    load(l, flag_text, env_text);
    unlink(path);
}

TEST(defaults_hold_where_nothing_is_given)
{
    struct load l;
    load(&l, NULL, "PATH=/bin HOME=/root");
    CHECK_EQ_I64(l.status, BGW_OK);
    CHECK_EQ_STR(l.c.listen, "0.0.0.0:5851");
    CHECK_EQ_STR(l.c.kafka_bootstrap, "");
    CHECK_EQ_STR(l.c.default_currency, "NGN");
    CHECK_EQ_I64(l.c.drain_s, 20);
    CHECK_EQ_I64(l.c.fresh_ms, 3000);
    CHECK(!l.c.demo && !bgw_config_given(&l.c, "BGW_LISTEN"));
    unload(&l);
}

TEST(flag_wins_over_environment_over_file_over_default)
{
    struct load l;
    load_with_file(&l, "--config @", "", "BGW_SHARDS=3\n");
    CHECK_EQ_I64(l.c.shards, 3);
    unload(&l);
    load_with_file(&l, "--config @", "BGW_SHARDS=4", "BGW_SHARDS=3\nBGW_PING_S=7\n");
    CHECK_EQ_I64(l.c.shards, 4);
    CHECK_EQ_I64(l.c.ping_s, 7);
    unload(&l);
    load_with_file(&l, "--shards 5", "BGW_SHARDS=4 BGW_CONFIG=@", "BGW_SHARDS=3\n");
    CHECK_EQ_I64(l.c.shards, 5);
    CHECK(bgw_config_given(&l.c, "BGW_SHARDS"));
    unload(&l);
    load_with_file(&l, "--shards=6 --config=@", "BGW_CONFIG=/nowhere", "BGW_PING_S=9\n");
    CHECK_EQ_I64(l.c.shards, 6);
    CHECK_EQ_I64(l.c.ping_s, 9);
    unload(&l);
}

TEST(an_unknown_key_names_the_nearest)
{
    REFUSED("--shrads 4", NULL, USAGE, "--shrads", "--shards");
    REFUSED("--lisen=0.0.0.0:1", NULL, USAGE, "--lisen", "--listen");
    REFUSED("--kafka-boostrap x:1", NULL, USAGE, "--kafka-bootstrap");
    REFUSED("--confg /x", NULL, USAGE, "--config");
    REFUSED("--jwt-secrets-file x", NULL, USAGE, "--jwt-secret");
    REFUSED(NULL, "BGW_SHARD=4", UNKNOWN_KEY, "BGW_SHARD:", "environment", "BGW_SHARDS");
    REFUSED(NULL, "BGW_LISTEN_ADMIN=x:1", UNKNOWN_KEY, "BGW_LISTEN_ADMIN");
    REFUSED(NULL, "BGW_CONFG=/x", UNKNOWN_KEY, "BGW_CONFIG");
    REFUSED(NULL, "BGW_SHARDS_FILE=/x", UNKNOWN_KEY, "BGW_SHARDS");
    REFUSED(NULL, "BGW_=1", UNKNOWN_KEY, "nearest");
}

TEST(mistyped_kafka_keys_are_not_taken_for_properties)
{
    REFUSED(NULL, "KAFKA_BOOTSTRP=a:1", UNKNOWN_KEY, "KAFKA_BOOTSTRAP");
    REFUSED(NULL, "KAFKA_BOOSTRAP=a:1", UNKNOWN_KEY, "KAFKA_BOOTSTRAP");
    REFUSED(NULL, "KAFKA_BOOTSTRAP_SERVERS=a:1", UNKNOWN_KEY,
            "nearest known one is KAFKA_BOOTSTRAP.");
    REFUSED(NULL, "KAFKA_METADATA_BROKER_LIST=a:1", UNKNOWN_KEY, "KAFKA_BOOTSTRAP");
}

TEST(variables_of_others_are_left_alone)
{
    struct load l;
    load(&l, NULL,
         "KAFKA_PORT=tcp://10.0.0.1:9092 KAFKA_PORT_9092_TCP_ADDR=10.0.0.1 "
         "KAFKA_SERVICE_HOST=10.0.0.1 "
         "BGW_PORT=tcp://10.0.0.2:5851 BGW_SERVICE_PORT_WS=5851 BGW_DEV_CACHE=/x TERM=xterm");
    CHECK_EQ_I64(l.status, BGW_OK);
    CHECK_EQ_I64(l.c.kafka_prop_count, 0);
    unload(&l);
    REFUSED(NULL, "BGW_PORT=5851", UNKNOWN_KEY, "BGW_PORT");
}

TEST(integers_outside_their_range_are_refused_with_the_range)
{
    REFUSED("--shards 65", NULL, CONFIG, "--shards", "\"65\"", "from 0 to 64", "flag");
    REFUSED(NULL, "BGW_SHARDS=-1", CONFIG, "BGW_SHARDS", "\"-1\"", "from 0 to 64", "environment");
    REFUSED(NULL, "BGW_JWT_LEEWAY_S=301", CONFIG, "from 0 to 300");
    static const char *const odd[] = {
        "x", "1.5", "0x10", "1e3", "+1", "1s", "9223372036854775808", "99999999999999999999",
        "-", "--1", "1\n"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        char env[64];
        snprintf(env, sizeof(env), "BGW_SHARDS=%s", odd[i]);
        REFUSED(NULL, env, CONFIG, "whole number from 0 to 64");
    }
    check_accepted("--shards 64", NULL);
    check_accepted("--shards 0", NULL);
}

TEST(a_long_wrong_value_is_cut_in_the_error)
{
    char env[400] = "BGW_SHARDS=";
    memset(env + 11, 'y', 300);
    struct load l;
    load(&l, NULL, env);
    CHECK_EQ_I64(l.status, BGW_CONFIG);
    CHECK(l.error.len < 250);
    unload(&l);
}

TEST(values_with_a_grammar_are_checked)
{
    REFUSED("--listen 5851", NULL, CONFIG, "host:port");
    REFUSED("--listen :5851", NULL, CONFIG, "host:port");
    REFUSED("--listen 1.2.3.4:65536", NULL, CONFIG, "65535");
    REFUSED("--listen 1.2.3.4:", NULL, CONFIG, "host:port");
    REFUSED("--listen ::1:80", NULL, CONFIG, "[::1]");
    REFUSED("--listen http://a:80", NULL, CONFIG, "host:port");
    REFUSED("--listen=", NULL, CONFIG, "host:port");
    check_accepted("--listen [::1]:0 --admin-listen localhost:0", NULL);
    REFUSED("--default-currency ngn", NULL, CONFIG, "three capital letters");
    REFUSED("--default-tenant a/b", NULL, CONFIG, "1 to 50");
    REFUSED("--epoch K3F9", NULL, CONFIG, "0-9 a-z");
    REFUSED("--epoch 123456789", NULL, CONFIG, "1 to 8");
    REFUSED("--topic-ledger a/b", NULL, CONFIG, "topic name");
    REFUSED("--rewind 60", NULL, CONFIG, "60s");
    REFUSED("--rewind forever", NULL, CONFIG, "beginning");
    check_accepted("--rewind beginning --epoch k3f9 --topic-ledger a.b-c_D", NULL);
    REFUSED("--log-level loud", NULL, CONFIG, "debug, info, warn or error");
    REFUSED("--log-format xml", NULL, CONFIG, "json");
    REFUSED("--kafka-bootstrap a:1,,b:2", NULL, CONFIG, "commas");
    REFUSED("--fresh-ms 5000 --stale-ms 4000", NULL, CONFIG, "BGW_STALE_MS", "4000", "5000");
}

TEST(origins_are_whole_and_without_a_path)
{
    check_accepted("--origins https://a.example,http://b:8080,*", NULL);
    check_accepted("--origins *", NULL);
    REFUSED("--origins https://a.example/", NULL, CONFIG, "without path");
    REFUSED("--origins a.example", NULL, CONFIG, "scheme://");
    REFUSED("--origins https://a,", NULL, CONFIG, "commas");
    REFUSED("--origins https://", NULL, CONFIG, "scheme://");
    REFUSED("--origins a,https://b", NULL, CONFIG, "scheme://");
}

TEST(switches_take_no_value_or_one_of_true_and_false)
{
    struct load l;
    load(&l, "--demo --shards 2", NULL);
    CHECK(l.status == BGW_OK && l.c.demo && l.c.shards == 2);
    unload(&l);
    load(&l, "--demo=false", "BGW_DEMO=on");
    CHECK(l.status == BGW_OK && !l.c.demo);
    unload(&l);
    REFUSED("--demo=maybe", NULL, CONFIG, "true or false");
    REFUSED("--demo maybe", NULL, USAGE, "maybe");
}

TEST(a_flag_without_its_value_is_a_usage_error)
{
    REFUSED("--listen", NULL, USAGE, "--listen", "missing");
    REFUSED("--listen --demo", NULL, USAGE, "--listen", "missing");
    REFUSED("--config", NULL, USAGE, "missing");
    REFUSED("listen", NULL, USAGE, "listen");
    REFUSED("-x", NULL, USAGE, "-x");
    REFUSED("--", NULL, USAGE, "--");
    REFUSED("--=x", NULL, USAGE, "--");
}

TEST(an_empty_variable_counts_as_not_set)
{
    struct load l;
    load(&l, NULL, "BGW_SHARDS= BGW_LISTEN= KAFKA_SASL_PASSWORD= BGW_JWT_SECRET_FILE=");
    CHECK_EQ_I64(l.status, BGW_OK);
    CHECK_EQ_STR(l.c.listen, "0.0.0.0:5851");
    CHECK_EQ_I64(l.c.kafka_prop_count, 0);
    unload(&l);
    REFUSED(NULL, "BGW_SHRADS=", UNKNOWN_KEY, "BGW_SHARDS"); /* empty, but nobody's */
}

TEST(demo_brings_its_own_broker_unless_one_is_given)
{
    struct load l;
    load(&l, "--demo", NULL);
    CHECK_EQ_STR(l.c.kafka_bootstrap, "embedded");
    CHECK(!bgw_config_given(&l.c, "KAFKA_BOOTSTRAP"));
    unload(&l);
    load(&l, "--demo", "KAFKA_BOOTSTRAP=k:9092");
    CHECK_EQ_STR(l.c.kafka_bootstrap, "k:9092");
    unload(&l);
}

static const char *property(const struct bgw_config *c, const char *name)
{
    for (size_t i = 0; i < c->kafka_prop_count; i++)
        if (strcmp(c->kafka_props[i].name, name) == 0)
            return c->kafka_props[i].value;
    return NULL;
}

TEST(kafka_properties_pass_through)
{
    struct load l;
    load_with_file(&l, "--config @",
                   "KAFKA_SECURITY_PROTOCOL=SASL_SSL KAFKA_SOCKET_KEEPALIVE_ENABLE=true",
                   "KAFKA_SECURITY_PROTOCOL=PLAINTEXT\nKAFKA_CLIENT_ID=me\n");
    CHECK_EQ_I64(l.status, BGW_OK);
    CHECK_EQ_I64(l.c.kafka_prop_count, 3);
    CHECK_EQ_STR(property(&l.c, "security.protocol"), "SASL_SSL");
    CHECK_EQ_STR(property(&l.c, "socket.keepalive.enable"), "true");
    CHECK_EQ_STR(property(&l.c, "client.id"), "me");
    unload(&l);
}

TEST(more_properties_than_the_maximum_are_refused)
{
    char content[8192];
    size_t n = 0;
    struct load l;
    for (int i = 0; i <= BGW_KAFKA_PROPS_MAX; i++)
        n += (size_t)snprintf(content + n, sizeof(content) - n, "KAFKA_SOME_PROPERTY_%d=1\n", i);
    load_with_file(&l, "--config @", "", content);
    CHECK_EQ_I64(l.status, BGW_CONFIG);
    CHECK(strstr(l.error.data, "64") != NULL);
    unload(&l);
}

TEST(secrets_are_read_from_files_without_their_last_newline)
{
    struct load l;
    load_with_file(&l, "", "BGW_JWT_SECRET_FILE=@", "top secret \n");
    CHECK_EQ_I64(l.status, BGW_OK);
    CHECK_EQ_STR(l.c.jwt_secret, "top secret ");
    CHECK(bgw_config_given(&l.c, "BGW_JWT_SECRET"));
    unload(&l);
    load_with_file(&l, "--resume-secret-file @", "", "two\nlines\r\n");
    CHECK_EQ_STR(l.c.resume_secret, "two\nlines");
    unload(&l);
    load_with_file(&l, "", "KAFKA_SASL_PASSWORD_FILE=@", "pw");
    CHECK_EQ_STR(property(&l.c, "sasl.password"), "pw");
    unload(&l);
}

TEST(files_that_cannot_serve_are_refused_by_name)
{
    REFUSED(NULL, "BGW_JWT_SECRET_FILE=/nowhere/at/all", CONFIG, "BGW_JWT_SECRET_FILE",
            "/nowhere/at/all", "No such file");
    REFUSED("--config /nowhere/at/all", NULL, CONFIG, "/nowhere/at/all");
    REFUSED("--config /tmp", NULL, CONFIG, "/tmp", "directory");
    REFUSED("--jwt-secret-file /dev/zero", NULL, CONFIG, "/dev/zero");
    struct load l;
    load_with_file(&l, "", "BGW_JWT_SECRET_FILE=@", "\n");
    CHECK_EQ_I64(l.status, BGW_CONFIG);
    CHECK(strstr(l.error.data, "empty") != NULL);
    unload(&l);
}

TEST(a_key_given_twice_in_one_layer_is_refused)
{
    struct load l;
    load_with_file(&l, "--config @", "", "BGW_SHARDS=1\nBGW_SHARDS=2\n");
    CHECK_EQ_I64(l.status, BGW_CONFIG);
    CHECK(strstr(l.error.data, "twice") && strstr(l.error.data, "line 2"));
    unload(&l);
    load_with_file(&l, "", "BGW_JWT_SECRET=a BGW_JWT_SECRET_FILE=@", "b");
    CHECK_EQ_I64(l.status, BGW_CONFIG);
    CHECK(strstr(l.error.data, "twice") != NULL);
    unload(&l);
    load_with_file(&l, "", "KAFKA_SASL_PASSWORD=a KAFKA_SASL_PASSWORD_FILE=@", "b");
    CHECK_EQ_I64(l.status, BGW_CONFIG);
    unload(&l);
    check_accepted("--shards 1 --shards 2", NULL); /* on a command line the last one counts */
}

TEST(a_file_has_comments_blanks_and_quotes)
{
    struct load l;
    load_with_file(
        &l, "--config @", "",
        "# a comment\n\n  BGW_SHARDS = 3   # cores\r\n\tBGW_EPOCH=\"k3f9\" # quoted\n"
        "BGW_JWT_SECRET=\"a # b\"\nBGW_JWT_ISSUER=a#b\nBGW_READY_FILE=#nothing\nBGW_PING_S=9");
    CHECK_EQ_I64(l.status, BGW_OK);
    CHECK_EQ_I64(l.c.shards, 3);
    CHECK_EQ_STR(l.c.epoch, "k3f9");
    CHECK_EQ_STR(l.c.jwt_secret, "a # b");
    CHECK_EQ_STR(l.c.jwt_issuer, "a#b");
    CHECK_EQ_STR(l.c.ready_file, "");
    CHECK_EQ_I64(l.c.ping_s, 9);
    unload(&l);
}

TEST(a_mistake_in_the_file_names_its_line)
{
    struct load l;
    load_with_file(&l, "--config @", "", "# one\nBGW_SHRADS=3\n");
    CHECK_EQ_I64(l.status, BGW_UNKNOWN_KEY);
    CHECK(strstr(l.error.data, "line 2") && strstr(l.error.data, "BGW_SHARDS"));
    unload(&l);
    load_with_file(&l, "--config @", "", "shards\n");
    CHECK_EQ_I64(l.status, BGW_CONFIG);
    CHECK(strstr(l.error.data, "line 1") && strstr(l.error.data, "KEY=VALUE"));
    unload(&l);
    load_with_file(&l, "--config @", "", "PATH=/bin\n");
    CHECK_EQ_I64(l.status, BGW_UNKNOWN_KEY);
    unload(&l);
}

static void show(const struct load *l, bool json, struct bgw_buf *out)
{
    bgw_buf_init(out, 65536);
    bgw_config_show(&l->c, json, out);
    bgw_buf_append_byte(out, '\0');
    CHECK(!out->failed);
}

TEST(the_listing_shows_values_and_origins_but_no_secret)
{
    struct load l;
    struct bgw_buf text;
    load(&l, "--shards 2 --jwt-secret hunter2a",
         "KAFKA_SASL_PASSWORD=hunter2b KAFKA_SASL_USERNAME=bob "
         "KAFKA_SSL_KEY_PASSWORD=hunter2c BGW_PING_S=9");
    for (int json = 0; json < 2; json++) {
        show(&l, json, &text);
        CHECK(strstr(text.data, "hunter2") == NULL);
        bgw_buf_deinit(&text);
    }
    show(&l, false, &text);
    CHECK(strstr(text.data, "BGW_SHARDS=2  # flag\n") != NULL);
    CHECK(strstr(text.data, "BGW_PING_S=9  # environment\n") != NULL);
    CHECK(strstr(text.data, "BGW_JWT_SECRET=***  # flag\n") != NULL);
    CHECK(strstr(text.data, "BGW_RESUME_SECRET=  # default\n") != NULL);
    CHECK(strstr(text.data, "KAFKA_SASL_PASSWORD=***  # environment\n") != NULL);
    CHECK(strstr(text.data, "KAFKA_SASL_USERNAME=bob  # environment\n") != NULL);
    CHECK(strstr(text.data, "KAFKA_SSL_KEY_PASSWORD=***") != NULL);
    CHECK(strstr(text.data, "BGW_DEMO=false  # default\n") != NULL);
    bgw_buf_deinit(&text);
    unload(&l);
}

TEST(a_wrong_secret_is_not_repeated_in_the_error)
{
    REFUSED("--jwt-secret hunter2 --shards x", NULL, CONFIG, "--shards");
    struct load l;
    load(&l, "--jwt-secret hunter2 --shards x", NULL);
    CHECK(strstr(l.error.data, "hunter2") == NULL);
    unload(&l);
}

TEST(the_json_listing_is_one_object)
{
    struct load l;
    struct bgw_buf text;
    struct bgw_json root, key, value;
    load(&l, "--web-root a\"b\\c", "KAFKA_CLIENT_ID=me");
    bgw_buf_init(&text, 65536);
    bgw_config_show(&l.c, true, &text);
    CHECK_EQ_I64(bgw_json_parse(bgw_buf_slice(&text), &root), BGW_OK);
    CHECK(bgw_json_member(&root, "BGW_WEB_ROOT", &key) && bgw_json_member(&key, "value", &value));
    CHECK(bgw_json_is(&value, "a\"b\\c"));
    CHECK(bgw_json_member(&key, "origin", &value) && bgw_json_is(&value, "flag"));
    CHECK(bgw_json_member(&root, "KAFKA_CLIENT_ID", &key));
    CHECK(bgw_json_member(&root, "BGW_SHARDS", &key) && bgw_json_member(&key, "value", &value));
    CHECK_SLICE(value.raw, "0");
    bgw_buf_deinit(&text);
    unload(&l);
}

TEST(the_listing_can_be_read_back_as_a_file)
{
    struct load l, again;
    struct bgw_buf text, text_again;
    load(&l, "--web-root a#b\"c --shards 4 --demo --origins https://a.example",
         "KAFKA_CLIENT_ID=me");
    show(&l, false, &text);
    load_with_file(&again, "--config @", "", text.data);
    CHECK_EQ_I64(again.status, BGW_OK);
    CHECK_EQ_STR(again.c.web_root, "a#b\"c");
    CHECK(again.c.shards == 4 && again.c.demo);
    show(&again, false, &text_again);
    CHECK(strstr(text_again.data, "KAFKA_CLIENT_ID=me  # file\n") != NULL);
    bgw_buf_deinit(&text);
    bgw_buf_deinit(&text_again);
    unload(&l);
    unload(&again);
}

TEST(help_lists_every_flag_with_its_variable)
{
    struct bgw_buf text;
    bgw_buf_init(&text, 65536);
    bgw_config_help(&text);
    bgw_buf_append_byte(&text, '\0');
    CHECK(!text.failed);
    static const char *const names[] = {
#define BGW_CONFIG_STR(id, env, flag, def, flags, help) "--" flag " VALUE\n", env "\n",
#define BGW_CONFIG_INT(id, env, flag, def, min, max, help) "--" flag " N\n", env "\n",
#define BGW_CONFIG_BOOL(id, env, flag, def, help) "--" flag "\n", env "\n",
#undef BGW_CONFIG_SECRET
#include "../../../server/config/config.def"
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i += 2) {
        CHECK(strstr(text.data, names[i]) != NULL);
        CHECK(strstr(text.data, names[i + 1]) || strstr(text.data, "_FILE"));
    }
    bgw_buf_deinit(&text);
}

TEST(durations_are_a_number_and_a_unit)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"500ms", 500},  {"60s", 60000}, {"10m", 600000},
                {"2h", 7200000}, {"0s", 0},      {"2147483647h", 2147483647LL * 3600000}};
    static const char *const bad[] = {"",    "60",  "s",        "-1s",         "1.5s",
                                      "1 s", "1S",  "1d",       "2147483648s", "99999999999s",
                                      "1s ", "1sm", "beginning"};
    int64_t ms;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        ms = -1;
        CHECK_EQ_I64(bgw_config_duration_ms(good[i].text, &ms), BGW_OK);
        CHECK_EQ_I64(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        CHECK_EQ_I64(bgw_config_duration_ms(bad[i], &ms), BGW_BAD_VALUE);
}
