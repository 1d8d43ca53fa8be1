/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net: IP addresses as sixteen bytes and lists of networks. Hides the two families: IPv4 is kept
 * mapped, and only here does anybody ask which one it is. Pure; any thread. Invariant: a list never
 * contains an address of the other family, so "::/0" does not quietly trust every IPv4 host, and
 * never one that is not known.
 */
#include "bgw/net.h"

#include "bgw/assert.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#define MAPPED_BITS 96
#define BLANKS " \t\r\n"

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* any thread: immutable */
struct net {
    struct bgw_addr addr;
    uint8_t bits; /* of all 128 */
};

struct bgw_nets { /* any thread: immutable after parse; counted */
    atomic_uint refs;
    size_t count;
    struct net nets[];
};

static bool is_v4(const struct bgw_addr *a)
{
    return memcmp(a->bytes, mapped, sizeof(mapped)) == 0;
}

/* Any address, "::" too. */
static bool parse_any(struct bgw_slice text, struct bgw_addr *out)
{
    char copy[INET6_ADDRSTRLEN];
    memset(out, 0, sizeof(*out));
    if (!text.len || text.len >= sizeof(copy) || memchr(text.data, '\0', text.len))
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (memchr(copy, ':', text.len))
        return inet_pton(AF_INET6, copy, out->bytes) == 1;
    memcpy(out->bytes, mapped, sizeof(mapped));
    return inet_pton(AF_INET, copy, out->bytes + sizeof(mapped)) == 1;
}

bool bgw_addr_parse(struct bgw_slice text, struct bgw_addr *out)
{
    bool brackets = text.len > 2 && text.data[0] == '[' && text.data[text.len - 1] == ']';
    if (brackets) {
        text = bgw_slice_of(text.data + 1, text.len - 2);
        if (!memchr(text.data, ':', text.len)) /* only IPv6 stands in brackets */
            return false;
    }
    return parse_any(text, out) && bgw_addr_known(out);
}

size_t bgw_addr_format(const struct bgw_addr *a, char out[BGW_ADDR_TEXT_MAX])
{
    const char *text = "unknown";
    if (is_v4(a))
        text = inet_ntop(AF_INET, a->bytes + sizeof(mapped), out, BGW_ADDR_TEXT_MAX);
    else if (bgw_addr_known(a))
        text = inet_ntop(AF_INET6, a->bytes, out, BGW_ADDR_TEXT_MAX);
    else
        memcpy(out, text, strlen(text) + 1);
    BGW_ASSERT(text); /* there is room for the longest */
    return strlen(out);
}

bool bgw_addr_of_sockaddr(const struct sockaddr *sa, struct bgw_addr *out)
{
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    memset(out, 0, sizeof(*out));
    if (sa->sa_family == AF_INET) {
        memcpy(&in4, sa, sizeof(in4));
        memcpy(out->bytes, mapped, sizeof(mapped));
        memcpy(out->bytes + sizeof(mapped), &in4.sin_addr, sizeof(in4.sin_addr));
        return true;
    }
    if (sa->sa_family != AF_INET6)
        return false;
    memcpy(&in6, sa, sizeof(in6));
    memcpy(out->bytes, &in6.sin6_addr, sizeof(in6.sin6_addr));
    return true;
}

bool bgw_addr_equal(const struct bgw_addr *a, const struct bgw_addr *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool bgw_addr_known(const struct bgw_addr *a)
{
    static const struct bgw_addr nobody;
    return !bgw_addr_equal(a, &nobody);
}

/* The halves cannot meet: IPv4's low half begins with 0000ffff, and no IPv6 line begins with 0000. */
uint64_t bgw_addr_line(const struct bgw_addr *a)
{
    uint64_t line = 0;
    const uint8_t *from = a->bytes + (is_v4(a) ? 8 : 0);
    for (size_t i = 0; i < 8; i++)
        line = line << 8 | from[i];
    return line;
}

/* ---- lists ---- */

static uint8_t mask_of(unsigned bits, size_t at)
{
    size_t first = at * 8;
    if (bits >= first + 8)
        return 0xff;
    return (uint8_t)(bits <= first ? 0u : (0xff00u >> (bits - first)) & 0xffu);
}

static bool inside(const struct net *n, const struct bgw_addr *a)
{
    for (size_t i = 0; i < sizeof(a->bytes); i++) {
        if ((a->bytes[i] ^ n->addr.bytes[i]) & mask_of(n->bits, i))
            return false;
    }
    return true;
}

static bool parse_bits(struct bgw_slice text, unsigned max, unsigned *out)
{
    unsigned n = 0;
    if (!text.len || text.len > 3 || (text.data[0] == '0' && text.len > 1))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        n = n * 10 + (unsigned)(text.data[i] - '0');
    }
    *out = n;
    return n <= max;
}

/* NULL, or what is wrong with the entry. */
static const char *parse_net(struct bgw_slice entry, struct net *out)
{
    const char *slash = memchr(entry.data, '/', entry.len);
    struct bgw_slice addr = entry;
    bool dotted = !memchr(entry.data, ':', entry.len);
    unsigned max = dotted ? 32 : 128, bits = max;
    if (slash) {
        size_t at = (size_t)(slash - entry.data);
        addr.len = at;
        if (!parse_bits(bgw_slice_of(slash + 1, entry.len - at - 1), max, &bits))
            return dotted ? "the length behind / must be 0 to 32" : "the length behind / must be 0 to 128";
    }
    if (!parse_any(addr, &out->addr))
        return "it must be an address such as 10.0.0.1 or 2001:db8::1, or a network such as 10.0.0.0/8";
    out->bits = (uint8_t)(dotted ? bits + MAPPED_BITS : bits);
    for (size_t i = 0; i < sizeof(out->addr.bytes); i++) {
        if (out->addr.bytes[i] & ~mask_of(out->bits, i))
            return "it has bits behind its length: a network begins with its first address";
    }
    return NULL;
}

static struct bgw_slice trim(struct bgw_slice s)
{
    while (s.len && strchr(BLANKS, s.data[0]))
        s = bgw_slice_of(s.data + 1, s.len - 1);
    while (s.len && strchr(BLANKS, s.data[s.len - 1]))
        s.len--;
    return s;
}

static enum bgw_status parse_all(struct bgw_nets *n, const char *text, struct bgw_buf *error)
{
    const char *at = text, *why = NULL;
    if (!trim(bgw_slice_str(text)).len)
        return BGW_OK;
    for (;;) {
        struct bgw_slice entry = trim(bgw_slice_of(at, strcspn(at, ",")));
        if (n->count == BGW_NETS_MAX)
            why = "there may be 256 entries";
        else if (!entry.len)
            why = "an entry is empty";
        else
            why = parse_net(entry, &n->nets[n->count]);
        if (why) {
            if (error)
                bgw_buf_appendf(error, "\"%.*s\" in a list of networks: %s", entry.len < 64 ? (int)entry.len : 64,
                                entry.data, why);
            return BGW_BAD_VALUE;
        }
        n->count++;
        at += strcspn(at, ",");
        if (!*at++)
            return BGW_OK;
    }
}

enum bgw_status bgw_nets_parse(struct bgw_nets **out, const char *text, struct bgw_buf *error)
{
    size_t room = 1;
    *out = NULL;
    for (const char *at = text ? text : ""; *at && room < BGW_NETS_MAX; at++)
        room += *at == ',';
    struct bgw_nets *n = calloc(1, sizeof(*n) + room * sizeof(n->nets[0]));
    if (!n)
        return BGW_NO_MEMORY;
    atomic_init(&n->refs, 1);
    enum bgw_status status = parse_all(n, text ? text : "", error);
    if (status == BGW_OK)
        *out = n;
    else
        bgw_nets_release(n);
    return status;
}

bool bgw_nets_contain(const struct bgw_nets *n, const struct bgw_addr *a)
{
    if (!n || !n->count || !bgw_addr_known(a))
        return false;
    bool v4 = is_v4(a);
    for (size_t i = 0; i < n->count; i++) {
        const struct net *net = &n->nets[i];
        bool net_v4 = net->bits >= MAPPED_BITS && is_v4(&net->addr);
        if (net_v4 == v4 && inside(net, a))
            return true;
    }
    return false;
}

size_t bgw_nets_count(const struct bgw_nets *n)
{
    return n ? n->count : 0;
}

struct bgw_nets *bgw_nets_acquire(struct bgw_nets *n)
{
    /* relaxed: the caller holds a reference already */
    unsigned before = n ? atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed) : 1;
    BGW_ASSERT(before > 0 && before < UINT_MAX / 2);
    return n;
}

void bgw_nets_release(struct bgw_nets *n)
{
    if (!n)
        return;
    /* release our reads, acquire everyone's before freeing */
    unsigned before = atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel);
    BGW_ASSERT(before > 0);
    if (before == 1)
        free(n);
}
