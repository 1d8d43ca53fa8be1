/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_header: the binary header (version 2) by which a proxy names the client that it speaks for.
 * Pure: bytes in, result out. Called by admission on a shard's thread, and by the fuzzer. Version 1,
 * which is text, is refused: nothing says where it may end.
 */
#ifndef BGW_PROXY_HEADER_H
#define BGW_PROXY_HEADER_H

#include "bgw/net.h"
#include "bgw/slice.h"

#define BGW_PROXY_PREFIX 16    /* signature, command, family, length */
#define BGW_PROXY_NEED_MAX 52  /* that, and two IPv6 addresses with their ports: what the parser looks at */
#define BGW_PROXY_TOTAL_MAX (BGW_PROXY_PREFIX + 4096)

enum bgw_proxy_result { BGW_PROXY_MORE, BGW_PROXY_OK, BGW_PROXY_BAD };

struct bgw_proxy_header { /* fixed-size value */
    size_t need;          /* how many bytes of the connection the parser must see; never more than BGW_PROXY_NEED_MAX */
    size_t total;         /* after OK: how many belong to the header; those past `need` are not looked at */
    struct bgw_addr addr; /* the client; all zeros: the header names none, the socket's own peer counts */
};

/* `bytes` are the connection's first ones, `need` of them at most. MORE: `need` says until where to read, not a byte further. */
enum bgw_proxy_result bgw_proxy_parse(struct bgw_slice bytes, struct bgw_proxy_header *out);

#endif
