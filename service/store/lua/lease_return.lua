-- Gives an agent back before its work is done: it is ready again under a new generation. A worker that
-- stops in the middle of a run takes back the try it had counted.
--
-- ARGV  1 agent  2 generation
-- Reply {'ok', generation, pool}  {'fence'}
-- include: fence
-- include: ready
if not fenced(ARGV[1], ARGV[2]) then return {'fence'} end
local run = redis.call('HGET', K.agent_state(ARGV[1]), 'run_id')
if run then redis.call('HINCRBY', K.run(run), 'tries', -1) end
local back = raise(ARGV[1])
return {'ok', back[1], back[2]}
