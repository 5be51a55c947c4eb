-- The run to carry on with: the one begun, else the next of the inbox. With nothing left the agent is idle and
-- the lease given back in the same act, so that no message can fall between. While the agent waits for its caller's
-- word nothing of the inbox is begun.
--
-- ARGV  1 agent  2 generation
-- Reply {'run', run, hash as a flat list}  {'idle'}  {'fence'}
-- include: clock
-- include: fence
-- include: run_status
local agent = ARGV[1]
local state = K.agent_state(agent)
if not fenced(agent, ARGV[2]) then return {'fence'} end
local run = redis.call('HGET', state, 'run_id')
while not run do
  run = not redis.call('HGET', state, 'pending') and redis.call('LPOP', K.agent_inbox(agent))
  if not run then
    redis.call('HSET', state, 'status', 'idle', 'worker', '')
    redis.call('ZREM', K.leases(), agent)
    return {'idle'}
  end
  if redis.call('HGET', K.run(run), 'status') == 'created' then
    redis.call('HSET', state, 'run_id', run)
    redis.call('HSET', K.run(run), 'started_at', MICROS)
    run_status(run, 'running')
  else
    if redis.call('HGET', state, 'wake_run') == run then redis.call('HDEL', state, 'wake_run') end
    run = nil
  end
end
if redis.call('HGET', state, 'wake_run') == run then
  local over = redis.call('HGET', state, 'wake_over') or '0'
  redis.call('HDEL', state, 'wake_run', 'wake_over', 'wake_by', 'wake_for', 'wake_rate')
  redis.call('ZREM', K.wakes(), agent)
  local causes = redis.call('LRANGE', K.agent_woken(agent), 0, -1)
  redis.call('DEL', K.agent_woken(agent))
  redis.call('HSET', K.run(run), 'causes', '[' .. table.concat(causes, ',') .. ']', 'over', over)
end
redis.call('HINCRBY', K.run(run), 'tries', 1)
return {'run', run, redis.call('HGETALL', K.run(run))}
