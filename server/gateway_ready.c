/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_ready: the three ways in which a gateway says that it is ready: the log line, the ready
 * file and, in the demo, a box for people. Main thread. Whoever sees the file sees all of it.
 */
#include "gateway_ready.h"

#include "bgw/demo.h"
#include "bgw/gateway.h"
#include "bgw/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_LEN_MAX 4096

static bool beside(const char *path, char out[PATH_LEN_MAX])
{
    int n = snprintf(out, PATH_LEN_MAX, "%s.%ld.tmp", path, (long)getpid());
    return n > 0 && n < PATH_LEN_MAX;
}

static int open_beside(const char *path, char tmp[PATH_LEN_MAX])
{
    if (!beside(path, tmp)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

/* A device, say: it would be replaced by a file, for everybody on the machine. */
static bool is_no_file(const char *path)
{
    struct stat s;
    return lstat(path, &s) == 0 && !S_ISREG(s.st_mode) && !S_ISLNK(s.st_mode);
}

enum bgw_status bgw_ready_prepare(const char *path, struct bgw_buf *error)
{
    if (!*path)
        return BGW_OK;
    if (is_no_file(path)) {
        bgw_buf_appendf(error, "BGW_READY_FILE is \"%s\": that is there, and no file. Name one that may be replaced", path);
        return BGW_CONFIG;
    }
    char tmp[PATH_LEN_MAX];
    int fd = open_beside(path, tmp);
    if (fd >= 0) {
        close(fd);
        unlink(tmp);
        if (unlink(path) == 0 || errno == ENOENT)
            return BGW_OK;
    }
    bgw_buf_appendf(error, "BGW_READY_FILE is \"%s\": it cannot be written (%s). Name a file in a folder "
                           "that exists and that this user may write to",
                    path, strerror(errno));
    return BGW_CONFIG;
}

static void append_ready(struct bgw_buf *out, const struct bgw_ready_facts *facts)
{
    bgw_buf_append_str(out, "{\"event\":\"ready\"");
    if (facts->listen) {
        bgw_buf_append_str(out, ",\"listen\":");
        bgw_buf_append_json(out, bgw_slice_str(facts->listen));
    }
    bgw_buf_append_str(out, ",\"admin\":");
    bgw_buf_append_json(out, bgw_slice_str(facts->admin));
    bgw_buf_append_str(out, ",\"kafka\":");
    bgw_buf_append_json(out, bgw_slice_str(facts->kafka));
    bgw_buf_appendf(out, ",\"pid\":%ld,\"version\":", (long)getpid());
    bgw_buf_append_json(out, bgw_slice_str(bgw_version()));
    bgw_buf_append_str(out, "}\n");
}

static bool write_whole(const char *path, struct bgw_slice bytes)
{
    char tmp[PATH_LEN_MAX];
    int fd = open_beside(path, tmp);
    if (fd < 0)
        return false;
    bool done = write(fd, bytes.data, bytes.len) == (ssize_t)bytes.len;
    done = close(fd) == 0 && done && rename(tmp, path) == 0;
    if (!done)
        unlink(tmp);
    return done;
}

/* "0.0.0.0:5851" is where we listen, not where a person can point a browser. */
static const char *reachable(const char *bound, char out[128])
{
    const char *colon = strrchr(bound, ':');
    bool any = strncmp(bound, "0.0.0.0:", 8) == 0 || strncmp(bound, "[::]:", 5) == 0;
    snprintf(out, 128, "%s%s", any ? "127.0.0.1" : "", any && colon ? colon : bound);
    return out;
}

static void show_box(const struct bgw_ready_facts *facts)
{
    char client[128], admin[128], one[BGW_KEY_MAX + 1], two[BGW_KEY_MAX + 1];
    bgw_demo_account(0, one);
    bgw_demo_account(1, two);
    reachable(facts->listen, client);
    reachable(facts->admin, admin);
    fprintf(stderr,
            "\n"
            "  ============================================================================\n"
            "   DEMO, INSECURE: the key that signs its tokens is public. Not for real data.\n"
            "  ============================================================================\n"
            "\n"
            "   balance-gateway %s is ready\n"
            "\n"
            "   page       http://%s/\n"
            "   WebSocket  ws://%s/ws\n"
            "   metrics    http://%s/metrics\n"
            "   Kafka      %s\n"
            "\n"
            "   watch an account:\n"
            "     bgw sub %s %s --demo --url ws://%s/ws\n"
            "   write one by hand:\n"
            "     bgw pub my-account 12345 --kafka %s\n"
            "\n"
            "   token (12 hours, all demo accounts):\n"
            "   %s\n"
            "\n"
            "   Ctrl-C ends it.\n"
            "  ============================================================================\n\n",
            bgw_version(), client, client, admin, facts->kafka, one, two, client, facts->kafka,
            facts->demo_token);
}

static void log_ready(const struct bgw_ready_facts *facts)
{
    if (facts->listen)
        BGW_LOG(BGW_LOG_INFO, "ready", {"listen", LS(facts->listen)}, {"admin", LS(facts->admin)}, {"kafka", LS(facts->kafka)},
                {"pid", LI(getpid())}, {"version", LS(bgw_version())});
    else
        BGW_LOG(BGW_LOG_INFO, "ready", {"admin", LS(facts->admin)}, {"kafka", LS(facts->kafka)}, {"pid", LI(getpid())},
                {"version", LS(bgw_version())});
}

enum bgw_status bgw_ready_announce(const char *path, const struct bgw_ready_facts *facts)
{
    log_ready(facts);
    struct bgw_buf object;
    bgw_buf_init(&object, 8192);
    append_ready(&object, facts);
    bool written = !object.failed && (!*path || write_whole(path, bgw_buf_slice(&object)));
    bgw_buf_deinit(&object);
    if (!written) {
        BGW_LOG(BGW_LOG_ERROR, "ready_file_failed", {"path", LS(path)}, {"error", LS(strerror(errno))});
        return BGW_IO;
    }
    if (facts->demo_token)
        show_box(facts);
    return BGW_OK;
}
