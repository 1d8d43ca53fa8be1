/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_url: reads the forms of an address. Hides percent signs, brackets and defaults. Called
 * once a link, on the thread that creates it; pure. A password may hold any byte but NUL: what the
 * form gives a meaning (@ / %) is written with a percent sign, and the last @ ends it.
 */
#include "link_url.h"

#define PORT_DEFAULT 6379
#define SENTINEL_PORT_DEFAULT 26379
#define DB_MAX 99999

struct scheme {
    const char *text;
    bool tls, sentinel;
};

static bool read_number(struct bgw_slice text, int max, int *out)
{
    int n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || n > max)
            return false;
        n = n * 10 + (text.data[i] - '0');
    }
    *out = n;
    return text.len > 0 && n <= max;
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decoded and NUL-terminated. */
static bool read_text(struct bgw_slice text, char *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_of(text.data[i + 1]) : -1;
            int low = high >= 0 ? hex_of(text.data[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0' || n + 1 >= cap)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

static bool host_byte(char c, bool v6)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '.')
        return true;
    return v6 ? c == ':' : (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

bool bgw_redis_host_parse(struct bgw_redis_host *out, struct bgw_slice text)
{
    bool v6 = text.len && text.data[0] == '[';
    const char *end = text.data + text.len, *at = v6 ? text.data + 1 : text.data;
    const char *stop = text.len ? memchr(text.data, v6 ? ']' : ':', text.len) : NULL;
    struct bgw_slice name = bgw_slice_of(at, (size_t)((stop ? stop : end) - at));
    int port = 0;
    *out = (struct bgw_redis_host){0};
    if (!name.len || name.len > BGW_REDIS_HOST_MAX || (v6 && !stop))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!host_byte(name.data[i], v6))
            return false;
    const char *rest = stop ? stop + (v6 ? 1 : 0) : end;
    if (rest < end && (*rest != ':' || !read_number(bgw_slice_of(rest + 1, (size_t)(end - rest - 1)), 65535, &port) || !port))
        return false;
    memcpy(out->name, name.data, name.len);
    out->port = (uint16_t)port;
    return true;
}

static const char *read_hosts(struct bgw_redis_url *out, struct bgw_slice text)
{
    const char *at = text.data, *end = text.data + text.len;
    for (;;) {
        const char *comma = at < end ? memchr(at, ',', (size_t)(end - at)) : NULL;
        struct bgw_slice one = bgw_slice_of(at, (size_t)((comma ? comma : end) - at));
        if (out->host_count == BGW_REDIS_HOSTS_MAX)
            return "it names more than 8 hosts";
        struct bgw_redis_host *host = &out->hosts[out->host_count];
        if (!bgw_redis_host_parse(host, one))
            return "expected a host's name or address and its port, such as cache.example:6379";
        if (!host->port)
            host->port = out->sentinel ? SENTINEL_PORT_DEFAULT : PORT_DEFAULT;
        out->host_count++;
        if (!comma)
            break;
        at = comma + 1;
    }
    return out->sentinel || out->host_count == 1 ? NULL : "several hosts are for redis+sentinel:// alone";
}

static const char *read_user(struct bgw_redis_url *out, struct bgw_slice text)
{
    const char *colon = memchr(text.data, ':', text.len);
    const char *end = text.data + text.len;
    if (!colon)
        return "before the @ stand user:password, or :password";
    if (!read_text(bgw_slice_of(text.data, (size_t)(colon - text.data)), out->user, sizeof(out->user)) ||
        !read_text(bgw_slice_of(colon + 1, (size_t)(end - colon - 1)), out->password, sizeof(out->password)))
        return "user or password is longer than 512 bytes, or a percent sign in it is not followed by two hexadecimal digits";
    return out->password[0] ? NULL : "before the @ stand user:password, or :password";
}

/* What follows the hosts: /db, or /master and perhaps /db. */
static const char *read_path(struct bgw_redis_url *out, struct bgw_slice path)
{
    if (out->sentinel) {
        const char *slash = path.len ? memchr(path.data, '/', path.len) : NULL;
        struct bgw_slice master = bgw_slice_of(path.data, slash ? (size_t)(slash - path.data) : path.len);
        if (!master.len || !read_text(master, out->master, sizeof(out->master)))
            return "redis+sentinel:// ends with the master's name: redis+sentinel://host:26379,host:26379/mymaster";
        path = slash ? bgw_slice_of(slash + 1, (size_t)(path.data + path.len - slash - 1)) : (struct bgw_slice){0};
    }
    return !path.len || read_number(path, DB_MAX, &out->db) ? NULL : "after the last / stands the number of a database";
}

static struct bgw_slice after_scheme(struct bgw_redis_url *out, const char *text)
{
    static const struct scheme schemes[] = {{"redis://", false, false},
                                            {"rediss://", true, false},
                                            {"redis+sentinel://", false, true},
                                            {"rediss+sentinel://", true, true}};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
        size_t len = strlen(schemes[i].text);
        if (strncmp(text, schemes[i].text, len) != 0)
            continue;
        out->tls = schemes[i].tls;
        out->sentinel = schemes[i].sentinel;
        return bgw_slice_str(text + len);
    }
    return (struct bgw_slice){0};
}

const char *bgw_redis_url_parse(struct bgw_redis_url *out, const char *text)
{
    *out = (struct bgw_redis_url){0};
    struct bgw_slice rest = after_scheme(out, text);
    const char *why = NULL;
    if (!rest.data) /* host:port, which carries no secrets */
        return strstr(text, "://") || strchr(text, '@') ? "expected host:port, redis://, rediss:// or redis+sentinel://"
                                                        : read_hosts(out, bgw_slice_str(text));
    const char *at = rest.len ? memrchr(rest.data, '@', rest.len) : NULL;
    if (at) {
        why = read_user(out, bgw_slice_of(rest.data, (size_t)(at - rest.data)));
        rest = bgw_slice_of(at + 1, (size_t)(rest.data + rest.len - at - 1));
    }
    const char *slash = rest.len ? memchr(rest.data, '/', rest.len) : NULL;
    size_t hosts = slash ? (size_t)(slash - rest.data) : rest.len;
    why = why ? why : read_hosts(out, bgw_slice_of(rest.data, hosts));
    return why ? why : read_path(out, slash ? bgw_slice_of(slash + 1, rest.len - hosts - 1) : (struct bgw_slice){0});
}
