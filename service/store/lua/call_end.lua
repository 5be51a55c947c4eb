-- Keeps what a started call gave, so that whoever takes the run over need not run it.
--
-- ARGV  1 agent  2 generation  3 run  4 call  5 result as JSON
-- Reply {'ok'}  {'fence'}
-- include: fence
if not fenced(ARGV[1], ARGV[2]) then return {'fence'} end
redis.call('HSET', K.run_started(ARGV[3]), ARGV[4], ARGV[5])
return {'ok'}
