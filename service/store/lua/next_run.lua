-- next_run(agent, tokens, steps, tries): the run that the holder of the lease is to carry on with: the one begun, else
-- the next of the inbox. With nothing left the agent is idle and the lease given back in the same act, so that no
-- message can fall between. While the agent waits for its caller's word nothing of the inbox is begun; while it is
-- paused nothing is carried on, but a run that is to be cancelled ends. While a budget is used up a wake-up stays in
-- the inbox, and what is behind it is taken first.
-- tokens, steps: what the workspace may use in an hour (0: any); tries: workers a run may lose before it is given up.
-- Gives {'run', run, hash as a flat list, material, and if a budget is used up: whose, what, how many an hour, ms when
-- it has room} or {'idle'}.
-- include: clock
-- include: idle
-- include: run_status
-- include: budget
-- include: material
local function next_run(agent, tokens, steps, tries)
  local state = K.agent_state(agent)
  local run = redis.call('HGET', state, 'run_id')
  if is_paused(agent, run) then
    idle(agent)
    return {'idle'}
  end
  local over = spent(agent, tokens, steps)
  local held
  while not run do
    run = not redis.call('HGET', state, 'pending') and redis.call('LPOP', K.agent_inbox(agent))
    if not run then
      if held then
        redis.call('LPUSH', K.agent_inbox(agent), held)
        redis.call('ZADD', K.held(), over[4], agent)
      end
      idle(agent)
      return {'idle'}
    end
    local is_open = redis.call('HGET', K.run(run), 'status') == 'created'
    if is_open and over and redis.call('HGET', state, 'wake_run') == run then
      held, run = run, nil
    elseif is_open then
      redis.call('HSET', state, 'run_id', run)
      redis.call('HSET', K.run(run), 'started_at', MICROS)
      run_status(run, 'running')
    else
      if redis.call('HGET', state, 'wake_run') == run then redis.call('HDEL', state, 'wake_run') end
      run = nil
    end
  end
  if held then redis.call('LPUSH', K.agent_inbox(agent), held) end
  if redis.call('HGET', state, 'wake_run') == run then
    local dropped = redis.call('HGET', state, 'wake_over') or '0'
    redis.call('HDEL', state, 'wake_run', 'wake_over', 'wake_by', 'wake_for', 'wake_rate')
    redis.call('ZREM', K.wakes(), agent)
    local causes = redis.call('LRANGE', K.agent_woken(agent), 0, -1)
    redis.call('DEL', K.agent_woken(agent))
    redis.call('HSET', K.run(run), 'causes', '[' .. table.concat(causes, ',') .. ']', 'over', dropped)
  end
  if redis.call('HINCRBY', K.run(run), 'tries', 1) > tonumber(tries) then redis.call('HSET', K.run(run), 'parked', '1') end
  return {'run', run, redis.call('HGETALL', K.run(run)), material(agent, run), unpack(over or {})}
end
