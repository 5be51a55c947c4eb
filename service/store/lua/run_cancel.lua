-- Cancels a run: one not begun ends at once, one under way is asked to stop and its worker rung; where it waits for
-- replies, or its agent is paused, no worker has it: the agent is made ready, so that one comes and ends it. If it was the caller's word on a
-- request, that request is pending again.
--
-- ARGV  1 run  2 seconds it is kept
-- Reply {'cancelled', agent, generation, pool, …} (agents that became ready)  {'asked', the same}
--       {'ended'} (it had ended before)  {'missing'}
-- include: run_end
-- include: later
local run = ARGV[1]
local found = redis.call('HMGET', K.run(run), 'record', 'status')
if not found[1] then return {'missing'} end
local record = cjson.decode(found[1])
local agent = record.agent_id
if found[2] == 'running' then
  redis.call('HSET', K.run(run), 'cancel', '1')
  redis.call('PUBLISH', K.summons(), run .. ' cancelling')
  local stands = redis.call('HGET', K.agent_state(agent), 'status')
  if stands == 'waiting' or stands == 'idle' then go_on(agent) end
  return with_woken('asked')
end
if found[2] ~= 'created' then return {'ended'} end
redis.call('LREM', K.agent_inbox(agent), 1, run)
drop_later(agent, run)
if redis.call('HGET', K.agent_state(agent), 'wake_run') == run then
  redis.call('HDEL', K.agent_state(agent), 'wake_run', 'wake_over')
  redis.call('DEL', K.agent_woken(agent))
end
if redis.call('HGET', K.agent_state(agent), 'answered_by') == run then
  redis.call('HDEL', K.agent_state(agent), 'answered_by')
  redis.call('HSET', K.agent_state(agent), 'pending', record.messages[1].answer.request_id)
end
run_end(agent, run, 'cancelled', 'cancelled', '', ARGV[2])
return with_woken('cancelled')
