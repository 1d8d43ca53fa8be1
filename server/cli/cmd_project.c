/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_project: `bgw project` and the process around a projector: signals, the admin port, ready, the drain. Main thread, which is the
 * projector's too: nothing on it blocks, so the admin port answers whatever Kafka and Redis do. Invariant: SIGTERM ends it when all
 * that was taken is told, or BGW_DRAIN_S later.
 */
#include "commands.h"

#include "bgw/ingest.h"
#include "bgw/log.h"
#include "bgw/metrics.h"
#include "bgw/notify.h"
#include "bgw/ops.h"
#include "bgw/process.h"
#include "bgw/project.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define KAFKA_END_MS 3000
#define DRAIN_LOOK_MS 10

struct host { /* main thread */
    const struct bgw_config *config;
    struct bgw_loop *loop;
    struct bgw_loop_fd signals;
    struct bgw_timer look, alive;
    struct bgw_admin *admin;
    struct bgw_tls *tls;
    struct bgw_projector *projector;
    struct bgw_notify notify;
    struct bgw_buf admin_bound;
    int64_t drain_until_ms;
    bool ready, draining;
    int exit_code;
};

static void tell_health(void *arg, struct bgw_health *out)
{
    struct host *h = arg;
    const char *trouble = h->projector ? bgw_projector_trouble(h->projector) : NULL;
    *out = (struct bgw_health){.ready = h->ready && !trouble, .draining = h->draining};
    if (h->draining)
        snprintf(out->reason, sizeof(out->reason), "draining: this projector is stopping");
    else if (!out->ready)
        snprintf(out->reason, sizeof(out->reason), "%s", trouble ? trouble : "what was there at the start is not projected yet");
}

static void on_ready(void *arg)
{
    struct host *h = arg;
    const struct bgw_ready_facts facts = {.admin = h->admin_bound.data, .kafka = h->config->kafka_bootstrap};
    h->ready = true;
    bgw_metric_set(BGW_M_READY, 1);
    if (bgw_ready_announce(h->config->ready_file, &facts) != BGW_OK)
        h->exit_code = BGW_EXIT_FAILED; /* goes on; said in the log */
    bgw_notify_ready(&h->notify, "projecting");
}

/* ---- the end ---- */

static void on_look(struct bgw_timer *timer, int64_t now_ms)
{
    struct host *h = BGW_CONTAINER(timer, struct host, look);
    bool done = bgw_projector_drain(h->projector);
    if (!done && now_ms < h->drain_until_ms) {
        bgw_wheel_arm(bgw_loop_wheel(h->loop), timer, now_ms + DRAIN_LOOK_MS);
        return;
    }
    if (!done)
        BGW_LOG(BGW_LOG_WARN, "drain_cut_short", {"effect", LS("what was not told is told by whoever has the partitions next")});
    bgw_loop_stop(h->loop);
}

static void on_signal(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    struct host *h = BGW_CONTAINER(f, struct host, signals);
    struct signalfd_siginfo info;
    if (read(f->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGHUP) {
        BGW_LOG(BGW_LOG_INFO, "nothing_to_reload", {"remedy", LS("start the projector anew to change its settings")});
        return;
    }
    if (h->draining) {
        BGW_LOG(BGW_LOG_WARN, "stopped_at_once", {"signal", LI(info.ssi_signo)});
        _exit(BGW_EXIT_FAILED);
    }
    h->draining = true;
    h->drain_until_ms = bgw_loop_now(h->loop).mono_ms + h->config->drain_s * 1000;
    bgw_notify_stopping(&h->notify, "draining");
    BGW_LOG(BGW_LOG_INFO, "draining", {"window_ms", LI(h->config->drain_s * 1000)});
    bgw_wheel_arm(bgw_loop_wheel(h->loop), &h->look, 0);
}

static void on_alive(struct bgw_timer *timer, int64_t now_ms)
{
    struct host *h = BGW_CONTAINER(timer, struct host, alive);
    bgw_notify_alive(&h->notify);
    bgw_wheel_arm(bgw_loop_wheel(h->loop), timer, now_ms + h->notify.watchdog_ms);
}

/* ---- parts, in order ---- */

static enum bgw_status check_config(const struct bgw_config *c, struct bgw_buf *error)
{
    if (!*c->kafka_bootstrap)
        bgw_buf_append_str(error, "KAFKA_BOOTSTRAP is not set: there is no ledger to read. Set it to your brokers (host:port[,host:port])");
    else if (strcmp(c->kafka_bootstrap, "embedded") == 0)
        bgw_buf_append_str(error, "KAFKA_BOOTSTRAP is `embedded`: a broker that ends with its process has no ledger to project. Set it to "
                                  "your brokers (host:port[,host:port])");
    else if (!*c->redis)
        bgw_buf_append_str(error, "REDIS is not set: there is nowhere to keep positions. Set it to your Redis or Valkey (host:port, "
                                  "redis://, rediss:// or redis+sentinel://)");
    else
        return bgw_ready_prepare(c->ready_file, error);
    return BGW_CONFIG;
}

static enum bgw_status make_loop(struct host *h)
{
    enum bgw_status status = bgw_loop_create(&h->loop);
    if (status != BGW_OK)
        return status;
    h->signals = (struct bgw_loop_fd){.fd = bgw_process_signal_fd(), .events = EPOLLIN, .ready = on_signal};
    bgw_timer_init(&h->look, on_look);
    bgw_timer_init(&h->alive, on_alive);
    return h->signals.fd < 0 ? BGW_IO : bgw_loop_attach(h->loop, &h->signals);
}

static enum bgw_status make_tls(struct host *h, struct bgw_buf *error)
{
    const struct bgw_config *c = h->config;
    const struct bgw_tls_config config = {.cert_files = c->tls_cert, .key_files = c->tls_key, .min_version = c->tls_min,
                                          .groups = c->tls_groups, .client_ca = "", .client = BGW_TLS_CLIENT_OFF};
    return c->admin_tls ? bgw_tls_create(&h->tls, &config, bgw_clock_now(), error) : BGW_OK;
}

static enum bgw_status make_admin(struct host *h, struct bgw_buf *error)
{
    struct bgw_admin_config config = {.version = bgw_version(), .health = tell_health, .health_arg = h, .tls = h->tls};
    enum bgw_status status = bgw_ops_listen("BGW_ADMIN_LISTEN", h->config->admin_listen, &config.listen_fd, &h->admin_bound, error);
    if (status != BGW_OK)
        return status;
    bgw_buf_append_byte(&h->admin_bound, '\0');
    return bgw_admin_create(&h->admin, h->loop, &config);
}

static enum bgw_status make_projector(struct host *h, struct bgw_buf *error)
{
    const struct bgw_projector_config config = {
        .config = h->config, .bootstrap = h->config->kafka_bootstrap, .arg = h, .ready = on_ready};
    enum bgw_status status = bgw_projector_create(&h->projector, h->loop, &config, error);
    if (status == BGW_OK)
        bgw_metrics_add_hook(bgw_projector_metrics, h->projector);
    return status;
}

static enum bgw_status build(struct host *h, struct bgw_buf *error)
{
    enum bgw_status status = check_config(h->config, error);
    if (status == BGW_OK)
        status = make_loop(h);
    if (status == BGW_OK)
        status = make_tls(h, error);
    if (status == BGW_OK)
        status = make_admin(h, error);
    return status == BGW_OK ? make_projector(h, error) : status;
}

static void tear_down(struct host *h)
{
    bgw_admin_destroy(&h->admin); /* before the projector, of which its pages speak */
    bgw_kafka_end_together();
    bgw_projector_destroy(&h->projector);
    (void)bgw_kafka_ended(KAFKA_END_MS);
    bgw_tls_destroy(&h->tls);
    if (h->signals.fd >= 0) {
        bgw_loop_detach(h->loop, &h->signals);
        close(h->signals.fd);
    }
    if (h->loop)
        bgw_loop_destroy(&h->loop);
    bgw_notify_close(&h->notify);
    bgw_buf_deinit(&h->admin_bound);
}

static int fail(const struct bgw_buf *error, enum bgw_status status)
{
    fprintf(stderr, "bgw project: %.*s\n", (int)(error->len ? error->len : strlen(bgw_status_text(status))),
            error->len ? error->data : bgw_status_text(status));
    return status == BGW_CONFIG || status == BGW_BAD_VALUE || status == BGW_MISSING ? BGW_EXIT_CONFIG : BGW_EXIT_FAILED;
}

static int project(const struct bgw_config *config)
{
    struct host h = {.config = config, .signals = {.fd = -1}};
    struct bgw_buf error;
    bgw_process_init(config);
    bgw_notify_open(&h.notify);
    bgw_buf_init(&error, 4096);
    bgw_buf_init(&h.admin_bound, 128);
    enum bgw_status status = build(&h, &error);
    if (status == BGW_OK) {
        BGW_LOG(BGW_LOG_INFO, "started", {"admin", LS(h.admin_bound.data)}, {"kafka", LS(config->kafka_bootstrap)},
                {"version", LS(bgw_version())});
        if (h.notify.watchdog_ms > 0)
            bgw_wheel_arm(bgw_loop_wheel(h.loop), &h.alive, bgw_clock_now().mono_ms + h.notify.watchdog_ms);
        bgw_loop_run(h.loop);
    } else {
        h.exit_code = fail(&error, status);
    }
    tear_down(&h);
    if (status == BGW_OK)
        BGW_LOG(BGW_LOG_INFO, "stopped", {"exit", LI(h.exit_code)});
    bgw_buf_deinit(&error);
    return h.exit_code;
}

static int show_help(void)
{
    struct bgw_buf text;
    bgw_buf_init(&text, 1 << 20);
    bgw_config_help(&text);
    cli_help(&cli_project, NULL);
    printf("\nOptions (flag > environment > file > default; those of `bgw serve`):\n%.*s", (int)text.len, text.data);
    bgw_buf_deinit(&text);
    return BGW_EXIT_OK;
}

static int run_project(int argc, char **argv, char *const *env)
{
    if (cli_wants_help(argc, argv))
        return show_help();
    struct bgw_config config;
    int code = cli_load_config(&cli_project, argc, argv, env, &config);
    if (code != BGW_EXIT_OK)
        return code;
    code = project(&config);
    bgw_config_deinit(&config);
    return code;
}

const struct cli_command cli_project = {
    .name = "project",
    .words = "",
    .summary = "run the projector: the ledger's events to positions, hashes and records",
    .text = "Runs the projector in the foreground: reads the ledger's events (TOPIC_LEDGER) as a member of the group\n"
            "ledger-projection, keeps each account's position in Redis, and tells gateways: a hash, a record on\n"
            "TOPIC_BALANCE_UPDATES, a word on balance:invalidate. As many as there are partitions may run. It is ready\n"
            "once what was there at the start is projected; SIGTERM ends it when all that it took is told.\n\n"
            "It needs a broker (KAFKA_BOOTSTRAP) and a Redis that keeps what it is given (REDIS): docs/projector.md.",
    .examples = "  KAFKA_BOOTSTRAP=kafka:9092 REDIS=redis:6379 bgw project\n"
                "  bgw project --config /etc/bgw.conf --admin-listen 127.0.0.1:5853 --ready-file /run/bgw-project.ready\n",
    .run = run_project,
};
