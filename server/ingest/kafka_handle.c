/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_handle: properties in three layers. What correctness rests on is fixed and cannot be
 * changed from outside (manual assignment, no commits, a lost position is an error and not a
 * silent jump); what is only a good choice comes first and the operator's KAFKA_* may replace it.
 * librdkafka's log lines come on its own threads, which do not count metrics; its errors come on
 * whichever thread serves the client's queue.
 */
#include "kafka_handle.h"

#include "bgw/assert.h"
#include "bgw/clock.h"
#include "bgw/ingest.h"
#include "bgw/log.h"
#include "bgw/metrics.h"
#include "kafka_memory.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#define CONSUMES (BGW_KAFKA_CONSUMER | BGW_KAFKA_MOCK_CONSUMER)
#define FETCHES (CONSUMES | BGW_KAFKA_MEMBER)
#define READS (FETCHES | BGW_KAFKA_CONTROL)
#define WRITES (BGW_KAFKA_PRODUCER | BGW_KAFKA_WRITER)
#define TALKS (READS | WRITES)
#define ENV_NAME_MAX 128

struct setting { /* immutable */
    const char *name, *value;
    unsigned roles;
};

static const struct setting fixed_settings[] = {
    {"enable.auto.commit", "false", FETCHES},
    {"enable.auto.offset.store", "false", FETCHES},
    {"auto.offset.reset", "error", FETCHES},
    {"enable.partition.eof", "true", FETCHES},
    {"allow.auto.create.topics", "false", READS},
    {"enable.idempotence", "true", BGW_KAFKA_WRITER},
    {"acks", "all", BGW_KAFKA_WRITER},
    {"isolation.level", "read_committed", BGW_KAFKA_MEMBER},
};

static const struct setting default_settings[] = {
    {"client.id", "bgw", TALKS},
    /* manual assignment joins no group, but the client wants the name of one */
    {"group.id", "bgw", CONSUMES},
    /* Under a cooperative one nobody tells that the members are being counted, and a commit at that moment comes back as one
     * of an old generation: librdkafka 2.8 then gives up all it has. An eager one takes everything first, in good order. */
    {"partition.assignment.strategy", "range", BGW_KAFKA_MEMBER},
    /* one that vanished is replaced within about ten seconds */
    {"session.timeout.ms", "10000", BGW_KAFKA_MEMBER},
    {"heartbeat.interval.ms", "1000", BGW_KAFKA_MEMBER},
    {"check.crcs", "true", FETCHES},
    /* A broker answers as soon as there is something: this is how often it is asked when there is not. A partition that
     * was added, and the end behind a transaction's marker, wait for that. */
    {"fetch.wait.max.ms", "100", BGW_KAFKA_CONSUMER},
    {"fetch.wait.max.ms", "20", BGW_KAFKA_MEMBER},
    /* the mock keeps an empty answer so long, whatever comes meanwhile */
    {"fetch.wait.max.ms", "5", BGW_KAFKA_MOCK_CONSUMER},
    {"fetch.error.backoff.ms", "50", FETCHES},
    {"fetch.queue.backoff.ms", "20", FETCHES},
    {"queued.max.messages.kbytes", "32768", FETCHES},
    {"topic.metadata.refresh.interval.ms", "30000", CONSUMES | BGW_KAFKA_CONTROL},
    /* this is how it hears of partitions that were added */
    {"topic.metadata.refresh.interval.ms", "5000", BGW_KAFKA_MEMBER},
    /* a broker that is back after a restart is seen within about a second, not ten */
    {"reconnect.backoff.ms", "100", TALKS},
    {"reconnect.backoff.max.ms", "1000", TALKS},
    /* Who asks for ends always waits for a certain broker. While that one refuses, librdkafka 2.8 would otherwise begin the
     * next attempt at once, without the pause above: a core, and ten thousand connections a second. It is then
     * connected to all brokers. Not in its list of properties, but settable since 1.0. */
    {"enable.sparse.connections", "false", BGW_KAFKA_CONTROL},
    {"socket.keepalive.enable", "true", TALKS},
    {"socket.nagle.disable", "true", TALKS},
    {"enable.idempotence", "true", BGW_KAFKA_PRODUCER},
    {"linger.ms", "2", BGW_KAFKA_PRODUCER},
    {"message.timeout.ms", "30000", BGW_KAFKA_PRODUCER},
    {"linger.ms", "0", BGW_KAFKA_WRITER},
    {"message.timeout.ms", "5000", BGW_KAFKA_WRITER},
    /* how long a topic that was just made may be unknown to a broker */
    {"topic.metadata.propagation.max.ms", "4000", BGW_KAFKA_WRITER},
    {"test.mock.num.brokers", "1", BGW_KAFKA_BROKER},
};

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* "sasl.password" is KAFKA_SASL_PASSWORD outside. */
static void env_name(const char *property, char out[ENV_NAME_MAX])
{
    size_t n = 0;
    for (const char *p = "KAFKA_"; *p; p++)
        out[n++] = *p;
    for (const char *p = property; *p && n + 1 < ENV_NAME_MAX; p++)
        out[n++] = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
    out[n] = '\0';
}

/* librdkafka quotes a refused value, and some values are nobody's business. */
static bool may_be_secret(const char *property)
{
    static const char *const words[] = {"password", "secret", ".key", "pem", "token", "config"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (strcasestr(property, words[i]))
            return true;
    }
    return false;
}

static void set_own(rd_kafka_conf_t *conf, const struct setting *s)
{
    char text[256];
    rd_kafka_conf_res_t res = rd_kafka_conf_set(conf, s->name, s->value, text, sizeof(text));
    BGW_ASSERT(res == RD_KAFKA_CONF_OK);
}

/* What only a group's member fixes is anybody else's to choose. */
static bool binds(const struct setting *s, enum bgw_kafka_role role)
{
    return s->roles != BGW_KAFKA_MEMBER || role == BGW_KAFKA_MEMBER;
}

static enum bgw_status check_fixed(enum bgw_kafka_role role, const char *name, const char *value,
                                   struct bgw_buf *error)
{
    char env[ENV_NAME_MAX];
    env_name(name, env);
    if (strcmp(name, "bootstrap.servers") == 0 || strcmp(name, "metadata.broker.list") == 0) {
        bgw_buf_appendf(error, "%s: the broker list is given by KAFKA_BOOTSTRAP; remove %s", env,
                        env);
        return BGW_CONFIG;
    }
    for (size_t i = 0; i < COUNT_OF(fixed_settings); i++) {
        const struct setting *s = &fixed_settings[i];
        if (strcmp(name, s->name) != 0 || strcmp(value, s->value) == 0 || !binds(s, role))
            continue;
        bgw_buf_appendf(error, "%s: the gateway relies on %s=%s; remove %s", env, s->name,
                        s->value, env);
        return BGW_CONFIG;
    }
    return BGW_OK;
}

static enum bgw_status set_given(rd_kafka_conf_t *conf, const char *name, const char *value,
                                 struct bgw_buf *error)
{
    char text[256] = "", env[ENV_NAME_MAX];
    rd_kafka_conf_res_t res = rd_kafka_conf_set(conf, name, value, text, sizeof(text));
    if (res == RD_KAFKA_CONF_OK)
        return BGW_OK;
    env_name(name, env);
    if (res == RD_KAFKA_CONF_UNKNOWN)
        bgw_buf_appendf(error,
                        "%s: librdkafka has no property \"%s\"; its CONFIGURATION.md lists them, "
                        "dots become underscores",
                        env, name);
    else
        bgw_buf_appendf(error, "%s: librdkafka refuses this value of \"%s\"%s%s", env, name,
                        may_be_secret(name) ? "" : ": ", may_be_secret(name) ? "" : text);
    return BGW_CONFIG;
}

static enum bgw_log_level level_of(int syslog_level)
{
    return syslog_level <= 4 ? BGW_LOG_WARN : BGW_LOG_DEBUG;
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    /* after a broker's restart there is one for each partition that it does not lead yet, and it says nothing more */
    bool routine = strcmp(facility, "METADATAUPDATE") == 0;
    BGW_LOG(routine ? BGW_LOG_DEBUG : level_of(level), "kafka_client", {"facility", LS(facility)},
            {"text", LS(text)});
}

static void on_error(rd_kafka_t *rk, int err, const char *text, void *opaque)
{
    (void)rk;
    (void)opaque;
    bgw_kafka_error_seen((rd_kafka_resp_err_t)err, text, -1);
}

void bgw_kafka_error_seen(rd_kafka_resp_err_t err, const char *text, int32_t partition)
{
    bgw_metric_add(BGW_M_KAFKA_ERRORS, 1);
    BGW_LOG(BGW_LOG_WARN, "kafka_error", {"name", LS(rd_kafka_err2name(err))},
            {"text", LS(text ? text : rd_kafka_err2str(err))}, {"partition", LI(partition)});
}

static enum bgw_status fill(rd_kafka_conf_t *conf, enum bgw_kafka_role role,
                            const struct bgw_config *config, struct bgw_buf *error)
{
    for (size_t i = 0; i < COUNT_OF(default_settings); i++) {
        if (default_settings[i].roles & role)
            set_own(conf, &default_settings[i]);
    }
    /* the broker in this process is nobody's cluster: what the operator gave is for the real one */
    for (size_t i = 0; config && role != BGW_KAFKA_BROKER && i < config->kafka_prop_count; i++) {
        const char *name = config->kafka_props[i].name, *value = config->kafka_props[i].value;
        enum bgw_status st = check_fixed(role, name, value, error);
        if (st == BGW_OK)
            st = set_given(conf, name, value, error);
        if (st != BGW_OK)
            return st;
    }
    for (size_t i = 0; i < COUNT_OF(fixed_settings); i++) {
        if (fixed_settings[i].roles & role)
            set_own(conf, &fixed_settings[i]);
    }
    return BGW_OK;
}

static rd_kafka_conf_t *make_conf(enum bgw_kafka_role role, const struct bgw_config *config,
                                  const char *bootstrap, struct bgw_buf *error)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    enum bgw_status st = fill(conf, role, config, error);
    if (st == BGW_OK && bootstrap)
        st = set_given(conf, "bootstrap.servers", bootstrap, error);
    if (st != BGW_OK) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    return conf;
}

/* Takes `conf`. */
static enum bgw_status start_client(rd_kafka_t **out, enum bgw_kafka_role role,
                                    rd_kafka_conf_t *conf, struct bgw_buf *error)
{
    char text[512] = "";
    rd_kafka_type_t type = role & READS ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER;
    (void)bgw_kafka_memory_guard(); /* it has said what is wrong */
    *out = rd_kafka_new(type, conf, text, sizeof(text));
    if (*out)
        return BGW_OK;
    rd_kafka_conf_destroy(conf);
    bgw_buf_appendf(error, "the Kafka client cannot start with these KAFKA_* properties: %s", text);
    return BGW_CONFIG;
}

enum bgw_status bgw_kafka_handle_create(rd_kafka_t **out, enum bgw_kafka_role role,
                                        const struct bgw_config *config, const char *bootstrap,
                                        struct bgw_buf *error)
{
    rd_kafka_conf_t *conf = make_conf(role, config, bootstrap, error);
    if (!conf)
        return BGW_CONFIG;
    if (role & WRITES)
        rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR);
    return start_client(out, role, conf, error);
}

enum bgw_status bgw_kafka_handle_create_member(rd_kafka_t **out,
                                               const struct bgw_kafka_joining *joining,
                                               const struct bgw_config *config,
                                               const char *bootstrap, struct bgw_buf *error)
{
    rd_kafka_conf_t *conf = make_conf(BGW_KAFKA_MEMBER, config, bootstrap, error);
    if (!conf)
        return BGW_CONFIG;
    /* the operator's group.id names the gateways, which are members of nothing */
    enum bgw_status st = set_given(conf, "group.id", joining->group, error);
    if (st != BGW_OK) {
        rd_kafka_conf_destroy(conf);
        return st;
    }
    rd_kafka_conf_set_opaque(conf, joining->arg);
    rd_kafka_conf_set_rebalance_cb(conf, joining->rebalance);
    rd_kafka_conf_set_offset_commit_cb(conf, joining->committed);
    return start_client(out, BGW_KAFKA_MEMBER, conf, error);
}

/* two threads: the one that waits and the one that ends the client; whoever is last frees it */
struct ending {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    rd_kafka_t *rk;
    bool done, abandoned;
};

static void ending_free(struct ending *e)
{
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

static void *ending_run(void *arg)
{
    struct ending *e = arg;
    /* no group was joined: there is nothing to leave, and leaving would wait for a coordinator */
    rd_kafka_destroy_flags(e->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    pthread_mutex_lock(&e->lock);
    e->done = true;
    bool abandoned = e->abandoned;
    pthread_cond_signal(&e->changed);
    pthread_mutex_unlock(&e->lock);
    if (abandoned)
        ending_free(e);
    return NULL;
}

/* When the process stops its clients end side by side: each takes up to a second, and none needs another. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool together;
    unsigned under_way;
} stopping = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}; /* any thread */

static void *ending_together(void *arg)
{
    rd_kafka_destroy_flags(arg, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    pthread_mutex_lock(&stopping.lock);
    stopping.under_way--;
    pthread_cond_broadcast(&stopping.changed);
    pthread_mutex_unlock(&stopping.lock);
    return NULL;
}

/* False: this one is waited for, as usual. */
static bool end_with_the_others(rd_kafka_t *rk)
{
    pthread_t thread;
    pthread_mutex_lock(&stopping.lock);
    bool taken = stopping.together && pthread_create(&thread, NULL, ending_together, rk) == 0;
    stopping.under_way += taken;
    pthread_mutex_unlock(&stopping.lock);
    if (taken)
        pthread_detach(thread);
    return taken;
}

void bgw_kafka_end_together(void)
{
    pthread_mutex_lock(&stopping.lock);
    stopping.together = true;
    pthread_mutex_unlock(&stopping.lock);
}

bool bgw_kafka_ended(int wait_ms)
{
    int64_t until_ms = bgw_clock_now().mono_ms + wait_ms;
    pthread_mutex_lock(&stopping.lock);
    while (stopping.under_way > 0 && bgw_clock_now().mono_ms < until_ms) {
        struct timespec t; /* the condition counts by the wall clock: short waits, the bound is the other clock's */
        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_nsec += 50000000L;
        if (t.tv_nsec >= 1000000000L) {
            t.tv_nsec -= 1000000000L;
            t.tv_sec++;
        }
        pthread_cond_timedwait(&stopping.changed, &stopping.lock, &t);
    }
    bool ended = stopping.under_way == 0;
    pthread_mutex_unlock(&stopping.lock);
    if (!ended)
        BGW_LOG(BGW_LOG_WARN, "kafka_client_slow_to_end", {"waited_ms", LI(wait_ms)});
    return ended;
}

static struct ending *ending_create(rd_kafka_t *rk)
{
    struct ending *e = calloc(1, sizeof(*e));
    BGW_ASSERT(e != NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&e->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&e->lock, NULL);
    e->rk = rk;
    return e;
}

static struct timespec deadline_in(int wait_ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += wait_ms / 1000;
    t.tv_nsec += (long)(wait_ms % 1000) * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_nsec -= 1000000000L;
        t.tv_sec++;
    }
    return t;
}

void bgw_kafka_handle_destroy(rd_kafka_t **rk, int wait_ms)
{
    if (!*rk)
        return;
    if (end_with_the_others(*rk)) {
        *rk = NULL;
        return;
    }
    struct ending *e = ending_create(*rk);
    *rk = NULL;
    pthread_t thread;
    if (pthread_create(&thread, NULL, ending_run, e) != 0) {
        ending_run(e); /* no thread to be had: then without a bound */
        ending_free(e);
        return;
    }
    struct timespec until = deadline_in(wait_ms);
    pthread_mutex_lock(&e->lock);
    while (!e->done && pthread_cond_timedwait(&e->changed, &e->lock, &until) != ETIMEDOUT)
        continue;
    bool done = e->done;
    e->abandoned = !done;
    pthread_mutex_unlock(&e->lock);
    if (done) {
        pthread_join(thread, NULL);
        ending_free(e);
        return;
    }
    pthread_detach(thread);
    BGW_LOG(BGW_LOG_WARN, "kafka_client_slow_to_end", {"waited_ms", LI(wait_ms)});
}
