-- Deletes a run that has ended, with all that belongs to it; what it put into its agent's history stays.
--
-- ARGV  1 run
-- Reply {'ok'}  {'missing'}  {'running'}
-- include: run_end
local run = ARGV[1]
local found = redis.call('HMGET', K.run(run), 'record', 'status')
if not found[1] then return {'missing'} end
if found[2] == 'created' or found[2] == 'running' then return {'running'} end
run_drop(cjson.decode(found[1]).agent_id, run)
return {'ok'}
