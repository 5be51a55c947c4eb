-- into_inbox(agent, run): a run behind all that wait with its priority or a higher one, in front of those with a lower
-- one. Nothing goes in front of an answer to what its agent asked. Returns {generation, pool} if that made the agent ready.
-- include: ready
local LOOKED_AT_ONCE = 100

local function priority_of(run)
  return tonumber(redis.call('HGET', K.run(run), 'priority') or '0')
end

-- The last run from the front that may not be overtaken; a wake-up kept back in front of others may.
local function behind_whom(agent, priority)
  local inbox, found, from = K.agent_inbox(agent), nil, 0
  local state = redis.call('HMGET', K.agent_state(agent), 'wake_run', 'answered_by')
  while true do
    local runs = redis.call('LRANGE', inbox, from, from + LOOKED_AT_ONCE - 1)
    if #runs == 0 then return found end
    for _, run in ipairs(runs) do
      if run == state[2] or priority_of(run) >= priority then
        found = run
      elseif run ~= state[1] then
        return found
      end
    end
    from = from + LOOKED_AT_ONCE
  end
end

local function into_inbox(agent, run)
  local inbox, priority = K.agent_inbox(agent), priority_of(run)
  local before = priority > 0 and behind_whom(agent, priority)
  if priority == 0 then
    redis.call('RPUSH', inbox, run)
  elseif before then
    redis.call('LINSERT', inbox, 'AFTER', before, run)
  else
    redis.call('LPUSH', inbox, run)
  end
  return mark_ready(agent)
end
