-- put_later(agent, run, due): a run that enters the inbox when it is due: ms since the epoch, or ms from now behind a +.
-- drop_later(agent, run): a run that does not wait for its time any more.
-- include: clock
local function put_later(agent, run, due)
  local from_now = string.match(due, '^%+(%d+)$')
  local ms = math.max(MILLIS, from_now and MILLIS + tonumber(from_now) or tonumber(due))
  local at = string.format('%.0f', ms)
  redis.call('HSET', K.run(run), 'not_before', at .. '000', 'agent', agent)
  redis.call('ZADD', K.later(), at, run)
  redis.call('ZADD', K.agent_later(agent), at, run)
end

local function drop_later(agent, run)
  redis.call('ZREM', K.later(), run)
  redis.call('ZREM', K.agent_later(agent), run)
end
