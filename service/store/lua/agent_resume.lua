-- Lets a paused agent go on, with the run it stands in or what waits in its inbox. One that is not paused stays as it is.
--
-- ARGV  1 agent
-- Reply {'ok', generation or '', pool}  {'missing'}
-- include: ready
local agent = ARGV[1]
if redis.call('EXISTS', K.agent(agent)) == 0 then return {'missing'} end
local was_paused = redis.call('HDEL', K.agent(agent), 'paused_at') == 1
local has_run = redis.call('HEXISTS', K.agent_state(agent), 'run_id') == 1
if not was_paused or (not has_run and redis.call('LLEN', K.agent_inbox(agent)) == 0) then return {'ok', '', ''} end
local back = mark_ready(agent) or {'', ''}
return {'ok', back[1], back[2]}
