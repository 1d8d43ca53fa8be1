/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_reload: hides the order of a reload: read, compare, check and make everything, only then
 * hand it out. Main thread, at SIGHUP. Invariant: a mistake anywhere leaves the gateway as it was,
 * and the log names the mistake and its remedy.
 */
#include "gateway_reload.h"

#include "gateway_process.h"

#include "bgw/log.h"
#include "bgw/metrics.h"

#define ERROR_BYTES_MAX 4096

/* one comparison */
struct changes {
    unsigned live, waiting;
};

static void note_change(void *arg, const char *env_name, bool live)
{
    struct changes *c = arg;
    if (live) {
        c->live++;
        return;
    }
    c->waiting++;
    BGW_LOG(BGW_LOG_WARN, "reload_needs_restart", {"key", LS(env_name)},
            {"effect", LS("the running gateway keeps the value that it started with")});
}

static void refuse(struct bgw_buf *error, enum bgw_status status)
{
    bgw_metric_add(BGW_M_RELOADS_REFUSED, 1);
    if (!error->len)
        bgw_buf_append_str(error, bgw_status_text(status));
    BGW_LOG(BGW_LOG_ERROR, "reload_refused", {"reason", LSL(bgw_buf_slice(error))},
            {"effect", LS("everything stays as it was")});
}

/* Takes `fresh`. */
static void take(struct bgw_reload *r, struct bgw_config *fresh)
{
    struct changes changes = {0};
    bgw_config_diff(bgw_reload_config(r), fresh, note_change, &changes);
    for (size_t i = 0; i < r->worker_count; i++)
        bgw_worker_set_policy(r->workers[i], r->door->policy);
    bgw_process_set_log_level(fresh);
    if (r->has_live)
        bgw_config_deinit(&r->live);
    r->live = *fresh;
    r->has_live = true;
    bgw_metric_add(BGW_M_RELOADS_OK, 1);
    BGW_LOG(BGW_LOG_INFO, "reloaded", {"changed", LI(changes.live)}, {"need_restart", LI(changes.waiting)},
            {"certificates", LB(r->door->tls != NULL)});
}

void bgw_reload_run(struct bgw_reload *r)
{
    struct bgw_config fresh;
    struct bgw_buf error;
    bgw_buf_init(&error, ERROR_BYTES_MAX);
    enum bgw_status status = bgw_config_load(&fresh, r->argc, r->argv, r->env, &error);
    if (status == BGW_OK) {
        status = bgw_door_reload(r->door, &fresh, &error);
        if (status == BGW_OK)
            take(r, &fresh);
        else
            bgw_config_deinit(&fresh);
    }
    if (status != BGW_OK)
        refuse(&error, status);
    bgw_buf_deinit(&error);
}

const struct bgw_config *bgw_reload_config(const struct bgw_reload *r)
{
    return r->has_live ? &r->live : r->start;
}

void bgw_reload_deinit(struct bgw_reload *r)
{
    if (r->has_live)
        bgw_config_deinit(&r->live);
    r->has_live = false;
}
