-- Puts one summary where a run's agent had older messages in context: those leave it, all stay in the history. The
-- prompt is compiled anew, which makes the run's notes of others' edits superfluous.
--
-- ARGV  1 agent  2 generation  3 run  4 messages that leave as JSON  5 summary  6 its body  7 prompt  8 versions as JSON
--       9 message 0  10 its body  11 usage of the run as JSON  12 tokens in context
-- Reply {'ok'}  {'fence'}  {'gone'} (nothing of what was to leave is in context any more)
-- include: fence
-- include: messages
-- include: output
-- include: budget
local agent, run, summary = ARGV[1], ARGV[3], ARGV[5]
if not fenced(agent, ARGV[2]) then return {'fence'} end
local context, place = K.agent_context(agent), nil
local leaving = cjson.decode(ARGV[4])
for _, id in ipairs(leaving) do place = redis.call('ZSCORE', context, id) or place end
if not place then return {'gone'} end
for _, id in ipairs(leaving) do redis.call('ZREM', context, id) end
store_message(agent, summary, ARGV[6])
redis.call('ZADD', context, place, summary)
redis.call('RPUSH', K.run_messages(run), summary)
tell(run, '{"kind":"message","message":' .. stamped(ARGV[6]) .. '}')
if redis.call('HEXISTS', K.agent_bodies(agent), ARGV[9]) == 1 then
  redis.call('HSET', K.agent_bodies(agent), ARGV[9], ARGV[10])
end
redis.call('DEL', K.run_notes(run))
redis.call('HSET', K.run(run), 'prompt', ARGV[7], 'seen', ARGV[8], 'context_tokens', ARGV[12])
run_usage(ARGV[1], run, ARGV[11], 0)
redis.call('PUBLISH', K.output(), run .. ' running')
return {'ok'}
