-- Takes the lease of a ready agent. Only the job of the current generation gets in; that generation is the fence.
-- One of another line of writes is raised instead: before a failover somebody may have had it already.
-- With the run to carry on with in the same act, if its last arguments are given (next_run.lua).
--
-- ARGV  1 agent  2 generation  3 worker  4 ms the lease lasts
--       5 tokens  6 steps that the workspace may use in an hour  7 workers that a run may lose
-- Reply {'ok', what next_run gives}  {'stale'}  {'raised', generation, pool}
-- include: clock
-- include: lineage
-- include: ready
-- include: next_run
local state = redis.call('HMGET', K.agent_state(ARGV[1]), 'status', 'generation', 'lineage')
if state[1] ~= 'ready' or state[2] ~= ARGV[2] then return {'stale'} end
if (state[3] or '') ~= lineage() then
  local back = raise(ARGV[1])
  return {'raised', back[1], back[2]}
end
redis.call('HSET', K.agent_state(ARGV[1]), 'status', 'leased', 'worker', ARGV[3])
taken(ARGV[1])
redis.call('ZADD', K.leases(), MILLIS + tonumber(ARGV[4]), ARGV[1])
return {'ok', ARGV[5] and next_run(ARGV[1], ARGV[5], ARGV[6], ARGV[7])}
