-- take(agent, generation, worker, ms, tokens, steps, tries): the lease of a ready agent. Only the job of the current
-- generation gets in; that generation is the fence. One of another line of writes is raised instead: before a failover
-- somebody may have had it already. With the run to carry on with in the same act, if tokens are given (next_run.lua).
-- Returns {'ok', what next_run gives}, {'stale'} or {'raised', generation, pool}.
-- include: clock
-- include: lineage
-- include: ready
-- include: next_run
local function take(agent, generation, worker, ms, tokens, steps, tries)
  local state = redis.call('HMGET', K.agent_state(agent), 'status', 'generation', 'lineage')
  if state[1] ~= 'ready' or state[2] ~= generation then return {'stale'} end
  if (state[3] or '') ~= lineage() then
    local back = raise(agent)
    return {'raised', back[1], back[2]}
  end
  redis.call('HSET', K.agent_state(agent), 'status', 'leased', 'worker', worker)
  taken(agent)
  redis.call('ZADD', K.leases(), MILLIS + tonumber(ms), agent)
  return {'ok', tokens and next_run(agent, tokens, steps, tries)}
end
