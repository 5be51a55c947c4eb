-- Marks a tool call that must not be run twice as started, before it is run; or tells that it was, and what it gave.
--
-- ARGV  1 agent  2 generation  3 run  4 call
-- Reply {'ok'}  {'known', result as JSON or ''}  {'fence'}
-- include: fence
if not fenced(ARGV[1], ARGV[2]) then return {'fence'} end
local known = redis.call('HGET', K.run_started(ARGV[3]), ARGV[4])
if known then return {'known', known} end
redis.call('HSET', K.run_started(ARGV[3]), ARGV[4], '')
return {'ok'}
