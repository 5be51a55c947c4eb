-- idle(agent): the lease is given back, and no worker is to come; for whoever holds it.
-- is_paused(agent, run): whether an agent may not go on with a run, or begin one if there is none. What is to be
-- cancelled goes on, to its end.
local function idle(agent)
  redis.call('HSET', K.agent_state(agent), 'status', 'idle', 'worker', '')
  redis.call('ZREM', K.leases(), agent)
end

local function is_paused(agent, run)
  if redis.call('HEXISTS', K.agent(agent), 'paused_at') == 0 then return false end
  return not (run and redis.call('HGET', K.run(run), 'cancel'))
end
