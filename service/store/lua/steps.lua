-- index_step(agent, run, step): a new step into the lists it can be found by.
local function index_step(agent, run, step)
  local seq = redis.call('HINCRBY', K.meta(), 'seq', 1)
  redis.call('RPUSH', K.run_steps(run), step)
  redis.call('ZADD', K.steps(), seq, step)
  redis.call('ZADD', K.agent_steps(agent), seq, step)
end
