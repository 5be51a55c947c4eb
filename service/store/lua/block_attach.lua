-- Attaches a block to an agent, or detaches it.
--
-- ARGV  1 'attach' or 'detach'  2 agent  3 block  4 author as JSON  5 acting agent or ''  6 generation  7 changes kept
-- Reply {'ok'}  {'fence'} {'noagent'} {'missing'} (no such block) {'label', label, agent} {'detached'}
-- include: fence
-- include: attachment
local agent, block = ARGV[2], ARGV[3]
if ARGV[5] ~= '' and not fenced(ARGV[5], ARGV[6]) then return {'fence'} end
if redis.call('EXISTS', K.agent(agent)) == 0 then return {'noagent'} end
if redis.call('EXISTS', K.block(block)) == 0 then return {'missing'} end
if ARGV[1] == 'attach' then return attach(agent, block, ARGV[4], ARGV[7]) or {'ok'} end
if not detach(agent, block, ARGV[4], ARGV[7]) then return {'detached'} end
return {'ok'}
