-- The block that an agent sees under a label, in one round trip; reads only.
--
-- ARGV  1 agent  2 label
-- Reply {'ok', hash as a flat list} {'detached'}
local block = redis.call('HGET', K.agent_blocks(ARGV[1]), ARGV[2])
if not block then return {'detached'} end
return {'ok', redis.call('HGETALL', K.block(block))}
