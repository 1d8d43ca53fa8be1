/* SPDX-License-Identifier: Apache-2.0 */
/* audit: many threads put at once while the log is rotated: each event is in a file or counted. */
#include "bgw/audit.h"

#include "bgw/metrics.h"

#include "../test.h"

#include <pthread.h>
#include <unistd.h>

#define THREADS 4
#define EVENTS 5000

static struct bgw_audit *audit;

static void *produce(void *arg)
{
    struct bgw_audit_event e = {.kind = BGW_AUDIT_SUBSCRIBED, .has_key = true, .key = "msisdn::2348100000001"};
    bgw_metrics_thread_attach();
    e.conn = (uint64_t)(uintptr_t)arg;
    for (int i = 0; i < EVENTS; i++) {
        e.jti_hash = (uint64_t)i + 1;
        bgw_audit_put(audit, &e);
    }
    return NULL;
}

/* Lines of the file, each producer's in its own order. The new one is there only if a line came after the change: the sum of both
 * is what is checked. */
static int64_t read_lines(const char *path, uint64_t last[THREADS + 1])
{
    char line[2048];
    int64_t events = 0;
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof(line), f)) {
        unsigned long long conn = 0, jti = 0;
        CHECK(line[0] == '{' && strstr(line, "}\n"));
        if (strstr(line, "\"lost\""))
            continue;
        const char *c = strstr(line, "\"conn\":\""), *j = strstr(line, "\"jti\":\"");
        CHECK(c && j && sscanf(c + 8, "%16llx", &conn) == 1 && sscanf(j + 7, "%16llx", &jti) == 1);
        CHECK(conn >= 1 && conn <= THREADS && jti > last[conn]);
        last[conn] = jti;
        events++;
    }
    if (f)
        fclose(f);
    return events;
}

static void run(size_t queue_max)
{
    char folder[] = "/tmp/bgw-audit-XXXXXX", path[64], old[80];
    pthread_t threads[THREADS];
    uint64_t last[THREADS + 1] = {0};
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/audit.log", folder);
    snprintf(old, sizeof(old), "%s.1", path);
    bgw_metrics_init();
    int64_t written = bgw_metric_read(BGW_M_AUDIT_WRITTEN), lost = bgw_metric_read(BGW_M_AUDIT_LOST);
    struct bgw_audit_config config = {.path = path, .queue_max = queue_max};
    CHECK_EQ_I64(bgw_audit_create(&audit, &config, &error), BGW_OK);
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK_EQ_I64(pthread_create(&threads[i], NULL, produce, (void *)(i + 1)), 0);
    CHECK_EQ_I64(rename(path, old), 0);
    bgw_audit_reopen(audit);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    bgw_audit_destroy(&audit);
    written = bgw_metric_read(BGW_M_AUDIT_WRITTEN) - written;
    lost = bgw_metric_read(BGW_M_AUDIT_LOST) - lost;
    CHECK_EQ_I64(written + lost, THREADS * EVENTS);
    CHECK_EQ_I64(read_lines(old, last) + read_lines(path, last), written);
    CHECK(queue_max < THREADS * EVENTS || lost == 0);
    unlink(path);
    unlink(old);
    rmdir(folder);
    bgw_buf_deinit(&error);
}

TEST(nothing_is_lost_while_the_queue_has_room)
{
    run(THREADS * EVENTS);
}

TEST(what_a_small_queue_cannot_hold_is_counted)
{
    run(16);
}
