-- mark_ready(agent): an idle agent becomes ready under a new generation. Returns {generation, pool} or nil.
-- One that waits for its caller's word, or is paused, stays idle, whatever its inbox holds.
-- raise(agent): the same whatever its state was: whoever held the lease is fenced off.
-- A generation belongs to the line of writes it was raised on. On a new one it goes on from the clock: a count that
-- a failover has set back would be given twice, to a worker of before and to one of after.
-- include: clock
-- include: lineage
local function raise(agent)
  local state = K.agent_state(agent)
  local known = redis.call('HMGET', state, 'generation', 'lineage')
  local next = tonumber(known[1] or '0') + 1
  if (known[2] or '') ~= lineage() then next = math.max(next, tonumber(MICROS)) end
  local generation = string.format('%.0f', next)
  redis.call('HSET', state, 'generation', generation, 'lineage', lineage(), 'status', 'ready', 'worker', '')
  redis.call('ZREM', K.leases(), agent)
  redis.call('ZADD', K.ready(), MILLIS, agent)
  return {generation, redis.call('HGET', state, 'pool') or 'default'}
end

local function mark_ready(agent)
  local status = redis.call('HGET', K.agent_state(agent), 'status')
  if status and status ~= 'idle' then return nil end
  if redis.call('HGET', K.agent_state(agent), 'pending') then return nil end
  if redis.call('HGET', K.agent(agent), 'paused_at') then return nil end
  return raise(agent)
end
