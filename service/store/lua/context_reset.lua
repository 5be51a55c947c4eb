-- Empties an agent's context down to message 0, compiled anew, with first messages behind it if asked; its history
-- stays. A request for its caller's word leaves with the rest: nothing is pending any more.
--
-- ARGV  1 agent  2 message 0  3 its body  4 first messages as JSON [[id, body], …]
-- Reply {'ok', generation or '', pool}  {'missing'}  {'busy', run} (a run has begun and not ended)
-- include: messages
-- include: pending
local agent = ARGV[1]
if redis.call('EXISTS', K.agent(agent)) == 0 then return {'missing'} end
local run = redis.call('HGET', K.agent_state(agent), 'run_id')
if run then return {'busy', run} end
redis.call('HSET', K.agent_bodies(agent), ARGV[2], ARGV[3])
redis.call('DEL', K.agent_context(agent))
redis.call('ZADD', K.agent_context(agent), redis.call('ZSCORE', K.agent_messages(agent), ARGV[2]), ARGV[2])
for _, message in ipairs(cjson.decode(ARGV[4])) do store_message(agent, message[1], message[2]) end
redis.call('HSET', K.agent(agent), 'updated_at', MICROS)
local woken = redis.call('HEXISTS', K.agent_state(agent), 'pending') == 1 and drop_pending(agent) or {'', ''}
return {'ok', woken[1], woken[2]}
