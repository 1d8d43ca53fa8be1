/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect: the simulator's own dialect: flat binary messages. It says exactly what the shard asked
 * it to say, so that checks see decisions and not spelling.
 */
#define _GNU_SOURCE
#include "sim.h"

#include "bgw/hash.h"

#include <stdlib.h>

static void put_u64(struct bgw_buf *b, uint64_t v)
{
    bgw_buf_append(b, bgw_slice_of((const char *)&v, sizeof(v)));
}

static void put_text(struct bgw_buf *b, struct bgw_slice s)
{
    uint32_t len = (uint32_t)s.len;
    bgw_buf_append(b, bgw_slice_of((const char *)&len, sizeof(len)));
    bgw_buf_append(b, s);
}

static bool get_u64(struct bgw_slice *at, uint64_t *v)
{
    if (at->len < sizeof(*v))
        return false;
    memcpy(v, at->data, sizeof(*v));
    *at = bgw_slice_of(at->data + sizeof(*v), at->len - sizeof(*v));
    return true;
}

static bool get_text(struct bgw_slice *at, struct bgw_slice *s)
{
    uint32_t len;
    if (at->len < sizeof(len))
        return false;
    memcpy(&len, at->data, sizeof(len));
    if (at->len - sizeof(len) < len)
        return false;
    *s = bgw_slice_of(at->data + sizeof(len), len);
    *at = bgw_slice_of(at->data + sizeof(len) + len, at->len - sizeof(len) - len);
    return true;
}

/* Every message has every field: simple beats small here. */
static void put_message(struct bgw_buf *b, const struct sim_message *m)
{
    bgw_buf_append_byte(b, m->kind);
    put_u64(b, m->id);
    put_text(b, m->text);
    put_text(b, m->text2);
    put_u64(b, m->part);
    put_u64(b, m->version.epoch);
    put_u64(b, m->version.seq);
    put_u64(b, m->version.read);
    put_u64(b, (uint64_t)m->minor);
    put_u64(b, (uint64_t)m->number);
    put_u64(b, m->merged);
    put_u64(b, (uint64_t)m->snap | (uint64_t)m->state << 8);
    put_text(b, m->list);
}

bool sim_decode(struct bgw_slice *at, struct sim_message *m)
{
    uint64_t part = 0, minor = 0, number = 0, flags = 0;
    *m = (struct sim_message){0};
    if (at->len < 1)
        return false;
    m->kind = at->data[0];
    *at = bgw_slice_of(at->data + 1, at->len - 1);
    bool ok = get_u64(at, &m->id) && get_text(at, &m->text) && get_text(at, &m->text2) && get_u64(at, &part) &&
              get_u64(at, &m->version.epoch) && get_u64(at, &m->version.seq) && get_u64(at, &m->version.read) &&
              get_u64(at, &minor) && get_u64(at, &number) && get_u64(at, &m->merged) && get_u64(at, &flags) &&
              get_text(at, &m->list);
    m->part = (bgw_part)part;
    m->minor = (int64_t)minor;
    m->number = (int64_t)number;
    m->snap = flags & 1;
    m->state = (uint8_t)(flags >> 8);
    return ok;
}

static void put_item(struct bgw_buf *b, char tag, struct bgw_slice text)
{
    bgw_buf_append_byte(b, tag);
    bgw_buf_append_byte(b, (char)text.len);
    bgw_buf_append(b, text);
}

bool sim_list_next(struct bgw_slice *list, char *tag, struct bgw_slice *text)
{
    if (list->len < 2)
        return false;
    *tag = list->data[0];
    size_t len = (unsigned char)list->data[1];
    *text = bgw_slice_of(list->data + 2, len);
    *list = bgw_slice_of(list->data + 2 + len, list->len - 2 - len);
    return true;
}

static int64_t amount_of(const struct bgw_update *u)
{
    struct bgw_slice raw = u->feed->raw(u->value);
    const char *at = memmem(raw.data, raw.len, "\"minor\":", 8);
    return at ? strtoll(at + 8, NULL, 10) : -1;
}

/* The prepared fragment is the amount: a stale fragment shows a stale amount. */
static struct bgw_blob *prepare(const struct bgw_update *u)
{
    int64_t minor = amount_of(u);
    return bgw_blob_copy(bgw_slice_of((const char *)&minor, sizeof(minor)));
}

static size_t updates_begin(struct bgw_buf *out)
{
    return out->len;
}

static void update(struct bgw_buf *out, const struct bgw_update *u)
{
    struct sim_message m = {.kind = 'U', .text = u->key, .part = u->part, .version = u->version, .merged = u->merged,
                            .snap = u->snap};
    if (u->prepared)
        memcpy(&m.minor, u->prepared->data, sizeof(m.minor));
    else
        m.minor = amount_of(u);
    put_message(out, &m);
}

static void updates_end(struct bgw_buf *out, size_t began)
{
    (void)out;
    (void)began;
}

static void put_keys(struct bgw_buf *list, const struct bgw_slice *keys, size_t count, char tag)
{
    for (size_t i = 0; i < count; i++)
        put_item(list, tag, keys[i]);
}

static void state(struct bgw_buf *out, const struct bgw_state_news *news)
{
    struct bgw_buf list;
    bgw_buf_init(&list, 1 << 16);
    for (size_t i = 0; i < news->count; i++)
        put_item(&list, 'k', news->entries[i].key);
    struct sim_message m = {.kind = 'S', .state = (uint8_t)news->state, .number = news->lag_ms, .list = bgw_buf_slice(&list),
                            .text = bgw_slice_str(news->reason ? news->reason : "")};
    put_message(out, &m);
    bgw_buf_deinit(&list);
}

static void live(struct bgw_buf *out, uint64_t id)
{
    put_message(out, &(struct sim_message){.kind = 'L', .id = id});
}

static void mark(struct bgw_buf *out, struct bgw_slice w, uint64_t digest, struct bgw_slice resume)
{
    put_message(out, &(struct sim_message){.kind = 'M', .text = w, .id = digest, .text2 = resume});
}

static void hello(struct bgw_buf *out, const struct bgw_hello_info *info)
{
    put_message(out, &(struct sim_message){.kind = 'H', .id = info->conn, .text2 = info->resume});
}

static void sub_reply(struct bgw_buf *out, const struct bgw_sub_reply *r)
{
    struct bgw_buf list;
    bgw_buf_init(&list, 1 << 16);
    put_keys(&list, r->ok, r->ok_count, 'o');
    put_keys(&list, r->current, r->current_count, 'c');
    for (size_t i = 0; i < r->denied_count; i++)
        put_item(&list, strcmp(r->denied[i].code, "revoked") == 0 ? 'r' : 'd', r->denied[i].key);
    put_message(out, &(struct sim_message){.kind = 'R', .id = r->id, .list = bgw_buf_slice(&list)});
    bgw_buf_deinit(&list);
}

static void ok(struct bgw_buf *out, uint64_t id)
{
    put_message(out, &(struct sim_message){.kind = 'O', .id = id});
}

static void pong(struct bgw_buf *out, uint64_t id)
{
    put_message(out, &(struct sim_message){.kind = 'P', .id = id});
}

static void err(struct bgw_buf *out, bool has_id, uint64_t id, const char *code, const char *text)
{
    (void)text;
    put_message(out, &(struct sim_message){.kind = 'E', .id = has_id ? id : 0, .text = bgw_slice_str(code)});
}

static void revoked(struct bgw_buf *out, const struct bgw_slice *keys, size_t count, const char *reason)
{
    struct bgw_buf list;
    bgw_buf_init(&list, 1 << 16);
    put_keys(&list, keys, count, 'k');
    put_message(out, &(struct sim_message){.kind = 'V', .text = bgw_slice_str(reason), .list = bgw_buf_slice(&list)});
    bgw_buf_deinit(&list);
}

static void bye(struct bgw_buf *out, uint16_t code, int64_t retry_ms, const char *reason)
{
    put_message(out, &(struct sim_message){.kind = 'B', .id = code, .number = retry_ms, .text = bgw_slice_str(reason)});
}

static void keepalive(struct bgw_buf *out)
{
    put_message(out, &(struct sim_message){.kind = 'K'});
}

void sim_mac(const uint8_t key[32], struct bgw_slice bytes, uint8_t out[32])
{
    uint64_t h = bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_of((const char *)key, 32));
    for (size_t i = 0; i < 32; i += sizeof(h)) {
        h = bgw_hash_fnv64(h, bytes);
        memcpy(out + i, &h, sizeof(h));
    }
}

#define SIM_DIALECT                                                                                              \
    .encoding = BGW_ENCODING_NATIVE, .marks = true, .prepare = prepare, .updates_begin = updates_begin,           \
    .update = update, .updates_end = updates_end, .state = state, .live = live, .mark = mark, .hello = hello,     \
    .sub_reply = sub_reply, .ok = ok, .pong = pong, .err = err, .revoked = revoked, .bye = bye, .keepalive = keepalive

const struct bgw_dialect sim_dialect = {SIM_DIALECT};
const struct bgw_dialect sim_blind_dialect = {SIM_DIALECT, .blind = true};
