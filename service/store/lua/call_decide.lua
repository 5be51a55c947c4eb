-- Keeps what a tool call has decided; whoever repeats the call is given that first decision.
--
-- ARGV  1 agent  2 generation  3 run  4 index of the call  5 decision
-- Reply {'ok', the first decision}  {'fence'}
-- include: fence
if not fenced(ARGV[1], ARGV[2]) then return {'fence'} end
redis.call('HSETNX', K.run_calls(ARGV[3]), 'decided:' .. ARGV[4], ARGV[5])
return {'ok', redis.call('HGET', K.run_calls(ARGV[3]), 'decided:' .. ARGV[4])}
