/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forwarded: reads the two headers from left to right and keeps the last hop that is not a trusted
 * proxy. Hides quoting, ports, brackets and obfuscated names. Called by conn through forwarded.h;
 * shard thread. Invariant: bytes that a client wrote never decide when a trusted proxy's word
 * stands to their right.
 */
#include "forwarded.h"

/* one hop, as it was written */
struct hop {
    enum bgw_forwarded kind; /* CLIENT, UNKNOWN or BAD */
    struct bgw_addr addr;
};

/* what is known after some hops; NONE: none yet */
struct chain {
    const struct bgw_nets *trusted;
    enum bgw_forwarded kind;
    struct bgw_addr addr;
};

static void chain_add(struct chain *c, const struct hop *hop)
{
    bool ours = hop->kind == BGW_FORWARDED_CLIENT && bgw_nets_contain(c->trusted, &hop->addr);
    if (ours && c->kind != BGW_FORWARDED_NONE)
        return;
    c->kind = hop->kind;
    c->addr = hop->addr;
}

/* ---- one node: an address, perhaps with a port; "unknown"; "_name" ---- */

static bool port_valid(struct bgw_slice s)
{
    bool digits = s.len > 0 && s.len <= 5, name = s.len > 1 && s.data[0] == '_';
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.data[i];
        bool digit = ch >= '0' && ch <= '9';
        digits = digits && digit;
        name = name && (digit || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || strchr("._-", ch));
    }
    return digits || name;
}

/* Cuts ":port" off. False: it is none. */
static bool cut_port(struct bgw_slice *node)
{
    const char *end = node->data + node->len, *bracket = memrchr(node->data, ']', node->len);
    const char *colon = memrchr(node->data, ':', node->len);
    if (node->data[0] == '[' ? !bracket : bracket != NULL)
        return false;
    if (!colon || (bracket && colon < bracket))
        return true;
    if (!bracket && memchr(node->data, ':', (size_t)(colon - node->data)))
        return true; /* an IPv6 address without brackets has no port */
    if (bracket && colon != bracket + 1)
        return false;
    node->len = (size_t)(colon - node->data);
    return port_valid(bgw_slice_of(colon + 1, (size_t)(end - colon) - 1));
}

static struct hop read_node(struct bgw_slice node)
{
    struct hop hop = {.kind = BGW_FORWARDED_BAD};
    if (!node.data || !node.len || memchr(node.data, '\0', node.len) || !cut_port(&node) || !node.len)
        return hop;
    if (bgw_addr_parse(node, &hop.addr))
        hop.kind = BGW_FORWARDED_CLIENT;
    else if (bgw_slice_eq_nocase(node, BGW_SLICE("unknown")) || (node.data[0] == '_' && port_valid(node)))
        hop.kind = BGW_FORWARDED_UNKNOWN;
    return hop;
}

/* ---- X-Forwarded-For: a list of nodes ---- */

static void read_x_forwarded_for(const struct bgw_http_request *r, struct chain *c)
{
    struct bgw_http_cursor cursor = {0};
    struct bgw_slice element;
    while (bgw_http_list_next(r, "x-forwarded-for", &cursor, &element)) {
        struct hop hop = read_node(element);
        chain_add(c, &hop);
    }
}

/* ---- Forwarded: elements of name=value pairs ---- */

static bool token_char(char ch)
{
    return ch > ' ' && ch < 0x7f && !strchr("\"(),/:;<=>?@[\\]{}", ch);
}

static void skip_blanks(struct bgw_slice *s)
{
    while (s->len && (s->data[0] == ' ' || s->data[0] == '\t'))
        *s = bgw_slice_of(s->data + 1, s->len - 1);
}

static struct bgw_slice take_token(struct bgw_slice *s)
{
    size_t n = 0;
    while (n < s->len && token_char(s->data[n]))
        n++;
    struct bgw_slice token = bgw_slice_of(s->data, n);
    *s = bgw_slice_of(s->data + n, s->len - n);
    return token;
}

/* A quoted string; data NULL: it does not end. What is escaped stays so: no node needs it, so one that has it is not read. */
static struct bgw_slice take_quoted(struct bgw_slice *s)
{
    for (size_t i = 1; i < s->len; i++) {
        if (s->data[i] == '\\') {
            i++;
        } else if (s->data[i] == '"') {
            struct bgw_slice value = bgw_slice_of(s->data + 1, i - 1);
            *s = bgw_slice_of(s->data + i + 1, s->len - i - 1);
            return value;
        }
    }
    return (struct bgw_slice){NULL, 0};
}

/* One name=value. False: it breaks the grammar, or says `for` twice. */
static bool read_pair(struct bgw_slice *s, struct hop *hop, bool *named)
{
    struct bgw_slice name = take_token(s), value;
    if (!name.len || !s->len || s->data[0] != '=')
        return false;
    *s = bgw_slice_of(s->data + 1, s->len - 1);
    bool quoted = s->len && s->data[0] == '"';
    value = quoted ? take_quoted(s) : take_token(s);
    if (!value.data || (!quoted && !value.len))
        return false;
    if (!bgw_slice_eq_nocase(name, BGW_SLICE("for")))
        return true;
    if (*named)
        return false;
    *named = true;
    *hop = read_node(value);
    return true;
}

/* Pairs up to a comma or the end. False: it breaks the grammar. */
static bool read_element(struct bgw_slice *s, struct chain *c)
{
    struct hop hop = {.kind = BGW_FORWARDED_UNKNOWN}; /* an element may leave `for` out */
    bool named = false;
    for (;;) {
        skip_blanks(s);
        if (!read_pair(s, &hop, &named))
            return false;
        skip_blanks(s);
        if (!s->len || s->data[0] == ',')
            break;
        if (s->data[0] != ';')
            return false;
        *s = bgw_slice_of(s->data + 1, s->len - 1);
    }
    chain_add(c, &hop);
    return true;
}

static bool read_forwarded_line(struct bgw_slice s, struct chain *c)
{
    while (s.len) {
        skip_blanks(&s);
        if (s.len && s.data[0] != ',' && !read_element(&s, c)) /* empty elements mean nothing */
            return false;
        if (s.len)
            s = bgw_slice_of(s.data + 1, s.len - 1);
    }
    return true;
}

static bool read_forwarded(const struct bgw_http_request *r, struct chain *c)
{
    for (size_t n = 0;; n++) {
        struct bgw_slice line = bgw_http_header(r, "forwarded", n);
        if (!line.data)
            return true;
        if (!read_forwarded_line(line, c))
            return false;
    }
}

enum bgw_forwarded bgw_forwarded_client(const struct bgw_http_request *r, const struct bgw_nets *trusted,
                                        struct bgw_addr *client)
{
    struct chain old = {.trusted = trusted}, standard = {.trusted = trusted};
    memset(client, 0, sizeof(*client));
    read_x_forwarded_for(r, &old);
    if (!read_forwarded(r, &standard))
        return BGW_FORWARDED_BAD;
    if (old.kind != BGW_FORWARDED_NONE && standard.kind != BGW_FORWARDED_NONE &&
        (old.kind != standard.kind || !bgw_addr_equal(&old.addr, &standard.addr)))
        return BGW_FORWARDED_BAD;
    const struct chain *c = standard.kind != BGW_FORWARDED_NONE ? &standard : &old;
    if (c->kind == BGW_FORWARDED_CLIENT)
        *client = c->addr;
    return c->kind;
}
