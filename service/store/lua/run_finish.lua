-- Ends a run that has no step to store.
--
-- ARGV  1 agent  2 generation  3 run  4 stop reason  5 status  6 error as JSON or ''  7 seconds it is kept
--       8 result as JSON or ''
-- Reply {'ok', agent, generation, pool, …} (agents that waited for it)  {'fence'}
-- include: fence
-- include: run_end
if not fenced(ARGV[1], ARGV[2]) then return {'fence'} end
if ARGV[8] ~= '' then redis.call('HSET', K.run(ARGV[3]), 'result', ARGV[8]) end
run_end(ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
return with_woken('ok')
