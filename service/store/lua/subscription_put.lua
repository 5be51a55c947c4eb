-- Keeps a subscription of an agent that exists, new or changed; it goes with the agent. One that is resumed forgets its
-- cut, and its agent is woken by what was held back.
--
-- ARGV  1 agent  2 subscription  3 subscription as JSON  4 what it was before, empty for a new one
--       5 place it is found at  6 what it looks for among all changes, if there is no such place  7 most of those
--       8 run and 9 its record, to wake the agent with if it is resumed, else empty
-- Reply {'ok', agent, generation, pool} (an agent that became ready)  {'missing'}  {'moved'}  {'many'}
-- include: subscription_filing
-- include: wake
local agent, id = ARGV[1], ARGV[2]
if redis.call('EXISTS', K.agent(agent)) == 0 then return {'missing'} end
if (redis.call('HGET', K.subscriptions(), id) or '') ~= ARGV[4] then return {'moved'} end
if ARGV[6] ~= '' and redis.call('HEXISTS', K.subscriptions_wide(), id) == 0
  and redis.call('HLEN', K.subscriptions_wide()) >= tonumber(ARGV[7]) then return {'many'} end
redis.call('HSET', K.subscriptions(), id, ARGV[3])
file_subscription(id, agent, ARGV[5], ARGV[6])
local reply = {'ok'}
if ARGV[8] ~= '' then
  redis.call('HDEL', K.subscription_state(id), 'cut_at', 'cut_reason', 'cut_changes', 'minute', 'woken')
  if redis.call('LLEN', K.agent_woken(agent)) > 0 then begin_wake(agent, ARGV[8], ARGV[9], reply) end
end
return reply
