-- Who waits for a worker of which pool: agents that are ready, and agents of tasks whose time has come but that no
-- worker has put into an inbox yet. Reads only.
--
-- ARGV  none
-- Reply {pool, how many wait, ms the first has waited, …}
-- include: clock
local OVERDUE_LOOKED_AT = 1000
local waiting, since = {}, {}
for _, pool in ipairs(redis.call('SMEMBERS', K.pools())) do
  local first = redis.call('ZRANGE', K.queued(pool), 0, 0, 'WITHSCORES')
  waiting[pool] = redis.call('ZCARD', K.queued(pool))
  since[pool] = first[2] and tonumber(first[2]) or MILLIS
end
local overdue = redis.call('ZRANGEBYSCORE', K.later(), '-inf', MILLIS, 'WITHSCORES', 'LIMIT', 0, OVERDUE_LOOKED_AT)
for i = 1, #overdue, 2 do
  local agent = redis.call('HGET', K.run(overdue[i]), 'agent')
  local pool = agent and redis.call('HGET', K.agent_state(agent), 'pool') or 'default'
  waiting[pool] = (waiting[pool] or 0) + 1
  since[pool] = math.min(since[pool] or MILLIS, tonumber(overdue[i + 1]))
end
local reply = {}
for pool, count in pairs(waiting) do
  table.insert(reply, pool)
  table.insert(reply, count)
  table.insert(reply, math.max(0, MILLIS - since[pool]))
end
return reply
