-- send(agent, run, record, output, callback, priority, due): a new run into an agent's inbox, or, with `due`, among
-- those that enter it later (later.lua); output: as message_send.lua has it; callback '1': somebody is to be
-- told of its end. Returns {generation, pool} if that made the agent ready.
-- no_room(agent, most, filling): {'full'} for an inbox that holds as many runs as it may, {'filling'} where '1' says
-- that the store is too full for anything new; else nil.
-- include: clock
-- include: inbox
-- include: later
-- include: run_status
local function no_room(agent, most, filling)
  if filling == '1' then return {'filling'} end
  if most and redis.call('LLEN', K.agent_inbox(agent)) >= tonumber(most) then return {'full'} end
end

local function send(agent, run, record, output, callback, priority, due)
  local seq = redis.call('HINCRBY', K.meta(), 'seq', 1)
  local listens = output == 'stream'
  redis.call('HSET', K.run(run), 'record', record, 'created_at', MICROS, 'output', listens and '1' or output)
  if listens then redis.call('HSET', K.run(run), 'listens', '1') end
  if callback == '1' then redis.call('HSET', K.run(run), 'callback', '1') end
  -- One that is listed already ran out, and its key is used again: its old status is forgotten, and its listing is not.
  if redis.call('ZADD', K.runs(), seq, run) == 0 then run_unfiled(run) end
  run_status(run, 'created')
  redis.call('ZADD', K.agent_runs(agent), seq, run)
  if priority and priority ~= '0' then redis.call('HSET', K.run(run), 'priority', priority) end
  if not due or due == '' then return into_inbox(agent, run) end
  put_later(agent, run, due)
end
