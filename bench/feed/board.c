/* SPDX-License-Identifier: Apache-2.0 */
/*
 * board: how the memory is laid out. One mapping: a head, every account's newest version, then of
 * each account a ring of moments, version v at v % ring. A slot is written while its old version is
 * still within reach, so a reader looks at the newest version again after it has read a slot, and
 * remembers one version less than the ring holds. A confirmation may come from another thread than
 * the writer's (librdkafka's): it replaces the mark that the writer left for exactly this version,
 * so that one that comes late never lands on the slot's next version.
 */
#define _GNU_SOURCE
#include "board.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOARD_MAGIC 0x3164726f62776762u /* "bgwbord1" */
#define BOARD_ACCOUNTS_MAX (1 << 24)
#define RING_MIN 16u
#define RING_MAX 4096u
#define BYTES_MAX (512ull << 20)

struct moment { /* any process: one writer */
    _Atomic int64_t due_ns;
    _Atomic int64_t acked_ns; /* minus the version until it is confirmed */
};

struct head { /* any process: immutable after `magic` is there, but `total` */
    _Atomic uint64_t magic;
    int64_t accounts;
    uint64_t ring;
    _Atomic uint64_t total;
};

struct board { /* this process */
    struct head *head;
    _Atomic uint64_t *newest;
    struct moment *moments;
    size_t bytes, ring;
    int accounts;
};

static bool is_shape(int64_t accounts, uint64_t ring)
{
    return accounts > 0 && accounts <= BOARD_ACCOUNTS_MAX && ring >= RING_MIN && ring <= RING_MAX && (ring & (ring - 1)) == 0;
}

static size_t bytes_of(size_t accounts, size_t ring)
{
    return sizeof(struct head) + accounts * (sizeof(uint64_t) + ring * sizeof(struct moment));
}

static struct board *board_of(void *memory, size_t bytes)
{
    struct board *b = memory == MAP_FAILED ? NULL : malloc(sizeof(*b));
    if (!b) {
        if (memory != MAP_FAILED)
            munmap(memory, bytes);
        return NULL;
    }
    b->head = memory;
    b->bytes = bytes;
    return b;
}

static void find_parts(struct board *b, int accounts, size_t ring)
{
    b->accounts = accounts;
    b->ring = ring;
    b->newest = (_Atomic uint64_t *)(b->head + 1);
    b->moments = (struct moment *)(b->newest + accounts);
}

unsigned board_ring_for(int accounts)
{
    unsigned ring = RING_MAX;
    while (ring > RING_MIN && bytes_of((size_t)accounts, ring) >= BYTES_MAX)
        ring /= 2;
    return ring;
}

struct board *board_create(const char *file, int accounts, unsigned ring)
{
    if (!is_shape(accounts, ring))
        return NULL;
    size_t bytes = bytes_of((size_t)accounts, ring);
    int fd = -1, flags = MAP_SHARED | MAP_NORESERVE; /* only what is published to takes memory */
    if (file) {
        fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0) {
            if (fd >= 0)
                close(fd);
            return NULL;
        }
    } else {
        flags |= MAP_ANONYMOUS;
    }
    struct board *b = board_of(mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0), bytes);
    if (fd >= 0)
        close(fd);
    if (!b)
        return NULL;
    find_parts(b, accounts, ring);
    b->head->accounts = accounts;
    b->head->ring = ring;
    atomic_store_explicit(&b->head->magic, BOARD_MAGIC, memory_order_release);
    return b;
}

struct board *board_attach(const char *file)
{
    struct stat st;
    int fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof(struct head)) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    size_t bytes = (size_t)st.st_size;
    struct board *b = board_of(mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), bytes);
    close(fd);
    if (!b)
        return NULL;
    const struct head *h = b->head;
    if (atomic_load_explicit(&b->head->magic, memory_order_acquire) != BOARD_MAGIC || !is_shape(h->accounts, h->ring) ||
        bytes_of((size_t)h->accounts, h->ring) != bytes) {
        board_close(b);
        return NULL;
    }
    find_parts(b, (int)h->accounts, h->ring);
    return b;
}

void board_close(struct board *b)
{
    if (!b)
        return;
    munmap(b->head, b->bytes);
    free(b);
}

int board_accounts(const struct board *b)
{
    return b->accounts;
}

static struct moment *moment_of(const struct board *b, int account, uint64_t version)
{
    return &b->moments[(size_t)account * b->ring + (version & (b->ring - 1))];
}

uint64_t board_publish(struct board *b, int account, int64_t due_ns)
{
    uint64_t version = atomic_load_explicit(&b->newest[account], memory_order_relaxed) + 1;
    struct moment *m = moment_of(b, account, version);
    /* The slot must not seem new to one who still sees the newest version of before the last. */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&m->due_ns, due_ns, memory_order_relaxed);
    atomic_store_explicit(&m->acked_ns, -(int64_t)version, memory_order_relaxed);
    atomic_store_explicit(&b->newest[account], version, memory_order_release);
    uint64_t total = atomic_load_explicit(&b->head->total, memory_order_relaxed);
    atomic_store_explicit(&b->head->total, total + 1, memory_order_release);
    return version;
}

void board_acked(struct board *b, int account, uint64_t version, int64_t at_ns)
{
    int64_t waiting = -(int64_t)version;
    atomic_compare_exchange_strong_explicit(&moment_of(b, account, version)->acked_ns, &waiting, at_ns, memory_order_release,
                                            memory_order_relaxed);
}

uint64_t board_newest(const struct board *b, int account)
{
    return atomic_load_explicit(&b->newest[account], memory_order_acquire);
}

uint64_t board_total(const struct board *b)
{
    return atomic_load_explicit(&b->head->total, memory_order_acquire);
}

bool board_times(const struct board *b, int account, uint64_t version, int64_t *due_ns, int64_t *acked_ns)
{
    if (version == 0 || version > board_newest(b, account))
        return false;
    struct moment *m = moment_of(b, account, version);
    *due_ns = atomic_load_explicit(&m->due_ns, memory_order_relaxed);
    int64_t acked = atomic_load_explicit(&m->acked_ns, memory_order_relaxed);
    *acked_ns = acked > 0 ? acked : 0;
    atomic_thread_fence(memory_order_acquire);
    uint64_t newest = atomic_load_explicit(&b->newest[account], memory_order_relaxed);
    return newest - version + 1 < b->ring;
}
