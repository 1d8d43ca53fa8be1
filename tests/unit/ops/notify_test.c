/* SPDX-License-Identifier: Apache-2.0 */
/* notify: what a service manager receives, over real datagram sockets, and what its variables may say. */
#include "bgw/notify.h"

#include "../test.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char name[64], folder[] = "/tmp/bgw-notify-XXXXXX";

/* The manager's end: bound to a path, or to an abstract name that the kernel does not know yet. */
static int manager(bool abstract)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (!abstract) {
        snprintf(folder, sizeof(folder), "/tmp/bgw-notify-XXXXXX");
        CHECK(mkdtemp(folder) != NULL);
        snprintf(name, sizeof(name), "%s/socket", folder);
    } else {
        snprintf(name, sizeof(name), "@bgw-notify-test-%d", (int)getpid());
    }
    size_t len = strlen(name);
    memcpy(a.sun_path, name, len);
    if (abstract)
        a.sun_path[0] = '\0';
    CHECK_EQ_I64(bind(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return fd;
}

static void dismiss(int fd)
{
    close(fd);
    if (name[0] == '/') {
        unlink(name);
        rmdir(folder);
    }
    unsetenv("NOTIFY_SOCKET");
}

static const char *next(int fd)
{
    static char text[1024];
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void one_life(bool abstract)
{
    struct bgw_notify n;
    int fd = manager(abstract);
    bgw_notify_open(&n);
    CHECK(n.fd >= 0);
    CHECK_EQ_I64(n.watchdog_ms, 0);
    bgw_notify_ready(&n, "serving on 127.0.0.1:1");
    CHECK_EQ_STR(next(fd), "READY=1\nSTATUS=serving on 127.0.0.1:1");
    long long before = bgw_clock_mono_ns() / 1000, usec = 0;
    bgw_notify_reloading(&n);
    CHECK_EQ_I64(sscanf(next(fd), "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reloading", &usec), 1);
    CHECK(usec >= before && usec <= bgw_clock_mono_ns() / 1000);
    bgw_notify_ready(&n, NULL);
    CHECK_EQ_STR(next(fd), "READY=1");
    bgw_notify_alive(&n);
    CHECK_EQ_STR(next(fd), "WATCHDOG=1");
    bgw_notify_stopping(&n, "draining");
    CHECK_EQ_STR(next(fd), "STOPPING=1\nSTATUS=draining");
    bgw_notify_close(&n);
    CHECK_EQ_I64(n.fd, -1);
    CHECK_EQ_STR(next(fd), "");
    dismiss(fd);
}

TEST(each_message_arrives_whole_at_a_path)
{
    one_life(false);
}

TEST(each_message_arrives_whole_at_an_abstract_name)
{
    one_life(true);
}

TEST(a_status_cannot_smuggle_in_a_statement)
{
    struct bgw_notify n;
    char longer[2000];
    int fd = manager(true);
    bgw_notify_open(&n);
    bgw_notify_ready(&n, "fine\nMAINPID=1");
    CHECK_EQ_STR(next(fd), "READY=1\nSTATUS=fine");
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    bgw_notify_ready(&n, longer);
    CHECK_EQ_I64(strlen(next(fd)), strlen("READY=1\nSTATUS=") + 256);
    bgw_notify_ready(&n, "");
    CHECK_EQ_STR(next(fd), "READY=1");
    bgw_notify_close(&n);
    dismiss(fd);
}

TEST(without_a_manager_nothing_happens)
{
    static const char *const bad[] = {NULL, "", "relative", "/", "@", "/nowhere/at/all",
                                      "/tmp/a-name-that-is-longer-than-the-hundred-and-seven-bytes-which-the-address-of-a-"
                                      "local-socket-may-have-on-this-system"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct bgw_notify n;
        if (bad[i])
            setenv("NOTIFY_SOCKET", bad[i], 1);
        else
            unsetenv("NOTIFY_SOCKET");
        setenv("WATCHDOG_USEC", "1000000", 1);
        bgw_notify_open(&n);
        CHECK_EQ_I64(n.fd, -1);
        CHECK_EQ_I64(n.watchdog_ms, 0);
        bgw_notify_ready(&n, "x");
        bgw_notify_reloading(&n);
        bgw_notify_alive(&n);
        bgw_notify_stopping(&n, "x");
        bgw_notify_close(&n);
    }
    unsetenv("WATCHDOG_USEC");
    unsetenv("NOTIFY_SOCKET");
}

static int64_t interval(const char *usec, const char *pid)
{
    struct bgw_notify n;
    if (usec)
        setenv("WATCHDOG_USEC", usec, 1);
    if (pid)
        setenv("WATCHDOG_PID", pid, 1);
    else
        unsetenv("WATCHDOG_PID");
    bgw_notify_open(&n);
    int64_t ms = n.watchdog_ms;
    bgw_notify_close(&n);
    return ms;
}

TEST(the_watchdog_is_fed_at_half_its_time_and_only_if_it_is_ours)
{
    char own[32], other[32];
    int fd = manager(true);
    snprintf(own, sizeof(own), "%d", (int)getpid());
    snprintf(other, sizeof(other), "%d", (int)getpid() + 1);
    CHECK_EQ_I64(interval(NULL, NULL), 0);
    CHECK_EQ_I64(interval("30000000", NULL), 15000);
    CHECK_EQ_I64(interval("30000000", own), 15000);
    CHECK_EQ_I64(interval("30000000", other), 0);
    CHECK_EQ_I64(interval("30000000", ""), 0);
    CHECK_EQ_I64(interval("1", NULL), 1);
    CHECK_EQ_I64(interval("0", NULL), 0);
    CHECK_EQ_I64(interval("-5", NULL), 0);
    CHECK_EQ_I64(interval("30s", NULL), 0);
    CHECK_EQ_I64(interval("99999999999999999999", NULL), 0);
    dismiss(fd);
}

TEST(a_manager_that_does_not_read_holds_nobody_up_for_long)
{
    struct bgw_notify n;
    int fd = manager(true);
    bgw_notify_open(&n);
    int sent = 0;
    while (send(n.fd, "X=1", 3, MSG_NOSIGNAL) == 3)
        sent++;
    CHECK(sent > 0 && errno == EAGAIN);
    int64_t before = bgw_clock_now().mono_ms;
    bgw_notify_alive(&n);
    int64_t took = bgw_clock_now().mono_ms - before;
    CHECK(took >= 500 && took < 5000);
    CHECK_EQ_STR(next(fd), "X=1"); /* room again */
    bgw_notify_alive(&n);
    for (int i = 1; i < sent; i++)
        next(fd);
    CHECK_EQ_STR(next(fd), "WATCHDOG=1");
    dismiss(fd);
    bgw_notify_ready(&n, "gone"); /* and one that has gone */
    bgw_notify_close(&n);
}
