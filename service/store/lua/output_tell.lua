-- Adds events to a run's output while its step is under way: pieces of an answer as they arrive.
--
-- ARGV  1 agent  2 generation  3 run  then events as JSON
-- Reply {'ok'}  {'fence'}
-- include: fence
-- include: output
-- include: first_word
if not fenced(ARGV[1], ARGV[2]) then return {'fence'} end
for i = 4, #ARGV do tell(ARGV[3], ARGV[i]) end
first_word(ARGV[3])
redis.call('PUBLISH', K.output(), ARGV[3] .. ' running')
return {'ok'}
