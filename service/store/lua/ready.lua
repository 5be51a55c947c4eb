-- mark_ready(agent): an idle agent becomes ready under a new generation. Returns {generation, pool} or nil.
-- One that waits for its caller's word, or is paused, stays idle, whatever its inbox holds.
-- raise(agent): the same whatever its state was: whoever held the lease is fenced off.
-- include: clock
local function raise(agent)
  local state = K.agent_state(agent)
  local generation = redis.call('HINCRBY', state, 'generation', 1)
  redis.call('HSET', state, 'status', 'ready', 'worker', '')
  redis.call('ZREM', K.leases(), agent)
  redis.call('ZADD', K.ready(), MILLIS, agent)
  return {tostring(generation), redis.call('HGET', state, 'pool') or 'default'}
end

local function mark_ready(agent)
  local status = redis.call('HGET', K.agent_state(agent), 'status')
  if status and status ~= 'idle' then return nil end
  if redis.call('HGET', K.agent_state(agent), 'pending') then return nil end
  if redis.call('HGET', K.agent(agent), 'paused_at') then return nil end
  return raise(agent)
end
