/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net: addresses and lists of networks, without I/O. IPv4 is kept as ::ffff:a.b.c.d, so there is one
 * kind of address. Lists are immutable and counted: shards read them while a reload makes new ones.
 */
#ifndef BGW_NET_H
#define BGW_NET_H

#include "bgw/buf.h"
#include "bgw/status.h"

#include <stdbool.h>
#include <stdint.h>

#define BGW_ADDR_TEXT_MAX 46 /* NUL included */
#define BGW_NETS_MAX 256

struct sockaddr;

/* fixed-size value; all zeros: not known (a local socket) */
struct bgw_addr {
    uint8_t bytes[16];
};

/* "192.0.2.1", "2001:db8::1", "[2001:db8::1]"; no port, no zone, nothing else. */
bool bgw_addr_parse(struct bgw_slice text, struct bgw_addr *out);
size_t bgw_addr_format(const struct bgw_addr *a, char out[BGW_ADDR_TEXT_MAX]); /* length; "unknown" for zeros */
/* False: neither IPv4 nor IPv6. */
bool bgw_addr_of_sockaddr(const struct sockaddr *sa, struct bgw_addr *out);
bool bgw_addr_equal(const struct bgw_addr *a, const struct bgw_addr *b);
bool bgw_addr_known(const struct bgw_addr *a);
/* What a limit counts by: the whole IPv4 address, the /64 of an IPv6 one (one subscriber's line). */
uint64_t bgw_addr_line(const struct bgw_addr *a);

struct bgw_nets; /* any thread: immutable after parse; counted */

/* "10.0.0.0/8,2001:db8::/32,127.0.0.1", commas, blanks allowed; empty: contains nothing. BGW_BAD_VALUE (host bits set, too many,
 * nonsense; `error` says which entry and what is expected), BGW_NO_MEMORY. */
BGW_MUST_CHECK enum bgw_status bgw_nets_parse(struct bgw_nets **out, const char *text, struct bgw_buf *error);
bool bgw_nets_contain(const struct bgw_nets *n, const struct bgw_addr *a); /* n NULL: false */
size_t bgw_nets_count(const struct bgw_nets *n);
struct bgw_nets *bgw_nets_acquire(struct bgw_nets *n);
void bgw_nets_release(struct bgw_nets *n);

#endif
