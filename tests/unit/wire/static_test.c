/* SPDX-License-Identifier: Apache-2.0 */
/* static: the page's files, and nothing but them. */
#include "test.h"

#include "bgw/assets.h"
#include "wire/api.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[256];

static void write_file(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void make_root(void)
{
    char path[512];
    snprintf(root, sizeof(root), "/tmp/bgw-static-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    snprintf(path, sizeof(path), "%s/js", root);
    CHECK(mkdir(path, 0700) == 0);
    write_file("index.html", "<html>1");
    write_file("js/app.js", "let a");
    write_file(".secret", "x");
    snprintf(path, sizeof(path), "%s/link.txt", root);
    CHECK(symlink("/etc/hostname", path) == 0);
}

static void remove_root(void)
{
    static const char *const names[] = {"index.html", "js/app.js", ".secret", "link.txt", "js", ""};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", root, names[i]);
        CHECK(remove(path) == 0);
    }
}

TEST(the_built_in_page_has_types_and_tags)
{
    struct bgw_page page;
    CHECK(bgw_asset_count > 0);
    CHECK(bgw_static_find("", BGW_SLICE("/"), false, &page));
    CHECK_EQ_STR(page.content_type, "text/html; charset=utf-8");
    CHECK(page.etag[0] == '"' && page.body.len > 0);
    bgw_buf_deinit(&page.loaded);
    CHECK(!bgw_static_find("", BGW_SLICE("/nothing"), false, &page));
    bgw_buf_deinit(&page.loaded);
}

TEST(who_takes_gzip_gets_it_under_another_tag)
{
    size_t small = 0;
    for (size_t i = 0; i < bgw_asset_count; i++) {
        const struct bgw_asset *a = &bgw_assets[i];
        struct bgw_page plain, gzip;
        CHECK(bgw_static_find("", bgw_slice_str(a->path), false, &plain) && bgw_static_find("", bgw_slice_str(a->path), true, &gzip));
        CHECK(!plain.gzip && plain.body.len == a->len && plain.lasting == (strncmp(a->path, "/assets/", 8) == 0));
        CHECK(gzip.gzip == (a->gzip != NULL) && gzip.varies == gzip.gzip && plain.varies == gzip.gzip);
        if (gzip.gzip) {
            CHECK((unsigned char)gzip.body.data[0] == 0x1f && gzip.body.len < plain.body.len);
            CHECK(strcmp(gzip.etag, plain.etag) != 0);
            small++;
        }
        bgw_buf_deinit(&plain.loaded);
        bgw_buf_deinit(&gzip.loaded);
    }
    CHECK(small > 0);
}

TEST(a_folder_serves_its_files_as_they_are_now)
{
    struct bgw_page page;
    char etag[sizeof(page.etag)];
    make_root();
    CHECK(bgw_static_find(root, BGW_SLICE("/"), false, &page));
    CHECK_SLICE(page.body, "<html>1");
    memcpy(etag, page.etag, sizeof(etag));
    bgw_buf_deinit(&page.loaded);
    write_file("index.html", "<html>2");
    CHECK(bgw_static_find(root, BGW_SLICE("/index.html"), false, &page));
    CHECK_SLICE(page.body, "<html>2");
    CHECK(strcmp(etag, page.etag) != 0);
    bgw_buf_deinit(&page.loaded);
    CHECK(bgw_static_find(root, BGW_SLICE("/js/app.js"), false, &page));
    CHECK_EQ_STR(page.content_type, "text/javascript; charset=utf-8");
    bgw_buf_deinit(&page.loaded);
    remove_root();
}

TEST(nothing_outside_a_folder_is_served)
{
    static const char *const paths[] = {
        "/../etc/passwd", "/js/../index.html", "//index.html", "/js/", "/js", "/.secret",
        "/link.txt",      "/index.html/",      "/nothing",     "/a b", ""};
    make_root();
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        struct bgw_page page;
        CHECK(!bgw_static_find(root, bgw_slice_str(paths[i]), false, &page));
        bgw_buf_deinit(&page.loaded);
    }
    remove_root();
}
