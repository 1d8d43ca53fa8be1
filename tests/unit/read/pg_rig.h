/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pg_rig: a PostgreSQL server of the test's own: made once, in a directory that goes with the test, and
 * started, frozen, killed and started again as a test asks. The server refuses root, so it runs as
 * `postgres` where the test is root. Its port is below 32768, where no outgoing connection takes it.
 */
#ifndef BGW_TEST_PG_RIG_H
#define BGW_TEST_PG_RIG_H

#include "test.h"

#include "bgw/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PG_RIG_BIN "/usr/lib/postgresql/17/bin/"

struct pg_rig { /* the test's */
    char dir[64], data[80], port_text[8], uri[128], socket_uri[160];
    int port;
    pid_t pid;
};

__attribute__((weak)) struct pg_rig pg_rig_;

static inline pid_t pg_spawn(const struct pg_rig *p, const char *const words[])
{
    static const char *const as_postgres[] = {"setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups",
                                              "--pdeathsig", "KILL", NULL};
    const char *argv[32];
    char log[80];
    size_t n = 0;
    for (size_t i = 0; geteuid() == 0 && as_postgres[i]; i++)
        argv[n++] = as_postgres[i];
    for (size_t i = 0; words[i]; i++)
        argv[n++] = words[i];
    argv[n] = NULL;
    snprintf(log, sizeof(log), "%s/log", p->dir);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        unsetenv("LD_PRELOAD");
        dup2(fd, 1);
        dup2(fd, 2);
        (void)!chdir(p->dir);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    return pid;
}

static inline bool pg_run(const struct pg_rig *p, const char *const words[])
{
    int status = 1;
    pid_t pid = pg_spawn(p, words);
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static inline int pg_free_port(void)
{
    for (int port = 21000 + (int)(getpid() % 9000);; port++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        bool free_port = bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
        close(fd);
        if (free_port)
            return port;
    }
}

/* Returns when it answers. */
static inline void pg_start(struct pg_rig *p)
{
    int64_t end_ms = bgw_clock_now().mono_ms + 30000;
    const char *const words[] = {PG_RIG_BIN "postgres", "-D", p->data, "-k", p->dir, "-p", p->port_text, "-c",
                                 "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=20", NULL};
    p->pid = pg_spawn(p, words);
    while (PQping(p->uri) != PQPING_OK && bgw_clock_now().mono_ms < end_ms)
        poll(NULL, 0, 20);
    CHECK(PQping(p->uri) == PQPING_OK);
}

/* The whole family: the others follow their parent when it is gone. */
static inline void pg_kill(struct pg_rig *p)
{
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

static inline void pg_sql(const struct pg_rig *p, const char *sql)
{
    PGconn *c = PQconnectdb(p->uri);
    PGresult *r = PQexec(c, sql);
    ExecStatusType s = PQresultStatus(r);
    if (s != PGRES_COMMAND_OK && s != PGRES_TUPLES_OK)
        test_fail_(__FILE__, __LINE__, "%s: %s", sql, PQerrorMessage(c));
    PQclear(r);
    PQfinish(c);
}

static inline void pg_end(void)
{
    struct pg_rig *p = &pg_rig_;
    if (p->pid) {
        kill(p->pid, SIGQUIT);
        waitpid(p->pid, NULL, 0);
    }
    const char *const words[] = {"rm", "-rf", p->dir, NULL};
    if (*p->dir)
        (void)pg_run(p, words);
}

/* `guarded` needs a password, all others need none. */
static inline void pg_guard(const struct pg_rig *p)
{
    char path[128], rest[16384] = "";
    snprintf(path, sizeof(path), "%s/pg_hba.conf", p->data);
    FILE *f = fopen(path, "r+e");
    CHECK(f != NULL);
    if (!f)
        return;
    size_t len = fread(rest, 1, sizeof(rest) - 1, f);
    rewind(f);
    fprintf(f, "host all guarded 127.0.0.1/32 scram-sha-256\n%.*s", (int)len, rest);
    CHECK(fclose(f) == 0);
}

static inline void pg_make(struct pg_rig *p)
{
    snprintf(p->dir, sizeof(p->dir), "/tmp/bgw-pg-XXXXXX");
    CHECK(mkdtemp(p->dir) != NULL);
    snprintf(p->data, sizeof(p->data), "%s/data", p->dir);
    p->port = pg_free_port();
    snprintf(p->port_text, sizeof(p->port_text), "%d", p->port);
    snprintf(p->uri, sizeof(p->uri), "postgresql://ledger@127.0.0.1:%d/postgres", p->port);
    snprintf(p->socket_uri, sizeof(p->socket_uri), "postgresql:///postgres?host=%s&port=%d&user=ledger", p->dir, p->port);
    const char *const own[] = {"chown", "postgres:", p->dir, NULL};
    const char *const init[] = {PG_RIG_BIN "initdb", "-D", p->data, "-U", "ledger", "-A", "trust", "-N", "-E", "UTF8", "--locale=C", NULL};
    int status = 1;
    pid_t pid = geteuid() == 0 ? fork() : 0;
    if (geteuid() == 0 && pid == 0) {
        execvp(own[0], (char *const *)(uintptr_t)own);
        _exit(127);
    }
    CHECK(pid == 0 || (waitpid(pid, &status, 0) == pid && status == 0));
    CHECK(pg_run(p, init));
    pg_guard(p);
    atexit(pg_end);
}

/* The server and all its processes, which are children of the one that was started. */
static inline void pg_freeze(const struct pg_rig *p, bool frozen)
{
    char path[64];
    int pid;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", p->pid, p->pid);
    FILE *children = fopen(path, "re");
    CHECK(children != NULL);
    kill(p->pid, frozen ? SIGSTOP : SIGCONT);
    while (children && fscanf(children, "%d", &pid) == 1)
        kill(pid, frozen ? SIGSTOP : SIGCONT);
    if (children)
        fclose(children);
}

/* The one server of this program, running, with the table and the rows that the tests expect. */
static inline struct pg_rig *pg_get(void)
{
    struct pg_rig *p = &pg_rig_;
    if (!*p->dir)
        pg_make(p);
    if (!p->pid)
        pg_start(p);
    pg_sql(p, "SET client_min_messages = warning; DROP TABLE IF EXISTS accounts; CREATE TABLE accounts (account_id text, tenant_id text, currency text, "
              "ledger_minor bigint, pending_minor bigint, version bigint, updated_at timestamptz, "
              "PRIMARY KEY (account_id, tenant_id, currency));"
              "INSERT INTO accounts VALUES"
              "('A', 'tnt_demo', 'NGN', 9007199254740993, -5, 41, '2026-11-21 17:36:58.1239+00'),"
              "('A', 't2', 'NGN', 2, 0, 1, NULL), ('A', 'tnt_demo', 'USD', 3, 0, 1, NULL),"
              "('min', 'tnt_demo', 'NGN', -9223372036854775808, 9223372036854775807, 9223372036854775807, '1970-01-01 00:00Z'),"
              "('nulls', 'tnt_demo', 'NGN', 0, NULL, NULL, NULL), ('void', 'tnt_demo', 'NGN', NULL, 0, 1, NULL),"
              "('minus', 'tnt_demo', 'NGN', 1, 0, -1, NULL), ('old', 'tnt_demo', 'NGN', 1, 0, 1, '1969-01-01 00:00Z')");
    return p;
}

#endif
