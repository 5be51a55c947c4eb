-- Creates a block and, if asked, attaches it to an agent; all or nothing. The same id again gives the block as it is.
--
-- ARGV  1 block  2 fields as JSON (all texts)  3 author as JSON  4 author's name
--       5 agent to attach to or ''  6 acting agent or ''  7 generation  8 changes kept  9 history kept
-- Reply {'ok', hash as a flat list}  {'fence'} {'noagent'} {'label', label, agent}
-- include: fence
-- include: block_new
-- include: attachment
local id, author, agent = ARGV[1], ARGV[3], ARGV[5]
if ARGV[6] ~= '' and not fenced(ARGV[6], ARGV[7]) then return {'fence'} end
if redis.call('EXISTS', K.block(id)) == 1 then return {'ok', redis.call('HGETALL', K.block(id))} end
local fields = cjson.decode(ARGV[2])
if agent ~= '' then
  if redis.call('EXISTS', K.agent(agent)) == 0 then return {'noagent'} end
  if redis.call('HEXISTS', K.agent_blocks(agent), fields.label) == 1 then return {'label', fields.label, agent} end
end
new_block(id, fields, author, ARGV[4], ARGV[9], ARGV[8])
if agent ~= '' then attach(agent, id, author, ARGV[8]) end
return {'ok', redis.call('HGETALL', K.block(id))}
