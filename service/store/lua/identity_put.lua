-- Keeps an identity, a new one or, if it is still the one that was read, another record of it; with agents and blocks
-- that get it. No two identities of a project have the same key.
--
-- ARGV  1 identity  2 rev read, '' for a new one  3 record as JSON  4 identifier key  5 project or ''  6 places as JSON
--       7 agent ids as JSON  8 block ids as JSON  9 '1' if these replace the agents, 10 '1' if they replace the blocks
-- Reply {'ok'}  {'taken', identity} {'missing'} {'moved'} {'noagent', agent} {'noblock', block}
-- include: clock
-- include: identity_link
local ALL = 1000000000
local id, rev, project = ARGV[1], ARGV[2], ARGV[5]
for _, other in ipairs(redis.call('ZRANGE', K.identities_filed('key:' .. ARGV[4]), 0, -1)) do
  if other ~= id and redis.call('HGET', K.identity(other), 'project') == project then return {'taken', other} end
end
local now = redis.call('HMGET', K.identity(id), 'rev', 'seq', 'places')
if rev ~= '' and not now[1] then return {'missing'} end
if rev ~= '' and now[1] ~= rev then return {'moved'} end
local agents, blocks = cjson.decode(ARGV[7]), cjson.decode(ARGV[8])
for _, agent in ipairs(agents) do
  if redis.call('EXISTS', K.agent(agent)) == 0 then return {'noagent', agent} end
end
for _, block in ipairs(blocks) do
  if redis.call('EXISTS', K.block(block)) == 0 then return {'noblock', block} end
end

local seq = now[2] or string.format('%d', redis.call('HINCRBY', K.meta(), 'seq', 1))
redis.call('HSETNX', K.identity(id), 'created_at', MICROS)
redis.call('HSET', K.identity(id), 'record', ARGV[3], 'seq', seq, 'project', project, 'places', ARGV[6])
redis.call('HINCRBY', K.identity(id), 'rev', 1)
redis.call('ZADD', K.identities(), seq, id)
for _, place in ipairs(cjson.decode(now[3] or '[]')) do redis.call('ZREM', K.identities_filed(place), id) end
for _, place in ipairs(cjson.decode(ARGV[6])) do redis.call('ZADD', K.identities_filed(place), seq, id) end
local function relink(kind, wanted, replace)
  if replace == '1' then
    local stays = {}
    for _, row in ipairs(wanted) do stays[row] = true end
    for _, row in ipairs(linked_rows(kind, id, ALL)) do if not stays[row] then unlink(kind, row, id) end end
  end
  for _, row in ipairs(wanted) do link(kind, row, id) end
end
relink('agent', agents, ARGV[9])
relink('block', blocks, ARGV[10])
return {'ok'}
