-- Stores with a run what its model calls start from: the compiled prompt, the versions of the blocks in it, its input.
-- The prompt is also put into message 0, where clients look for it.
--
-- ARGV  1 agent  2 generation  3 run  4 prompt  5 versions as JSON  6 input as JSON  7 depth  8 message 0  9 its body
--       10 its agent's type, or ''  11 messages that leave the context as JSON
-- Reply {'ok'}  {'fence'}
-- include: fence
if not fenced(ARGV[1], ARGV[2]) then return {'fence'} end
redis.call('HSET', K.run(ARGV[3]), 'prompt', ARGV[4], 'seen', ARGV[5], 'messages', ARGV[6], 'depth', ARGV[7])
if ARGV[10] ~= '' then redis.call('HSET', K.run(ARGV[3]), 'agent_type', ARGV[10]) end
if redis.call('HEXISTS', K.agent_bodies(ARGV[1]), ARGV[8]) == 1 then
  redis.call('HSET', K.agent_bodies(ARGV[1]), ARGV[8], ARGV[9])
end
for _, id in ipairs(cjson.decode(ARGV[11])) do redis.call('ZREM', K.agent_context(ARGV[1]), id) end
return {'ok'}
