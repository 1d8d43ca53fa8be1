/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_commands: what a client says in bgw.v1, decoded strictly into calls of the shard. Hides
 * the JSON of commands. Called by conn for each whole text message, on its shard's thread.
 * Invariant: a message leads to exactly one call of the session, an error included, so each gets
 * its answer.
 */
#include "native.h"

#include "command_text.h"

#include "bgw/assert.h"
#include "bgw/hash.h"
#include "bgw/json.h"
#include "bgw/metrics.h"

#include <stdlib.h>

#define TEXT_MIN 65536u  /* decoded strings of one command: never more than the message; grows with it */
#define SINCE_MAX 4000u  /* versions of one command */
#define INDEX_SIZE 2048u /* power of two above BGW_JSON_MEMBERS_MAX */

struct bgw_native_scratch { /* shard thread only */
    struct bgw_sub_key keys[BGW_NATIVE_KEYS_MAX];
    struct bgw_since since[SINCE_MAX];
    size_t since_count;
    struct command_text text;
    /* members of `since` by name: position + 1, 0 empty */
    struct bgw_json since_values[BGW_JSON_MEMBERS_MAX];
    struct bgw_slice since_names[BGW_JSON_MEMBERS_MAX];
    uint16_t index[INDEX_SIZE];
    char token[BGW_TOKEN_MAX];
};

/* one message's */
struct command {
    const struct bgw_native *n;
    struct bgw_session *session;
    struct bgw_json root;
    struct bgw_now now;
    uint64_t id;
    bool has_id;
};

typedef enum bgw_native_result (*command_fn)(struct command *c);

struct bgw_native_scratch *bgw_native_scratch_create(void)
{
    struct bgw_native_scratch *s = calloc(1, sizeof(*s));
    if (s && !command_text_begin(&s->text, TEXT_MIN))
        bgw_native_scratch_destroy(&s);
    return s;
}

void bgw_native_scratch_destroy(struct bgw_native_scratch **scratch)
{
    if (*scratch)
        command_text_deinit(&(*scratch)->text);
    free(*scratch);
    *scratch = NULL;
}

/* ---- answers ---- */

static enum bgw_native_result refuse(struct command *c, const char *code, const char *text)
{
    bgw_session_err(c->n->shard, c->session, c->has_id, c->id, code, text, true);
    return BGW_NATIVE_DONE;
}

static enum bgw_native_result need_id(struct command *c)
{
    return refuse(c, "bad_request", "this command needs an id: an integer from 0 to 2^63 - 1");
}

/* ---- since ---- */

static void since_insert(struct bgw_native_scratch *s, size_t position)
{
    size_t at = (size_t)bgw_hash_keyed(s->since_names[position]) & (INDEX_SIZE - 1);
    while (s->index[at])
        at = (at + 1) & (INDEX_SIZE - 1);
    s->index[at] = (uint16_t)(position + 1);
}

static const struct bgw_json *since_find(const struct bgw_native_scratch *s, struct bgw_slice name)
{
    size_t at = (size_t)bgw_hash_keyed(name) & (INDEX_SIZE - 1);
    for (; s->index[at]; at = (at + 1) & (INDEX_SIZE - 1)) {
        if (bgw_slice_eq(s->since_names[s->index[at] - 1], name))
            return &s->since_values[s->index[at] - 1];
    }
    return NULL;
}

static bool since_index(struct bgw_native_scratch *s, const struct bgw_json *since)
{
    const char *cursor = NULL;
    struct bgw_json name;
    size_t count = 0;
    memset(s->index, 0, sizeof(s->index));
    if (since->type != BGW_JSON_OBJECT)
        return false;
    while (bgw_json_next(since, &cursor, &name, &s->since_values[count])) {
        if (!command_text_take(&s->text, &name, &s->since_names[count]))
            return false;
        since_insert(s, count++);
        BGW_ASSERT(count < BGW_JSON_MEMBERS_MAX); /* the parser counts `since` itself among them */
    }
    return true;
}

static bool since_add(struct bgw_native_scratch *s, bgw_part part, const struct bgw_json *value)
{
    struct bgw_slice text;
    struct bgw_since *to = &s->since[s->since_count];
    if (s->since_count == SINCE_MAX || !command_text_take(&s->text, value, &text) ||
        !bgw_version_parse(text, &to->version))
        return false;
    to->part = part;
    s->since_count++;
    return true;
}

/* A version for the whole key (or the one slot it names), or one a part. False: not in that form.
 */
static bool since_attach(struct bgw_native_scratch *s, const struct bgw_feed *feed,
                         struct bgw_sub_key *key)
{
    const struct bgw_json *value = since_find(s, key->text);
    if (!value)
        return true;
    key->since = &s->since[s->since_count];
    size_t first = s->since_count;
    if (value->type != BGW_JSON_OBJECT) {
        if (!since_add(s, key->part, value))
            return false;
    } else {
        const char *cursor = NULL;
        struct bgw_json name, version;
        while (bgw_json_next(value, &cursor, &name, &version)) {
            struct bgw_slice part;
            if (!command_text_take(&s->text, &name, &part) || !feed->part_valid(part) ||
                !since_add(s, bgw_part_of(part), &version))
                return false;
        }
    }
    key->since_count = s->since_count - first;
    return true;
}

/* ---- keys ---- */

static const struct bgw_feed *feed_named(const struct bgw_native *n, struct bgw_slice name)
{
    for (size_t i = 0; i < n->feed_count; i++) {
        if (bgw_slice_eq(bgw_slice_str(n->feeds[i].name), name))
            return &n->feeds[i];
    }
    return NULL;
}

/* Fills scratch->keys. False: an error was answered. */
static bool read_keys(struct command *c, const struct bgw_feed **feed, size_t *count)
{
    struct bgw_native_scratch *s = c->n->scratch;
    struct bgw_slice feed_name = bgw_slice_str(c->n->feeds[0].name);
    struct bgw_json feed_value, keys, key;
    const char *cursor = NULL;
    *count = 0;
    if (bgw_json_member(&c->root, "feed", &feed_value) && !command_text_take(&s->text, &feed_value, &feed_name))
        return refuse(c, "bad_request", "feed must be the name of a feed"), false;
    *feed = feed_named(c->n, feed_name);
    if (!*feed)
        return refuse(c, "unknown_feed", "there is no feed of this name here"), false;
    if (!bgw_json_member(&c->root, "keys", &keys) || keys.type != BGW_JSON_ARRAY)
        return refuse(c, "bad_request", "keys must be an array of keys, such as [\"A\",\"B/USD\"]"),
               false;
    while (bgw_json_next(&keys, &cursor, NULL, &key)) {
        struct bgw_slice text;
        if (*count == BGW_NATIVE_KEYS_MAX)
            return refuse(c, "too_large", "a command may name 1000 keys: send several commands"),
                   false;
        if (!command_text_take(&s->text, &key, &text))
            return refuse(c, "bad_request", "each key must be a string without NUL"), false;
        command_key(*feed, text, &s->keys[(*count)++]);
    }
    return true;
}

static bool read_since(struct command *c, const struct bgw_feed *feed, size_t count)
{
    static const char form[] =
        "since must name versions by key: {\"A\":\"k3f9.120\"} or {\"A\":{\"NGN\":\"k3f9.120\"}}";
    struct bgw_native_scratch *s = c->n->scratch;
    struct bgw_json since;
    if (!bgw_json_member(&c->root, "since", &since) || since.type == BGW_JSON_NULL)
        return true;
    if (!since_index(s, &since))
        return refuse(c, "bad_request", form), false;
    for (size_t i = 0; i < count; i++) {
        if (!s->keys[i].invalid && !since_attach(s, feed, &s->keys[i]))
            return refuse(c, "bad_request", form), false;
    }
    return true;
}

/* ---- the commands ---- */

static enum bgw_native_result on_sub(struct command *c)
{
    const struct bgw_feed *feed;
    size_t count;
    if (!c->has_id)
        return need_id(c);
    if (read_keys(c, &feed, &count) && read_since(c, feed, count))
        bgw_session_sub(c->n->shard, c->session, c->id, bgw_slice_str(feed->name),
                        c->n->scratch->keys, count);
    return BGW_NATIVE_DONE;
}

static enum bgw_native_result on_unsub(struct command *c)
{
    const struct bgw_feed *feed;
    size_t count;
    if (!c->has_id)
        return need_id(c);
    if (read_keys(c, &feed, &count))
        bgw_session_unsub(c->n->shard, c->session, c->id, bgw_slice_str(feed->name),
                          c->n->scratch->keys, count);
    return BGW_NATIVE_DONE;
}

enum bgw_auth_result bgw_native_verify(const struct bgw_native *n, struct bgw_slice token, struct bgw_now now, struct bgw_claims *claims)
{
    return n->tokens ? bgw_token_cache_verify(n->tokens, token, now, claims) : bgw_auth_verify(n->auth, token, now, claims);
}

/* The token of hello or auth. False with *result OK: there is no such member. */
static bool read_token(struct command *c, struct bgw_claims *claims, enum bgw_auth_result *result)
{
    struct bgw_json value;
    size_t len;
    *result = BGW_AUTH_OK;
    *claims = (struct bgw_claims){0};
    if (!bgw_json_member(&c->root, "token", &value) || value.type == BGW_JSON_NULL)
        return false;
    if (bgw_json_string(&value, c->n->scratch->token, sizeof(c->n->scratch->token), &len) != BGW_OK)
        *result = BGW_AUTH_MALFORMED;
    else
        *result =
            bgw_native_verify(c->n, bgw_slice_of(c->n->scratch->token, len), c->now, claims);
    return true;
}

static const struct bgw_native_no *admit(struct command *c, const struct bgw_claims *claims)
{
    const struct bgw_native_door *door = c->n->door;
    bool first = !bgw_session_authenticated(c->session);
    return door ? door->admit(bgw_session_conn(c->session), claims, first) : NULL;
}

static void tell_refused(struct command *c, const struct bgw_claims *claims, enum bgw_auth_result result)
{
    if (c->n->door)
        c->n->door->refused(bgw_session_conn(c->session), claims, bgw_auth_code(result));
}

/* claims NULL: no token came, and none is needed any more. */
static void say_hello(struct command *c, const struct bgw_claims *claims)
{
    struct bgw_json value;
    struct bgw_slice resume = {NULL, 0};
    bool first = !bgw_session_authenticated(c->session);
    const struct bgw_native_no *no = claims ? admit(c, claims) : NULL;
    if (no) {
        bgw_session_bye(c->n->shard, c->session, no->close_code, 0, no->code);
        return;
    }
    /* a resume token that is no string is a bad one: the shard ignores and counts it */
    if (bgw_json_member(&c->root, "resume", &value) && value.type != BGW_JSON_NULL &&
        !command_text_take(&c->n->scratch->text, &value, &resume))
        resume = BGW_SLICE("?");
    bgw_session_hello(c->n->shard, c->session, claims, resume, c->now);
    if (first && claims && c->n->door)
        c->n->door->admitted(bgw_session_conn(c->session), claims);
}

static enum bgw_native_result on_hello(struct command *c)
{
    struct bgw_claims claims;
    enum bgw_auth_result result;
    bool given = read_token(c, &claims, &result);
    if (given && result == BGW_AUTH_PENDING)
        return BGW_NATIVE_WAIT;
    if (given && result != BGW_AUTH_OK)
        tell_refused(c, &claims, result);
    if (!given && !bgw_session_authenticated(c->session))
        result = BGW_AUTH_MISSING;
    if (result != BGW_AUTH_OK) {
        bgw_session_bye(c->n->shard, c->session, result == BGW_AUTH_REVOKED ? 3510 : 3500, 0,
                        bgw_auth_code(result));
        return BGW_NATIVE_DONE;
    }
    say_hello(c, given ? &claims : NULL);
    if (given)
        bgw_claims_deinit(&claims);
    return BGW_NATIVE_DONE;
}

static enum bgw_native_result on_auth(struct command *c)
{
    struct bgw_claims claims;
    enum bgw_auth_result result;
    if (!c->has_id)
        return need_id(c);
    if (!read_token(c, &claims, &result))
        result = BGW_AUTH_MISSING;
    if (result == BGW_AUTH_PENDING)
        return BGW_NATIVE_WAIT;
    if (result != BGW_AUTH_OK) {
        if (result != BGW_AUTH_MISSING)
            tell_refused(c, &claims, result);
        return refuse(c, bgw_auth_code(result), bgw_auth_sentence(result));
    }
    const struct bgw_native_no *no = admit(c, &claims);
    if (no) /* the token that it has stays */
        (void)refuse(c, no->code, no->sentence);
    else
        bgw_session_refresh(c->n->shard, c->session, c->id, &claims);
    bgw_claims_deinit(&claims);
    return BGW_NATIVE_DONE;
}

/* "2", "0.5", at most three decimals, to thousandths; the raw token, so no double is involved. */
static bool read_millihz(const struct bgw_json *value, int64_t *out)
{
    static const int64_t scale[] = {1000, 100, 10, 1};
    int64_t n = 0;
    int decimals = -1;
    if (value->type != BGW_JSON_NUMBER)
        return false;
    for (size_t i = 0; i < value->raw.len; i++) {
        char ch = value->raw.data[i];
        if (ch == '.' && decimals < 0)
            decimals = 0;
        else if (ch < '0' || ch > '9' || decimals == 3 || n > 1000000000)
            return false;
        else {
            n = n * 10 + (ch - '0');
            decimals += decimals >= 0;
        }
    }
    *out = n * scale[decimals < 0 ? 0 : decimals];
    return true;
}

static enum bgw_native_result on_rate(struct command *c)
{
    struct bgw_json value;
    int64_t millihz = 0, bytes_s = 0; /* absent: no limit */
    if (!c->has_id)
        return need_id(c);
    if (bgw_json_member(&c->root, "max_hz", &value) && value.type != BGW_JSON_NULL &&
        !read_millihz(&value, &millihz))
        return refuse(c, "bad_request",
                      "max_hz must be a number of at most three decimals; 0 or absent: no limit");
    if (bgw_json_member(&c->root, "max_bytes_s", &value) && value.type != BGW_JSON_NULL &&
        (bgw_json_i64(&value, &bytes_s) != BGW_OK || bytes_s < 0))
        return refuse(c, "bad_request",
                      "max_bytes_s must be a whole number of bytes; 0 or absent: no limit");
    bgw_session_rate(c->n->shard, c->session, c->id, millihz, bytes_s);
    return BGW_NATIVE_DONE;
}

static enum bgw_native_result on_ack(struct command *c)
{
    struct bgw_json value;
    struct bgw_slice w;
    if (!bgw_json_member(&c->root, "w", &value) || !command_text_take(&c->n->scratch->text, &value, &w))
        return refuse(c, "bad_request", "ack needs w, as a mark gave it");
    bgw_session_ack(c->n->shard, c->session, w);
    return BGW_NATIVE_DONE;
}

static enum bgw_native_result on_repair(struct command *c)
{
    if (!c->has_id)
        return need_id(c);
    bgw_session_repair(c->n->shard, c->session, c->id);
    return BGW_NATIVE_DONE;
}

static enum bgw_native_result on_ping(struct command *c)
{
    if (!c->has_id)
        return need_id(c);
    bgw_session_ping(c->n->shard, c->session, c->id);
    return BGW_NATIVE_DONE;
}

static const struct {
    const char *op;
    command_fn run;
    enum bgw_metric counter;
    bool early; /* allowed before authentication */
} commands[] = {
    {"hello", on_hello, BGW_M_COMMANDS_HELLO, true},
    {"sub", on_sub, BGW_M_COMMANDS_SUB, false},
    {"unsub", on_unsub, BGW_M_COMMANDS_UNSUB, false},
    {"auth", on_auth, BGW_M_COMMANDS_AUTH, false},
    {"rate", on_rate, BGW_M_COMMANDS_RATE, false},
    {"ack", on_ack, BGW_M_COMMANDS_ACK, false},
    {"repair", on_repair, BGW_M_COMMANDS_REPAIR, false},
    {"ping", on_ping, BGW_M_COMMANDS_PING, false},
};

static enum bgw_native_result run(struct command *c, const struct bgw_json *op)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        if (!bgw_json_is(op, commands[i].op))
            continue;
        bgw_metric_add(commands[i].counter, 1);
        if (!commands[i].early && !bgw_session_authenticated(c->session))
            return refuse(c, "not_hello", "say hello with a token first");
        return commands[i].run(c);
    }
    bgw_metric_add(BGW_M_COMMANDS_UNKNOWN, 1);
    return refuse(c, "bad_op", "op must be hello, sub, unsub, auth, rate, ack, repair or ping");
}

enum bgw_native_result bgw_native_command(const struct bgw_native *n, struct bgw_session *session,
                                          struct bgw_slice message, struct bgw_now now)
{
    struct command c = {.n = n, .session = session, .now = now};
    struct bgw_json id, op;
    n->scratch->since_count = 0;
    if (!command_text_begin(&n->scratch->text, message.len))
        return refuse(&c, "too_large", "there is no memory for a command of this size now");
    enum bgw_status status = bgw_json_parse(message, &c.root);
    if (status != BGW_OK || c.root.type != BGW_JSON_OBJECT) {
        bgw_metric_add(BGW_M_COMMANDS_UNKNOWN, 1);
        if (status == BGW_TOO_LARGE)
            return refuse(&c, "too_large",
                          "an object may have 1100 members: send several commands");
        return refuse(&c, "bad_json",
                      status == BGW_OK ? "a command is one JSON object" : bgw_status_text(status));
    }
    if (bgw_json_member(&c.root, "id", &id)) {
        c.has_id = bgw_json_u63(&id, &c.id) == BGW_OK;
        if (!c.has_id)
            return need_id(&c);
    }
    if (!bgw_json_member(&c.root, "op", &op) || op.type != BGW_JSON_STRING) {
        bgw_metric_add(BGW_M_COMMANDS_UNKNOWN, 1);
        return refuse(&c, "bad_op", "a command needs op, a string");
    }
    return run(&c, &op);
}

bool bgw_native_is_hello(struct bgw_slice message)
{
    struct bgw_json root, op;
    return bgw_json_parse(message, &root) == BGW_OK && root.type == BGW_JSON_OBJECT &&
           bgw_json_member(&root, "op", &op) && bgw_json_is(&op, "hello");
}
