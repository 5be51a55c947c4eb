-- Every block attached to an agent, in one round trip; reads only.
--
-- ARGV  1 agent
-- Reply {hash as a flat list, …}
local hashes = {}
for _, block in ipairs(redis.call('HVALS', K.agent_blocks(ARGV[1]))) do
  table.insert(hashes, redis.call('HGETALL', K.block(block)))
end
return hashes
