-- Stores a whole step: its record, its messages, the run's sums; and the end of the run, if this step was the last.
-- Of a first step that was answered at once also what its run starts from; behind a last one what its agent does next.
--
-- ARGV  1 agent  2 generation  3 run  4 step  5 step as JSON  6 '1' if created_at is in it
--       7 messages as JSON [[id, body, '1' if it is output, '1' if it asks for its caller's word], …]
--       8 usage of the run as JSON  9 tokens in context  10 steps so far  11 versions seen as JSON
--       12 stop reason or ''  13 status  14 error as JSON or ''  15 seconds the run is kept
--       16 '1' if the stop reason is only noted: something is left to do before the run ends
--       17 steps that this counts as (0 or 1)  18 tokens  19 steps that the workspace may use in an hour (0: any)
--       20 ms a request waits for its caller's word (0: for ever)  21 '1': at the end of the run the next one is handed out
--       22 workers that a run may lose
--       23 to 28 the job that is done once the agent is idle, as job_done takes it, or '' for each: it is elsewhere
--       29 '1' if 30 to 36 are there: what `open` takes behind the versions (opening.lua)
--       then events as JSON that are told before its messages
-- Reply {'ok', what next_run gives or '', agent, generation, pool, …} (agents that waited for the run's end)  {'fence'}
--       {'spent', whose, what, how many an hour, ms at which there is room again} (stored; no budget is left for another)
--       {'paused'} (stored; the run is not to go on now, and the lease was given back)
-- include: fence
-- include: messages
-- include: steps
-- include: output
-- include: run_end
-- include: idle
-- include: budget
-- include: first_word
-- include: pending
-- include: opening
-- include: next_run
-- include: job_done
local agent, run, step = ARGV[1], ARGV[3], ARGV[4]
local events_at = ARGV[29] == '1' and 37 or 30
if not fenced(agent, ARGV[2]) then return {'fence'} end
if events_at == 37 then open(agent, run, ARGV[11], unpack(ARGV, 30, 36)) end
local known = redis.call('EXISTS', K.step(step)) == 1
redis.call('SET', K.step(step), ARGV[6] == '1' and ARGV[5] or stamped(ARGV[5]))
if not known then index_step(agent, run, step) end
if #ARGV >= events_at then first_word(run) end
for i = events_at, #ARGV do tell(run, ARGV[i]) end
for _, message in ipairs(cjson.decode(ARGV[7])) do
  store_message(agent, message[1], message[2])
  redis.call('RPUSH', K.run_messages(run), message[1])
  if message[4] == '1' then set_pending(agent, message[1], ARGV[20]) end
  if message[3] == '1' then first_word(run) end
  if message[3] == '1' then tell(run, '{"kind":"message","message":' .. stamped(message[2]) .. '}') end
end
run_usage(agent, run, ARGV[8], tonumber(ARGV[17]))
redis.call('HSET', K.run(run), 'context_tokens', ARGV[9], 'step_count', ARGV[10], 'seen', ARGV[11])
redis.call('HDEL', K.run(run), 'step_id')
redis.call('DEL', K.run_calls(run))
local following = ''
if ARGV[16] == '1' then
  redis.call('HSET', K.run(run), 'stop', ARGV[12])
elseif ARGV[12] ~= '' then
  run_end(agent, run, ARGV[12], ARGV[13], ARGV[14], ARGV[15])
  if ARGV[21] == '1' then following = next_run(agent, ARGV[18], ARGV[19], ARGV[22]) end
  if following ~= '' and following[1] == 'idle' and ARGV[23] ~= '' then job_done(unpack(ARGV, 23, 28)) end
else
  redis.call('PUBLISH', K.output(), run .. ' running')
  redis.call('HSET', K.run(run), 'tries', '1')  -- it gets on: whom it lost before is no longer counted
  if is_paused(agent, run) then
    redis.call('HINCRBY', K.run(run), 'tries', -1)
    idle(agent)
    return {'paused'}
  end
  local over = spent(agent, ARGV[18], ARGV[19])
  if over then return {'spent', unpack(over)} end
end
return with_woken('ok', following)
