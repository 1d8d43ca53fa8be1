/* SPDX-License-Identifier: Apache-2.0 */
/*
 * static: the files of the page: those built in, or those of BGW_WEB_ROOT while somebody works on
 * them. Hides where they lie. Called by api on a shard's thread; a file of the folder is read whole
 * and synchronously, which is for development. Invariant: nothing outside the folder is ever
 * opened.
 */
#include "api.h"

#include "bgw/assets.h"
#include "bgw/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (8u << 20)
#define PATH_BYTES_MAX 512u
#define LASTING "/assets/"

static bool find_built_in(struct bgw_slice path, bool gzip, struct bgw_page *out)
{
    for (size_t i = 0; i < bgw_asset_count; i++) {
        const struct bgw_asset *a = &bgw_assets[i];
        if (!bgw_slice_eq(path, bgw_slice_str(a->path)))
            continue;
        out->varies = a->gzip != NULL;
        out->gzip = gzip && a->gzip;
        out->body = out->gzip ? bgw_slice_of((const char *)a->gzip, a->gzip_len) : bgw_slice_of((const char *)a->data, a->len);
        out->content_type = a->content_type;
        /* other bytes, so another tag: RFC 9110, 8.8.3.3 */
        snprintf(out->etag, sizeof(out->etag), "\"%s%s\"", a->digest, out->gzip ? "-gz" : "");
        return true;
    }
    return false;
}

/* Plain names only: no empty, hidden or parent segments, so there is one spelling of each file. */
static bool path_plain(struct bgw_slice path)
{
    for (size_t i = 0; i < path.len; i++) {
        char c = path.data[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_';
        bool inner = i > 0 && path.data[i - 1] != '/';
        if (!word && !(c == '.' && inner) && !(c == '/' && (i == 0 || inner)))
            return false;
    }
    return path.len && path.data[0] == '/' && path.len < PATH_BYTES_MAX;
}

static const char *type_of(struct bgw_slice path)
{
    static const struct {
        const char *suffix, *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".mjs", "text/javascript; charset=utf-8"},
        {".json", "application/json"},
        {".txt", "text/plain; charset=utf-8"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".ico", "image/x-icon"},
        {".woff2", "font/woff2"},
        {".webmanifest", "application/manifest+json"},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        size_t len = strlen(types[i].suffix);
        if (path.len > len && memcmp(path.data + path.len - len, types[i].suffix, len) == 0)
            return types[i].type;
    }
    return "application/octet-stream";
}

static bool read_whole(int fd, struct bgw_buf *out)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)FILE_BYTES_MAX)
        return false;
    for (;;) {
        char *to = bgw_buf_reserve(out, 65536);
        if (!to)
            return false;
        ssize_t n = read(fd, to, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0;
        out->len += (size_t)n;
    }
}

static bool find_file(const char *web_root, struct bgw_slice path, struct bgw_page *out)
{
    char name[4096];
    if (!path_plain(path))
        return false;
    int len = snprintf(name, sizeof(name), "%s%.*s", web_root, (int)path.len, path.data);
    if (len < 0 || (size_t)len >= sizeof(name))
        return false;
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool read_ok = read_whole(fd, &out->loaded);
    close(fd);
    if (!read_ok)
        return false;
    out->body = bgw_buf_slice(&out->loaded);
    out->content_type = type_of(path);
    snprintf(out->etag, sizeof(out->etag), "\"%016llx\"",
             (unsigned long long)bgw_hash_fnv64(BGW_FNV64_INIT, out->body));
    return true;
}

bool bgw_static_find(const char *web_root, struct bgw_slice path, bool gzip, struct bgw_page *out)
{
    memset(out, 0, sizeof(*out));
    bgw_buf_init(&out->loaded, FILE_BYTES_MAX + 65536);
    if (bgw_slice_eq(path, BGW_SLICE("/")))
        path = BGW_SLICE("/index.html");
    /* what the build of the console puts there has its content's hash in its name */
    out->lasting = path.len > strlen(LASTING) && memcmp(path.data, LASTING, strlen(LASTING)) == 0;
    return web_root && *web_root ? find_file(web_root, path, out) : find_built_in(path, gzip, out);
}
