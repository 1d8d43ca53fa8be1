/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assets: the files of the web console, put into the program by the build (cmake/embed_assets.cmake), in
 * the order of their paths. Any thread: constant data.
 */
#ifndef BGW_ASSETS_H
#define BGW_ASSETS_H

#include <stddef.h>

/* any thread: immutable */
struct bgw_asset {
    const char *path; /* as in the URL: "/index.html", "/page.css" */
    const unsigned char *data;
    size_t len;
    const unsigned char *gzip; /* the same for who takes it; NULL: there is none */
    size_t gzip_len;
    const char *content_type; /* with its charset where it is text */
    const char *digest;       /* of the content: its entity tag without quotes */
};

extern const struct bgw_asset bgw_assets[];
extern const size_t bgw_asset_count;

#endif
