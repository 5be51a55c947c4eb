-- send(agent, run, record, output, callback): a new run into an agent's inbox; output '1': what it says is kept for
-- streams; callback '1': somebody is to be told of its end.
-- Returns {generation, pool} if that made the agent ready.
-- no_room(agent, most, filling): {'full'} for an inbox that holds as many runs as it may, {'filling'} where '1' says
-- that the store is too full for anything new; else nil.
-- include: clock
-- include: ready
-- include: run_status
local function no_room(agent, most, filling)
  if filling == '1' then return {'filling'} end
  if redis.call('LLEN', K.agent_inbox(agent)) >= tonumber(most) then return {'full'} end
end

local function send(agent, run, record, output, callback)
  local seq = redis.call('HINCRBY', K.meta(), 'seq', 1)
  redis.call('HSET', K.run(run), 'record', record, 'created_at', MICROS, 'output', output)
  if callback == '1' then redis.call('HSET', K.run(run), 'callback', '1') end
  redis.call('ZADD', K.runs(), seq, run)
  run_status(run, 'created')
  redis.call('ZADD', K.agent_runs(agent), seq, run)
  redis.call('RPUSH', K.agent_inbox(agent), run)
  return mark_ready(agent)
end
