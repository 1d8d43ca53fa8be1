/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_system: what the machine grants: descriptors, backlog, memory, clock, ports, and whoever
 * watches over the process. Called by cmd_doctor on the main thread. It measures and tells; it
 * changes nothing, and a port that it tries is closed again at once.
 */
#include "doctor.h"

#include "bgw/clock.h"
#include "bgw/ops.h"
#include "bgw/types.h"

#include <netdb.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTORS_OWN 256      /* listeners, loops, Kafka, files: beside the clients */
#define BACKLOG_WANTED 1024      /* connections that a restart brings at once */
#define PLAIN_BYTES 12288        /* a connection with a few subscriptions: ours, and the kernel's socket */
#define TLS_BYTES 40960          /* the same with TLS and the hybrid group */
#define BASE_BYTES (128LL << 20) /* a process without clients, and what the Kafka client buffers */
#define WATCH_MS 200
#define STEP_MS 50               /* more difference than this in so short a time is a step, no drift */
#define YEAR_MIN_MS 1767225600000LL /* 2026: this program did not exist before */
#define YEAR_MAX_MS 4102444800000LL /* 2100 */
#define REPLY_MS 1000
#define STOP_TIMEOUT_S 90        /* of deploy/systemd/bgw.service and of systemd itself */

static size_t shards_of(const struct bgw_config *c)
{
    cpu_set_t set;
    if (c->shards > 0)
        return (size_t)c->shards;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > BGW_SHARDS_MAX ? BGW_SHARDS_MAX : (size_t)n;
}

void doctor_judge_descriptors(struct doctor *d, uint64_t hard, size_t shards)
{
    uint64_t own = DESCRIPTORS_OWN + 8 * shards, wanted = (uint64_t)d->config->connections_max;
    uint64_t room = hard > own ? hard - own : 0;
    if (wanted > room)
        doctor_say(d, DOCTOR_FAIL, "descriptors",
                   "raise the hard limit (LimitNOFILE= of the unit, --ulimit nofile= of the container), or lower "
                   "BGW_CONNECTIONS_MAX",
                   "%llu descriptors leave room for %llu connections, and BGW_CONNECTIONS_MAX is %llu",
                   (unsigned long long)hard, (unsigned long long)room, (unsigned long long)wanted);
    else if (wanted == 0 && room < 10000)
        doctor_say(d, DOCTOR_WARN, "descriptors",
                   "raise the hard limit (LimitNOFILE= of the unit, --ulimit nofile= of the container) to more than the "
                   "clients that you expect",
                   "%llu descriptors leave room for %llu connections only", (unsigned long long)hard,
                   (unsigned long long)room);
    else
        doctor_say(d, DOCTOR_OK, "descriptors", "", "%llu, room for %llu connections on %zu shards",
                   (unsigned long long)hard, (unsigned long long)room, shards);
}

void doctor_judge_backlog(struct doctor *d, int64_t somaxconn)
{
    if (somaxconn < 0)
        doctor_say(d, DOCTOR_WARN, "backlog", "look at it by hand: sysctl net.core.somaxconn",
                   "net.core.somaxconn cannot be read here");
    else if (somaxconn < BACKLOG_WANTED)
        doctor_say(d, DOCTOR_WARN, "backlog", "sysctl -w net.core.somaxconn=4096, and the same in /etc/sysctl.d",
                   "net.core.somaxconn is %lld: clients that come back all at once after a restart find the queue full",
                   (long long)somaxconn);
    else
        doctor_say(d, DOCTOR_OK, "backlog", "", "net.core.somaxconn is %lld", (long long)somaxconn);
}

void doctor_judge_memory(struct doctor *d, int64_t available, size_t shards, uint64_t hard)
{
    bool tls = *d->config->tls_cert != '\0';
    int64_t each = tls ? TLS_BYTES : PLAIN_BYTES, base = BASE_BYTES + (int64_t)shards * (8LL << 20);
    int64_t fit = available > base ? (available - base) / each : 0, wanted = d->config->connections_max;
    const char *kind = tls ? "TLS" : "plain";
    if (available <= 0)
        doctor_say(d, DOCTOR_WARN, "memory", "look at it by hand: free -h, and the memory limit of the container",
                   "the memory that is available cannot be read here");
    else if (wanted > fit || fit < 1000)
        doctor_say(d, DOCTOR_WARN, "memory",
                   "give it more memory, or set BGW_CONNECTIONS_MAX to what fits, so that the rest is refused and not "
                   "killed",
                   "%lld MiB are available: about %lld %s connections of %lld KiB, accounts not counted",
                   (long long)(available >> 20), (long long)fit, kind, (long long)(each >> 10));
    else
        doctor_say(d, DOCTOR_OK, "memory", "", "%lld MiB are available: about %lld %s connections%s",
                   (long long)(available >> 20), (long long)fit, kind,
                   wanted == 0 && (uint64_t)fit < hard ? "; descriptors would allow more" : "");
}

void doctor_judge_clock(struct doctor *d, const struct doctor_clock *c)
{
    int64_t apart = c->wall_step_ms - c->mono_step_ms;
    const char *set = "set it, and let chrony or systemd-timesyncd keep it: tokens live and die by it";
    if (c->wall_ms < YEAR_MIN_MS || c->wall_ms > YEAR_MAX_MS) {
        doctor_say(d, DOCTOR_FAIL, "clock", set, "the system's clock says that it is the year %lld",
                   1970 + (long long)(c->wall_ms / 31556952000LL));
        return;
    }
    if (apart > STEP_MS || apart < -STEP_MS)
        doctor_say(d, DOCTOR_WARN, "clock", "find who sets it (two time services at once?) and leave one that slews",
                   "the clock was set by %lld ms while we looked", (long long)apart);
    else if (!c->known)
        doctor_say(d, DOCTOR_WARN, "clock", "look at it by hand: timedatectl, or chronyc tracking",
                   "the system does not tell whether its clock is synchronised");
    else if (!c->synchronised)
        doctor_say(d, DOCTOR_WARN, "clock", "start chrony or systemd-timesyncd, or leave it to the host of this machine",
                   "the clock is not synchronised: tokens would expire early or late by its error");
    else
        doctor_say(d, DOCTOR_OK, "clock", "", "sane, steady and synchronised");
}

/* ---- measuring ---- */

/* The first number in a file, behind `word` if there is one; -1 if there is none. */
static int64_t number_in(const char *path, const char *word)
{
    char line[256];
    int64_t found = -1;
    FILE *f = fopen(path, "re");
    while (f && found < 0 && fgets(line, sizeof(line), f)) {
        const char *at = word ? (strncmp(line, word, strlen(word)) == 0 ? line + strlen(word) : NULL) : line;
        if (!at)
            continue;
        char *end;
        long long n = strtoll(at, &end, 10);
        if (end != at && n >= 0)
            found = n;
        else if (!word)
            break; /* "max" */
    }
    if (f)
        fclose(f);
    return found;
}

/* What the machine has left, or the container, whichever is less. */
static int64_t available_memory(void)
{
    int64_t kib = number_in("/proc/meminfo", "MemAvailable:"), limit = number_in("/sys/fs/cgroup/memory.max", NULL);
    int64_t bytes = kib > 0 ? kib * 1024 : -1, used = number_in("/sys/fs/cgroup/memory.current", NULL);
    if (limit < 0) /* the older kind */
        limit = number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes", NULL);
    if (limit > 0 && used > 0 && used < limit)
        limit -= used;
    return limit > 0 && (bytes < 0 || limit < bytes) ? limit : bytes;
}

static struct doctor_clock watch_clock(void)
{
    struct doctor_clock c = {0};
    struct timex t = {0};
    const struct timespec wait = {.tv_nsec = WATCH_MS * 1000000L};
    struct bgw_now before = bgw_clock_now();
    nanosleep(&wait, NULL); /* time itself is what is measured here */
    struct bgw_now after = bgw_clock_now();
    int state = adjtimex(&t);
    c.wall_ms = after.wall_ms;
    c.wall_step_ms = after.wall_ms - before.wall_ms;
    c.mono_step_ms = after.mono_ms - before.mono_ms;
    c.known = state >= 0;
    c.synchronised = state >= 0 && state != TIME_ERROR && !(t.status & STA_UNSYNC);
    return c;
}

void doctor_check_system(struct doctor *d)
{
    size_t shards = shards_of(d->config);
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    uint64_t hard = (uint64_t)limit.rlim_max;
    doctor_judge_descriptors(d, hard, shards);
    doctor_judge_backlog(d, number_in("/proc/sys/net/core/somaxconn", NULL));
    doctor_judge_memory(d, available_memory(), shards, hard);
    struct doctor_clock clock = watch_clock();
    doctor_judge_clock(d, &clock);
}

/* ---- ports ---- */

static int connect_to(const char *address)
{
    char host[256];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    const char *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : 0;
    if (!colon || len >= sizeof(host))
        return -1;
    bool bracketed = len >= 2 && address[0] == '[';
    snprintf(host, sizeof(host), "%.*s", (int)(bracketed ? len - 2 : len), bracketed ? address + 1 : address);
    bool any = !*host || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0; /* connects to this machine */
    if (getaddrinfo(any ? NULL : host, colon + 1, &hints, &found) != 0)
        return -1;
    int fd = -1;
    for (struct addrinfo *ai = found; ai && fd < 0; ai = ai->ai_next) {
        const struct timeval wait = {.tv_sec = REPLY_MS / 1000};
        fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
        if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

/* Does a gateway of ours answer on the admin port. With TLS there it cannot be told. */
static bool is_ours(const char *admin_address)
{
    static const char request[] = "GET /version HTTP/1.1\r\nHost: doctor\r\nConnection: close\r\n\r\n";
    char text[2048];
    size_t len = 0;
    int fd = connect_to(admin_address);
    if (fd < 0)
        return false;
    ssize_t n = send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
    while (n > 0 && len < sizeof(text) - 1 && (n = recv(fd, text + len, sizeof(text) - 1 - len, 0)) > 0)
        len += (size_t)n;
    close(fd);
    text[len] = '\0';
    return strncmp(text, "HTTP/1.1 200", 12) == 0 && strstr(text, "\"version\"");
}

static void check_port(struct doctor *d, const char *key, const char *address, bool ours)
{
    struct bgw_buf error;
    bgw_buf_init(&error, 600);
    enum bgw_status status = bgw_ops_probe(key, address, &error);
    bgw_buf_append_byte(&error, '\0');
    if (status == BGW_OK)
        doctor_say(d, DOCTOR_OK, "ports", "", "%s: %s is free", key, address);
    else if (ours)
        doctor_say(d, DOCTOR_OK, "ports", "", "%s: %s is in use, by a gateway that answers on %s", key, address,
                   d->config->admin_listen);
    else
        doctor_say(d, DOCTOR_FAIL, "ports",
                   "`ss -ltnp` shows who listens; stop that program, or choose another address (if it is this gateway "
                   "itself, with TLS on its admin port, all is well)",
                   "%s", error.data ? error.data : bgw_status_text(status));
    bgw_buf_deinit(&error);
}

void doctor_check_ports(struct doctor *d)
{
    bool ours = is_ours(d->config->admin_listen);
    check_port(d, "BGW_LISTEN", d->config->listen, ours);
    check_port(d, "BGW_ADMIN_LISTEN", d->config->admin_listen, ours);
}

/* ---- the service manager ---- */

static const char *env_value(char *const *env, const char *name)
{
    size_t len = strlen(name);
    for (; *env; env++)
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
            return *env + len + 1;
    return NULL;
}

void doctor_check_supervisor(struct doctor *d, char *const *env)
{
    if (d->config->drain_s > STOP_TIMEOUT_S - 5)
        doctor_say(d, DOCTOR_WARN, "supervisor",
                   "set TimeoutStopSec= (terminationGracePeriodSeconds of a pod) to more than BGW_DRAIN_S and 10 s",
                   "BGW_DRAIN_S is %lld and systemd kills after %d s unless told otherwise", (long long)d->config->drain_s,
                   STOP_TIMEOUT_S);
    if (env_value(env, "INVOCATION_ID") && !env_value(env, "NOTIFY_SOCKET"))
        doctor_say(d, DOCTOR_WARN, "supervisor", "use Type=notify-reload as in deploy/systemd/bgw.service",
                   "systemd runs this without a notification socket: it cannot know when the gateway is ready");
    else
        doctor_say(d, DOCTOR_OK, "supervisor", "", "%s", env_value(env, "NOTIFY_SOCKET")
                   ? "a service manager listens (NOTIFY_SOCKET)"
                   : "not run by systemd here; deploy/systemd/bgw.service is a unit for it");
}
