-- send(agent, run, record): a new run into an agent's inbox. Returns {generation, pool} if that made the agent ready.
-- include: clock
-- include: ready
local function send(agent, run, record)
  local seq = redis.call('HINCRBY', K.meta(), 'seq', 1)
  redis.call('HSET', K.run(run), 'record', record, 'status', 'created', 'created_at', MICROS)
  redis.call('ZADD', K.runs(), seq, run)
  redis.call('ZADD', K.agent_runs(agent), seq, run)
  redis.call('RPUSH', K.agent_inbox(agent), run)
  return mark_ready(agent)
end
