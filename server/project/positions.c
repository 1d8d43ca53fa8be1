/* SPDX-License-Identifier: Apache-2.0 */
/*
 * positions: hides keys, fields and scripts of the projection in Redis. Called by the projector on its thread. Invariants: steps run
 * in the order in which they were asked for (one connection, and a script that is not known fails where it stands, so that what
 * follows it meets a gap); up means that the server's run is known and its scripts were sent.
 */
#include "positions.h"

#include "script.h"

#include "bgw/assert.h"
#include "bgw/json.h"
#include "bgw/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define COMMANDS_MAX 16384
#define COMMAND_MS 5000 /* nobody waits for an answer here, but a server that hangs is left in the end */
#define KEY_MAX 160
#define TOPIC_KEY_MAX 300
#define SHA_LEN 40
#define RUN_MAX 64
#define TTL_S "300"
#define LOOK_MAX 256

enum script { APPLY, BEGIN, TELL, SETTLE, SCRIPTS };
static const char *const scripts[SCRIPTS] = {SCRIPT_APPLY, SCRIPT_BEGIN, SCRIPT_TELL, SCRIPT_SETTLE};

struct positions { /* loop's thread only */
    struct positions_config config;
    struct bgw_redis_link *link;
    bool up;
    char member[MEMBER_TEXT_MAX], run[RUN_MAX];
    char sha[SCRIPTS][SHA_LEN + 1];
    int32_t partitions;
    char topic_key[TOPIC_KEY_MAX], key[TOPIC_KEY_MAX], untold_key[TOPIC_KEY_MAX], epoch[BGW_EPOCH_MAX + 1];
};

struct text { /* a key, or a number */
    char bytes[KEY_MAX];
};

/* ---- words ---- */

static struct bgw_slice name_text(struct text *t, const char *prefix, const struct bgw_slot_name *n)
{
    char part[BGW_PART_MAX];
    int part_len = (int)bgw_part_text(n->part, part);
    int len = snprintf(t->bytes, sizeof(t->bytes), "%s%.*s:%.*s:%.*s", prefix, n->tenant_len, n->tenant, n->key_len, n->key, part_len,
                       part);
    BGW_ASSERT(len > 0 && len < KEY_MAX);
    return bgw_slice_of(t->bytes, (size_t)len);
}

static struct bgw_slice number(struct text *t, int64_t n)
{
    int len = snprintf(t->bytes, sizeof(t->bytes), "%" PRId64, n);
    return bgw_slice_of(t->bytes, (size_t)len);
}

/* What gateways hear, up to the version: their grammar needs no escapes. */
static struct bgw_slice said(const struct positions *p, char out[256], const struct bgw_slot_name *n)
{
    char part[BGW_PART_MAX];
    int part_len = (int)bgw_part_text(n->part, part);
    if (!p->config.publish)
        return BGW_SLICE("");
    int len = snprintf(out, 256, "{\"accountId\":\"%.*s\",\"tenant\":\"%.*s\",\"currency\":\"%.*s\",\"v\":", n->key_len, n->key,
                       n->tenant_len, n->tenant, part_len, part);
    return bgw_slice_of(out, (size_t)len);
}

static bool run(struct positions *p, enum script script, struct bgw_slice *words, size_t count, bgw_redis_reply reply, void *arg)
{
    bool by_text = !p->sha[script][0];
    words[0] = by_text ? BGW_SLICE("EVAL") : BGW_SLICE("EVALSHA");
    words[1] = bgw_slice_str(by_text ? scripts[script] : p->sha[script]);
    return p->up && bgw_redis_link_command(p->link, words, count, reply, arg);
}

/* ---- steps ---- */

bool positions_apply(struct positions *p, const struct apply *a, bgw_redis_reply reply, void *arg)
{
    const struct entry *e = a->entry;
    struct text keys[4], numbers[7];
    char words_to[2][256];
    struct bgw_slice w[20];
    bool one = e && entry_of_one(e);
    size_t n = 3;
    w[n++] = bgw_slice_str(p->key);
    w[n++] = bgw_slice_str(p->untold_key);
    if (e) {
        w[n++] = name_text(&keys[0], "position:", &e->source);
        w[n++] = name_text(&keys[1], "balance:", &e->source);
    }
    if (e && !one) {
        w[n++] = name_text(&keys[2], "position:", &e->dest);
        w[n++] = name_text(&keys[3], "balance:", &e->dest);
    }
    w[2] = !e ? BGW_SLICE("2") : one ? BGW_SLICE("4") : BGW_SLICE("6");
    w[n++] = number(&numbers[0], a->partition);
    w[n++] = number(&numbers[1], a->offset);
    w[n++] = number(&numbers[2], a->prev);
    w[n++] = number(&numbers[3], a->told);
    w[n++] = bgw_slice_str(p->member);
    w[n++] = number(&numbers[4], p->partitions);
    w[n++] = e ? number(&numbers[5], e->minor) : BGW_SLICE("");
    w[n++] = number(&numbers[6], a->ts_ms);
    w[n++] = BGW_SLICE(TTL_S);
    w[n++] = e ? said(p, words_to[0], &e->source) : BGW_SLICE("");
    w[n++] = e ? said(p, words_to[1], &e->dest) : BGW_SLICE("");
    return run(p, APPLY, w, n, reply, arg);
}

bool positions_begin(struct positions *p, const struct beginning *b, bgw_redis_reply reply, void *arg)
{
    struct text numbers[5];
    struct bgw_slice w[] = {{0}, {0}, BGW_SLICE("2"), bgw_slice_str(p->topic_key), bgw_slice_str(p->key),
                            number(&numbers[0], b->partition), number(&numbers[1], p->partitions), bgw_slice_str(p->run),
                            number(&numbers[2], b->committed), number(&numbers[3], b->low), number(&numbers[4], b->high),
                            bgw_slice_str(p->epoch)};
    return run(p, BEGIN, w, sizeof(w) / sizeof(*w), reply, arg);
}

bool positions_tell(struct positions *p, int64_t drain, const struct bgw_slot_name *name, bgw_redis_reply reply, void *arg)
{
    struct text keys[2], n;
    char words_to[256];
    struct bgw_slice w[] = {{0}, {0}, BGW_SLICE("4"), bgw_slice_str(p->key), bgw_slice_str(p->untold_key),
                            name_text(&keys[0], "position:", name), name_text(&keys[1], "balance:", name),
                            bgw_slice_str(p->member), number(&n, drain), BGW_SLICE(TTL_S), said(p, words_to, name)};
    return run(p, TELL, w, sizeof(w) / sizeof(*w), reply, arg);
}

bool positions_settle(struct positions *p, int64_t drain, const struct bgw_slot_name *name, uint64_t v, bgw_redis_reply reply, void *arg)
{
    struct text key, n, version;
    struct bgw_slice w[] = {{0}, {0}, BGW_SLICE("2"), bgw_slice_str(p->untold_key), name_text(&key, "position:", name),
                            bgw_slice_str(p->member), number(&n, drain), number(&version, (int64_t)v)};
    return run(p, SETTLE, w, sizeof(w) / sizeof(*w), reply, arg);
}

bool positions_publish_told(struct positions *p, int32_t partition, int64_t told, bgw_redis_reply reply, void *arg)
{
    struct text field, n;
    int len = snprintf(field.bytes, sizeof(field.bytes), "d%" PRId32, partition);
    const struct bgw_slice w[] = {BGW_SLICE("HSET"), bgw_slice_str(p->key), bgw_slice_of(field.bytes, (size_t)len), number(&n, told)};
    return p->up && bgw_redis_link_command(p->link, w, 4, reply, arg);
}

bool positions_look(struct positions *p, const int32_t *partitions, size_t count, bgw_redis_reply reply, void *arg)
{
    struct bgw_slice w[3 + 2 * LOOK_MAX] = {BGW_SLICE("HMGET"), bgw_slice_str(p->key), BGW_SLICE("live")};
    char fields[2 * LOOK_MAX][16];
    BGW_ASSERT(count <= LOOK_MAX);
    for (size_t i = 0; i < 2 * count; i++) {
        int len = snprintf(fields[i], sizeof(fields[i]), "%c%" PRId32, i % 2 ? 't' : 'w', partitions[i / 2]);
        w[3 + i] = bgw_slice_of(fields[i], (size_t)len);
    }
    return p->up && bgw_redis_link_command(p->link, w, 3 + 2 * count, reply, arg);
}

bool positions_count_untold(struct positions *p, bgw_redis_reply reply, void *arg)
{
    const struct bgw_slice w[] = {BGW_SLICE("SCARD"), bgw_slice_str(p->untold_key)};
    return p->up && bgw_redis_link_command(p->link, w, 2, reply, arg);
}

bool positions_untold(struct positions *p, int max, bgw_redis_reply reply, void *arg)
{
    struct text n;
    const struct bgw_slice w[] = {BGW_SLICE("SRANDMEMBER"), bgw_slice_str(p->untold_key), number(&n, max)};
    return p->up && bgw_redis_link_command(p->link, w, 3, reply, arg);
}

/* ---- answers ---- */

bool positions_i64(const struct bgw_redis_value *v, int64_t *out)
{
    const struct bgw_json token = {.type = BGW_JSON_NUMBER, .raw = v->text};
    *out = v->integer;
    return v->type == BGW_REDIS_INTEGER || (v->type == BGW_REDIS_TEXT && v->text.len && bgw_json_i64(&token, out) == BGW_OK);
}

static enum step_result result_of(struct bgw_slice word)
{
    static const char *const words[] = {
        [STEP_GAP] = "GAP",           [STEP_AGAIN] = "AGAIN",     [STEP_QUIET] = "QUIET", [STEP_TOLD] = "TOLD",
        [STEP_PASSED] = "PASSED",     [STEP_OVERFLOW] = "OVERFLOW", [STEP_BEGUN] = "BEGUN", [STEP_MISSING] = "MISSING",
        [STEP_SHORT] = "SHORT",       [STEP_EPOCH] = "EPOCH",     [STEP_WAIT] = "WAIT",   [STEP_GONE] = "GONE",
    };
    for (size_t i = STEP_GAP; i < sizeof(words) / sizeof(*words); i++)
        if (bgw_slice_eq(word, bgw_slice_str(words[i])))
            return (enum step_result)i;
    return STEP_FAILED;
}

/* Pairs of amount and version, empty where somebody else tells; of one account with its ts behind it. */
static bool read_told(const struct bgw_redis_value *v, struct step *out)
{
    for (size_t i = 0; i < 2 && 2 * i + 2 < v->count; i++) {
        struct step_account *a = &out->account[i];
        const struct bgw_redis_value *minor = &v->items[1 + 2 * i], *seq = &v->items[2 + 2 * i];
        int64_t n = 0;
        a->tell = !(minor->type == BGW_REDIS_TEXT && !minor->text.len);
        if (a->tell && (!positions_i64(minor, &a->minor) || !positions_i64(seq, &n) || n < 0))
            return false;
        a->v = (uint64_t)n;
    }
    return v->count != 4 || positions_i64(&v->items[3], &out->number[0]);
}

void step_read(const struct bgw_redis_value *v, struct step *out)
{
    *out = (struct step){.result = STEP_FAILED};
    if (v->type == BGW_REDIS_ERROR)
        out->words = v->text;
    if (v->type != BGW_REDIS_LIST || !v->count || v->items[0].type != BGW_REDIS_TEXT)
        return;
    out->result = result_of(v->items[0].text);
    bool ok = true;
    if (out->result == STEP_TOLD)
        ok = read_told(v, out);
    else if (out->result == STEP_EPOCH && v->count > 1)
        out->words = v->items[1].text;
    else if (out->result == STEP_BEGUN || out->result == STEP_MISSING || out->result == STEP_SHORT)
        for (size_t i = 1; i < v->count && i <= 4; i++)
            ok = positions_i64(&v->items[i], &out->number[i - 1]) && ok;
    if (!ok)
        out->result = STEP_FAILED;
}

bool positions_name(const struct bgw_feed *feed, struct bgw_slice text, struct bgw_slot_name *out)
{
    const char *first = text.len ? memchr(text.data, ':', text.len) : NULL, *last = text.len ? memrchr(text.data, ':', text.len) : NULL;
    if (!first || first == last)
        return false;
    struct bgw_slice tenant = bgw_slice_of(text.data, (size_t)(first - text.data));
    struct bgw_slice key = bgw_slice_of(first + 1, (size_t)(last - first - 1));
    struct bgw_slice part = bgw_slice_of(last + 1, (size_t)(text.data + text.len - last - 1));
    if (!bgw_tenant_valid(tenant) || !feed->key_valid(key) || !feed->part_valid(part))
        return false;
    *out = (struct bgw_slot_name){
        .feed = feed->id, .tenant_len = (uint8_t)tenant.len, .key_len = (uint8_t)key.len, .part = bgw_part_of(part)};
    memcpy(out->tenant, tenant.data, tenant.len);
    memcpy(out->key, key.data, key.len);
    return true;
}

/* ---- up and down ---- */

static void on_sha(void *arg, const struct bgw_redis_value *v)
{
    char *sha = arg;
    if (v->type != BGW_REDIS_TEXT || v->text.len != SHA_LEN)
        return; /* the user may not load scripts, say: they are sent whole */
    memcpy(sha, v->text.data, SHA_LEN);
    sha[SHA_LEN] = '\0';
}

static void load_scripts(struct positions *p)
{
    for (int i = 0; i < SCRIPTS; i++) {
        const struct bgw_slice words[] = {BGW_SLICE("SCRIPT"), BGW_SLICE("LOAD"), bgw_slice_str(scripts[i])};
        p->sha[i][0] = '\0';
        (void)bgw_redis_link_command(p->link, words, 3, on_sha, p->sha[i]);
    }
}

/* Without it nobody can see that the server was started anew, or is another one. */
static void on_info(void *arg, const struct bgw_redis_value *v)
{
    static const char member[] = "\nrun_id:";
    struct positions *p = arg;
    const char *at = v->type == BGW_REDIS_TEXT ? memmem(v->text.data, v->text.len, member, sizeof(member) - 1) : NULL;
    size_t len = at ? strspn(at + sizeof(member) - 1, "0123456789abcdef") : 0; /* the library's texts end with a NUL */
    if (v->type == BGW_REDIS_FAILED)
        return; /* down again */
    if (!len || len >= RUN_MAX) {
        bgw_redis_link_restart(p->link, "it does not tell its run_id (INFO server)");
        return;
    }
    memcpy(p->run, at + sizeof(member) - 1, len);
    p->run[len] = '\0';
    p->up = true;
    p->config.state(p->config.arg, true, "");
}

static void on_memory(void *arg, const struct bgw_redis_value *v)
{
    static const char risky[] = "maxmemory_policy:allkeys";
    (void)arg;
    if (v->type == BGW_REDIS_TEXT && memmem(v->text.data, v->text.len, risky, sizeof(risky) - 1))
        BGW_LOG(BGW_LOG_ERROR, "redis_may_evict_positions",
                {"remedy", LS("set maxmemory-policy to noeviction or volatile-ttl: a position that is evicted is money that is forgotten")});
}

static void on_state(void *arg, bool up, const char *words)
{
    struct positions *p = arg;
    if (!up) {
        p->up = false;
        p->config.state(p->config.arg, false, words);
        return;
    }
    const struct bgw_slice memory[] = {BGW_SLICE("INFO"), BGW_SLICE("memory")}, server[] = {BGW_SLICE("INFO"), BGW_SLICE("server")};
    load_scripts(p);
    (void)bgw_redis_link_command(p->link, memory, 2, on_memory, p);
    (void)bgw_redis_link_command(p->link, server, 2, on_info, p);
}

static bool starts(struct bgw_slice text, const char *word)
{
    return text.len >= strlen(word) && memcmp(text.data, word, strlen(word)) == 0;
}

void positions_doubt(struct positions *p, struct bgw_slice error)
{
    if (!p->up || !error.len)
        return;
    if (starts(error, "READONLY"))
        bgw_redis_link_restart(p->link, "the server is no master any more");
    else if (starts(error, "NOSCRIPT") && p->sha[APPLY][0]) /* once for all that were under way */
        load_scripts(p);
}

void positions_set_epoch(struct positions *p, uint64_t epoch, int32_t partitions)
{
    bgw_epoch_format(epoch, p->epoch);
    p->partitions = partitions;
    snprintf(p->topic_key, sizeof(p->topic_key), "projection:%s", p->config.topic);
    snprintf(p->key, sizeof(p->key), "projection:%s:%s", p->config.topic, p->epoch);
    snprintf(p->untold_key, sizeof(p->untold_key), "projection:%s:%s:untold", p->config.topic, p->epoch);
}

bool positions_up(const struct positions *p)
{
    return p->up;
}

enum bgw_status positions_create(struct positions **out, struct bgw_loop *loop, const struct positions_config *config,
                                 struct bgw_buf *error)
{
    struct positions *p = calloc(1, sizeof(*p));
    uint64_t random[2];
    if (!p)
        return BGW_NO_MEMORY;
    arc4random_buf(random, sizeof(random));
    p->config = *config;
    snprintf(p->member, sizeof(p->member), "%012" PRIx64, random[0] >> 16);
    const struct bgw_redis_link_config link = {
        .url = config->url,
        .ca_file = config->ca_file,
        .command_ms = COMMAND_MS,
        .commands_max = COMMANDS_MAX,
        .seed = random[1],
        .arg = p,
        .state = on_state,
    };
    enum bgw_status status = bgw_redis_link_create(&p->link, loop, &link, error);
    if (status != BGW_OK)
        positions_destroy(&p);
    else
        *out = p;
    return status;
}

void positions_destroy(struct positions **destroyed)
{
    struct positions *p = *destroyed;
    if (!p)
        return;
    p->up = false;
    bgw_redis_link_destroy(&p->link);
    free(p);
    *destroyed = NULL;
}
