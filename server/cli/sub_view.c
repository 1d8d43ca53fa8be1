/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sub_view: hides the native dialect's server messages from cmd_sub.c. Never shows a balance without
 * its freshness: on a connection a value is fresh until a `state` says otherwise, and then what was
 * said holds until the next `state`. What it does not know is ignored, as the protocol asks of clients.
 */
#include "sub_view.h"

#include "bgw/json.h"

#include <stdlib.h>
#include <time.h>

#define TEXT_MAX 256

bool view_init(struct view *v, bool json, FILE *out, FILE *notes)
{
    *v = (struct view){.json = json, .out = out, .notes = notes, .ping_s = 20};
    v->slots = calloc(VIEW_SLOTS_MAX, sizeof(*v->slots));
    bgw_buf_init(&v->resume, 16384);
    return v->slots != NULL;
}

void view_deinit(struct view *v)
{
    free(v->slots);
    bgw_buf_deinit(&v->resume);
}

void view_connected(struct view *v)
{
    v->live = false;
    v->bye_code = 0;
    v->retry_ms = 0;
    v->granted = v->denied = 0;
    for (size_t i = 0; i < v->slot_count; i++)
        v->slots[i].state[0] = '\0'; /* a connection begins with nothing told */
}

/* ---- memory ---- */

static void copy(char *to, size_t cap, struct bgw_slice from)
{
    size_t len = from.len < cap ? from.len : cap - 1;
    memcpy(to, from.data, len);
    to[len] = '\0';
}

static struct view_slot *slot_of(struct view *v, struct bgw_slice key, struct bgw_slice part)
{
    for (size_t i = 0; i < v->slot_count; i++) {
        struct view_slot *s = &v->slots[i];
        if (bgw_slice_eq(bgw_slice_str(s->key), key) && bgw_slice_eq(bgw_slice_str(s->part), part))
            return s;
    }
    if (v->slot_count == VIEW_SLOTS_MAX || key.len > BGW_KEY_MAX || part.len > BGW_PART_MAX)
        return NULL;
    struct view_slot *s = &v->slots[v->slot_count++];
    *s = (struct view_slot){0};
    copy(s->key, sizeof(s->key), key);
    copy(s->part, sizeof(s->part), part);
    return s;
}

void view_remember(struct view *v, struct bgw_slice key, struct bgw_slice part, struct bgw_slice version)
{
    struct view_slot *s = slot_of(v, key, part);
    if (s)
        copy(s->version, sizeof(s->version), version);
}

/* A value ends "unknown" and "removed" by itself. */
static bool holds_with_a_value(struct view_slot *s)
{
    if (strcmp(s->state, "unknown") == 0 || strcmp(s->state, "removed") == 0)
        s->state[0] = '\0';
    return s->state[0] != '\0';
}

/* What may be believed of a slot that has a value: its own name's state, else that of the whole key. */
static const char *state_of(struct view *v, struct view_slot *s)
{
    if (!s || holds_with_a_value(s))
        return s ? s->state : "fresh";
    for (size_t i = 0; i < v->slot_count; i++) {
        struct view_slot *whole = &v->slots[i];
        if (!*whole->part && strcmp(whole->key, s->key) == 0)
            return holds_with_a_value(whole) ? whole->state : "fresh";
    }
    return "fresh";
}

/* A removed slot's version is of no use any more; without its currency's name all of the key are dropped. */
static void forget_versions(struct view *v, struct bgw_slice key, struct bgw_slice part)
{
    for (size_t i = 0; i < v->slot_count; i++) {
        struct view_slot *s = &v->slots[i];
        if (bgw_slice_eq(bgw_slice_str(s->key), key) &&
            (part.len == 0 || bgw_slice_eq(bgw_slice_str(s->part), part)))
            s->version[0] = '\0';
    }
}

static void remember_state(struct view *v, const char *word, const char *state)
{
    const char *slash = strchr(word, '/');
    struct bgw_slice key = bgw_slice_of(word, slash ? (size_t)(slash - word) : strlen(word));
    struct bgw_slice part = bgw_slice_str(slash ? slash + 1 : "");
    struct view_slot *s = slot_of(v, key, part);
    if (s)
        copy(s->state, sizeof(s->state), bgw_slice_str(state));
    if (strcmp(state, "removed") == 0)
        forget_versions(v, key, part);
}

/* Is this slot what the user's word ("A" or "A/USD") asks for. */
static bool asked_by(const struct view_slot *s, struct bgw_slice key, struct bgw_slice part)
{
    return *s->version && bgw_slice_eq(bgw_slice_str(s->key), key) &&
           (part.len == 0 || bgw_slice_eq(bgw_slice_str(s->part), part));
}

static void split_word(const char *word, struct bgw_slice *key, struct bgw_slice *part)
{
    const char *slash = strchr(word, '/');
    *key = bgw_slice_of(word, slash ? (size_t)(slash - word) : strlen(word));
    *part = bgw_slice_str(slash ? slash + 1 : "");
}

/* Parts of one key as an object; a version without a part (--since) stands for the whole key. */
static bool append_since(const struct view *v, const char *word, bool first, struct bgw_buf *out)
{
    struct bgw_slice key, part;
    split_word(word, &key, &part);
    bool open = false;
    for (size_t i = 0; i < v->slot_count; i++) {
        const struct view_slot *s = &v->slots[i];
        if (!asked_by(s, key, part))
            continue;
        if (!open) {
            bgw_buf_append_str(out, first ? "" : ",");
            bgw_buf_append_json(out, bgw_slice_str(word));
            bgw_buf_append_byte(out, ':');
        }
        if (!*s->part && !open) {
            bgw_buf_append_json(out, bgw_slice_str(s->version));
            return true;
        }
        if (!*s->part)
            continue;
        bgw_buf_append_byte(out, open ? ',' : '{');
        bgw_buf_append_json(out, bgw_slice_str(s->part));
        bgw_buf_append_byte(out, ':');
        bgw_buf_append_json(out, bgw_slice_str(s->version));
        open = true;
    }
    if (open)
        bgw_buf_append_byte(out, '}');
    return open;
}

void view_append_sub(const struct view *v, const char *const *keys, size_t count, struct bgw_buf *out)
{
    bgw_buf_append_str(out, "{\"op\":\"sub\",\"id\":1,\"keys\":[");
    for (size_t i = 0; i < count; i++) {
        bgw_buf_append_str(out, i ? "," : "");
        bgw_buf_append_json(out, bgw_slice_str(keys[i]));
    }
    bgw_buf_append_str(out, "],\"since\":{");
    bool first = true;
    for (size_t i = 0; i < count; i++)
        if (append_since(v, keys[i], first, out))
            first = false;
    bgw_buf_append_str(out, "}}");
}

/* ---- lines ---- */

static const char *clock_text(char out[16])
{
    struct timespec now;
    struct tm local;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    snprintf(out, 16, "%02u:%02u:%02u.%03u", (unsigned)local.tm_hour % 100, (unsigned)local.tm_min % 100,
             (unsigned)local.tm_sec % 100, (unsigned)(now.tv_nsec / 1000000) % 1000);
    return out;
}

/* A member as text: a string decoded, a number as it stands; "" if it is not there. */
static const char *text_of(const struct bgw_json *object, const char *name, char out[TEXT_MAX])
{
    struct bgw_json value;
    size_t len = 0;
    out[0] = '\0';
    if (!bgw_json_member(object, name, &value))
        return out;
    if (value.type == BGW_JSON_NUMBER)
        copy(out, TEXT_MAX, value.raw);
    else if (bgw_json_string(&value, out, TEXT_MAX - 1, &len) == BGW_OK)
        out[len] = '\0';
    else
        out[0] = '\0';
    return out;
}

static bool is_true(const struct bgw_json *object, const char *name)
{
    struct bgw_json value;
    return bgw_json_member(object, name, &value) && value.type == BGW_JSON_TRUE;
}

static int64_t number_of(const struct bgw_json *object, const char *name, int64_t otherwise)
{
    struct bgw_json value;
    int64_t n;
    return bgw_json_member(object, name, &value) && bgw_json_i64(&value, &n) == BGW_OK ? n : otherwise;
}

static void note(struct view *v, const char *what, const char *detail)
{
    char when[16];
    fprintf(v->notes, "%s  -- %s%s%s\n", clock_text(when), what, *detail ? ": " : "", detail);
}

static void show_entry(struct view *v, const struct bgw_json *entry)
{
    struct bgw_json d;
    char key[TEXT_MAX], version[TEXT_MAX], part[TEXT_MAX], minor[TEXT_MAX], pending[TEXT_MAX];
    char delta[TEXT_MAX], merged[TEXT_MAX], when[16];
    if (!bgw_json_member(entry, "d", &d) || d.type != BGW_JSON_OBJECT)
        return;
    text_of(entry, "k", key);
    text_of(entry, "v", version);
    text_of(&d, "currency", part);
    struct view_slot *s = slot_of(v, bgw_slice_str(key), bgw_slice_str(part));
    if (s)
        copy(s->version, sizeof(s->version), bgw_slice_str(version));
    v->updates++;
    if (v->json)
        return;
    text_of(&d, "minor", minor);
    text_of(&d, "pendingMinor", pending);
    text_of(&d, "deltaMinor", delta);
    text_of(entry, "merged", merged);
    fprintf(v->out, "%s  %-24s %s %14s  %-7s  %s", clock_text(when), key, part, minor,
            state_of(v, s), version);
    if (*delta)
        fprintf(v->out, "  %s%s", *delta == '-' ? "" : "+", delta);
    if (*pending && strcmp(pending, "0") != 0)
        fprintf(v->out, "  pending %s", pending);
    if (is_true(entry, "snap"))
        fprintf(v->out, "  snapshot");
    if (*merged && strcmp(merged, "0") != 0)
        fprintf(v->out, "  (%s folded in)", merged);
    fprintf(v->out, "\n");
}

static void on_updates(struct view *v, const struct bgw_json *root)
{
    struct bgw_json u, name, entry;
    const char *cursor = NULL;
    if (!bgw_json_member(root, "u", &u) || u.type != BGW_JSON_ARRAY)
        return;
    while (bgw_json_next(&u, &cursor, &name, &entry))
        if (entry.type == BGW_JSON_OBJECT)
            show_entry(v, &entry);
}

/* Calls `each` with every string of an array member. */
static void each_text(struct view *v, const struct bgw_json *root, const char *member,
                      void (*each)(struct view *v, const char *key, const void *arg), const void *arg)
{
    struct bgw_json list, name, item;
    const char *cursor = NULL;
    char text[TEXT_MAX];
    size_t len;
    if (!bgw_json_member(root, member, &list) || list.type != BGW_JSON_ARRAY)
        return;
    while (bgw_json_next(&list, &cursor, &name, &item))
        if (bgw_json_string(&item, text, TEXT_MAX - 1, &len) == BGW_OK) {
            text[len] = '\0';
            each(v, text, arg);
        }
}

struct state_text {
    const char *state, *reason, *lag_ms;
};

static void show_state(struct view *v, const char *key, const void *arg)
{
    const struct state_text *t = arg;
    char when[16];
    remember_state(v, key, t->state);
    if (v->json)
        return;
    fprintf(v->out, "%s  %-24s is %s", clock_text(when), key, t->state);
    if (*t->reason)
        fprintf(v->out, " (%s)", t->reason);
    if (*t->lag_ms && strcmp(t->lag_ms, "0") != 0)
        fprintf(v->out, ", last proved %s ms ago", t->lag_ms);
    fprintf(v->out, "\n");
}

static void on_state(struct view *v, const struct bgw_json *root)
{
    char state[TEXT_MAX], reason[TEXT_MAX], lag[TEXT_MAX];
    const struct state_text t = {text_of(root, "state", state), text_of(root, "reason", reason),
                                 text_of(root, "lag_ms", lag)};
    each_text(v, root, "keys", show_state, &t);
}

static void show_revoked(struct view *v, const char *key, const void *arg)
{
    char text[2 * TEXT_MAX + 8];
    snprintf(text, sizeof(text), "%s (%s)", key, (const char *)arg);
    note(v, "access taken away", text);
}

static void count_granted(struct view *v, const char *key, const void *arg)
{
    (void)key;
    (void)arg;
    v->granted++;
}

static void on_sub(struct view *v, const struct bgw_json *root)
{
    struct bgw_json denied, name, item;
    const char *cursor = NULL;
    char key[TEXT_MAX], code[TEXT_MAX], text[2 * TEXT_MAX + 8];
    each_text(v, root, "ok", count_granted, NULL);
    each_text(v, root, "current", count_granted, NULL);
    if (!bgw_json_member(root, "denied", &denied) || denied.type != BGW_JSON_ARRAY)
        return;
    while (bgw_json_next(&denied, &cursor, &name, &item)) {
        v->denied++;
        if (item.type != BGW_JSON_OBJECT)
            continue;
        snprintf(text, sizeof(text), "%s (%s)", text_of(&item, "key", key), text_of(&item, "code", code));
        note(v, "denied", text);
    }
}

static void on_mark_or_hello(struct view *v, const struct bgw_json *root)
{
    struct bgw_json resume;
    if (!bgw_json_member(root, "resume", &resume) || resume.type != BGW_JSON_STRING || resume.escaped)
        return;
    bgw_buf_clear(&v->resume);
    bgw_buf_append(&v->resume, resume.raw);
}

static enum view_next on_bye(struct view *v, const struct bgw_json *root)
{
    char reason[TEXT_MAX], text[TEXT_MAX + 32];
    v->bye_code = (uint16_t)number_of(root, "code", 0);
    v->retry_ms = number_of(root, "retry_ms", 0);
    snprintf(text, sizeof(text), "%u %s", v->bye_code, text_of(root, "reason", reason));
    note(v, "the gateway says goodbye", text);
    return VIEW_BYE;
}

static void on_err(struct view *v, const struct bgw_json *root)
{
    char code[TEXT_MAX], msg[TEXT_MAX], text[2 * TEXT_MAX + 8];
    snprintf(text, sizeof(text), "%s (%s)", text_of(root, "msg", msg), text_of(root, "code", code));
    note(v, "refused", text);
}

static void on_hello(struct view *v, const struct bgw_json *root)
{
    char server[TEXT_MAX], epoch[TEXT_MAX], text[2 * TEXT_MAX + 16];
    v->ping_s = number_of(root, "ping_s", v->ping_s);
    on_mark_or_hello(v, root);
    snprintf(text, sizeof(text), "%s, epoch %s", text_of(root, "server", server),
             text_of(root, "epoch", epoch));
    if (!v->json)
        note(v, "connected", text);
}

static void on_live(struct view *v)
{
    v->live = true;
    if (!v->json)
        note(v, "live", "everything asked for has been answered");
}

enum view_next view_message(struct view *v, struct bgw_slice message)
{
    struct bgw_json root, ev;
    char reason[TEXT_MAX];
    if (v->json)
        fprintf(v->out, "%.*s\n", (int)message.len, message.data);
    if (bgw_json_parse(message, &root) != BGW_OK || root.type != BGW_JSON_OBJECT ||
        !bgw_json_member(&root, "ev", &ev)) {
        note(v, "a message that is not of the protocol", "ignored");
        return VIEW_GO;
    }
    if (bgw_json_is(&ev, "upd"))
        on_updates(v, &root);
    else if (bgw_json_is(&ev, "state"))
        on_state(v, &root);
    else if (bgw_json_is(&ev, "mark"))
        on_mark_or_hello(v, &root);
    else if (bgw_json_is(&ev, "hello"))
        on_hello(v, &root);
    else if (bgw_json_is(&ev, "sub"))
        on_sub(v, &root);
    else if (bgw_json_is(&ev, "live"))
        on_live(v);
    else if (bgw_json_is(&ev, "revoked"))
        each_text(v, &root, "keys", show_revoked, text_of(&root, "reason", reason));
    else if (bgw_json_is(&ev, "err"))
        on_err(v, &root);
    else if (bgw_json_is(&ev, "bye"))
        return on_bye(v, &root);
    return VIEW_GO;
}
