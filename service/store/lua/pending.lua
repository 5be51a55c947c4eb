-- set_pending(agent, request, ms): a request waits for its caller's word, for so long at the most (0: for ever).
-- The sweeper gives it up then, if it is pending still: approvals is looked at, not kept in step.
-- drop_pending(agent): a request for the caller's word is no longer pending, and nothing counts as its answer.
-- Returns {generation, pool} if what waited in the inbox made the agent ready.
-- include: ready
local function set_pending(agent, request, ms)
  redis.call('HSET', K.agent_state(agent), 'pending', request)
  if ms == '0' then
    redis.call('ZREM', K.approvals(), agent)
  else
    redis.call('ZADD', K.approvals(), MILLIS + tonumber(ms), agent)
  end
end

local function drop_pending(agent)
  redis.call('HDEL', K.agent_state(agent), 'pending', 'answered_by')
  if redis.call('LLEN', K.agent_inbox(agent)) == 0 then return nil end
  return mark_ready(agent)
end
