/* SPDX-License-Identifier: Apache-2.0 */
/*
 * states: which words a key is called by, and state messages, one for all keys that are in the same
 * state for the same reason. Called by the outbox after the updates of a write and by whoever
 * revokes; shard thread only. Texts are as clients write them: `A` for a whole key's default part,
 * `A/USD` for its other parts and for parts that were named.
 */
#include "core.h"

/* Offsets, not slices: the buffer may move while it grows. */
struct text_at {
    size_t at, len;
};

static struct text_at append_text(struct bgw_buf *texts, const struct group *g, bgw_part part)
{
    char text[BGW_PART_MAX];
    struct text_at t = {texts->len, 0};
    bgw_buf_append(texts, group_key(g));
    if (part) {
        bgw_buf_append_byte(texts, '/');
        bgw_buf_append(texts, bgw_slice_of(text, bgw_part_text(part, text)));
    }
    t.len = texts->len - t.at;
    return t;
}

static void add_text(struct bgw_shard *s, size_t *count, struct text_at t)
{
    BGW_ASSERT(*count < s->slices_cap);
    s->slices[(*count)++] = (struct bgw_slice){(const char *)(uintptr_t)t.at, t.len};
}

/* Texts have stopped growing: offsets become slices. */
static void resolve(struct bgw_shard *s, size_t count)
{
    for (size_t i = 0; i < count; i++)
        s->slices[i].data = s->texts.data + (uintptr_t)s->slices[i].data;
}

/* A slot that is covered twice is told under both names. */
static void add_cell_texts(struct bgw_shard *s, size_t *count, const struct sub *sub,
                           const struct cell *c)
{
    bool usual = c->slot->part == group_feed(s, sub->group)->default_part;
    if (sub->whole && usual)
        add_text(s, count, append_text(&s->texts, sub->group, 0));
    if (!(sub->whole && usual) || c->flags & CELL_NAMED)
        add_text(s, count, append_text(&s->texts, sub->group, c->slot->part));
}

/* Every name that was added since `from` is the cell's. A value that is held back is not the one that this speaks of. */
static void note_version(struct bgw_shard *s, size_t from, size_t count, const struct bgw_session *n, const struct cell *c)
{
    struct bgw_version version = {0};
    if (c->slot->value && c->sent_hash == cell_hash(n, c))
        version = cell_version(n, c);
    for (size_t i = from; i < count; i++)
        s->entries[i].version = version;
}

static const char *reason_text(const struct bgw_shard *s, const struct state_item *item)
{
    if (item->reason == BGW_REASON_NONE)
        return NULL;
    if (item->reason == BGW_REASON_NO_SUCH_KEY && group_feed(s, item->sub->group)->no_such_key_text)
        return group_feed(s, item->sub->group)->no_such_key_text;
    return bgw_reason_text((enum bgw_state_reason)item->reason);
}

static bool alike(const struct state_item *a, const struct state_item *b)
{
    return a->state == b->state && a->reason == b->reason &&
           a->sub->group->feed == b->sub->group->feed;
}

/* One message for the first item and all that are like it; they are taken out. */
static void encode_first(struct writing *w)
{
    struct bgw_shard *s = w->s;
    struct state_item first = s->states[0];
    size_t count = 0, kept = 0;
    bgw_buf_clear(&s->texts);
    for (size_t i = 0; i < w->state_count; i++) {
        const struct state_item *item = &s->states[i];
        if (!alike(item, &first)) {
            s->states[kept++] = *item;
            continue;
        }
        size_t from = count;
        add_cell_texts(s, &count, item->sub, item->cell);
        note_version(s, from, count, w->n, item->cell);
        if (item->lag_ms > first.lag_ms)
            first.lag_ms = item->lag_ms;
    }
    w->state_count = kept;
    w->out->failed |= s->texts.failed;
    if (s->texts.failed)
        return;
    resolve(s, count);
    for (size_t i = 0; i < count; i++)
        s->entries[i].key = s->slices[i];
    const struct bgw_state_news news = {
        .entries = s->entries,
        .count = count,
        .state = (enum bgw_slot_state)first.state,
        .reason = reason_text(s, &first),
        .lag_ms = first.lag_ms,
        .wall_ms = s->now.wall_ms,
    };
    w->n->dialect->state(w->out, &news);
}

void states_encode(struct writing *w)
{
    while (w->state_count)
        encode_first(w);
}

static void add_sub_texts(struct bgw_shard *s, size_t *count, const struct sub *sub)
{
    if (sub->whole)
        add_text(s, count, append_text(&s->texts, sub->group, 0));
    for (const struct cell *c = &sub->first; c; c = c->next) {
        if (c->slot && c->flags & CELL_NAMED)
            add_text(s, count, append_text(&s->texts, sub->group, c->slot->part));
    }
}

/* At most, in the wordiest dialect: a message of its own for each name. */
#define NAME_BYTES (BGW_KEY_MAX + BGW_PART_MAX + 128u)

/* A sub's names stay together. */
size_t revoked_encode(struct bgw_session *n, struct sub *const *subs, size_t count, size_t room,
                      const char *reason)
{
    struct bgw_shard *s = n->shard;
    size_t names_max = room / NAME_BYTES, texts = 0, i = 0;
    bgw_buf_clear(&s->texts);
    for (; i < count; i++) {
        size_t names = texts + sub_keys(subs[i]);
        if (names > names_max || (i && names > COMMAND_KEYS_MAX))
            break;
        add_sub_texts(s, &texts, subs[i]);
    }
    struct bgw_buf *control = i ? session_control_begin(n) : NULL;
    if (!control)
        return i;
    control->failed |= s->texts.failed;
    resolve(s, texts);
    n->dialect->revoked(control, s->slices, texts, reason);
    session_control_end(n);
    return i;
}
