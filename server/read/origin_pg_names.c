/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin_pg_names: where PostgreSQL is. libpq looks names up while it is called, for as long as that
 * takes; so they are looked up here first, on a thread of its own, and libpq is given addresses beside
 * the names (which certificates are checked against). Invariant: the loop never waits for a lookup, and
 * a lookup that never ends keeps one thread and its job, not the loop and not `names`.
 */
#include "origin_pg.h"

#include "bgw/clock.h"
#include "bgw/log.h"
#include "bgw/net.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVERS_MAX 16       /* in all */
#define ADDRESSES_MAX 4      /* of one name */
#define LIST_BYTES_MAX 8192
#define KNOWN_FOR_MS 5000
#define URI_BYTES_MAX 4096
#define OPEN_MS 5000
#define OPEN_S_MAX 60

struct job { /* the thread's until it has told; counted: the thread's reference and the loop's */
    atomic_int refs;
    atomic_bool ended;
    int told_fd;
    bool ok;
    char *hosts, *ports;                   /* as in the URI */
    struct bgw_buf host, hostaddr, port;   /* the same, one server an address; filled by the thread */
};

struct pg_names { /* reader's thread */
    struct bgw_loop *loop;
    PQconninfoOption *options;
    const char *hosts, *ports, *addresses; /* of `options` or the environment; "" if none */
    bool lookup_needed;
    struct job *running, *known;
    struct bgw_loop_fd told;
    int64_t known_at_ms;
    size_t turn; /* which server is the first */
    struct bgw_buf turned[3];
    void (*changed)(void *arg, bool ok);
    void *arg;
};

/* ---- the thread ---- */

static void drop_job(struct job *j)
{
    if (!j || atomic_fetch_sub(&j->refs, 1) != 1)
        return;
    close(j->told_fd);
    bgw_buf_deinit(&j->host);
    bgw_buf_deinit(&j->hostaddr);
    bgw_buf_deinit(&j->port);
    free(j->hosts);
    free(j->ports);
    free(j);
}

static bool is_name(struct bgw_slice host)
{
    struct bgw_addr a;
    return host.len && *host.data != '/' && *host.data != '@' && !bgw_addr_parse(host, &a);
}

/* The i-th of a list with commas; one that has only one has it for all. */
static struct bgw_slice item_of(const char *list, size_t i)
{
    if (!strchr(list, ','))
        return bgw_slice_str(list);
    for (; i; i--) {
        list = strchr(list, ',');
        if (!list)
            return (struct bgw_slice){"", 0};
        list++;
    }
    return bgw_slice_of(list, strcspn(list, ","));
}

static size_t count_of(const char *list)
{
    size_t n = 1;
    for (; *list; list++)
        n += *list == ',';
    return n;
}

static void add(struct job *j, struct bgw_slice host, const char *address, struct bgw_slice port)
{
    if (j->ok) {
        bgw_buf_append_byte(&j->host, ',');
        bgw_buf_append_byte(&j->hostaddr, ',');
        bgw_buf_append_byte(&j->port, ',');
    }
    bgw_buf_append(&j->host, host);
    bgw_buf_append_str(&j->hostaddr, address);
    bgw_buf_append(&j->port, port);
    j->ok = true;
}

static size_t look_up(struct job *j, struct bgw_slice host, struct bgw_slice port, size_t room)
{
    char name[256], text[INET6_ADDRSTRLEN];
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    size_t n = 0;
    if (host.len >= sizeof(name))
        return 0;
    snprintf(name, sizeof(name), "%.*s", (int)host.len, host.data);
    if (getaddrinfo(name, NULL, &hints, &found) != 0)
        return 0;
    for (struct addrinfo *a = found; a && n < room && n < ADDRESSES_MAX; a = a->ai_next)
        if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) == 0) {
            add(j, host, text, port);
            n++;
        }
    freeaddrinfo(found);
    return n;
}

static void *run(void *arg)
{
    struct job *j = arg;
    size_t count = count_of(j->hosts), servers = 0;
    for (size_t i = 0; i < count && servers < SERVERS_MAX; i++) {
        struct bgw_slice host = item_of(j->hosts, i), port = item_of(j->ports, i);
        if (is_name(host)) {
            servers += look_up(j, host, port, SERVERS_MAX - servers);
        } else {
            add(j, host, "", port);
            servers++;
        }
    }
    bgw_buf_append_byte(&j->host, '\0');
    bgw_buf_append_byte(&j->hostaddr, '\0');
    bgw_buf_append_byte(&j->port, '\0');
    j->ok = j->ok && !j->host.failed && !j->hostaddr.failed && !j->port.failed;
    atomic_store(&j->ended, true);
    eventfd_write(j->told_fd, 1);
    drop_job(j);
    return NULL;
}

/* ---- the loop ---- */

static void end_watch(struct pg_names *n)
{
    bgw_loop_detach(n->loop, &n->told);
    drop_job(n->running);
    n->running = NULL;
}

static void on_told(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    struct pg_names *n = BGW_CONTAINER(f, struct pg_names, told);
    struct job *j = n->running;
    if (!atomic_load(&j->ended))
        return;
    if (j->ok) {
        drop_job(n->known);
        atomic_fetch_add(&j->refs, 1);
        n->known = j;
        n->known_at_ms = bgw_clock_now().mono_ms;
    } else {
        BGW_LOG(BGW_LOG_WARN, "origin_not_found", {"key", LS("BGW_ORIGIN_PG")}, {"reason", LS("the server's name cannot be resolved")});
    }
    bool ok = j->ok;
    end_watch(n); /* may free the job */
    n->changed(n->arg, ok);
}

static bool begin(struct pg_names *n, struct job *j)
{
    pthread_attr_t attr;
    pthread_t thread;
    n->told = (struct bgw_loop_fd){.fd = j->told_fd, .events = EPOLLIN, .ready = on_told};
    if (bgw_loop_attach(n->loop, &n->told) != BGW_OK)
        return false;
    if (pthread_attr_init(&attr) != 0)
        abort();
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    bool ok = pthread_create(&thread, &attr, run, j) == 0;
    pthread_attr_destroy(&attr);
    if (!ok)
        bgw_loop_detach(n->loop, &n->told);
    return ok;
}

static bool start(struct pg_names *n)
{
    struct job *j = calloc(1, sizeof(*j));
    if (!j)
        return false;
    atomic_init(&j->refs, 1);
    bgw_buf_init(&j->host, LIST_BYTES_MAX);
    bgw_buf_init(&j->hostaddr, LIST_BYTES_MAX);
    bgw_buf_init(&j->port, LIST_BYTES_MAX);
    j->told_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    j->hosts = strdup(n->hosts);
    j->ports = strdup(n->ports);
    atomic_store(&j->refs, 2);
    if (j->told_fd >= 0 && j->hosts && j->ports && begin(n, j)) {
        n->running = j;
        return true;
    }
    atomic_store(&j->refs, 1);
    drop_job(j);
    return false;
}

enum pg_names_state pg_names_want(struct pg_names *n)
{
    if (!n->lookup_needed || (n->known && bgw_clock_now().mono_ms - n->known_at_ms < KNOWN_FOR_MS))
        return PG_NAMES_KNOWN;
    return n->running || start(n) ? PG_NAMES_ASKED : PG_NAMES_FAILED;
}

static const char *option(const struct pg_names *n, const char *key, const char *variable)
{
    for (const PQconninfoOption *o = n->options; o->keyword; o++)
        if (strcmp(o->keyword, key) == 0 && o->val && *o->val)
            return o->val;
    const char *of_environment = getenv(variable);
    return of_environment ? of_environment : "";
}

static void put(const char **keys, const char **values, const char *key, const char *value)
{
    size_t i = 0;
    for (; keys[i] && strcmp(keys[i], key) != 0; i++)
        ;
    if (i < PG_OPTIONS_MAX - 1) {
        keys[i] = key;
        values[i] = value;
    }
}

/* The list with another one at its beginning. One of a single item stays: it is for all. */
static const char *turned(struct bgw_buf *out, const char *list, size_t turn)
{
    const char *at = list;
    bgw_buf_clear(out);
    for (size_t i = turn % count_of(list); i; i--)
        at = strchr(at, ',') + 1;
    bgw_buf_append_str(out, at);
    if (at != list) {
        bgw_buf_append_byte(out, ',');
        bgw_buf_append(out, bgw_slice_of(list, (size_t)(at - list) - 1));
    }
    bgw_buf_append_byte(out, '\0');
    return out->failed ? list : out->data;
}

void pg_names_options(struct pg_names *n, const char *keys[PG_OPTIONS_MAX], const char *values[PG_OPTIONS_MAX])
{
    memset(keys, 0, PG_OPTIONS_MAX * sizeof(*keys));
    memset(values, 0, PG_OPTIONS_MAX * sizeof(*values));
    put(keys, values, "gssencmode", "disable"); /* it asks other servers, and waits for them */
    put(keys, values, "application_name", "balance-gateway");
    put(keys, values, "keepalives_idle", "30");
    put(keys, values, "keepalives_interval", "10");
    put(keys, values, "keepalives_count", "3");
    for (const PQconninfoOption *o = n->options; o->keyword; o++)
        if (o->val)
            put(keys, values, o->keyword, o->val);
    put(keys, values, "client_encoding", "UTF8");
    const char *names[] = {"host", "hostaddr", "port"}, *lists[] = {n->hosts, n->addresses, n->ports};
    const char *found[] = {"", "", ""};
    if (n->lookup_needed) {
        found[0] = n->known->host.data;
        found[1] = n->known->hostaddr.data;
        found[2] = n->known->port.data;
    }
    for (size_t i = 0; i < 3; i++) {
        const char *list = n->lookup_needed ? found[i] : lists[i];
        if (*list)
            put(keys, values, names[i], turned(&n->turned[i], list, n->turn));
    }
}

void pg_names_turn(struct pg_names *n)
{
    n->turn++;
}

int64_t pg_names_open_ms(const struct pg_names *n)
{
    long seconds = strtol(option(n, "connect_timeout", "PGCONNECT_TIMEOUT"), NULL, 10);
    return seconds > 0 && seconds <= OPEN_S_MAX ? seconds * 1000 : OPEN_MS;
}

/* ---- life ---- */

static const char *look_at(struct pg_names *n, const char *uri)
{
    char *words = NULL; /* they may quote the URI, and with it a password */
    n->options = strlen(uri) < URI_BYTES_MAX ? PQconninfoParse(uri, &words) : NULL;
    PQfreemem(words);
    if (!n->options)
        return "it is no well-formed libpq URI, such as postgresql://user@host:5432/database";
    if (*option(n, "service", "PGSERVICE"))
        return "a service file cannot name the server: write the URI out";
    n->hosts = option(n, "host", "PGHOST");
    n->ports = option(n, "port", "PGPORT");
    n->addresses = option(n, "hostaddr", "PGHOSTADDR");
    for (size_t i = 0; i < count_of(n->hosts) && !*n->addresses; i++)
        n->lookup_needed = n->lookup_needed || is_name(item_of(n->hosts, i));
    if (count_of(n->hosts) > SERVERS_MAX)
        return "it names more than 16 servers";
    if (strchr(n->ports, ',') && count_of(n->ports) != count_of(n->hosts))
        return "it does not have one port for all servers, nor one for each";
    return NULL;
}

enum bgw_status pg_names_create(struct pg_names **out, struct bgw_loop *loop, const char *uri, struct bgw_buf *error)
{
    struct pg_names *n = calloc(1, sizeof(*n));
    if (!n)
        return BGW_NO_MEMORY;
    n->loop = loop;
    for (size_t i = 0; i < 3; i++)
        bgw_buf_init(&n->turned[i], LIST_BYTES_MAX);
    const char *why = look_at(n, uri);
    if (why) {
        bgw_buf_appendf(error, "BGW_ORIGIN_PG is not shown here: %s", why);
        pg_names_destroy(&n);
        return BGW_CONFIG;
    }
    *out = n;
    return BGW_OK;
}

void pg_names_on_change(struct pg_names *n, void (*changed)(void *arg, bool ok), void *arg)
{
    n->changed = changed;
    n->arg = arg;
}

void pg_names_destroy(struct pg_names **names)
{
    struct pg_names *n = *names;
    if (!n)
        return;
    if (n->running)
        end_watch(n);
    drop_job(n->known);
    for (size_t i = 0; i < 3; i++)
        bgw_buf_deinit(&n->turned[i]);
    PQconninfoFree(n->options);
    free(n);
    *names = NULL;
}
