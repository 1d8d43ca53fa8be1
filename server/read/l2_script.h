/* SPDX-License-Identifier: Apache-2.0 */
/*
 * l2_script: the steps that Redis takes as one, in its own language. Used by l2.c alone.
 *   KEYS: the slot's lock, the slot's body. ARGV: our token; for the write also body, TTL in ms, v ("": none).
 * A body that a gateway wrote begins with its version, so the number is found without reading JSON; numbers
 * of Lua are doubles, so versions are compared as digits: the longer is the greater.
 */
#ifndef BGW_READ_L2_SCRIPT_H
#define BGW_READ_L2_SCRIPT_H

/* 1: stored; 0: the lock is not ours any more, or what is there may be newer. The lock is given back if it is ours. */
#define BGW_L2_SCRIPT_WRITE                                                  \
    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "            \
    "local there = redis.call('GET', KEYS[2]) "                              \
    "local mine, old, stored = ARGV[4], nil, 0 "                             \
    "if there then old = string.match(there, '^{\"v\":(%d+)[,}]') "          \
    "or string.match(there, '\"v\"%s*:%s*\"?(%d+)') end "                    \
    "if not old or (#mine > #old) or (#mine == #old and mine >= old) then "  \
    "redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) stored = 1 end "     \
    "redis.call('DEL', KEYS[1]) "                                            \
    "return stored"

#define BGW_L2_SCRIPT_UNLOCK                                                 \
    "if redis.call('GET', KEYS[1]) == ARGV[1] then "                         \
    "return redis.call('DEL', KEYS[1]) end return 0"

#endif
