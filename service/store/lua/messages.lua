-- stamped(json): the same JSON object with the store's time as created_at.
-- store_message(agent, id, json): one message into an agent's history and context.
-- include: clock
local function stamped(json)
  return '{"created_at":' .. MICROS .. ',' .. string.sub(json, 2)
end

local function store_message(agent, id, json)
  local seq = redis.call('HINCRBY', K.meta(), 'seq', 1)
  redis.call('HSET', K.agent_bodies(agent), id, stamped(json))
  redis.call('ZADD', K.agent_messages(agent), seq, id)
  redis.call('ZADD', K.agent_context(agent), seq, id)
  redis.call('ZADD', K.messages(), seq, id)
  redis.call('HSET', K.message_agents(), id, agent)
end
