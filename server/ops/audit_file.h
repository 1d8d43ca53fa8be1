/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_file: lines into a file, a pipe or standard output, whole or not at all. Private to
 * server/ops; one thread.
 */
#ifndef BGW_OPS_AUDIT_FILE_H
#define BGW_OPS_AUDIT_FILE_H

#include "audit_line.h"

#include <sys/types.h>

enum bgw_audit_torn { BGW_TORN_NONE, BGW_TORN_FINISHED, BGW_TORN_GIVEN_UP };

struct bgw_audit_file { /* the writer's thread, after open */
    char *path;
    int fd;          /* -1: a pipe without a reader, tried again from time to time */
    bool socket, regular;
    int64_t tried_ms;          /* when it was last opened, or tried */
    off_t torn_size;           /* of the file when a line was torn */
    bool torn;                 /* `rest` ends a line whose beginning is in the file */
    size_t rest_len;
    char rest[BGW_AUDIT_LINE_MAX];
};

struct bgw_audit_written {
    size_t bytes;              /* of the text: whole lines only */
    bool tears;                /* the line after those has begun; what becomes of it comes with a later write */
    enum bgw_audit_torn before; /* what became of the line that an earlier write tore */
    int error;                 /* errno of what stopped it, 0: all written */
};

/* BGW_IO and a sentence if it cannot be opened; a pipe that nobody reads is fine. */
BGW_MUST_CHECK enum bgw_status bgw_audit_file_open(struct bgw_audit_file *f, const char *path, struct bgw_buf *error);
/* The path anew, after a rotation. False: it cannot be opened, the old file is kept. A torn line is given up. */
bool bgw_audit_file_reopen(struct bgw_audit_file *f);
/* Waits at most wait_ms for a reader. */
struct bgw_audit_written bgw_audit_file_write(struct bgw_audit_file *f, struct bgw_slice text, int wait_ms);
void bgw_audit_file_close(struct bgw_audit_file *f);

#endif
