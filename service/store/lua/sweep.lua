-- Finds agents nobody carries: leases that ran out are raised to a new generation, agents ready for too long are
-- named again, waits whose deadline has passed or that have nothing left to wait for end, wake-ups held back for want
-- of a budget are begun when it has room, tasks whose time has come enter their agents' inboxes. The caller queues a job
-- for each; a duplicate is harmless. Agents whose request nobody answered in time are named, too, once in a while, until
-- the caller has given it up.
--
-- ARGV  1 ms an agent may be ready before it is named again
-- Reply {agent, generation, pool, 'lost', 'waiting', 'expired', 'held', 'answered', 'due' or 'overdue', …}
-- include: awaits
-- include: inbox
-- include: later
local LOOKED_AT = 100
local OVERDUE_MS = 10000
local DUE_AT_ONCE = 500
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
    taken(agent)
  end
end
for _, agent in ipairs(redis.call('ZRANGEBYSCORE', K.waits(), '-inf', MILLIS, 'LIMIT', 0, LOOKED_AT)) do
  if is_waiting(agent) then
    local back = go_on(agent)
    for _, word in ipairs({agent, back[1], back[2], 'expired'}) do table.insert(found, word) end
  else
    redis.call('ZREM', K.waits(), agent)
  end
end
for _, agent in ipairs(redis.call('ZRANGEBYSCORE', K.held(), '-inf', MILLIS, 'LIMIT', 0, LOOKED_AT)) do
  redis.call('ZREM', K.held(), agent)
  local back = redis.call('LLEN', K.agent_inbox(agent)) > 0 and mark_ready(agent)
  for _, word in ipairs(back and {agent, back[1], back[2], 'held'} or {}) do table.insert(found, word) end
end
for _, agent in ipairs(redis.call('ZRANGEBYSCORE', K.approvals(), '-inf', MILLIS, 'LIMIT', 0, LOOKED_AT)) do
  local state = redis.call('HMGET', K.agent_state(agent), 'pending', 'generation', 'pool')
  if state[1] then
    redis.call('ZADD', K.approvals(), MILLIS + OVERDUE_MS, agent)
    for _, word in ipairs({agent, state[2] or '0', state[3] or 'default', 'overdue'}) do table.insert(found, word) end
  else
    redis.call('ZREM', K.approvals(), agent)
  end
end
for _, run in ipairs(redis.call('ZRANGEBYSCORE', K.later(), '-inf', MILLIS, 'LIMIT', 0, DUE_AT_ONCE)) do
  local known = redis.call('HMGET', K.run(run), 'status', 'agent')
  if known[2] then drop_later(known[2], run) else redis.call('ZREM', K.later(), run) end
  local back = known[1] == 'created' and into_inbox(known[2], run)
  for _, word in ipairs(back and {known[2], back[1], back[2], 'due'} or {}) do table.insert(found, word) end
end
-- One page of those that wait, another one each second: should a wake-up ever be lost, this makes up for it.
local pages = math.ceil(redis.call('ZCARD', K.waits()) / LOOKED_AT)
local first = pages > 0 and math.floor(MILLIS / 1000) % pages * LOOKED_AT or 0
for _, agent in ipairs(redis.call('ZRANGE', K.waits(), first, first + LOOKED_AT - 1)) do
  if is_waiting(agent) and redis.call('EXISTS', K.agent_awaits(agent)) == 0 then
    local back = go_on(agent)
    for _, word in ipairs({agent, back[1], back[2], 'answered'}) do table.insert(found, word) end
  end
end
return found
