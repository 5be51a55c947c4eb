-- Replaces an agent's record, if it is still the one that was read, and the set of its blocks or messages if asked.
--
-- ARGV  1 agent  2 rev read  3 record as JSON  4 places as JSON  5 name  6 '1' if hidden  7 identity ids as JSON or ''
--       8 pool  9 block ids as JSON or ''  10 message ids as JSON or ''  11 author as JSON  12 changes kept
--       13 other fields of the hash as JSON
-- Reply {'ok'}  {'missing'} {'moved'} {'noblock', block} {'nomessage', message} {'noidentity', identity}
--       {'label', label, agent}
-- include: clock
-- include: ready
-- include: agent_places
-- include: attachment
local agent, author, keep = ARGV[1], ARGV[11], ARGV[12]
local now = redis.call('HMGET', K.agent(agent), 'rev')
if not now[1] then return {'missing'} end
if now[1] ~= ARGV[2] then return {'moved'} end
local wanted, labels = {}, {}
if ARGV[9] ~= '' then
  for _, block in ipairs(cjson.decode(ARGV[9])) do
    local label = redis.call('HGET', K.block(block), 'label')
    if not label then return {'noblock', block} end
    if labels[label] and labels[label] ~= block then return {'label', label, agent} end
    labels[label], wanted[block] = block, true
  end
end
local messages = ARGV[10] ~= '' and cjson.decode(ARGV[10]) or {}
for _, message in ipairs(messages) do
  if not redis.call('ZSCORE', K.agent_messages(agent), message) then return {'nomessage', message} end
end
for _, identity in ipairs(ARGV[7] ~= '' and cjson.decode(ARGV[7]) or {}) do
  if redis.call('EXISTS', K.identity(identity)) == 0 then return {'noidentity', identity} end
end

local places, times = agent_places(agent), agent_times(agent)
redis.call('HSET', K.agent(agent), 'record', ARGV[3], 'updated_at', MICROS, 'places', ARGV[4], 'name', ARGV[5],
  'hidden', ARGV[6])
if ARGV[7] ~= '' then redis.call('HSET', K.agent(agent), 'identity_ids', ARGV[7]) end
redis.call('HINCRBY', K.agent(agent), 'rev', 1)
for name, text in pairs(cjson.decode(ARGV[13])) do redis.call('HSET', K.agent(agent), name, text) end
change_pool(agent, ARGV[8])
if redis.call('ZSCORE', K.held(), agent) then redis.call('ZADD', K.held(), MILLIS, agent) end  -- its budget may be another
file_agent(agent, places)
order_agent(agent, times)
if ARGV[9] ~= '' then
  for _, block in ipairs(redis.call('HVALS', K.agent_blocks(agent))) do
    if not wanted[block] then detach(agent, block, author, keep) end
  end
  for _, block in ipairs(cjson.decode(ARGV[9])) do attach(agent, block, author, keep) end
end
if ARGV[10] ~= '' then
  local places = {}
  for _, message in ipairs(messages) do  -- a summary stands in context where the messages were that it tells of
    places[message] = redis.call('ZSCORE', K.agent_context(agent), message)
      or redis.call('ZSCORE', K.agent_messages(agent), message)
  end
  redis.call('DEL', K.agent_context(agent))
  for message, place in pairs(places) do redis.call('ZADD', K.agent_context(agent), place, message) end
end
return {'ok'}
