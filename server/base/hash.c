/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash: SipHash-1-3 under a secret drawn once per process, so that strangers who choose ids cannot
 * choose buckets, and FNV-1a where the protocol fixes the function. The secret is written before
 * threads start and only read afterwards.
 */
#include "bgw/hash.h"

#include "bgw/assert.h"

#include <endian.h>
#include <errno.h>
#include <sys/random.h>

static struct {
    uint64_t k0, k1;
    bool drawn;
} secret; /* any thread: immutable after bgw_hash_init */

void bgw_hash_init(void)
{
    uint64_t key[2];
    ssize_t got;
    if (secret.drawn)
        return;
    do {
        got = getrandom(key, sizeof(key), 0);
    } while (got < 0 && errno == EINTR);
    /* Requests of up to 256 bytes are never cut short; without the secret the tables can be
     * flooded. */
    BGW_ASSERT(got == (ssize_t)sizeof(key));
    bgw_hash_init_fixed(key[0], key[1]);
}

void bgw_hash_init_fixed(uint64_t k0, uint64_t k1)
{
    secret.k0 = k0;
    secret.k1 = k1;
    secret.drawn = true;
}

static inline uint64_t rotate_left(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[0] = rotate_left(v[0], 32);
    v[2] += v[3];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[2] = rotate_left(v[2], 32);
}

/* Little-endian, whatever the machine: the first n bytes, n <= 8. */
static inline uint64_t load_bytes(const char *p, size_t n)
{
    uint64_t word = 0;
    memcpy(&word, p, n);
    return le64toh(word);
}

uint64_t bgw_hash_keyed(struct bgw_slice bytes)
{
    BGW_ASSERT(secret.drawn);
    uint64_t v[4] = {
        secret.k0 ^ 0x736f6d6570736575ULL, /* "somepseudorandomlygeneratedbytes", as published */
        secret.k1 ^ 0x646f72616e646f6dULL,
        secret.k0 ^ 0x6c7967656e657261ULL,
        secret.k1 ^ 0x7465646279746573ULL,
    };
    size_t whole = bytes.len & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word = load_bytes(bytes.data + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)(bytes.len & 0xff) << 56;
    if (bytes.len > whole)
        last |= load_bytes(bytes.data + whole, bytes.len - whole);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t bgw_hash_fnv64(uint64_t state, struct bgw_slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        state ^= (unsigned char)bytes.data[i];
        state *= 0x100000001b3ULL;
    }
    return state;
}
