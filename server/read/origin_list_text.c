/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin_list_text: takes a list of accounts apart, one at a time, so that a long one need not be read
 * in one turn. Hides its forms. Invariant: what cannot be understood breaks the list off, for a list
 * from which something is missing would deny accounts that exist.
 */
#include "origin_private.h"

#include "bgw/json.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip(struct bgw_slice *s, size_t n)
{
    s->data += n;
    s->len -= n;
}

static void skip_space(struct bgw_slice *s)
{
    while (s->len && is_space(*s->data))
        skip(s, 1);
}

void origin_list_text_init(struct origin_list_text *t, struct bgw_slice text)
{
    *t = (struct origin_list_text){.left = text};
    skip_space(&t->left);
    t->array = t->left.len && *t->left.data == '[';
    if (t->array)
        skip(&t->left, 1);
}

/* The length of the string or object at the beginning, without looking at what is in it; 0: it does not end. */
static size_t length_of(struct bgw_slice s)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && c == '{')
            depth++;
        else if (!quoted && c == '}' && depth)
            depth--;
        if (!quoted && !depth)
            return i < s.len ? i + 1 : 0;
    }
    return 0;
}

static enum origin_list_step read_object(struct origin_list_text *t, const struct bgw_json *object, struct bgw_slice *tenant,
                                         struct bgw_slice *key)
{
    struct bgw_json member;
    size_t len;
    if (!bgw_json_member(object, "accountId", &member) || bgw_json_string(&member, t->key, sizeof(t->key), &len) != BGW_OK)
        return ORIGIN_LIST_BROKEN;
    *key = bgw_slice_of(t->key, len);
    if (!bgw_json_member(object, "tenant", &member))
        return ORIGIN_LIST_KEY;
    if (bgw_json_string(&member, t->tenant, sizeof(t->tenant), &len) != BGW_OK)
        return ORIGIN_LIST_BROKEN;
    *tenant = bgw_slice_of(t->tenant, len);
    return ORIGIN_LIST_KEY;
}

static enum origin_list_step read_item(struct origin_list_text *t, struct bgw_slice item, struct bgw_slice *tenant,
                                       struct bgw_slice *key)
{
    struct bgw_json value;
    size_t len;
    *tenant = (struct bgw_slice){0};
    if (bgw_json_parse(item, &value) != BGW_OK)
        return ORIGIN_LIST_BROKEN;
    if (value.type == BGW_JSON_OBJECT)
        return read_object(t, &value, tenant, key);
    if (bgw_json_string(&value, t->key, sizeof(t->key), &len) != BGW_OK)
        return ORIGIN_LIST_BROKEN;
    *key = bgw_slice_of(t->key, len);
    return ORIGIN_LIST_KEY;
}

static enum origin_list_step next_of_array(struct origin_list_text *t, struct bgw_slice *tenant, struct bgw_slice *key)
{
    struct bgw_slice *left = &t->left;
    skip_space(left);
    if (!t->ended && left->len && *left->data == ']') {
        t->ended = true;
        skip(left, 1);
        skip_space(left);
    }
    if (t->ended)
        return left->len ? ORIGIN_LIST_BROKEN : ORIGIN_LIST_END;
    if (t->begun) {
        if (!left->len || *left->data != ',')
            return ORIGIN_LIST_BROKEN;
        skip(left, 1);
        skip_space(left);
    }
    t->begun = true;
    if (!left->len || (*left->data != '"' && *left->data != '{'))
        return ORIGIN_LIST_BROKEN;
    size_t len = length_of(*left);
    if (!len)
        return ORIGIN_LIST_BROKEN;
    struct bgw_slice item = bgw_slice_of(left->data, len);
    skip(left, len);
    return read_item(t, item, tenant, key);
}

/* An id may stand there without quotes. */
static enum origin_list_step next_line(struct origin_list_text *t, struct bgw_slice *tenant, struct bgw_slice *key)
{
    skip_space(&t->left);
    if (!t->left.len)
        return ORIGIN_LIST_END;
    const char *end = memchr(t->left.data, '\n', t->left.len);
    size_t len = end ? (size_t)(end - t->left.data) : t->left.len;
    struct bgw_slice line = bgw_slice_of(t->left.data, len);
    skip(&t->left, len);
    while (is_space(line.data[line.len - 1])) /* it does not begin with space */
        line.len--;
    if (*line.data == '"' || *line.data == '{')
        return read_item(t, line, tenant, key);
    for (size_t i = 0; i < line.len; i++)
        if (line.data[i] <= ' ' || line.data[i] == '<' || line.data[i] == 127)
            return ORIGIN_LIST_BROKEN; /* prose, or a page for people */
    *tenant = (struct bgw_slice){0};
    *key = line;
    return ORIGIN_LIST_KEY;
}

enum origin_list_step origin_list_text_next(struct origin_list_text *t, struct bgw_slice *tenant, struct bgw_slice *key)
{
    return t->array ? next_of_array(t, tenant, key) : next_line(t, tenant, key);
}
