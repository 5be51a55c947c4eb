-- run_status(run, status): what a run is now, in its hash and in the index of that status.
-- run_unfiled(run): out of every index of a status; for a run whose hash may be gone.
local STATUSES = {'created', 'running', 'completed', 'failed', 'cancelled'}

local function run_unfiled(run)
  for _, status in ipairs(STATUSES) do redis.call('ZREM', K.runs_in(status), run) end
end

local function run_status(run, status)
  local before = redis.call('HGET', K.run(run), 'status')
  if before then redis.call('ZREM', K.runs_in(before), run) end
  redis.call('HSET', K.run(run), 'status', status)
  local seq = redis.call('ZSCORE', K.runs(), run)
  if seq then redis.call('ZADD', K.runs_in(status), seq, run) end
end
