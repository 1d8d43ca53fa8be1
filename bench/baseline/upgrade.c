/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upgrade: see upgrade.h. Hides the grammar of a request's head, bounded by what was received, and
 * the digest, which is fetched from OpenSSL once. Invariant: a line that is not "name: value" and a
 * request without its empty line are refused.
 */
#define _GNU_SOURCE
#include "upgrade.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define KEY_LEN 24

struct text {
    const char *data;
    size_t len;
};

struct asked {
    struct text key;
    bool websocket, upgrade, version, bgw;
};

static EVP_MD *sha1;

bool upgrade_init(void)
{
    sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
    return sha1 != NULL;
}

static bool is(struct text t, const char *what)
{
    return t.len == strlen(what) && strncasecmp(t.data, what, t.len) == 0;
}

static struct text trim(struct text t)
{
    for (; t.len && (*t.data == ' ' || *t.data == '\t'); t.data++)
        t.len--;
    while (t.len && (t.data[t.len - 1] == ' ' || t.data[t.len - 1] == '\t'))
        t.len--;
    return t;
}

static bool lists(struct text value, const char *what)
{
    for (const char *end = value.data + value.len; value.data < end;) {
        const char *comma = memchr(value.data, ',', (size_t)(end - value.data));
        struct text one = {value.data, (size_t)((comma ? comma : end) - value.data)};
        if (is(trim(one), what))
            return true;
        value.data += one.len + 1;
    }
    return false;
}

static void take(struct asked *a, struct text name, struct text value)
{
    if (is(name, "upgrade"))
        a->websocket = is(value, "websocket");
    else if (is(name, "connection"))
        a->upgrade = lists(value, "upgrade");
    else if (is(name, "sec-websocket-version"))
        a->version = is(value, "13");
    else if (is(name, "sec-websocket-key"))
        a->key = value;
    else if (is(name, "sec-websocket-protocol"))
        a->bgw = lists(value, "bgw.v1");
}

/* One line without its end; false: there is no whole line any more. */
static bool next_line(struct text *rest, struct text *line)
{
    const char *end = memmem(rest->data, rest->len, "\r\n", 2);
    if (!end)
        return false;
    *line = (struct text){rest->data, (size_t)(end - rest->data)};
    rest->data = end + 2;
    rest->len -= line->len + 2;
    return true;
}

static bool read_request(struct text rest, struct asked *a)
{
    struct text line;
    if (!next_line(&rest, &line) || line.len < 14 || memcmp(line.data, "GET /", 5) != 0 ||
        memcmp(line.data + line.len - 9, " HTTP/1.1", 9) != 0)
        return false;
    while (next_line(&rest, &line)) {
        if (!line.len)
            return a->websocket && a->upgrade && a->version && a->key.len == KEY_LEN;
        const char *colon = memchr(line.data, ':', line.len);
        if (!colon || colon == line.data)
            return false;
        struct text name = {line.data, (size_t)(colon - line.data)};
        struct text value = {colon + 1, line.len - name.len - 1};
        take(a, name, trim(value));
    }
    return false;
}

size_t upgrade_answer(const char *request, size_t len, char out[UPGRADE_ANSWER_MAX])
{
    struct asked a = {0};
    unsigned char digest[20], accept[32];
    char text[KEY_LEN + sizeof(GUID)];
    if (!read_request((struct text){request, len}, &a))
        return 0;
    memcpy(text, a.key.data, KEY_LEN);
    memcpy(text + KEY_LEN, GUID, sizeof(GUID));
    if (EVP_Digest(text, sizeof(text) - 1, digest, NULL, sha1, NULL) != 1)
        return 0;
    EVP_EncodeBlock(accept, digest, sizeof(digest));
    int n = snprintf(out, UPGRADE_ANSWER_MAX,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: %s\r\n%s\r\n",
                     (const char *)accept, a.bgw ? "Sec-WebSocket-Protocol: bgw.v1\r\n" : "");
    return n > 0 && n < UPGRADE_ANSWER_MAX ? (size_t)n : 0;
}
