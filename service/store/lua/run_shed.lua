-- One bite of dropping runs that ended a while ago because memory is short, oldest first, with all that belongs to them
-- but their messages. Dead letters stay, for they are to be tried again. Whoever calls next goes on where this ends.
--
-- ARGV  1 ms that a run must have ended ago  2 runs to look at
-- Reply {'ok', runs dropped}  {'done', runs dropped} (all were looked at, and are again when the state has ended)
-- include: run_end
local STATE_MS = 60000
local after = redis.call('HGET', K.shrinking(), 'runs_after') or '-inf'
-- A store that is full refuses a script's first write if that needs memory, and none that comes after another.
redis.call('HDEL', K.shrinking(), '')
local dropped = 0
local found = redis.call('ZRANGEBYSCORE', K.runs(), '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for i = 1, #found, 2 do
  local run = redis.call('HMGET', K.run(found[i]), 'completed_at', 'parked', 'record')
  if run[1] and not run[2] and MILLIS - tonumber(run[1]) / 1000 >= tonumber(ARGV[1]) then
    run_drop(cjson.decode(run[3]).agent_id, found[i])
    dropped = dropped + 1
  end
  after = found[i + 1]
end
local done = #found < 2 * tonumber(ARGV[2])
if dropped > 0 or not done then
  redis.call('HSET', K.shrinking(), 'runs_after', after)
  redis.call('PEXPIRE', K.shrinking(), STATE_MS)
end
return {done and 'done' or 'ok', dropped}
