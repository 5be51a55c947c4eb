-- send(agent, run, record, output): a new run into an agent's inbox; output '1': what it says is kept for streams.
-- Returns {generation, pool} if that made the agent ready.
-- include: clock
-- include: ready
-- include: run_status
local function send(agent, run, record, output)
  local seq = redis.call('HINCRBY', K.meta(), 'seq', 1)
  redis.call('HSET', K.run(run), 'record', record, 'created_at', MICROS, 'output', output)
  redis.call('ZADD', K.runs(), seq, run)
  run_status(run, 'created')
  redis.call('ZADD', K.agent_runs(agent), seq, run)
  redis.call('RPUSH', K.agent_inbox(agent), run)
  return mark_ready(agent)
end
