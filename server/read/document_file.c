/* SPDX-License-Identifier: Apache-2.0 */
/*
 * document_file: hides how a file that others replace is read whole: one that was renamed into place
 * is one file from open to close; one that is written in place is read again if it changed meanwhile.
 * Any thread, without state. Only regular files: a pipe would block the thread or be emptied.
 */
#include "document_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ATTEMPTS_MAX 3
#define CHUNK 16384

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static const char *read_all(int fd, struct bgw_buf *out)
{
    char chunk[CHUNK];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return strerrordesc_np(errno);
        if (n == 0)
            return NULL;
        bgw_buf_append(out, bgw_slice_of(chunk, (size_t)n));
        if (out->failed)
            return "the file is larger than allowed";
    }
}

/* `*changed`: while it was being read. */
static const char *read_once(int fd, struct bgw_buf *out, bool *changed)
{
    struct stat before, after;
    *changed = false;
    if (fstat(fd, &before) != 0)
        return strerrordesc_np(errno);
    if (!S_ISREG(before.st_mode))
        return "it is no regular file";
    if ((uintmax_t)before.st_size > out->len_max)
        return "the file is larger than allowed";
    const char *why = read_all(fd, out);
    if (!why)
        *changed = fstat(fd, &after) != 0 || !same(&before, &after) || (uintmax_t)after.st_size != out->len;
    return why;
}

const char *bgw_document_file_read(const char *path, struct bgw_buf *out)
{
    const char *why = NULL;
    bool changed = true;
    for (int i = 0; changed && i < ATTEMPTS_MAX; i++) {
        bgw_buf_clear(out);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
            return strerrordesc_np(errno);
        why = read_once(fd, out, &changed);
        close(fd);
    }
    return why ? why : changed ? "the file changes while it is being read" : NULL;
}
