/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify: hides the datagrams of sd_notify(3): a path or an abstract name, one message of
 * NAME=value lines each, waited for a second at most. Called by main. Nothing here can fail the gateway: a
 * message that the manager does not take is a message less.
 */
#include "bgw/notify.h"

#include "bgw/log.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_MAX 512
#define STATUS_MAX 256
#define WAIT_MS 1000 /* for a manager that is busy: READY=1 must not get lost in a storm of starts */

/* "/run/systemd/notify", "@name" for an abstract one. 0: neither. */
static socklen_t read_address(const char *name, struct sockaddr_un *out)
{
    size_t len = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(out->sun_path))
        return 0;
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(out->sun_path, name, len);
    if (name[0] == '@') {
        out->sun_path[0] = '\0';
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len); /* without a NUL: each byte is part of the name */
    }
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

/* A whole number above 0, or 0. */
static long long read_number(const char *text)
{
    char *end;
    if (!text || *text < '0' || *text > '9')
        return 0;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    return *end || errno ? 0 : n;
}

/* Half of what was asked, so that one late turn is not a death sentence. */
static int64_t watchdog_interval_ms(void)
{
    const char *pid = getenv("WATCHDOG_PID");
    if (pid && read_number(pid) != (long long)getpid())
        return 0;
    long long usec = read_number(getenv("WATCHDOG_USEC"));
    if (usec <= 0)
        return 0;
    return usec / 2000 > 0 ? usec / 2000 : 1;
}

void bgw_notify_open(struct bgw_notify *n)
{
    struct sockaddr_un address;
    const char *name = getenv("NOTIFY_SOCKET");
    *n = (struct bgw_notify){.fd = -1};
    if (!name || !*name)
        return;
    socklen_t len = read_address(name, &address);
    n->fd = len ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
    if (n->fd >= 0 && connect(n->fd, (struct sockaddr *)&address, len) == 0) {
        n->watchdog_ms = watchdog_interval_ms();
        return;
    }
    BGW_LOG(BGW_LOG_WARN, "notify_unavailable", {"socket", LS(name)},
            {"why", LS(len ? strerror(errno) : "neither a path nor an abstract name")},
            {"fix", LS("systemd will not learn that the gateway is ready; it sets NOTIFY_SOCKET itself for Type=notify")});
    bgw_notify_close(n);
}

static void say(const struct bgw_notify *n, const char *text, int len)
{
    if (n->fd < 0 || len <= 0)
        return;
    size_t size = (size_t)len < MESSAGE_MAX ? (size_t)len : MESSAGE_MAX - 1;
    struct pollfd p = {.fd = n->fd, .events = POLLOUT};
    ssize_t sent = send(n->fd, text, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN && poll(&p, 1, WAIT_MS) == 1)
        sent = send(n->fd, text, size, MSG_NOSIGNAL);
    if (sent < 0)
        BGW_LOG(BGW_LOG_WARN, "notify_failed", {"why", LS(strerror(errno))});
}

/* A status is one line: what stands behind a newline would be a statement of its own. */
static void say_status(const struct bgw_notify *n, const char *statement, const char *status)
{
    char text[MESSAGE_MAX];
    int line = status ? (int)strcspn(status, "\n") : 0;
    int len = snprintf(text, sizeof(text), "%s%s%.*s", statement, line ? "\nSTATUS=" : "",
                       line < STATUS_MAX ? line : STATUS_MAX, line ? status : "");
    say(n, text, len);
}

void bgw_notify_ready(const struct bgw_notify *n, const char *status)
{
    say_status(n, "READY=1", status);
}

void bgw_notify_reloading(const struct bgw_notify *n)
{
    char text[MESSAGE_MAX];
    long long usec = bgw_clock_mono_ns() / 1000; /* systemd takes only a reload that began after its own SIGHUP */
    say(n, text, snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reloading", usec));
}

void bgw_notify_stopping(const struct bgw_notify *n, const char *status)
{
    say_status(n, "STOPPING=1", status);
}

void bgw_notify_alive(const struct bgw_notify *n)
{
    say(n, "WATCHDOG=1", (int)strlen("WATCHDOG=1"));
}

void bgw_notify_close(struct bgw_notify *n)
{
    if (n->fd >= 0)
        close(n->fd);
    *n = (struct bgw_notify){.fd = -1};
}
