-- Stores a model's complete answer before any of its tool calls is run: whoever takes over resumes from it.
--
-- ARGV  1 agent  2 generation  3 run  4 step  5 step as JSON  then events as JSON that are told
-- Reply {'ok'}  {'fence'}
-- include: fence
-- include: messages
-- include: steps
-- include: first_word
-- include: output
if not fenced(ARGV[1], ARGV[2]) then return {'fence'} end
local known = redis.call('EXISTS', K.step(ARGV[4])) == 1
redis.call('SET', K.step(ARGV[4]), stamped(ARGV[5]))
if not known then index_step(ARGV[1], ARGV[3], ARGV[4]) end
redis.call('HSET', K.run(ARGV[3]), 'step_id', ARGV[4])
first_word(ARGV[3])
for i = 6, #ARGV do tell(ARGV[3], ARGV[i]) end
if #ARGV > 5 then redis.call('PUBLISH', K.output(), ARGV[3] .. ' running') end
return {'ok'}
