-- One bite of making histories shorter because memory is short. Each time around what may be kept of a block, in entries
-- and in bytes, is half as much, so that the longest and heaviest give first, of each its oldest entries; the newest
-- always stays. Whoever calls next, in whatever process, goes on where this bite ends.
--
-- ARGV  1 what is kept otherwise: '<entries> <ms> <bytes>'  2 blocks to look at  3 entries to drop, at the most
-- Reply {'ok', entries dropped, halvings}  {'done', entries dropped, halvings} (nothing is left to be dropped; what is
--       written from now on is looked at when the state has ended)
-- include: history
local STATE_MS = 60000
local state = redis.call('HMGET', K.shrinking(), 'halvings', 'after')
-- A store that is full refuses a script's first write if that needs memory, and none that comes after another.
redis.call('HDEL', K.shrinking(), '')
local entries, ms, bytes = string.match(ARGV[1], '^(%d+) (%d+) (%d+)$')
local halvings, after = tonumber(state[1] or '1'), state[2] or '-inf'
local kept = math.floor(tonumber(entries) / 2 ^ halvings)
local keep = string.format('%d %s %d', math.max(kept, 1), ms, math.floor(tonumber(bytes) / 2 ^ halvings))

-- What is dropped from the middle of a node of a stream is only marked; a single entry gives its room back when it is
-- put anew.
local function pack(block)
  local history = K.block_history(block)
  local newest = redis.call('XREVRANGE', history, '+', '-', 'COUNT', 1)[1]
  redis.call('DEL', history)
  redis.call('XADD', history, newest[1], unpack(newest[2]))
end

-- How many entries of a block went; false with it where more are to go.
local function shrink(block, most)
  local weighs = tonumber(redis.call('HGET', K.block(block), 'history_bytes') or '0')
  local dropped = 0
  while dropped < most do
    local left, gone = forget(block, keep, weighs)
    weighs, dropped = left, dropped + gone
    if gone < TRIM_MOST then
      if dropped > 0 then redis.call('HSET', K.block(block), 'history_bytes', string.format('%d', weighs)) end
      if dropped > 0 and redis.call('XLEN', K.block_history(block)) == 1 then pack(block) end
      return dropped, true
    end
  end
  redis.call('HSET', K.block(block), 'history_bytes', string.format('%d', weighs))
  return dropped, false
end

local most, dropped = tonumber(ARGV[3]), 0
local found = redis.call('ZRANGEBYSCORE', K.blocks(), '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local at_end = #found < 2 * tonumber(ARGV[2])
for i = 1, #found, 2 do
  local gone, finished = shrink(found[i], most - dropped)
  dropped = dropped + gone
  if finished then after = found[i + 1] end
  if dropped >= most then
    at_end = false
    break
  end
end
local done = at_end and kept <= 1
if at_end and not done then halvings, after = halvings + 1, '-inf' end
if dropped > 0 or not done then
  redis.call('HSET', K.shrinking(), 'halvings', halvings, 'after', after)
  redis.call('PEXPIRE', K.shrinking(), STATE_MS)
end
return {done and 'done' or 'ok', dropped, halvings}
