-- run_end(agent, run, stop_reason, status, error, keep): the end of a run, once; its caller is rung, with what
-- became of it if he waits for that alone (told.lua), and an agent that waited for it alone goes on (woken, in
-- awaits.lua). What only a worker needed goes at once.
-- keep: seconds until all that belongs to the run goes. Past RUNS_KEPT runs of an agent the oldest go at once. Those that
-- wait, in its inbox or for their time, are not counted, or they would push out what has just ended; nor do they stand
-- in the way of it.
-- include: clock
-- include: output
-- include: awaits
-- include: callback
-- include: run_status
-- include: told
-- include: agent_places
-- include: gone
local RUNS_KEPT = 1000
local OUTPUT_SECONDS = 10800
local HOLES_LOOKED_AT = 100

local function parts_of(run)
  return {K.run(run), K.run_messages(run), K.run_steps(run), K.run_notes(run), K.run_effects(run), K.run_started(run)}
end

-- run_unlisted(agent, run), step_unlisted(agent, step): out of every list, its place kept for whoever pages on from it.
local function run_unlisted(agent, run)
  gone('runs', run, redis.call('ZSCORE', K.runs(), run))
  redis.call('ZREM', K.agent_runs(agent), run)
  redis.call('ZREM', K.agent_parked(agent), run)
  redis.call('ZREM', K.runs(), run)
  run_unfiled(run)
end

local function step_unlisted(agent, step)
  gone('steps', step, redis.call('ZSCORE', K.steps(), step))
  redis.call('ZREM', K.steps(), step)
  redis.call('ZREM', K.agent_steps(agent), step)
end

-- run_drop(agent, run): nothing of the run is left but what it put into its agent's history.
local function run_drop(agent, run)
  for _, step in ipairs(redis.call('LRANGE', K.run_steps(run), 0, -1)) do
    redis.call('DEL', K.step(step), K.trace(step))
    step_unlisted(agent, step)
  end
  redis.call('DEL', K.run_output(run), unpack(parts_of(run)))
  run_unlisted(agent, run)
  redis.call('ZREM', K.callbacks(), run)
end

-- forget(agent): the oldest runs and steps of an agent leave their lists once they ran out.
local function forget(agent)
  for _, step in ipairs(redis.call('ZRANGE', K.agent_steps(agent), 0, HOLES_LOOKED_AT - 1)) do
    if redis.call('EXISTS', K.step(step)) == 1 then break end
    step_unlisted(agent, step)
  end
  local looked_at = HOLES_LOOKED_AT + redis.call('ZCARD', K.agent_later(agent))
  for _, run in ipairs(redis.call('ZRANGE', K.agent_runs(agent), 0, looked_at - 1)) do
    if not redis.call('ZSCORE', K.agent_later(agent), run) then
      if redis.call('EXISTS', K.run(run)) == 1 then break end
      run_unlisted(agent, run)
    end
  end
end

local function run_end(agent, run, stop_reason, status, error, keep)
  local before = redis.call('HMGET', K.run(run), 'status', 'started_at')
  if before[1] ~= 'created' and before[1] ~= 'running' then return false end
  redis.call('HSET', K.run(run), 'stop_reason', stop_reason, 'completed_at', MICROS)
  run_status(run, status)
  if error ~= '' then redis.call('HSET', K.run(run), 'error', error) end
  if redis.call('HGET', K.agent_state(agent), 'run_id') == run then
    redis.call('HDEL', K.agent_state(agent), 'run_id')
    redis.call('DEL', K.agent_awaits(agent))
  end
  replied(run)
  tell(run, '{"kind":"end"}')
  local took = before[2] and math.floor((tonumber(MICROS) - tonumber(before[2])) / 1000) or 0
  local is_new = redis.call('HGET', K.agent(agent), 'last_stop_reason') ~= stop_reason
  local places, times = is_new and agent_places(agent), agent_times(agent)
  redis.call('HSET', K.agent(agent), 'last_run_completion', MICROS, 'last_stop_reason', stop_reason,
    'last_run_duration_ms', string.format('%d', took))
  if is_new then file_agent(agent, places) end
  order_agent(agent, times)
  if status == 'failed' and redis.call('HGET', K.run(run), 'parked') then
    redis.call('ZADD', K.agent_parked(agent), redis.call('ZSCORE', K.runs(), run), run)
  end
  -- Of a failed run that was never opened its causes are all that is known of its input; it may be tried again.
  if status ~= 'failed' or redis.call('HEXISTS', K.run(run), 'messages') == 1 then
    redis.call('HDEL', K.run(run), 'causes')
  end
  redis.call('HDEL', K.run(run), 'prompt', 'seen', 'step_id', 'stop')
  redis.call('DEL', K.run_notes(run), K.run_calls(run))
  for _, part in ipairs(parts_of(run)) do redis.call('EXPIRE', part, keep) end
  redis.call('EXPIRE', K.run_output(run), OUTPUT_SECONDS)
  for _, step in ipairs(redis.call('LRANGE', K.run_steps(run), 0, -1)) do redis.call('EXPIRE', K.step(step), keep) end
  local waiting = redis.call('ZCARD', K.agent_later(agent)) + redis.call('LLEN', K.agent_inbox(agent))
  if redis.call('ZCARD', K.agent_runs(agent)) - waiting > RUNS_KEPT then
    for _, oldest in ipairs(redis.call('ZRANGE', K.agent_runs(agent), 0, math.min(waiting, RUNS_KEPT))) do
      local status_of_oldest = redis.call('HGET', K.run(oldest), 'status')
      if status_of_oldest ~= 'created' and status_of_oldest ~= 'running' then
        run_drop(agent, oldest)
        break
      end
    end
  end
  forget(agent)
  call_back(run)
  redis.call('PUBLISH', K.output(), run .. ' ' .. status .. told_with_ring(run, said[run]))
  return true
end
