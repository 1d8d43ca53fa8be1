/* SPDX-License-Identifier: Apache-2.0 */
/* document_file: a small file, whole. Private to read. */
#ifndef BGW_READ_DOCUMENT_FILE_H
#define BGW_READ_DOCUMENT_FILE_H

#include "bgw/buf.h"

/* Appends the file to `out`, whose maximum is the file's. NULL, or the sentence that says why not; `out` is of no use then. */
const char *bgw_document_file_read(const char *path, struct bgw_buf *out);

#endif
