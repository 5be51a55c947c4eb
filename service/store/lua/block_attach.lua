-- Attaches a block to an agent, or detaches it.
--
-- ARGV  1 'attach' or 'detach'  2 agent  3 block  4 author as JSON  5 acting agent or ''  6 generation  7 changes kept
--       8 effect id or ''  9 run or ''
-- Reply {'ok'}  {'fence'} {'noagent'} {'missing'} (no such block) {'label', label, agent} {'detached'}
-- include: fence
-- include: effect
-- include: attachment
local agent, block = ARGV[2], ARGV[3]
if ARGV[5] ~= '' and not fenced(ARGV[5], ARGV[6]) then return {'fence'} end
if outcome(ARGV[8], ARGV[9]) then return {'ok'} end
if redis.call('EXISTS', K.agent(agent)) == 0 then return {'noagent'} end
if redis.call('EXISTS', K.block(block)) == 0 then return {'missing'} end
if ARGV[1] == 'attach' then
  local refusal = attach(agent, block, ARGV[4], ARGV[7])
  if refusal then return refusal end
elseif not detach(agent, block, ARGV[4], ARGV[7]) then
  return {'detached'}
end
settle(ARGV[8], ARGV[9], '', 0, 1, block)
return {'ok'}
