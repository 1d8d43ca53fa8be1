/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script: the steps that Redis takes as one, in its own language. For positions.c alone; docs/projector.md has the keys and fields.
 * Law of all of them: money is added by HINCRBY's own 64 bits and asked for as text where a number of Lua, a double, would not be exact;
 * versions and offsets are numbers below 2^53; whatever can fail is tried before the first thing that cannot be taken back.
 *
 * Who may tell an account: a position's `by` names the member whose records of it may still be on their way, and what shows that they
 * have arrived: the offset of a partition, or a drain's number (D). Only that member tells, until then. Everybody else leaves the
 * account in the set of those to be told, which one member empties. So records of an account stand in its topic in the order of v.
 */
#ifndef BGW_PROJECT_SCRIPT_H
#define BGW_PROJECT_SCRIPT_H

/* `live` is there when every partition of the topic has been begun since Redis may last have lost something, and has reached what it
 * has to: what a position says before that has perhaps never been true, and nobody is told. */
#define SCRIPT_COMPLETE \
    "local function complete(proj, n) " \
    "for i = 0, n - 1 do " \
    "local f = redis.call('HMGET', proj, 't' .. i, 'w' .. i) " \
    "if not f[1] or tonumber(f[2] or '-1') < tonumber(f[1]) then return false end end " \
    "redis.call('HSET', proj, 'live', '1') return true end "

#define SCRIPT_MAY_TELL \
    "local function may_tell(proj, me, by) " \
    "if not by then return true end " \
    "local m, q, o = string.match(by, '^(%S+) (%S+) (%S+)$') " \
    "if not m or m == me then return true end " \
    "if q == 'D' then return redis.call('HGET', proj, 'g') ~= o end " \
    "return tonumber(redis.call('HGET', proj, 'd' .. q) or '-1') >= tonumber(o) end "

/* The hash that gateways read, and the word to them. */
#define SCRIPT_SHOW \
    "local function show(key, minor, v, ts, ttl, said) " \
    "local r = redis.pcall('HSET', key, 'minor', minor, 'v', v, 'ts', ts) " \
    "if type(r) == 'table' and r.err then redis.call('DEL', key) " \
    "redis.call('HSET', key, 'minor', minor, 'v', v, 'ts', ts) end " \
    "redis.call('EXPIRE', key, ttl) " \
    "if said ~= '' then redis.call('PUBLISH', 'balance:invalidate', said .. v .. '}') end end "

/* To be told by whoever empties the set; what is told then is what stands there then. */
#define SCRIPT_OWE \
    "local function owe(untold, pos) " \
    "local s = redis.call('HGET', pos, 'seq') " \
    "if s then redis.call('HSET', pos, 'debt', s) " \
    "redis.call('SADD', untold, string.sub(pos, 10)) end end "

/*
 * One event. KEYS: projection, set of those to be told, then position and hash of each account (source, dest; or of the one).
 * ARGV: 1 partition, 2 offset, 3 the offset before it, 4 the last that is told, 5 member, 6 partitions, 7 minor ("": an event that
 * is passed over, without accounts), 8 ts, 9 TTL, 10 and 11 the beginnings of the words to gateways ("": none).
 */
#define SCRIPT_APPLY \
    SCRIPT_COMPLETE SCRIPT_MAY_TELL SCRIPT_SHOW SCRIPT_OWE \
    "local proj, untold, p, offset, minor = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[7] " \
    "local at = redis.call('HMGET', proj, 'live', 'w' .. p) " \
    "local w, count = tonumber(at[2] or '-1'), (#KEYS - 2) / 2 " \
    "if w < tonumber(ARGV[3]) then return {'GAP'} end " \
    "if w >= tonumber(offset) then " \
    "for i = 1, count do owe(untold, KEYS[1 + 2 * i]) end " \
    "return {'AGAIN'} end " \
    "local function pass() redis.call('HSET', proj, 'w' .. p, offset, 'd' .. p, ARGV[4]) " \
    "return at[1] or complete(proj, tonumber(ARGV[6])) end " \
    "if minor == '' then pass() return {'PASSED'} end " \
    "local deltas = count == 1 and {'0'} or {'-' .. minor, minor} " \
    "local old, minors = {}, {} " \
    "for i = 1, count do " \
    "local r = redis.pcall('HMGET', KEYS[1 + 2 * i], 'seq', 'by') " \
    "if r.err then return r end " \
    "if r[1] and not string.match(r[1], '^%d+$') then return redis.error_reply('DAMAGED position') end " \
    "old[i] = r end " \
    "for i = 1, count do " \
    "local r = redis.pcall('HINCRBY', KEYS[1 + 2 * i], 'minor', deltas[i]) " \
    "if type(r) == 'table' and r.err then " \
    "if i == 2 then redis.call('HINCRBY', KEYS[3], 'minor', minor) " \
    "if not old[1][1] and redis.call('HGET', KEYS[3], 'minor') == '0' then redis.call('DEL', KEYS[3]) end end " \
    "if string.find(r.err, 'overflow', 1, true) then pass() return {'OVERFLOW'} end " \
    "return r end " \
    "minors[i] = r > -9e15 and r < 9e15 and string.format('%.0f', r) or redis.call('HGET', KEYS[1 + 2 * i], 'minor') end " \
    "local live, answer = pass(), {at[1] and 'TOLD' or 'QUIET'} " \
    "for i = 1, count do " \
    "local pos, key, seq = KEYS[1 + 2 * i], KEYS[2 + 2 * i], old[i][1] " \
    "local tell = at[1] and may_tell(proj, ARGV[5], old[i][2]) " \
    "seq = seq and string.format('%.0f', seq + 1) or '0' " \
    "if tell then " \
    "redis.call('HSET', pos, 'seq', seq, 'o' .. p, offset, 'ts', ARGV[8], 'by', ARGV[5] .. ' ' .. p .. ' ' .. offset) " \
    "show(key, minors[i], seq, ARGV[8], ARGV[9], ARGV[9 + i]) " \
    "answer[2 * i], answer[2 * i + 1] = minors[i], seq " \
    "else redis.call('HSET', pos, 'seq', seq, 'o' .. p, offset, 'ts', ARGV[8]) owe(untold, pos) " \
    "answer[2 * i], answer[2 * i + 1] = '', '' end end " \
    "return answer"

/*
 * A partition is begun. KEYS: the topic's projection, its name; the projection of this epoch. ARGV: 1 partition, 2 partitions, 3 the
 * server's run, 4 committed, 5 low, 6 high, 7 epoch. Another run may have lost what the last one had taken, so every partition is
 * begun anew before anybody is told anything, and reads to where the log ended then.
 */
#define SCRIPT_BEGIN \
    SCRIPT_COMPLETE \
    "local proj, p, run = KEYS[2], ARGV[1], ARGV[3] " \
    "local committed, low, high = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]) " \
    "local is = redis.call('GET', KEYS[1]) " \
    "if is and is ~= ARGV[7] then return {'EPOCH', is} end " \
    "local known = redis.call('HGET', proj, 'run') " \
    "if known ~= run then " \
    "for _, f in ipairs(redis.call('HKEYS', proj)) do " \
    "if string.match(f, '^[td]%d+$') or f == 'live' or f == 'first' then redis.call('HDEL', proj, f) end end " \
    "redis.call('HSET', proj, 'run', run) " \
    "if not known then redis.call('HSET', proj, 'first', '1') end end " \
    "if not is then redis.call('SET', KEYS[1], ARGV[7]) end " \
    "local w = tonumber(redis.call('HGET', proj, 'w' .. p) or '-1') " \
    "if low > w + 1 or w + 1 > high then " \
    "redis.call('HDEL', proj, 'live', 't' .. p) " \
    "return {low > w + 1 and 'MISSING' or 'SHORT', w} end " \
    "local from = w + 1 " \
    "if committed >= 0 and committed < from then from = committed end " \
    "if from < low then from = low end " \
    "local t = redis.call('HGET', proj, 't' .. p) " \
    "if committed > w + 1 then redis.call('HDEL', proj, 'live') t = high - 1 " \
    "elseif not t then t = redis.call('HGET', proj, 'first') and -1 or high - 1 end " \
    "redis.call('HSET', proj, 't' .. p, string.format('%.0f', tonumber(t)), 'd' .. p, string.format('%.0f', from - 1)) " \
    "local g = p == '0' and redis.call('HINCRBY', proj, 'g', 1) or 0 " \
    "complete(proj, tonumber(ARGV[2])) " \
    "return {'BEGUN', w, from, tonumber(t), g}"

/* One account of the set. KEYS: projection, set, position, hash. ARGV: 1 member, 2 drain's number, 3 TTL, 4 the beginning of the word. */
#define SCRIPT_TELL \
    SCRIPT_MAY_TELL SCRIPT_SHOW \
    "local f = redis.call('HMGET', KEYS[3], 'minor', 'seq', 'by', 'ts') " \
    "if not f[2] then redis.call('SREM', KEYS[2], string.sub(KEYS[3], 10)) return {'GONE'} end " \
    "local at = redis.call('HMGET', KEYS[1], 'live', 'g') " \
    "if not at[1] or at[2] ~= ARGV[2] or not may_tell(KEYS[1], ARGV[1], f[3]) then return {'WAIT'} end " \
    "redis.call('HSET', KEYS[3], 'by', ARGV[1] .. ' D ' .. ARGV[2]) " \
    "show(KEYS[4], f[1], f[2], f[4] or '0', ARGV[3], ARGV[4]) " \
    "return {'TOLD', f[1], f[2], f[4] or '0'}"

/* It has arrived. KEYS: set, position. ARGV: 1 member, 2 drain's number, 3 the v that was told. What was owed up to then is paid. */
#define SCRIPT_SETTLE \
    "local f = redis.call('HMGET', KEYS[2], 'debt', 'by') " \
    "if f[2] == ARGV[1] .. ' D ' .. ARGV[2] then redis.call('HDEL', KEYS[2], 'by') end " \
    "if not f[1] or tonumber(ARGV[3]) >= tonumber(f[1]) then " \
    "redis.call('HDEL', KEYS[2], 'debt') redis.call('SREM', KEYS[1], string.sub(KEYS[2], 10)) return {'PASSED'} end " \
    "return {'WAIT'}"

#endif
