-- Finds agents nobody carries: leases that ran out are raised to a new generation, agents ready for too long are
-- named again. The caller queues a job for each; a duplicate is harmless.
--
-- ARGV  1 ms an agent may be ready before it is named again
-- Reply {agent, generation, pool, 'lost' or 'waiting', …}
-- include: ready
local found = {}
for _, agent in ipairs(redis.call('ZRANGEBYSCORE', K.leases(), '-inf', MILLIS, 'LIMIT', 0, 100)) do
  redis.call('ZREM', K.leases(), agent)
  if redis.call('HGET', K.agent_state(agent), 'status') == 'leased' then
    local back = raise(agent)
    for _, word in ipairs({agent, back[1], back[2], 'lost'}) do table.insert(found, word) end
  end
end
for _, agent in ipairs(redis.call('ZRANGEBYSCORE', K.ready(), '-inf', MILLIS - tonumber(ARGV[1]), 'LIMIT', 0, 100)) do
  local state = redis.call('HMGET', K.agent_state(agent), 'status', 'generation', 'pool')
  if state[1] == 'ready' then
    redis.call('ZADD', K.ready(), MILLIS, agent)
    for _, word in ipairs({agent, state[2], state[3] or 'default', 'waiting'}) do table.insert(found, word) end
  else
    redis.call('ZREM', K.ready(), agent)
  end
end
return found
