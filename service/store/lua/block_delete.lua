-- Deletes a block: detached from every agent, out of every index, announced.
--
-- ARGV  1 block  2 author as JSON  3 changes kept
-- Reply {'ok'}  {'missing'}
-- include: announce
-- include: block_places
-- include: gone
local id = ARGV[1]
local block = redis.call('HMGET', K.block(id), 'label', 'version', 'tags', 'seq')
if not block[1] then return {'missing'} end
for _, agent in ipairs(redis.call('ZRANGE', K.block_agents(id), 0, -1)) do
  redis.call('HDEL', K.agent_blocks(agent), block[1])
end
redis.call('ZREM', K.blocks(), id)
gone('blocks', id, block[4])
local places = block_places(id)
redis.call('DEL', K.block(id), K.block_agents(id), K.block_history(id))
refile(K.blocks_filed, places, {}, block[4], id)
announce({
  kind = 'deleted', block = id, label = block[1], version = block[2], operation = 'delete', chars = '0',
  author = ARGV[2], tags = block[3],
}, ARGV[3])
return {'ok'}
