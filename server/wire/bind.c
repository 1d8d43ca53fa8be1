/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bind: from "host:port" to a bound socket and the address that was really bound. Called on the
 * main thread while the gateway starts.
 * Invariant: SO_REUSEPORT would let a second gateway of the same user share the port and silently
 * take half of the clients; so the first socket of a port in this process must find it free.
 */
#include "bgw/transport.h"

#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST_MAX 256
#define OWN_PORTS_MAX 16

static uint16_t own_ports[OWN_PORTS_MAX]; /* main thread, at start: ports that this process shares with itself */
static unsigned own_port_count;

struct endpoint {
    char host[HOST_MAX];
    char port[6];
};

static bool parse_port(const char *text, char out[6])
{
    unsigned value = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 5)
        return false;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9')
            return false;
        value = value * 10 + (unsigned)(*c - '0');
    }
    memcpy(out, text, len + 1);
    return value <= UINT16_MAX;
}

static bool parse(const char *listen, struct endpoint *e)
{
    const char *colon = strrchr(listen, ':');
    if (!colon || !parse_port(colon + 1, e->port))
        return false;
    const char *host = listen;
    size_t len = (size_t)(colon - listen);
    if (len >= 2 && host[0] == '[') {
        if (host[len - 1] != ']' || len == 2)
            return false;
        host++;
        len -= 2;
    } else if (memchr(host, ':', len)) {
        return false; /* an IPv6 address needs its brackets */
    }
    if (len == 0 || (len == 1 && *host == '*')) {
        host = "0.0.0.0";
        len = strlen(host);
    }
    if (len >= HOST_MAX)
        return false;
    memcpy(e->host, host, len);
    e->host[len] = 0;
    return true;
}

static uint16_t port_of(const struct sockaddr *sa)
{
    return ntohs(sa->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)(const void *)sa)->sin6_port
                                           : ((const struct sockaddr_in *)(const void *)sa)->sin_port);
}

static bool is_own(uint16_t port)
{
    for (unsigned i = 0; i < own_port_count; i++)
        if (own_ports[i] == port)
            return true;
    return false;
}

/* -1 with errno set on failure. */
static int bind_one(const struct addrinfo *ai, bool share)
{
    int yes = 1, no = 0;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0;
    if (ok && share)
        ok = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)) == 0;
    if (ok && ai->ai_family == AF_INET6) /* [::] serves IPv4 too */
        ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no)) == 0;
    if (ok && bind(fd, ai->ai_addr, ai->ai_addrlen) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static bool describe(int fd, char *out, size_t cap, uint16_t *port)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    char host[INET6_ADDRSTRLEN];
    struct sockaddr *sa = (struct sockaddr *)&ss;
    if (getsockname(fd, sa, &len))
        return false;
    if (getnameinfo(sa, len, host, sizeof(host), NULL, 0, NI_NUMERICHOST))
        return false;
    *port = port_of(sa);
    int n = snprintf(out, cap, ss.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, *port);
    return n > 0 && (size_t)n < cap;
}

static enum bgw_status bind_address(const struct addrinfo *ai, int *out, char *bound, size_t cap)
{
    uint16_t port = port_of(ai->ai_addr);
    if (port && !is_own(port)) {
        int probe = bind_one(ai, false);
        if (probe < 0)
            return errno == EADDRINUSE ? BGW_ADDRESS_IN_USE : BGW_IO;
        close(probe);
    }
    int fd = bind_one(ai, true);
    if (fd < 0)
        return errno == EADDRINUSE ? BGW_ADDRESS_IN_USE : BGW_IO;
    if (!describe(fd, bound, cap, &port)) {
        close(fd);
        return BGW_IO;
    }
    if (!is_own(port) && own_port_count < OWN_PORTS_MAX)
        own_ports[own_port_count++] = port;
    *out = fd;
    return BGW_OK;
}

enum bgw_status bgw_transport_bind(const char *listen, int *fd, char *bound, size_t bound_cap)
{
    struct endpoint e;
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    *fd = -1;
    if (!parse(listen, &e))
        return BGW_BAD_VALUE;
    if (getaddrinfo(e.host, e.port, &hints, &found) || !found)
        return BGW_NOT_FOUND;
    enum bgw_status status = bind_address(found, fd, bound, bound_cap);
    int saved = errno;
    freeaddrinfo(found);
    errno = saved;
    return status;
}

void bgw_transport_describe(int fd, char *out, size_t cap)
{
    uint16_t port;
    if (!describe(fd, out, cap, &port))
        snprintf(out, cap, "?");
}
