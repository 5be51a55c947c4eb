-- Deletes a block: detached from every agent, out of every index, announced.
--
-- ARGV  1 block  2 author as JSON  3 changes kept
-- Reply {'ok'}  {'missing'}
-- include: announce
local id = ARGV[1]
local block = redis.call('HMGET', K.block(id), 'label', 'version', 'tags')
if not block[1] then return {'missing'} end
for _, agent in ipairs(redis.call('ZRANGE', K.block_agents(id), 0, -1)) do
  redis.call('HDEL', K.agent_blocks(agent), block[1])
end
redis.call('ZREM', K.blocks(), id)
redis.call('ZREM', K.blocks_labelled(block[1]), id)
for _, tag in ipairs(cjson.decode(block[3])) do redis.call('ZREM', K.blocks_tagged(tag), id) end
redis.call('DEL', K.block(id), K.block_agents(id), K.block_history(id))
announce({
  kind = 'deleted', block = id, label = block[1], version = block[2], operation = 'delete', chars = '0',
  author = ARGV[2], tags = block[3],
}, ARGV[3])
return {'ok'}
