-- Wakes the agents whose burst of changes is over, or has lasted long enough.
--
-- ARGV  agents, runs and their records: agent, run, record, …
-- Reply {milliseconds until the next is due, '' with none, agent, generation, pool, …} (agents that became ready)
-- include: wake
local reply = {''}
for i = 1, #ARGV, 3 do
  local agent, due = ARGV[i], redis.call('ZSCORE', K.wakes(), ARGV[i])
  if due and tonumber(due) <= MILLIS then
    local by = redis.call('HMGET', K.agent_state(agent), 'wake_for', 'wake_rate', 'wake_run')
    unwait(agent)
    local ended = redis.call('HEXISTS', K.subscriptions(), by[1]) == 0
    if not by[3] and redis.call('LLEN', K.agent_woken(agent)) > 0 and (ended or spend(by[1], by[2])) then
      begin_wake(agent, ARGV[i + 1], ARGV[i + 2], reply)
    end
  end
end
local soonest = redis.call('ZRANGE', K.wakes(), 0, 0, 'WITHSCORES')
if soonest[2] then reply[1] = string.format('%d', math.max(0, tonumber(soonest[2]) - MILLIS)) end
return reply
