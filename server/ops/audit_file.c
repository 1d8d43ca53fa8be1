/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_file: hides the kinds of files and how each refuses: a full disk takes half a line, a full
 * pipe says EAGAIN, a pipe without a reader cannot be opened, a file may be moved or cut short
 * behind our back. Called by the writer's thread (audit.c). Invariant: a line is never followed by
 * anything but its own end or a newline, and never waited for longer than asked.
 */
#include "audit_file.h"

#include "bgw/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY_MS 1000 /* between two attempts to open a pipe that nobody reads */

static bool is_stdout(const struct bgw_audit_file *f)
{
    return strcmp(f->path, "-") == 0;
}

/* A descriptor of our own, so that making it non-blocking does not reach those who share descriptor 1. */
static int open_stdout(void)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) == 0 && S_ISFIFO(st.st_mode)) {
        int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (fd >= 0)
            return fd;
    }
    return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
}

static int open_path(const struct bgw_audit_file *f)
{
    if (is_stdout(f))
        return open_stdout();
    return open(f->path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0640);
}

/* Does the file end in the middle of a line: of a process that was killed, or of ours. */
static bool ends_torn(const struct bgw_audit_file *f, off_t size)
{
    char text[40], last = '\n';
    if (!f->regular || size == 0)
        return false;
    snprintf(text, sizeof(text), "/proc/self/fd/%d", f->fd);
    int fd = open(text, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false; /* may write and not read: nothing to be done */
    bool torn = pread(fd, &last, 1, size - 1) == 1 && last != '\n';
    close(fd);
    return torn;
}

/* Ends what stands in the file with a newline, for its own end is not known or not ours to write. */
static void repair_with_newline(struct bgw_audit_file *f, off_t size)
{
    f->torn = false;
    f->rest_len = 0;
    if (!ends_torn(f, size))
        return;
    f->rest[0] = '\n';
    f->rest_len = 1;
    f->torn_size = size;
}

static void take_fd(struct bgw_audit_file *f, int fd)
{
    struct stat st = {0};
    f->fd = fd;
    f->regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    f->socket = S_ISSOCK(st.st_mode);
    repair_with_newline(f, st.st_size);
}

static bool is_pipe(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISFIFO(st.st_mode);
}

enum bgw_status bgw_audit_file_open(struct bgw_audit_file *f, const char *path, struct bgw_buf *error)
{
    *f = (struct bgw_audit_file){.path = strdup(path), .fd = -1, .tried_ms = bgw_clock_now().mono_ms};
    if (!f->path)
        return BGW_NO_MEMORY;
    int fd = open_path(f);
    if (fd >= 0) {
        take_fd(f, fd);
        return BGW_OK;
    }
    if (errno == ENXIO && is_pipe(path))
        return BGW_OK;
    bgw_buf_appendf(error,
                    "BGW_AUDIT_LOG is \"%s\", which cannot be opened for appending: %s. Its folder must exist and "
                    "let this user write; or name another file, or `-` for standard output",
                    path, errno == ENXIO ? "it is a socket or a device without a driver" : strerror(errno));
    free(f->path);
    f->path = NULL;
    return BGW_IO;
}

bool bgw_audit_file_reopen(struct bgw_audit_file *f)
{
    f->tried_ms = bgw_clock_now().mono_ms;
    int fd = open_path(f);
    if (fd < 0)
        return false;
    if (f->fd >= 0)
        close(f->fd);
    take_fd(f, fd);
    return true;
}

/* One attempt: bytes written, or -1 and errno; EAGAIN after wait_ms. */
static ssize_t write_some(const struct bgw_audit_file *f, const char *data, size_t len, int wait_ms)
{
    struct pollfd p = {.fd = f->fd, .events = POLLOUT};
    int ready;
    do {
        ready = poll(&p, 1, wait_ms);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) {
        errno = EAGAIN;
        return -1;
    }
    ssize_t n;
    do {
        n = f->socket ? send(f->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) : write(f->fd, data, len);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* As many bytes as go, until `deadline_ms`; errno says what stopped it. */
static size_t write_all(const struct bgw_audit_file *f, struct bgw_slice text, int64_t deadline_ms)
{
    size_t done = 0;
    errno = 0;
    while (done < text.len) {
        int64_t left = deadline_ms - bgw_clock_now().mono_ms;
        ssize_t n = write_some(f, text.data + done, text.len - done, left > 0 ? (int)left : 0);
        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        if (n == 0)
            errno = ENOSPC;
        if (errno != EAGAIN || bgw_clock_now().mono_ms >= deadline_ms)
            return done;
    }
    errno = 0;
    return done;
}

/* Brings what an earlier write left behind to its end. False: the file still takes nothing; errno. */
static bool finish_rest(struct bgw_audit_file *f, int64_t deadline_ms, enum bgw_audit_torn *before)
{
    struct stat st;
    if (f->rest_len && f->regular && fstat(f->fd, &st) == 0 && st.st_size != f->torn_size) {
        *before = f->torn ? BGW_TORN_GIVEN_UP : *before; /* cut short, or somebody else's: not our line's end any more */
        repair_with_newline(f, st.st_size);
    }
    size_t done = write_all(f, bgw_slice_of(f->rest, f->rest_len), deadline_ms);
    int why = errno;
    f->torn_size += (off_t)done;
    f->rest_len -= done;
    memmove(f->rest, f->rest + done, f->rest_len);
    if (f->rest_len) {
        errno = why;
        return false;
    }
    if (f->torn)
        *before = BGW_TORN_FINISHED;
    f->torn = false;
    return true;
}

/* The line that was cut at `done`: its end is kept. Returns where it begins. */
static size_t keep_rest(struct bgw_audit_file *f, struct bgw_slice text, size_t done)
{
    struct stat st;
    const char *start = done ? memrchr(text.data, '\n', done) : NULL;
    size_t begin = start ? (size_t)(start - text.data) + 1 : 0;
    if (begin == done)
        return begin;
    const char *end = memchr(text.data + done, '\n', text.len - done);
    f->rest_len = end ? (size_t)(end - text.data) + 1 - done : 0;
    memcpy(f->rest, text.data + done, f->rest_len);
    f->torn = true;
    f->torn_size = fstat(f->fd, &st) == 0 ? st.st_size : 0;
    return begin;
}

/* A pipe whose reader has gone: the line that it got half of is lost, and so is the pipe. */
static void drop_reader(struct bgw_audit_file *f, enum bgw_audit_torn *before)
{
    if (f->torn)
        *before = BGW_TORN_GIVEN_UP;
    f->torn = false;
    f->rest_len = 0;
    if (is_stdout(f) || f->regular)
        return;
    close(f->fd);
    f->fd = -1;
}

struct bgw_audit_written bgw_audit_file_write(struct bgw_audit_file *f, struct bgw_slice text, int wait_ms)
{
    struct bgw_audit_written w = {0};
    int64_t now_ms = bgw_clock_now().mono_ms;
    if (f->fd < 0 && (now_ms - f->tried_ms < RETRY_MS || !bgw_audit_file_reopen(f))) {
        w.error = ENXIO;
        return w;
    }
    if (!finish_rest(f, now_ms + wait_ms, &w.before)) {
        w.error = errno;
    } else {
        size_t done = write_all(f, text, now_ms + wait_ms);
        w.error = errno;
        w.bytes = done;
        if (done < text.len)
            w.bytes = keep_rest(f, text, done);
        w.tears = f->torn;
    }
    if (w.error == EPIPE || w.error == ECONNRESET) {
        enum bgw_audit_torn now = BGW_TORN_NONE;
        drop_reader(f, w.tears ? &now : &w.before);
        w.tears = false;
    }
    return w;
}

void bgw_audit_file_close(struct bgw_audit_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    free(f->path);
    f->path = NULL;
}
