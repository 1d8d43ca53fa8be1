/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bgw-micro: does one small thing many times, for a tool that counts instructions. Called by run.py
 * under callgrind with --toggle-collect=counted, and by the tests without it. Invariant: inside
 * `counted` lie exactly the operations that the line on stdout names, and nothing of their preparation.
 */
#include "micro.h"

#include "bgw/hash.h"
#include "bgw/metrics.h"

#include <gnu/libc-version.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARM_CHUNKS 2 /* buffers have their sizes then, and lazy symbols their addresses */
#define CHUNKS_MAX 1000000

static const struct micro *const tables[] = {
    micro_record, micro_encode, micro_hub, micro_shard, micro_handoff, micro_wheel, micro_ws, micro_token,
};

_Noreturn void micro_die(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("bgw-micro: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void *micro_alloc(size_t count, size_t size)
{
    void *p = calloc(count, size);
    if (!p)
        micro_die("no memory");
    return p;
}

/* By this name callgrind begins and ends to count: it must stay a function of its own. */
void counted(const struct micro *m, void *state);
__attribute__((noinline, used)) void counted(const struct micro *m, void *state)
{
    m->run(state);
    __asm__ volatile("" ::: "memory"); /* no tail call: it would leave `counted` before the work */
}

static void once(const struct micro *m, void *state, void (*run)(const struct micro *, void *))
{
    if (m->ready)
        m->ready(state);
    run(m, state);
}

static void uncounted(const struct micro *m, void *state)
{
    m->run(state);
}

static const struct micro *find(const char *name)
{
    for (size_t t = 0; t < sizeof(tables) / sizeof(*tables); t++)
        for (const struct micro *m = tables[t]; m->name; m++)
            if (strcmp(m->name, name) == 0)
                return m;
    micro_die("there is no %s: `bgw-micro list` names all", name);
}

static void list(void)
{
    for (size_t t = 0; t < sizeof(tables) / sizeof(*tables); t++)
        for (const struct micro *m = tables[t]; m->name; m++)
            printf("%s\n", m->name);
}

/* What else than the code decides how many instructions there are; the processor, too, but only for OpenSSL. */
static void about(void)
{
    printf("{\"compiler\":\"%s\",\"libc\":\"%s\"}\n", __VERSION__, gnu_get_libc_version());
}

static void measure(const struct micro *m, size_t chunks)
{
    void *state = m->make(m);
    for (size_t i = 0; i < WARM_CHUNKS; i++)
        once(m, state, uncounted);
    for (size_t i = 0; i < chunks; i++)
        once(m, state, counted);
    uint64_t all = (uint64_t)(chunks + WARM_CHUNKS) * m->chunk, right = m->right(state);
    m->drop(state);
    if (right != all)
        micro_die("%s: of %" PRIu64 " operations %" PRIu64 " came out right", m->name, all, right);
    printf("{\"name\":\"%s\",\"unit\":\"%s\",\"operations\":%zu,\"right\":%" PRIu64 "}\n", m->name, m->unit, chunks * m->chunk,
           right - (uint64_t)WARM_CHUNKS * m->chunk);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3)
        micro_die("usage: bgw-micro list | about | NAME [CHUNKS]");
    if (strcmp(argv[1], "list") == 0) {
        list();
        return 0;
    }
    if (strcmp(argv[1], "about") == 0) {
        about();
        return 0;
    }
    const struct micro *m = find(argv[1]);
    long chunks = argc == 3 ? strtol(argv[2], NULL, 10) : (long)m->chunks;
    if (chunks < 1 || chunks > CHUNKS_MAX)
        micro_die("CHUNKS is a number from 1 to %d", CHUNKS_MAX);
    bgw_hash_init_fixed(0x0123456789abcdefULL, 0xfedcba9876543210ULL);
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    measure(m, (size_t)chunks);
    return 0;
}
