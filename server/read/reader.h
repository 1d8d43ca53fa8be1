/* SPDX-License-Identifier: Apache-2.0 */
/* reader: what reader.c and the source of values share. Private to read. */
#ifndef BGW_READ_READER_H
#define BGW_READ_READER_H

#include "bgw/read.h"

#include <pthread.h>

struct bgw_reader { /* main thread; `config` is the hub's thread's */
    struct bgw_reader_config config;
    struct bgw_loop *loop; /* the reader's thread's while it runs */
    pthread_t thread;
    bool running;
};

#endif
