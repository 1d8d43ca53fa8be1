/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen: hides address resolution and the sentences that a failed bind deserves. Main thread,
 * before anything else runs. An address is bound exactly as it was written or not at all.
 */
#include "bgw/ops.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 128

struct address_text {
    char host[256], port[8];
};

/* "host:port", "[v6]:port", ":port". */
static bool split(const char *address, struct address_text *out)
{
    const char *colon = strrchr(address, ':');
    if (!colon || strlen(colon + 1) == 0 || strlen(colon + 1) >= sizeof(out->port))
        return false;
    const char *host = address;
    size_t len = (size_t)(colon - address);
    bool bracketed = len >= 2 && host[0] == '[' && host[len - 1] == ']';
    if (bracketed) {
        host++;
        len -= 2;
    }
    if (len >= sizeof(out->host) || (!bracketed && memchr(host, ':', len)))
        return false;
    memcpy(out->host, host, len);
    out->host[len] = '\0';
    strcpy(out->port, colon + 1);
    long port = 0;
    for (const char *p = out->port; *p; p++) {
        if (*p < '0' || *p > '9')
            return false;
        port = port * 10 + (*p - '0');
    }
    return port <= 65535;
}

static struct addrinfo *resolve(const char *key, const char *address, struct bgw_buf *error)
{
    struct address_text text;
    if (!split(address, &text)) {
        bgw_buf_appendf(error,
                        "%s is \"%s\": expected host:port, such as 127.0.0.1:5852 or [::1]:0 (port 0 "
                        "picks a free one)",
                        key, address);
        return NULL;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(*text.host ? text.host : NULL, text.port, &hints, &found);
    if (rc != 0) {
        bgw_buf_appendf(error, "%s is \"%s\": the host is not known (%s)", key, address,
                        gai_strerror(rc));
        return NULL;
    }
    return found;
}

static void explain(const char *key, const char *address, int why, struct bgw_buf *error)
{
    if (why == EADDRINUSE)
        bgw_buf_appendf(error,
                        "%s is \"%s\": another process listens there. Stop it, or choose another port "
                        "(port 0 picks a free one)",
                        key, address);
    else if (why == EACCES)
        bgw_buf_appendf(error, "%s is \"%s\": ports below 1024 need a privilege; choose a higher one",
                        key, address);
    else
        bgw_buf_appendf(error, "%s is \"%s\": the system refused it (%s)", key, address, strerror(why));
}

/* A listening socket without SO_REUSEPORT; -1 and errno. */
static int open_listener(const struct addrinfo *ai)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static enum bgw_status append_bound(int fd, struct bgw_buf *bound)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    char host[64], port[8];
    if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0 ||
        getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return BGW_IO;
    bgw_buf_appendf(bound, ss.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return BGW_OK;
}

enum bgw_status bgw_ops_listen(const char *key, const char *address, int *fd, struct bgw_buf *bound,
                               struct bgw_buf *error)
{
    struct addrinfo *found = resolve(key, address, error);
    if (!found)
        return BGW_CONFIG;
    *fd = open_listener(found);
    int why = errno;
    freeaddrinfo(found);
    if (*fd < 0) {
        explain(key, address, why, error);
        return BGW_IO;
    }
    return append_bound(*fd, bound);
}

enum bgw_status bgw_ops_probe(const char *key, const char *address, struct bgw_buf *error)
{
    struct bgw_buf bound;
    bgw_buf_init(&bound, 128);
    int fd = -1;
    enum bgw_status status = bgw_ops_listen(key, address, &fd, &bound, error);
    if (fd >= 0)
        close(fd);
    bgw_buf_deinit(&bound);
    return status;
}
