-- Denies what an agent asked its caller for, if that is still pending: the results that its calls get instead enter
-- the history, and the inbox goes on.
--
-- ARGV  1 agent  2 request  3 run that asked  4 message with the results  5 its body
-- Reply {'ok', generation or '', pool}  {'moved'} (another request is pending, or none)
-- include: messages
-- include: pending
local agent = ARGV[1]
if redis.call('HGET', K.agent_state(agent), 'pending') ~= ARGV[2] then return {'moved'} end
store_message(agent, ARGV[4], ARGV[5])
redis.call('RPUSHX', K.run_messages(ARGV[3]), ARGV[4])
local woken = drop_pending(agent) or {'', ''}
return {'ok', woken[1], woken[2]}
