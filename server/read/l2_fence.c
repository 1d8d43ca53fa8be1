/* SPDX-License-Identifier: Apache-2.0 */
/*
 * l2_fence: how the origin's answer gets into Redis: one step that looks at the lock and at what is there
 * (l2_script.h). By the script's digest; a server that does not know it gets the whole text. Reader's
 * thread. Invariant: each write-back is counted once, as stored, fenced or failed.
 */
#include "l2_private.h"
#include "l2_script.h"

#include "bgw/assert.h"
#include "bgw/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BODY_BYTES_MAX ((size_t)64 << 10)

static const char *const scripts[BGW_L2_SCRIPTS] = {[BGW_L2_WRITE] = BGW_L2_SCRIPT_WRITE, [BGW_L2_UNLOCK] = BGW_L2_SCRIPT_UNLOCK};

struct step { /* one script under way */
    struct bgw_l2 *l2;
    enum bgw_l2_script script;
    bool by_text;
    struct bgw_l2_key lock, body;
    char token[BGW_L2_TOKEN_MAX], ttl[24], v[24];
    struct bgw_buf bytes;
};

void bgw_l2_token(const struct bgw_l2 *l, uint64_t id, char out[BGW_L2_TOKEN_MAX])
{
    snprintf(out, BGW_L2_TOKEN_MAX, "%016" PRIx64 "%016" PRIx64 "-%" PRIu64, l->self[0], l->self[1], id);
}

/* ---- digests ---- */

static void take_sha(char *sha, const struct bgw_redis_value *v)
{
    sha[0] = '\0';
    if (v->type != BGW_REDIS_TEXT || v->text.len != BGW_L2_SHA_LEN)
        return; /* the user may not load scripts, say */
    memcpy(sha, v->text.data, BGW_L2_SHA_LEN);
    sha[BGW_L2_SHA_LEN] = '\0';
}

static void on_sha(void *arg, const struct bgw_redis_value *v)
{
    take_sha(arg, v);
}

void bgw_l2_load_scripts(struct bgw_l2 *l)
{
    for (int i = 0; i < BGW_L2_SCRIPTS; i++) {
        const struct bgw_slice words[] = {BGW_SLICE("SCRIPT"), BGW_SLICE("LOAD"), bgw_slice_str(scripts[i])};
        l->sha[i][0] = '\0';
        (void)bgw_redis_link_command(l->link, words, 3, on_sha, l->sha[i]);
    }
}

/* ---- steps ---- */

static void end_step(struct step *s, bool answered, int64_t answer)
{
    if (s->script == BGW_L2_WRITE)
        bgw_metric_add(!answered    ? BGW_M_WRITE_BACKS_FAILED
                       : answer == 1 ? BGW_M_WRITE_BACKS_STORED
                                     : BGW_M_WRITE_BACKS_FENCED, 1);
    bgw_buf_deinit(&s->bytes);
    free(s);
}

static void on_step(void *arg, const struct bgw_redis_value *v);

static bool send_step(struct step *s)
{
    const char *sha = s->l2->sha[s->script];
    s->by_text = !*sha;
    const struct bgw_slice words[] = {s->by_text ? BGW_SLICE("EVAL") : BGW_SLICE("EVALSHA"),
                                      bgw_slice_str(s->by_text ? scripts[s->script] : sha),
                                      BGW_SLICE("2"),
                                      bgw_l2_key_slice(&s->lock),
                                      bgw_l2_key_slice(&s->body),
                                      bgw_slice_str(s->token),
                                      bgw_buf_slice(&s->bytes),
                                      bgw_slice_str(s->ttl),
                                      bgw_slice_str(s->v)};
    return bgw_redis_link_command(s->l2->link, words, s->script == BGW_L2_WRITE ? 9 : 6, on_step, s);
}

static void on_step(void *arg, const struct bgw_redis_value *v)
{
    static const char unknown[] = "NOSCRIPT";
    struct step *s = arg;
    bool forgotten = v->type == BGW_REDIS_ERROR && v->text.len >= sizeof(unknown) - 1 &&
                     memcmp(v->text.data, unknown, sizeof(unknown) - 1) == 0;
    if (forgotten && !s->by_text) {
        bool first = s->l2->sha[s->script][0] != '\0';
        s->l2->sha[s->script][0] = '\0';
        if (first && s->l2->up)
            bgw_l2_load_scripts(s->l2); /* for those to come; this one goes by its text */
        if (send_step(s))
            return;
    }
    end_step(s, v->type == BGW_REDIS_INTEGER, v->integer);
}

static struct step *make_step(struct bgw_l2 *l, enum bgw_l2_script script, uint64_t id, const struct bgw_slot_name *name)
{
    struct step *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->l2 = l;
    s->script = script;
    s->lock = bgw_l2_short_key(l->config.feed, "lock:", name);
    s->body = bgw_l2_short_key(l->config.feed, "bal:", name);
    bgw_l2_token(l, id, s->token);
    bgw_buf_init(&s->bytes, BODY_BYTES_MAX);
    return s;
}

static void run(struct step *s)
{
    if (!s->l2->up || !send_step(s))
        end_step(s, false, 0); /* a lock that is not given back ends with its lease */
}

void bgw_l2_unlock(struct bgw_l2 *l, uint64_t id, const struct bgw_slot_name *name)
{
    const struct bgw_slot_name whole = bgw_l2_whole_name(l->config.feed, name);
    struct step *s = make_step(l, BGW_L2_UNLOCK, id, &whole);
    if (s)
        run(s);
}

/* ---- write-back ---- */

/* Body lifetimes are spread by a tenth each way, so that what was written together does not end together. */
static int64_t spread_ttl(struct bgw_l2 *l)
{
    int64_t tenth = l->config.body_ttl_ms / 10;
    l->random = l->random * 6364136223846793005u + 1442695040888963407u;
    int64_t ttl = l->config.body_ttl_ms - tenth + (int64_t)((l->random >> 33) % (uint64_t)(2 * tenth + 1));
    return ttl > 0 ? ttl : 1;
}

void bgw_l2_write(struct bgw_l2 *l, uint64_t id, const struct bgw_slot_name *name, const struct bgw_lookup_answer *a)
{
    BGW_ASSERT(a->result == BGW_LOOKUP_VALUE);
    const struct bgw_slot_name whole = bgw_l2_whole_name(l->config.feed, name);
    struct step *s = make_step(l, BGW_L2_WRITE, id, &whole);
    if (!s) {
        bgw_metric_add(BGW_M_WRITE_BACKS_FAILED, 1);
        return;
    }
    snprintf(s->ttl, sizeof(s->ttl), "%lld", (long long)spread_ttl(l));
    if (a->has_v)
        snprintf(s->v, sizeof(s->v), "%" PRIu64, a->v);
    if (bgw_l2_body(&s->bytes, a->body, &whole, s->v)) {
        run(s);
        return;
    }
    end_step(s, false, 0); /* too large, or no object: nothing to store, but others wait for the lock */
    bgw_l2_unlock(l, id, name);
}
