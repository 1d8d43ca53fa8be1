/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_tls: TLS of a connection to Redis: whom it trusts, and that the certificate is of the name
 * that was asked for. Hides OpenSSL; private to redis, on its thread. Nothing here ever waits.
 */
#ifndef BGW_REDIS_LINK_TLS_H
#define BGW_REDIS_LINK_TLS_H

#include "bgw/buf.h"
#include "bgw/status.h"

struct bgw_redis_tls;
struct ssl_st;

enum bgw_redis_tls_result { BGW_REDIS_TLS_DONE, BGW_REDIS_TLS_READ /* wait until it can be read */, BGW_REDIS_TLS_WRITE, BGW_REDIS_TLS_ENDED };

/* ca_file NULL or "": the system's authorities. */
BGW_MUST_CHECK enum bgw_status bgw_redis_tls_create(struct bgw_redis_tls **out, const char *ca_file, struct bgw_buf *error);
void bgw_redis_tls_destroy(struct bgw_redis_tls **tls); /* fine if NULL */
/* A connection over fd, which stays the caller's; NULL without memory. */
struct ssl_st *bgw_redis_tls_open(struct bgw_redis_tls *tls, int fd, const char *host);
enum bgw_redis_tls_result bgw_redis_tls_shake(struct ssl_st *ssl);
const char *bgw_redis_tls_why(const struct ssl_st *ssl); /* after a handshake that ended */
enum bgw_redis_tls_result bgw_redis_tls_read(struct ssl_st *ssl, char *out, size_t cap, size_t *n);
enum bgw_redis_tls_result bgw_redis_tls_write(struct ssl_st *ssl, struct bgw_slice bytes, size_t *n);
void bgw_redis_tls_close(struct ssl_st *ssl); /* says goodbye if that needs no waiting; fine if NULL */

#endif
