-- Stores a model's complete answer before any of its tool calls is run: whoever takes over resumes from it.
--
-- ARGV  1 agent  2 generation  3 run  4 step  5 step as JSON
-- Reply {'ok'}  {'fence'}
-- include: fence
-- include: messages
-- include: steps
-- include: first_word
if not fenced(ARGV[1], ARGV[2]) then return {'fence'} end
local known = redis.call('EXISTS', K.step(ARGV[4])) == 1
redis.call('SET', K.step(ARGV[4]), stamped(ARGV[5]))
if not known then index_step(ARGV[1], ARGV[3], ARGV[4]) end
redis.call('HSET', K.run(ARGV[3]), 'step_id', ARGV[4])
first_word(ARGV[3])
return {'ok'}
