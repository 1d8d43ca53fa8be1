/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_memory: hides how librdkafka's calls of malloc, and nobody else's, come to a function of ours:
 * the dynamic linker has filled a slot of the library with malloc's address, and we fill it again. What
 * malloc stands behind (glibc's, a sanitizer's, one that was preloaded) stays what it was, and so does free.
 * Runs once, before librdkafka has a thread.
 * Invariant: the page of a slot is as protected afterwards as it was before.
 */
#include "kafka_memory.h"

#include "bgw/log.h"

#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A partition id of these bytes is beyond the end of every topic, and no id below zero: librdkafka steps over it. */
#define FILL 0x7f
/* more than a list of 10000 partitions takes; what is larger is a batch of records, written before it is read */
#define FILL_MAX ((size_t)1 << 20)

static void *filled_malloc(size_t n)
{
    void *p = malloc(n);
    if (p)
        memset(p, FILL, n < FILL_MAX ? n : FILL_MAX);
    return p;
}

struct library { /* on the stack of its only reader */
    ElfW(Addr) base;
    uintptr_t sealed_from, sealed_to; /* pages that the dynamic linker made read-only */
    const ElfW(Dyn) *dynamic;
    const ElfW(Sym) *symbols;
    const char *strings;
};

static uintptr_t page_of(uintptr_t at)
{
    return at & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
}

/* Some C libraries leave what the file says, which counts from the library's base; glibc adds the base. */
static uintptr_t address(const struct library *l, ElfW(Addr) at)
{
    return at < l->base ? l->base + at : at;
}

static const ElfW(Dyn) *entry(const struct library *l, ElfW(Sxword) tag)
{
    for (const ElfW(Dyn) *d = l->dynamic; d->d_tag != DT_NULL; d++) {
        if (d->d_tag == tag)
            return d;
    }
    return NULL;
}

static bool set_slot(const struct library *l, uintptr_t at)
{
    uintptr_t page = page_of(at);
    size_t len = (size_t)sysconf(_SC_PAGESIZE);
    bool sealed = page >= l->sealed_from && page < l->sealed_to;
    if (sealed && mprotect((void *)page, len, PROT_READ | PROT_WRITE) != 0)
        return false;
    atomic_store((_Atomic uintptr_t *)at, (uintptr_t)filled_malloc);
    return !sealed || mprotect((void *)page, len, PROT_READ) == 0;
}

static unsigned set_slots(const struct library *l, ElfW(Sxword) table_tag, ElfW(Sxword) size_tag)
{
    const ElfW(Dyn) *table = entry(l, table_tag), *size = entry(l, size_tag);
    unsigned set = 0;
    if (!table || !size)
        return 0;
    const ElfW(Rela) *row = (const ElfW(Rela) *)address(l, table->d_un.d_ptr);
    for (size_t i = 0; i < size->d_un.d_val / sizeof(*row); i++) {
        const ElfW(Sym) *symbol = &l->symbols[ELF64_R_SYM(row[i].r_info)];
        if (row[i].r_addend == 0 && strcmp(l->strings + symbol->st_name, "malloc") == 0)
            set += set_slot(l, l->base + row[i].r_offset);
    }
    return set;
}

static int on_library(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    const char *slash = strrchr(info->dlpi_name, '/'), *name = slash ? slash + 1 : info->dlpi_name;
    if (strncmp(name, "librdkafka.so", strlen("librdkafka.so")) != 0)
        return 0;
    struct library l = {.base = info->dlpi_addr};
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_DYNAMIC)
            l.dynamic = (const ElfW(Dyn) *)(l.base + p->p_vaddr);
        if (p->p_type != PT_GNU_RELRO)
            continue;
        l.sealed_from = page_of(l.base + p->p_vaddr);
        l.sealed_to = page_of(l.base + p->p_vaddr + p->p_memsz);
    }
    const ElfW(Dyn) *symbols = l.dynamic ? entry(&l, DT_SYMTAB) : NULL;
    const ElfW(Dyn) *strings = l.dynamic ? entry(&l, DT_STRTAB) : NULL;
    if (!symbols || !strings)
        return 1;
    l.symbols = (const ElfW(Sym) *)address(&l, symbols->d_un.d_ptr);
    l.strings = (const char *)address(&l, strings->d_un.d_ptr);
    *(unsigned *)arg = set_slots(&l, DT_RELA, DT_RELASZ) + set_slots(&l, DT_JMPREL, DT_PLTRELSZ);
    return 1;
}

static bool guarded; /* written once, under `once` */

static void guard(void)
{
    unsigned set = 0;
    dl_iterate_phdr(on_library, &set);
    guarded = set > 0;
    if (!guarded)
        BGW_LOG(BGW_LOG_WARN, "kafka_memory_not_guarded",
                {"why", LS("this librdkafka is not a library that was found; a broker's restart may end the gateway")});
}

bool bgw_kafka_memory_guard(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, guard);
    return guarded;
}
