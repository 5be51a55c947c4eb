-- fenced(agent, generation): true when the caller still holds the lease of that generation, raised on the line of
-- writes that the server is on. After a failover what the caller stored last may be missing: it must not go on as if
-- it were there, but leave the run to a worker that reads what is.
-- include: lineage
local function fenced(agent, generation)
  local state = redis.call('HMGET', K.agent_state(agent), 'generation', 'status', 'lineage')
  return state[1] == generation and state[2] == 'leased' and (state[3] or '') == lineage()
end
