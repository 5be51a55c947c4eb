-- attach(agent, block, author, keep): gives an agent a block. Returns nil, or the refusal {'label', label}
-- when another block stands under that label. Attaching twice is no change.
-- detach(agent, block, author, keep): takes it away. Returns false when it was not attached.
-- include: announce
-- include: block_places
local function tell(kind, agent, block, author, keep)
  local hash = redis.call('HMGET', K.block(block), 'label', 'version', 'chars', 'tags')
  announce({
    kind = kind, block = block, label = hash[1], version = hash[2], operation = kind, chars = hash[3],
    author = author, tags = hash[4], agent = agent,
  }, keep)
end

local function attach(agent, block, author, keep)
  local label = redis.call('HGET', K.block(block), 'label')
  local present = redis.call('HGET', K.agent_blocks(agent), label)
  if present == block then return nil end
  if present then return {'label', label, agent} end
  local places = block_places(block)
  redis.call('HSET', K.agent_blocks(agent), label, block)
  redis.call('ZADD', K.block_agents(block), redis.call('HGET', K.agent(agent), 'seq'), agent)
  file_block(block, places)
  tell('attached', agent, block, author, keep)
  return nil
end

local function detach(agent, block, author, keep)
  local places = block_places(block)
  if redis.call('ZREM', K.block_agents(block), agent) == 0 then return false end
  file_block(block, places)
  redis.call('HDEL', K.agent_blocks(agent), redis.call('HGET', K.block(block), 'label'))
  tell('detached', agent, block, author, keep)
  return true
end
