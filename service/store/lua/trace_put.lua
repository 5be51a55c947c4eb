-- Keeps what a step's provider was asked and answered.
--
-- ARGV  1 agent  2 generation  3 step  4 trace as JSON  5 seconds it is kept
-- Reply {'ok'}  {'fence'}
-- include: fence
if not fenced(ARGV[1], ARGV[2]) then return {'fence'} end
redis.call('SET', K.trace(ARGV[3]), ARGV[4], 'EX', ARGV[5])
return {'ok'}
