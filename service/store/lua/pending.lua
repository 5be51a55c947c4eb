-- drop_pending(agent): a request for the caller's word is no longer pending, and nothing counts as its answer.
-- Returns {generation, pool} if what waited in the inbox made the agent ready.
-- include: ready
local function drop_pending(agent)
  redis.call('HDEL', K.agent_state(agent), 'pending', 'answered_by')
  if redis.call('LLEN', K.agent_inbox(agent)) == 0 then return nil end
  return mark_ready(agent)
end
