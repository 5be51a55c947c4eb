-- Puts a message into an agent's inbox as a new run, and marks an idle agent ready. The same run again changes nothing.
-- The job for that agent goes into its pool's queue in the same act, where the queue is in this store.
-- While the agent waits for its caller's word other messages wait or are refused. That word, the answer to the
-- request that is named, goes before all of them, and nothing is pending any more.
--
-- ARGV  1 agent  2 run  3 record as JSON  4 '1' if what the run says is to be kept for streams,
--       'stream' if its sender listens to it now, 'end' if he waits for its end
--       5 '1' if it has a callback  6 'wait' or 'refuse' while a request is pending, or the request that it answers
--       7 the failed run that it tries again, or ''  8 priority, '0' to '9'; an answer has none
--       9 when it enters the inbox: '' for now, ms since the epoch, or ms from now behind a +
--       10 runs that an inbox may hold  11 '1': nothing new (see send.lua)
--       12 default pool's queue, or '': it is elsewhere  13 what stands before a job's id in its key  14 the job's id
--       15 the job  16 ms until it expires  17 what stands behind a queue's name in that of its bell
--       In 14 and 15 a % stands where the generation belongs.
-- Reply {'ok', created_at, generation or '', pool, µs at which it enters the inbox or '', '1' if its job is in the queue}
--       {'known', hash as a flat list}
--       {'missing'} (no such agent)  {'pending', request or ''} (refused: this one is pending, or none)
--       {'crowded', how many} (as many as may wait for their time already do)  {'full'}  {'filling'} (an answer never is)
-- include: send
-- include: put_job
local LATER_MOST = 1000
local agent, run, pending = ARGV[1], ARGV[2], ARGV[6]
if redis.call('EXISTS', K.run(run)) == 1 then return {'known', redis.call('HGETALL', K.run(run))} end
if redis.call('EXISTS', K.agent(agent)) == 0 then return {'missing'} end
local state = K.agent_state(agent)
local request = redis.call('HGET', state, 'pending')
local answers = pending ~= 'wait' and pending ~= 'refuse'
if answers and request ~= pending then return {'pending', request or ''} end
if pending == 'refuse' and request then return {'pending', request} end
local refusal = not answers and no_room(agent, ARGV[9] == '' and ARGV[10], ARGV[11])
if refusal then return refusal end
if ARGV[9] ~= '' and redis.call('ZCARD', K.agent_later(agent)) >= LATER_MOST then return {'crowded', LATER_MOST} end
if answers then
  redis.call('HDEL', state, 'pending')
  redis.call('HSET', state, 'answered_by', run)
end
local woken = send(agent, run, ARGV[3], ARGV[4], ARGV[5], ARGV[8], ARGV[9]) or {'', ''}
local queued = ''
if ARGV[12] ~= '' and woken[1] ~= '' then
  local queue = woken[2] == 'default' and ARGV[12] or ARGV[12] .. ':' .. woken[2]
  local id, text = string.gsub(ARGV[14], '%%', woken[1]), string.gsub(ARGV[15], '%%', woken[1])
  -- The run is the truth, its job a nudge: one that cannot be put keeps nothing else from being done.
  queued = pcall(put_job, queue, ARGV[13] .. id, queue .. ARGV[17], id, text, 0, ARGV[16]) and '1' or ''
end
local again = ARGV[7]
if again ~= '' and redis.call('EXISTS', K.run(again)) == 1 then
  redis.call('ZREM', K.agent_parked(agent), again)
  redis.call('HSET', K.run(again), 'retried_by', run)
  local causes = redis.call('HMGET', K.run(again), 'causes', 'over')
  if causes[1] then redis.call('HSET', K.run(run), 'causes', causes[1], 'over', causes[2]) end
end
if answers then redis.call('LMOVE', K.agent_inbox(agent), K.agent_inbox(agent), 'RIGHT', 'LEFT') end
return {'ok', MICROS, woken[1], woken[2], redis.call('HGET', K.run(run), 'not_before') or '', queued}
