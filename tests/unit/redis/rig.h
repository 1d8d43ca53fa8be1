/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig: a real Redis or Valkey of the test's own in a directory of its own, on a port below the
 * ephemeral ones, with what may be done to it: commands, a pause, a violent end and a new start; and turns of
 * the loop until something has happened.
 */
#ifndef BGW_TEST_REDIS_RIG_H
#define BGW_TEST_REDIS_RIG_H

#include "test.h"

#include "bgw/clock.h"
#include "bgw/loop.h"
#include "bgw/metrics.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REDIS_WORDS_MAX 24

struct redis { /* the test's */
    const char *program;
    pid_t pid;
    uint16_t port, tls_port;
    char dir[64], url[64];
    const char *extra[REDIS_WORDS_MAX];
    redisContext *c;
};

/* Turns until the condition holds, ten seconds at most. */
#define REDIS_UNTIL(loop, condition)                                                        \
    do {                                                                                    \
        int64_t until_ms_ = bgw_clock_now().mono_ms + 10000;                                \
        while (!(condition) && bgw_clock_now().mono_ms < until_ms_)                         \
            bgw_loop_turn((loop), 5);                                                       \
        CHECK(condition);                                                                   \
    } while (0)

/* One that nobody listens on now, below the range that the system gives away. */
static inline uint16_t redis_free_port(void)
{
    static unsigned next;
    for (int i = 0; i < 2000; i++) {
        uint16_t port = (uint16_t)(18000 + ((unsigned)getpid() * 31 + next++) % 14000);
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool ok = bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
        close(fd);
        if (ok)
            return port;
    }
    return 0;
}

static inline void redis_exec(const struct redis *r)
{
    char port[8], log[80];
    const char *argv[REDIS_WORDS_MAX + 16] = {r->program, "--save", "", "--appendonly", "no", "--port", port,
                                              "--bind", "127.0.0.1", "--logfile", "log", "--enable-debug-command", "yes"};
    size_t n = 13;
    snprintf(port, sizeof(port), "%u", r->port);
    snprintf(log, sizeof(log), "%s/out", r->dir);
    for (size_t i = 0; i < REDIS_WORDS_MAX && r->extra[i]; i++)
        argv[n++] = r->extra[i];
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(out, 1);
    dup2(out, 2);
    if (chdir(r->dir) == 0)
        execvp(r->program, (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* Until it takes a connection of ours. */
static inline void redis_await(struct redis *r)
{
    const struct timespec moment = {.tv_nsec = 5000000};
    for (int i = 0; i < 2000; i++) {
        r->c = redisConnect("127.0.0.1", r->port);
        if (r->c && !r->c->err)
            return;
        redisFree(r->c);
        r->c = NULL;
        nanosleep(&moment, NULL);
    }
    test_fail_(__FILE__, __LINE__, "%s", "the server has not started");
    exit(1);
}

/* The same port and directory as before, if there was one. */
static inline void redis_run(struct redis *r)
{
    pid_t parent = getpid();
    r->pid = fork();
    if (r->pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing is left of a test that aborts */
        if (getppid() == parent)
            redis_exec(r);
        _exit(127);
    }
    redis_await(r);
}

/* `extra`: NULL or more arguments, with a NULL at the end. */
static inline void redis_start(struct redis *r, const char *program, const char *const *extra)
{
    *r = (struct redis){.program = program, .dir = "/tmp/bgw-redis-XXXXXX"};
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    signal(SIGPIPE, SIG_IGN); /* as the gateway does */
    CHECK(mkdtemp(r->dir) != NULL);
    for (size_t i = 0; extra && extra[i] && i < REDIS_WORDS_MAX; i++)
        r->extra[i] = extra[i];
    r->port = redis_free_port();
    snprintf(r->url, sizeof(r->url), "127.0.0.1:%u", r->port);
    redis_run(r);
}

static inline void redis_kill(struct redis *r)
{
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    redisFree(r->c);
    r->c = NULL;
}

static inline void redis_stop(struct redis *r)
{
    char path[96];
    static const char *const left[] = {"log", "out", "dump.rdb", "sentinel.conf", "ca.pem", "key.pem"};
    redis_kill(r);
    for (size_t i = 0; i < sizeof(left) / sizeof(*left); i++) {
        snprintf(path, sizeof(path), "%s/%s", r->dir, left[i]);
        unlink(path);
    }
    rmdir(r->dir);
}

/* Text of the answer; "(nil)", "ERR …"; integers as digits. Good until the next one. */
__attribute__((format(printf, 2, 3))) static inline const char *redis_say(struct redis *r, const char *format, ...)
{
    static char text[4096];
    va_list args;
    va_start(args, format);
    redisReply *reply = redisvCommand(r->c, format, args);
    va_end(args);
    if (!reply)
        snprintf(text, sizeof(text), "no answer: %s", r->c->errstr);
    else if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(text, sizeof(text), "%lld", reply->integer);
    else
        snprintf(text, sizeof(text), "%s", reply->type == REDIS_REPLY_NIL ? "(nil)" : reply->str ? reply->str : "(list)");
    freeReplyObject(reply);
    return text;
}

#endif
