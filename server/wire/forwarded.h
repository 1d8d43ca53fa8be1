/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forwarded: which client an HTTP proxy speaks for: X-Forwarded-For and Forwarded (RFC 7239). Pure.
 * Called by conn for a request whose peer is on the list of trusted proxies, on its shard's thread;
 * for any other peer these headers say nothing.
 */
#ifndef BGW_WIRE_FORWARDED_H
#define BGW_WIRE_FORWARDED_H

#include "bgw/http.h"
#include "bgw/net.h"

enum bgw_forwarded {
    BGW_FORWARDED_NONE,    /* no header: the proxy speaks for itself */
    BGW_FORWARDED_CLIENT,  /* *client is its address */
    BGW_FORWARDED_UNKNOWN, /* the proxy hides it ("unknown", "_name") or does not say it */
    BGW_FORWARDED_BAD,     /* cannot be read, or the two headers disagree */
};

/* The rightmost address that no trusted proxy has; if all are trusted ones, the leftmost. What stands left of it was written by
 * strangers and is not judged, but for the quotes of Forwarded, which decide where elements end. Both headers: they must say the same,
 * for a proxy that writes only one of them passes on whatever its client wrote into the other. */
enum bgw_forwarded bgw_forwarded_client(const struct bgw_http_request *r, const struct bgw_nets *trusted,
                                        struct bgw_addr *client);

#endif
