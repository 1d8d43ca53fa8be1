/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_run: main's own loop: when to say ready, what each signal means, the watchdog, the drain.
 * Hides that joining blocks while a second signal and the window's end have to be watched for.
 * Main thread. Invariant: ready is said once, after everything that was there at the start is known.
 */
#include "gateway_private.h"

#include "gateway_process.h"
#include "gateway_ready.h"

#include "bgw/log.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define TEARDOWN_MS 1000   /* of the drain window: what the Kafka client may take to end */
#define DEMO_DRAIN_MS 1000 /* Ctrl-C of a demo should not take 20 s */
#define STUCK_MS 5000      /* a thread that has not finished a turn for so long is not well */

void bgw_gateway_wake(void *arg)
{
    struct bgw_gateway *g = arg;
    bgw_loop_wake(g->loop);
}

static void announce(struct bgw_gateway *g)
{
    const struct bgw_ready_facts facts = {
        .listen = g->listen_bound,
        .admin = bgw_ops_host_bound(g->ops),
        .kafka = g->bootstrap,
        .demo_token = g->welcome.token.len ? g->welcome.token.data : NULL,
    };
    g->announced = true;
    bgw_warmup_start(g->warmup, g->workers, g->worker_count);
    if (bgw_ready_announce(g->config->ready_file, &facts) != BGW_OK)
        g->exit_code = BGW_EXIT_FAILED; /* goes on serving; said in the log */
    bgw_notify_ready(&g->notify, "serving");
}

/* ---- the watchdog ---- */

static const char *stuck_thread(const struct bgw_gateway *g, int64_t now_ms)
{
    if (now_ms - bgw_hub_host_turned_ms(g->hub) > STUCK_MS)
        return "bgw-hub";
    for (size_t i = 0; i < g->started; i++)
        if (now_ms - bgw_worker_turned_ms(g->workers[i]) > STUCK_MS)
            return "bgw-shard";
    return NULL;
}

/* Whoever asked for signs of life gets them only while every thread that clients depend on turns. */
static void on_watchdog(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_gateway *g = BGW_CONTAINER(timer, struct bgw_gateway, watchdog);
    const char *stuck = g->joining ? NULL : stuck_thread(g, now_ms);
    if (stuck)
        BGW_LOG(BGW_LOG_ERROR, "watchdog_withheld", {"thread", LS(stuck)});
    else
        bgw_notify_alive(&g->notify);
    bgw_wheel_arm(bgw_loop_wheel(g->loop), &g->watchdog, now_ms + g->notify.watchdog_ms);
}

void bgw_gateway_join_workers(struct bgw_gateway *g)
{
    for (size_t i = 0; i < g->started; i++)
        bgw_worker_join(g->workers[i]);
    atomic_store(&g->joined, true);
}

/* Joining blocks, and main has a second signal and the window's end to watch for. */
static void *run_joiner(void *arg)
{
    struct bgw_gateway *g = arg;
    bgw_gateway_join_workers(g);
    bgw_loop_wake(g->loop);
    return NULL;
}

static void on_drain_over(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct bgw_gateway *g = BGW_CONTAINER(timer, struct bgw_gateway, drain_over);
    for (size_t i = 0; i < g->started; i++)
        bgw_worker_stop(g->workers[i]);
}

static void drain(struct bgw_gateway *g)
{
    int64_t window_ms = bgw_reload_config(&g->reload)->drain_s * 1000;
    if (g->config->demo && !bgw_config_given(g->config, "BGW_DRAIN_S"))
        window_ms = DEMO_DRAIN_MS;
    atomic_store_explicit(&g->draining, true, memory_order_relaxed);
    bgw_notify_stopping(&g->notify, "draining");
    BGW_LOG(BGW_LOG_INFO, "draining", {"window_ms", LI(window_ms)});
    for (size_t i = 0; i < g->started; i++)
        bgw_worker_drain(g->workers[i], window_ms);
    int64_t last_ms = window_ms > 10 * TEARDOWN_MS ? window_ms - TEARDOWN_MS : window_ms / 10 * 9;
    bgw_wheel_arm(bgw_loop_wheel(g->loop), &g->drain_over, bgw_loop_now(g->loop).mono_ms + last_ms);
    g->joining = pthread_create(&g->joiner, NULL, run_joiner, g) == 0;
    if (!g->joining) { /* no memory for a thread: end without the courtesy */
        on_drain_over(&g->drain_over, 0);
        bgw_gateway_join_workers(g);
    }
}

static void reload(struct bgw_gateway *g)
{
    if (g->announced)
        bgw_notify_reloading(&g->notify);
    bgw_reload_run(&g->reload);
    if (g->announced) /* before that, the end of a reload would be taken for the end of the start */
        bgw_notify_ready(&g->notify, "serving");
}

static void on_signal(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    struct bgw_gateway *g = BGW_CONTAINER(f, struct bgw_gateway, signals);
    struct signalfd_siginfo info;
    if (read(f->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    bool draining = atomic_load_explicit(&g->draining, memory_order_relaxed);
    if (info.ssi_signo == SIGHUP) { /* a stopping gateway has nothing to reload, and nobody means it as a second signal */
        if (!draining)
            reload(g);
        return;
    }
    if (draining) {
        BGW_LOG(BGW_LOG_WARN, "stopped_at_once", {"signal", LI(info.ssi_signo)});
        _exit(BGW_EXIT_FAILED);
    }
    drain(g);
}

static void on_turn_end(void *arg, struct bgw_now now)
{
    (void)now;
    struct bgw_gateway *g = arg;
    if (!g->announced && bgw_hub_host_ready(g->hub) && bgw_ops_host_ready(g->ops) && bgw_door_ready(&g->door))
        announce(g);
    if (atomic_load(&g->joined))
        bgw_loop_stop(g->loop);
}

enum bgw_status bgw_gateway_make_loop(struct bgw_gateway *g)
{
    enum bgw_status status = bgw_loop_create(&g->loop);
    if (status != BGW_OK)
        return status;
    g->signals =
        (struct bgw_loop_fd){.fd = bgw_process_signal_fd(), .events = EPOLLIN, .ready = on_signal};
    bgw_timer_init(&g->drain_over, on_drain_over);
    bgw_timer_init(&g->watchdog, on_watchdog);
    if (g->signals.fd < 0)
        return BGW_IO;
    const struct bgw_loop_hooks hooks = {.arg = g, .turn_end = on_turn_end};
    bgw_loop_set_hooks(g->loop, &hooks);
    return bgw_loop_attach(g->loop, &g->signals);
}

/* Everything stands: from here on signals mean something. */
void bgw_gateway_start_life(struct bgw_gateway *g, const struct bgw_gateway_args *args)
{
    g->reload = (struct bgw_reload){
        .start = g->config,
        .argc = args->argc,
        .argv = args->argv,
        .env = args->env,
        .door = &g->door,
        .workers = g->workers,
        .worker_count = g->worker_count,
    };
    if (g->notify.watchdog_ms > 0)
        bgw_wheel_arm(bgw_loop_wheel(g->loop), &g->watchdog, bgw_loop_now(g->loop).mono_ms + g->notify.watchdog_ms);
}
