-- The version of every block attached to an agent, in one round trip; reads only.
--
-- ARGV  1 agent
-- Reply {block, version, block, version, …}
local versions = {}
for _, block in ipairs(redis.call('HVALS', K.agent_blocks(ARGV[1]))) do
  table.insert(versions, block)
  table.insert(versions, redis.call('HGET', K.block(block), 'version') or '0')
end
return versions
